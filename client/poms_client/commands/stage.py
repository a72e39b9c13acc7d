"""`poms stage`: the stages of campaigns."""

from __future__ import annotations

from poms_client.commands._common import Verb, add_list, add_show, noun_app
from poms_client.commands._launches import add_commands, add_register
from poms_client.commands._selecting import add_selections
from poms_client.refs import CAMPAIGN, STAGE

COLUMNS = ("ref", "type", "units", "done", "batches", "jobs", "complete")

app = noun_app("stage", "The stages of campaigns and how far they are.")
add_list(app, STAGE, COLUMNS, "No stages here. They come with their campaign: `poms campaign list`.", (CAMPAIGN,))
add_show(app, STAGE)
add_selections(
    app,
    STAGE,
    {
        "kill": Verb("Remove all unfinished jobs of stages.", ends_work=True),
        "hold": Verb("Launch nothing more of stages until they are released."),
        "release": Verb("Take the holds off stages."),
        "retry": Verb("Launch again what failed batches of stages miss."),
        "launch": Verb("Put what waits of stages before all else of their experiment, and take their holds off."),
    },
)
add_commands(app, STAGE)
add_register(app)
