"""The state engine: the only way in which a thing changes its state."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from typing import Any

from django.db import connection, models, transaction

from core.clock import now
from core.errors import StaleState
from core.redaction import redacted
from core.states import StateTable

MOVE = """
WITH old AS MATERIALIZED (
    SELECT id, state FROM {table} WHERE id = %(id)s FOR NO KEY UPDATE
), moved AS (
    UPDATE {table} t SET state = %(to)s, state_since = %(at)s FROM old
    WHERE t.id = old.id AND old.state = ANY(%(expected)s) RETURNING old.id, old.state
), written AS (
    INSERT INTO core_transition (kind, thing_id, experiment_id, source, target, verb, actor, reason)
    SELECT %(kind)s, id, %(experiment)s, state, %(to)s, %(verbs)s::jsonb ->> state, %(actor)s, %(reason)s FROM moved
)
SELECT state, EXISTS (SELECT 1 FROM moved) FROM old
"""


def move(
    thing: Any, to: str, *, expect: str | Iterable[str], actor: str, reason: str, verb: str = "", **also: Any
) -> None:
    """Move one thing to a state and write the transition, both or neither (M8).

    The row is updated only while it is still in one of the expected states; otherwise StaleState is raised
    and nothing changes. `also` names further fields to set in the same update.
    """
    expected = (expect,) if isinstance(expect, str) else tuple(expect)
    table: StateTable = thing.STATES
    verbs = {}
    for source in expected:
        step = table.move(source, to)
        if step is None:
            raise ValueError(f"{table.kind}: no move from {source} to {to}")
        verbs[source] = verb or step.verb
    at = now()
    # The statement is whole by itself; a transaction is opened only where a second one follows it.
    with nullcontext() if connection.in_atomic_block else transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute(
                MOVE.format(table=connection.ops.quote_name(type(thing)._meta.db_table)),
                {"id": thing.pk, "to": to, "at": at, "expected": list(expected), "kind": table.kind, "actor": actor,
                 "experiment": getattr(thing, "experiment_id", None), "reason": redacted(reason),
                 "verbs": json.dumps(verbs)},
            )  # fmt: skip
            found, moved = cursor.fetchone() or (None, False)
        if not moved:
            raise StaleState(
                f"This {table.kind} is {str(found).replace('_', ' ')}, not {' or '.join(expected).replace('_', ' ')};"
                " nothing was changed. Look again and decide anew."
            )
        if also:
            type(thing)._base_manager.filter(pk=thing.pk).update(**also)
    thing.state, thing.state_since = to, at
    for name, value in also.items():
        setattr(thing, name, value)


def created(thing: Any, *, actor: str, reason: str) -> None:
    """Write the transition by which a thing came to be."""
    record(
        [(thing.pk, "")],
        thing.STATES.kind,
        thing.state,
        experiment_id=thing.experiment_id,
        actor=actor,
        reason=reason,
        verb="create",
    )


def record(
    things: Sequence[tuple[int, str]],
    kind: str,
    target: str,
    *,
    experiment_id: int | None,
    actor: str,
    reason: str,
    verb: str,
) -> None:
    """Append ledger rows for many things of one kind that entered the same state: (id, state before)."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO core_transition (kind, thing_id, experiment_id, source, target, verb, actor, reason)"
            " SELECT %s, t.id, %s, t.source, %s, %s, %s, %s"
            " FROM unnest(%s::bigint[], %s::text[]) AS t(id, source)",
            [kind, experiment_id, target, verb, actor, redacted(reason),
             [pk for pk, _ in things], [source for _, source in things]],
        )  # fmt: skip


def move_all(rows: models.QuerySet[Any], to: str, *, expect: Iterable[str], actor: str, reason: str) -> list[int]:
    """Move every row of the set that is in one of the expected states; return the keys of those moved."""
    model: Any = rows.model
    table: StateTable = model.STATES
    expected = tuple(expect)
    for source in expected:
        if table.move(source, to) is None:
            raise ValueError(f"{table.kind}: no move from {source} to {to}")
    with transaction.atomic():
        held = list(
            rows.filter(state__in=expected).order_by("pk").select_for_update(of=("self",))
            .values_list("pk", "state", "experiment_id")
        )  # fmt: skip
        model._base_manager.filter(pk__in=[pk for pk, *_ in held]).update(state=to, state_since=now())
        for experiment_id in {experiment for *_, experiment in held}:
            same = [(pk, source) for pk, source, experiment in held if experiment == experiment_id]
            step = table.move(same[0][1], to)
            record(
                same,
                table.kind,
                to,
                experiment_id=experiment_id,
                actor=actor,
                reason=reason,
                verb=step.verb if step else "",
            )
    return [pk for pk, *_ in held]
