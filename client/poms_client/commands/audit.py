"""`poms audit`: the ledger of everything that changed."""

from __future__ import annotations

import json
import time
from typing import Annotated, Optional

import typer

from poms_client import formatting
from poms_client.commands._common import HISTORY, AsJson, Experiment, Limit, connect, noun_app, resolved
from poms_client.errors import REFUSED
from poms_client.output import Output, note

app = noun_app("audit", "The ledger of everything that changed.")


@app.command("events")
@resolved
def events(
    experiment: Experiment = None,
    after: Annotated[Optional[str], typer.Option(metavar="CURSOR", help="Go on where an earlier call ended.")] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Wait for what comes.")] = False,
    limit: Limit = None,
    every: Annotated[float, typer.Option(metavar="S", min=0.05, help="With --follow, look every S seconds.")] = 2.0,
    as_json: AsJson = False,
) -> None:
    """Print the events of the ledger in order, one a line; --json gives one object a line."""
    output = Output(as_json=as_json)
    client = connect()
    left = limit
    while left is None or left > 0:
        found, after = client.events(after, experiment)
        for event in found[:left]:
            _print(output, event)
        if left is not None:
            left -= len(found[:left])
        if not found:
            if not follow:
                break
            time.sleep(every)
    if after and limit is None:
        note(f"Go on from here: --after {formatting.one_line(after)}")


@app.command("verify")
@resolved
def verify(
    after: Annotated[int, typer.Option(metavar="TXID", min=0, help="Go on where an earlier call ended.")] = 0,
    seals: Annotated[int, typer.Option(metavar="N", min=1, max=50, help="So many seals in one question.")] = 5,
    as_json: AsJson = False,
) -> None:
    """Recompute the ledger's seals and name every row that was altered, deleted or added; 1 where it does not hold."""
    client = connect()
    found: list[dict[str, object]] = []
    rows = checked = 0
    while True:
        piece = client.get(["audit", "verify"], after=after, seals=seals)
        found += piece["findings"]
        after, rows, checked = piece["after"], rows + piece["rows"], checked + piece["seals"]
        for finding in () if as_json else piece["findings"]:
            print(formatting.one_line(f"{finding['what']}: {finding['text']}"))
        if piece["done"] or not piece["seals"]:
            break
        note(f"{checked} seals, {rows} rows; go on from here: --after {after}")
    if as_json:
        print(json.dumps({"seals": checked, "rows": rows, "after": after, "findings": found}))
    elif not found:
        print(f"The ledger holds: {checked} seals over {rows} rows.")
    if found:
        raise typer.Exit(REFUSED)


def _print(output: Output, event: dict[str, object]) -> None:
    if output.as_json:
        print(json.dumps(event), flush=True)
    elif output.people:
        from poms_client.watching import event_line

        output.console.print(event_line(output, event))
    else:
        print("\t".join(formatting.plain(name, event.get(name)) for name in HISTORY), flush=True)
