"""`poms notice`: what you were told, and how you want to be told."""

from __future__ import annotations

from typing import Annotated, Any, Optional

import typer

from poms_client.commands._common import AsJson, Experiment, Limit, Quiet, connect, noun_app, resolved
from poms_client.errors import UsedWrongly
from poms_client.output import Output, note

COLUMNS = ("id", "at", "experiment", "subject", "actor", "read")

app = noun_app("notice", "What you were told, and how you want to be told.")


@app.command("list")
@resolved
def list_notices(
    experiment: Experiment = None,
    unread: Annotated[bool, typer.Option("--unread", "-u", help="Only those that you have not read.")] = False,
    kind: Annotated[Optional[str], typer.Option(metavar="KIND", help="Only those of this kind.")] = None,
    limit: Limit = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """List your notices, newest first."""
    output = Output(as_json=as_json, quiet=quiet)
    query = {"experiment": experiment, "unread": "1" if unread else None, "kind": kind}
    output.rows(connect().list("notices", limit=limit, **query), COLUMNS, "Nothing to tell you.", limit)


@app.command("read")
@resolved
def read(
    ids: Annotated[Optional[list[int]], typer.Argument(metavar="[ID]...", show_default=False)] = None,
    everything: Annotated[bool, typer.Option("--all", help="All of them.")] = False,
    as_json: AsJson = False,
) -> None:
    """Mark notices as read."""
    output = Output(as_json=as_json)
    if bool(ids) == everything:
        raise UsedWrongly("Which notices?", hint="Give their ids, which `poms notice list` shows, or --all.")
    answer = connect().post("notices/read", {} if everything else {"ids": ids})
    if output.as_json:
        output.document(answer)
    else:
        note(f"{answer.get('read', 0)} marked as read")


@app.command("choices")
@resolved
def choices(as_json: AsJson = False, quiet: Quiet = False) -> None:
    """Show of what you are told, and how."""
    _show(Output(as_json=as_json, quiet=quiet), connect().get("notices/choices"))


@app.command("set")
@resolved
def set_choices(
    kinds: Annotated[
        Optional[list[str]],
        typer.Argument(metavar="[KIND=HOW]...", show_default=False, help="HOW is at_once, digest or none."),
    ] = None,
    hour: Annotated[Optional[int], typer.Option(metavar="H", min=0, max=23, help="Hour of the daily mail.")] = None,
    zone: Annotated[Optional[str], typer.Option(metavar="ZONE", help="Time zone, such as Europe/Zurich.")] = None,
    webhook: Annotated[
        Optional[str], typer.Option(metavar="URL", help="Where notices are posted; an empty one takes it away.")
    ] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Choose how you are told: `poms notice set decided=digest watched=none --hour 8 --zone Europe/Zurich`."""
    output = Output(as_json=as_json, quiet=quiet)
    chosen = {}
    for pair in kinds or ():
        kind, equals, how = pair.partition("=")
        if not equals:
            raise UsedWrongly(f"{pair!r} is not of the form KIND=HOW", hint="`poms notice choices` shows the kinds.")
        chosen[kind.strip()] = how.strip()
    given: dict[str, Any] = {"kinds": chosen or None, "digest_hour": hour, "zone": zone, "webhook": webhook}
    body = {name: value for name, value in given.items() if value is not None}
    if not body:
        raise UsedWrongly("Nothing was chosen", hint="For instance: poms notice set watched=none")
    _show(output, connect().put("notices/choices", body))


@app.command("test")
@resolved
def test(as_json: AsJson = False) -> None:
    """Send a test to yourself, on every channel that you have."""
    output = Output(as_json=as_json)
    answer = connect().post("notices/test", {})
    if output.as_json:
        output.document(answer)
    else:
        note("A test is on its way; `poms notice list` has it too.")


def _show(output: Output, answer: dict[str, Any]) -> None:
    if output.as_json:
        output.document(answer)
    elif output.quiet:
        for kind, how in answer["kinds"].items():
            print(f"{kind}={how}")
    else:
        output.one({"ref": "choices", **answer})
