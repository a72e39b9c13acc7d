"""`poms hold`: what is not launched, why and until when; hold and release by hand."""

from __future__ import annotations

from typing import Annotated, Any, Optional

import typer

from poms_client.commands._common import (
    AsJson,
    Experiment,
    Limit,
    Quiet,
    Reason,
    Verb,
    add_show,
    add_verbs,
    ask_reason,
    connect,
    noun_app,
    resolved,
)
from poms_client.output import Output
from poms_client.refs import HOLD

COLUMNS = ("ref", "scope", "campaign", "stage", "batch", "service", "actor", "since", "until", "reason")
SCOPES = "everything, experiment, service, campaign, stage or batch."

app = noun_app("hold", "What is not launched, and why: list, add, release.")


@app.command("list")
@resolved
def list_holds(
    experiment: Experiment = None,
    released: Annotated[bool, typer.Option("--released", help="Those that were released instead.")] = False,
    limit: Limit = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """List the holds that stand."""
    output = Output(as_json=as_json, quiet=quiet)
    query: dict[str, Any] = {"experiment": experiment, "standing": "0" if released else "1"}
    found = connect().list(HOLD.collection, limit=limit, **query)
    output.rows(found, COLUMNS, "Nothing is held.", limit)


@app.command("add")
@resolved
def add(
    scope: Annotated[str, typer.Argument(metavar="SCOPE", show_default=False, help=SCOPES)],
    of: Annotated[
        Optional[str], typer.Argument(metavar="REF", show_default=False, help="Which: demo, demo/v1, demo/c1/gen …")
    ] = None,
    until: Annotated[
        Optional[str], typer.Option("--until", metavar="T", help="Released by itself then: 2026-11-01T08:00Z.")
    ] = None,
    reason: Reason = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Hold something: nothing of it is launched until it is released."""
    output = Output(as_json=as_json, quiet=quiet)
    why = (reason or "").strip() or ask_reason("hold", [of or scope])
    which = "experiment" if scope == "experiment" else "of"
    body = {"scope": scope, which: of or "", "reason": why, **({"until": until} if until else {})}
    output.one(connect().post(HOLD.collection, body))


add_show(app, HOLD)
add_verbs(app, HOLD, {"release": Verb("Release a hold.")})
