"""`poms file`: the files of the catalogue."""

from __future__ import annotations

from typing import Annotated, Optional

import typer

from poms_client.commands._common import AsJson, Experiment, Limit, Quiet, connect, noun_app, resolved
from poms_client.output import Output
from poms_client.refs import CAMPAIGN

COLUMNS = ("name", "size", "events", "dataset", "checksum", "path", "created")

app = noun_app("file", "The files of the catalogue.")


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
