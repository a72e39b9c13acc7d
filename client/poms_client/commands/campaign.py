"""`poms campaign`: look at campaigns, watch them, hold and steer them."""

from __future__ import annotations

from typing import Annotated, Optional

import typer

from poms_client.commands._common import (
    AsJson,
    Experiment,
    Quiet,
    Reason,
    Ref,
    Refs,
    Verb,
    add_history,
    add_list,
    add_show,
    add_verbs,
    connect,
    noun_app,
    resolved,
    say,
)
from poms_client.commands.definition import add_definitions, write_text
from poms_client.output import Output
from poms_client.refs import CAMPAIGN

COLUMNS = ("ref", "state", "name", "progress", "rank", "owner", "request", "started", "ended")

app = noun_app("campaign", "What runs: show, watch, hold, steer.")
add_list(app, CAMPAIGN, COLUMNS, "No campaigns here. An approved request makes one: `poms request create`.")
add_show(app, CAMPAIGN)
add_verbs(
    app,
    CAMPAIGN,
    {
        "hold": Verb("Start nothing new of a campaign until it is released."),
        "release": Verb("Take a hold off a campaign.", reason=False),
        "cancel": Verb("End a campaign and its unfinished jobs for good.", ends_work=True),
        "relaunch": Verb("Run again what failed of a campaign."),
        "unboost": Verb("Take a campaign from the top of the queue again."),
    },
)


@app.command("prioritise")
@resolved
def prioritise(
    refs: Refs,
    rank: Annotated[int, typer.Option(metavar="N", help="Its new rank; it goes in order of rank.")],
    reason: Reason = None,
    experiment: Experiment = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Give a campaign another rank."""
    output = Output(as_json=as_json, quiet=quiet)
    say(CAMPAIGN, "prioritise", Verb(""), refs, reason, experiment, output, rank=rank)


@app.command("boost")
@resolved
def boost(
    refs: Refs,
    hours: Annotated[float, typer.Option(metavar="H", min=0.001, help="For how many hours; at most a week.")],
    reason: Reason = None,
    experiment: Experiment = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Put a campaign on top of its experiment's queue for a while."""
    output = Output(as_json=as_json, quiet=quiet)
    say(CAMPAIGN, "boost", Verb(""), refs, reason, experiment, output, hours=hours)


@app.command("text")
@resolved
def text(ref: Ref, experiment: Experiment = None) -> None:
    """Print the definition that a campaign runs by."""
    full = CAMPAIGN.full(ref, experiment)
    write_text(connect().text([CAMPAIGN.collection, *full.split("/"), "text"]))


add_definitions(app)


@app.command("watch")
@resolved
def watch(
    ref: Ref,
    experiment: Experiment = None,
    timeout: Annotated[
        Optional[float],
        typer.Option(metavar="S", min=0.0, help="Stop watching after so many seconds (then 1)."),
    ] = None,
    every: Annotated[float, typer.Option(metavar="S", min=0.05, help="Look every so many seconds.")] = 2.0,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Follow a campaign to its end: 0 when it succeeded, 1 when it failed or was cancelled."""
    from poms_client import settings, watching

    output = Output(as_json=as_json, quiet=quiet)
    full = CAMPAIGN.full(ref, experiment)
    patience = settings.seconds("POMS_RETRY_SECONDS", 120.0)
    code = watching.watch(connect(patience=0.0), full, output, every=every, timeout=timeout, patience=patience)
    if code:
        raise typer.Exit(code)


add_history(app, CAMPAIGN)
