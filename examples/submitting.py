"""What submission scripts of the examples share: a launch's list of jobs in, batch jobs out.

POMS starts such a script in the folder of the launch, with `jobs.json` in it. Standard library only, so that it starts
at once.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# What a job needs to know of its launch; the rest of the launch's environment is none of its business.
PASSED_ON = (
    "POMS_SUBMISSION_ID",
    "POMS_EXPERIMENT",
    "POMS_ROUND",
    "POMS4_SUBMISSION_ID",
    "POMS4_CAMPAIGN_NAME",
    "POMS4_CAMPAIGN_STAGE_NAME",
    "POMS4_CAMPAIGN_STAGE_TYPE",
    "POMS4_TEST_LAUNCH",
)

OBLIGATORY = (
    "uuid", "experiment", "campaign", "memory_mb", "wall_s", "output_dir", "output_patterns", "jobs",
)  # fmt: skip
EXIT_FAILED = 1
SUBMIT_SECONDS = 60


@dataclass(frozen=True)
class Work:
    """What the jobs of a launch have in common; `command` is without units, `wanted` is what a unit must have."""

    stage: str
    command: list[str]
    environment: dict[str, str]
    wanted: Sequence[str]


class SubmitError(Exception):
    """Something the submission needs is missing or unusable; the text says what and what to do."""


def needed(name: str) -> str:
    """Return an environment variable that POMS sets for a launch; raises SubmitError without it."""
    value = os.environ.get(name, "")
    if not value:
        raise SubmitError(f"{name} is not set. This script is meant to be started by a POMS launch, which sets it.")
    return value


def read_plan(path: Path) -> dict[str, Any]:
    """Return what POMS wants run, from `jobs.json`; raises SubmitError when it is not there or incomplete."""
    try:
        plan = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SubmitError(f"There is no {path.name} in {Path.cwd()}. Run this in the folder of the launch.") from None
    except ValueError as error:
        raise SubmitError(f"{path.name} is not JSON: {error}") from error
    missing = [key for key in OBLIGATORY if not plan.get(key)]
    if missing:
        raise SubmitError(f"{path.name} says nothing about {', '.join(missing)}.")
    given = os.environ.get("POMS_SUBMISSION_ID", plan["uuid"])
    if given != plan["uuid"]:
        raise SubmitError(f"{path.name} is of submission {plan['uuid']}, but this launch is of {given}.")
    return plan


def job_environment(plan: dict[str, Any], spool: str) -> dict[str, str]:
    """Return the environment of a job: what it must know of its launch, one thread, shared compiled code."""
    environment = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    environment.setdefault("POMS4_CAMPAIGN_NAME", plan["campaign"])
    environment.setdefault("POMS_ROUND", str(plan.get("round", 0)))
    # Importing uproot takes 3 s where no compiled code is kept, 0.6 s where the first job left it.
    # Only in a spool of our own: in another person's, the code could be that person's, too.
    if os.path.isdir(spool) and os.stat(spool).st_uid == os.geteuid():
        environment["PYTHONPYCACHEPREFIX"] = str(Path(spool).resolve() / "bytecode")
        environment["PYTHONDONTWRITEBYTECODE"] = ""
    environment["PYTHONUNBUFFERED"] = "1"
    environment["OMP_NUM_THREADS"] = environment["OPENBLAS_NUM_THREADS"] = "1"
    return environment


def batch_job(job: dict[str, Any], plan: dict[str, Any], work: Work) -> dict[str, Any]:
    """Return the batch job for one entry of `jobs.json`; raises SubmitError for a unit of another stage."""
    units, inputs = [], []
    for unit in job["units"]:
        absent = [name for name in work.wanted if unit.get(name) is None]
        if absent:
            raise SubmitError(
                f"Unit {unit.get('key', '?')} has no {', '.join(absent)}: it cannot be one of stage {work.stage}."
            )
        if "file" in unit:
            inputs.append({"name": unit["file"], "path": unit["path"]})
        units.append({name: value for name, value in unit.items() if name != "path"})
    arguments = [text for unit in units for text in ("--unit", json.dumps(unit, separators=(",", ":")))]
    return {
        "argv": [*work.command, *arguments],
        "env": work.environment,
        "memory_mb": job.get("memory_mb", plan["memory_mb"]),
        "wall_s": plan["wall_s"],
        "index": job["index"],
        "units": [unit["key"] for unit in units],
        "inputs": inputs,
        "output_dir": plan["output_dir"],
        "output_patterns": plan["output_patterns"],
        "avoid_nodes": plan.get("avoid_nodes") or [],
    }


def cluster(plan: dict[str, Any], work: Work) -> dict[str, Any]:
    """Return the cluster document: one batch job for each job of the launch, owned by its experiment."""
    return {
        "uuid": plan["uuid"],
        "owner": plan["experiment"],
        "attributes": {
            "experiment": plan["experiment"],
            "campaign": plan["campaign"],
            "stage": work.stage,
            "round": int(work.environment["POMS_ROUND"]),
        },
        "jobs": [batch_job(job, plan, work) for job in plan["jobs"]],
    }


def submit(document: dict[str, Any], python: str, command: str, spool: str) -> list[str]:
    """Hand the cluster to the batch system and return its job ids; raises SubmitError with what that said."""
    try:
        done = subprocess.run(
            [python, "-S", "-E", "-s", "-B", command, "submit", "--spool", spool],
            input=json.dumps(document),
            capture_output=True,
            text=True,
            timeout=SUBMIT_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SubmitError(f"The submit command of the batch system did not run: {error}") from error
    if done.returncode != 0:
        raise SubmitError(f"The batch system refused the jobs (exit code {done.returncode}): {done.stderr.strip()}")
    try:
        answer = json.loads(done.stdout)
        ids = [str(job) for job in answer["job_ids"]]
    except (ValueError, KeyError, TypeError) as error:
        raise SubmitError(f"The batch system answered something unexpected: {done.stdout.strip()[:300]}") from error
    return ids


def submit_to_htcondor(document: dict[str, Any], python: str, *, as_dag: bool) -> str:
    """Hand the cluster to HTCondor, as one cluster or as a DAG of one node a job; return what it said.

    All that the jobs need lies in a folder beside their outputs, where the account that they run under reaches it.
    Which launch the jobs are of, and what slots they want, the environment of the launch tells HTCondor by itself.
    """
    jobs = document["jobs"]
    folder = Path(jobs[0]["output_dir"]) / "htcondor"
    folder.mkdir(parents=True, exist_ok=True)
    for number, job in enumerate(jobs):
        (folder / f"{number}.json").write_text(json.dumps({"uuid": document["uuid"], "job": job}), encoding="utf-8")
    description = {
        "executable": python,
        "arguments": _condor_words(["-s", str(Path(__file__).with_name("condor_job.py")), f"{folder}/$(number).json"]),
        "transfer_executable": "false",
        "should_transfer_files": "NO",
        "output": f"{folder}/$(Cluster).$(Process).out",
        "error": f"{folder}/$(Cluster).$(Process).err",
        "log": f"{folder}/jobs.log",
        "request_memory": str(jobs[0]["memory_mb"]),
        "+POMS_JOB_INDEX": "$(index)",
    }
    lines = [f"{name} = {value}" for name, value in description.items()]
    each = "".join(f"{number}, {job['index']}\n" for number, job in enumerate(jobs))
    lines.append("queue" if as_dag else f"queue number, index from (\n{each})")
    (folder / "jobs.submit").write_text("\n".join([*lines, ""]), encoding="utf-8")
    command = ["condor_submit", "jobs.submit"]
    if as_dag:
        nodes = [
            f'JOB job{number} jobs.submit\nVARS job{number} number="{number}" index="{job["index"]}"\n'
            for number, job in enumerate(jobs)
        ]
        (folder / "jobs.dag").write_text("".join(nodes), encoding="utf-8")
        command = ["condor_submit_dag", "jobs.dag"]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=SUBMIT_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SubmitError(f"{command[0]} did not run: {error}") from error
    if done.returncode != 0:
        raise SubmitError(f"HTCondor refused the jobs (exit code {done.returncode}): {done.stderr.strip()}")
    return done.stdout.strip()


def _condor_words(words: Sequence[str]) -> str:
    """Return words as a submit file has its arguments."""
    quoted = [f"'{word}'".replace('"', '""') for word in words]
    return f'"{" ".join(quoted)}"'


def submit_to_slurm(document: dict[str, Any], python: str, stage: str) -> str:
    """Hand the cluster to Slurm as an array, a task for each job; return what it said.

    Which launch the tasks are of, and what slots they want, the environment of the launch tells sbatch by itself.
    """
    jobs = document["jobs"]
    folder = Path(jobs[0]["output_dir"]) / "slurm"
    folder.mkdir(parents=True, exist_ok=True)
    for job in jobs:
        text = json.dumps({"uuid": document["uuid"], "job": job})
        (folder / f"{job['index']}.json").write_text(text, encoding="utf-8")
    run = [python, "-s", str(Path(__file__).with_name("slurm_job.py")), str(folder)]
    command = [
        "sbatch", f"--array={','.join(str(job['index']) for job in jobs)}", f"--job-name={stage}",
        f"--chdir={folder}", f"--output={folder}/%A_%a.out", f"--error={folder}/%A_%a.err",
    ]  # fmt: skip
    try:
        done = subprocess.run(
            command, input=f"#!/bin/sh\nexec {shlex.join(run)}\n", capture_output=True, text=True,
            timeout=SUBMIT_SECONDS, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SubmitError(f"sbatch did not run: {error}") from error
    if done.returncode != 0:
        raise SubmitError(f"Slurm refused the jobs (exit code {done.returncode}): {done.stderr.strip()}")
    return done.stdout.strip()


def submit_launch(
    name: str, stage: str, script: Path, options: list[str], wanted: Sequence[str], *, to: str = "local"
) -> int:  # fmt: skip
    """Submit the jobs of the launch in this folder and say so; return 0 when all are with the batch system.

    name: of the submission script, for what it prints. script: what a job runs, with these options and its units.
    wanted: what each unit must have. to: the batch system, or "dag" for HTCondor with a node for each job.
    """
    try:
        python = needed("POMS_PYTHON")
        command, spool = (needed("POMS_LOCAL_SUBMIT"), needed("POMS_LOCAL_SPOOL")) if to == "local" else ("", "")
        plan = read_plan(Path("jobs.json"))
        environment = job_environment(plan, spool)
        run = [python, "-s", str(script), "--campaign", environment["POMS4_CAMPAIGN_NAME"], *options]
        document = cluster(plan, Work(stage, run, environment, wanted))
        jobs, round_number = document["jobs"], document["attributes"]["round"]
        print(f"{name}: campaign {plan['campaign']}, stage {stage}, round {round_number}")
        units = sum(len(job["units"]) for job in jobs)
        print(f"{name}: {len(jobs)} jobs with {units} units, {plan['memory_mb']} MB each", flush=True)
        if to == "local":
            said = f"submitted {', '.join(submit(document, python, command, spool))}"
        elif to == "slurm":
            said = submit_to_slurm(document, python, stage)
        else:
            said = submit_to_htcondor(document, python, as_dag=to == "dag")
    except SubmitError as problem:
        print(f"{name}: {problem}", file=sys.stderr)
        return EXIT_FAILED
    print(f"{name}: {said}")
    print(f"{name}: outputs go to {plan['output_dir']}")
    return 0
