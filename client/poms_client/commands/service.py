"""`poms service`: what launches need outside, how it is, and what people say of it."""

from __future__ import annotations

from typing import Annotated, Any, Optional

import typer

from poms_client.commands._common import (
    AsJson,
    Experiment,
    Limit,
    Quiet,
    Reason,
    Ref,
    Refs,
    Sets,
    Verb,
    add_history,
    add_list,
    add_show,
    ask_reason,
    connect,
    fields,
    for_each,
    noun_app,
    resolved,
    say,
)
from poms_client.errors import UsedWrongly
from poms_client.output import Output
from poms_client.refs import SERVICE, parts

COLUMNS = ("ref", "name", "state", "since", "kind", "gates", "gated", "looked_at", "said")
STATES = ("at", "from", "to", "until", "reason")
KIND = "http, queue, disk, host, path, git, credential, catalogue or none (nobody looks: people say how it is)."

Kind = Annotated[Optional[str], typer.Option("--kind", "-k", metavar="KIND", help=KIND)]
Gates = Annotated[
    Optional[str],
    typer.Option("--gates", metavar="WHAT", help="everything, batch, host, catalogue or nothing, while it is down."),
]
Gated = Annotated[Optional[str], typer.Option("--gated", metavar="NAME", help="Which one; without it: every one.")]
Every = Annotated[Optional[int], typer.Option("--every", metavar="S", min=1, help="Seconds between two looks.")]
Downs = Annotated[Optional[int], typer.Option("--downs", metavar="N", min=1, help="Failed looks that close it.")]
Ups = Annotated[Optional[int], typer.Option("--ups", metavar="N", min=1, help="Good looks that open it again.")]
Title = Annotated[Optional[str], typer.Option("--title", metavar="TEXT", help="What people call it.")]
Until = Annotated[Optional[str], typer.Option("--until", metavar="T", help="Until then, such as 2026-11-01T08:00Z.")]

app = noun_app("service", "What launches need outside: list, show, check, override, downtimes.")
add_list(app, SERVICE, COLUMNS, "No service is watched here. `poms service add` enters one.")
add_show(app, SERVICE)
add_history(app, SERVICE)


def _given(sets: list[str] | None, **values: Any) -> dict[str, Any]:
    found = {name: value for name, value in values.items() if value is not None}
    return {**found, **({"settings": fields(sets)} if sets else {})}


@app.command("add")
@resolved
def add(
    name: Annotated[str, typer.Argument(metavar="NAME", show_default=False, help="Such as sam.")],
    experiment: Annotated[
        str, typer.Option("--experiment", "-e", metavar="E", help="Whose it is; `all` is everybody's.")
    ],
    kind: Annotated[str, typer.Option("--kind", "-k", metavar="KIND", help=KIND)],
    sets: Sets = None,
    gates: Gates = None,
    gated: Gated = None,
    every: Every = None,
    downs: Downs = None,
    ups: Ups = None,
    title: Title = None,
    reason: Reason = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Enter a service; --set gives the settings of its kind, such as --set url=https://sam.example.org."""
    output = Output(as_json=as_json, quiet=quiet)
    why = (reason or "").strip() or ask_reason("add", [name])
    body = {"experiment": experiment, "name": name, "kind": kind, "reason": why}
    more = _given(sets, gates=gates, gated=gated, every_s=every, downs=downs, ups=ups, title=title)
    output.one(connect().post(SERVICE.collection, {**body, **more}))


@app.command("change")
@resolved
def change(
    ref: Ref,
    experiment: Experiment = None,
    kind: Kind = None,
    sets: Sets = None,
    gates: Gates = None,
    gated: Gated = None,
    every: Every = None,
    downs: Downs = None,
    ups: Ups = None,
    title: Title = None,
    providers: Annotated[
        Optional[list[str]], typer.Option("--provider", metavar="USER", help="Who provides it; may be repeated.")
    ] = None,
    reason: Reason = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Change how a service is looked at and what it gates; settings that are not named stay."""
    output = Output(as_json=as_json, quiet=quiet)
    full, client = SERVICE.full(ref, experiment), connect()
    wanted = _given(None, kind=kind, gates=gates, gated=gated, every_s=every, downs=downs, ups=ups, title=title)
    if sets:
        wanted["settings"] = {**client.show(SERVICE.collection, full)["settings"], **fields(sets)}
    if providers:
        wanted["providers"] = list(providers)
    if not wanted:
        raise UsedWrongly("nothing is to be changed", hint="Give --set KEY=VALUE, --gates, --every or another.")
    why = (reason or "").strip() or ask_reason("change", [ref])
    output.done(full, "change", client.patch([SERVICE.collection, *parts(full)], {**wanted, "reason": why}))


@app.command("remove")
@resolved
def remove(
    refs: Refs, experiment: Experiment = None, reason: Reason = None, as_json: AsJson = False, quiet: Quiet = False
) -> None:
    """Put a service away: it is not looked at any more and gates nothing; its history stays."""
    output = Output(as_json=as_json, quiet=quiet)
    client = connect()
    why = (reason or "").strip() or ask_reason("remove", refs)

    def act(given: str) -> None:
        full = SERVICE.full(given, experiment)
        answer = client.patch([SERVICE.collection, *parts(full)], {"active": False, "reason": why})
        output.done(full, "remove", answer)

    for_each(client, refs, act)


@app.command("check")
@resolved
def check(refs: Refs, experiment: Experiment = None, as_json: AsJson = False, quiet: Quiet = False) -> None:
    """Look at a service now and say how it is."""
    output = Output(as_json=as_json, quiet=quiet)
    client = connect()

    def act(given: str) -> None:
        output.one(client.verb(SERVICE.collection, SERVICE.full(given, experiment), "check"))

    for_each(client, refs, act)


@app.command("override")
@resolved
def override(
    ref: Ref,
    state: Annotated[str, typer.Argument(metavar="up|down|none", show_default=False, help="`none` takes it back.")],
    until: Until = None,
    experiment: Experiment = None,
    reason: Reason = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Say that a service is up or down, whatever is found."""
    output = Output(as_json=as_json, quiet=quiet)
    say(SERVICE, "override", Verb(""), [ref], reason, experiment, output, state=state, until=until)


@app.command("downtime")
@resolved
def downtime(
    ref: Ref,
    until: Until = None,
    begin: Annotated[
        Optional[str], typer.Option("--from", metavar="T", help="From then on; without it: from now on.")
    ] = None,
    end: Annotated[bool, typer.Option("--end", help="Take back what is planned.")] = False,
    experiment: Experiment = None,
    reason: Reason = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Say that a service is down by plan, or take that back."""
    output = Output(as_json=as_json, quiet=quiet)
    if end:
        say(SERVICE, "no_downtime", Verb(""), [ref], reason, experiment, output)
        return
    if not until:
        raise UsedWrongly("a downtime needs an end", hint="Say --until 2026-11-01T08:00Z, or --end to take it back.")
    more = {"until": until, **({"begins": begin} if begin else {})}
    say(SERVICE, "downtime", Verb(""), [ref], reason, experiment, output, **more)


@app.command("states")
@resolved
def states(
    ref: Ref,
    after: Annotated[Optional[str], typer.Option("--after", metavar="T", help="What it was in since then.")] = None,
    before: Annotated[Optional[str], typer.Option("--before", metavar="T", help="What it was in until then.")] = None,
    experiment: Experiment = None,
    limit: Limit = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Show how it was, the latest first."""
    output = Output(as_json=as_json, quiet=quiet)
    full = SERVICE.full(ref, experiment)
    query = {"after": after, "before": before, "limit": limit}
    found = connect().get([SERVICE.collection, *full.split("/"), "states"], **query)
    output.rows(found["results"], STATES, "Nobody has looked at it yet.", limit)
