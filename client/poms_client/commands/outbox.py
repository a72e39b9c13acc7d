"""`poms outbox`: where an experiment's notices, tickets and logbook entries go, and what did not get there."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from poms_client.commands._common import AsJson, Quiet, Reason, ask_reason, connect, noun_app, resolved
from poms_client.output import Output

Whose = Annotated[str, typer.Option("--experiment", "-e", metavar="E", help="The experiment.")]
Url = Annotated[str, typer.Argument(metavar="URL", show_default=False, help="Its address; '' takes it away.")]
Credential = Annotated[
    str, typer.Option("--credential", metavar="NAME", help="The name of its secret, never the secret itself.")
]

app = noun_app("outbox", "Where notices, tickets and entries go: show, webhook, desk, logbook, again.")


@app.command("show")
@resolved
def show(experiment: Whose, as_json: AsJson = False, quiet: Quiet = False) -> None:
    """Show where things go, and how many messages did not get there."""
    Output(as_json=as_json, quiet=quiet).one(connect().get("outbox", experiment=experiment))


def _set(word: str, experiment: str, url: str, reason: str | None, output: Output, **more: str) -> None:
    body: dict[str, Any] = {"experiment": experiment, "url": url, "reason": reason or ask_reason(word, [experiment])}
    output.done(experiment, word, connect().put(["outbox", word], {**body, **more}))


@app.command("webhook")
@resolved
def webhook(url: Url, experiment: Whose, reason: Reason = None, as_json: AsJson = False, quiet: Quiet = False) -> None:
    """Set where notices are posted."""
    _set("webhook", experiment, url, reason, Output(as_json=as_json, quiet=quiet))


@app.command("desk")
@resolved
def desk(
    url: Url,
    experiment: Whose,
    credential: Credential = "",
    group: Annotated[str, typer.Option("--group", metavar="NAME", help="Who gets the tickets.")] = "",
    reason: Reason = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Set the service desk in which tickets are opened."""
    output = Output(as_json=as_json, quiet=quiet)
    _set("desk", experiment, url, reason, output, credential=credential, group=group)


@app.command("logbook")
@resolved
def logbook(
    url: Url,
    experiment: Whose,
    credential: Credential = "",
    category: Annotated[str, typer.Option("--category", metavar="NAME", help="Under which entries stand.")] = "",
    reason: Reason = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Set the logbook into which entries are written."""
    output = Output(as_json=as_json, quiet=quiet)
    _set("logbook", experiment, url, reason, output, credential=credential, category=category)


@app.command("again")
@resolved
def again(experiment: Whose, as_json: AsJson = False, quiet: Quiet = False) -> None:
    """Have what did not get there tried anew."""
    done = connect().post(["outbox", "again"], {"experiment": experiment})
    Output(as_json=as_json, quiet=quiet).done(experiment, f"{done['again']} again", done)
