"""`poms campaign fife`: what a configuration of fife_launch sets, and whether a campaign fits it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from poms_client import formatting
from poms_client.commands._common import AsJson, Experiment, connect
from poms_client.errors import UsedWrongly
from poms_client.output import Output, note
from poms_client.refs import CAMPAIGN

LARGEST = 1024 * 1024  # bytes; POMS takes 256 Ki characters
COLUMNS = ("stage", "set", "to", "said in")
VALUES = ("section", "key", "value", "said in")
Many = Optional[list[str]]


def fife(
    file: Annotated[str, typer.Argument(metavar="FILE", help="The configuration, as for fife_launch -c.")],
    stages: Annotated[
        Many, typer.Option("--stage", metavar="S", help="Show every value in force with this stage; may be repeated.")
    ] = None,
    overrides: Annotated[
        Many, typer.Option("--override", "-O", metavar="SECTION.KEY=VALUE", help="As for fife_launch; may be repeated.")
    ] = None,
    includes: Annotated[
        Many, typer.Option("--include", metavar="[NAME=]FILE", help="A file that it includes; may be repeated.")
    ] = None,
    campaign: Annotated[
        Optional[str], typer.Option("--campaign", metavar="REF", help="Also check what this campaign's stages pass.")
    ] = None,
    experiment: Experiment = None,
    as_json: AsJson = False,
) -> None:
    """Show what a fife_launch configuration sets, and whether a campaign fits it; nothing is started or kept.

    Leaves with 1 where fife_launch would not read the file, with 2 where something in it does not fit.
    """
    ref = CAMPAIGN.full(campaign, experiment) if campaign else ""
    body = {
        "experiment": ref.partition("/")[0] or experiment or "", "text": read_text(file), "name": Path(file).name,
        "includes": dict(_included(given) for given in includes or ()), "stages": stages or [],
        "overrides": overrides or [], "campaign": ref,
    }  # fmt: skip
    found = connect().post(["campaigns", "fife"], body)
    if as_json:
        Output(as_json=True).document(found)
    else:
        _show(found, values=bool(stages or overrides))
    told = _complaints(found)
    for line in () if as_json else told:
        note(f"poms: {line}")
    if found["errors"]:
        raise typer.Exit(1)
    if told:
        raise typer.Exit(2)


def _included(given: str) -> tuple[str, str]:
    """Return name and text of an included file: its own name, unless another is given."""
    name, equals, path = given.partition("=")
    return (name, read_text(path)) if equals and name and path else (given, read_text(given))


def _show(found: dict[str, Any], *, values: bool) -> None:
    """Write the values in force where some were asked for, else what each stage sets."""
    output = Output()
    if values:
        rows = [{**row, "value": _value(row), "said in": row["from"]} for row in found["settings"]]
        output.rows(rows, VALUES, "Nothing is set.", len(rows) or None)
    else:
        rows = [
            {
                "stage": stage["stage"],
                "set": f"{row['section']}.{row['key']}",
                "to": _value(row),
                "said in": row["from"],
            }
            for stage in found["stages"]
            for row in stage["overrides"]
        ]
        output.rows(rows, COLUMNS, "It has no stages that set anything.", len(rows) or None)
    for stage in found["checked"]:
        name = formatting.one_line(stage["stage"])
        if not stage["launched"]:
            note(f"poms: {name} is not started by fife_launch but by {stage['launch_script']}; not checked")
        elif not stage["unfit"]:
            note(f"poms: {name} fits")


def _value(row: dict[str, Any]) -> str:
    """Return a value as it is filled in, or as it was written where something is missing."""
    return str(row["written"] if row["value"] is None else row["value"])


def _complaints(found: dict[str, Any]) -> list[str]:
    """Return everything that was found wrong, each once."""
    lines = [f"cannot be read: {_line(entry)}" for entry in found["errors"]]
    rows = [("", entry) for entry in (*found["warnings"], *found["unfit"])]
    rows += [("", entry) for stage in found["stages"] for entry in stage["problems"]]
    rows += [(f"{stage['stage']}: ", entry) for stage in found["checked"] for entry in stage["unfit"]]
    return [*lines, *dict.fromkeys(f"warning: {of}{_line(entry)}" for of, entry in rows)]


def _line(entry: dict[str, Any]) -> str:
    line = f" line {entry['line']}" if entry.get("line") else ""
    hint = f" ({entry['hint']})" if entry.get("hint") else ""
    return formatting.one_line(f"{entry['where']}{line}: {entry['message']}{hint}")


def read_text(name: str) -> str:
    """Return the text of a file; bytes that are no UTF-8, which comments in the field have, are shown as such."""
    try:
        with Path(name).open("rb") as file:
            data = file.read(LARGEST + 1)
    except OSError as error:
        raise UsedWrongly(f"{name} cannot be read", detail=error.strerror or str(error)) from error
    if len(data) > LARGEST:
        raise UsedWrongly(f"{name} is larger than 1 MiB; that is no configuration of fife_launch")
    return data.decode("utf-8-sig", "backslashreplace")
