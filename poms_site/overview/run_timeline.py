"""The time line of a run: jobs in each state over time, summed in the database, and a bar for each submission."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import connection

from campaigns.models import Campaign
from core.clock import now
from poms_site.overview import charts, outages
from poms_site.overview.charts import Tick, Window
from poms_site.overview.run_batches import Attempt, BatchFacts
from poms_site.overview.words import duration, memory, words
from submissions.models import EveryJob
from submissions.states import JOB_RANK

BUCKETS = 240
LANES = 60
CROSSES = 1000
# From the bottom of the picture to its top: key, states, words.
GROUPS = (
    ("done", ("succeeded",), "succeeded"),
    ("failed", ("failed", "lost"), "failed"),
    ("ended", ("removed",), "removed"),
    ("staging", ("staging_in", "staging_out"), "staging"),
    ("moving", ("processing",), "processing"),
    ("person", ("held", "suspended"), "held"),
    ("wait", ("idle",), "idle"),
)

# Clocks of batch systems may be off; the day before keeps what they say, and still prunes old partitions. By the
# LATERAL each job's steps are looked up by index: a small campaign must not read the whole ledger. Archived jobs have
# theirs with them.
_CHANGES = """
WITH mine AS (
    SELECT j.id, j.archived, j.history FROM submissions_everyjob j
    JOIN submissions_submission s ON s.id = j.submission_id
    JOIN submissions_batch b ON b.id = s.batch_id
    JOIN campaigns_stage st ON st.id = b.stage_id
    WHERE st.campaign_id = %(campaign)s AND (%(stage)s::bigint IS NULL OR st.id = %(stage)s)
)
SELECT least(greatest(floor(extract(epoch FROM t.at - %(begin)s) / %(step)s), 0), %(last)s)::int AS bucket,
       t.source, t.target, count(*)
FROM mine CROSS JOIN LATERAL (
    SELECT at, source, target FROM core_transition
    WHERE kind = 'job' AND thing_id = mine.id AND at >= %(begin)s - interval '1 day' AND NOT mine.archived OFFSET 0
) t
GROUP BY 1, 2, 3
UNION ALL
SELECT least(greatest(floor(extract(epoch FROM (step ->> 0)::timestamptz - %(begin)s) / %(step)s), 0), %(last)s)::int,
       step ->> 1, step ->> 2, count(*)
FROM mine CROSS JOIN LATERAL jsonb_array_elements(mine.history) step WHERE mine.archived
GROUP BY 1, 2, 3
"""


@dataclass(frozen=True)
class Band:
    """One group of states in the picture: its path, and how many jobs it had at most and has at the end."""

    key: str
    words: str
    path: str
    most: int
    last: int


@dataclass(frozen=True)
class Bar:
    """One submission in its batch's lane; positions in percent."""

    look: str
    x: float
    width: float
    busy_x: float
    busy_width: float
    again: bool
    label: str
    text: str


@dataclass(frozen=True)
class Lane:
    """One batch: its bars, and where jobs of it failed."""

    stage: str
    number: int
    state: str
    bars: list[Bar]
    crosses: list[Tick]


@dataclass(frozen=True)
class Timeline:
    """The whole picture over one window of time."""

    window: Window
    ticks: list[Tick]
    day: str
    bands: list[Band]
    levels: list[tuple[float, int]]
    buckets: int
    step: str
    lanes: list[Lane]
    lanes_total: int
    shades: Sequence[outages.Stretch] = ()


def window_of(campaign: Campaign) -> Window | None:
    """Return from when to when the campaign ran, or None if it has not begun."""
    if campaign.started_at is None:
        return None
    return Window(campaign.started_at, max(campaign.ended_at or now(), campaign.started_at))


def timeline_of(
    campaign: Campaign, batches: Sequence[BatchFacts], total: int, *, stage_id: int | None = None
) -> Timeline | None:
    """Return the time line of the campaign or of one of its stages, or None if it has not begun."""
    window = window_of(campaign)
    if window is None:
        return None
    number, step = charts.buckets(window, BUCKETS)
    bands, top = _bands(campaign, window, number, step, stage_id)
    return Timeline(
        window, charts.time_ticks(window), charts.day_of(window), bands, charts.count_ticks(top), number,
        duration(step.total_seconds()), _lanes(window, batches), total,
        outages.shades(outages.services_during(outages.watched(campaign.experiment), window)),
    )  # fmt: skip


def _bands(
    campaign: Campaign, window: Window, number: int, step: timedelta, stage_id: int | None
) -> tuple[list[Band], int]:
    group_of = {state: key for key, states, _ in GROUPS for state in states}
    changes = {key: [0] * number for key, *_ in GROUPS}
    with connection.cursor() as cursor:
        cursor.execute(
            _CHANGES,
            {
                "campaign": campaign.pk,
                "stage": stage_id,
                "begin": window.begin,
                "step": step.total_seconds(),
                "last": number - 1,
            },
        )
        for bucket, source, target, count in cursor.fetchall():
            changes[group_of[target]][bucket] += count
            if source:
                changes[group_of[source]][bucket] -= count
    levels = {key: charts.levels(steps) for key, steps in changes.items()}
    top = max((sum(column) for column in zip(*levels.values(), strict=True)), default=0)
    paths = charts.stacked(list(levels.values()), top)
    return [
        Band(key, text, path, max(levels[key]), levels[key][-1])
        for (key, _, text), path in zip(GROUPS, paths, strict=True)
    ], top


def _lanes(window: Window, batches: Sequence[BatchFacts]) -> list[Lane]:
    """Return a lane for each batch, at most LANES: those with most attempts, the others evenly spread."""
    worst = sorted(range(len(batches)), key=lambda n: -len(batches[n].attempts))
    again = [n for n in worst if len(batches[n].attempts) > 1][:LANES]
    rest = sorted(set(range(len(batches))) - set(again))
    room = min(LANES - len(again), len(rest))
    spread = [rest[place * len(rest) // room] for place in range(room)]
    chosen = [batches[n] for n in sorted(again + spread)]
    crosses = _crosses(window, [batch.row.pk for batch in chosen])
    return [
        Lane(
            batch.row.stage.name, batch.row.number, batch.row.state,
            [_bar(window, attempt) for attempt in batch.attempts], crosses.get(batch.row.pk, []),
        )
        for batch in chosen
    ]  # fmt: skip


def _crosses(window: Window, batch_ids: Sequence[int]) -> dict[int, list[Tick]]:
    """Return where in each batch's lane jobs failed or were lost, at most CROSSES in all."""
    found: dict[int, list[Tick]] = defaultdict(list)
    jobs = EveryJob.objects.filter(
        submission__batch_id__in=batch_ids, state_code__in=[JOB_RANK["failed"], JOB_RANK["lost"]]
    ).order_by("pk")
    for batch_id, at, external_id, code, exit_code in jobs.values_list(
        "submission__batch_id", "event_at", "external_id", "code", "exit_code"
    )[:CROSSES]:
        how = code if exit_code is None else f"{code} {exit_code}"
        found[batch_id].append(Tick(window.share(at), f"{external_id}: {how}".rstrip(": ")))
    return found


_BAR_LOOKS = {
    "completed": "done", "failed": "failed", "launch_failed": "failed", "removed": "ended", "unsure": "person",
    "pending": "wait",
}  # fmt: skip


def _bar(window: Window, attempt: Attempt) -> Bar:
    row = attempt.row
    end = row.ended_at or window.end
    x, until = window.share(row.created_at), window.share(end)
    busy = _share_of_jobs(window, attempt, end)
    spent = duration((end - row.created_at).total_seconds())
    text = f"{row.ref}: {words(row.kind)}{f' {row.round}' if row.round else ''}, {words(row.state)}, {spent}"
    text += f", {memory(row.memory_mb)} a job" + "".join(f"; {reason}" for reason in attempt.reasons[-1:])
    label = f"{row.kind} {row.round}" if row.kind != "first" else ""
    return Bar(
        _BAR_LOOKS.get(row.state, "moving"), x, max(0.25, round(until - x, 2)), *busy, row.kind != "first", label, text
    )


def _share_of_jobs(window: Window, attempt: Attempt, end: datetime) -> tuple[float, float]:
    """Return where in the bar its jobs ran, from the first start to the last end: place and width."""
    begin = attempt.first_start or attempt.last_end
    if begin is None:
        return 0.0, 0.0
    running = any(state in attempt.jobs for state in ("staging_in", "processing", "staging_out"))
    last = end if running or attempt.last_end is None else attempt.last_end
    x = window.share(begin)
    return x, max(0.25, round(window.share(last) - x, 2))
