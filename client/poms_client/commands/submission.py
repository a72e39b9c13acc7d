"""`poms submission`: the attempts at a batch."""

from __future__ import annotations

from poms_client.commands._common import Verb, add_history, add_list, add_show, noun_app
from poms_client.commands._launches import add_commands
from poms_client.commands._selecting import add_selections
from poms_client.refs import BATCH, CAMPAIGN, STAGE, SUBMISSION

COLUMNS = ("ref", "state", "batch", "round", "kind", "jobs", "memory_mb", "launched", "ended", "why")

app = noun_app("submission", "The attempts at a batch: show, commands, launch, hold, release, kill, retry.")
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
add_history(app, SUBMISSION)
