"""`poms site`: where jobs run, and when one ran there last."""

from __future__ import annotations

from typing import Annotated

import typer

from poms_client.commands._common import AsJson, Experiment, Limit, Quiet, connect, noun_app, resolved
from poms_client.output import Output

COLUMNS = ("experiment", "name", "running", "succeeded", "failed", "last_start", "last_end")

app = noun_app("site", "Where jobs run, and when one ran there last.")


@app.command("list")
@resolved
def list_sites(
    experiment: Experiment = None,
    nodes: Annotated[bool, typer.Option("--nodes", help="The nodes instead of the sites.")] = False,
    limit: Limit = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """List sites, the one used last first."""
    output = Output(as_json=as_json, quiet=quiet)
    query = {"experiment": experiment, "by": "node" if nodes else None}
    output.rows(connect().list("sites", limit=limit, **query), COLUMNS, "No job has run anywhere yet.", limit)
