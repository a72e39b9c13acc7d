"""One job on an HTCondor slot: fetches inputs, runs the command, copies outputs, leaves the manifest that POMS reads.

HTCondor starts it as `condor_job.py DOCUMENT`; the document is what the local batch system would have been given. It
ends as the command ended: with its exit code, or by its signal. Standard library only.
"""

from __future__ import annotations

import fnmatch
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

EXIT_INPUT, EXIT_OUTPUT = 66, 73  # EX_NOINPUT and EX_CANTCREAT of sysexits.h
OWN_NAMES = ("outputs.json",)


class JobError(Exception):
    """The job cannot do its work: the exit code for machines, the text for people."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code


def job_id() -> str:
    """Return the id by which POMS knows this job: `<cluster>.<proc>@<schedd>`, from the ad beside it."""
    ad = Path(os.environ["_CONDOR_JOB_AD"]).read_text(encoding="utf-8", errors="replace")
    found = re.search(r'^GlobalJobId = "(.+)#(\d+\.\d+)#\d+"', ad, re.MULTILINE)
    if not found:
        raise JobError(EXIT_OUTPUT, "the job's ad does not say which job this is")
    return f"{found[2]}@{found[1]}"


def fetch(inputs: list[dict[str, str]]) -> None:
    """Copy the inputs here."""
    for item in inputs:
        try:
            shutil.copyfile(item["path"], item["name"])
        except OSError as error:
            raise JobError(EXIT_INPUT, f"the input {item['path']} cannot be fetched: {error.strerror}") from error


def told() -> dict[str, dict[str, Any]]:
    """Return what the command says of its outputs in `outputs.json`, by name."""
    try:
        return {item["name"]: item for item in json.loads(Path("outputs.json").read_text(encoding="utf-8"))}
    except FileNotFoundError:
        return {}


def keep(job: dict[str, Any], uuid: str, name: str) -> int:
    """Copy the outputs to their folder, each by rename, and the manifest last; return how many there are."""
    said, inputs = told(), {item["name"] for item in job["inputs"]}
    found = sorted(
        entry.name
        for entry in os.scandir(".")
        if entry.is_file(follow_symlinks=False)
        and not entry.name.startswith((".", "_"))
        and entry.name not in OWN_NAMES
        and (entry.name not in inputs or entry.name in said)
        and any(fnmatch.fnmatchcase(entry.name, pattern) for pattern in job["output_patterns"])
    )  # fmt: skip
    folder, outputs = Path(job["output_dir"]), []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for entry in found:
            passing = folder / f".{entry}.{name}.part"
            shutil.copyfile(entry, passing)
            passing.replace(folder / entry)
            data = Path(entry).read_bytes()
            about = {key: said[entry][key] for key in ("events", "metadata", "parents") if key in said.get(entry, {})}
            outputs.append({
                "name": entry, "path": str(folder / entry), "size": len(data),
                "checksum": f"adler32:{zlib.adler32(data):08x}", **about,
            })  # fmt: skip
        manifest = {"job": name, "uuid": uuid, "starts": 1, "units": job["units"], "outputs": outputs}
        passing = folder / f".{uuid}.{name}.part"
        passing.write_text(json.dumps(manifest), encoding="utf-8")
        passing.replace(folder / f"{uuid}.{name.partition('@')[0]}.manifest.json")
    except OSError as error:
        raise JobError(EXIT_OUTPUT, f"the outputs cannot be copied: {error}") from error
    return len(outputs)


def main() -> int:
    """Run the job of the document; return its exit code."""
    document = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    job, uuid = document["job"], document["uuid"]
    os.chdir(os.environ["_CONDOR_SCRATCH_DIR"])
    try:
        name = job_id()
        fetch(job["inputs"])
        child = subprocess.Popen(job["argv"], env={**os.environ, **job["env"], "POMS_JOB_ID": name})
        # Being removed, held or evicted is told to this process: the command hears of it too.
        signal.signal(signal.SIGTERM, lambda *_: child.terminate())
        code = child.wait()
        if code < 0:
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            signal.signal(-code, signal.SIG_DFL) if -code != signal.SIGKILL else None
            os.kill(os.getpid(), -code)
        if code == 0:
            print(f"condor_job: {keep(job, uuid, name)} outputs in {job['output_dir']}", flush=True)
    except JobError as problem:
        print(f"condor_job: {problem}", file=sys.stderr)
        return problem.code
    return code


if __name__ == "__main__":
    sys.exit(main())
