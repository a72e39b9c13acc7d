"""The time line of a run: jobs in each state over time, summed in the database, and a bar for each submission."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import connection

from campaigns.models import Campaign
from core.clock import now
from poms_site.overview import charts
from poms_site.overview.charts import Tick, Window
from poms_site.overview.run_facts import Attempt, BatchFacts
from poms_site.overview.run_failures import Failure
from poms_site.overview.words import duration, memory, words

BUCKETS = 240
LANES = 60
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

# Clocks of batch systems may be off; the day before keeps what they say, and still prunes old partitions.
_CHANGES = """
WITH mine AS (
    SELECT j.id FROM submissions_job j
    JOIN submissions_submission s ON s.id = j.submission_id
    JOIN submissions_batch b ON b.id = s.batch_id
    JOIN campaigns_stage st ON st.id = b.stage_id
    WHERE st.campaign_id = %(campaign)s
)
SELECT least(greatest(floor(extract(epoch FROM t.at - %(begin)s) / %(step)s), 0), %(last)s)::int AS bucket,
       t.source, t.target, count(*)
FROM core_transition t JOIN mine ON mine.id = t.thing_id
WHERE t.kind = 'job' AND t.at >= %(begin)s - interval '1 day'
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


def window_of(campaign: Campaign) -> Window | None:
    """Return from when to when the campaign ran, or None if it has not begun."""
    if campaign.started_at is None:
        return None
    return Window(campaign.started_at, max(campaign.ended_at or now(), campaign.started_at))


def timeline_of(
    campaign: Campaign, batches: Sequence[BatchFacts], total: int, failures: Iterable[Failure]
) -> Timeline | None:
    """Return the time line of the campaign, or None if it has not begun."""
    window = window_of(campaign)
    if window is None:
        return None
    number, step = charts.buckets(window, BUCKETS)
    bands, top = _bands(campaign, window, number, step)
    return Timeline(
        window, charts.time_ticks(window), charts.day_of(window), bands, charts.count_ticks(top), number,
        duration(step.total_seconds()), _lanes(window, batches, failures), total,
    )  # fmt: skip


def _bands(campaign: Campaign, window: Window, number: int, step: timedelta) -> tuple[list[Band], int]:
    group_of = {state: key for key, states, _ in GROUPS for state in states}
    changes = {key: [0] * number for key, *_ in GROUPS}
    with connection.cursor() as cursor:
        cursor.execute(
            _CHANGES,
            {"campaign": campaign.pk, "begin": window.begin, "step": step.total_seconds(), "last": number - 1},
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


def _lanes(window: Window, batches: Sequence[BatchFacts], failures: Iterable[Failure]) -> list[Lane]:
    """Return a lane for each batch, at most LANES: those with several attempts first, in the batches' order."""
    chosen = sorted(range(len(batches)), key=lambda n: (-len(batches[n].attempts), n))[:LANES]
    crosses: dict[int, list[Tick]] = {}
    for failure in failures:
        for job in failure.examples:
            crosses.setdefault(job.batch_id, []).append(Tick(window.share(job.at), f"{job.ref}: {failure.title}"))
    return [
        Lane(
            batches[n].row.stage.name, batches[n].row.number, batches[n].row.state,
            [_bar(window, attempt) for attempt in batches[n].attempts], crosses.get(batches[n].row.pk, []),
        )
        for n in sorted(chosen)
    ]  # fmt: skip


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
