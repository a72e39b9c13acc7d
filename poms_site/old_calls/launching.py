"""Old calls about launches: they are registered, told of, asked for, held, killed, recovered."""

from __future__ import annotations

import json
from typing import Any

from django.http import HttpResponse

from approvals.logic import trying
from approvals.models import Request
from campaigns import queries as definitions
from campaigns.models import Stage
from campaigns.recoveries import KINDS, SAME_AS
from core import queue
from core.errors import Conflict, NotAllowed, NotVisible, PomsError, Problem, Refused
from poms_site.old_calls import answers
from poms_site.old_calls.asked import Asked, pairs
from submissions.logic import acting, completing, holding, outside, planning, proposing, varying
from submissions.models import Hold, Submission
from submissions.queries import holds_on, standing_holds, without_plan

NOTHING_LEFT = "No more splits in this campaign."
LIVE = ("pending", "launching", "submitted", "running")
ACTS = {"kill": "kill", "cancel": "kill", "remove": "kill", "hold": "hold", "release": "release"}
MOST_UPDATES = 5_000


class Held(Conflict):
    """The launch waits, because somebody holds it: 423 in the old answers."""


def get_submission_id_for(asked: Asked) -> HttpResponse:
    """Register a launch that is made outside POMS, or keep the command of one that is known."""
    command = asked.text("command_executed", "command")
    if asked.text("submission_id", "task_id"):
        row = asked.submission()
        outside.note_command(row, command, by=asked.user)
    else:
        stage = asked.stage("campaign_stage_id", "campaign", "campaign_id")
        row = outside.register(
            stage, by=asked.user, command=command, dataset=asked.text("input_dataset"), reason=asked.text("reason")
        )
    return answers.text(f"Task={row.pk}")


def update_submission(asked: Asked) -> HttpResponse:
    """Take what a wrapper or agent says of a submission."""
    return answers.text(_update(asked, {name: asked.text(name) for name in UPDATED}))


UPDATED = ("jobsub_job_id", "status", "project", "pct_complete")


def _update(asked: Asked, said: dict[str, str]) -> str:
    try:
        row = asked.submission()
    except NotVisible:
        return "Unknown."
    outside.report(
        row, by=asked.user, job_id=said["jobsub_job_id"], status=said["status"], project=said["project"],
        per_cent=said["pct_complete"],
    )  # fmt: skip
    return "Ok."


def update_submissions(asked: Asked) -> HttpResponse:
    """Take what an agent says of many submissions; one that is refused stops no other (protocols 12.2)."""
    try:
        updates = json.loads(asked.needed("submission_updates"))
    except ValueError as error:
        raise Refused("Nothing was done.", [Problem("submission_updates", f"is not JSON: {error}")]) from error
    entries = updates.items() if isinstance(updates, dict) else ()
    if not entries or len(entries) > MOST_UPDATES or not all(isinstance(said, dict) for _, said in entries):
        hint = f"an object of at most {MOST_UPDATES} submissions, each with an object of fields"
        raise Refused("Nothing was done.", [Problem("submission_updates", "is no such thing", hint)])
    found = {}
    for number, said in entries:
        one = Asked(asked.user, asked.method, {"submission_id": str(number)}, {}, asked.path)
        one.permission = asked.permission
        fields = {name: "" if said.get(name) in (None, "None") else str(said[name]) for name in UPDATED}
        try:
            found[number] = _update(one, fields)
        except PomsError as error:
            found[number] = str(error)
    return answers.data(found)


def launch_jobs(asked: Asked) -> HttpResponse:
    """See that a stage is planned now, and name the launch that comes next; the launcher makes it."""
    return answers.launched(asked, _launch(asked, asked.stage("campaign_stage_id")))


def launch_campaign(asked: Asked) -> HttpResponse:
    """Do the same for the one stage of a campaign that nothing feeds."""
    campaign = asked.campaign("campaign_id", "campaign_name")
    versions, edges = definitions.graph_of(campaign)
    fed = {edge.edge.downstream_id for edge in edges if edge.edge.upstream_id != edge.edge.downstream_id}
    first = [version.stage for version in versions if version.stage_id not in fed]
    if len(first) != 1:
        names = ", ".join(stage.name for stage in first) or "none"
        raise Conflict(f"{campaign.ref} begins with {len(first)} stages ({names}); name one, by launch_jobs.")
    return answers.launched(asked, _launch(asked, first[0]))


def _launch(asked: Asked, stage: Stage) -> Submission:
    for name in ("dataset_override", "parent_submission_id"):
        if asked.text(name):
            hint = "the dataset of a stage is in its definition; what was not done is recovered by launch_recovery_for"
            raise Refused("Nothing was launched.", [Problem(name, "is not taken any more", hint)])
    if asked.yes("test_launch") or asked.yes("test"):
        return _test(asked, stage)
    campaign = stage.campaign
    if campaign.state not in ("approved", "running"):
        raise Conflict(f"{campaign.ref} is {campaign.state.replace('_', ' ')}; only what is approved is launched.")
    if hold := holds_on(stage).first():
        raise Held(f"{stage.ref} is held by {hold.actor.rpartition(':')[2]}: {hold.reason}. Nothing was launched.")
    planning.plan(stage.pk)
    queue.wake("launch")
    row = _next(stage)
    if overrides := asked.text("param_overrides"):
        wanted = pairs("param_overrides", overrides)
        return varying.launch_with(row.batch, wanted, actor=asked.user.actor, reason=asked.reason)
    return row


def _next(stage: Stage) -> Submission:
    rows = Submission.objects.filter(batch__stage=stage, state="pending").select_related("experiment", "batch")
    row = without_plan(rows).order_by("created_at", "pk").first()
    if row is None:
        raise Refused(NOTHING_LEFT)
    return row


def _test(asked: Asked, stage: Stage) -> Submission:
    """Start a test run of the request behind a stage's campaign, and name its first launch."""
    request = Request.objects.visible_to(asked.user).filter(campaign=stage.campaign).select_related(
        "experiment", "requester", "revision", "campaign"
    ).order_by("-pk").first()  # fmt: skip
    if request is None:
        raise Conflict(f"{stage.campaign.ref} was never asked for; file a request, of which there are test runs.")
    run = trying.test(request, by=asked.user)
    names = [version.stage.name for version in definitions.graph_of(run.campaign)[0]]
    chosen = run.campaign.stages.filter(name=stage.name if stage.name in names else names[0]).get()
    for pk in run.campaign.stages.values_list("pk", flat=True):
        planning.plan(pk)
    rows = Submission.objects.filter(campaign=run.campaign).select_related("experiment", "batch").order_by("pk")
    row = rows.filter(batch__stage=chosen).first() or rows.first()
    if row is None:
        raise Conflict(f"The test run {run.campaign.ref} has begun; its first launch comes when its input is there.")
    return row


def launch_recovery_for(asked: Asked) -> HttpResponse:
    """Run again what the batch of a submission misses, by one kind of recovery."""
    row = asked.submission()
    given = asked.text("recovery_type", "recovery_type_id")
    by_number = {str(number): name for name, number in answers.RECOVERY_IDS.items()}
    kind = by_number.get(given, SAME_AS.get(given, given))
    if kind and kind not in KINDS:
        raise Refused("Nothing was launched.", [Problem("recovery_type", f"unknown: {given[:40]}", ", ".join(KINDS))])
    question = proposing.ask(row.batch, kind, freeze=True)
    made = proposing.apply(question, actor=asked.user.actor, reason=asked.reason)
    if not made.submissions:
        raise Refused(f"{row.batch.ref} misses nothing that could be run again so; nothing was launched.")
    return answers.launched(asked, made.submissions[0])


def force_locate_submission(asked: Asked) -> HttpResponse:
    """Take the stage of a submission as complete as it is."""
    row = asked.submission()
    stage = row.batch.stage
    completing.accept(stage.campaign, stage.name, actor=asked.user.actor, reason=asked.reason)
    return answers.text("Ok.")


def mark_campaign_hold(asked: Asked) -> HttpResponse:
    """Hold stages, or let them go on."""
    word = asked.needed("is_hold")
    if word not in ("Hold", "Queue", "Release"):
        raise Refused("Nothing was changed.", [Problem("is_hold", f"unknown: {word[:40]}", "Hold, Queue or Release")])
    wanted = asked.numbers("ids2HR")
    found = Stage.objects.visible_to(asked.user).filter(pk__in=wanted).select_related("campaign__experiment")
    stages = {stage.pk: stage for stage in found}
    if not wanted or set(wanted) - set(stages):
        raise NotVisible("There is no such campaign stage, or you may not see it.")
    for stage in stages.values():
        asked.permit(stage.campaign.experiment)
    for stage in stages.values():
        own = Hold.objects.filter(pk__in=standing_holds().filter(scope="stage", stage=stage).values("pk"))
        if word == "Release":
            for hold in own.select_related("experiment"):
                holding.release(hold, actor=asked.user.actor, reason=asked.reason)
        elif not own.exists():
            holding.hold("stage", stage, actor=asked.user.actor, reason=asked.reason)
    experiment = next(iter(stages.values())).campaign.experiment.name
    return answers.page(asked, "show_campaign_stages", experiment)


def kill_jobs(asked: Asked) -> HttpResponse:
    """Kill, hold or release the jobs of a submission, a stage or a campaign; without `confirm` say which they are."""
    word = asked.text("act", default="kill")
    if word not in ACTS:
        raise Refused("Nothing was done.", [Problem("act", f"unknown: {word[:40]}", ", ".join(ACTS))])
    if ACTS[word] == "kill":
        asked.permission = "operate"
    rows = _meant(asked)
    if asked.raw("confirm") is None:
        refs = ", ".join(row.ref for row in rows) or "nothing"
        return answers.text(f"This would {word} {refs}. Send confirm=yes to have it done.\n")
    lines = []
    for row in rows:
        try:
            acting.command(ACTS[word], row, actor=asked.user.actor, reason=asked.reason)
            lines.append(f"{row.ref}: {word} is asked for")
        except (Conflict, NotAllowed) as error:
            lines.append(f"{row.ref}: {error}")
    return answers.text("".join(f"{line}\n" for line in lines) or "nothing to do\n")


def _meant(asked: Asked) -> list[Submission]:
    rows: Any = Submission.objects.visible_to(asked.user).filter(state__in=LIVE).select_related("experiment")
    if asked.text("submission_id"):
        rows = rows.filter(pk=asked.submission().pk)
    elif asked.text("campaign_stage_id"):
        rows = rows.filter(batch__stage=asked.stage("campaign_stage_id"))
    else:
        rows = rows.filter(campaign=asked.campaign("campaign_id"))
    return list(without_plan(rows).order_by("pk"))
