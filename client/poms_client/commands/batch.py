"""`poms batch`: the slices of a stage and their repetition."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from poms_client.commands._common import (
    AsJson,
    Experiment,
    Quiet,
    Ref,
    Verb,
    add_history,
    add_list,
    add_show,
    add_verbs,
    connect,
    noun_app,
    resolved,
)
from poms_client.commands._launches import add_commands, add_launch_with
from poms_client.commands._selecting import add_selections
from poms_client.output import Output
from poms_client.refs import BATCH, CAMPAIGN, STAGE

COLUMNS = ("ref", "state", "stage", "number", "done", "units", "submissions", "reason")

app = noun_app(
    "batch", "The slices of a stage: show, commands, package, launch, launch-with, hold, kill, retry, recover."
)
add_list(app, BATCH, COLUMNS, "No batches here. A running campaign makes them.", (CAMPAIGN, STAGE), files=True)
add_show(app, BATCH)
add_verbs(
    app,
    BATCH,
    {
        "relaunch": Verb("Run a failed batch again."),
        "recover": Verb("Submit again the inputs of a batch that have no result."),
    },
)
add_selections(
    app,
    BATCH,
    {
        "kill": Verb("Remove all unfinished jobs of batches.", ends_work=True),
        "hold": Verb("Launch nothing more of batches until they are released."),
        "release": Verb("Take the holds off batches."),
        "retry": Verb("Launch again what failed batches miss."),
        "launch": Verb("Put what waits of batches before all else of their experiment, and take their holds off."),
    },
)
add_launch_with(app)
add_commands(app, BATCH)
add_history(app, BATCH)


@app.command("package")
@resolved
def package(
    ref: Ref,
    to: Annotated[Optional[Path], typer.Option("--output", "-o", metavar="FILE", help="Where to write it.")] = None,
    experiment: Experiment = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Write everything that is needed to make a batch again into one file, an RO-Crate; poms reproduce reads it."""
    full = BATCH.full(ref, experiment)
    path = to or Path(f"{full.replace('/', '-')}.crate.zip")
    connect().save([BATCH.collection, *full.split("/"), "package"], str(path))
    Output(as_json=as_json, quiet=quiet).done(str(path), "package", {"ref": full, "file": str(path)})
