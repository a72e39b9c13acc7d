"""`poms campaign`: look at campaigns, watch them, hold and steer them."""

from __future__ import annotations

from typing import Annotated, Any, Optional

import typer

from poms_client import formatting
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
    add_verbs,
    connect,
    fields,
    for_each,
    noun_app,
    resolved,
    say,
)
from poms_client.commands._selecting import add_selections
from poms_client.commands.definition import add_definitions
from poms_client.errors import UsedWrongly
from poms_client.output import Output, write_text
from poms_client.refs import CAMPAIGN

COLUMNS = ("ref", "state", "name", "progress", "rank", "owner", "request", "started", "ended")

app = noun_app("campaign", "What runs: show, watch, hold, steer.")
add_list(app, CAMPAIGN, COLUMNS, "No campaigns here. An approved request makes one: `poms request create`.")
add_verbs(
    app,
    CAMPAIGN,
    {
        "cancel": Verb("End a campaign and its unfinished jobs for good.", ends_work=True),
        "relaunch": Verb("Run again what failed of a campaign."),
        "unboost": Verb("Take a campaign from the top of the queue again."),
        "archive": Verb("Take a campaign out of the lists.", reason=False),
        "unarchive": Verb("Put an archived campaign back into the lists.", reason=False),
        "delete": Verb("Delete a campaign that was never asked for.", ends_work=True),
    },
)
add_selections(
    app,
    CAMPAIGN,
    {
        "kill": Verb("Remove all unfinished jobs of campaigns, which go on.", ends_work=True),
        "hold": Verb("Start nothing new of campaigns until they are released."),
        "release": Verb("Take the holds off campaigns.", reason=False),
        "retry": Verb("Launch again what failed batches of campaigns miss."),
        "launch": Verb("Put what waits of campaigns before all else of their experiment, and take their holds off."),
    },
    single=("hold", "release"),
)
WAYS = ("files", "events", "jobs")
CELLS = ("stage", "first", "last", "state", "batch", "states")
COUNTS = ("in", "done", "failed", "recovering", "running", "waiting", "out")


@app.command("heat")
@resolved
def heat(
    ref: Ref,
    stage: Annotated[Optional[str], typer.Option("--stage", metavar="STAGE", help="Only this one.")] = None,
    worst: Annotated[bool, typer.Option("--worst", help="The worst first instead of by number.")] = False,
    experiment: Experiment = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Show a campaign's batches at a glance: a line each, or one for several in a row."""
    path = [CAMPAIGN.collection, *CAMPAIGN.full(ref, experiment).split("/"), "heat"]
    found = connect().get(path, order="worst" if worst else "number", stage=stage)
    cells = [{"stage": one["stage"], **cell} for one in found["stages"] for cell in one["cells"]]
    if not as_json:
        cells = [{**cell, "ref": cell["batch"], "states": formatting.tally(cell["states"])} for cell in cells]
    Output(as_json=as_json, quiet=quiet).rows(cells, CELLS, "No batch yet.", len(cells) or None)


@app.command("show")
@resolved
def show(
    refs: Refs,
    by: Annotated[str, typer.Option("--by", metavar="WAY", help="Count in files, events or jobs.")] = "files",
    experiment: Experiment = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Show everything about a campaign: its stages in numbers, when they are expected to end, what holds it."""
    if by not in WAYS:
        raise UsedWrongly(f"--by is {by!r}; it is one of {', '.join(WAYS)}")
    output = Output(as_json=as_json, quiet=quiet)
    client = connect()

    def one(ref: str) -> None:
        found = client.show(CAMPAIGN.collection, CAMPAIGN.full(ref, experiment))
        output.one(in_numbers(found, by) if output.people and "counts" in found else found)

    for_each(client, refs, one)


def in_numbers(campaign: dict[str, Any], way: str) -> dict[str, Any]:
    """Return a campaign for people: one row of counts a stage, and in words where nobody can say when it ends."""
    head = {key: value for key, value in campaign.items() if key not in ("stages", "counts", "expected_end", "waste")}
    stages = [
        {"stage": stage.get("name"), "state": stage.get("state"), **_counts(stage, way), "expected end": _end(stage)}
        for stage in campaign.get("stages") or ()
    ]
    total = {"stage": "all stages", "state": "", **_counts(campaign, way), "expected end": ""}
    if len(stages) > 1:
        stages.append(total)
    return {**head, "expected_end": _end(campaign), f"stages in {way}": stages, **_waste(campaign)}


def _waste(campaign: dict[str, Any]) -> dict[str, Any]:
    """Return when a campaign pauses itself, and what of its stages is wasteful, with what to change."""
    found = campaign.get("waste") or {}
    limit = f"it pauses itself above {found['share']} % of {found['least']} jobs" if found else ""
    flags = [
        {"stage": flag["stage"], "what": flag["word"].replace("_", " "), "why": flag["text"],
         "change": flag["parameter"], "from": flag["now"], "to": flag["proposed"]}
        for flag in found.get("flags", ())
    ]  # fmt: skip
    return {**({"waste limit": limit} if limit else {}), **({"waste": flags} if flags else {})}


def _counts(item: dict[str, Any], way: str) -> dict[str, Any]:
    counts = item["counts"][way]
    return {name: counts.get(name, 0) for name in COUNTS}


def _end(item: dict[str, Any]) -> str:
    if item.get("expected_end"):
        return formatting.expected_end(item["expected_end"])
    return "nobody can say" if item.get("state") == "running" else ""


@app.command("limit-waste")
@resolved
def limit_waste(
    refs: Refs,
    share: Annotated[int, typer.Option("--share", metavar="%", min=1, max=100, help="Of failures; 100: never.")],
    least: Annotated[int, typer.Option("--least", metavar="N", min=1, help="Of so many jobs of an hour.")] = 20,
    experiment: Experiment = None,
    reason: Reason = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Say from which share of failures campaigns pause themselves."""
    output = Output(as_json=as_json, quiet=quiet)
    say(CAMPAIGN, "limit_waste", Verb(""), refs, reason, experiment, output, share=share, least=least)


def _following(verb: str) -> Any:
    def follow(refs: Refs, experiment: Experiment = None, as_json: AsJson = False, quiet: Quiet = False) -> None:
        say(CAMPAIGN, verb, Verb("", reason=False), refs, None, experiment, Output(as_json=as_json, quiet=quiet))

    return follow


# `watch` is to look at one here and now, as it goes.
app.command("subscribe", help="Hear of what happens to campaigns, and have them on your home page.")(
    resolved(_following("watch"))
)
app.command("unsubscribe", help="Hear of them no more.")(resolved(_following("unwatch")))


Tags = Annotated[list[str], typer.Option("--tag", "-t", metavar="TAG", help="A tag; may be repeated.")]


def _tagging(word: str) -> Any:
    def tag(
        refs: Refs,
        tags: Tags,
        reason: Reason = None,
        experiment: Experiment = None,
        as_json: AsJson = False,
        quiet: Quiet = False,
    ) -> None:
        output = Output(as_json=as_json, quiet=quiet)
        say(CAMPAIGN, word, Verb("", reason=False), refs, reason, experiment, output, tags=tags)

    return tag


app.command("tag", help="Put tags on campaigns: list --where tag=TAG finds them.")(resolved(_tagging("tag")))
app.command("untag", help="Take tags off campaigns.")(resolved(_tagging("untag")))


@app.command("clone")
@resolved
def clone(
    ref: Ref,
    name: Annotated[str, typer.Option("--name", help="What the clone is called.")] = "",
    replace: Annotated[
        Optional[str], typer.Option("--replace", metavar="OLD=NEW", help="Make its name so: NEW in place of OLD.")
    ] = None,
    everywhere: Annotated[
        bool, typer.Option("--everywhere", help="Replace also in the names of stages and in all values.")
    ] = False,
    experiment: Experiment = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Make a draft campaign with the newest definition of another; print its reference."""
    output = Output(as_json=as_json, quiet=quiet)
    find, put = next(iter(fields([replace], "--replace").items())) if replace else ("", "")
    body = {"name": name, "find": find, "put": put, "everywhere": everywhere}
    full = CAMPAIGN.full(ref, experiment)
    made = connect().post([CAMPAIGN.collection, *full.split("/"), "clone"], body)
    output.done(made["ref"], "clone", made)


@app.command("prioritise")
@resolved
def prioritise(
    refs: Refs,
    rank: Annotated[int, typer.Option(metavar="N", help="Its new rank; it goes in order of rank.")],
    reason: Reason = None,
    experiment: Experiment = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Give a campaign another rank."""
    output = Output(as_json=as_json, quiet=quiet)
    say(CAMPAIGN, "prioritise", Verb(""), refs, reason, experiment, output, rank=rank)


@app.command("boost")
@resolved
def boost(
    refs: Refs,
    hours: Annotated[float, typer.Option(metavar="H", min=0.001, help="For how many hours; at most a week.")],
    reason: Reason = None,
    experiment: Experiment = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Put a campaign on top of its experiment's queue for a while."""
    output = Output(as_json=as_json, quiet=quiet)
    say(CAMPAIGN, "boost", Verb(""), refs, reason, experiment, output, hours=hours)


Stage = Annotated[str, typer.Argument(metavar="STAGE", help="The stage's name.")]


@app.command("sign-off")
@resolved
def sign_off(
    ref: Ref,
    stage: Stage,
    refused: Annotated[bool, typer.Option("--refused", help="It is not good: the stage fails.")] = False,
    reason: Reason = None,
    experiment: Experiment = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Say that a stage's outputs are good; of an approval stage, that they may go on."""
    output = Output(as_json=as_json, quiet=quiet)
    verdict = "refused" if refused else "passed"
    say(CAMPAIGN, "sign_off", Verb(""), [ref], reason, experiment, output, stage=stage, verdict=verdict)


@app.command("process-again")
@resolved
def process_again(
    ref: Ref,
    stage: Stage,
    same_input: Annotated[
        bool, typer.Option("--same-input", help="The files as they were frozen for the last pass.")
    ] = False,
    reason: Reason = None,
    experiment: Experiment = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Do a stage and all that it feeds once more, as another pass; what there is stays."""
    output = Output(as_json=as_json, quiet=quiet)
    more = {"stage": stage, **({"same_input": True} if same_input else {})}
    say(CAMPAIGN, "process_again", Verb(""), [ref], reason, experiment, output, **more)


def _on_stage(word: str) -> Any:
    def act(
        ref: Ref,
        stage: Stage,
        reason: Reason = None,
        experiment: Experiment = None,
        as_json: AsJson = False,
        quiet: Quiet = False,
    ) -> None:
        output = Output(as_json=as_json, quiet=quiet)
        say(CAMPAIGN, word, Verb(""), [ref], reason, experiment, output, stage=stage)

    return act


app.command("accept", help="Take a stage that waits for its completion, or has failed by it, as complete as it is.")(
    resolved(_on_stage("accept"))
)


@app.command("text")
@resolved
def text(ref: Ref, experiment: Experiment = None) -> None:
    """Print the definition that a campaign runs by."""
    full = CAMPAIGN.full(ref, experiment)
    write_text(connect().text([CAMPAIGN.collection, *full.split("/"), "text"]))


add_definitions(app)


@app.command("watch")
@resolved
def watch(
    ref: Ref,
    experiment: Experiment = None,
    timeout: Annotated[
        Optional[float],
        typer.Option(metavar="S", min=0.0, help="Stop watching after so many seconds (then 1)."),
    ] = None,
    every: Annotated[float, typer.Option(metavar="S", min=0.05, help="Look every so many seconds.")] = 2.0,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Follow a campaign to its end: 0 when it succeeded, 1 when it failed or was cancelled."""
    from poms_client import settings, watching

    output = Output(as_json=as_json, quiet=quiet)
    full = CAMPAIGN.full(ref, experiment)
    patience = settings.seconds("POMS_RETRY_SECONDS", 120.0)
    code = watching.watch(connect(patience=0.0), full, output, every=every, timeout=timeout, patience=patience)
    if code:
        raise typer.Exit(code)


add_history(app, CAMPAIGN)
