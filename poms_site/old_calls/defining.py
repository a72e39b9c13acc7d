"""Old calls about definitions, job types, launch set-ups and tags: what runs changes by approval only."""

from __future__ import annotations

import json
from typing import Any

from django.http import HttpResponse

from approvals.logic import applying
from approvals.models import Request
from campaigns import queries as definitions
from campaigns.definition import LONGEST_TEXT, changing, document
from campaigns.definition.operating import SETTABLE
from campaigns.logic import drafting, editing, shelving
from campaigns.models import Campaign, JobType, LoginSetup, Stage
from core.errors import Conflict, NotVisible, PomsError, Problem, Refused
from experiments.models import Experiment
from poms_site.old_calls import answers
from poms_site.old_calls.asked import Asked, pairs
from poms_site.old_calls.once import launched_once

# What the old columns of a stage are called in the text, where that differs.
COLUMNS = {"dataset": "dataset_or_split_data", "campaign_stage_type": "stage_type"}
NOT_COLUMNS = ("campaign_stage", "campaign_stage_id", "experiment", "role", "reason", "pcl_call", "fmt", "test_client")


def ini_to_campaign(asked: Asked) -> HttpResponse:
    """Ask for the campaign of an uploaded text; errors come with 200 and their status in the body, as they did."""
    experiment = asked.experiment()
    try:
        text = _uploaded(asked)
        found = document.read(text)
        if found.section("campaign") is None:
            raise Refused("No Campaign section in the file")
        if not found.of("campaign_stage"):
            raise Refused("No Campaign Stage sections in the file")
        _refuse_unknown(found, experiment)
        text, warnings = launched_once(text)
        done = applying.apply(
            experiment, text, by=asked.user, production_stage=asked.text("production_stage"), note=asked.reason
        )
    except PomsError as error:
        return answers.data({"status": "400 Bad Request", "message": str(error)})
    row = done.request
    if row.campaign is None:
        message = f"{row.ref} could not be filed; look at it"
        return answers.data({"status": "400 Bad Request", "message": message})
    told: Any = warnings or "OK"
    if row.campaign.state not in ("approved", "running"):
        told = [*warnings, f"{row.ref} waits for an approver; nothing of {row.campaign.ref} is launched before"]
    names = [version.stage for version in definitions.graph_of(row.campaign)[0]]
    return answers.data({
        "status": "201 Created", "message": told, "campaign_id": row.campaign.pk,
        "campaign_stage_ids": [[stage.pk, stage.name] for stage in names],
    })  # fmt: skip


def _uploaded(asked: Asked) -> str:
    given = asked.files.get("upload")
    if given is None:
        raise Refused("Nothing was done.", [Problem("upload", "is missing", "send the file as multipart form data")])
    if given.size > LONGEST_TEXT:
        raise Refused(f"Bad file format: it has {given.size} bytes; a definition has at most {LONGEST_TEXT}")
    try:
        return str(given.read().decode())
    except UnicodeDecodeError as error:
        raise Refused(f"Bad file format: it is not UTF-8 ({error.reason} at byte {error.start})") from error


def _refuse_unknown(found: document.Document, experiment: Experiment) -> None:
    """Say in the old words which job types and set-ups are nowhere, before all else is said of the text."""
    known = {
        "login_setup": ("LoginSetup", {setup.name for setup in definitions.login_setups(experiment)}),
        "job_type": ("JobType", {job_type.name for job_type in definitions.job_types(experiment)}),
    }
    sections = [section for kind in ("campaign_defaults", "campaign_stage") for section in found.of(kind)]
    for key, (what, names) in known.items():
        there = names | {section.name for section in found.of(key)}
        for section in sections:
            entry = section.entries.get(key)
            if entry is not None and entry.value and entry.value not in there:
                raise Refused(f"{what} '{entry.value}' not found! Campaign is incomplete!")


def register_poms_campaign(asked: Asked) -> HttpResponse:
    """Return the first stage of the campaign of this name; where there is none, ask for one of a single stage."""
    experiment, name = asked.experiment(), asked.needed("campaign_name")
    row = Campaign.objects.visible_to(asked.user).filter(experiment=experiment, name=name, test=False)
    campaign = row.select_related("revision").order_by("-pk").first()
    if campaign is None:
        text = changing.add_section("", "campaign", "", {"experiment": experiment.name, "name": name})
        text = changing.add_section(text, "campaign_stage", name, {
            "job_type": asked.text("campaign_definition", default="generic"),
            "login_setup": asked.text("login_setup", default="generic"),
            "software_version": asked.text("version"), "dataset_or_split_data": asked.text("dataset", default="None"),
        })  # fmt: skip
        campaign = applying.apply(experiment, text, by=asked.user, note=asked.reason).request.campaign
    stages = definitions.graph_of(campaign)[0] if campaign else []
    if not stages:
        raise Conflict(f"The campaign {name[:60]} has no stage yet; upload its definition by ini_to_campaign.")
    return answers.text(f"Campaign={stages[0].stage_id}")


def update_campaign_stage(asked: Asked) -> HttpResponse:
    """Change keys of a stage in its campaign's definition; what is approved waits for its approver again."""
    stage = asked.stage("campaign_stage", "campaign_stage_id")
    values = {COLUMNS.get(name, name): asked.raw(name) or "" for name in asked.names() if name not in NOT_COLUMNS}
    known = SETTABLE["campaign_stage"]
    if strange := sorted(set(values) - set(known)):
        hint = "which inputs are done is kept by POMS itself" if "cs_last_split" in strange else ", ".join(known)
        raise Refused("Nothing was changed.", [Problem(name, "is no key of a stage", hint) for name in strange])
    if not values:
        raise Refused("Nothing was changed.", [Problem("campaign_stage", "no key of it is named", ", ".join(known))])
    _amend(asked, stage, values)
    return answers.text("Success")


def update_stage_param_overrides(asked: Asked) -> HttpResponse:
    """Change parameters of a stage by their keys; an empty value takes the key away."""
    stage = asked.stage("campaign_stage", "campaign_stage_id")
    section = document.read(_source(stage.campaign)).section("campaign_stage", stage.name)
    values: dict[str, str] = {}
    for name in ("param_overrides", "test_param_overrides"):
        if (given := asked.text(name)) and section is not None:
            entry = section.entries.get(name)
            merged = dict(pairs(name, entry.value) if entry and entry.value else [])
            merged |= dict(pairs(name, given))
            values[name] = json.dumps([[key, value] for key, value in merged.items() if value != ""])
    if not values:
        raise Refused("Nothing was changed.", [Problem("param_overrides", "is missing")])
    _amend(asked, stage, values)
    return answers.text("Success")


def _source(campaign: Campaign) -> str:
    revision = definitions.newest(campaign)
    if revision is None:
        raise NotVisible(f"{campaign.ref} has no definition yet.")
    return revision.source


def _amend(asked: Asked, stage: Stage, values: dict[str, str]) -> None:
    campaign = stage.campaign
    changes = {("campaign_stage", stage.name, key): value for key, value in values.items()}
    text = changing.set_values(_source(campaign), changes)
    if campaign.state == "new" and not Request.objects.filter(campaign=campaign).exists():
        drafting.save(campaign, text, by=asked.user, note=asked.reason)
    else:
        applying.apply(campaign.experiment, text, by=asked.user, note=asked.reason)


def job_type_edit(asked: Asked) -> HttpResponse:
    """Make, change or put aside a job type."""
    values: dict[str, Any] = {}
    for field, name in (("ae_launch_script", "launch_script"), ("ae_output_file_patterns", "output_file_patterns")):
        if asked.raw(field) is not None:
            values[name] = asked.text(field).strip()
    if given := asked.text("ae_definition_parameters"):
        values["parameters"] = [list(pair) for pair in pairs("ae_definition_parameters", given)]
    if asked.text("ae_definition_recovery"):
        raise Refused("Nothing was changed.", [Problem("ae_definition_recovery", "is not taken here", IN_TEXT)])
    return _edit(asked, JobType, asked.needed("ae_definition_name"), values)


def login_setup_edit(asked: Asked) -> HttpResponse:
    """Make, change or put aside a launch set-up."""
    fields = (("ae_launch_host", "host"), ("ae_launch_account", "account"), ("ae_launch_setup", "setup"))
    values = {name: asked.text(field).strip() for field, name in fields if asked.raw(field) is not None}
    return _edit(asked, LoginSetup, asked.needed("ae_launch_name"), values)


def job_type_rm(asked: Asked) -> HttpResponse:
    """Put a job type aside: definitions may not name it any more."""
    return _put_aside(asked, JobType, asked.needed("ae_definition_name", "name"))


def login_setup_rm(asked: Asked) -> HttpResponse:
    """Put a launch set-up aside."""
    return _put_aside(asked, LoginSetup, asked.needed("ae_launch_name", "name"))


IN_TEXT = "a campaign's own text says its recoveries: recoveries= in [job_type NAME]"


def _edit(asked: Asked, model: Any, name: str, values: dict[str, Any]) -> HttpResponse:
    action = asked.needed("action")
    if action == "delete":
        return _put_aside(asked, model, name)
    if action == "add":
        keep = editing.keep_job_type if model is JobType else editing.keep_login_setup
        keep(asked.experiment(), name, by=asked.user, reason=asked.reason, **values)
    elif action == "edit":
        _change(asked, model, name, values)
    else:
        raise Refused("Nothing was changed.", [Problem("action", f"unknown: {action[:40]}", "add, edit or delete")])
    return answers.data({"message": "Ok."})


def _put_aside(asked: Asked, model: Any, name: str) -> HttpResponse:
    _change(asked, model, name, {"active": False})
    return answers.data({"message": "Ok."})


def _change(asked: Asked, model: Any, name: str, values: dict[str, Any]) -> None:
    row = model.objects.filter(experiment=asked.experiment(), name=name).select_related("experiment").first()
    if row is None:
        raise NotVisible(f"There is no {model.KIND.replace('_', ' ')} {name[:60]} in the experiment.")
    change: Any = editing.change_job_type if model is JobType else editing.change_login_setup
    change(row, by=asked.user, reason=asked.reason, **values)


def link_tags(asked: Asked) -> HttpResponse:
    """Put a tag on campaigns."""
    tags = [word.strip() for word in asked.needed("tag_name").split(",") if word.strip()]
    wanted = asked.numbers("campaign_id")
    rows = list(Campaign.objects.visible_to(asked.user).filter(pk__in=wanted).select_related("experiment", "owner"))
    if not wanted or len(rows) < len(set(wanted)):
        raise NotVisible("There is no such campaign, or you may not see it.")
    for row in rows:
        asked.permit(row.experiment)
    for row in rows:
        shelving.tag(row, tags, by=asked.user, reason=asked.reason)
    return answers.data({"msg": "OK", "campaign_id": [row.pk for row in rows], "tag_name": tags})
