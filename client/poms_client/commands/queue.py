"""`poms queue`: what waits in which order, what another order would do, and the change of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Optional

import typer

from poms_client.commands._common import AsJson, Quiet, Reason, ask_reason, connect, noun_app, resolved
from poms_client.errors import UsedWrongly
from poms_client.output import Output
from poms_client.refs import CAMPAIGN

COLUMNS = ("ref", "name", "state", "rank", "points", "waits_h", "jobs_waiting", "jobs_there", "starts", "ends", "late")
MOVED = ("ref", "name", "rank_before", "rank", "starts", "ends", "late", "later_s")
EMPTY = "Nothing waits or runs. A campaign stands here from its approval until its end."

app = noun_app("queue", "What goes first: show the queue, try another order, keep it.")

Whose = Annotated[str, typer.Option("--experiment", "-e", metavar="E", help="The experiment whose queue it is.")]
First = Annotated[
    Optional[list[str]], typer.Argument(metavar="REF", show_default=False, help="Those that go first, in this order.")
]
Ranks = Annotated[Optional[list[str]], typer.Option("--rank", metavar="REF=N", help="Another rank; may be repeated.")]


@app.command("show")
@resolved
def show(
    experiment: Annotated[
        Optional[str], typer.Option("--experiment", "-e", metavar="E", help="Only the queue of this experiment.")
    ] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Show what waits and runs, the next first, with its expected start and end."""
    output = Output(as_json=as_json, quiet=quiet)
    rows = connect().list("queue", experiment=experiment)
    output.rows(rows if as_json else (_flat(row) for row in rows), COLUMNS, EMPTY, None)


@app.command("preview")
@resolved
def preview(
    experiment: Whose, refs: First = None, rank: Ranks = None, as_json: AsJson = False, quiet: Quiet = False
) -> None:
    """Show what another order or other ranks would do; nothing is changed."""
    _tell(
        Output(as_json=as_json, quiet=quiet), connect().post("queue/preview", _wanted(experiment, refs, rank)), as_json
    )


@app.command("order")
@resolved
def order(
    experiment: Whose,
    refs: First = None,
    rank: Ranks = None,
    reason: Reason = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Give campaigns another order or other ranks, all of them or none."""
    wanted = _wanted(experiment, refs, rank)
    why = (reason or "").strip() or ask_reason(
        "change the order of", refs or [pair.partition("=")[0] for pair in rank or ()]
    )
    _tell(Output(as_json=as_json, quiet=quiet), connect().post("queue/order", {**wanted, "reason": why}), as_json)


def _wanted(experiment: str, refs: Sequence[str] | None, ranks: Sequence[str] | None) -> dict[str, Any]:
    if not refs and not ranks:
        raise UsedWrongly("no order is given", hint="Name campaigns in their order, or give --rank demo/c1=70.")
    found = {}
    for pair in ranks or ():
        ref, equals, value = pair.partition("=")
        if not equals or not value.isdecimal():
            raise UsedWrongly(f"--rank {pair!r} is not of the form REF=N")
        found[CAMPAIGN.full(ref, experiment)] = int(value)
    return {"experiment": experiment, "order": [CAMPAIGN.full(ref, experiment) for ref in refs or ()], "ranks": found}


def _tell(output: Output, answer: dict[str, Any], as_json: bool) -> None:
    rows = answer["results"]
    output.rows(rows if as_json else (_flat(row) for row in rows), MOVED, EMPTY, None)


def _flat(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row with its expected times as single fields."""
    start, end = row.get("start") or {}, row.get("end") or {}
    return {**row, "starts": start.get("expected"), "ends": end.get("expected"), "late": end.get("late")}
