"""`poms submission`: the attempts at a batch."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from poms_client import formatting
from poms_client.commands._common import (
    AsJson,
    Experiment,
    Quiet,
    Reason,
    Ref,
    Refs,
    Verb,
    add_history,
    add_list,
    add_show,
    connect,
    noun_app,
    resolved,
    say,
)
from poms_client.commands._launches import add_commands
from poms_client.commands._selecting import add_selections
from poms_client.errors import UsedWrongly
from poms_client.output import Output
from poms_client.refs import BATCH, CAMPAIGN, STAGE, SUBMISSION

COLUMNS = ("ref", "state", "batch", "round", "kind", "jobs", "memory_mb", "launched", "ended", "why")

app = noun_app(
    "submission", "The attempts at a batch: show, log, commands, launch, hold, release, kill, retry, settle."
)
add_list(
    app,
    SUBMISSION,
    COLUMNS,
    "No submissions here. A running campaign makes them.",
    (CAMPAIGN, STAGE, BATCH),
    files=True,
)
add_show(app, SUBMISSION)
add_selections(
    app,
    SUBMISSION,
    {
        "kill": Verb("Remove all unfinished jobs of submissions.", ends_work=True),
        "hold": Verb("Hold the jobs of submissions."),
        "release": Verb("Let held jobs of submissions run again.", reason=False),
        "retry": Verb("Launch again what failed batches miss, whose last attempts these are."),
        "launch": Verb("Put submissions that wait before all else of their experiment."),
    },
    single=("kill", "hold", "release"),
)
add_commands(app, SUBMISSION)


def _settling(verb: str) -> Any:
    def settle(
        refs: Refs, reason: Reason = None, experiment: Experiment = None, as_json: AsJson = False, quiet: Quiet = False
    ) -> None:
        say(SUBMISSION, verb, Verb(""), refs, reason, experiment, Output(as_json=as_json, quiet=quiet))

    return settle


app.command("adopt", help="Say of an unsure submission that it ran: its jobs are looked for and adopted.")(
    resolved(_settling("adopt"))
)
app.command("give-up", help="Say of an unsure submission that it did not run: its batch is launched again.")(
    resolved(_settling("give_up"))
)


@app.command("log")
@resolved
def log(
    ref: Ref,
    tail: Annotated[bool, typer.Option("--tail", help="Its end instead of its beginning.")] = False,
    raw: Annotated[bool, typer.Option("--raw", help="Control characters as they are; not on a terminal.")] = False,
    experiment: Experiment = None,
) -> None:
    r"""Print what the launch script printed. Terminal escapes in it are shown as \x1b, never executed."""
    if raw and sys.stdout.isatty():
        raise UsedWrongly("--raw is for files and pipes: a log could take over the terminal")
    client, full, offset = connect(), SUBMISSION.full(ref, experiment), 0
    while True:
        text, offset = client.script_log(full, "tail" if tail else "head", offset)
        if not text:
            return
        sys.stdout.buffer.write((text if raw else formatting.visible(text)).encode("utf-8", "replace"))
        sys.stdout.buffer.flush()


add_history(app, SUBMISSION)
