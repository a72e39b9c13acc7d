"""The queue of an experiment: what waits and runs in its order, and when each of it is expected to start and end."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from math import ceil, floor
from typing import Any

from django.conf import settings
from django.db import connection
from django.db.models import Q, QuerySet

from approvals.models import Request
from campaigns.models import Campaign, EdgeVersion, StageVersion
from core.clock import now
from experiments.models import Experiment
from poms_site.overview.forecast import expected_units
from poms_site.overview.prediction import SAMPLES, Entry, Predicted, Work, delays, predict
from submissions import line, queries
from submissions.fairness import effective_rank
from submissions.models import Share
from submissions.states import IN_BATCH_SYSTEM, JOB_RANK, JOB_STARTED

FEWEST = 3  # ended jobs, below which nothing is known
OF_A_STAGE = 200
OF_JOB_TYPES = 20_000
LOOKED_AT = 1_000  # jobs of a stage, of its latest submissions, for those that succeeded
SOME = 25  # submissions of a stage whose running jobs are looked at
MANY = 150  # campaigns, above which fewer plays do
SOURCES = {
    "stage": "measured", "job type": "as other jobs of its type", "request": "as its request says",
    "definition": "half of its time limit, nothing better is known",
}  # fmt: skip


@dataclass(frozen=True)
class Measured:
    """How long a job takes: the mean in seconds, from job to job, and how sure the mean is; and who says so."""

    seconds: float
    spread: float
    doubt: float
    source: str


@dataclass(frozen=True)
class Queued:
    """One campaign in the queue."""

    campaign: Campaign
    entry: Entry
    hours: float  # for how long its next work waits
    boosted_until: datetime | None
    held: bool
    source: str
    production_stage: str = ""

    @property
    def waiting(self) -> int:
        """Return how many jobs wait for a place in a batch system, or are still to be planned."""
        return sum(work.waiting + work.later for work in self.entry.stages)

    @property
    def there(self) -> int:
        """Return how many jobs are in a batch system."""
        return sum(work.idle + work.on for work in self.entry.stages)

    @property
    def seconds(self) -> int:
        """Return for how many seconds its next work waits."""
        return round(self.hours * 3600)

    @property
    def bonus(self) -> float:
        """Return the points beside the rank."""
        return effective_rank(0, self.hours, settings.QUEUE_AGEING, boosted=self.boosted_until is not None)

    @property
    def points(self) -> float:
        """Return what it goes by within its experiment."""
        return self.entry.rank + self.bonus


@dataclass
class Queue:
    """Everything that wants slots: the queue of one experiment, and the work of the others as it weighs on it."""

    at: datetime
    rows: list[Queued]
    others: list[Entry]
    slots: dict[str, int]
    weights: dict[int, int]
    predicted: dict[int, Predicted] = field(default_factory=dict)

    @property
    def other_jobs(self) -> int:
        """Return how many jobs other experiments have waiting and running."""
        return sum(work.left for entry in self.others for work in entry.stages)

    @property
    def other_experiments(self) -> int:
        """Return how many experiments that is."""
        return len({entry.experiment for entry in self.others})

    def entries(self, ranks: Mapping[int, int] | None = None) -> list[Entry]:
        """Return all work, with other ranks if some are proposed."""
        own = [replace(row.entry, rank=(ranks or {}).get(row.entry.key, row.entry.rank)) for row in self.rows]
        return [*own, *self.others]

    def predict(self, ranks: Mapping[int, int] | None = None, extra: Sequence[Entry] = ()) -> dict[int, Predicted]:
        """Return what is expected of the own campaigns, with other ranks or further work."""
        entries = [*self.entries(ranks), *extra]
        samples = SAMPLES if len(entries) <= MANY else 6
        found = predict(entries, self.slots, self.weights, settings.QUEUE_AGEING, samples=samples)
        own = {row.entry.key for row in self.rows} | {entry.key for entry in extra}
        return {key: span for key, span in found.items() if key in own}


@dataclass(frozen=True)
class WouldBe:
    """What is expected of work that is not approved yet, and by how much it delays others (seconds, by campaign)."""

    start: datetime
    end: datetime
    early: datetime
    late: datetime
    delayed: list[tuple[Campaign, timedelta]]


def queue_of(experiment: Experiment) -> Queue:
    """Return the queue of an experiment in its order, with what is expected; in a fixed number of statements."""
    queue = _gather(experiment)
    queue.rows.sort(key=lambda row: (-row.points, row.entry.key))
    queue.predicted = queue.predict()
    return queue


def decided() -> Hashable:
    """Return what people have decided that every queue goes by; a queue that was played before it changed is wrong."""
    return (
        tuple(_wanting().order_by("pk").values_list("pk", "rank", "revision_id")),
        tuple(queries.standing_boosts().order_by("pk").values_list("pk", "until")),
        tuple(queries.standing_holds().order_by("pk").values_list("pk", "until")),
        tuple(Share.objects.order_by("pk").values_list("experiment_id", "weight")),
    )


def predict_with(experiment: Experiment, stages: Iterable[Work], rank: int) -> WouldBe | None:
    """Return what is expected of further work of an experiment at a rank, were it approved now; None if nothing can be.

    `stages` are those of a definition that is not approved yet: names, jobs (`waiting` for those without a parent,
    `later` for the others), seconds a job, and `feeds` for the edges.
    """
    queue = queue_of(experiment)
    found = queue.predict(extra=[Entry(0, experiment.pk, rank, tuple(stages))])
    if 0 not in found:
        return None
    campaigns = {row.entry.key: row.campaign for row in queue.rows}
    later = {key: seconds for key, seconds in delays(queue.predicted, found).items() if seconds > 0}
    delayed = [(campaigns[key], timedelta(seconds=later[key])) for key in sorted(later, key=lambda k: -later[k])]
    at = [queue.at + timedelta(seconds=seconds) for seconds in (
        found[0].start.median, found[0].end.median, found[0].end.early, found[0].end.late)]  # fmt: skip
    return WouldBe(at[0], at[1], at[2], at[3], delayed)


@dataclass
class Proposal:
    """Other ranks for a queue, and what would come of them; rows are in the order that there would be."""

    queue: Queue
    ranks: dict[int, int]  # only those that change
    rows: list[Queued]
    predicted: dict[int, Predicted]

    @property
    def delays(self) -> dict[int, float]:
        """Return by how many seconds each campaign would end later; earlier is negative."""
        return delays(self.queue.predicted, self.predicted, least=1.0)

    @property
    def changed(self) -> list[Campaign]:
        """Return the campaigns that would get another rank."""
        return [row.campaign for row in self.rows if row.entry.key in self.ranks]

    @property
    def read(self) -> dict[int, int]:
        """Return the ranks that the proposal was made from, by which one finds out that the queue has changed."""
        return {row.entry.key: row.entry.rank for row in self.queue.rows}


def propose(queue: Queue, ranks: Mapping[int, int], order: Sequence[int] = ()) -> Proposal:
    """Return what would come of other ranks; or of an order, in which those that are named come first.

    Keys that are not in the queue any more are left out.
    """
    proposed = {row.entry.key: ranks.get(row.entry.key, row.entry.rank) for row in queue.rows}
    rows = sorted(queue.rows, key=lambda row: (-(proposed[row.entry.key] + row.bonus), row.entry.key))
    if order:
        first = {key: place for place, key in enumerate(dict.fromkeys(order))}
        rows.sort(key=lambda row: first.get(row.entry.key, len(first)))
        proposed |= ranks_for([(row.entry.key, proposed[row.entry.key], row.bonus) for row in rows])
        rows.sort(key=lambda row: (-(proposed[row.entry.key] + row.bonus), row.entry.key))
    changed = {row.entry.key: proposed[row.entry.key] for row in rows if proposed[row.entry.key] != row.entry.rank}
    return Proposal(queue, changed, rows, queue.predict(changed) if changed else queue.predicted)


# --- Ranks for an order -----------------------------------------------------------------------------------------


def ranks_for(wanted: Sequence[tuple[int, int, float]]) -> dict[int, int]:
    """Return ranks under which things go in the wanted order, changing as few as possible; only those that change.

    Each is (key, rank, bonus); what goes by rank + bonus. Where ranks from 0 to 100 do not suffice, because something
    has waited for so long, it comes as near as it can.
    """
    points = [(rank + bonus, -key) for key, rank, bonus in wanted]  # at equal points the older goes first
    keep = _longest_falling(points)
    ranks = [rank for _, rank, _ in wanted]
    for place, (_, rank, bonus) in enumerate(wanted):
        if place in keep:
            continue
        above = ranks[place - 1] + wanted[place - 1][2] if place else float("inf")
        next_kept = next((n for n in range(place + 1, len(wanted)) if n in keep), None)
        below = points[next_kept][0] if next_kept is not None else float("-inf")
        ranks[place] = _between(rank, below - bonus, above - bonus)
    _settle(ranks, wanted)
    return {key: new for (key, old, _), new in zip(wanted, ranks, strict=True) if new != old}


def _longest_falling(points: Sequence[tuple[float, int]]) -> set[int]:
    """Return the places of a longest part that is in order already."""
    best: list[tuple[int, int | None]] = []
    for place, value in enumerate(points):
        before = max(((best[n][0], n) for n in range(place) if points[n] > value), default=(0, None))
        best.append((before[0] + 1, before[1]))
    at: int | None = max(range(len(points)), key=lambda n: best[n][0]) if points else None
    found = set()
    while at is not None:
        found.add(at)
        at = best[at][1]
    return found


def _between(rank: int, low: float, high: float) -> int:
    """Return the rank nearest to the old one that lies between, or the nearest end where none does."""
    fitting = [value for value in range(101) if low < value < high]
    if fitting:
        return min(fitting, key=lambda value: abs(value - rank))
    return min(100, max(0, round((max(low, 0) + min(high, 100)) / 2)))


def _settle(ranks: list[int], wanted: Sequence[tuple[int, int, float]]) -> None:
    """Lower from the top, then raise from the bottom, what still goes before something above it."""

    def goes_before(place: int, other: int) -> bool:
        (key, _, bonus), (rival, _, theirs) = wanted[place], wanted[other]
        return (ranks[place] + bonus, -key) > (ranks[other] + theirs, -rival)

    for place in range(1, len(ranks)):
        if goes_before(place, place - 1):
            most = ranks[place - 1] + wanted[place - 1][2] - wanted[place][2]
            ranks[place] = max(0, min(ranks[place], ceil(most) - 1))
    for place in range(len(ranks) - 2, -1, -1):
        if goes_before(place + 1, place):
            least = ranks[place + 1] + wanted[place + 1][2] - wanted[place][2]
            ranks[place] = min(100, max(ranks[place], floor(least) + 1))


# --- Gathering --------------------------------------------------------------------------------------------------


def _wanting() -> QuerySet[Campaign]:
    """Return the campaigns that may want slots."""
    return Campaign.objects.filter(state__in=("approved", "running"), revision__isnull=False)


def _gather(experiment: Experiment) -> Queue:
    at = now()
    campaigns = list(_wanting().select_related("experiment", "owner").order_by("pk"))
    facts = _Facts(campaigns)
    boosts = {row.campaign_id: row.until for row in queries.standing_boosts()}
    holds = _holds(campaigns, at)
    own, others = [], []
    for campaign in campaigns:
        works, source = facts.works(campaign)
        if not any(work.left for work in works):
            continue
        until = boosts.get(campaign.pk)
        boosted = (until - at).total_seconds() if until else 0.0
        held = holds.get(campaign.pk, 0.0)
        entry = Entry(campaign.pk, campaign.experiment_id, campaign.rank, tuple(works), boosted, held)
        if campaign.experiment_id == experiment.pk:
            hours = max((work.hours for work in works if work.waiting), default=0.0)
            asked = facts.requests.get(campaign.pk)
            stage = asked.production_stage if asked else ""
            own.append(Queued(campaign, entry, hours, until, held != 0.0, SOURCES[source], stage))
        else:
            others.append(entry)
    weights = dict(Share.objects.values_list("experiment_id", "weight"))
    return Queue(at, own, others, line.slots(), weights)


def _holds(campaigns: Sequence[Campaign], at: datetime) -> dict[int, float | None]:
    """Return for how many seconds campaigns are held; None where nobody knows."""
    found: dict[int, float | None] = {}
    which = Q(scope__in=("everything", "experiment", "campaign")) | Q(scope="service", service__gates="everything")
    for hold in queries.standing_holds().filter(which):
        for campaign in campaigns:
            of_all = hold.scope == "everything" or (hold.scope == "service" and hold.experiment_id is None)
            of_its = hold.scope in ("experiment", "service") and hold.experiment_id == campaign.experiment_id
            whole = of_all or of_its
            if whole or hold.campaign_id == campaign.pk:
                seconds = (hold.until - at).total_seconds() if hold.until else None
                known = found.get(campaign.pk, 0.0)
                found[campaign.pk] = None if seconds is None or known is None else max(seconds, known)
    return found


_WAITING = """
SELECT b.stage_id, sum(s.n_jobs)::bigint, extract(epoch FROM clock_timestamp() - min(s.created_at))::float8 / 3600
FROM submissions_submission s JOIN submissions_batch b ON b.id = s.batch_id
WHERE s.campaign_id = ANY(%(campaigns)s) AND s.state = 'pending' GROUP BY 1
"""
_IDLE = f"""
SELECT b.stage_id, sum(greatest(s.n_jobs - coalesce(k.n, 0), 0))::bigint
FROM submissions_submission s JOIN submissions_batch b ON b.id = s.batch_id
LEFT JOIN LATERAL (SELECT sum(n) AS n FROM submissions_jobcount c
                   WHERE c.submission_id = s.id AND c.state_code <> %(idle)s) k ON true
WHERE s.campaign_id = ANY(%(campaigns)s) AND s.state IN {IN_BATCH_SYSTEM} GROUP BY 1
"""  # noqa: S608 - constant words
_RUNNING = f"""
SELECT b.stage_id, sum(c.n)::bigint
FROM submissions_submission s JOIN submissions_batch b ON b.id = s.batch_id
JOIN submissions_jobcount c ON c.submission_id = s.id AND c.state_code = ANY(%(started)s)
WHERE s.campaign_id = ANY(%(campaigns)s) AND s.state IN {IN_BATCH_SYSTEM} GROUP BY 1 HAVING sum(c.n) > 0
"""  # noqa: S608 - constant words
# For how long jobs have run: where a stage has many, some of them from here and there say it for all.
_AGES = f"""
SELECT st.id, a.age FROM unnest(%(stages)s::bigint[]) AS st(id) CROSS JOIN LATERAL (
    SELECT extract(epoch FROM clock_timestamp() - j.started_at)::float8 AS age
    FROM (SELECT s.id FROM submissions_submission s JOIN submissions_batch b ON b.id = s.batch_id
          WHERE b.stage_id = st.id AND s.state IN {IN_BATCH_SYSTEM} ORDER BY hashint8(s.id) LIMIT %(some)s) s
    JOIN submissions_job j ON j.submission_id = s.id
    WHERE j.ended_at IS NULL AND j.started_at IS NOT NULL AND j.state_code = ANY(%(started)s)
    LIMIT %(of_a_stage)s) a
ORDER BY 1, 2
"""  # noqa: S608 - constant words
# Of a stage the latest jobs: its own history is long, and how it went last says most. Counters say where some are.
_OF_STAGES = """
SELECT st.id, count(*), avg(j.seconds), coalesce(stddev_samp(j.seconds), 0)
FROM unnest(%(stages)s::bigint[]) AS st(id) CROSS JOIN LATERAL (
    SELECT extract(epoch FROM j.ended_at - j.started_at)::float8 AS seconds
    FROM (SELECT *, sum(n_jobs) OVER (ORDER BY batch_id DESC, id DESC) - n_jobs AS before FROM (
              SELECT s.id, s.n_jobs, b.id AS batch_id
              FROM submissions_batch b JOIN submissions_submission s ON s.batch_id = b.id
              JOIN submissions_jobcount c ON c.submission_id = s.id AND c.state_code = %(succeeded)s AND c.n > 0
              WHERE b.stage_id = st.id ORDER BY b.id DESC LIMIT %(of_a_stage)s) latest) s
    JOIN submissions_job j ON j.submission_id = s.id
    WHERE s.before < %(looked_at)s AND j.state_code = %(succeeded)s AND j.started_at IS NOT NULL
    ORDER BY s.batch_id DESC LIMIT %(of_a_stage)s) j
GROUP BY 1
"""
_OF_TYPES = """
SELECT j.experiment_id, v.job_type, count(*), avg(j.seconds), coalesce(stddev_samp(j.seconds), 0)
FROM (SELECT experiment_id, submission_id, state_code, extract(epoch FROM ended_at - started_at)::float8 AS seconds
      FROM submissions_job ORDER BY id DESC LIMIT %(of_types)s) j
JOIN submissions_submission s ON s.id = j.submission_id JOIN submissions_batch b ON b.id = s.batch_id
JOIN campaigns_stageversion v ON v.id = b.version_id
WHERE j.state_code = %(succeeded)s AND j.seconds IS NOT NULL GROUP BY 1, 2
"""


class _Facts:
    """What is known of all campaigns that want slots, asked in a fixed number of statements."""

    def __init__(self, campaigns: Sequence[Campaign]) -> None:
        revisions = [campaign.revision_id for campaign in campaigns if campaign.revision_id]
        self.versions: dict[int, list[StageVersion]] = defaultdict(list)
        versions = StageVersion.objects.filter(revision_id__in=revisions).select_related("stage").order_by("position")
        for version in versions.defer("parameters", "launch_script", "setup"):
            self.versions[version.revision_id].append(version)
        self.edges: dict[int, list[EdgeVersion]] = defaultdict(list)
        for edge in EdgeVersion.objects.filter(revision_id__in=revisions).select_related("edge"):
            self.edges[edge.revision_id].append(edge)
        stages = [version.stage for of_one in self.versions.values() for version in of_one]
        self.progress = queries.progress_of(stages)
        rows = Request.objects.filter(Q(campaign__in=campaigns)).order_by("pk")
        self.requests = {row.campaign_id: row for row in rows.only("campaign", "hours_per_file", "production_stage")}
        asked: dict[str, Any] = {
            "campaigns": [campaign.pk for campaign in campaigns], "stages": [stage.pk for stage in stages],
            "idle": JOB_RANK["idle"], "succeeded": JOB_RANK["succeeded"],
            "started": [JOB_RANK[state] for state in JOB_STARTED], "of_a_stage": OF_A_STAGE, "of_types": OF_JOB_TYPES,
            "some": SOME, "looked_at": LOOKED_AT,
        }  # fmt: skip
        self.waiting = {stage: (jobs, hours) for stage, jobs, hours in _ask(_WAITING, asked)}
        self.idle = dict(_ask(_IDLE, asked))
        ages: dict[int, list[float]] = defaultdict(list)
        for stage_id, age in _ask(_AGES, asked):
            ages[stage_id].append(age)
        self.running = {stage: (n, tuple(ages[stage])) for stage, n in _ask(_RUNNING, asked) if ages[stage]}
        self.of_stages = {row[0]: row[1:] for row in _ask(_OF_STAGES, asked)}
        self.of_types = {(row[0], row[1]): row[2:] for row in _ask(_OF_TYPES, asked)}

    def works(self, campaign: Campaign) -> tuple[list[Work], str]:
        """Return what is left of each stage, and on what the least known of their times rests."""
        versions = self.versions[campaign.revision_id or 0]
        feeds = self._feeds(campaign.revision_id or 0, versions)
        expected = self._expected(versions, feeds)
        works, worst = [], "stage"
        for version in versions:
            work, source = self._work(campaign, version, expected[version.stage.name], feeds[version.stage.name])
            works.append(work)
            if work.left and list(SOURCES).index(source) > list(SOURCES).index(worst):
                worst = source
        return works, worst

    def _work(
        self, campaign: Campaign, version: StageVersion, expected: int, feeds: dict[str, float]
    ) -> tuple[Work, str]:
        known = self._measured(campaign, version, expected)
        at_once = 1 if version.type == "generator" else version.files_per_job
        progress = self.progress[version.stage_id]
        waiting, hours = self.waiting.get(version.stage_id, (0, 0.0))
        idle, (runs, running) = self.idle.get(version.stage_id, 0), self.running.get(version.stage_id, (0, ()))
        over = progress["done"] + progress["failed"]
        done = -(-over // at_once)
        later = -(-expected // at_once) - done - waiting - idle - runs
        if version.stage.completed_at is not None:
            waiting = idle = later = runs = 0
            running = ()
        work = Work(
            version.stage.name, known.seconds, known.spread, known.doubt, waiting=waiting, hours=hours, idle=idle,
            running=running, runs=runs, later=max(0, later), done=done, feeds=tuple(feeds.items()),
            system=version.batch,
        )  # fmt: skip
        return work, known.source

    def _feeds(self, revision: int, versions: Sequence[StageVersion]) -> dict[str, dict[str, float]]:
        """Return for each stage from which others it is fed, and which share of those opens its gate."""
        names = {version.stage_id: version.stage.name for version in versions}
        found: dict[str, dict[str, float]] = {name: {} for name in names.values()}
        for edge in self.edges[revision]:
            up, down = names.get(edge.edge.upstream_id), names.get(edge.edge.downstream_id)
            if up and down and up != down:
                share = {"all": 1.0, "each": 0.0}.get(edge.gate)
                found[down][up] = int(edge.gate.rstrip("%")) / 100 if share is None else share
        return found

    def _expected(self, versions: Sequence[StageVersion], feeds: Mapping[str, Mapping[str, float]]) -> dict[str, int]:
        """Return how many inputs each stage will have in the end."""
        units, done = {}, {}
        for version in versions:
            progress = self.progress[version.stage_id]
            count = progress["units"]
            if not count and version.type == "generator" and version.events:
                count = -(-version.events // (version.events_per_job or version.events))
            units[version.stage.name] = max(count, 0 if feeds[version.stage.name] else 1)
            done[version.stage.name] = progress["done"]
        passed = [
            (up, down, -(-units[down] // len(feeds[down])))
            for down in units for up in feeds[down]
        ]  # fmt: skip
        return expected_units(units, passed, done)

    def _measured(self, campaign: Campaign, version: StageVersion, expected: int) -> Measured:
        own = self.of_stages.get(version.stage_id)
        if own and own[0] >= FEWEST and own[1] > 0:
            return _as_measured(own, 0.03, "stage")
        like = self.of_types.get((campaign.experiment_id, version.job_type))
        if like and like[0] >= FEWEST and like[1] > 0:
            return _as_measured(like, 0.3, "job type")
        asked = self.requests.get(campaign.pk)
        if asked and asked.hours_per_file:
            at_once = 1 if version.type == "generator" else max(1, min(version.files_per_job, expected))
            return Measured(max(0.1, asked.hours_per_file * 3600 * at_once), 0.2, 0.3, "request")
        return Measured(version.wall_s / 2, 0.3, 0.6, "definition")


def _as_measured(row: Sequence[Any], doubt: float, source: str) -> Measured:
    count, mean, deviation = row
    spread = min(1.5, deviation / mean)
    return Measured(mean, max(0.02, spread), doubt + spread / count**0.5, source)


def _ask(statement: str, asked: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, asked)
        return list(cursor.fetchall())
