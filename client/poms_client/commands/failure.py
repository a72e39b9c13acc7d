"""`poms failure` and `poms route`: what jobs fail by, whose it is, what helps; and the rules that say whose."""

from __future__ import annotations

from typing import Annotated, Optional

import typer

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
    add_verbs,
    ask_reason,
    connect,
    noun_app,
    resolved,
    say,
)
from poms_client.output import Output
from poms_client.refs import FAILURE, ROUTE

COLUMNS = ("ref", "title", "cause", "jobs", "core_hours", "first", "last", "owner", "fix")
RULES = ("ref", "place", "cause", "pattern", "service", "actor", "reason")
CAUSES = "memory, time, node, input, software, service, credential, submission, system or unknown."

app = noun_app("failure", "What jobs fail by: list, show, fix, route, ticket.")
add_list(app, FAILURE, COLUMNS, "Nothing has failed.")
add_show(app, FAILURE)
add_history(app, FAILURE)
add_verbs(app, FAILURE, {
    "ticket": Verb("Open a ticket in the service desk; there is one of each failure."),
    "logbook": Verb("Write the reason into the experiment's logbook, with the failure's figures."),
})  # fmt: skip


@app.command("fix")
@resolved
def fix(
    refs: Refs,
    text: Annotated[Optional[str], typer.Option("--text", "-t", metavar="TEXT", help="What helps.")] = None,
    clear: Annotated[bool, typer.Option("--clear", help="Say that nothing is known to help.")] = False,
    experiment: Experiment = None,
    reason: Reason = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Say what helps against a failure."""
    output = Output(as_json=as_json, quiet=quiet)
    words = "" if clear else text or ask_reason("fix", refs)
    say(FAILURE, "fix", Verb("", reason=False), refs, reason, experiment, output, fix=words)


@app.command("route")
@resolved
def route(
    refs: Refs,
    to: Annotated[str, typer.Option("--to", metavar="NAME", help="A service by its name, or the experiment.")],
    experiment: Experiment = None,
    reason: Reason = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Give failures to whoever can mend them; rules say nothing more of these."""
    output = Output(as_json=as_json, quiet=quiet)
    say(FAILURE, "route", Verb(""), refs, reason, experiment, output, owner=to)


@app.command("link")
@resolved
def link(
    ref: Ref,
    address: Annotated[str, typer.Argument(metavar="URL", show_default=False, help="Of the ticket; '' takes it away.")],
    experiment: Experiment = None,
    reason: Reason = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Keep the address of a ticket that was opened elsewhere."""
    output = Output(as_json=as_json, quiet=quiet)
    say(FAILURE, "link", Verb("", reason=False), [ref], reason, experiment, output, link=address)


rules = noun_app("route", "Rules that say whose failures are: list, show, add, remove.")
add_list(rules, ROUTE, RULES, "No rule but those that POMS brings.")
add_show(rules, ROUTE)


@rules.command("add")
@resolved
def add(
    experiment: Annotated[
        str, typer.Option("--experiment", "-e", metavar="E", help="Whose failures; `all` is everybody's.")
    ],
    to: Annotated[
        str, typer.Option("--to", metavar="SERVICE", help="A service by its name; without it, the experiment.")
    ] = "",
    cause: Annotated[str, typer.Option("--cause", metavar="CAUSE", help=CAUSES)] = "",
    pattern: Annotated[
        str, typer.Option("--pattern", metavar="REGEX", help="In the line that tells, such as 'samweb|metacat'.")
    ] = "",
    place: Annotated[int, typer.Option("--place", metavar="N", min=0, help="Lower ones are asked first.")] = 100,
    reason: Reason = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Set a rule; it decides about failures that are seen for the first time."""
    output = Output(as_json=as_json, quiet=quiet)
    why = (reason or "").strip() or ask_reason("route", [pattern or cause])
    body = {"experiment": experiment, "cause": cause, "pattern": pattern, "service": to, "place": place, "reason": why}
    output.one(connect().post(ROUTE.collection, body))


add_verbs(rules, ROUTE, {"remove": Verb("Take a rule back; failures stay where they went.")})
