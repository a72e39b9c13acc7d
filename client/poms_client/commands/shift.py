"""`poms shift`: who watches an experiment when, and what happened since one looked last."""

from __future__ import annotations

from typing import Annotated, Optional

import typer

from poms_client.commands._common import AsJson, Experiment, Limit, Quiet, Verb, add_verbs, connect, noun_app, resolved
from poms_client.errors import REFUSED
from poms_client.output import Output
from poms_client.refs import SHIFT

ITEMS = ("experiment", "section", "title", "count", "last", "text", "help")
COLUMNS = ("ref", "person", "name", "begins", "until", "now", "note")

app = noun_app("shift", "Who watches when: list, add, remove; what happened meanwhile: show, read, log.")


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


@app.command("show")
@resolved
def show(experiment: Experiment = None, as_json: AsJson = False, quiet: Quiet = False) -> None:
    """Show what broke, is stuck, ends, waits for you, and what rules did, since you looked last.

    With --quiet, only the experiments that need somebody; it ends with 1 if there are any.
    """
    query = {"experiment": experiment} if experiment else {}
    found = connect().get("shift", **query)["results"]
    needing = [row["experiment"] for row in found if row["needs_somebody"]]
    output = Output(as_json=as_json, quiet=quiet)
    if as_json:
        output.document(found)
    elif quiet:
        for name in needing:
            print(name)
    else:
        rows = [
            {**item, "experiment": row["experiment"], "help": (item["help"] or {}).get("word")}
            for row in found for item in row["items"]
        ]  # fmt: skip
        output.rows(rows, ITEMS, "Fine: nothing broke, and nothing is stuck.", len(rows))
    if needing and quiet:
        raise typer.Exit(REFUSED)


@app.command("read")
@resolved
def read(experiment: Experiment = None, as_json: AsJson = False, quiet: Quiet = False) -> None:
    """Mark what happened in an experiment as read: what comes now will be new."""
    answer = connect().post("shift/read", {"experiment": experiment or ""})
    Output(as_json=as_json, quiet=quiet).done(answer["experiment"], "read", answer)


@app.command("log")
@resolved
def log(experiment: Experiment = None, as_json: AsJson = False, quiet: Quiet = False) -> None:
    """Write what happened into the experiment's electronic logbook; the same twice is one entry."""
    answer = connect().post("shift/log", {"experiment": experiment or ""})
    Output(as_json=as_json, quiet=quiet).done(answer["experiment"], "log", answer)
