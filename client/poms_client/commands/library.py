"""`poms jobtype`, `poms setup` and `poms template`: what campaigns are made of, each with its versions."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from poms_client.commands._common import (
    AsJson,
    Experiment,
    Quiet,
    Reason,
    Ref,
    Sets,
    add_list,
    add_show,
    ask_reason,
    connect,
    fields,
    noun_app,
    resolved,
)
from poms_client.errors import UsedWrongly
from poms_client.output import Output, note, write_text
from poms_client.refs import CAMPAIGN, JOBTYPE, SETUP, TEMPLATE, Noun

Source = Annotated[Optional[str], typer.Option("--file", metavar="FILE.json", help="Its fields; - is standard input.")]
VERSIONS = ("version", "at", "by", "reason")


def _group(noun: Noun, help: str, columns: tuple[str, ...]) -> typer.Typer:
    app = noun_app(noun.word, help)
    add_list(app, noun, columns, f"No {noun.collection} here. `poms {noun.word} create` makes one.")
    add_show(app, noun)

    def create(
        experiment: Experiment = None,
        name: Annotated[Optional[str], typer.Option(metavar="NAME", help="What it is called.")] = None,
        source: Source = None,
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

    def edit(
        ref: Ref,
        reason: Reason = None,
        experiment: Experiment = None,
        source: Source = None,
        settings: Sets = None,
        as_json: AsJson = False,
        quiet: Quiet = False,
    ) -> None:
        output, full = Output(as_json=as_json, quiet=quiet), noun.full(ref, experiment)
        body = {**(read_object(source) if source else {}), **values(fields(settings))}
        if not body:
            raise UsedWrongly("Nothing is to be changed", hint="Say --set KEY=VALUE or --file FILE.json.")
        body["reason"] = reason or ask_reason("edit", [full])
        output.done(full, "edit", connect().patch([noun.collection, *full.split("/")], body))

    def versions(ref: Ref, experiment: Experiment = None, as_json: AsJson = False, quiet: Quiet = False) -> None:
        full = noun.full(ref, experiment)
        found = connect().get([noun.collection, *full.split("/"), "versions"])["results"]
        Output(as_json=as_json, quiet=quiet).rows(found, VERSIONS, "It was not edited since versions are kept.", None)

    def restore(
        ref: Ref,
        version: Annotated[int, typer.Option("--version", metavar="N", min=1, help="Which one: poms … versions.")],
        reason: Reason = None,
        experiment: Experiment = None,
        as_json: AsJson = False,
        quiet: Quiet = False,
    ) -> None:
        full = noun.full(ref, experiment)
        body = {"version": version, "reason": reason or ""}
        answer = connect().post([noun.collection, *full.split("/"), "restore"], body)
        Output(as_json=as_json, quiet=quiet).done(full, "restore", answer)

    text = "--set KEY=TEXT, or --set KEY:=JSON for other than text."
    app.command("create", help=f"Create a {noun.word}. {text}")(resolved(create))
    app.command("edit", help=f"Change a {noun.word}; the next version. {text}")(resolved(edit))
    app.command("versions", help=f"List what a {noun.word} said from edit to edit.")(resolved(versions))
    app.command("restore", help=f"Let a {noun.word} say again what it said in a version.")(resolved(restore))
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


jobtype = _group(JOBTYPE, "How jobs of one kind are run.", ("ref", "launch_script", "active", "edited_by", "edited"))
setup = _group(
    SETUP, "Where and as whom launches are made.", ("ref", "host", "account", "launcher", "batch", "active", "edited")
)
template = _group(
    TEMPLATE, "Definitions to begin with.",
    ("ref", "title", "production_stage", "counts_on", "about"),
)  # fmt: skip


def _publishing(common: bool) -> Any:
    def publish(
        ref: Ref, reason: Reason = None, experiment: Experiment = None, as_json: AsJson = False, quiet: Quiet = False
    ) -> None:
        word, full = "publish" if common else "withdraw", TEMPLATE.full(ref, experiment)
        body = {"common": common, "reason": reason or ask_reason(word, [full])}
        answer = connect().post([TEMPLATE.collection, *full.split("/"), "publish"], body)
        Output(as_json=as_json, quiet=quiet).done(full, word, answer)

    return publish


template.command("publish", help="Put a template into the common library.")(resolved(_publishing(True)))
template.command("withdraw", help="Take a template out of the common library.")(resolved(_publishing(False)))


@setup.command("test")
@resolved
def test_setup(
    ref: Ref,
    wait: Annotated[float, typer.Option(metavar="S", min=0.0, help="Wait so long for its end.")] = 90.0,
    experiment: Experiment = None,
    as_json: AsJson = False,
) -> None:
    """Log in, run the set-up's text and show where one is then; nothing is submitted. 0 when it passed."""
    client, full = connect(), SETUP.full(ref, experiment)
    trial = client.post([SETUP.collection, *full.split("/"), "test"])
    deadline = time.monotonic() + wait
    while trial["state"] == "running" and time.monotonic() < deadline:
        time.sleep(0.3)
        found = client.get([SETUP.collection, *full.split("/"), "trials"])["results"]
        trial = next(one for one in found if one["id"] == trial["id"])
    if as_json:
        Output(as_json=True).document(trial)
    else:
        write_text(trial["text"])
        code = "" if trial["exit_code"] is None else f", exit code {trial['exit_code']}"
        note(f"poms: {full}, version {trial['version']}: {trial['state']}{code}")
    if trial["state"] != "passed":
        raise typer.Exit(1)


@setup.command("trials")
@resolved
def trials(ref: Ref, experiment: Experiment = None, as_json: AsJson = False, quiet: Quiet = False) -> None:
    """List how the trials of a set-up went, the newest first."""
    found = connect().get([SETUP.collection, *SETUP.full(ref, experiment).split("/"), "trials"])["results"]
    columns = ("id", "state", "version", "exit_code", "by", "started", "ended")
    Output(as_json=as_json, quiet=quiet).rows(found, columns, "It was never tried: poms setup test.", len(found))


@template.command("of")
@resolved
def template_of(
    ref: Annotated[str, typer.Argument(metavar="REF", show_default=False, help="A campaign, for example demo/c1.")],
    name: Annotated[str, typer.Option("--name", help="What the template is called: letters, digits, hyphens.")],
    title: Annotated[str, typer.Option("--title", "-t", help="In a few words.")] = "",
    about: Annotated[str, typer.Option("--about", help="What it is for.")] = "",
    parameters: Annotated[
        Optional[list[str]],
        typer.Option("--parameter", "-p", metavar="NAME=VALUE", help="Put the parameter where the value stands."),
    ] = None,
    reason: Reason = None,
    experiment: Experiment = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Make a template of a campaign's newest definition; print its name."""
    body = {
        "name": name, "title": title, "about": about, "parameters": "\n".join(parameters or ()), "reason": reason or "",
    }  # fmt: skip
    full = CAMPAIGN.full(ref, experiment)
    made = connect().post([CAMPAIGN.collection, *full.split("/"), "template"], body)
    Output(as_json=as_json, quiet=quiet).done(made["template"], "make", made)


@template.command("use")
@resolved
def use(
    ref: Annotated[str, typer.Argument(metavar="REF", show_default=False, help="A template, for example demo/reco.")],
    name: Annotated[str, typer.Option("--name", help="What the campaign is called.")] = "",
    parameters: Annotated[
        Optional[list[str]], typer.Option("--parameter", "-p", metavar="NAME=VALUE", help="What is filled in.")
    ] = None,
    experiment: Experiment = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Make a draft campaign with a template; print its reference. With --experiment, of another experiment's too."""
    body = {"experiment": experiment or "", "name": name, "parameters": fields(parameters, "--parameter")}
    full = TEMPLATE.full(ref, experiment)
    made = connect().post([TEMPLATE.collection, *full.split("/"), "use"], body)
    Output(as_json=as_json, quiet=quiet).done(made["campaign"], "use", made)
