"""Verbs on selections: many things by name, or all that fit a filter; what will be done is said first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Callable, Optional

import typer

from poms_client import formatting
from poms_client.commands._common import (
    AsJson,
    Experiment,
    Quiet,
    Reason,
    State,
    Verb,
    Where,
    ask,
    ask_reason,
    at_terminal,
    connect,
    fields,
    resolved,
    say,
)
from poms_client.errors import REFUSED, UsedWrongly
from poms_client.output import Output, note
from poms_client.refs import Noun

PLAN_HAS_WORK = 2
Refs = Annotated[
    Optional[list[str]], typer.Argument(metavar="REF", show_default=False, help="Those, or none and a filter.")
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do it; without it the plan is shown and a person is asked.")]
JustPlan = Annotated[bool, typer.Option("--plan", help="Only say what it would do; then 2 if there is something.")]
OfCampaign = Annotated[Optional[str], typer.Option("--campaign", metavar="REF", help="Only of this campaign.")]
OfStage = Annotated[Optional[str], typer.Option("--stage", metavar="NAME", help="Only of this stage.")]
OUTCOMES = ("ref", "outcome", "jobs", "command", "submission", "hold")


def add_selections(app: typer.Typer, noun: Noun, verbs: dict[str, Verb], single: Sequence[str] = ()) -> None:
    """Add verbs on selections; those of `single` are said to each reference by itself where no filter is given."""
    for word, verb in verbs.items():
        app.command(word, help=verb.help)(resolved(_selecting(noun, word, verb, word in single)))


def _selecting(noun: Noun, word: str, verb: Verb, single: bool) -> Callable[..., None]:
    def select(
        refs: Refs = None,
        reason: Reason = None,
        experiment: Experiment = None,
        state: State = None,
        campaign: OfCampaign = None,
        stage: OfStage = None,
        where: Where = None,
        yes: Yes = False,
        plan: JustPlan = False,
        as_json: AsJson = False,
        quiet: Quiet = False,
    ) -> None:
        output = Output(as_json=as_json, quiet=quiet)
        given = {"state": state, "campaign": campaign, "stage": stage, **fields(where, "--where")}
        chosen = {name: str(value) for name, value in given.items() if value}
        if bool(refs) == bool(chosen):
            raise UsedWrongly("nothing is chosen, or twice", hint="Give references, or a filter such as --state held.")
        if refs and single and not plan:
            say(noun, word, verb, refs, reason, experiment, output)
            return
        body: dict[str, Any] = {"experiment": experiment or ""}
        body |= {"refs": [noun.full(ref, experiment) for ref in refs]} if refs else {"filter": chosen}
        _do(noun, word, body, reason, output, yes=yes, plan=plan)

    return select


def _do(
    noun: Noun, word: str, body: dict[str, Any], reason: str | None, output: Output, *, yes: bool, plan: bool
) -> None:
    client = connect()
    found = client.select(noun.collection, word, {**body, "reason": reason or ""}, plan=True)
    if plan:
        output.document(found) if output.as_json else note(f"poms: {found['says']}")
        raise typer.Exit(PLAN_HAS_WORK if found["able"] else 0)
    note(f"poms: {found['says']}")
    if not found["able"]:
        _tell_missing(found.get("missing") or [])
        return
    confirm(yes)
    why = (reason or "").strip() or ask_reason(word, [f"{found['able']} {noun.collection}"])
    done = client.select(noun.collection, word, {**body, "reason": why, "at_most": found["able"]})
    if output.as_json:
        output.document(done)
    else:
        output.rows(done["results"], OUTCOMES, "Nothing was left to do.", len(done["results"]) or 1)
        if any("command" in entry for entry in done["results"]):
            note(f"poms: what came of each job: poms job outcomes --selection {done['selection']}")
    if any(entry["outcome"].startswith("refused") for entry in done["results"]):
        raise typer.Exit(REFUSED)


def _tell_missing(refs: Sequence[str]) -> None:
    for ref in refs:
        note(f"poms: there is no {formatting.one_line(ref)}, or you may not see it")
    if refs:
        raise typer.Exit(REFUSED)


def confirm(yes: bool) -> None:
    """Ask a person whether to go on; raise UsedWrongly where nobody can be asked or says no."""
    if yes:
        return
    if not at_terminal():
        raise UsedWrongly("nothing was done", hint="Say --yes to do what the plan says, or --plan to see it only.")
    if ask("Go on? [y/N] ").strip().lower() not in ("y", "yes"):
        raise UsedWrongly("nothing was done")
