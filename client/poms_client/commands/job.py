"""`poms job`: single processes, their logs, and acting on them."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from typing import Annotated, Any, Optional

import typer

from poms_client import formatting
from poms_client.commands._common import (
    AsJson,
    Experiment,
    Quiet,
    Ref,
    Verb,
    add_history,
    add_list,
    add_show,
    connect,
    noun_app,
    resolved,
)
from poms_client.commands._selecting import add_selections
from poms_client.errors import UsedWrongly
from poms_client.output import Output, note
from poms_client.refs import BATCH, CAMPAIGN, COMMAND, JOB, STAGE, SUBMISSION
from poms_client.states import JOB_ENDED

PIECE = 10_000
COLUMNS = (
    "ref",
    "state",
    "seconds_in_state",
    "stage",
    "submission",
    "external_id",
    "exit_code",
    "code",
    "node",
    "starts",
    "memory_mb",
    "wall_s",
)

app = noun_app("job", "Single processes: show, log, hold, release, kill.")
add_list(
    app, JOB, COLUMNS, "No jobs here. A running campaign makes them.", (CAMPAIGN, STAGE, BATCH, SUBMISSION), files=True
)
add_show(app, JOB)


@app.command("log")
@resolved
def log(
    ref: Ref,
    experiment: Experiment = None,
    err: Annotated[bool, typer.Option("--err", help="What it wrote to stderr instead of stdout.")] = False,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the job has ended.")] = False,
    raw: Annotated[bool, typer.Option("--raw", help="Control characters as they are; not on a terminal.")] = False,
    every: Annotated[float, typer.Option(metavar="S", min=0.05, help="With --follow, look every S seconds.")] = 2.0,
) -> None:
    r"""Print what a job wrote. Terminal escapes in it are shown as \x1b, never executed."""
    if raw and sys.stdout.isatty():
        raise UsedWrongly("--raw is for files and pipes: a log could take over the terminal")
    client = connect()
    full = JOB.full(ref, experiment)
    stream, offset = "err" if err else "out", 0
    while True:
        # Asked before reading: what an ended job wrote is all there.
        ended = not follow or client.show(JOB.collection, full).get("state") in JOB_ENDED
        offset = _copy(client, full, stream, offset, raw)
        if ended:
            return
        time.sleep(every)


def _copy(client: Any, ref: str, stream: str, offset: int, raw: bool) -> int:
    while True:
        text, following = client.log(ref, stream, offset)
        if not text:
            return offset
        shown = text if raw else formatting.visible(text)
        sys.stdout.buffer.write(shown.encode("utf-8", "replace"))
        sys.stdout.buffer.flush()
        offset = following


add_selections(
    app,
    JOB,
    {
        "kill": Verb("Remove jobs.", ends_work=True),
        "hold": Verb("Hold jobs; running ones start anew when released."),
        "release": Verb("Let held jobs run again.", reason=False),
        "retry": Verb("Launch the inputs of failed jobs again, of batches that have failed."),
    },
    single=("kill", "hold", "release"),
)


@app.command("life")
@resolved
def life(ref: Ref, experiment: Experiment = None, as_json: AsJson = False, quiet: Quiet = False) -> None:
    """Show how long a job was in each state, what it used, and which services were down while it ran."""
    output = Output(as_json=as_json, quiet=quiet)
    output.one(connect().get([JOB.collection, *JOB.full(ref, experiment).split("/"), "life"]))


@app.command("records")
@resolved
def records(ref: Ref, experiment: Experiment = None, as_json: AsJson = False, quiet: Quiet = False) -> None:
    """Ask the catalogue what became of each input of a job."""
    output = Output(as_json=as_json, quiet=quiet)
    output.one(connect().get([JOB.collection, *JOB.full(ref, experiment).split("/"), "records"]))


@app.command("over-time")
@resolved
def over_time(
    experiment: Experiment = None,
    span: Annotated[str, typer.Option("--span", metavar="SPAN", help="day, week, month or year.")] = "day",
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Show how many jobs of an experiment were in which state, over a span that ends now."""
    if not experiment:
        raise UsedWrongly("no experiment is named", hint="Say --experiment E.")
    found = connect().get([JOB.collection, "over-time"], experiment=experiment, span=span)
    columns = ("at", "idle", "staging", "processing", "held")
    Output(as_json=as_json, quiet=quiet).rows(found["results"], columns, "No job yet.", len(found["results"]))


@app.command("compare")
@resolved
def compare(
    ref: Ref,
    other: Annotated[
        Optional[str],
        typer.Option("--with", metavar="REF", help="By default the nearest job of its stage that succeeded."),
    ] = None,
    err: Annotated[bool, typer.Option("--err", help="Align what they wrote to stderr instead of stdout.")] = False,
    everything: Annotated[bool, typer.Option("--all", help="Also what does not differ.")] = False,
    experiment: Experiment = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Show what a job has otherwise than a good one, and where their logs part."""
    output = Output(as_json=as_json, quiet=quiet)
    path = [JOB.collection, *JOB.full(ref, experiment).split("/"), "compare"]
    wanted = JOB.full(other, experiment) if other else None
    found = connect().get(path, stream="err" if err else "out", **({"with": wanted} if wanted else {}))
    if as_json or quiet:
        output.one(found if as_json else {"ref": found["right"]})
        return
    facts = [fact for fact in found["facts"] if everything or fact["differs"]]
    shown = ({"fact": fact["name"], found["left"]: fact["left"], found["right"]: fact["right"]} for fact in facts)
    output.rows(shown, ("fact", found["left"], found["right"]), "Nothing differs.", len(facts) or None)
    if found["log_trouble"]:
        note(f"poms: a log cannot be read now: {found['log_trouble']}")
    for row in found["log"]:
        print(formatting.visible(_log_row(row)))


def _log_row(row: dict[str, Any]) -> str:
    if row["how"] == "skipped":
        return f"  ... {row['skipped']} lines alike"
    sign = {"left": "-", "right": "+"}.get(row["how"], " ")
    return f"{sign} {row['right'] if row['how'] == 'right' else row['left']}"


@app.command("outcomes")
@resolved
def outcomes(
    ref: Annotated[Optional[str], typer.Argument(metavar="COMMAND", help="For example demo/x1.")] = None,
    selection: Annotated[
        Optional[str], typer.Option("--selection", metavar="ID", help="All commands of one verb on a selection.")
    ] = None,
    outcome: Annotated[str, typer.Option("--outcome", metavar="WORD", help="Only jobs of which this came.")] = "",
    experiment: Experiment = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Show what was done to each job by a command, or how many jobs of a selection came to what."""
    if bool(ref) == bool(selection):
        raise UsedWrongly("no command is named, or two", hint="It looks like demo/x1, or --selection ID.")
    client, output = connect(), Output(as_json=as_json, quiet=quiet)
    if selection:
        found = client.list("outcomes", selection=selection)
        rows = found if as_json else ({**row, "tally": formatting.tally(row["tally"])} for row in found)
        output.rows(rows, ("ref", "verb", "submission", "state", "tally", "reason"), "No command of it is seen.", None)
        return
    output.rows(_pieces(client, COMMAND.full(ref or "", experiment), outcome), ("job", "outcome"), "No job yet.", None)


def _pieces(client: Any, ref: str, outcome: str) -> Iterator[dict[str, Any]]:
    offset = 0
    while offset is not None:
        path = [COMMAND.collection, *ref.split("/"), "outcomes"]
        piece = client.get(path, offset=offset, length=PIECE, **({"outcome": outcome} if outcome else {}))
        yield from piece["results"]
        offset = piece["next"]


add_history(app, JOB)
