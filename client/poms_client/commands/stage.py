"""`poms stage`: the stages of campaigns."""

from __future__ import annotations

from poms_client.commands._common import add_list, add_show, noun_app
from poms_client.commands._launches import add_commands, add_register
from poms_client.refs import CAMPAIGN, STAGE

COLUMNS = ("ref", "type", "units", "done", "batches", "jobs", "complete")

app = noun_app("stage", "The stages of campaigns and how far they are.")
add_list(app, STAGE, COLUMNS, "No stages here. They come with their campaign: `poms campaign list`.", (CAMPAIGN,))
add_show(app, STAGE)
add_commands(app, STAGE)
add_register(app)
