"""`poms jobtype` and `poms setup`: what campaigns are made of."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from poms_client.commands._common import (
    AsJson,
    Experiment,
    Quiet,
    Sets,
    add_list,
    add_show,
    connect,
    fields,
    noun_app,
    resolved,
)
from poms_client.errors import UsedWrongly
from poms_client.output import Output
from poms_client.refs import JOBTYPE, SETUP, Noun


def _group(noun: Noun, help: str, columns: tuple[str, ...]) -> typer.Typer:
    app = noun_app(noun.word, help)
    add_list(app, noun, columns, f"No {noun.collection} here. `poms {noun.word} create` makes one.")
    add_show(app, noun)

    def create(
        experiment: Experiment = None,
        name: Annotated[Optional[str], typer.Option(metavar="NAME", help="What it is called.")] = None,
        source: Annotated[
            Optional[str],
            typer.Option("--file", metavar="FILE.json", help="Its fields; - is standard input."),
        ] = None,
        settings: Sets = None,
        as_json: AsJson = False,
        quiet: Quiet = False,
    ) -> None:
        output = Output(as_json=as_json, quiet=quiet)
        body = {**(read_object(source) if source else {}), **values(fields(settings))}
        if experiment:
            body["experiment"] = experiment
        if name:
            body["name"] = name
        for key in ("experiment", "name"):
            if not body.get(key):
                raise UsedWrongly(f"A {noun.word} needs {key}", hint=f"Say --{key} …")
        answer = connect().post(noun.collection, body)
        output.done(str(answer.get("ref") or body["name"]), "create", answer)

    text = f"Create a {noun.word}. --set KEY=TEXT, or --set KEY:=JSON for other than text."
    app.command("create", help=text)(resolved(create))
    return app


def values(given: dict[str, str]) -> dict[str, Any]:
    """Return the fields, those written KEY:=JSON decoded."""
    found: dict[str, Any] = {}
    for key, value in given.items():
        if not key.endswith(":"):
            found[key] = value
            continue
        try:
            found[key[:-1]] = json.loads(value)
        except ValueError as error:
            raise UsedWrongly(f"--set {key}={value} is not JSON after :=", detail=str(error)) from error
    return found


def read_object(name: str) -> dict[str, Any]:
    """Return the JSON object in a file, or on standard input for `-`."""
    try:
        text = sys.stdin.read() if name == "-" else Path(name).read_text(encoding="utf-8")
        found = json.loads(text)
    except (OSError, ValueError) as error:
        raise UsedWrongly(f"{name} is no readable JSON", detail=str(error)) from error
    if not isinstance(found, dict):
        raise UsedWrongly(f"{name} holds no JSON object")
    return found


jobtype = _group(JOBTYPE, "How jobs of one kind are run.", ("ref", "name", "script", "memory_mb", "created"))
setup = _group(SETUP, "Where and as whom launches are made.", ("ref", "name", "host", "account", "created"))
