"""`poms site`: where jobs run, what eats them there, and what new submissions are kept from."""

from __future__ import annotations

from typing import Annotated, Optional

import typer

from poms_client.commands._common import (
    AsJson,
    Experiment,
    Limit,
    Quiet,
    Reason,
    Refs,
    Verb,
    add_history,
    add_show,
    add_verbs,
    ask_reason,
    connect,
    noun_app,
    resolved,
    say,
)
from poms_client.errors import UsedWrongly
from poms_client.output import Output
from poms_client.refs import EXCLUSION

COLUMNS = ("experiment", "name", "running", "succeeded", "failed", "last_start", "last_end")
EXCLUDED = ("ref", "level", "name", "system", "state", "since", "until", "would_have_saved", "reason")
GUARDS = ("system", "mode", "cap", "hours", "judged_at", "nodes")

Hours = Annotated[float, typer.Option("--hours", metavar="H", min=0.01, help="For so long, from now on.")]

app = noun_app("site", "Where jobs run, what eats them there, and what is kept from new submissions.")
add_show(app, EXCLUSION)
add_history(app, EXCLUSION)
add_verbs(app, EXCLUSION, {"release": Verb("Undo an exclusion, or say that what is watched is well.")})


@app.command("list")
@resolved
def list_sites(
    experiment: Experiment = None,
    nodes: Annotated[bool, typer.Option("--nodes", help="The nodes instead of the sites.")] = False,
    limit: Limit = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """List sites, the one used last first."""
    output = Output(as_json=as_json, quiet=quiet)
    query = {"experiment": experiment, "by": "node" if nodes else None}
    output.rows(connect().list("sites", limit=limit, **query), COLUMNS, "No job has run anywhere yet.", limit)


@app.command("excluded")
@resolved
def excluded(
    experiment: Experiment = None,
    ended: Annotated[bool, typer.Option("--ended", help="Those that are over instead.")] = False,
    limit: Limit = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """List what eats jobs: what is watched, excluded or on probation."""
    output = Output(as_json=as_json, quiet=quiet)
    query = {"experiment": experiment, "standing": "0" if ended else "1"}
    output.rows(connect().list(EXCLUSION.collection, limit=limit, **query), EXCLUDED, "Nothing eats jobs now.", limit)


@app.command("exclude")
@resolved
def exclude(
    name: Annotated[str, typer.Argument(metavar="NAME|REF", show_default=False, help="A node, a site, or demo/e1.")],
    system: Annotated[Optional[str], typer.Option("--system", metavar="NAME", help="Of which batch system.")] = None,
    site: Annotated[bool, typer.Option("--site", help="It is a site, not a node.")] = False,
    hours: Hours = 24,
    experiment: Experiment = None,
    reason: Reason = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Keep new submissions from a node or site; of what is watched, the reference does."""
    output = Output(as_json=as_json, quiet=quiet)
    if not system:
        say(EXCLUSION, "exclude", Verb(""), [name], reason, experiment, output, hours=hours)
        return
    if not experiment:
        raise UsedWrongly("whose submissions are to avoid it is not said", hint="Say --experiment E.")
    why = (reason or "").strip() or ask_reason("exclude", [name])
    body = {"experiment": experiment, "system": system, "level": "site" if site else "node", "name": name}
    output.one(connect().post(EXCLUSION.collection, {**body, "hours": hours, "reason": why}))


@app.command("extend")
@resolved
def extend(
    refs: Refs,
    hours: Hours = 24,
    experiment: Experiment = None,
    reason: Reason = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Exclude for so many hours from now on."""
    output = Output(as_json=as_json, quiet=quiet)
    say(EXCLUSION, "extend", Verb(""), refs, reason, experiment, output, hours=hours)


@app.command("guard")
@resolved
def guard(
    system: Annotated[Optional[str], typer.Argument(metavar="SYSTEM", show_default=False, help="Which one.")] = None,
    mode: Annotated[Optional[str], typer.Option("--mode", metavar="observe|act", help="Only say so, or act.")] = None,
    cap: Annotated[
        Optional[int], typer.Option("--cap", metavar="%", min=1, max=50, help="Of the nodes excluded at once.")
    ] = None,
    hours: Annotated[
        Optional[float], typer.Option("--hours", metavar="H", min=0.01, help="For how long at first.")
    ] = None,
    reason: Reason = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Show how batch systems are guarded; with options, say it (administrators of the whole service)."""
    output = Output(as_json=as_json, quiet=quiet)
    wanted = {key: value for key, value in (("mode", mode), ("cap", cap), ("hours", hours)) if value is not None}
    if not wanted:
        found = connect().list("guards", system=system)
        output.rows(found, GUARDS, "No batch system is known yet.", None)
        return
    if not system:
        raise UsedWrongly("which batch system is not said", hint="Say poms site guard local --mode act.")
    why = (reason or "").strip() or ask_reason("guard", [system])
    output.one(connect().patch(["guards", system], {**wanted, "reason": why}))
