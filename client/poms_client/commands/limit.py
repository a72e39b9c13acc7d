"""`poms limit`: how much may be under way at once, of whom and where."""

from __future__ import annotations

from typing import Annotated

import typer

from poms_client.commands._common import (
    AsJson,
    Quiet,
    Reason,
    Verb,
    add_list,
    add_show,
    add_verbs,
    ask_reason,
    connect,
    noun_app,
    resolved,
)
from poms_client.output import Output
from poms_client.refs import LIMIT

COLUMNS = ("ref", "text", "actor", "since", "reason")
KINDS = "launches (in a minute), submissions, jobs, idle (jobs) or scripts (that launch)."

app = noun_app("limit", "How much may be under way at once: list, add, remove.")
add_list(app, LIMIT, COLUMNS, "Nothing is limited, but by the batch systems' depth and the launch hosts' own.")
add_show(app, LIMIT)


@app.command("add")
@resolved
def add(
    kind: Annotated[str, typer.Argument(metavar="KIND", show_default=False, help=KINDS)],
    most: Annotated[int, typer.Argument(metavar="MOST", show_default=False, min=0, help="At most so many; 0: none.")],
    experiment: Annotated[
        str, typer.Option("--experiment", "-e", metavar="E", help="Of this experiment; `all` with --system.")
    ],
    system: Annotated[str, typer.Option("--system", metavar="NAME", help="In this batch system.")] = "",
    host: Annotated[str, typer.Option("--host", metavar="NAME", help="From this launch host.")] = "",
    reason: Reason = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Set a limit; what it keeps back says so."""
    output = Output(as_json=as_json, quiet=quiet)
    why = (reason or "").strip() or ask_reason("limit", [kind])
    body = {"kind": kind, "most": most, "experiment": experiment, "system": system, "host": host, "reason": why}
    output.one(connect().post(LIMIT.collection, body))


add_verbs(app, LIMIT, {"remove": Verb("Take a limit back.")})
