"""`poms split preview`: how a dataset would be cut into slices."""

from __future__ import annotations

from typing import Annotated

import typer

from poms_client.commands._common import AsJson, Experiment, connect, noun_app, resolved
from poms_client.output import Output, write_text

app = noun_app("split", "How datasets are cut into slices.")


@app.command("preview")
@resolved
def preview(
    dataset: Annotated[str, typer.Argument(metavar="DATASET", help="Its name, or what the split needs instead.")],
    split: Annotated[str, typer.Argument(metavar="SPLIT", help="Such as 'nfiles(100)'.")] = "None",
    experiment: Experiment = None,
    catalogue: Annotated[str, typer.Option(metavar="NAME", help="One of the experiment's catalogues.")] = "",
    most_files: Annotated[int, typer.Option(metavar="N", help="Only the first N files.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Say into how many slices a dataset would be cut now, and which come first; nothing is frozen."""
    body = {
        "experiment": experiment or "", "dataset": dataset, "split": split, "catalogue": catalogue,
        "most_files": most_files,
    }  # fmt: skip
    found = connect().post(["splits", "preview"], body)
    if as_json:
        Output(as_json=True).document(found)
    else:
        write_text(f"{found['text']}\n")
