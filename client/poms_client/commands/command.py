"""`poms command`: what people and rules wanted done to submissions and jobs, and what came of it."""

from __future__ import annotations

from poms_client.commands._common import add_history, add_list, add_show, noun_app
from poms_client.refs import COMMAND, SUBMISSION

COLUMNS = ("ref", "verb", "submission", "job", "state", "actor", "reason", "outcome", "created")

app = noun_app("command", "What was wanted of batch systems: list, show, history.")
add_list(app, COMMAND, COLUMNS, "Nobody asked for anything yet.", (SUBMISSION,))
add_show(app, COMMAND)
add_history(app, COMMAND)
