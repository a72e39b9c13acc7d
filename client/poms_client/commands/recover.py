"""`poms recover`: what a recovery would run again and what that costs, and having exactly that done."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from poms_client import formatting
from poms_client.commands._common import (
    AsJson,
    Experiment,
    Quiet,
    Reason,
    Ref,
    ask_reason,
    connect,
    noun_app,
    resolved,
)
from poms_client.output import Output, note
from poms_client.refs import BATCH, CAMPAIGN, STAGE, parts

COLUMNS = ("ref", "stage", "missing", "would", "jobs", "memory_mb", "wall_s", "core_hours", "bytes", "source")

Kind = Annotated[
    str, typer.Option("--kind", "-k", metavar="KIND", help="One kind, such as process_status, instead of the list.")
]

app = noun_app("recover", "Run again what batches, stages or campaigns miss: plan, apply.")


@app.command("plan")
@resolved
def plan(ref: Ref, kind: Kind = "", experiment: Experiment = None, as_json: AsJson = False) -> None:
    """Show what would be run again of a batch, a stage or a campaign, with its cost; nothing is launched.

    Leaves with 0 when nothing would be launched, with 2 when something would.
    """
    found = _plan(connect(), _path(ref, experiment), kind)
    if as_json:
        Output(as_json=True).document(found)
    else:
        _tell(found)
    if found["anything"]:
        raise typer.Exit(2)


@app.command("apply")
@resolved
def apply(
    ref: Ref,
    kind: Kind = "",
    reason: Reason = None,
    plan: Annotated[
        str, typer.Option("--plan", metavar="HASH", help="Only if it would still do what this plan said.")
    ] = "",
    experiment: Experiment = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Launch again what the plan says, all of it or nothing; without --plan what it says now, which is shown first."""
    path = _path(ref, experiment)
    why = (reason or "").strip() or ask_reason("recover", [ref])
    client = connect()
    if not plan:
        found = _plan(client, path, kind)
        plan = found["plan"]
        if not (as_json or quiet):
            _tell(found)
    answer = client.post([*path, "recover"], {"kind": kind, "plan": plan, "reason": why})
    if as_json:
        Output(as_json=True).document(answer)
        return
    output = Output(quiet=quiet)
    for made in answer["launched"]:
        output.done(made["submission"], f"launched for {made['batch']}", {})
    for taken in answer["taken"]:
        output.done(taken["stage"], f"takes {taken['told']}", {})


def _plan(client: Any, path: list[str], kind: str) -> dict[str, Any]:
    found: dict[str, Any] = client.get([*path, "recovery"], **({"kind": kind} if kind else {}))
    return found


def _path(given: str, experiment: str | None) -> list[str]:
    """Return the place in the API of what is meant; a stage has its name after its campaign."""
    words = parts(given)
    place = 1 if len(words) > 1 and _numbered(words[1]) else 0
    noun = BATCH if words[place].startswith("b") else STAGE if len(words) > place + 1 else CAMPAIGN
    return [noun.collection, *noun.full(given, experiment).split("/")]


def _numbered(word: str) -> bool:
    return word[:1] in ("b", "c") and word[1:].isdecimal()


def _tell(found: dict[str, Any]) -> None:
    """Write a plan as a table, and what there is to know of it beside."""
    rows = [
        {
            **entry, "would": f"unknown: {entry['summary']}" if entry["unknown"] else entry["summary"],
            "core_hours": _known(entry, "core_hours"), "bytes": _known(entry, "bytes"),
        }
        for entry in found["batches"]
    ]  # fmt: skip
    Output().rows(rows, COLUMNS, f"{found['of']} misses nothing that could be run again.", None)
    for entry in found["stages"]:
        by = " (POMS takes them by itself)" if entry["by"] == "loop" and entry["inputs"] else ""
        note(f"poms: {entry['ref']}, of {entry['dataset']}: {entry['summary']}{by}")
    if found["anything"]:
        hours = "unknown" if found["core_hours"] is None else f"{found['core_hours']:.3g}"
        size = "unknown" if found["bytes"] is None else formatting.size(found["bytes"])
        note(f"poms: {found['inputs']} inputs in {found['jobs']} jobs; core-hours {hours}, output {size}")
        note(f"poms: plan {found['plan']}")
    if found["unknown"]:
        note(f"poms: unknown, so left alone: {', '.join(found['unknown'])}")
    if found["more"]:
        note(f"poms: {found['more']} further batches come after these")


def _known(entry: dict[str, Any], name: str) -> Any:
    """Return what a batch would cost; that nobody knows it is no zero."""
    if not entry["kind"]:
        return None
    return "unknown" if entry[name] is None else float(f"{entry[name]:.3g}")
