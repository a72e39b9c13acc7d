"""`poms request`: file a request, see it checked, decide on it."""

from __future__ import annotations

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
    Ref,
    Refs,
    Sets,
    Verb,
    add_history,
    add_list,
    add_show,
    add_verbs,
    connect,
    fields,
    for_each,
    noun_app,
    resolved,
)
from poms_client.errors import REFUSED, UsedWrongly
from poms_client.output import Output
from poms_client.refs import REQUEST

COLUMNS = ("ref", "state", "title", "requester", "production_stage", "priority", "campaign", "filed")
MAX_DEFINITION = 8 * 1024 * 1024  # bytes; the largest known campaign file has 60 kB
FIELDS: dict[str, Callable[[str], Any]] = {
    "title": str,
    "production_stage": str,
    "dataset": str,
    "release": str,
    "priority": int,
    "hours_per_file": float,
    "special": str,
    "free_text": str,
}

app = noun_app("request", "What experimenters ask for: create, check, file, decide.")

Definition = Annotated[
    Optional[str],
    typer.Option("--definition", "-d", metavar="FILE.ini", help="The campaign's definition; - is standard input."),
]


@app.command("create")
@resolved
def create(
    experiment: Experiment = None,
    definition: Definition = None,
    title: Annotated[Optional[str], typer.Option("--title", "-t", help="What it is for, in a few words.")] = None,
    production_stage: Annotated[Optional[str], typer.Option(help="Whose approvers decide.")] = None,
    settings: Sets = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Create a request as a draft; then check and file it.

    Fields for --set: dataset, release, priority (0 to 100), hours_per_file, special, free_text.
    """
    output = Output(as_json=as_json, quiet=quiet)
    body = typed(fields(settings))
    body.update(_given(title=title, production_stage=production_stage))
    if not experiment:
        raise UsedWrongly("For which experiment?", hint="Say --experiment E.")
    if not body.get("title"):
        raise UsedWrongly("A request needs a title", hint='Say --title "…".')
    if not definition:
        raise UsedWrongly("A request needs a definition", hint="Say --definition FILE.ini.")
    body.update(experiment=experiment, definition=read_definition(definition))
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


add_verbs(
    app,
    REQUEST,
    {
        "file": Verb("Hand a request in for approval.", reason=False),
        "approve": Verb("Approve a request (never your own).", reason=False),
        "return": Verb("Send a request back for changes."),
        "reject": Verb("Reject a request for good."),
        "withdraw": Verb("Take your own request back."),
    },
)
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


def read_definition(name: str) -> str:
    """Return the text of a definition file, or of standard input for `-`."""
    try:
        if name == "-":
            data = sys.stdin.buffer.read(MAX_DEFINITION + 1)
        else:
            with Path(name).open("rb") as file:
                data = file.read(MAX_DEFINITION + 1)
    except OSError as error:
        raise UsedWrongly(f"{name} cannot be read", detail=error.strerror or str(error)) from error
    if len(data) > MAX_DEFINITION:
        raise UsedWrongly(f"{name} is larger than 8 MiB; that is no campaign definition")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsedWrongly(f"{name} is not text in UTF-8", detail=f"byte {error.start}") from error
