"""`poms review`: what waits for a reviewer, and verdicts on campaigns that have ended."""

from __future__ import annotations

from typing import Annotated

import typer

from poms_client.commands._common import (
    AsJson,
    Experiment,
    Limit,
    Quiet,
    Reason,
    Ref,
    ask_reason,
    connect,
    noun_app,
    resolved,
)
from poms_client.output import Output
from poms_client.refs import CAMPAIGN

COLUMNS = ("ref", "kind", "state", "stage", "title", "todo", "since")
SAID = ("verdict", "by", "at", "reason")

app = noun_app("review", "What waits for a reviewer: list, verdict, verdicts.")


@app.command("list")
@resolved
def list_reviews(
    experiment: Experiment = None, limit: Limit = None, as_json: AsJson = False, quiet: Quiet = False
) -> None:
    """List stages to sign off, reproductions to sign, and campaigns without a verdict."""
    found = connect().list("reviews", limit=limit, experiment=experiment)
    Output(as_json=as_json, quiet=quiet).rows(found, COLUMNS, "Nothing waits for a reviewer.", limit)


@app.command("verdict")
@resolved
def verdict(
    ref: Ref,
    word: Annotated[str, typer.Argument(metavar="VERDICT", help="good, remarks, bad, or withdrawn.")],
    reason: Reason = None,
    experiment: Experiment = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Say what the results of a campaign are that has ended; a later verdict stands before an earlier one."""
    full = CAMPAIGN.full(ref, experiment)
    why = (reason or "").strip() or ask_reason("verdict", [full])
    answer = connect().verb(CAMPAIGN.collection, full, "verdict", why, verdict=word)
    Output(as_json=as_json, quiet=quiet).done(full, f"verdict {word}", answer)


@app.command("verdicts")
@resolved
def verdicts(ref: Ref, experiment: Experiment = None, as_json: AsJson = False, quiet: Quiet = False) -> None:
    """List all verdicts on a campaign, the one that stands first."""
    full = CAMPAIGN.full(ref, experiment)
    found = connect().get([CAMPAIGN.collection, *full.split("/"), "verdicts"])["results"]
    Output(as_json=as_json, quiet=quiet).rows(found, SAID, "No reviewer has said anything of it.", None)
