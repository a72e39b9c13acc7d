"""`make bench`: figures as JSON lines, each with a reference that was measured in the same run.

observe_rows_per_s          jobs that change state, through the merge; reference: a plain COPY of the same rows
observe_new_rows_per_s      jobs seen for the first time; same reference
observe_tick_rows_per_s     rows of a snapshot of which 2 % have changed; same reference
launch_overhead_ms, …       what tests.scale.launching says of launches and looks; references there
campaign_list_p95_ms, …     what tests.scale.campaigns says of the pages of many campaigns; reference: of few
tick_500k_s, page_p95_ms_…  what tests.scale.observing says of many live jobs and of pages; in full size with --full
split_1e6_s, …_calls        what tests.scale.splits says of freezing and cutting a dataset; references there
editor_open_p95_ms, …       what tests.scale.editor says of the editor of 500 stages; reference: of six
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.scale.launching import launching
from tests.scale.splits import splits

SYSTEM = "bench"


def main() -> None:
    """Measure everything and print one line each."""
    options = argparse.ArgumentParser(prog="bench")
    options.add_argument("--full", action="store_true", help="500,000 jobs in place of 50,000")
    options.add_argument(
        "--brief", action="store_true", help="fewer rows, as CI has time for: the figures are no proof"
    )
    given = options.parse_args()
    full = given.full
    pages(brief=given.brief)
    if full:
        subprocess.run([sys.executable, "-m", "tests.scale.observing"], check=True)
    home = Path(tempfile.mkdtemp(prefix="poms-bench-"))
    os.environ.update(
        DJANGO_SETTINGS_MODULE="poms_site.settings",
        POMS_STATE=str(home),
        POMS_BELL="0",
        POMS_LOG="ERROR",
        POMS_HTTP_ALLOW="127.0.0.1",
    )
    from poms_site import embedded

    server = embedded.ensure(None, durable=True)
    try:
        import django

        django.setup()
        from tests.cast import assemble
        from tests.tables import make_tables

        make_tables()

        cast = assemble()
        observe(500_000 if full else 10_000 if given.brief else 50_000, cast)
        launching(say, cast, home, brief=given.brief)
        splits(say, cast, brief=given.brief)
    finally:
        if server is not None:
            server.stop()
        shutil.rmtree(home, ignore_errors=True)


def pages(*, brief: bool) -> None:
    """Ask sites of their own, on databases of their own, for the pages of many campaigns and for a large editor."""
    few = ["--campaigns", "100", "--submissions", "4000", "--times", "8"] if brief else []
    small = (("campaigns", few), ("observing", ["--brief"]))
    for module, options in small if brief else (("campaigns", []), ("editor", [])):
        subprocess.run([sys.executable, "-m", f"tests.scale.{module}", *options], check=True)


def say(name: str, value: float, unit: str, reference: float) -> None:
    """Print one figure."""
    line = {"name": name, "value": round(value, 3), "unit": unit, "reference": round(reference, 3)}
    print(json.dumps({**line, "ratio": round(value / reference, 4)}), flush=True)


def timed(act: Callable[[], Any]) -> float:
    """Return the seconds that something took."""
    begin = time.perf_counter()
    act()
    return time.perf_counter() - begin


def observe(jobs: int, cast: Any) -> None:
    """Merge snapshots of so many jobs: all new, all changed, 2 % changed."""
    from django.db import connection, transaction

    from core import bulk
    from integrations.batch.base import JobSeen
    from integrations.models import BatchSystem
    from submissions.logic import merging
    from submissions.models import JobCount

    system = BatchSystem.objects.create(name=SYSTEM)
    uuids = _submissions(jobs // 100, cast)

    def snapshot(states: Callable[[int], str], at: float) -> list[JobSeen]:
        return [
            JobSeen(id=f"{n // 100}.{n % 100}@x", uuid=uuids[n // 100], state=states(n), starts=1, at=at, index=n % 100,
                    node=f"node{n % 500}", site="SITE")
            for n in range(jobs)
        ]  # fmt: skip

    def merge(seen: list[JobSeen]) -> None:
        with transaction.atomic():
            merging.merge(system.pk, seen, source="bench")

    def copy(seen: list[JobSeen]) -> None:
        with transaction.atomic():
            bulk.copy_rows("bench_copy", merging.COLUMNS, [merging._row(job, "bench") for job in seen])

    with connection.cursor() as cursor:
        cursor.execute(f"CREATE TABLE bench_copy ({merging._TYPES})")
    now = time.time()
    first = snapshot(lambda n: "idle", now)
    plain = jobs / timed(lambda: copy(first))
    say("observe_new_rows_per_s", jobs / timed(lambda: merge(first)), "rows/s", plain)
    changed = snapshot(lambda n: "processing", now + 10)
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE bench_copy")
        cursor.execute("VACUUM ANALYZE submissions_job")
    plain = jobs / timed(lambda: copy(changed))
    say("observe_rows_per_s", jobs / timed(lambda: merge(changed)), "rows/s", plain)
    few = snapshot(lambda n: "staging_out" if n % 50 == 0 else "processing", now + 10)
    few = [job if n % 50 else JobSeen(**{**job.__dict__, "at": now + 20}) for n, job in enumerate(few)]
    say("observe_tick_rows_per_s", jobs / timed(lambda: merge(few)), "rows/s", plain)
    counted = {row.state: row.n for row in _totals(JobCount)}
    assert counted == {"processing": jobs - jobs // 50, "staging_out": jobs // 50}, counted


def _totals(counts: Any) -> list[Any]:
    from django.db.models import Sum

    rows = counts.objects.values("state_code").annotate(total=Sum("n")).filter(total__gt=0)
    return [counts(state_code=row["state_code"], n=row["total"]) for row in rows]


def _submissions(count: int, cast: Any) -> list[str]:
    """Make so many submissions that were launched, with the least around them."""
    from submissions.logic import planning
    from submissions.models import Submission
    from tests import builders

    planning.AHEAD = count  # a bench looks at all of them at once
    text = f"[campaign_stage gen]\nstage_type=generator\nevents={count}\nevents_per_job=1\ncs_split_type=nevents(1)\n"
    builders.approved_campaign(cast, builders.definition(stages=text))
    while planning.plan_some():
        pass
    Submission.objects.update(state="running")
    return [str(uuid) for uuid in Submission.objects.order_by("pk").values_list("uuid", flat=True)]


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))
    main()
