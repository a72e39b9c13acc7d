"""`poms report`: how a day, a week or all there was went."""

from __future__ import annotations

from typing import Annotated, Any, Optional

import typer

from poms_client import formatting
from poms_client.commands._common import AsJson, Experiment, Limit, Quiet, connect, noun_app, resolved
from poms_client.errors import UsedWrongly
from poms_client.output import Output, write_text

FIGURES = ("section", "word", "now", "before", "unit")
SHOWN = ("filed", "submitted", "succeeded", "failed", "success", "used", "wasted")
COLUMNS = ("experiment", *SHOWN)
FORMATS = ("table", "csv", "json")

Period = Annotated[str, typer.Option("--period", "-p", metavar="P", help="day, week or all.")]
On = Annotated[Optional[str], typer.Option("--on", metavar="DAY", help="A day in it, such as 2026-11-30; else today.")]

app = noun_app("report", "How a day, a week or all there was went: show, list.")


def _asked(period: str, on: str | None, experiment: str | None) -> dict[str, str]:
    given = {"period": period, "on": on, "experiment": experiment}
    return {name: value for name, value in given.items() if value}


@app.command("show")
@resolved
def show(
    period: Period = "week",
    on: On = None,
    experiment: Experiment = None,
    form: Annotated[str, typer.Option("--format", "-f", metavar="F", help="table, csv or json.")] = "table",
    as_json: AsJson = False,
) -> None:
    """Show every figure of a period beside the period before: of one experiment, or of all together."""
    if form not in FORMATS:
        raise UsedWrongly(f"--format {form!r} is none of {', '.join(FORMATS)}")
    query = _asked(period, on, experiment)
    if form == "csv":
        write_text(connect().text("reports", **query, **{"as": "csv"}))
        return
    found = connect().get("reports", **query)
    output = Output(as_json=as_json or form == "json")
    if output.as_json:
        output.document(found)
        return
    if experiment and not found["results"]:
        raise UsedWrongly(f"there is no experiment {experiment}, or you may not look into it")
    rows = [
        {"section": figure["section"], "word": figure["word"], "unit": figure["unit"],
         "now": _told(figure, found["total"]["now"]), "before": _told(figure, found["total"]["before"])}
        for figure in found["figures"]
    ]  # fmt: skip
    output.rows(rows, FIGURES, "There is nothing to report.", len(rows))


@app.command("list")
@resolved
def list_reports(
    period: Period = "week",
    on: On = None,
    experiment: Experiment = None,
    limit: Limit = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """List the experiments with the main figures of a period."""
    found = connect().get("reports", **_asked(period, on, experiment))
    figures = {figure["key"]: figure for figure in found["figures"]}
    rows = [
        {"experiment": row["experiment"], **{key: _told(figures[key], row["now"]) for key in SHOWN}}
        for row in found["results"][:limit]
    ]
    output = Output(as_json=as_json, quiet=quiet)
    output.rows(found["results"][:limit] if as_json else rows, COLUMNS, "You may look into no experiment.", limit)


def _told(figure: dict[str, Any], values: dict[str, Any]) -> str:
    """Write a figure for people: seconds as a duration, the rest as a number without needless digits."""
    value = values.get(figure["key"])
    if value is None:
        return ""
    if figure["unit"] == "s":
        return formatting.duration(value)
    return f"{value:.1f}" if value != int(value) else str(int(value))
