"""`poms reproduce`: makes a batch again, by its reference or from its package, and says whether the same came out."""

from __future__ import annotations

import json
import time
import zipfile
from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from poms_client import formatting
from poms_client.commands._common import (
    AsJson,
    Experiment,
    Quiet,
    Reason,
    add_history,
    add_list,
    add_show,
    ask_reason,
    connect,
    noun_app,
    resolved,
)
from poms_client.errors import REFUSED, UsedWrongly
from poms_client.output import Output, note
from poms_client.refs import BATCH, CAMPAIGN, REPRODUCTION

COLUMNS = ("ref", "state", "batch", "stage", "verdict", "signed", "by", "created")
RECIPE = "recipe.json"
LARGEST = 64 * 1024 * 1024

app = noun_app("reproduction", "Batches that were made again: list, show, sign-off, history.")
add_list(app, REPRODUCTION, COLUMNS, "No batch was made again yet; poms reproduce does it.", (CAMPAIGN, BATCH))
add_show(app, REPRODUCTION)
add_history(app, REPRODUCTION)


@app.command("sign-off")
@resolved
def sign_off(
    ref: Annotated[str, typer.Argument(metavar="REF", show_default=False, help="For example demo/p1.")],
    refused: Annotated[bool, typer.Option("--refused", help="It does not convince.")] = False,
    reason: Reason = None,
    experiment: Experiment = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Say as a reviewer that a reproduction convinces, or that it does not."""
    why = (reason or "").strip() or ask_reason("sign-off", [ref])
    full = REPRODUCTION.full(ref, experiment)
    answer = connect().verb(REPRODUCTION.collection, full, "sign_off", why, passed=not refused)
    Output(as_json=as_json, quiet=quiet).done(full, "sign-off", answer)


def reproduce(
    what: Annotated[
        str, typer.Argument(metavar="PACKAGE|REF", help="A batch such as demo/b1, or the file of its package.")
    ],
    seed: Annotated[
        Optional[int],
        typer.Option("--seed", metavar="N", min=0, help="Another seed of the stage, to see its effect."),
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", "-w", help="Wait for the verdict; 0 when equal, 1 when not.")] = False,
    every: Annotated[float, typer.Option(metavar="S", min=0.05, help="With --wait, look every S seconds.")] = 5.0,
    reason: Reason = None,
    experiment: Experiment = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Make a batch again with the definition, inputs, seeds and command that it had, and compare what comes out."""
    output = Output(as_json=as_json, quiet=quiet)
    package = read_package(Path(what)) if Path(what).is_file() else None
    ref = BATCH.full(package["batch"] if package else what, experiment)
    why = (reason or "").strip() or ask_reason("reproduce", [ref])
    client = connect()
    body: dict[str, Any] = {"reason": why, "seed": seed}
    if package:
        body["package"] = package["recipe"]
    made = client.post([BATCH.collection, *ref.split("/"), "reproduce"], body)
    if not wait:
        output.done(made["ref"], "reproduce", made)
        return
    while made["state"] == "running":
        time.sleep(every)
        made = client.show(REPRODUCTION.collection, made["ref"])
    tell(output, made)
    if made["state"] != "equal":
        raise typer.Exit(REFUSED)


def tell(output: Output, made: dict[str, Any]) -> None:
    """Write a verdict, and a line for everything that differs."""
    if output.as_json:
        output.one(made)
        return
    print(formatting.one_line(f"{made['ref']} {made['state']}: {made['verdict']}"))
    for entry in made["differences"]:
        was, now = (entry[name] or "nothing" for name in ("was", "now"))
        print(formatting.one_line(f"  {entry['of']} {entry['what']}: {was} -> {now}"))
    for remark in made["remarks"]:
        note(formatting.one_line(f"  {remark}"))


def read_package(path: Path) -> dict[str, Any]:
    """Return what a package says of its batch; raise UsedWrongly for a file that is none."""
    try:
        with zipfile.ZipFile(path) as archive:
            if archive.getinfo(RECIPE).file_size > LARGEST:
                raise UsedWrongly(f"{path} is no package of POMS", detail=f"its {RECIPE} is too large")
            found = json.loads(archive.read(RECIPE))
        if not isinstance(found["batch"], str) or not isinstance(found["recipe"], dict):
            raise UsedWrongly(f"{path} is no package of POMS", detail=f"its {RECIPE} says something else")
    except (zipfile.BadZipFile, KeyError, TypeError, ValueError) as error:
        raise UsedWrongly(
            f"{path} is no package of POMS", detail=str(error), hint="poms batch package REF writes one."
        ) from error
    return {"batch": found["batch"], "recipe": found["recipe"]}
