"""The submit command of the batch system `shell`: each job is a process of this machine, with a folder of its own.

`shell_submit.py submit` reads {"uuid", "tags", "jobs": [piece of shell, ...]} and prints the ids of the jobs;
`shell_submit.py run FOLDER` is what it starts for each of them. The standard library only: it runs where jobs run.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path


def write(folder: Path, name: str, facts: dict[str, object]) -> None:
    """Write facts whole or not at all: whoever looks meanwhile never sees half of them."""
    new = folder / f".{name}.{os.getpid()}"
    new.write_text(json.dumps(facts))
    os.replace(new, folder / f"{name}.json")


def submit(spool: Path) -> None:
    asked = json.load(sys.stdin)
    ids = [f"{asked['uuid']}.{index}" for index in range(len(asked["jobs"]))]
    for index, job_id in enumerate(ids):
        folder = spool / job_id
        folder.mkdir()
        told = {"uuid": asked["uuid"], "index": index, "tags": asked["tags"], "script": asked["jobs"][index]}
        write(folder, "job", {**told, "at": time.time()})
    for job_id in ids:  # all are there before the first one runs, so that `find` never sees a part of them as the whole
        subprocess.Popen(
            [sys.executable, "-S", "-E", __file__, "run", str(spool / job_id)],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
    print(json.dumps(ids))


def run(folder: Path) -> None:
    began = time.time()
    with (folder / "out").open("wb") as out, (folder / "err").open("wb") as err:
        script = json.loads((folder / "job.json").read_text())["script"]
        job = subprocess.Popen(["sh", "-c", script], stdout=out, stderr=err, start_new_session=True)
        write(folder, "start", {"group": job.pid, "at": began})
        if (folder / "removed.json").exists():  # between the submission and the start
            os.killpg(job.pid, 9)
        code = job.wait()
    told = {"exit": code if code >= 0 else None, "signal": -code if code < 0 else None}
    write(folder, "end", {**told, "wall_s": time.time() - began, "at": time.time()})


if __name__ == "__main__":
    if sys.argv[1] == "submit":
        submit(Path(os.environ["POMS_SHELL_SPOOL"]))
    else:
        run(Path(sys.argv[2]))
