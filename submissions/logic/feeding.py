"""Units come to be: event ranges of a generator, files of a frozen dataset, accepted outputs of a parent."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

from django.db import connection
from django.db.models import F

from campaigns.models import StageVersion
from core import bulk
from integrations.catalogue.base import FileSeen
from submissions.models import PlanDue, Snapshot, StageProgress

LARGEST_SEED = 900_000_000  # of Pythia, the smallest range among the generators in use
COLUMNS = (
    "experiment_id",
    "stage_id",
    "pass_number",
    "key",
    "file_name",
    "path",
    "first_event",
    "events",
    "seed",
)


def seed_for(base: int, stage: str, first_event: int) -> int:
    """Return the seed of an event range: from the stage's seed and the range alone, so that it can be made again.

    Two ranges of a stage never share a seed, as long as it has no more events than there are seeds.
    """
    digest = hashlib.sha256(f"{base}/{stage}".encode()).digest()
    return (int.from_bytes(digest[:8], "big") + first_event) % LARGEST_SEED + 1


def number_events(version: StageVersion, pass_number: int) -> int:
    """Cut a generator's events into numbered ranges with their seeds; return how many units that makes."""
    step = version.events_per_job or version.events
    ranges = [(first, min(step, version.events - first)) for first in range(0, version.events, step)]
    stage, experiment = version.stage, version.stage.campaign.experiment_id
    rows = [
        (experiment, stage.pk, pass_number, f"events:{first}", "", "", first, count,
         seed_for(version.seed, stage.name, first))
        for first, count in ranges
    ]  # fmt: skip
    return _freeze(version, pass_number, rows, f"events({version.events})")


def freeze_files(version: StageVersion, pass_number: int, files: Iterable[FileSeen]) -> int:
    """Make the files of a dataset, as they are now, the units of a stage; return how many."""
    stage, experiment = version.stage, version.stage.campaign.experiment_id
    rows = [
        (
            experiment,
            stage.pk,
            pass_number,
            f"file:{seen.name}",
            seen.name,
            seen.path,
            None,
            seen.events,
            None,
        )
        for seen in files
    ]
    return _freeze(version, pass_number, rows, version.dataset)


def _freeze(version: StageVersion, pass_number: int, rows: Sequence[tuple[object, ...]], dataset: str) -> int:
    bulk.copy_rows("submissions_unit", COLUMNS, rows)
    digest = hashlib.sha256("\n".join(str(row[3]) for row in rows).encode()).hexdigest()
    Snapshot.objects.create(
        stage=version.stage, pass_number=pass_number, dataset=dataset, units=len(rows), digest=digest
    )
    StageProgress.objects.filter(stage=version.stage, pass_number=pass_number).update(
        units=F("units") + len(rows), closed=True
    )
    return len(rows)


def pass_on(
    revision_id: int, upstream_id: int, pass_number: int, result_ids: Sequence[int], *,
    done: int = 0, events: int = 0,
) -> int:  # fmt: skip
    """Make the outputs of accepted results units of the stages below, each once per edge; return how many.

    The downstream stages get a note to be planned. `done` units and `events` are added to the stage's own progress
    in the same statement: rows of several stages are locked in one order, so that nobody waits in a circle.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            """
            WITH fresh AS (
                INSERT INTO submissions_unit (experiment_id, stage_id, pass_number, key, file_name, path, events,
                                              edge_id, output_id)
                SELECT o.experiment_id, e.downstream_id, o.pass_number, 'file:' || o.name, o.name, o.path, o.events,
                       e.id, o.id
                FROM submissions_output o
                JOIN campaigns_edge e ON e.upstream_id = o.stage_id
                JOIN campaigns_edgeversion v ON v.edge_id = e.id AND v.revision_id = %(revision)s
                WHERE o.stage_id = %(stage)s AND o.pass_number = %(pass)s
                  AND o.result_id = ANY(%(results)s)
                  AND EXISTS (SELECT 1 FROM unnest(string_to_array(e.pattern, ',')) p WHERE o.name LIKE trim(p))
                ORDER BY o.id
                ON CONFLICT DO NOTHING
                RETURNING stage_id
            ), counted AS (
                INSERT INTO submissions_stageprogress (stage_id, pass_number, units, taken, done, events_done, closed)
                SELECT stage_id, %(pass)s, sum(units), 0, sum(done), sum(events), false
                FROM (SELECT stage_id, 1 AS units, 0 AS done, 0 AS events FROM fresh
                      UNION ALL SELECT %(stage)s, 0, %(done)s, %(events)s WHERE %(done)s > 0) news
                GROUP BY stage_id ORDER BY stage_id
                ON CONFLICT (stage_id, pass_number)
                DO UPDATE SET units = submissions_stageprogress.units + excluded.units,
                              done = submissions_stageprogress.done + excluded.done,
                              events_done = submissions_stageprogress.events_done + excluded.events_done
            )
            SELECT stage_id, count(*) FROM fresh GROUP BY stage_id
            """,
            {"revision": revision_id, "stage": upstream_id, "pass": pass_number, "done": done, "events": events,
             "results": list(result_ids)},
        )  # fmt: skip
        fed = cursor.fetchall()
    PlanDue.objects.bulk_create(PlanDue(stage_id=stage_id) for stage_id, _ in fed)
    return sum(count for _, count in fed)
