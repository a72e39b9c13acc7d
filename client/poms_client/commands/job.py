"""`poms job`: single processes, their logs, and acting on them."""

from __future__ import annotations

import sys
import time
from typing import Annotated, Any

import typer

from poms_client import formatting
from poms_client.commands._common import (
    Experiment,
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
from poms_client.errors import UsedWrongly
from poms_client.refs import BATCH, CAMPAIGN, JOB, STAGE, SUBMISSION
from poms_client.states import JOB_ENDED

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
add_list(app, JOB, COLUMNS, "No jobs here. A running campaign makes them.", (CAMPAIGN, STAGE, BATCH, SUBMISSION))
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


add_verbs(
    app,
    JOB,
    {
        "kill": Verb("Remove a job.", ends_work=True),
        "hold": Verb("Hold a job; a running one starts anew when released."),
        "release": Verb("Let a held job run again.", reason=False),
    },
)
add_history(app, JOB)
