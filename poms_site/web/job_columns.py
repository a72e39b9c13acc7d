"""The columns of the list of jobs: what each shows, which are chosen, and by which the list can be sorted (M3).

No index serves most columns, and none may name a job's state. A list that is sorted by one is made within a window:
the latest jobs of the submission, batch, campaign or experiment that it is about. So a page costs the same among ten
million jobs as among ten thousand, and says so.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString

from core.errors import Problem, Refused
from poms_site.overview.words import duration, memory, number
from poms_site.templatetags import poms as show
from submissions import queries

WINDOW = 10_000
WITHIN = ("submission", "batch", "campaign")  # what a list may be about, the narrowest first
Html = SafeString | str


@dataclass(frozen=True)
class Column:
    """One column: its head, what a cell shows, and by which field of a job it sorts (largest or latest first)."""

    key: str
    title: str
    cell: Callable[[Any], Html]
    sort: str = ""
    right: bool = False
    text: bool = False  # sorts from A on
    nowrap: bool = False

    @property
    def first(self) -> str:
        """Return the direction in which it sorts unless the other one is asked for."""
        return "asc" if self.text else "desc"


def _link(ref: str, word: str) -> SafeString:
    return format_html('<a href="{}">{}</a>', show.page_of(ref), word)


def _in_state(row: Any) -> Html:
    return show.ago(row.ended_at) if row.ended_at else show.since(row.state_since)


def _campaign(row: Any) -> Html:
    campaign = row.submission.batch.stage.campaign
    return _link(campaign.ref, campaign.name)


def _node(row: Any) -> Html:
    if row.site and row.site != row.node:
        return format_html('{} <span class="dim">{}</span>', row.node, row.site)
    return str(row.node)


def _busy(row: Any) -> Html:
    if row.cpu_s is None or not row.wall_s:
        return ""
    return f"{100 * row.cpu_s / (row.wall_s * (row.cpus or 1)):.0f} %"


def _unless(read: Callable[[Any], Any], form: Callable[[Any], str]) -> Callable[[Any], Html]:
    def cell(row: Any) -> Html:
        value = read(row)
        return "" if value is None else form(value)

    return cell


COLUMNS = (
    Column("state", "state", lambda row: show.state(row.state), nowrap=True),
    Column("since", "in its state", _in_state, "state_since", right=True),
    Column("how", "how it ended", show.ending),
    Column("exit_code", "exit code", _unless(lambda row: row.exit_code, str), "exit_code", right=True),
    Column("code", "batch system says", lambda row: row.code, "code", text=True),
    Column("stage", "stage", lambda row: row.submission.batch.stage.name),
    Column("campaign", "campaign", _campaign),
    Column("batch", "batch", lambda row: _link(row.submission.batch.ref, show.key(row.submission.batch))),
    Column("submission", "submission", lambda row: _link(row.submission.ref, show.key(row.submission))),
    Column("node", "node", _node, "node", text=True),
    Column("site", "site", lambda row: row.site, "site", text=True),
    Column("slot_type", "slot type", lambda row: row.slot_type, "slot_type", text=True),
    Column("memory", "memory", _unless(lambda row: row.memory_mb or None, memory), "memory_mb", right=True),
    Column("wall", "wall time", _unless(lambda row: row.wall_s, duration), "wall_s", right=True),
    Column("cpu", "processor time", _unless(lambda row: row.cpu_s, duration), "cpu_s", right=True),
    Column("busy", "processor used", _busy, right=True),
    Column("cores", "cores", _unless(lambda row: row.cpus, number), "cpus", right=True),
    Column("starts", "starts", lambda row: number(row.starts), "starts", right=True),
    Column("started", "started", lambda row: show.ago(row.started_at), "started_at", nowrap=True),
    Column("ended", "ended", lambda row: show.ago(row.ended_at), "ended_at", nowrap=True),
)
BY_KEY: Mapping[str, Column] = {column.key: column for column in COLUMNS}
USUAL = ("state", "since", "how", "stage", "campaign", "submission", "node", "memory")


@dataclass(frozen=True)
class Head:
    """The head of a column: where one sorts by it, and how the list is sorted by it now ("asc", "desc" or nothing)."""

    column: Column
    address: str
    now: str


@dataclass(frozen=True)
class Order:
    """How the list is sorted: the word in the address, the field, with a minus for largest first, and the column."""

    asked: str
    field: str
    column: Column | None = None

    @property
    def words(self) -> str:
        """Say it: by memory, largest first."""
        if self.column is None:
            return ""
        first = ("A first", "Z first") if self.column.text else ("smallest first", "largest first")
        return f"by {self.column.title}, {first[self.field.startswith('-')]}"


def chosen(request: HttpRequest) -> list[Column]:
    """Return the columns that the address names, in the order of the table; without any, the usual ones."""
    asked = [
        key for text in [*request.GET.getlist("columns"), *request.GET.getlist("column")] for key in text.split(",")
    ]
    wanted = {key.strip() for key in asked if key.strip()} or set(USUAL)
    if unknown := sorted(wanted - BY_KEY.keys()):
        raise Refused(
            "The list has no such column.", [Problem("columns", f"unknown: {unknown[0][:40]}", ", ".join(BY_KEY))]
        )
    return [column for column in COLUMNS if column.key in wanted]


def order_of(request: HttpRequest) -> Order:
    """Return how the address wants the list: newest, longest in its state, or a column with its direction."""
    asked = request.GET.get("sort", "").strip() or "newest"
    if asked == "newest":
        return Order(asked, "-pk")
    if asked == "longest":
        return Order(asked, "state_since")
    key, _, direction = asked.partition(".")
    column = BY_KEY.get(key)
    if column is None or not column.sort or direction not in ("asc", "desc"):
        known = ", ".join(c.key for c in COLUMNS if c.sort)
        hint = f"newest or longest, or with .asc or .desc: {known}"
        raise Refused("The list cannot be sorted so.", [Problem("sort", asked[:40], hint)])
    return Order(asked, f"-{column.sort}" if direction == "desc" else column.sort, column)


def heads(columns: Sequence[Column], order: Order, address: Callable[[str], str]) -> list[Head]:
    """Return the heads of columns; `address` gives the list's address with another sort."""
    found = []
    for column in columns:
        now = "" if order.column is not column else "desc" if order.field.startswith("-") else "asc"
        other = {"asc": "desc", "desc": "asc"}.get(now, column.first)
        found.append(Head(column, address(f"{column.key}.{other}") if column.sort else "", now))
    return found


def windowed(request: HttpRequest, experiment: Any, rows: Any, order: Order) -> tuple[Any, str]:
    """Return the rows within the window if the list needs one, and what to say of it."""
    if order.column is None:
        return rows, ""
    what, key = _about(request) or ("experiment", experiment.pk)
    within = rows.filter(pk__in=queries.latest_jobs(what, key, WINDOW))
    known = within.filter(**{f"{order.column.sort}__isnull": False})
    return known, f"Among the latest {number(WINDOW)} jobs of this {what}."


def _about(request: HttpRequest) -> tuple[str, int] | None:
    """Return what the address says that the list is about, and its key; None if it is about all."""
    for what in WITHIN:
        found = re.fullmatch(r"(?:[a-z][a-z0-9_-]*/)?[a-z]?([0-9]{1,18})", request.GET.get(what, "").strip())
        if found:
            return what, int(found[1])
    return None
