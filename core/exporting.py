"""The ledger as lines of JSON, whole seals at a time, so that whoever has the file alone can recompute the seals.

First comes a line that says what the file is and the digest before its first seal; then each seal and the rows that it
covers; then rows that no seal covers yet. `check` needs neither database nor POMS: only the lines.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from django.db.models import Max, Min

from core import ledger
from core.models import Seal, Transition

FIELDS = ("partition", "txid", "id", "kind", "thing", "experiment", "from", "to", "verb", "at", "actor", "reason")
FORMAT = "poms-audit-1"
Line = dict[str, Any]


def lines(since: datetime, until: datetime) -> Iterator[Line]:
    """Give the lines of all that was written in a span of time, and of the rest of the seals that it lies in."""
    rows = Transition.objects.filter(at__gte=since, at__lt=until)
    span = rows.aggregate(first=Min("txid"), last=Max("txid"))
    dropped = sorted(ledger.dropped_partitions())
    of = {"since": since.isoformat(), "until": until.isoformat()}
    head = {"line": "export", "format": FORMAT, **of, "dropped": dropped}
    if span["first"] is None:
        yield {**head, "before": ledger.GENESIS}
        return
    seals = list(Seal.objects.filter(to_txid__gt=span["first"], from_txid__lte=span["last"]).order_by("to_txid"))
    first = seals[0].from_txid if seals else span["first"]
    before = Seal.objects.filter(to_txid__lte=first).order_by("-to_txid").first()
    yield {**head, "before": before.digest if before else ledger.GENESIS}
    for seal in seals:
        yield {
            "line": "seal", "from_txid": seal.from_txid, "to_txid": seal.to_txid, "rows": seal.rows,
            "parts": seal.parts, "digest": seal.digest, "at": seal.at.isoformat(),
        }  # fmt: skip
        yield from _rows(seal.from_txid, seal.to_txid)
    begin = max(seals[-1].to_txid, span["first"]) if seals else span["first"]
    if span["last"] >= begin:
        yield {"line": "unsealed"}
        yield from _rows(begin, span["last"] + 1)


def check(told: Iterable[Line]) -> list[str]:
    """Recompute the seals of an export from its lines alone; return a sentence for each that does not hold."""
    wrong: list[str] = []
    head: Line = {}
    seal: Line | None = None
    rows: list[ledger.Row] = []
    chain, ends = "", None
    for line in [*told, {"line": "end"}]:
        if line["line"] == "transition":
            rows.append(tuple(line[name] for name in FIELDS))
            continue
        if seal is not None:
            wrong += _judge(seal, rows, chain, head)
            chain, ends = seal["digest"], seal["to_txid"]
        rows, seal = [], None
        if line["line"] == "export":
            if line.get("format") != FORMAT:
                return [f"This is no export of the format {FORMAT}."]
            head, chain = line, line["before"]
            continue
        if not head:
            return ["The file does not begin with the line of its export."]
        if line["line"] == "seal":
            seal = line
            if ends is not None and line["from_txid"] != ends:
                wrong.append(
                    f"The seal at {line['from_txid']} does not follow the one before it, which ends at {ends}."
                )
    return wrong


def _judge(seal: Line, rows: list[ledger.Row], chain: str, head: Line) -> list[str]:
    made = Seal(rows=seal["rows"], parts=seal["parts"], digest=seal["digest"])
    if ledger.holds(made, rows, chain, set(head["dropped"])):
        return []
    return [f"The seal over {seal['from_txid']} to {seal['to_txid']} does not match its {len(rows)} rows."]


def _rows(begin: int, end: int) -> Iterator[Line]:
    for row in ledger.rows_of(begin, end, None):
        yield {"line": "transition", **dict(zip(FIELDS, row, strict=True))}


def read(text: Iterable[str]) -> Iterator[Line]:
    """Give the lines of a file; ValueError with its number for one that is none."""
    for number, raw in enumerate(text, 1):
        try:
            line = json.loads(raw)
        except ValueError as error:
            raise ValueError(f"Line {number} is no JSON: {error}") from error
        if not isinstance(line, dict) or "line" not in line:
            raise ValueError(f"Line {number} is no line of an export.")
        yield line
