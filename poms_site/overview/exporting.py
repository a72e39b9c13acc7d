"""Lists of jobs, batches and submissions as files: CSV or Parquet, read by key in pieces, so that memory is bounded.

Nothing is counted before, and no statement is long: the newest rows come first, MOST of them at most. Who has as many
goes on behind the last one (`after`).
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from core.errors import Problem, Refused
from submissions.states import JOB_STATES

MOST = 1_000_000
PIECE = 5_000
TYPES = {"csv": "text/csv; charset=utf-8", "parquet": "application/vnd.apache.parquet"}


class Column(NamedTuple):
    """One column of a file: its name, what kind of value it has, from where it is read, and how it is made of that."""

    name: str
    kind: str
    path: str
    form: Callable[[Any], Any] = lambda value: value


def _ref(name: str, letter: str, path: str) -> Column:
    return Column(name, "text", path, lambda key: f"{letter}{key}")


TABLES: dict[str, Sequence[Column]] = {
    "job": (
        _ref("job", "j", "pk"), Column("experiment", "text", "experiment__name"),
        _ref("submission", "s", "submission_id"), _ref("batch", "b", "submission__batch_id"),
        _ref("campaign", "c", "submission__campaign_id"), Column("stage", "text", "submission__batch__stage__name"),
        Column("external_id", "text", "external_id"), Column("system", "text", "system__name"),
        Column("index", "whole", "index"), Column("state", "text", "state_code", lambda code: JOB_STATES[code]),
        Column("since", "moment", "state_since"), Column("started", "moment", "started_at"),
        Column("ended", "moment", "ended_at"), Column("starts", "whole", "starts"),
        Column("exit_code", "whole", "exit_code"), Column("signal", "whole", "signal"), Column("code", "text", "code"),
        Column("reason", "text", "reason"), Column("node", "text", "node"), Column("site", "text", "site"),
        Column("slot_type", "text", "slot_type"), Column("cpus", "whole", "cpus"),
        Column("memory_mb", "number", "memory_mb"), Column("wall_s", "number", "wall_s"),
        Column("cpu_s", "number", "cpu_s"), Column("memory_asked_mb", "whole", "submission__memory_mb"),
        Column("wall_asked_s", "whole", "submission__wall_s"),
        Column("release", "text", "submission__batch__version__software_version"),
    ),
    "batch": (
        _ref("batch", "b", "pk"), Column("experiment", "text", "experiment__name"),
        _ref("campaign", "c", "stage__campaign_id"), Column("stage", "text", "stage__name"),
        Column("number", "whole", "number"), Column("pass", "whole", "pass_number"), Column("state", "text", "state"),
        Column("since", "moment", "state_since"), Column("units", "whole", "n_units"), Column("done", "whole", "done"),
        Column("rounds", "whole", "rounds"), Column("label", "text", "label"),
        Column("created", "moment", "created_at"),
    ),
    "submission": (
        _ref("submission", "s", "pk"), Column("experiment", "text", "experiment__name"),
        _ref("batch", "b", "batch_id"), _ref("campaign", "c", "campaign_id"),
        Column("stage", "text", "batch__stage__name"), Column("uuid", "text", "uuid"), Column("kind", "text", "kind"),
        Column("round", "whole", "round"), Column("state", "text", "state"), Column("since", "moment", "state_since"),
        Column("jobs", "whole", "n_jobs"), Column("system", "text", "system"), Column("launcher", "text", "launcher"),
        Column("host", "text", "host"), Column("account", "text", "account"), Column("why", "text", "why"),
        Column("memory_asked_mb", "whole", "memory_mb"), Column("wall_asked_s", "whole", "wall_s"),
        Column("exit_code", "whole", "exit_code"), Column("created", "moment", "created_at"),
        Column("launched", "moment", "launched_at"), Column("ended", "moment", "ended_at"),
    ),
}  # fmt: skip


def exported(noun: str, rows: Any, form: str, after: str = "") -> Iterator[bytes]:
    """Return the pieces of a file of rows that a person may see; Refused for a form or place that there is not.

    `after` is the key of the row behind which it begins, such as j12.
    """
    if form not in TYPES:
        raise Refused("The list cannot be exported so.", [Problem("export", f"unknown: {form[:40]}", ", ".join(TYPES))])
    digits = after.lstrip("bjs")
    if after and not (digits.isascii() and digits.isdigit() and len(digits) < 19):
        raise Refused("The list cannot be exported so.", [Problem("after", f"no row: {after[:40]}", "such as j12")])
    columns = TABLES[noun]
    values = _values(rows, columns, int(digits) if after else None)
    if form == "csv":
        return _csv([column.name for column in columns], values)
    from poms_site.overview import parquet  # noqa: PLC0415 - its library is large, and few ask for it

    return parquet.written([(column.name, column.kind) for column in columns], values)


def _values(rows: Any, columns: Sequence[Column], behind: int | None) -> Iterator[list[Any]]:
    """Yield rows newest first, a short statement for each piece; what changes meanwhile is there once."""
    paths = ["pk", *(column.path for column in columns)]
    left = MOST
    while left > 0:
        piece = rows if behind is None else rows.filter(pk__lt=behind)
        found = list(piece.order_by("-pk").values_list(*paths)[: min(PIECE, left)])
        for row in found:
            yield [
                None if value is None else column.form(value) for column, value in zip(columns, row[1:], strict=True)
            ]
        if len(found) < min(PIECE, left):
            return
        left -= len(found)
        behind = found[-1][0]


def _csv(names: Sequence[str], rows: Iterable[Sequence[Any]]) -> Iterator[bytes]:
    """Yield lines; a text that a spreadsheet would take for a formula stands behind an apostrophe."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(names)
    for number, row in enumerate(rows, 1):
        writer.writerow([_cell(value) for value in row])
        if number % PIECE == 0:
            yield text.getvalue().encode(errors="replace")
            text.seek(0)
            text.truncate()
    yield text.getvalue().encode(errors="replace")


def _cell(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r"):
        return f"'{value}"
    return value
