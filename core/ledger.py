"""Reading the ledger: history of a thing, the feed of events, and the seals over what is committed."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from django.db import connection, transaction
from django.db.models import Q

from core import sealed_rows
from core.locking import session_lock
from core.models import Seal, Transition, TransitionQuerySet

GENESIS = "0" * 64
JOBS = "core_transition_job"  # the partition of jobs' steps, and before a month the name of that month's
PARTITION = "partition"  # the kind of the steps that say what became of one

Row = tuple[Any, ...]  # the name of its partition, then its fields
Parts = dict[str, list[Any]]  # by partition: number and digest of its rows


def history(things: Mapping[str, Iterable[int]]) -> TransitionQuerySet:
    """Return the transitions of things, given by kind, newest first."""
    wanted = Q(pk__in=[])
    for kind, ids in things.items():
        wanted |= Q(kind=kind, thing_id__in=list(ids))
    return Transition.objects.filter(wanted).order_by("-txid", "-id")


def oldest_running() -> int:
    """Return the oldest transaction that may still write: rows before it are complete (design 3)."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint")
        return int(cursor.fetchone()[0])


def feed(rows: TransitionQuerySet, after: tuple[int, int], limit: int) -> list[Transition]:
    """Return the next transitions after the cursor (txid, id), none of which can be overtaken later."""
    txid, last = after
    later = rows.filter(txid__lt=oldest_running()).filter(Q(txid__gt=txid) | Q(txid=txid, id__gt=last))
    return list(later.order_by("txid", "id")[:limit])


def seal(*, limit: int = 50_000) -> int:
    """Chain the committed transitions since the last seal by hash; return how many were sealed.

    Runs outside the transactions that write the ledger, one at a time. Every transition of the transactions
    in [from_txid, to_txid) is part of the digest, in the order (txid, id): the rows of each partition have a digest of
    their own, and the seal's is over these, so that it holds when a partition is dropped (design 3).
    """
    with session_lock("seal") as got, transaction.atomic():
        if not got:
            return 0
        last = Seal.objects.order_by("-to_txid").first()
        begin, chain = (last.to_txid, last.digest) if last else (0, GENESIS)
        end = oldest_running()
        rows = rows_of(begin, end, limit + 1)
        if not rows:
            return 0
        if len(rows) > limit:
            # Never cut inside a transaction: stop before the one that the limit falls into, or take it whole.
            cut = rows[limit][1]
            end = cut if cut > rows[0][1] else cut + 1
            rows = rows_of(begin, end, None)
        parts = parts_of(rows)
        made = Seal.objects.create(
            from_txid=begin, to_txid=end, rows=len(rows), parts=parts, digest=chained(chain, parts)
        )  # fmt: skip
        sealed_rows.keep(made, rows)
        return len(rows)


def parts_of(rows: Sequence[Row]) -> Parts:
    """Return, by partition, how many of the rows lie in it and their digest."""
    by_part: dict[str, list[tuple[Any, ...]]] = defaultdict(list)
    for part, *row in rows:
        by_part[part].append(tuple(row))
    return {part: [len(own), digest(GENESIS, own)] for part, own in sorted(by_part.items())}


def chained(chain: str, parts: Parts) -> str:
    """Return the SHA-256 of the previous digest and those of the partitions."""
    return hashlib.sha256(f"{chain}{json.dumps(parts, sort_keys=True)}".encode()).hexdigest()


def digest(chain: str, rows: Sequence[tuple[object, ...]]) -> str:
    """Return the SHA-256 of the previous digest and the rows; as JSON, so that no text can pass for two fields."""
    sha = hashlib.sha256(chain.encode())
    for row in rows:
        sha.update(json.dumps(row).encode())
    return sha.hexdigest()


def verify() -> list[str]:
    """Recompute every seal; return a sentence for each link that does not hold (none: the ledger is whole).

    Of a partition that was dropped the digest in the seal is taken as it is: the chain goes over it.
    """
    wrong, chain, expected = [], GENESIS, 0
    dropped = dropped_partitions()
    for link in Seal.objects.order_by("to_txid"):
        rows = rows_of(link.from_txid, link.to_txid, None)
        if link.from_txid != expected:
            wrong.append(f"seal {link.pk} begins at {link.from_txid}, not at {expected}")
        if not holds(link, rows, chain, dropped):
            wrong.append(f"seal {link.pk} ({link.rows} rows) does not match the {len(rows)} rows it covers")
        chain, expected = link.digest, link.to_txid
    return wrong


def holds(link: Seal, rows: Sequence[Row], chain: str, dropped: Collection[str]) -> bool:
    """Tell whether a seal matches the rows that it covers and the digest before it, but for dropped partitions."""
    if link.parts is None:  # made when the digest was one over all rows
        return len(rows) == link.rows and digest(chain, [row[1:] for row in rows]) == link.digest
    kept = {part: facts for part, facts in link.parts.items() if part not in dropped}
    whole = sum(number for number, _ in link.parts.values()) == link.rows
    return whole and parts_of(rows) == kept and chained(chain, link.parts) == link.digest


def dropped_partitions() -> set[str]:
    """Return the partitions that were dropped when their time had come, as the ledger itself says."""
    steps = Transition.objects.filter(kind=PARTITION, target="dropped").values_list("thing_id", flat=True)
    return {f"{JOBS}_{month // 100}_{month % 100:02d}" for month in steps}


def rows_of(begin: int, end: int, limit: int | None) -> list[Row]:
    """Return the transitions of the transactions in [begin, end) as they are sealed: partition, then the fields."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT tableoid::regclass::text, txid, id, kind, thing_id, experiment_id, source, target, verb,"
            " to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US'), actor, reason"
            " FROM core_transition WHERE txid >= %s AND txid < %s ORDER BY txid, id LIMIT %s",
            [begin, end, limit],
        )
        return cursor.fetchall()
