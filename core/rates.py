"""How often somebody may do something: counted in the database, so that all web hosts share one count.

A window of a minute is kept as thirteen slots of five seconds, in one row for each who is counted. So nothing grows
with what is asked, no minute ever has more than its number, and one statement both counts and decides: those who come
at once wait for each other at the row. The table is not logged (WAL): after a crash everybody begins anew, and no
request waits for a disk. Refused tries do not count, so that whoever comes again when told is let through.
"""

from __future__ import annotations

import math

import structlog
from django.db import connection

from core.errors import TooMany

SLOTS, WIDTH = 13, 5  # a minute of whole slots beside the present one; seconds of each
log = structlog.get_logger()

_TAKE = """
INSERT INTO core_rate AS r (key, slots, slot, passed)
VALUES (%(key)s, %(first)s::int[], floor(extract(epoch FROM clock_timestamp()) / %(width)s)::bigint, true)
ON CONFLICT (key) DO UPDATE SET (slots, slot, passed) = (
    SELECT CASE WHEN room THEN ARRAY[kept[1] + 1] || kept[2:] ELSE kept END, at, room
    FROM (SELECT kept, at, (SELECT sum(n) FROM unnest(kept) n) < %(most)s AS room
          FROM (SELECT at, array_fill(0, ARRAY[gap]) || r.slots[1:%(slots)s - gap] AS kept
                FROM (SELECT at, least(at - r.slot, %(slots)s)::int AS gap
                      FROM (SELECT greatest(EXCLUDED.slot, r.slot) AS at) moment) moved) counted) judged)
RETURNING passed, slots, slot, extract(epoch FROM clock_timestamp())::float8
"""
_FORGET = "DELETE FROM core_rate WHERE slot < floor(extract(epoch FROM clock_timestamp()) / %s)::bigint - %s"


def take(key: str, most: int) -> float:
    """Count one act under a key and return 0; or count nothing, and return in how many seconds there is room again.

    `most` acts a minute are let through; 0 is no limit. To be called outside of transactions: the row stays locked
    until the caller's ends.
    """
    if most <= 0:
        return 0.0
    first = [1] + [0] * (SLOTS - 1)
    with connection.cursor() as cursor:
        cursor.execute(_TAKE, {"key": key[:100], "first": first, "width": WIDTH, "slots": SLOTS, "most": most})
        passed, slots, slot, at = cursor.fetchone()
    return 0.0 if passed else _room_in(slots, most, at - slot * WIDTH)


def demand(key: str, most: int, who: str) -> None:
    """Count one act, or raise TooMany with a sentence that says when to come again; `who` begins it."""
    wait = math.ceil(take(key, most))
    if wait:
        log.warning("rate.refused", key=key, most=most, wait=wait)
        raise TooMany(
            f"{who} {most} times within a minute, which is the most. Nothing was done; come again in {wait} s.",
            wait=wait,
        )


def forget() -> int:
    """Drop the counts of everybody who did nothing within the last minute; return how many."""
    with connection.cursor() as cursor:
        cursor.execute(_FORGET, [WIDTH, SLOTS])
        return cursor.rowcount


def _room_in(slots: list[int], most: int, within: float) -> float:
    """Return the seconds until so many of the oldest acts are out of the window that one more has room."""
    excess = sum(slots) - most + 1
    for age in range(SLOTS - 1, -1, -1):
        excess -= slots[age]
        if excess <= 0:
            return max((SLOTS - age) * WIDTH - within, 1.0)
    return float(SLOTS * WIDTH)
