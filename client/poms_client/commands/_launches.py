"""What batches, submissions and stages share: the commands of a launch, other parameters, launches made outside."""

from __future__ import annotations

import json
import shlex
from typing import Annotated, Any, Optional

import typer

from poms_client.commands._common import (
    AsJson,
    Experiment,
    Quiet,
    Reason,
    Ref,
    Refs,
    Verb,
    connect,
    resolved,
    say,
)
from poms_client.errors import UsedWrongly
from poms_client.output import Output, note, write_text
from poms_client.refs import BATCH, STAGE, Noun

MANY = "Several may be given."


def add_commands(app: typer.Typer, noun: Noun) -> None:
    """Add `commands`."""

    def commands(ref: Ref, experiment: Experiment = None, as_json: AsJson = False) -> None:
        full = noun.full(ref, experiment)
        found = connect().get([noun.collection, *full.split("/"), "commands"])
        if as_json:
            Output(as_json=True).document(found)
        else:
            _tell(found)

    text = f"Show exactly what a launch of a {noun.word} runs, as a script; nothing is launched."
    app.command("commands", help=text)(resolved(commands))


def add_launch_with(app: typer.Typer) -> None:
    """Add `launch-with`."""

    def launch_with(
        refs: Refs,
        parameter: Annotated[
            list[str],
            typer.Option("--parameter", "-p", metavar="JSON", help=f'A ["key", "value"] pair, laid over. {MANY}'),
        ],
        reason: Reason = None,
        experiment: Experiment = None,
        as_json: AsJson = False,
        quiet: Quiet = False,
    ) -> None:
        pairs = [_pair(given) for given in parameter]
        output = Output(as_json=as_json, quiet=quiet)
        say(BATCH, "launch_with", Verb(""), refs, reason, experiment, output, parameters=pairs)

    text = "Launch a batch once with other parameters: one that waits for its launch, or has failed."
    app.command("launch-with", help=text)(resolved(launch_with))


def add_register(app: typer.Typer) -> None:
    """Add `register`."""

    def register(
        ref: Ref,
        job: Annotated[Optional[list[str]], typer.Option("--job", metavar="ID", help=f"Its job. {MANY}")] = None,
        command: Annotated[str, typer.Option("--command", metavar="TEXT", help="What was run.")] = "",
        dataset: Annotated[str, typer.Option("--dataset", metavar="NAME", help="What it reads.")] = "",
        reason: Reason = None,
        experiment: Experiment = None,
        as_json: AsJson = False,
        quiet: Quiet = False,
    ) -> None:
        full = STAGE.full(ref, experiment)
        body = {"command": command, "dataset": dataset, "jobs": job or [], "reason": reason or ""}
        made = connect().post([STAGE.collection, *full.split("/"), "register"], body)
        output = Output(as_json=as_json, quiet=quiet)
        if as_json:
            output.document(made)
        else:
            output.done(made["submission"], f"kept beside {full}", {})

    text = "Keep a launch of a stage that was made outside POMS, and have its jobs watched."
    app.command("register", help=text)(resolved(register))


def _pair(given: str) -> list[str]:
    try:
        pair = json.loads(given)
    except ValueError:
        pair = None
    if not isinstance(pair, list) or len(pair) != 2 or not all(isinstance(word, str) for word in pair):
        raise UsedWrongly(f"--parameter {given!r} is no pair", hint="""It looks like '["--tune ", "G18"]'.""")
    return pair


def _tell(found: dict[str, Any]) -> None:
    """Write commands as a script that somebody could read or run; what is about it goes to stderr."""
    place = found["host"] or "the worker's own host"
    account = f" as {found['account']}" if found["account"] else ""
    note(f"poms: {found['about']}; on {place}{account}, jobs go to {found['system']}")
    if found["unknown"]:
        note(f"poms: {found['unknown']}")
    exports = "".join(f"export {name}={_quoted(value)}\n" for name, value in found["environment"].items())
    setup = f"{found['setup']}\n" if found["setup"] else ""
    write_text(f"{exports}{setup}{found['command']}\n")


def _quoted(value: str) -> str:
    return shlex.quote(value)
