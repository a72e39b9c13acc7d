"""Where an experiment's jobs ran and how they fared there: by site and by node, and what is excluded (M4, D2)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from django.db import connection
from django.db.models import Q, Sum

from core.clock import now
from experiments.models import Experiment
from integrations.models import BatchSystem
from submissions.models import Exclusion, Guard, Job, JobTally
from submissions.states import JOB_RANK, STANDING

RECENT = 100_000
MOST_NODES = 50
DAYS = 7
_FAILED = [JOB_RANK[state] for state in ("failed", "lost")]

# The latest jobs by their key: a scan of years of jobs would cost minutes, and old ones say little about a site now.
_BY = """
SELECT {what}, count(*) FILTER (WHERE ended_at IS NULL AND started_at IS NOT NULL AND state_code <> %(held)s),
       count(*) FILTER (WHERE state_code = %(succeeded)s), count(*) FILTER (WHERE state_code = ANY(%(failed)s)),
       count(*), max(coalesce(started_at, event_at)), max(ended_at)
FROM (SELECT * FROM submissions_job WHERE experiment_id = %(experiment)s ORDER BY id DESC LIMIT %(recent)s) j
WHERE {what} <> '' GROUP BY 1 ORDER BY 6 DESC NULLS LAST LIMIT %(most)s
"""


@dataclass(frozen=True)
class PlaceFacts:
    """One site or node: how many jobs run, succeeded and failed there, and when one last began and ended.

    A site has beside these what all its jobs of the last week used: `week`, none where none ended.
    """

    name: str
    running: int
    succeeded: int
    failed: int
    jobs: int
    last_start: datetime | None
    last_end: datetime | None
    week: Week | None = None

    @property
    def failed_share(self) -> int:
        """Return how many of those that ended failed, in percent."""
        ended = self.succeeded + self.failed
        return round(100 * self.failed / ended) if ended else 0


@dataclass(frozen=True)
class Week:
    """What the jobs that ended at a site in the last week used, from the exact tallies of days."""

    succeeded: int
    failed: int
    wall_s: float
    core_s: float
    cpu_s: float

    @property
    def success(self) -> int | None:
        """Return the share that succeeded, in percent; jobs that people removed are left out."""
        ended = self.succeeded + self.failed
        return round(100 * self.succeeded / ended) if ended else None

    @property
    def core_h(self) -> float:
        """Return the core-hours."""
        return round(self.core_s / 3600, 1)

    @property
    def efficiency(self) -> int | None:
        """Return which share of the time that cores were theirs jobs computed, in percent."""
        return round(100 * self.cpu_s / self.core_s) if self.core_s > 0 and self.cpu_s > 0 else None


def sites_of(experiment: Experiment) -> list[PlaceFacts]:
    """Return the sites of the experiment's latest jobs, the one used last first."""
    weeks = weeks_of(experiment)
    return [replace(place, week=weeks.get(place.name)) for place in _places(experiment, "site", 1000)]


def weeks_of(experiment: Experiment) -> dict[str, Week]:
    """Return by site what the jobs of the last week used."""
    rows = JobTally.objects.filter(experiment=experiment, day__gt=(now() - timedelta(days=DAYS)).date())
    sums = rows.values("site").annotate(
        good=Sum("n", filter=Q(state_code=JOB_RANK["succeeded"]), default=0),
        bad=Sum("n", filter=Q(state_code__in=_FAILED), default=0),
        wall=Sum("wall_s", default=0), core=Sum("core_s", default=0), cpu=Sum("cpu_s", default=0),
    )  # fmt: skip
    return {row["site"]: Week(row["good"], row["bad"], row["wall"], row["core"], row["cpu"]) for row in sums}


def nodes_of(experiment: Experiment) -> list[PlaceFacts]:
    """Return the nodes of the experiment's latest jobs, the one used last first."""
    return _places(experiment, "node", MOST_NODES)


def _places(experiment: Experiment, what: str, most: int) -> list[PlaceFacts]:
    asked: dict[str, Any] = {
        "experiment": experiment.pk, "recent": RECENT, "most": most, "held": JOB_RANK["held"],
        "succeeded": JOB_RANK["succeeded"], "failed": _FAILED,
    }  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute(_BY.format(what=what), asked)
        return [PlaceFacts(*row) for row in cursor.fetchall()]


# --- What is excluded ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Guarded:
    """A batch system that an experiment uses, how it is guarded, and what stands there for the experiment."""

    system: BatchSystem
    guard: Guard
    watched: int
    excluded: int
    spared: int


def exclusions_of(experiment: Experiment) -> list[Exclusion]:
    """Return what is watched, excluded or on probation for an experiment, the latest first."""
    rows = Exclusion.objects.filter(experiment=experiment, state__in=STANDING)
    return list(rows.select_related("experiment", "system", "campaign__experiment").order_by("-pk")[:200])


def guards_of(experiment: Experiment, standing: list[Exclusion]) -> list[Guarded]:
    """Return the batch systems and how they are guarded, with what stands there for an experiment."""
    known = {guard.system_id: guard for guard in Guard.objects.all()}
    found = []
    for system in BatchSystem.objects.filter(active=True).order_by("name"):
        own = [row for row in standing if row.system_id == system.pk]
        watched = [row for row in own if row.state == "watched"]
        spared = sum(row.spared for row in watched)
        guard = known.get(system.pk) or Guard(system=system)
        found.append(Guarded(system, guard, len(watched), len(own) - len(watched), spared))
    return found


def examples_of(row: Exclusion) -> list[Job]:
    """Return the jobs that an exclusion names as examples, those that are still kept."""
    keys = row.evidence.get("examples", [])
    rows = Job.objects.filter(experiment=row.experiment_id, pk__in=keys).select_related("experiment")
    return list(rows.order_by("-ended_at"))
