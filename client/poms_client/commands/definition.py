"""`poms campaign import | plan | apply | export | revisions | diff`: the text of campaigns, in and out."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from poms_client.commands._common import AsJson, Experiment, Quiet, Ref, connect, resolved
from poms_client.commands.fife import fife
from poms_client.errors import UsedWrongly
from poms_client.output import Output, note, write_text
from poms_client.refs import CAMPAIGN

MAX_DEFINITION = 8 * 1024 * 1024  # bytes; the largest known campaign file has 60 kB
COLUMNS = ("number", "state", "author", "at", "note")
Number = Annotated[Optional[int], typer.Option(metavar="N", min=1, help="A revision by its number.")]
File = Annotated[str, typer.Argument(metavar="FILE", help="The definition, .ini or YAML; - is standard input.")]
Yaml = Annotated[bool, typer.Option("--yaml", help="As YAML instead of .ini.")]


def add_definitions(app: typer.Typer) -> None:
    """Give a command of campaigns the commands about their text."""
    app.command("import")(resolved(import_text))
    app.command("edit")(resolved(edit))
    app.command("plan")(resolved(plan))
    app.command("apply")(resolved(apply))
    app.command("export")(resolved(export))
    app.command("revisions")(resolved(revisions))
    app.command("diff")(resolved(diff))
    app.command("fife")(resolved(fife))


def import_text(
    file: File,
    experiment: Experiment = None,
    name: Annotated[str, typer.Option("--name", help="Import it under another name.")] = "",
    message: Annotated[str, typer.Option("--note", "-m", help="What is new; it is kept with the revision.")] = "",
    dry: Annotated[bool, typer.Option("--dry-run", help="Only say what it would do.")] = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Import a definition as a draft: a new campaign, or the next revision of the one that has its name."""
    output = Output(as_json=as_json, quiet=quiet)
    body: dict[str, Any] = {
        "experiment": experiment or "", "text": read_definition(file), "name": name, "note": message,
        "format": _form(file), "apply": not dry,
    }  # fmt: skip
    answer = connect().post(["campaigns", "import"], body)
    for kind, word in (("unready", "not ready to run"), ("warnings", "warning")):
        for found in answer.get(kind, []):
            note(f"poms: {word}: {_where(found)}")
    for line in answer.get("difference", []) if not as_json else ():
        note(line)
    if dry:
        there = answer.get("campaign")
        note(f"poms: would be {f'the next revision of {there}' if there else 'a new campaign'}; nothing was kept")
    output.done(answer.get("campaign") or "-", "import" if not dry else "look", answer)


def edit(
    ref: Ref,
    file: File,
    message: Annotated[str, typer.Option("--note", "-m", help="What is new; it is kept with the revision.")] = "",
    base: Annotated[
        Optional[int], typer.Option("--base", metavar="N", min=1, help="Only if the newest revision is still this one.")
    ] = None,
    experiment: Experiment = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Save a definition as the next revision of a campaign; one that runs goes on as it is until that is approved."""
    full = CAMPAIGN.full(ref, experiment)
    body = {"text": read_definition(file), "note": message, "base": base}
    answer = connect().put([CAMPAIGN.collection, *full.split("/"), "definition"], body)
    Output(as_json=as_json, quiet=quiet).done(full, f"revision {answer['number']}", answer)


def plan(
    file: File,
    experiment: Experiment = None,
    name: Annotated[str, typer.Option("--name", help="As a campaign of another name.")] = "",
    as_json: AsJson = False,
) -> None:
    """Show what a definition would do: batches, commands, cost, differences to what runs.

    Leaves with 0 when nothing would be different, with 2 when something would, with 1 when it cannot run.
    """
    body = {"experiment": experiment or "", "text": read_definition(file), "name": name, "format": _form(file)}
    found = connect().post(["campaigns", "plan"], body)
    if as_json:
        Output(as_json=True).document(found)
    else:
        write_text(_told(found))
    for problem in (*found["errors"], *found["warnings"]) if not as_json else ():
        note(f"poms: {'cannot run' if problem in found['errors'] else 'warning'}: {_where(problem)}")
    if found["errors"]:
        raise typer.Exit(1)
    if found["changes"]:
        raise typer.Exit(2)


def apply(
    file: File,
    experiment: Experiment = None,
    name: Annotated[str, typer.Option("--name", help="As a campaign of another name.")] = "",
    production_stage: Annotated[str, typer.Option(metavar="STAGE", help="Whose approvers decide on it.")] = "",
    title: Annotated[str, typer.Option("--title", "-t", help="Of a new request, in a few words.")] = "",
    message: Annotated[str, typer.Option("--note", "-m", help="Why; it is kept in the history.")] = "",
    approve: Annotated[bool, typer.Option("--approve", help="Approve it too, as one who may.")] = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Ask for a definition: a new request, or the one of the campaign that has its name; print its reference.

    A campaign that runs goes on by it once it is approved. Said twice it changes nothing.
    """
    output = Output(as_json=as_json, quiet=quiet)
    body: dict[str, Any] = {
        "experiment": experiment or "", "text": read_definition(file), "name": name, "format": _form(file),
        "production_stage": production_stage, "title": title, "note": message, "approve": approve,
    }  # fmt: skip
    answer = connect().post(["campaigns", "apply"], body)
    if not answer["changed"]:
        note("poms: nothing is different")
    output.done(answer["request"], "apply", answer)


def _told(found: dict[str, Any]) -> str:
    """Return a plan as people read it."""
    there = found.get("campaign")
    lines = [f"{found['name']}: {f'a revision of {there}' if there else 'a new campaign'}"]
    for stage in found["stages"]:
        many = "?" if stage["inputs"] is None else stage["inputs"]
        cut = f"{stage['batches']} batches" if stage["batches"] is not None else stage["unknown"]
        if stage["batches"]:
            first = ", ".join(map(str, stage["first"]))
            cut += f" of {stage['unit']} (first {first}; last {stage['last']})"
        lines += [f"  stage {stage['stage']}: {many} inputs, {cut}", f"    {stage['command']}"]
        hours = "?" if stage["core_hours"] is None else f"{stage['core_hours']:.3g}"
        lines.append(f"    at {stage['login_setup']}; {stage['jobs'] or '?'} jobs, {hours} core-hours")
    signs = {"added": "+", "removed": "-"}
    for change in found["changes"]:
        what = f"{change['what']} {change['name']}"
        values = f": {change['key']} {change['before'] or 'none'} -> {change['after'] or 'none'}"
        lines.append(f"{signs.get(change['how'], '~')} {what}{'' if change['how'] in signs else values}")
    if not found["changes"]:
        lines.append("nothing is different")
    return "\n".join(lines) + "\n"


def _form(file: str) -> str:
    return "yaml" if Path(file).suffix in (".yaml", ".yml") else "ini"


def export(
    ref: Ref,
    experiment: Experiment = None,
    revision: Number = None,
    as_yaml: Yaml = False,
) -> None:
    """Print the definition of a campaign as it was written: the newest revision, or the one that you name."""
    full = CAMPAIGN.full(ref, experiment)
    query = {"revision": revision, "form": "yaml" if as_yaml else None}
    write_text(connect().text([CAMPAIGN.collection, *full.split("/"), "export"], **query))


def revisions(ref: Ref, experiment: Experiment = None, as_json: AsJson = False, quiet: Quiet = False) -> None:
    """List the revisions of a campaign, the newest first."""
    found = connect().get([CAMPAIGN.collection, *CAMPAIGN.full(ref, experiment).split("/"), "revisions"])
    Output(as_json=as_json, quiet=quiet).rows(found["results"], COLUMNS, "It has no definition yet.", None)


def diff(
    ref: Ref,
    experiment: Experiment = None,
    begin: Annotated[Optional[int], typer.Option("--from", metavar="N", min=1, help="The older revision.")] = None,
    end: Annotated[Optional[int], typer.Option("--to", metavar="N", min=1, help="The newer; else the last.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show what is different between two revisions; leaves with 1 where something is."""
    query = {"from": begin, "to": end}
    full = CAMPAIGN.full(ref, experiment)
    found = connect().get([CAMPAIGN.collection, *full.split("/"), "diff"], **query)
    if as_json:
        Output(as_json=True).document(found)
    else:
        write_text("".join(f"{line}\n" for line in found["difference"]))
    if found["difference"]:
        raise typer.Exit(1)


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


def _where(found: dict[str, Any]) -> str:
    line = f"line {found['line']}: " if found.get("line") else ""
    hint = f" ({found['hint']})" if found.get("hint") else ""
    return f"{line}{found.get('where')}: {found.get('message')}{hint}"
