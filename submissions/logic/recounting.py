"""Loop `recount`: counters and tallies compared with the jobs themselves, once a day; what is wrong is mended and told.

Both are written by the statement that moves the jobs, so nothing is ever found unless somebody wrote to the database by
hand or the merge has a flaw; then it must be known (design 3).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any

import structlog
from django.conf import settings
from django.db import connection, transaction

from campaigns.models import Stage
from core import transitions
from core.clock import now
from submissions.models import Submission
from submissions.states import IN_BATCH_SYSTEM, JOB_STATES

log = structlog.get_logger()

ACTOR = "loop:recount"
A_STEP = 500  # submissions that one statement counts
# How sums of seconds may differ that were added in another order.
_NEAR = "1e-6 * greatest(abs(coalesce(t.{0}, 0)), 1)"

# Counted and kept are read in one statement, so of one moment. What is wrong is mended by adding the difference, so
# that a merge in between does no harm.
_COUNTERS = """
SELECT submission_id, state_code, coalesce(j.n, 0) - coalesce(c.n, 0), coalesce(c.n, 0)
FROM (SELECT submission_id, state_code, n FROM submissions_jobcount WHERE submission_id = ANY(%(ids)s) AND n <> 0) c
FULL JOIN (SELECT submission_id, state_code, count(*)::int AS n FROM submissions_job
           WHERE submission_id = ANY(%(ids)s) GROUP BY 1, 2) j USING (submission_id, state_code)
WHERE c.n IS DISTINCT FROM j.n ORDER BY 1, 2
"""
_MEND_COUNTER = """
INSERT INTO submissions_jobcount AS c (submission_id, state_code, n) VALUES (%s, %s, %s)
ON CONFLICT (submission_id, state_code) DO UPDATE SET n = c.n + excluded.n
"""
_TALLIES = f"""
SELECT stage_id, site, state_code, coalesce(j.n, 0) - coalesce(t.n, 0), coalesce(j.wall_s, 0) - coalesce(t.wall_s, 0),
       coalesce(j.core_s, 0) - coalesce(t.core_s, 0), coalesce(j.cpu_s, 0) - coalesce(t.cpu_s, 0), coalesce(t.n, 0)
FROM (SELECT * FROM submissions_jobtally
      WHERE day = %(day)s AND (n <> 0 OR wall_s <> 0 OR core_s <> 0 OR cpu_s <> 0)) t
FULL JOIN (SELECT b.stage_id, j.site, j.state_code, count(*)::int AS n, sum(coalesce(j.wall_s, 0)) AS wall_s,
                  sum(coalesce(j.wall_s, 0) * coalesce(j.cpus, 1)) AS core_s, sum(coalesce(j.cpu_s, 0)) AS cpu_s
           FROM submissions_job j JOIN submissions_submission s ON s.id = j.submission_id
           JOIN submissions_batch b ON b.id = s.batch_id
           WHERE j.ended_at >= %(day)s::timestamp AT TIME ZONE 'UTC'
             AND j.ended_at < (%(day)s::timestamp + interval '1 day') AT TIME ZONE 'UTC'
           GROUP BY 1, 2, 3) j USING (stage_id, site, state_code)
WHERE coalesce(t.n, 0) <> coalesce(j.n, 0)
   OR abs(coalesce(t.wall_s, 0) - coalesce(j.wall_s, 0)) > {_NEAR.format("wall_s")}
   OR abs(coalesce(t.core_s, 0) - coalesce(j.core_s, 0)) > {_NEAR.format("core_s")}
   OR abs(coalesce(t.cpu_s, 0) - coalesce(j.cpu_s, 0)) > {_NEAR.format("cpu_s")}
ORDER BY 1, 2, 3
"""  # noqa: S608 - constants of this module
_MEND_TALLY = """
INSERT INTO submissions_jobtally AS t (experiment_id, stage_id, day, site, state_code, n, wall_s, core_s, cpu_s)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)
ON CONFLICT (stage_id, day, site, state_code) DO UPDATE SET
    n = t.n + excluded.n, wall_s = t.wall_s + excluded.wall_s, core_s = t.core_s + excluded.core_s,
    cpu_s = t.cpu_s + excluded.cpu_s
"""


def recount() -> int:
    """Count again what lives and what ended lately; return 0, for one pass is all."""
    wrong = sum(_recount_submissions(ids) for ids in _pieces())
    wrong += sum(_recount_day(day) for day in _days())
    if wrong:
        log.error("recount.wrong", counters=wrong)
    return 0


def _pieces() -> Iterator[Sequence[int]]:
    """Yield the submissions that are in a batch system or ended in the last two days, some at a time."""
    rows = Submission.objects.filter(jobs_archived_at=None).order_by("pk").values_list("pk", flat=True)
    live = rows.filter(state__in=IN_BATCH_SYSTEM)
    ended = rows.filter(state_since__gte=now() - timedelta(days=2)).exclude(state__in=IN_BATCH_SYSTEM)
    for some in (live, ended):
        last = 0
        while ids := list(some.filter(pk__gt=last)[:A_STEP]):
            yield ids
            last = ids[-1]


def _days() -> list[str]:
    """Return today and yesterday (UTC), and one more of the days of which every job is still beside those that run."""
    today = now().date()
    other = today - timedelta(days=2 + today.toordinal() % (settings.KEEP_JOBS_DAYS - 3))
    return [f"{day}" for day in (today, today - timedelta(days=1), other)]


def _recount_submissions(ids: Sequence[int]) -> int:
    with connection.cursor() as cursor:
        cursor.execute(_COUNTERS, {"ids": list(ids)})
        wrong = cursor.fetchall()
    of = Submission.objects.only("state", "experiment_id").in_bulk({pk for pk, *_ in wrong})
    for pk, code, more, kept in wrong:
        said = f"the counter of {JOB_STATES[code]} said {kept}, and there are {kept + more}; mended"
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(_MEND_COUNTER, [pk, code, more])
            _write("submission", pk, of[pk].state, of[pk].experiment_id, said)
    return len(wrong)


def _recount_day(day: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute(_TALLIES, {"day": day})
        wrong = cursor.fetchall()
    of = Stage.objects.select_related("campaign").in_bulk({pk for pk, *_ in wrong})
    for pk, site, code, more, wall_s, core_s, cpu_s, kept in wrong:
        campaign = of[pk].campaign
        said = (
            f"the tally of {day} of stage {of[pk].name}, {JOB_STATES[code]} at {site or 'no site'}, said {kept} jobs,"
            f" and there are {kept + more}; wall time was off by {wall_s:.1f} s; mended"
        )
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(_MEND_TALLY, [campaign.experiment_id, pk, day, site, code, more, wall_s, core_s, cpu_s])
            _write("campaign", campaign.pk, campaign.state, campaign.experiment_id, said)
    return len(wrong)


def _write(kind: str, pk: int, state: Any, experiment: int, said: str) -> None:
    """Write into the ledger what was wrong: operators are told by it."""
    transitions.record([(pk, state)], kind, state, experiment_id=experiment, actor=ACTOR, reason=said, verb="recount")
