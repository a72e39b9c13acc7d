"""`poms loop`: how the loops of the whole service stand, the rows that they could not step, and one tried again."""

from __future__ import annotations

from typing import Annotated, Any, Optional

import typer

from poms_client.commands._common import AsJson, Limit, Quiet, Verb, add_verbs, connect, noun_app, resolved
from poms_client.output import Output
from poms_client.refs import LOOP, TROUBLE

COLUMNS = ("name", "state", "period", "began_at", "seconds", "steps", "errors", "waiting", "parked", "last_error")
TROUBLES = ("ref", "loop", "of", "state", "tries", "next_try", "error")
RESTORATIONS = ("began_at", "back_to", "ended_at", "ended_by", "waits_for", "counts", "why")

app = noun_app("loop", "The loops that do all work: how each stands, and rows that they could not step.")


@app.command("list")
@resolved
def list_loops(as_json: AsJson = False, quiet: Quiet = False) -> None:
    """List the loops: when each began last, how long it took, what went wrong."""
    Output(as_json=as_json, quiet=quiet).rows(connect().list(LOOP.collection), COLUMNS, "No loop here.", None)


@app.command("troubles")
@resolved
def troubles(
    loop: Annotated[Optional[str], typer.Option("--loop", metavar="NAME", help="Only those of this loop.")] = None,
    parked: Annotated[bool, typer.Option("--parked", help="Only those that wait for a person.")] = False,
    limit: Limit = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """List the rows that loops could not step, with the error and the next try."""
    query: dict[str, Any] = {"loop": loop, "parked": "1" if parked else None}
    found = connect().list(TROUBLE.collection, limit=limit, **query)
    Output(as_json=as_json, quiet=quiet).rows(found, TROUBLES, "No row is in trouble.", limit)


@app.command("restorations")
@resolved
def restorations(limit: Limit = None, as_json: AsJson = False, quiet: Quiet = False) -> None:
    """List what was done after restores of the database: who was asked, what is waited for, forgotten launches."""
    found = connect().list("restorations", limit=limit)
    Output(as_json=as_json, quiet=quiet).rows(found, RESTORATIONS, "The database was never restored.", limit)


add_verbs(app, TROUBLE, {"retry": Verb("Have a row tried again now, for instance t17: what it failed by is mended.")})
