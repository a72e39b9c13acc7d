"""Units come to be: event ranges of a generator, files of a slice, accepted outputs of a parent."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection
from django.db.models import Exists, F, OuterRef

from campaigns import queries
from campaigns.definition import PASSES_ON
from campaigns.models import EdgeVersion, StageVersion
from core import bulk
from core.clock import now
from integrations import registry
from integrations.catalogue.base import FileSeen
from integrations.catalogue.patterns import is_query
from submissions.models import Output, PlanDue, Slice, Snapshot, StageProgress, Unit

LARGEST_SEED = 900_000_000  # of Pythia, the smallest range among the generators in use
COLUMNS = ("experiment_id", "stage_id", "pass_number", "key", "file_name", "path", "first_event", "events", "seed")


def seed_for(base: int, stage: str, first_event: int) -> int:
    """Return the seed of an event range: from the stage's seed and the range alone, so that it can be made again.

    Two ranges of a stage never share a seed, as long as it has no more events than there are seeds.
    """
    digest = hashlib.sha256(f"{base}/{stage}".encode()).digest()
    return (int.from_bytes(digest[:8], "big") + first_event) % LARGEST_SEED + 1


def number_events(version: StageVersion) -> int:
    """Cut a generator's events into numbered ranges with their seeds; return how many units that makes."""
    step = version.events_per_job or version.events
    ranges = [(first, min(step, version.events - first)) for first in range(0, version.events, step)]
    stage, experiment = version.stage, version.stage.campaign.experiment_id
    rows = [
        (experiment, stage.pk, stage.pass_number, f"events:{first}", "", "", first, count,
         seed_for(version.seed, stage.name, first))
        for first, count in ranges
    ]  # fmt: skip
    bulk.copy_rows("submissions_unit", COLUMNS, rows)
    digest = hashlib.sha256("\n".join(str(row[3]) for row in rows).encode()).hexdigest()
    Snapshot.objects.create(
        stage=stage, pass_number=stage.pass_number, dataset=f"events({version.events})", units=len(rows), digest=digest
    )
    StageProgress.objects.filter(stage=stage, pass_number=stage.pass_number).update(
        units=F("units") + len(rows), closed=True
    )
    return len(rows)


def sketch(version: StageVersion, part: Slice) -> list[Unit]:
    """Return the inputs of a slice as units that are not saved: what `take` would make of them."""
    units = []
    for line in part.inputs.split("\n"):
        key, path, events, _ = line.split("\t")
        name = key.removeprefix("file:") if key.startswith("file:") else ""
        count = None if events == "\\N" else int(events)
        units.append(Unit(stage=version.stage, key=key, file_name=name, path=path, events=count))
    return units


def take(version: StageVersion, part: Slice) -> list[Unit]:
    """Make the inputs of a slice units, and say that it is taken; return those that no unit of the stage was before.

    The key of a unit decides: an input that came another way already is not done twice, and counted once.
    """
    stage = version.stage
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO submissions_unit (experiment_id, stage_id, pass_number, key, file_name, path, events, size)
            SELECT %(experiment)s, %(stage)s, %(pass)s, f[1],
                   CASE WHEN f[1] LIKE 'file:%%' THEN substr(f[1], 6) ELSE '' END, f[2],
                   nullif(f[3], '\\N')::bigint, nullif(f[4], '\\N')::bigint
            FROM (SELECT string_to_array(line, E'\t') AS f, n
                  FROM unnest(string_to_array(%(inputs)s, E'\n')) WITH ORDINALITY l (line, n)) lines
            ORDER BY n
            ON CONFLICT DO NOTHING
            RETURNING id
            """,
            {"experiment": stage.campaign.experiment_id, "stage": stage.pk, "pass": stage.pass_number,
             "inputs": part.inputs},
        )  # fmt: skip
        fresh = [row[0] for row in cursor.fetchall()]
    Slice.objects.filter(pk=part.pk).update(taken_at=now())
    if len(fresh) < part.units:
        StageProgress.objects.filter(stage=stage, pass_number=stage.pass_number).update(
            units=F("units") - (part.units - len(fresh))
        )
    return list(Unit.objects.filter(pk__in=fresh).order_by("pk"))


def take_in(
    version: StageVersion, files: Sequence[FileSeen], traits: Sequence[dict[str, Any]], *, since: datetime
) -> int:  # fmt: skip
    """Make the files that are not inputs of the stage yet its inputs, in the caller's transaction; return how many.

    `traits` is what the stage's split goes by of each. A file counts as arrived when the catalogue says that it was
    there, but not before `since`, nor later than now.
    """
    at = now()
    arrived = [min(at, max(since, seen.taken_at or at)) for seen in files]
    with connection.cursor() as cursor:
        cursor.execute(
            """
            WITH fresh AS (
                INSERT INTO submissions_unit (experiment_id, stage_id, pass_number, key, file_name, path, events, size,
                                              traits, arrived_at)
                SELECT %(experiment)s, %(stage)s, %(pass)s, 'file:' || name, name, path, events, size, traits, arrived
                FROM unnest(%(names)s::text[], %(paths)s::text[], %(events)s::bigint[], %(sizes)s::bigint[],
                            %(traits)s::jsonb[], %(arrived)s::timestamptz[])
                     AS f(name, path, events, size, traits, arrived)
                ORDER BY arrived, name
                ON CONFLICT DO NOTHING
                RETURNING 1
            ), counted AS (
                INSERT INTO submissions_stageprogress (stage_id, pass_number, units, taken, done, events_done, closed)
                SELECT %(stage)s, %(pass)s, count(*), 0, 0, 0, false FROM fresh
                ON CONFLICT (stage_id, pass_number)
                DO UPDATE SET units = submissions_stageprogress.units + excluded.units
            )
            SELECT count(*) FROM fresh
            """,
            {"experiment": version.revision.campaign.experiment_id, "stage": version.stage_id,
             "pass": version.stage.pass_number, "names": [seen.name for seen in files],
             "paths": [seen.path for seen in files], "events": [seen.events for seen in files],
             "sizes": [seen.size for seen in files], "arrived": arrived,
             "traits": [json.dumps(entry) if entry else None for entry in traits]},
        )  # fmt: skip
        return int(cursor.fetchone()[0])


# What a stage gives to those below it: its outputs, or, where it runs nothing, what has come to it and was passed.
_OUTPUTS = """
    (SELECT stage_id, pass_number, result_id, 'file:' || name AS key, name, path, events, size, id AS output_id, id
     FROM submissions_output)"""
_PASSED = """
    (SELECT p.stage_id, p.pass_number, a.result_id, p.key, p.file_name AS name, p.path, p.events, p.size, p.output_id,
            p.id
     FROM submissions_unit p JOIN submissions_acceptance a ON a.unit_id = p.id)"""
# Of an edge whose filter is a query, the catalogue has said which of the names it lets through.
_FEED = """
    WITH fresh AS (
        INSERT INTO submissions_unit (experiment_id, stage_id, pass_number, key, file_name, path, events, size, edge_id,
                                      output_id)
        SELECT c.experiment_id, d.id, d.pass_number, o.key, o.name, o.path, o.events, o.size, e.id, o.output_id
        FROM {given} o
        JOIN campaigns_stage u ON u.id = o.stage_id AND u.pass_number = o.pass_number
        JOIN campaigns_edge e ON e.upstream_id = u.id AND e.downstream_id <> u.id
        JOIN campaigns_campaign c ON c.id = e.campaign_id
        JOIN campaigns_edgeversion v ON v.edge_id = e.id AND v.revision_id = c.revision_id
        JOIN campaigns_stage d ON d.id = e.downstream_id
        WHERE {which}
          AND CASE WHEN e.id = ANY(%(asked)s)
                   THEN (e.id, o.name) IN (SELECT * FROM unnest(%(edges)s::bigint[], %(names)s::text[]))
                   ELSE EXISTS (SELECT 1 FROM unnest(string_to_array(e.pattern, ',')) p
                                WHERE o.name LIKE trim(p) OR substr(o.name, strpos(o.name, ':') + 1) LIKE trim(p)) END
        ORDER BY o.id {limit}
        ON CONFLICT DO NOTHING
        RETURNING stage_id, pass_number
    ), counted AS (
        INSERT INTO submissions_stageprogress (stage_id, pass_number, units, taken, done, events_done, closed)
        SELECT stage_id, pass_number, sum(units), 0, sum(done), sum(events), false
        FROM (SELECT stage_id, pass_number, 1 AS units, 0 AS done, 0 AS events FROM fresh
              UNION ALL SELECT %(stage)s, %(pass)s, 0, %(done)s, %(events)s WHERE %(done)s > 0) news
        GROUP BY stage_id, pass_number ORDER BY stage_id
        ON CONFLICT (stage_id, pass_number)
        DO UPDATE SET units = submissions_stageprogress.units + excluded.units,
                      done = submissions_stageprogress.done + excluded.done,
                      events_done = submissions_stageprogress.events_done + excluded.events_done
    )
    SELECT stage_id, count(*) FROM fresh GROUP BY stage_id
"""


@dataclass(frozen=True)
class Let:
    """What the catalogue lets through of edges whose filter is a query: which were asked of, and the names of each."""

    asked: tuple[int, ...] = ()
    names: tuple[tuple[int, str], ...] = ()

    def as_parameters(self) -> dict[str, Any]:
        """Return it as the statement has it."""
        edges, names = [edge for edge, _ in self.names], [name for _, name in self.names]
        return {"asked": list(self.asked), "edges": edges, "names": names}


def let_through(upstream_id: int, names: Sequence[str]) -> Let:
    """Ask the catalogues which of a stage's outputs go along the edges from it that have a query for a filter.

    Raises OutsideError where one does not answer: then nobody knows, and nothing goes on.
    """
    edges = queries.edges_from(upstream_id)
    return _asked([(edge, names) for edge in edges if is_query(edge.edge.pattern)]) if names else Let()


def let_into(version: StageVersion) -> Let:
    """Ask the same of all that could come into a stage and has not."""
    edges = [edge for edge in queries.edges_into(version) if is_query(edge.edge.pattern)]
    return _asked([(edge, _not_come(edge, version.stage.pass_number)) for edge in edges])


def _asked(wanted: Sequence[tuple[EdgeVersion, Sequence[str]]]) -> Let:
    let: list[tuple[int, str]] = []
    for edge, names in wanted:
        campaign = edge.revision.campaign
        # The catalogue is that of the stage which made the files.
        made_by = queries.running_version(edge.edge.upstream_id)
        catalogue = registry.catalogue(campaign.experiment, made_by.catalogue if made_by else "")
        if names:
            let += [(edge.edge_id, name) for name in sorted(catalogue.matching(names, edge.edge.pattern))]
    return Let(tuple(edge.edge_id for edge, _ in wanted), tuple(let))


def _not_come(edge: EdgeVersion, pass_number: int) -> list[str]:
    """Return the names of outputs above an edge that are no units below it."""
    upstream = edge.edge.upstream
    come = Unit.objects.filter(edge_id=edge.edge_id, pass_number=pass_number, output=OuterRef("pk"))
    made = Output.objects.filter(stage=upstream, pass_number=upstream.pass_number)
    return list(made.exclude(Exists(come)).values_list("name", flat=True))


def pass_on(
    upstream_id: int, pass_number: int, result_ids: Sequence[int], *, done: int = 0, events: int = 0,
    let: Let | None = None, as_it_came: bool = False,
) -> int:  # fmt: skip
    """Make what accepted results give units of the stages below, each once per edge; return how many.

    By the present revisions of the campaigns below, this one's or another's. A pattern may leave out the namespace of
    names that have one: it is the catalogue's. The stages get a note to be planned.
    `done` units and `events` are added to the stage's own progress in the same statement: rows of several stages are
    locked in one order, so that nobody waits in a circle. `as_it_came`: the stage runs nothing, its inputs go on.
    """
    which = (
        "o.stage_id = %(stage)s AND o.pass_number = %(pass)s AND o.result_id = ANY(%(results)s)"
        " AND NOT (c.test AND u.campaign_id <> c.id)"
    )
    return _feed(
        which, as_it_came=as_it_came, stage=upstream_id, pass_number=pass_number, let=let or Let(), done=done,
        events=events, results=list(result_ids),
    )  # fmt: skip


def catch_up(version: StageVersion, let: Let) -> int:
    """Make all that the stages above a stage have given its units, as far as it is none of them yet; return how many.

    What comes later comes by `pass_on`; this is for what was there before the stage, its pass, or an edge was. A test
    run takes no more from another campaign than of a dataset.
    """
    which = (
        "d.id = %(below)s AND NOT EXISTS (SELECT 1 FROM submissions_unit x WHERE x.edge_id = e.id"
        " AND x.key = o.key AND x.pass_number = d.pass_number)"
    )
    stage, most = version.stage, None
    if version.revision.campaign.test and version.most_files:
        units = Unit.objects.filter(stage=stage, pass_number=stage.pass_number)
        most = max(0, version.most_files - units.count())
    known: dict[str, Any] = {"stage": 0, "pass_number": 0, "let": let, "below": stage.pk, "most": most}
    above = [edge.edge.upstream_id for edge in queries.edges_into(version)]
    passes = StageVersion.objects.filter(stage_id__in=above, type__in=PASSES_ON).exists()
    fresh = _feed(which, as_it_came=False, **known)
    return fresh + (_feed(which, as_it_came=True, **known) if passes else 0)


def _feed(
    which: str, *, as_it_came: bool, stage: int, pass_number: int, let: Let, done: int = 0, events: int = 0,
    most: int | None = None, **more: Any,
) -> int:  # fmt: skip
    """Insert units by a condition, which is a constant of this module."""
    given = f"{_PASSED if as_it_came else _OUTPUTS}"
    if as_it_came:
        which += " AND EXISTS (SELECT 1 FROM submissions_result r WHERE r.id = o.result_id AND r.job = '')"
    statement = _FEED.format(given=given, which=which, limit="" if most is None else "LIMIT %(most)s")
    with connection.cursor() as cursor:
        cursor.execute(
            statement,
            {"stage": stage, "pass": pass_number, "done": done, "events": events, "most": most, **let.as_parameters(),
             **more},
        )  # fmt: skip
        fed = cursor.fetchall()
    PlanDue.objects.bulk_create(PlanDue(stage_id=stage_id) for stage_id, _ in fed)
    return sum(count for _, count in fed)
