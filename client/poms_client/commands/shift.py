"""`poms shift`: who watches an experiment when."""

from __future__ import annotations

from typing import Annotated, Optional

import typer

from poms_client.commands._common import AsJson, Experiment, Limit, Quiet, Verb, add_verbs, connect, noun_app, resolved
from poms_client.output import Output
from poms_client.refs import SHIFT

COLUMNS = ("ref", "person", "name", "begins", "until", "now", "note")

app = noun_app("shift", "Who watches when: list, add, remove.")


@app.command("list")
@resolved
def list_shifts(
    experiment: Experiment = None,
    now: Annotated[bool, typer.Option("--now", help="Only who is on shift.")] = False,
    person: Annotated[Optional[str], typer.Option(metavar="NAME", help="Only their shifts.")] = None,
    limit: Limit = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """List shifts, the one entered last first."""
    output = Output(as_json=as_json, quiet=quiet)
    query = {"experiment": experiment, "now": "1" if now else None, "person": person}
    output.rows(connect().list("shifts", limit=limit, **query), COLUMNS, "Nobody is on the list.", limit)


@app.command("add")
@resolved
def add(
    person: Annotated[str, typer.Argument(metavar="PERSON", help="By user name.")],
    begins: Annotated[str, typer.Option("--from", metavar="TIME", help="Such as 2026-12-01T06:00Z.")],
    until: Annotated[str, typer.Option("--until", metavar="TIME", help="When the next one takes over.")],
    note: Annotated[str, typer.Option(metavar="TEXT", help="What they should know.")] = "",
    experiment: Experiment = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Put somebody on the list."""
    body = {"experiment": experiment or "", "person": person, "begins": begins, "until": until, "note": note}
    made = connect().post("shifts", body)
    Output(as_json=as_json, quiet=quiet).done(made["ref"], f"{person} watches", made)


add_verbs(app, SHIFT, {"remove": Verb("Take shifts off the list.", reason=False)})
