"""`poms host` and `poms system`: launch hosts of an experiment, and batch systems of the whole service."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from poms_client import formatting
from poms_client.commands._common import (
    AsJson,
    Experiment,
    Limit,
    Quiet,
    Reason,
    Ref,
    Refs,
    Sets,
    add_list,
    add_show,
    ask_reason,
    connect,
    fields,
    for_each,
    noun_app,
    resolved,
)
from poms_client.commands.library import values
from poms_client.errors import UsedWrongly
from poms_client.output import Output
from poms_client.refs import HOST, SYSTEM, Noun

Keys = Annotated[
    Optional[str], typer.Option("--keys", metavar="FILE", help="Its public keys, of ssh-keyscan; - is standard input.")
]
Settings = Annotated[
    Optional[list[str]],
    typer.Option("--setting", metavar="KEY=VALUE", help="A setting of the backend, KEY:=JSON for other than text."),
]
Home = Annotated[Optional[str], typer.Option("--home", metavar="DIR", help="A folder on a disk of the host itself.")]

host = noun_app("host", "Launch hosts: on which hosts scripts are started, and who does not answer.")
add_list(
    host, HOST, ("ref", "address", "active", "answers", "silent_since", "next_try", "error"),
    "No launch host here. `poms host add` enters one.",
)  # fmt: skip
add_show(host, HOST)

system = noun_app("system", "Batch systems of the whole service.")
add_show(system, SYSTEM)


@system.command("list")
@resolved
def list_systems(limit: Limit = None, as_json: AsJson = False, quiet: Quiet = False) -> None:
    """List batch systems."""
    columns = ("ref", "backend", "active", "answers", "looked_at", "error")
    found = connect().list(SYSTEM.collection, limit=limit)
    Output(as_json=as_json, quiet=quiet).rows(found, columns, "No batch system is entered but the local one.", limit)


@host.command("add")
@resolved
def add_host(
    name: Annotated[str, typer.Option("--name", metavar="NAME", help="What set-ups call it, as a rule its address.")],
    account: Annotated[str, typer.Option("--account", metavar="USER", help="Scripts run under it.")],
    home: Annotated[str, typer.Option("--home", metavar="DIR", help="A folder on a disk of the host itself.")],
    keys: Keys = None,
    settings: Sets = None,
    reason: Reason = None,
    experiment: Experiment = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Enter a launch host. --set address=…, port:=2222, python=…, credential=…, for_analysis:=true, most_at_once:=9."""
    if not experiment:
        raise UsedWrongly("A launch host needs experiment", hint="Say --experiment …")
    if keys is None:
        raise UsedWrongly("A launch host needs its public keys", hint=f"ssh-keyscan {name} | poms host add --keys - …")
    body = {
        "experiment": experiment, "name": name, "account": account, "home": home, "known_hosts": _text(keys),
        **values(fields(settings)), "reason": reason or ask_reason("add", [f"{account}@{name}"]),
    }  # fmt: skip
    answer = connect().post(HOST.collection, body)
    Output(as_json=as_json, quiet=quiet).done(str(answer["ref"]), "add", answer)


@host.command("change")
@resolved
def change_host(
    ref: Ref,
    home: Home = None,
    keys: Keys = None,
    settings: Sets = None,
    reason: Reason = None,
    experiment: Experiment = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Change a launch host; --set KEY=TEXT, KEY:=JSON. --set active:=true takes one that was put away again."""
    full = HOST.full(ref, experiment)
    body = values(fields(settings))
    body.update({} if home is None else {"home": home})
    body.update({} if keys is None else {"known_hosts": _text(keys)})
    _edit(HOST, full, body, reason, Output(as_json=as_json, quiet=quiet))


@system.command("add")
@resolved
def add_system(
    name: Annotated[str, typer.Option("--name", metavar="NAME", help="By which set-ups name it.")],
    backend: Annotated[str, typer.Option("--backend", metavar="KIND", help="htcondor, jobsub, slurm or local.")],
    settings: Settings = None,
    reason: Reason = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Enter a batch system."""
    body = {
        "name": name, "backend": backend, "settings": values(fields(settings, "--setting")),
        "reason": reason or ask_reason("add", [name]),
    }  # fmt: skip
    Output(as_json=as_json, quiet=quiet).done(name, "add", connect().post(SYSTEM.collection, body))


@system.command("change")
@resolved
def change_system(
    ref: Ref,
    settings: Settings = None,
    active: Annotated[
        Optional[bool], typer.Option("--active/--inactive", help="Whether anything new goes there.")
    ] = None,
    reason: Reason = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Change settings of a batch system, those that are said; KEY= takes one away."""
    full, given = SYSTEM.full(ref), values(fields(settings, "--setting"))
    body: dict[str, Any] = {} if active is None else {"active": active}
    if given:
        standing = connect().show(SYSTEM.collection, full)
        merged = {**standing.get("settings", {}), **given}
        body["settings"] = {key: value for key, value in merged.items() if value != ""}
        body["seen"] = standing.get("fingerprint", "")
    _edit(SYSTEM, full, body, reason, Output(as_json=as_json, quiet=quiet))


def _edit(noun: Noun, full: str, body: dict[str, Any], reason: str | None, output: Output) -> None:
    if not body:
        raise UsedWrongly("Nothing is to be changed", hint=f"poms {noun.word} change --help says how.")
    body["reason"] = reason or ask_reason("change", [full])
    output.done(full, "change", connect().patch([noun.collection, *full.split("/")], body))


def _remover(noun: Noun) -> Any:
    def remove(
        refs: Refs, reason: Reason = None, experiment: Experiment = None, as_json: AsJson = False, quiet: Quiet = False
    ) -> None:
        output, client = Output(as_json=as_json, quiet=quiet), connect()
        why = reason or ask_reason("remove", refs)

        def act(given: str) -> None:
            full = noun.full(given, experiment)
            output.done(full, "remove", client.verb(noun.collection, full, "put_away", why))

        for_each(client, refs, act)

    return remove


def _trier(noun: Noun) -> Any:
    def try_(refs: Refs, experiment: Experiment = None, as_json: AsJson = False) -> None:
        client = connect()

        def act(given: str) -> int:
            full = noun.full(given, experiment)
            answer = client.verb(noun.collection, full, "try")
            if as_json:
                Output(as_json=True).document(answer)
            else:
                outcome = "answers" if answer["answered"] else "no answer"
                print(f"{full}\t{outcome}\t{formatting.one_line(answer['said'])}")
            return 0 if answer["answered"] else 1

        for_each(client, refs, act)

    return try_


for _app, _noun, _what in ((host, HOST, "launch host"), (system, SYSTEM, "batch system")):
    _app.command("remove", help=f"Put a {_what} away: nothing new goes there; it stays to be read.")(
        resolved(_remover(_noun))
    )
    _app.command("try", help=f"Make one call to a {_what} and say what came of it. 0 when it answers.")(
        resolved(_trier(_noun))
    )


def _text(name: str) -> str:
    """Return the text of a file, or of standard input for `-`."""
    try:
        return sys.stdin.read() if name == "-" else Path(name).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsedWrongly(f"{name} cannot be read", detail=str(error)) from error
