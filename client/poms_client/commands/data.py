"""`poms data`: datasets of the experiment's catalogues, and queries in their language."""

from __future__ import annotations

from typing import Annotated, Optional

import typer

from poms_client.commands._common import AsJson, Experiment, Limit, Quiet, connect, noun_app, resolved
from poms_client.output import Output, note, write_text

COLUMNS = ("name", "catalogue", "query", "created", "campaigns", "last")

Catalogue = Annotated[
    Optional[str], typer.Option(metavar="NAME", help="One of the experiment's catalogues; else its default one.")
]

app = noun_app("data", "Datasets and queries of the experiment's catalogues.")


@app.command("list")
@resolved
def list_datasets(
    experiment: Experiment = None,
    name_has: Annotated[Optional[str], typer.Option("--has", metavar="TEXT", help="Only names with it.")] = None,
    read: Annotated[bool, typer.Option("--read", help="What campaigns read, in whichever catalogue.")] = False,
    limit: Limit = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """List the datasets of the local catalogue, or with --read those that campaigns read."""
    output = Output(as_json=as_json, quiet=quiet)
    if read:
        query = {"experiment": experiment} if experiment else {}
        found = [
            entry for entry in connect().get(["data", "read"], **query)["results"]
            if (name_has or "").lower() in entry["name"].lower()
        ]  # fmt: skip
        output.rows(found[:limit], COLUMNS, "No campaign reads a dataset here.", limit)
        return
    rows = connect().list("data", limit=limit, experiment=experiment, name_has=name_has)
    output.rows(rows, COLUMNS, "No datasets in the local catalogue; --read shows those that campaigns read.", limit)


@app.command("show")
@resolved
def show(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Of the dataset.")],
    catalogue: Catalogue = None,
    experiment: Experiment = None,
    as_json: AsJson = False,
) -> None:
    """Show how large a dataset is now, where its files are, and which campaigns read it."""
    query = {"experiment": experiment or "", "name": name, **({"catalogue": catalogue} if catalogue else {})}
    found = connect().get(["data", "show"], **query)
    if as_json:
        Output(as_json=True).document(found)
        return
    places = ("disk", "tape", "nowhere")
    facts = [(key, found[key]) for key in ("files", "bytes", "events", *places)]
    lines = [f"{key}\t{'unknown' if value is None else value}" for key, value in facts]
    lines += [f"read by\t{use['campaign']}/{use['stage']}, which is {use['state']}" for use in found["uses"]]
    write_text("".join(f"{line}\n" for line in lines))
    if found["why"]:
        note(f"poms: {found['why']}")


@app.command("query")
@resolved
def query(
    dimensions: Annotated[str, typer.Argument(metavar="DIMENSIONS", help="In the catalogue's language.")],
    catalogue: Catalogue = None,
    limit: Limit = None,
    experiment: Experiment = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Say how many files a query finds now, and which come first; with --quiet their names only."""
    asked = {"experiment": experiment or "", "dimensions": dimensions}
    more = {"catalogue": catalogue, "limit": limit}
    found = connect().get(["data", "query"], **asked, **{key: value for key, value in more.items() if value})
    if as_json:
        Output(as_json=True).document(found)
        return
    write_text("".join(f"{name}\n" for name in found["first"]))
    if not quiet:
        rest = found["files"] - len(found["first"])
        note(f"poms: {found['files']} files" + (f", {rest} more than shown" if rest else ""))
