"""`poms template`: definitions to begin a request with."""

from __future__ import annotations

from poms_client.commands._common import add_list, noun_app
from poms_client.refs import TEMPLATE

app = noun_app("template", "Definitions to begin a request with.")
add_list(
    app, TEMPLATE, ("name", "title", "production_stage", "counts_on", "about"),
    "No template here; administrators make them.",
)  # fmt: skip
