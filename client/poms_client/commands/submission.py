"""`poms submission`: the attempts at a batch."""

from __future__ import annotations

from poms_client.commands._common import Verb, add_history, add_list, add_show, add_verbs, noun_app
from poms_client.commands._launches import add_commands
from poms_client.refs import BATCH, CAMPAIGN, STAGE, SUBMISSION

COLUMNS = ("ref", "state", "batch", "round", "kind", "jobs", "memory_mb", "launched", "ended", "why")

app = noun_app("submission", "The attempts at a batch: show, commands, hold, release, kill.")
add_list(app, SUBMISSION, COLUMNS, "No submissions here. A running campaign makes them.", (CAMPAIGN, STAGE, BATCH))
add_show(app, SUBMISSION)
add_verbs(
    app,
    SUBMISSION,
    {
        "kill": Verb("Remove all unfinished jobs of a submission.", ends_work=True),
        "hold": Verb("Hold the jobs of a submission."),
        "release": Verb("Let held jobs of a submission run again.", reason=False),
    },
)
add_commands(app, SUBMISSION)
add_history(app, SUBMISSION)
