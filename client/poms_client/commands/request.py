"""`poms request`: file a request, see it checked, decide on it."""

from __future__ import annotations

import base64
import difflib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from poms_client.commands._common import (
    AsJson,
    Experiment,
    Quiet,
    Reason,
    Ref,
    Refs,
    Sets,
    Verb,
    add_history,
    add_list,
    add_show,
    add_verbs,
    ask_reason,
    connect,
    fields,
    for_each,
    noun_app,
    resolved,
    say,
)
from poms_client.commands.definition import read_definition
from poms_client.errors import REFUSED, UsedWrongly
from poms_client.output import Output
from poms_client.refs import REQUEST

COLUMNS = ("ref", "state", "title", "requester", "production_stage", "priority", "campaign", "filed")


def _names(text: str) -> list[str]:
    """Return a list given by commas, or from a file as @names.txt, one a line."""
    if text.startswith("@"):
        try:
            return [line.strip() for line in Path(text[1:]).read_text().splitlines() if line.strip()]
        except (OSError, UnicodeDecodeError) as error:
            raise UsedWrongly(f"{text[1:]} cannot be read", detail=str(error)) from error
    return [part.strip() for part in text.split(",") if part.strip()]


def _yes(text: str) -> bool:
    if text not in ("yes", "no", "true", "false"):
        raise UsedWrongly(f"keep_up is yes or no, not {text!r}")
    return text in ("yes", "true")


def _details(text: str) -> dict[str, str]:
    pairs = [part.partition("=") for part in text.split(",") if part.strip()]
    if any(not equals for _, equals, _ in pairs):
        raise UsedWrongly(f"details are of the form key=value,key=value, not {text!r}")
    return {key.strip(): value.strip() for key, _, value in pairs}


FIELDS: dict[str, Callable[[str], Any]] = {
    "title": str,
    "group": str,
    "production_stage": str,
    "dataset": str,
    "files": _names,
    "query": str,
    "events": int,
    "repository": str,
    "release": str,
    "configuration": str,
    "scripts": _names,
    "priority": int,
    "hours_per_file": float,
    "memory_mb": int,
    "outputs": str,
    "special": str,
    "details": _details,
    "free_text": str,
    "keep_up": _yes,
}

app = noun_app("request", "What experimenters ask for: create, check, file, decide.")

Definition = Annotated[
    Optional[str],
    typer.Option("--definition", "-d", metavar="FILE.ini", help="The campaign's definition; - is standard input."),
]


Template = Annotated[
    Optional[str], typer.Option("--template", metavar="NAME", help="Begin with a template: poms template list.")
]
Revision = Annotated[
    Optional[str],
    typer.Option("--revision", metavar="HASH", help="What you have read; by default what waits when you say it."),
]


@app.command("new")
@app.command("create", hidden=True)
@resolved
def create(
    experiment: Experiment = None,
    definition: Definition = None,
    template: Template = None,
    title: Annotated[Optional[str], typer.Option("--title", "-t", help="What it is for, in a few words.")] = None,
    production_stage: Annotated[Optional[str], typer.Option(help="Whose approvers decide.")] = None,
    parameters: Annotated[
        Optional[list[str]], typer.Option("--parameter", "-p", metavar="NAME=VALUE", help="Of the template.")
    ] = None,
    settings: Sets = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Make a request as a draft; then check and submit it.

    Fields for --set: dataset, files (a,b or @names.txt), query, events, repository, release, configuration, scripts,
    priority (0 to 100), hours_per_file, memory_mb, outputs, special, details (key=value,…), free_text, keep_up, group.
    """
    output = Output(as_json=as_json, quiet=quiet)
    body = typed(fields(settings))
    body.update(_given(title=title, production_stage=production_stage))
    if not experiment:
        raise UsedWrongly("For which experiment?", hint="Say --experiment E.")
    if not body.get("title"):
        raise UsedWrongly("A request needs a title", hint='Say --title "…".')
    if not definition and not template:
        raise UsedWrongly("A request needs a definition", hint="Say --definition FILE.ini or --template NAME.")
    body.update(experiment=experiment)
    if template:
        body["template"] = template
    if parameters:
        body["parameters"] = fields(parameters, "--parameter")
    if definition:
        body["definition"] = read_definition(definition)
    answer = connect().post("requests", body)
    output.done(answer.get("ref", ""), "create", answer)


@app.command("edit")
@resolved
def edit(
    ref: Ref,
    experiment: Experiment = None,
    definition: Definition = None,
    title: Annotated[Optional[str], typer.Option("--title", "-t", help="A new title.")] = None,
    production_stage: Annotated[Optional[str], typer.Option(help="Whose approvers decide.")] = None,
    settings: Sets = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Change a draft or a returned request."""
    output = Output(as_json=as_json, quiet=quiet)
    body = typed(fields(settings))
    body.update(_given(title=title, production_stage=production_stage))
    if definition:
        body["definition"] = read_definition(definition)
    if not body:
        raise UsedWrongly("What shall change?", hint="Say --definition, --title, --production-stage or --set.")
    client = connect()
    full = REQUEST.full(ref, experiment)
    _, tag = client.show_with_tag(REQUEST.collection, full)
    output.done(full, "edit", client.patch([REQUEST.collection, *full.split("/")], body, if_match=tag))


@app.command("check")
@resolved
def check(refs: Refs, experiment: Experiment = None, as_json: AsJson = False, quiet: Quiet = False) -> None:
    """Check whether a request can be done; leaves with 1 when a check fails."""
    output = Output(as_json=as_json, quiet=quiet)
    client = connect()

    def act(given: str) -> int:
        ref = REQUEST.full(given, experiment)
        report = client.verb(REQUEST.collection, ref, "check")
        _show_report(output, ref, report)
        return REFUSED if report.get("verdict") == "fail" else 0

    for_each(client, refs, act)


def _show_report(output: Output, ref: str, report: dict[str, Any]) -> None:
    if output.as_json or output.quiet:
        output.done(ref, "check", report)
        return
    lines = report.get("lines") or []
    if output.people:
        output.table(lines, ("result", "check", "text", "hint"), title=ref)
    else:
        output.rows(({"ref": ref, **line} for line in lines), ("ref", "result", "check", "text", "hint"), "", None)
    output.done(ref, "check", {"state": report.get("verdict")})


def _decide(word: str, help: str, *, needed: bool) -> None:
    """Add a decision: it names the revision that it is about, so that no other one is decided on (F25)."""

    def say_decision(
        refs: Refs,
        reason: Reason = None,
        revision: Revision = None,
        experiment: Experiment = None,
        as_json: AsJson = False,
        quiet: Quiet = False,
    ) -> None:
        output = Output(as_json=as_json, quiet=quiet)
        client = connect()
        why = (reason or "").strip() or (ask_reason(word, refs) if needed else "")

        def act(given: str) -> None:
            ref = REQUEST.full(given, experiment)
            read = revision or client.show(REQUEST.collection, ref).get("revision") or ""
            output.done(ref, word, client.verb(REQUEST.collection, ref, word, why, revision=read))

        for_each(client, refs, act)

    app.command(word, help=help)(resolved(say_decision))


_decide("approve", "Approve a request (never your own), exactly as it is now.", needed=False)
_decide("return", "Send a request back for changes.", needed=True)
_decide("reject", "Reject a request for good.", needed=True)
add_verbs(
    app,
    REQUEST,
    {
        "file": Verb("Hand a request in for approval.", reason=False),
        "withdraw": Verb("Take your own request back."),
        "watch": Verb("Hear of what happens to a request.", reason=False),
        "unwatch": Verb("Hear of it no more.", reason=False),
        "extend": Verb("Let a keep-up request go on for another week.", reason=False),
    },
)


@app.command("submit")
@resolved
def submit(refs: Refs, reason: Reason = None, experiment: Experiment = None, as_json: AsJson = False,
           quiet: Quiet = False) -> None:  # fmt: skip
    """Hand a request in for approval; the same as `file`."""
    say(REQUEST, "file", Verb("", reason=False), refs, reason, experiment, Output(as_json=as_json, quiet=quiet))


@app.command("clone")
@resolved
def clone(
    ref: Ref,
    experiment: Experiment = None,
    definition: Definition = None,
    title: Annotated[Optional[str], typer.Option("--title", "-t", help="Another title.")] = None,
    settings: Sets = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Make a draft like a request, with what is to be different."""
    body = typed(fields(settings))
    body.update(_given(title=title))
    if definition:
        body["definition"] = read_definition(definition)
    full = REQUEST.full(ref, experiment)
    answer = connect().post([REQUEST.collection, *full.split("/"), "clone"], body)
    Output(as_json=as_json, quiet=quiet).done(answer.get("ref", ""), "clone", answer)


@app.command("test")
@resolved
def test(
    refs: Refs,
    size: Annotated[int, typer.Option("--size", "-n", min=1, help="Inputs of each stage that begins.")] = 2,
    own_account: Annotated[bool, typer.Option("--own-account", help="Under your own account.")] = False,
    experiment: Experiment = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Run a request's definition on a few inputs; its outputs are kept apart."""
    more = {"size": size, "own_account": own_account}
    output = Output(as_json=as_json, quiet=quiet)
    say(REQUEST, "test", Verb("", reason=False), refs, None, experiment, output, **more)


@app.command("confirm")
@resolved
def confirm(
    ref: Ref,
    tick: Annotated[Optional[list[str]], typer.Option("--tick", help="A special requirement; may be repeated.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Tick off every special requirement.")] = False,
    reason: Reason = None,
    experiment: Experiment = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Confirm the check report, and tick off special requirements (operators)."""
    client = connect()
    full = REQUEST.full(ref, experiment)
    read = client.show(REQUEST.collection, full).get("revision") or ""
    more: dict[str, Any] = {"revision": read} if everything else {"revision": read, "ticked": tick or []}
    answer = client.verb(REQUEST.collection, full, "confirm", (reason or "").strip(), **more)
    Output(as_json=as_json, quiet=quiet).done(full, "confirm", answer)


@app.command("untick")
@resolved
def untick(
    ref: Ref,
    tick: Annotated[list[str], typer.Option("--tick", help="What is not so after all; may be repeated.")],
    reason: Reason = None,
    experiment: Experiment = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Take ticks of special requirements, or of "the check report", back (operators)."""
    why = (reason or "").strip() or ask_reason("untick", [ref])
    client = connect()
    full = REQUEST.full(ref, experiment)
    read = client.show(REQUEST.collection, full).get("revision") or ""
    answer = client.verb(REQUEST.collection, full, "untick", why, ticked=tick, revision=read)
    Output(as_json=as_json, quiet=quiet).done(full, "untick", answer)


@app.command("merge")
@resolved
def merge(refs: Refs, reason: Reason = None, experiment: Experiment = None, as_json: AsJson = False,
          quiet: Quiet = False) -> None:  # fmt: skip
    """Join several requests that wait into one, with all their inputs, each once."""
    if len(refs) < 2:
        raise UsedWrongly("Joined with which?", hint="Name two requests or more.")
    why = (reason or "").strip() or ask_reason("merge", refs)
    client = connect()
    full = [REQUEST.full(ref, experiment) for ref in refs]
    read = [client.show(REQUEST.collection, ref).get("revision") or "" for ref in full]
    more = {"with": full[1:], "revision": read[0], "revisions": read[1:]}
    answer = client.verb(REQUEST.collection, full[0], "merge", why, **more)
    Output(as_json=as_json, quiet=quiet).done(answer.get("ref", ""), "merge", answer)


@app.command("split")
@resolved
def split(
    ref: Ref,
    first: Annotated[int, typer.Option("--first", min=1, help="Files of the first part.")],
    reason: Reason = None,
    experiment: Experiment = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Part a request that waits in two: its first files, and the rest."""
    why = (reason or "").strip() or ask_reason("split", [ref])
    client = connect()
    full = REQUEST.full(ref, experiment)
    read = client.show(REQUEST.collection, full).get("revision") or ""
    answer = client.verb(REQUEST.collection, full, "split", why, first=first, revision=read)
    output = Output(as_json=as_json, quiet=quiet)
    for part in answer.get("parts", []):
        output.done(part.get("ref", ""), "split", part)


@app.command("priority")
@resolved
def prioritise(
    refs: Refs,
    priority: Annotated[int, typer.Option("--to", min=0, max=100, help="0 to 100; 50 is usual.")],
    reason: Reason = None,
    experiment: Experiment = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Give requests another priority, and what is queued of them already."""
    output = Output(as_json=as_json, quiet=quiet)
    say(REQUEST, "prioritise", Verb(""), refs, reason, experiment, output, priority=priority)


@app.command("comment")
@resolved
def comment(
    ref: Ref,
    text: Annotated[str, typer.Argument(metavar="TEXT", help="In Markdown; - is standard input.")],
    experiment: Experiment = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Say something about a request; @name tells somebody."""
    full = REQUEST.full(ref, experiment)
    said = sys.stdin.read() if text == "-" else text
    answer = connect().post([REQUEST.collection, *full.split("/"), "comment"], {"text": said})
    Output(as_json=as_json, quiet=quiet).done(full, "comment", answer)


@app.command("attach")
@resolved
def attach(
    ref: Ref,
    file: Annotated[Path, typer.Argument(metavar="FILE", exists=True, dir_okay=False, readable=True)],
    experiment: Experiment = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Hang a file on a request."""
    full = REQUEST.full(ref, experiment)
    content = base64.b64encode(file.read_bytes()).decode()
    body = {"name": file.name, "content": content}
    answer = connect().post([REQUEST.collection, *full.split("/"), "attach"], body)
    Output(as_json=as_json, quiet=quiet).done(full, "attach", answer)


@app.command("detach")
@resolved
def detach(
    ref: Ref,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The attachment's name.")],
    reason: Reason = None,
    experiment: Experiment = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Take an attachment of a request away; its history keeps that it was there."""
    say(REQUEST, "detach", Verb(""), [ref], reason, experiment, Output(as_json=as_json, quiet=quiet), name=name)


@app.command("attachments")
@resolved
def attachments(ref: Ref, experiment: Experiment = None, as_json: AsJson = False, quiet: Quiet = False) -> None:
    """List what hangs on a request."""
    found = connect().get([REQUEST.collection, *REQUEST.full(ref, experiment).split("/"), "attachments"])
    columns = ("name", "size", "type", "by", "at")
    Output(as_json=as_json, quiet=quiet).rows(found["results"], columns, "Nothing hangs on it.", None)


@app.command("comments")
@resolved
def comments(ref: Ref, experiment: Experiment = None, as_json: AsJson = False, quiet: Quiet = False) -> None:
    """Show the discussion of a request."""
    found = connect().get([REQUEST.collection, *REQUEST.full(ref, experiment).split("/"), "comments"])
    columns = ("at", "by", "text")
    Output(as_json=as_json, quiet=quiet).rows(found["results"], columns, "Nobody has said anything yet.", None)


@app.command("cost")
@resolved
def cost(ref: Ref, experiment: Experiment = None, as_json: AsJson = False, quiet: Quiet = False) -> None:
    """Show what a request will cost, as far as that can be known."""
    found = connect().get([REQUEST.collection, *REQUEST.full(ref, experiment).split("/"), "cost"])
    Output(as_json=as_json, quiet=quiet).one(found)


@app.command("partners")
@resolved
def partners(ref: Ref, experiment: Experiment = None, as_json: AsJson = False, quiet: Quiet = False) -> None:
    """Show with which requests one could be joined, and what that would save."""
    found = connect().get([REQUEST.collection, *REQUEST.full(ref, experiment).split("/"), "partners"])
    columns = ("ref", "title", "requester", "union", "saved", "unit")
    Output(as_json=as_json, quiet=quiet).rows(found["results"], columns, "Nothing that waits does the same.", None)


add_list(app, REQUEST, COLUMNS, "No requests here. `poms request create` makes one.")
add_show(app, REQUEST)
add_history(app, REQUEST)


def _given(**values: str | None) -> dict[str, str]:
    return {key: value for key, value in values.items() if value is not None}


def typed(given: dict[str, str]) -> dict[str, Any]:
    """Return the fields with numbers as numbers; raise UsedWrongly on unknown fields, which would be lost."""
    found = {}
    for key, value in given.items():
        if key not in FIELDS:
            near = difflib.get_close_matches(key, FIELDS, 1)
            hint = f"Is {near[0]} meant?" if near else f"There are: {', '.join(FIELDS)}."
            raise UsedWrongly(f"A request has no field {key!r}", hint=hint)
        try:
            found[key] = FIELDS[key](value)
        except ValueError as error:
            raise UsedWrongly(f"{key} is a number, not {value!r}") from error
    return found
