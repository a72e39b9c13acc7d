"""Old calls that only ask."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from django.db.models import Count, Q, QuerySet
from django.http import HttpResponse

from campaigns import queries as definitions
from campaigns.definition import changing
from campaigns.models import Campaign, JobType, LoginSetup, Stage
from campaigns.recoveries import KINDS
from core import ledger
from core.errors import NotVisible
from experiments.models import Experiment
from experiments.scoping import experiments_for
from integrations import registry
from poms_site.old_calls import answers
from poms_site.old_calls.asked import Asked
from poms_site.web.things import address
from submissions.models import Hold, Submission
from submissions.queries import standing_holds, without_plan

MOST = 5_000
GOING_ON = ("pending", "launching", "unsure", "submitted", "running")


def experiment_list(asked: Asked) -> HttpResponse:
    """Return the experiments that the caller sees."""
    return answers.data(sorted(experiments_for(asked.user, "view").values_list("name", flat=True)))


def show_campaigns(asked: Asked) -> HttpResponse:
    """Return the experiment's campaigns, by default the active ones of everybody."""
    rows = Campaign.objects.visible_to(asked.user).filter(experiment=asked.experiment(), test=False)
    shown = _viewed(asked, rows.select_related("experiment", "owner", "revision").order_by("pk")[:MOST])
    return answers.data({
        "experiment": asked.experiment().name, "role": asked.role,
        "campaigns": [answers.campaign_shape(row) for row in shown],
    })  # fmt: skip


def show_campaign_stages(asked: Asked) -> HttpResponse:
    """Return the stages of a campaign, or of all that `show_campaigns` would show."""
    experiment = asked.experiment()
    rows = Stage.objects.visible_to(asked.user).filter(campaign__experiment=experiment, campaign__test=False)
    if name := asked.text("campaign_name"):
        rows = rows.filter(campaign__name=name)
    if ids := asked.numbers("campaign_ids"):
        rows = rows.filter(campaign_id__in=ids)
    found = rows.select_related("campaign__experiment", "campaign__owner").order_by("pk")[:MOST]
    kept = {campaign.pk for campaign in _viewed(asked, (row.campaign for row in found))}
    stages = [answers.stage_shape(row) for row in found if row.campaign_id in kept]
    return answers.data({"experiment": experiment.name, "role": asked.role, "campaign_stages": stages})


def campaign_list(asked: Asked) -> HttpResponse:
    """Return all stages that the caller sees."""
    rows = Stage.objects.visible_to(asked.user).filter(campaign__test=False).order_by("pk")
    found = rows.values_list("pk", "name", "campaign__experiment__name")[:MOST]
    return answers.data([
        {"campaign_stage_id": pk, "name": name, "experiment": experiment} for pk, name, experiment in found
    ])  # fmt: skip


def get_campaign_id(asked: Asked) -> HttpResponse:
    """Return the number of a campaign by its name."""
    return answers.data(asked.campaign("campaign_name", "name").pk)


def get_campaign_name(asked: Asked) -> HttpResponse:
    """Return the name of a campaign by its number."""
    return answers.data(asked.campaign("campaign_id").name)


def get_campaign_stage_id(asked: Asked) -> HttpResponse:
    """Return the number of a stage by the names of its campaign and its own."""
    row = asked.newest_stage(asked.needed("campaign_name"), asked.needed("campaign_stage_name", "stage_name"))
    if row is None:
        raise NotVisible("There is no such campaign stage, or you may not see it.")
    return answers.data(row.pk)


def get_campaign_stage_name(asked: Asked) -> HttpResponse:
    """Return the name of a stage by its number."""
    return answers.data(asked.stage("campaign_stage_id").name)


def campaign_stage_submissions(asked: Asked) -> HttpResponse:
    """Return the submissions of a stage, or of all stages of a campaign."""
    rows = without_plan(Submission.objects.visible_to(asked.user))
    name = asked.text("stage_name")
    if asked.text("campaign_stage_id"):
        rows = rows.filter(batch__stage=asked.stage("campaign_stage_id"))
    else:
        rows = rows.filter(campaign=asked.campaign("campaign_id", "campaign_name"))
        rows = rows.filter(batch__stage__name=name) if name not in ("", "*") else rows
    found = list(rows.defer(None).select_related("batch__stage", "campaign__owner").order_by("pk")[:MOST])
    parents = _parents(found)
    depth: dict[int, int] = {}
    for row in found:
        depth[row.pk] = depth.get(parents[row.pk] or 0, -1) + 1
    return answers.data({
        "depends": parents, "depth": depth,
        "darrow": {row.pk: "&#x21ba;" if parents[row.pk] else "" for row in found},
        "submissions": [answers.row_shape(row) for row in found],
    })  # fmt: skip


def submission_details(asked: Asked) -> HttpResponse:
    """Return everything about a submission; somebody who asks for no data is led to its page."""
    row = asked.submission()
    if asked.text("fmt", "format") != "json":
        return answers.see_other(address(row.ref))
    steps = list(ledger.history({"submission": [row.pk]}))[::-1]
    earlier = Submission.objects.filter(batch=row.batch_id, pk__lt=row.pk).order_by("-pk")
    parent = earlier.values_list("pk", flat=True).first() if row.round else None
    return answers.data({
        "experiment": row.experiment.name, "role": asked.role,
        "submission": answers.whole_shape(row, parent), "history": answers.history_shape(row, steps),
        "dataset": answers.dataset_of(row),
        "recoverymap": {
            name: [number, KINDS[name].says] for name, number in answers.RECOVERY_IDS.items() if name in KINDS
        },
        "statusmap": {str(number): word for word, number in answers.STATUS_IDS.items()},
        "ds": f"{row.created_at:%Y%m%d_%H%M%S}", "submission_log_format": 3,
    })  # fmt: skip


def session_status_history(asked: Asked) -> HttpResponse:
    """Return the states that a submission went through."""
    row = asked.submission()
    return answers.data(answers.history_shape(row, list(ledger.history({"submission": [row.pk]}))[::-1]))


def running_submissions(asked: Asked) -> HttpResponse:
    """Return how many submissions of campaigns have not ended; of no campaigns, each that has not, with its job."""
    rows = Submission.objects.visible_to(asked.user).filter(state__in=GOING_ON)
    wanted = asked.numbers("campaign_id_list")
    if not wanted:
        live = without_plan(rows.exclude(job_ids=[])).select_related("experiment").order_by("pk")[:MOST]
        return answers.data([[row.pk, answers.job_id_of(row), row.experiment.name] for row in live])
    counted = dict(rows.filter(campaign__in=wanted).values_list("campaign_id").annotate(n=Count("pk")))
    return answers.data({str(pk): counted.get(pk, 0) for pk in wanted})


def campaign_deps_ini(asked: Asked) -> HttpResponse:
    """Return the text of a campaign, or of one job type or launch set-up."""
    if name := asked.text("job_type"):
        job_type = _kept(JobType, asked, name)
        return answers.text(changing.add_section("", "job_type", name, {
            "launch_script": job_type.launch_script, "parameters": json.dumps(job_type.parameters),
            "output_file_patterns": job_type.output_file_patterns, "recoveries": json.dumps(job_type.recoveries),
        }))  # fmt: skip
    if name := asked.text("login_setup"):
        setup = _kept(LoginSetup, asked, name)
        text = ";".join(line for line in setup.setup.splitlines() if line.strip())
        values = {"host": setup.host, "account": setup.account, "setup": text}
        return answers.text(changing.add_section("", "login_setup", name, values))
    campaign = asked.stage("stage_id").campaign if asked.text("stage_id") else asked.campaign("name", "campaign_name")
    revision = definitions.newest(campaign)
    if revision is None:
        raise NotVisible(f"{campaign.ref} has no definition yet.")
    return answers.text(revision.source)


def held_launches(asked: Asked) -> HttpResponse:
    """Return the launches that wait because somebody holds them."""
    experiment = asked.experiment()
    found = []
    for hold in standing_holds().filter(Q(scope="everything") | Q(experiment=experiment)).order_by("pk"):
        waiting = _held_by(hold, experiment).select_related("batch").order_by("pk")
        found += [
            {"created": hold.since, "campaign_stage_id": row.batch.stage_id, "submission_id": row.pk,
             "dataset": row.batch.label, "launcher": hold.actor.rpartition(":")[2], "reason": hold.reason}
            for row in without_plan(waiting)[:MOST]
        ]  # fmt: skip
    return answers.data(found)


def list_launch_file(asked: Asked) -> HttpResponse:
    """Return what the launch script of a submission has printed."""
    row = asked.submission()
    if not row.launcher:
        return answers.text("POMS ran no script for this submission.\n")
    printed = registry.launcher(row.place).output(str(row.uuid), "head", 0, 1_048_576)
    return answers.text(str(printed["text"]))


def jobtype_list(asked: Asked) -> HttpResponse:
    """Return the names of the experiment's job types."""
    return _names(JobType, asked)


def loginsetup_list(asked: Asked) -> HttpResponse:
    """Return the names of the experiment's launch set-ups."""
    return _names(LoginSetup, asked)


def _names(model: type[JobType | LoginSetup], asked: Asked) -> HttpResponse:
    rows = model.objects.filter(experiment=asked.experiment(), active=True).order_by("name")
    return answers.data([{"name": row.name} for row in rows])


def _kept(model: Any, asked: Asked, name: str) -> Any:
    row = model.objects.filter(experiment=asked.experiment(), name=name).first()
    if row is None:
        raise NotVisible(f"There is no {model.KIND.replace('_', ' ')} {name[:60]} in the experiment.")
    return row


def _held_by(hold: Hold, experiment: Experiment) -> QuerySet[Submission]:
    rows = Submission.objects.filter(state="pending", experiment=experiment)
    if hold.scope == "campaign":
        return rows.filter(campaign=hold.campaign)
    if hold.scope == "stage":
        return rows.filter(batch__stage=hold.stage)
    return rows.filter(batch=hold.batch) if hold.scope == "batch" else rows


def _viewed(asked: Asked, rows: Iterable[Campaign]) -> list[Campaign]:
    """Leave out what the old check boxes would: by default inactive campaigns only."""

    def ticked(name: str, otherwise: bool) -> bool:
        return asked.yes(name) if asked.raw(name) is not None else otherwise

    shown = {True: ticked("view_active", True), False: ticked("view_inactive", False)}
    owners = {True: ticked("view_mine", True), False: ticked("view_others", True)}
    return [row for row in rows if shown[answers.active(row)] and owners[row.owner_id == asked.user.pk]]


def _parents(rows: list[Submission]) -> dict[int, int | None]:
    """Return for each submission the one of its batch before it, which it does again."""
    last: dict[int, int] = {}
    found: dict[int, int | None] = {}
    for row in rows:
        found[row.pk] = last.get(row.batch_id) if row.round else None
        last[row.batch_id] = row.pk
    return found
