"""`poms stop` and `poms go-on`: the emergency stop of an experiment, or of everything, and its end."""

from __future__ import annotations

from typing import Annotated, Optional

import typer

from poms_client.commands._common import AsJson, Reason, ask_reason, connect
from poms_client.commands._selecting import PLAN_HAS_WORK, JustPlan, Yes, confirm
from poms_client.errors import UsedWrongly
from poms_client.output import Output, note

Whose = Annotated[Optional[str], typer.Option("--experiment", "-e", metavar="E", help="The experiment.")]
All = Annotated[bool, typer.Option("--all", help="Everything; for administrators.")]
Jobs = Annotated[str, typer.Option("--jobs", metavar="WAY", help="What becomes of jobs: hold, kill or leave.")]
Standing = Annotated[bool, typer.Option("--list", help="Only show the stops that stand.")]
STOPS = ("ref", "experiment", "jobs", "since", "actor", "reason")
WAYS = ("hold", "kill", "leave")


def stop(
    experiment: Whose = None, everything: All = False, jobs: Jobs = "hold", reason: Reason = None, yes: Yes = False,
    plan: JustPlan = False, standing: Standing = False, as_json: AsJson = False,
) -> None:  # fmt: skip
    """Stop an experiment, or everything: nothing is launched until somebody says go-on; jobs are held or killed."""
    if standing:
        found = connect().list("stops")
        Output(as_json=as_json).rows(found, STOPS, "Nothing is stopped.", None)
        return
    if jobs not in WAYS:
        raise UsedWrongly(f"--jobs is {jobs!r}; it is one of {', '.join(WAYS)}")
    path, body = _of(experiment, everything)
    client, output = connect(), Output(as_json=as_json)
    body |= {"jobs": jobs}
    found = client.post(path, body, plan=1)
    if plan:
        output.document(found) if as_json else note(f"poms: {found['says']}")
        raise typer.Exit(PLAN_HAS_WORK)
    note(f"poms: {found['says']}")
    confirm(yes)
    why = (reason or "").strip() or ask_reason("stop", [found["scope"]])
    made = client.post(path, {**body, "reason": why})
    output.done(made["ref"], "stop", made)


def go_on(experiment: Whose = None, everything: All = False, reason: Reason = None, as_json: AsJson = False) -> None:
    """End an emergency stop: launches go on, and what it held is released."""
    path, body = _of(experiment, everything)
    why = (reason or "").strip() or ask_reason("go on with", [experiment or "everything"])
    made = connect().post([*path, "go-on"], {**body, "reason": why})
    Output(as_json=as_json).done(made["ref"], "go-on", made)


def _of(experiment: str | None, everything: bool) -> tuple[list[str], dict[str, str]]:
    if bool(experiment) == everything:
        raise UsedWrongly("what is to be stopped is not said", hint="Say --experiment E, or --all.")
    return (["stops", "all"], {}) if everything else (["stops"], {"experiment": experiment or ""})
