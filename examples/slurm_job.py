"""One task of a Slurm array: fetches inputs, runs the command, copies outputs, leaves the manifest that POMS reads.

Slurm starts it as `slurm_job.py FOLDER`, with a document for each task of the array in the folder. It ends as the
command ended: with its exit code, or by its signal. Standard library only.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from condor_job import JobError, fetch, keep


def main() -> int:
    """Run the job of this task; return its exit code."""
    task = os.environ["SLURM_ARRAY_TASK_ID"]
    document = json.loads((Path(sys.argv[1]) / f"{task}.json").read_text(encoding="utf-8"))
    job, uuid = document["job"], document["uuid"]
    name = f"{os.environ['SLURM_ARRAY_JOB_ID']}_{task}@{os.environ['SLURM_CLUSTER_NAME']}"
    with tempfile.TemporaryDirectory(prefix="poms-task-") as scratch:
        os.chdir(scratch)
        try:
            fetch(job["inputs"])
            child = subprocess.Popen(job["argv"], env={**os.environ, **job["env"], "POMS_JOB_ID": name})
            # Being cancelled, requeued or out of time is told to this process: the command hears of it too.
            signal.signal(signal.SIGTERM, lambda *_: child.terminate())
            code = child.wait()
            if code == 0:
                print(f"slurm_job: {keep(job, uuid, name)} outputs in {job['output_dir']}", flush=True)
        except JobError as problem:
            print(f"slurm_job: {problem}", file=sys.stderr)
            return problem.code
        finally:
            os.chdir("/")
    if code < 0:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if -code != signal.SIGKILL:
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    return code


if __name__ == "__main__":
    sys.exit(main())
