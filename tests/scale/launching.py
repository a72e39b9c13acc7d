"""What a launch and a look cost: through the real loop, shim and batch daemon, beside the bare submit command.

launch_overhead_ms   one launch until its jobs are recorded, of a script that does next to nothing; reference: its process
launch_sql           statements of one launch, all lists counted together; reference: what POMS makes today (33)
launch_rate_ratio    launches a second through POMS; reference: by bare condor_submit, one after the other, into the same pool
                     (who is not root can run no pool: into the local batch system, by its submit command)
poll_1000_s, _sql,   one look at 1,000 submissions of which all have changed; references: what POMS needs today (28 s, and
_calls               a call for each of them)
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

Say = Callable[[str, float, str, float], None]
QUICK = 'echo "1.0@bench" >> "$POMS_JOB_IDS_FILE"'
# The folder is the submission's alone; what is above it too, for the command of the pool shares both with its account.
FARM = """
mkdir -p "{work}/bench/$POMS_SUBMISSION_ID/here" && cd "{work}/bench/$POMS_SUBMISSION_ID/here" || exit 4
condor_submit - <<END
executable = /bin/true
transfer_executable = false
request_memory = 10
request_disk = 10
hold = true
queue
END
"""
JOB = {"argv": ["/bin/true"], "memory_mb": 10, "wall_s": 60}


def launching(say: Say, cast: Any, home: Path, *, brief: bool = False) -> None:
    """Print the figures; the database is the caller's, the daemon is started here and ended."""
    from django.conf import settings

    number = 40 if brief else 500
    settings.LOCAL_SPOOL, settings.LOCAL_LAUNCHES = home / "spool", home / "starts"
    settings.QUEUE_DEPTH = "0"
    with _daemon(settings.LOCAL_SPOOL):
        _launches(say, cast, home, number)
        if os.geteuid() == 0:
            _farm_rates(say, cast, number // 5)
        else:
            _rates(say, cast, home, number)
        _polls(say, cast, 1000)


def _pending(cast: Any, name: str, number: int, script: str, login_setup: str = "local") -> None:
    """Make so many submissions that wait, each with one job; nothing else waits."""
    from submissions.models import Submission
    from tests import builders

    Submission.objects.exclude(state="completed").update(state="completed", look_at=None)
    builders.waiting(cast, name, number, script, login_setup)


def _through(number: int) -> tuple[float, int]:
    """Launch all that waits until it is recorded; return the seconds and the statements."""
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    from submissions.logic import launching as loop
    from submissions.models import Submission

    begin = time.perf_counter()
    with CaptureQueriesContext(connection) as asked:
        while Submission.objects.filter(state__in=("pending", "launching")).exists():
            if not loop.launch_some():
                time.sleep(0.02)
    seconds = time.perf_counter() - begin
    assert Submission.objects.filter(state="submitted").count() == number
    return seconds, len(
        [
            1
            for query in asked
            if 'submissions_submission" WHERE "submissions_submission"."state" IN' not in query["sql"]
        ]
    )


def _launches(say: Say, cast: Any, home: Path, number: int) -> None:
    script = _script(home / "quick_submit", QUICK)
    _pending(cast, "overhead", number, script)
    begin = time.perf_counter()
    for _ in range(number):
        subprocess.run(["sh", "-c", "true"], check=True)
    bare = (time.perf_counter() - begin) / number
    seconds, statements = _through(number)
    say("launch_overhead_ms", seconds / number * 1000, "ms", bare * 1000)
    say("launch_sql", statements / number, "statements", 33)


def _script(path: Path, text: str) -> str:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def _rates(say: Say, cast: Any, home: Path, number: int) -> None:
    """Submit as many one-job clusters bare and through POMS."""
    from integrations.batch.local import DAEMON

    document = json.dumps({"jobs": [JOB]})
    submit = f'"{sys.executable}" -S -E -s -B "{DAEMON}" submit --spool "{home / "spool"}"'
    script = _script(home / "bench_submit", f"echo '{document}' | {submit}")
    begin = time.perf_counter()
    for _ in range(number):
        subprocess.run([script], check=True, stdout=subprocess.DEVNULL, env={"POMS_SUBMISSION_ID": str(uuid4())})
    bare = number / (time.perf_counter() - begin)
    _pending(cast, "rate", number, script)
    seconds, _ = _through(number)
    say("launch_rate_ratio", number / seconds, "launches/s", bare)


def _farm_rates(say: Say, cast: Any, number: int) -> None:
    """Submit as many clusters of one job bare and through POMS into a real pool; its jobs are held, so none runs."""
    from integrations.models import BatchSystem
    from tests import builders
    from tests.servers import htcondor

    with htcondor.running(slots=1) as pool:
        known = {"collectors": pool.collector, "schedds": pool.schedds, "config": str(pool.config)}
        BatchSystem.objects.create(name="farm", backend="htcondor", settings=known)
        path = f"{pool.bin}:{os.environ['PATH']}"
        builders.login_setup(cast, "farm", setup=f"export PATH={pool.bin}:$PATH", batch="farm")
        script = _script(pool.work / "bench_submit", FARM.format(work=pool.work))
        begin = time.perf_counter()
        for _ in range(number):
            env = {"PATH": path, "POMS_SUBMISSION_ID": str(uuid4())}
            subprocess.run([script], check=True, stdout=subprocess.DEVNULL, env=env)
        bare = number / (time.perf_counter() - begin)
        _pending(cast, "farm", number, script, "farm")
        seconds, _ = _through(number)
        say("launch_rate_ratio", number / seconds, "launches/s", bare)
        BatchSystem.objects.filter(name="farm").delete()


def _polls(say: Say, cast: Any, number: int) -> None:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    from integrations import registry
    from integrations.batch.local_daemon import submit as command
    from integrations.models import BatchSystem
    from submissions.logic import observing
    from submissions.models import Job, Submission

    _pending(cast, "poll", number, "true")
    system, _ = BatchSystem.objects.get_or_create(name="local", defaults={"backend": "local"})
    observing.observe(system)
    spool = str(registry.batch("local").spool)  # type: ignore[attr-defined]
    for submission in Submission.objects.filter(state="pending"):
        made = command.submit(spool, command.checked({"uuid": str(submission.uuid), "jobs": [JOB]}))
        submission.job_ids = made["job_ids"]
        submission.state, submission.launched_at = "submitted", submission.created_at
        submission.save(update_fields=["job_ids", "state", "launched_at"])
    calls = _counted(registry)
    begin = time.perf_counter()
    with CaptureQueriesContext(connection) as asked:
        observing.observe(system)
    seconds = time.perf_counter() - begin
    assert Job.objects.filter(submission__state__in=("submitted", "running")).count() >= number
    say("poll_1000_s", seconds, "s", 28.0)
    say("poll_1000_sql", len(asked), "statements", 1000)
    say("poll_1000_calls", len(calls), "calls", 1000)


def _counted(registry: Any) -> list[str]:
    """Count from here on what is asked of the batch daemon."""
    from integrations.batch.local import LocalBatch

    calls: list[str] = []
    ask = LocalBatch._ask

    def counted(self: Any, question: dict[str, Any]) -> dict[str, Any]:
        calls.append(question["ask"])
        return ask(self, question)

    LocalBatch._ask = counted  # type: ignore[method-assign]
    return calls


@contextmanager
def _daemon(spool: Path) -> Any:
    from integrations.batch.local import DAEMON

    daemon = subprocess.Popen(
        [sys.executable, str(DAEMON), "serve", "--spool", str(spool), "--slots", "1", "--end-jobs"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        while not (spool / "daemon.json").exists():
            assert daemon.poll() is None, "the batch daemon did not start"
            time.sleep(0.02)
        yield
    finally:
        daemon.terminate()
        daemon.wait(60)
