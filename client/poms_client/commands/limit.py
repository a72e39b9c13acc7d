"""`poms limit`: how much may be under way at once, of whom and where."""

from __future__ import annotations

from typing import Annotated, Optional

import typer

from poms_client.commands._common import (
    AsJson,
    Experiment,
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
from poms_client.errors import UsedWrongly
from poms_client.output import Output
from poms_client.refs import LIMIT

COLUMNS = ("ref", "text", "actor", "since", "reason")
WASTE = ("ref", "share", "least")
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


@app.command("waste")
@resolved
def waste(
    share: Annotated[
        Optional[int], typer.Option("--share", metavar="%", min=1, max=100, help="Of failures; 100: never.")
    ] = None,
    least: Annotated[int, typer.Option("--least", metavar="N", min=1, help="Of so many jobs of an hour.")] = 20,
    experiment: Experiment = None,
    reason: Reason = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Show from which share of failures campaigns pause themselves; with --share, say it for an experiment."""
    output = Output(as_json=as_json, quiet=quiet)
    if share is None:
        found = connect().list("waste-limits", experiment=experiment)
        output.rows(found, WASTE, "Nothing was said: above 50 % of 20 jobs of an hour.", None)
        return
    if not experiment:
        raise UsedWrongly("of which experiment is not said", hint="Say --experiment E.")
    why = (reason or "").strip() or ask_reason("limit", [experiment])
    output.one(
        connect().post("waste-limits", {"experiment": experiment, "share": share, "least": least, "reason": why})
    )


add_verbs(app, LIMIT, {"remove": Verb("Take a limit back.")})
