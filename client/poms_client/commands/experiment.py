"""`poms experiment`: the experiments that one may see, and how far their campaigns are."""

from __future__ import annotations

from typing import Annotated, Optional

import typer

from poms_client import formatting
from poms_client.commands._common import AsJson, Quiet, connect, noun_app, resolved
from poms_client.output import Output

app = noun_app("experiment", "The experiments that you may see: list, show.")


@app.command("list")
@resolved
def list_(as_json: AsJson = False, quiet: Quiet = False) -> None:
    """List experiments."""
    output = Output(as_json=as_json, quiet=quiet)
    output.rows(connect().list("experiments"), ("name", "title", "restricted"), "You may see no experiment.", None)


@app.command("show")
@resolved
def show(
    names: Annotated[Optional[list[str]], typer.Argument(metavar="[NAME]...", show_default=False)] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Show how many campaigns of experiments are in which state, and how far those are that run."""
    output = Output(as_json=as_json, quiet=quiet)
    found = connect().get("overview")["experiments"]
    chosen = {name: entry for name, entry in found.items() if not names or name in names}
    if as_json:
        output.document(chosen)
        return
    rows = [
        {"name": name, "title": entry["title"], "campaigns": formatting.tally(entry["states"]),
         "running": ", ".join(run["name"] for run in entry["running"])}
        for name, entry in chosen.items()
    ]  # fmt: skip
    output.rows(rows, ("name", "title", "campaigns", "running"), "You may see no experiment of that name.", len(rows))
