"""`poms credential`: what launches run with, by reference: how long each lives, and what is done about it."""

from __future__ import annotations

import time
from typing import Annotated, Any, Optional

import typer

from poms_client.commands._common import (
    AsJson,
    Experiment,
    Quiet,
    Reason,
    Ref,
    Sets,
    add_history,
    add_list,
    add_show,
    ask_reason,
    connect,
    fields,
    noun_app,
    resolved,
)
from poms_client.commands.library import Source, read_object, values
from poms_client.errors import UsedWrongly
from poms_client.output import Output, note
from poms_client.refs import CREDENTIAL

COLUMNS = ("ref", "kind", "state", "ends", "host", "account", "seen", "renewers")
LOOK_S = 0.5

Wait = Annotated[float, typer.Option("--wait", metavar="S", min=0.0, help="Wait so long for what comes of it.")]

app = noun_app("credential", "What launches run with, by reference: its life, and who renews it.")
add_list(app, CREDENTIAL, COLUMNS, "No credential has been entered.")
add_show(app, CREDENTIAL)
add_history(app, CREDENTIAL)


@app.command("add")
@resolved
def add(
    name: Annotated[str, typer.Argument(metavar="NAME", show_default=False, help="What it is called.")],
    kind: Annotated[str, typer.Option("--kind", "-k", metavar="KIND", help="voms, scitoken or kerberos.")],
    path: Annotated[str, typer.Option("--path", "-p", metavar="PATH", help="Where it lies on its host.")],
    host: Annotated[str, typer.Option(metavar="HOST", help="The launch host; without it, the worker.")] = "",
    account: Annotated[str, typer.Option(metavar="ACCOUNT", help="The account on the host.")] = "",
    role: Annotated[str, typer.Option(metavar="ROLE", help="production or analysis.")] = "production",
    reason: Reason = None,
    experiment: Experiment = None,
    source: Source = None,
    settings: Sets = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Enter a credential; POMS keeps where it lies, never what is in it. --set KEY=TEXT, or KEY:=JSON."""
    if not experiment:
        raise UsedWrongly("A credential needs its experiment", hint="Say --experiment E.")
    body = {
        **(read_object(source) if source else {}), **values(fields(settings)), "experiment": experiment, "name": name,
        "kind": kind, "path": path, "host": host, "account": account, "role": role, "launcher": "ssh" if host else "",
        "reason": reason or ask_reason("enter", [f"{experiment}/{name}"]),
    }  # fmt: skip
    answer = connect().post(CREDENTIAL.collection, body)
    Output(as_json=as_json, quiet=quiet).done(answer["ref"], "add", answer)


@app.command("change")
@resolved
def change(
    ref: Ref,
    reason: Reason = None,
    experiment: Experiment = None,
    source: Source = None,
    settings: Sets = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Change a credential. --set KEY=TEXT, or --set KEY:=JSON for other than text."""
    body = {**(read_object(source) if source else {}), **values(fields(settings))}
    if not body:
        raise UsedWrongly("Nothing is to be changed", hint="Say --set KEY=VALUE or --file FILE.json.")
    _patch(ref, "change", body, reason, experiment, Output(as_json=as_json, quiet=quiet))


@app.command("remove")
@resolved
def remove(
    ref: Ref, reason: Reason = None, experiment: Experiment = None, as_json: AsJson = False, quiet: Quiet = False
) -> None:
    """Put a credential away: launches go without it. Its file stays; `change --set active:=true` takes it back."""
    _patch(ref, "remove", {"active": False}, reason, experiment, Output(as_json=as_json, quiet=quiet))


@app.command("renew")
@resolved
def renew(
    ref: Ref,
    reason: Reason = None,
    wait: Wait = 90.0,
    experiment: Experiment = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Renew a credential now, by its command; 0 when it lives longer then, 1 when it does not."""
    full = CREDENTIAL.full(ref, experiment)
    body = {"reason": reason or ask_reason("renew", [full])}
    before = connect().get([CREDENTIAL.collection, *full.split("/")])
    found = _after(full, "renew", body, "tried", before, wait)
    Output(as_json=as_json, quiet=quiet).done(full, "renew", found)
    if found["tried"] == before["tried"]:
        note(f"poms: {full} was not tried yet; poms credential show {full} says what became of it")
        raise typer.Exit(1)
    if found["trouble"]:
        note(f"poms: {full} was not renewed: {found['trouble']}")
        raise typer.Exit(1)


@app.command("check")
@resolved
def check(
    ref: Ref, wait: Wait = 60.0, experiment: Experiment = None, as_json: AsJson = False, quiet: Quiet = False
) -> None:
    """Ask a credential now how long it lives; 0 when launches may go with it, 1 when not or nobody knows."""
    full = CREDENTIAL.full(ref, experiment)
    before = connect().get([CREDENTIAL.collection, *full.split("/")])
    found = _after(full, "check", {}, "seen", before, wait)
    output = Output(as_json=as_json, quiet=quiet)
    output.one(found)
    if found["state"] not in ("live", "ending"):
        raise typer.Exit(1)


def _patch(
    ref: str, word: str, body: dict[str, Any], reason: Optional[str], experiment: Optional[str], output: Output
) -> None:
    full = CREDENTIAL.full(ref, experiment)
    body = {**body, "reason": reason or ask_reason(word, [full])}
    output.done(full, word, connect().patch([CREDENTIAL.collection, *full.split("/")], body))


def _after(
    full: str, verb: str, body: dict[str, Any], moves: str, before: dict[str, Any], wait: float
) -> dict[str, Any]:
    """Say a verb and wait until what the loop does about it can be seen, or the time is over."""
    client, place = connect(), [CREDENTIAL.collection, *full.split("/")]
    found: dict[str, Any] = client.post([*place, verb], body)
    deadline = time.monotonic() + wait
    while time.monotonic() < deadline:
        found = client.get(place)
        settled = verb == "check" or found["seen"] != before["seen"] or found["trouble"]
        if found["error"] or (found[moves] != before[moves] and settled):
            break
        time.sleep(LOOK_S)
    return found
