"""Loops: take due rows, do one step, any number at once, anywhere (design 5)."""

from __future__ import annotations

import os
import socket
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import structlog
from django.db import OperationalError, connection
from django.db.models import F
from django.utils.module_loading import import_string

from core.clock import now
from core.errors import StaleState
from core.models import Heartbeat, Trouble
from core.redaction import redacted

log = structlog.get_logger()
T = TypeVar("T")

PARKED_AFTER = 5
LONGEST_WAIT_SECONDS = 300


@dataclass(frozen=True)
class Loop:
    """One loop: the dotted path of its pass (returns how many steps it did) and its period in seconds."""

    name: str
    step: str
    period: float


# One statement each: a loop that has nothing to do must cost next to nothing.
BEGIN = (
    "INSERT INTO core_heartbeat (loop, worker, started_at, steps, errors, last_error)"
    " VALUES (%s, %s, clock_timestamp(), 0, 0, '')"
    " ON CONFLICT (loop) DO UPDATE SET worker = excluded.worker, started_at = excluded.started_at"
)
END = "UPDATE core_heartbeat SET ended_at = clock_timestamp(), steps = steps + %s, failed_in_a_row = 0 WHERE loop = %s"

_loops: dict[str, Loop] = {}
# What was in trouble when the loop's pass began: only those rows need clearing when a step succeeds.
_troubled: dict[str, set[tuple[str, int]]] = {}


def register(name: str, step: str, *, period: float) -> None:
    """Announce a loop; apps do so when they are ready."""
    _loops[name] = Loop(name, step, period)


def all_loops() -> list[Loop]:
    """Return every loop in the order of registration."""
    return list(_loops.values())


def run(name: str, *, budget: float = 60.0) -> int:
    """Pass until there is nothing more to do or the budget in seconds is spent; return the steps done.

    Every line that is logged meanwhile names the loop and carries an id of this run, as a request's do.
    """
    with structlog.contextvars.bound_contextvars(in_loop=name, task_id=uuid.uuid4().hex):
        return _run(name, budget)


def _run(name: str, budget: float) -> int:
    step: Callable[[], int] = import_string(_loops[name].step)
    worker = f"{socket.gethostname()}:{os.getpid()}"
    started, total = time.monotonic(), 0
    with connection.cursor() as cursor:
        cursor.execute(BEGIN, [name, worker])
        cursor.execute("SELECT kind, thing_id FROM core_trouble WHERE loop = %s", [name])
        _troubled[name] = set(cursor.fetchall())
    try:
        while (did := step()) and time.monotonic() - started < budget:
            total += did
        total += did
    except Exception as error:
        Heartbeat.objects.filter(loop=name).update(
            errors=F("errors") + 1,
            failed_in_a_row=F("failed_in_a_row") + 1,
            last_error=redacted(f"{now():%F %T} {error!r}"),
        )
        raise
    with connection.cursor() as cursor:
        cursor.execute(END, [total, name])
    return total


def tick(name: str, rung: float) -> int:
    """Answer a bell; a bell rung before the loop's latest pass began has been answered by that pass."""
    begun = Heartbeat.objects.filter(loop=name).values_list("started_at", flat=True).first()
    if begun is not None and begun.timestamp() > rung:
        return 0
    return run(name)


@contextmanager
def careful(loop: str, kind: str, thing_id: int) -> Iterator[None]:
    """Step one row; an error is written down with a date for the next try and stops no other row (F8).

    The step opens its own transactions, so that it may call outside between them. Errors that pass by
    themselves (the database's, or an outside system's that says `transient`) never park a row.
    """
    rows = Trouble.objects.filter(loop=loop, kind=kind, thing_id=thing_id)
    try:
        yield
    except StaleState as error:
        log.info("loop.already_done", loop=loop, kind=kind, thing=thing_id, why=str(error))  # by another worker
    except Exception as error:
        log.exception("loop.step_failed", loop=loop, kind=kind, thing=thing_id)
        if not connection.in_atomic_block:  # else it is whoever opened the transaction who finds out
            connection.close_if_unusable_or_obsolete()
        passing = isinstance(error, OperationalError) or getattr(error, "transient", False)
        tries = (rows.values_list("tries", flat=True).first() or 0) + 1
        wait = timedelta(seconds=min(2**tries, LONGEST_WAIT_SECONDS))
        Trouble.objects.update_or_create(
            loop=loop, kind=kind, thing_id=thing_id,
            defaults={
                "tries": tries, "error": redacted(f"{type(error).__name__}: {error}"), "updated_at": now(),
                "next_at": None if tries >= PARKED_AFTER and not passing else now() + wait,
            },
        )  # fmt: skip
    else:
        if (kind, thing_id) in _troubled.get(loop, ()):
            rows.delete()


def together(loop: str, kind: str, rows: Mapping[int, T], step: Callable[[Sequence[T]], None]) -> None:
    """Step many rows at once; where that fails, or one was in trouble before, each by itself and careful (F8)."""
    troubled = {pk for other, pk in _troubled.get(loop, ()) if other == kind}
    left = dict(rows)
    if alike := [row for pk, row in rows.items() if pk not in troubled]:
        try:
            step(alike)
        except StaleState as error:
            log.info("loop.already_done", loop=loop, kind=kind, things=len(alike), why=str(error))  # one of them
        except Exception:
            log.exception("loop.steps_failed", loop=loop, kind=kind, things=len(alike))
            if not connection.in_atomic_block:
                connection.close_if_unusable_or_obsolete()
        else:
            left = {pk: row for pk, row in rows.items() if pk in troubled}
    for pk, row in left.items():
        with careful(loop, kind, pk):
            step([row])


def untroubled(loop: str, kind: str) -> str:
    """Return the SQL condition that a row named `id` is neither parked nor waiting after an error."""
    return (
        "NOT EXISTS (SELECT 1 FROM core_trouble t WHERE t.loop = '%s' AND t.kind = '%s' AND t.thing_id = {id}"  # noqa: S608, UP031 - constants of the caller's code
        " AND (t.next_at IS NULL OR t.next_at > clock_timestamp()))" % (loop, kind)
    )
