"""`poms file`: the files of the catalogue."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from poms_client.commands._common import AsJson, Experiment, Limit, Quiet, connect, for_each, noun_app, resolved
from poms_client.errors import REFUSED, UsedWrongly
from poms_client.output import Output, note, write_text
from poms_client.refs import CAMPAIGN

COLUMNS = ("name", "size", "events", "dataset", "checksum", "path", "created")

MOST = 5
AT_ONCE = 500  # files in one call of the API

app = noun_app("file", "The files of the catalogue.")


@app.command("story")
@resolved
def story(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Of the file.")],
    experiment: Experiment = None,
    as_json: AsJson = False,
) -> None:
    """Say what made a file, and what was made of it."""
    found = connect().get(["files", "story"], experiment=experiment or "", name=name)
    if as_json:
        Output(as_json=True).document(found)
        return
    made, told = found["made_by"], []
    if made:
        told.append(
            f"made by {made['submission']}, stage {made['stage']} of {made['campaign']}, from {_few(made['inputs'])}"
        )
    for use in found["used_in"]:
        done = f"done by {use['submission']}: {_few(use['outputs'])}" if use["submission"] else use["state"]
        told.append(f"read by stage {use['stage']} of {use['campaign']}, batch {use['batch'] or '-'}: {done}")
    for part in found["waits_in"]:
        told.append(f"waits in slice {part['slice']} of stage {part['stage']} of {part['campaign']}")
    if told:
        write_text("".join(f"{line}\n" for line in told))
    else:
        note(f"poms: no campaign has made or read {name}")


def _few(names: list[str]) -> str:
    more = f" and {len(names) - MOST} more" if len(names) > MOST else ""
    return ", ".join(names[:MOST]) + more


@app.command("declare")
@resolved
def declare(
    paths: Annotated[list[str], typer.Argument(metavar="FILE", show_default=False, help="On this machine.")],
    experiment: Experiment = None,
    catalogue: Annotated[str, typer.Option(metavar="NAME", help="One of the experiment's catalogues.")] = "",
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Enter files into the catalogue, with the metadata in FILE.json beside each; the same again changes nothing.

    The metadata are an object in SAM's form; event_count, checksum and parents are taken from it.
    """
    output, client = Output(as_json=as_json, quiet=quiet), connect()
    files = [described(Path(path)) for path in paths]
    refused = []
    for begin in range(0, len(files), AT_ONCE):
        body = {"experiment": experiment or "", "catalogue": catalogue, "files": files[begin : begin + AT_ONCE]}
        answer = client.post(["files", "declare"], body)
        refused += answer["refused"]
        if as_json:
            output.document(answer)
        else:
            write_text("".join(f"{name}\n" for name in answer["declared"]))
    for entry in refused:
        note(f"poms: {entry['name']}: {entry['why']}")
    if refused:
        raise typer.Exit(REFUSED)


def described(path: Path) -> dict[str, Any]:
    """Return a file as the API takes it; raise UsedWrongly if it is not there, or not what its metadata say."""
    beside = path.with_name(f"{path.name}.json")
    try:
        size = path.stat().st_size
        metadata = json.loads(beside.read_text(encoding="utf-8")) if beside.exists() else {}
    except (OSError, ValueError) as error:
        raise UsedWrongly(f"{path} cannot be declared", detail=str(error)) from error
    if not isinstance(metadata, dict):
        raise UsedWrongly(f"{beside} is no object", hint='It looks like {"data_tier": "raw", "runs": [[7, 1]]}')
    if metadata.get("file_size", size) != size:
        detail = f"its metadata say {metadata['file_size']} bytes, there are {size}"
        raise UsedWrongly(f"{path} cannot be declared", detail=detail, hint="Is it still being written?")
    checksum = metadata.get("checksum") or ""
    parents = metadata.get("parents") or []
    return {
        "name": path.name,
        "path": os.path.abspath(path),
        "size": size,
        "checksum": str(checksum[0] if isinstance(checksum, list) else checksum),
        "events": metadata.get("event_count"),
        "metadata": metadata,
        "parents": [entry["file_name"] if isinstance(entry, dict) else entry for entry in parents],
    }


@app.command("list")
@resolved
def list_files(
    experiment: Experiment = None,
    name: Annotated[Optional[str], typer.Option(metavar="NAME", help="Only files of this name.")] = None,
    campaign: Annotated[Optional[str], typer.Option(metavar="REF", help="Only those of it.")] = None,
    limit: Limit = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """List files."""
    output = Output(as_json=as_json, quiet=quiet)
    query = {
        "experiment": experiment,
        "name": name,
        "campaign": CAMPAIGN.full(campaign, experiment) if campaign else None,
    }
    output.rows(connect().list("files", limit=limit, **query), COLUMNS, "No files here. Jobs make them.", limit)


UPLOADS = ("name", "size", "sha256", "uploaded", "person", "experiment")


@app.command("upload")
@resolved
def upload(
    paths: Annotated[list[str], typer.Argument(metavar="FILE", show_default=False, help="On this machine.")],
    experiment: Experiment = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Put files into your upload area: they come with the launches of your analysis."""
    output, client = Output(as_json=as_json, quiet=quiet), connect()

    def act(path: str) -> None:
        try:
            content = Path(path).read_bytes()
        except OSError as error:
            raise UsedWrongly(f"{path} cannot be read", detail=str(error)) from error
        made = client.put_file(["uploads"], content, experiment=experiment or "", name=Path(path).name)
        output.done(made["name"], "upload", made)

    for_each(client, paths, act)


@app.command("uploads")
@resolved
def uploads(experiment: Experiment = None, as_json: AsJson = False, quiet: Quiet = False) -> None:
    """List your upload area."""
    found = connect().list("uploads", experiment=experiment)
    Output(as_json=as_json, quiet=quiet).rows(found, UPLOADS, "No uploads. `poms file upload` brings them.", None)


@app.command("download")
@resolved
def download(
    name: Annotated[str, typer.Argument(metavar="NAME", show_default=False, help="Of your upload area.")],
    to: Annotated[
        Optional[str], typer.Option("--output", "-o", metavar="FILE", help="Where to write it; - is standard output.")
    ] = None,
    experiment: Experiment = None,
) -> None:
    """Get a file of your upload area back."""
    target = to or Path(name).name
    written = connect().save(["uploads", "content"], target, experiment=experiment or "", name=name)
    note(f"poms: {written} bytes written to {target}")


@app.command("remove-upload")
@resolved
def remove_upload(
    names: Annotated[list[str], typer.Argument(metavar="NAME", show_default=False)],
    experiment: Experiment = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Take files out of your upload area."""
    output, client = Output(as_json=as_json, quiet=quiet), connect()

    def act(name: str) -> None:
        done = client.post(["uploads", "remove"], {}, experiment=experiment or "", name=name)
        output.done(name, "remove-upload", done)

    for_each(client, names, act)
