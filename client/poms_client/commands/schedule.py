"""`poms schedule`: what keeps up, its past and coming times, and what can be done to it."""

from __future__ import annotations

from typing import Annotated, Optional

import typer

from poms_client.commands._common import (
    AsJson,
    Experiment,
    Quiet,
    Ref,
    Verb,
    add_history,
    add_list,
    add_show,
    add_verbs,
    connect,
    noun_app,
    resolved,
)
from poms_client.output import Output
from poms_client.refs import CAMPAIGN, SCHEDULE, STAGE

COLUMNS = ("ref", "state", "campaign", "stage", "schedule", "zone", "next", "why")
TIMES = ("at", "local", "outcome", "inputs", "reason")

app = noun_app("schedule", "What looks for new files by itself: show, calendar, pause, resume, run.")
add_list(
    app, SCHEDULE, COLUMNS, "No schedules here. A stage of a definition has one by its key schedule.", (CAMPAIGN, STAGE)
)
add_show(app, SCHEDULE)


@app.command("calendar")
@resolved
def calendar(
    ref: Ref,
    begin: Annotated[
        Optional[str], typer.Option("--from", metavar="T", help="From then on, such as 2026-11-01T08:00Z.")
    ] = None,
    end: Annotated[
        Optional[str], typer.Option("--to", metavar="T", help="Until then, such as 2026-11-08T08:00Z.")
    ] = None,
    experiment: Experiment = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Show the times that were, with what became of each, and those that come: a week around now."""
    output = Output(as_json=as_json, quiet=quiet)
    query = {name: text for name, text in (("from", begin), ("to", end)) if text}
    full = SCHEDULE.full(ref, experiment)
    found = connect().get([SCHEDULE.collection, *full.split("/"), "calendar"], **query)
    output.rows(found["results"], TIMES, "No time of it is in that span.", None)


add_verbs(
    app,
    SCHEDULE,
    {
        "pause": Verb("Let a schedule look for nothing until it is resumed; its times are kept as skipped."),
        "resume": Verb("Let a paused schedule go on; its next time takes all that came meanwhile."),
        "run": Verb("Have a schedule look for new files at once, beside its times."),
    },
)
add_history(app, SCHEDULE)
