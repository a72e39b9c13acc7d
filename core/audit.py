"""Verifying the ledger: every seal is recomputed, and what does not hold is named row by row (issue 8, design 3).

One seal at a time is in memory: up to fifty thousand rows, or one transaction. Whoever has verified up to a transaction
can go on from there, another day.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from core import ledger, sealed_rows
from core.models import Seal

MOST = 1_000  # findings of one seal that are named one by one


@dataclass(frozen=True)
class Finding:
    """One thing that is not as it was sealed: what happened to it, which row it is, and in words.

    `what` is altered, deleted or added for a row; chain, digest or record for a seal.
    """

    seal: int
    what: str
    row: int | None
    text: str


@dataclass
class Verified:
    """How far the ledger was verified, and what was found: `after` is the transaction to go on from."""

    after: int
    seals: int = 0
    rows: int = 0
    done: bool = False
    findings: list[Finding] = field(default_factory=list)

    def document(self) -> dict[str, Any]:
        """Return it as the API shows it."""
        return asdict(self)


def verify(after: int = 0, *, seals: int | None = None) -> Verified:
    """Recompute the seals that end after a transaction, at most so many of them, and return what does not hold."""
    found = Verified(after)
    for link, findings in _checked(after, seals):
        found.after = link.to_txid
        found.seals += 1
        found.rows += link.rows
        found.findings += findings
    found.done = not Seal.objects.filter(to_txid__gt=found.after).exists()
    return found


def _checked(after: int, seals: int | None) -> Iterator[tuple[Seal, list[Finding]]]:
    dropped = ledger.dropped_partitions()
    before = Seal.objects.filter(to_txid__lte=after).order_by("-to_txid").first()
    chain, expected = (before.digest, before.to_txid) if before else (ledger.GENESIS, 0)
    count = 0
    while seals is None or count < seals:
        link = Seal.objects.filter(to_txid__gt=expected).order_by("to_txid").first()
        if link is None:
            return
        yield link, _check(link, chain, expected, dropped)
        chain, expected, count = link.digest, link.to_txid, count + 1


def _check(link: Seal, chain: str, expected: int, dropped: Collection[str]) -> list[Finding]:
    found = []
    if link.from_txid != expected:
        text = f"seal {link.pk} begins at transaction {link.from_txid}, not at {expected}: one before it is gone"
        found.append(Finding(link.pk, "chain", None, text))
    rows = ledger.rows_of(link.from_txid, link.to_txid, None)
    if ledger.holds(link, rows, chain, dropped):
        return found
    return found + _located(link, {row[2]: row for row in rows}, dropped)


def _located(link: Seal, rows: dict[int, ledger.Row], dropped: Collection[str]) -> list[Finding]:
    """Name the rows of a broken seal that are not as they were; those of dropped partitions are gone rightly."""
    try:
        known = sealed_rows.known(link, dropped)
    except ValueError as error:
        return [Finding(link.pk, "record", None, f"seal {link.pk} does not hold, and {error}")]
    if known is None:
        text = f"seal {link.pk} ({link.rows} rows) does not match the {len(rows)} rows it covers"
        return [Finding(link.pk, "digest", None, f"{text}; it is from before rows were told apart")]
    found = []
    for key in sorted(known.keys() | rows.keys()):
        if key not in rows:
            found.append(Finding(link.pk, "deleted", key, f"row {key} was deleted, which seal {link.pk} has"))
        elif key not in known:
            found.append(Finding(link.pk, "added", key, f"{_named(rows[key])} was added: seal {link.pk} has none such"))
        elif sealed_rows.hash_of(rows[key]) != known[key]:
            found.append(Finding(link.pk, "altered", key, f"{_named(rows[key])} was altered after seal {link.pk}"))
    if not found:
        text = (
            f"seal {link.pk} does not hold, though each of its rows is as it was kept: it, the one before it, or what"
        )
        return [Finding(link.pk, "digest", None, f"{text} tells its rows apart was made anew")]
    if len(found) > MOST:
        more = Finding(link.pk, "digest", None, f"and {len(found) - MOST} more rows of seal {link.pk}")
        return [*found[:MOST], more]
    return found


def _named(row: ledger.Row) -> str:
    _, _, key, kind, thing, _, source, target, _, at, actor, _ = row
    step = f"{source} → {target}" if source else target
    return f"row {key} ({kind} {thing}, {step}, {at} UTC, by {actor})"
