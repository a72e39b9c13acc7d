"""An experiment's jobs in each state over time, from samples: a day or two years cost the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import connection

from core.clock import now
from experiments.models import Experiment
from poms_site.overview import charts, outages
from poms_site.overview.charts import Tick, Window
from poms_site.overview.run_timeline import Band
from poms_site.overview.words import duration

BUCKETS = 240
SPANS = {"day": timedelta(days=1), "week": timedelta(days=7), "month": timedelta(days=30), "year": timedelta(days=365)}
# From the bottom of the picture to its top: key, field of a sample, words.
GROUPS = (
    ("staging", "staging", "staging"), ("moving", "processing", "processing"), ("person", "held", "held"),
    ("wait", "idle", "idle"),
)  # fmt: skip

_LAST_OF_EACH = """
SELECT DISTINCT ON (bucket) bucket, idle, staging, processing, held FROM (
    SELECT greatest(0, least(floor(extract(epoch FROM at - %(begin)s) / %(step)s), %(last)s))::int AS bucket,
           at, idle, staging, processing, held
    FROM submissions_jobsample
    WHERE experiment_id = %(experiment)s AND at < %(end)s AND at >= coalesce((
        SELECT max(at) FROM submissions_jobsample WHERE experiment_id = %(experiment)s AND at <= %(begin)s), %(begin)s)
) s ORDER BY bucket, at DESC
"""


@dataclass(frozen=True)
class OverTime:
    """The picture; each step shows the last sample in it, or the one before where there is none."""

    span: str
    window: Window
    ticks: Sequence[Tick]
    day: str
    bands: Sequence[Band]
    levels: Sequence[tuple[float, int]]
    buckets: int
    step: str
    shades: Sequence[outages.Stretch]
    samples: Sequence[tuple[datetime, dict[str, int]]]


def over_time(experiment: Experiment, span: str, services: Any) -> OverTime:
    """Return the picture of a span that ends now; outages of the services are shaded in it."""
    end = now()
    window = Window(end - SPANS[span], end)
    step = timedelta(seconds=window.seconds / BUCKETS)
    series = _series(experiment, window, step)
    top = max((sum(column) for column in zip(*series.values(), strict=True)), default=0)
    paths = charts.stacked([series[field] for _, field, _ in GROUPS], top)
    bands = [
        Band(key, text, path, max(series[field]), series[field][-1])
        for (key, field, text), path in zip(GROUPS, paths, strict=True)
    ]
    samples = [
        (window.begin + step * (place + 1), {field: values[place] for field, values in series.items()})
        for place in range(BUCKETS)
    ]
    return OverTime(
        span, window, charts.time_ticks(window), charts.day_of(window), bands, charts.count_ticks(top), BUCKETS,
        duration(step.total_seconds()), outages.shades(outages.services_during(services, window)), samples,
    )  # fmt: skip


def _series(experiment: Experiment, window: Window, step: timedelta) -> dict[str, list[int]]:
    fields = ("idle", "staging", "processing", "held")
    with connection.cursor() as cursor:
        cursor.execute(
            _LAST_OF_EACH,
            {"experiment": experiment.pk, "begin": window.begin, "end": window.end, "step": step.total_seconds(),
             "last": BUCKETS - 1},
        )  # fmt: skip
        told = {bucket: values for bucket, *values in cursor.fetchall()}
    series: dict[str, list[int]] = {field: [] for field in fields}
    values = [0] * len(fields)
    for bucket in range(BUCKETS):
        values = told.get(bucket, values)
        for field, value in zip(fields, values, strict=True):
            series[field].append(value)
    return series
