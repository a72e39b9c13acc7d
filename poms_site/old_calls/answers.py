"""The answers of old calls, in the old shapes: text, JSON as Python writes it, and redirects."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from django.http import HttpResponse
from django.urls import reverse

from campaigns.models import Campaign, Stage
from core.models import Transition
from poms_site.old_calls.asked import Asked
from submissions.models import Submission

# Our states by the old words and their numbers (protocols 6.2).
STATUS_IDS = {
    "New": 1000, "Cancelled": 1500, "LaunchFailed": 2000, "Awaiting Approval": 2400, "Approved": 2500, "Idle": 3000,
    "Running": 4000, "Held": 5000, "Failed": 6000, "Completed": 7000, "Located": 8000, "Removed": 9000,
}  # fmt: skip
OF_STATE = {
    "pending": "New", "launching": "New", "unsure": "New", "submitted": "Idle", "running": "Running",
    "jobs_completed": "Completed", "completed": "Located", "failed": "Failed", "launch_failed": "LaunchFailed",
    "removed": "Removed",
}  # fmt: skip
RECOVERY_IDS = {
    "consumed_status": 1, "process_status": 2, "pending_files": 3, "added_files": 4, "script_run": 5,
    "state_failed": 6, "state_not_done": 7, "reprocess_orphans": 8, "reprocess_all": 9,
}  # fmt: skip


def text(body: str, status: int = 200) -> HttpResponse:
    """Return plain text."""
    return HttpResponse(body, status=status, content_type="text/plain; charset=utf-8")


def refusal(body: str, status: int) -> HttpResponse:
    """Return an error as the old client shows it: a text that begins with another word is cut away by it."""
    return text(f"Traceback: {body}\n", status)


def data(value: Any) -> HttpResponse:
    """Return JSON as the old server wrote it."""
    return HttpResponse(json.dumps(value, default=_plain), content_type="application/json")


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%dT%H:%M:%S")
    raise TypeError(f"{type(value).__name__} has no place in an old answer")


def see_other(address: str) -> HttpResponse:
    """Return 303 with the address that the old client takes for its result."""
    return HttpResponse(status=303, headers={"Location": address})


def page(asked: Asked, method: str, experiment: str) -> HttpResponse:
    """Return 303 to another old address."""
    return see_other(reverse("old-call-page", kwargs={"method": method, "experiment": experiment, "role": asked.role}))


def launched(asked: Asked, submission: Submission) -> HttpResponse:
    """Return 303 to the launch's output; the client reads the submission's number behind the last `_` of it."""
    stamp = f"{submission.created_at:%Y%m%d_%H%M%S}_{asked.user.username}_{submission.pk}"
    query = {"campaign_stage_id": submission.batch.stage_id, "submission_id": submission.pk, "fname": stamp}
    place = {"method": "list_launch_file", "experiment": submission.experiment.name, "role": asked.role}
    return see_other(f"{reverse('old-call-page', kwargs=place)}?{urlencode(query)}")


def active(row: Campaign) -> bool:
    """Tell whether a campaign counted as active."""
    return row.archived_at is None and row.state not in ("cancelled", "succeeded")


def campaign_shape(row: Campaign) -> dict[str, Any]:
    """Return a campaign as the old lists had it."""
    return {
        "campaign_id": row.pk, "name": row.name, "experiment": row.experiment.name, "active": active(row),
        "creator": row.owner.username, "creator_role": "production", "created": row.created_at,
        "campaign_keywords": row.revision.keywords if row.revision else {}, "tags": row.tags, "state": row.state,
    }  # fmt: skip


def stage_shape(row: Stage) -> dict[str, Any]:
    """Return a stage as the old lists had it."""
    return {
        "campaign_stage_id": row.pk, "name": row.name, "experiment": row.campaign.experiment.name,
        "campaign_id": row.campaign_id, "campaign_name": row.campaign.name, "active": active(row.campaign),
        "creator": row.campaign.owner.username, "created": row.campaign.created_at,
    }  # fmt: skip


def status_of(row: Submission) -> str:
    """Return the old word for where a submission is."""
    return OF_STATE[row.state]


def job_id_of(row: Submission) -> str | None:
    """Return the job id that stands for a submission: as its wrapper told it, else the first of its jobs."""
    told: str = row.told.get("jobsub_job_id", "")
    return told or (row.job_ids[0] if row.job_ids else None)


def row_shape(row: Submission) -> dict[str, Any]:
    """Return a submission as a line of campaign_stage_submissions."""
    job_id = job_id_of(row)
    cluster, _, schedd = (job_id or "unknown.0@unknown.un.known").partition("@")
    return {
        "submission_id": row.pk, "jobsub_job_id": job_id, "created": row.created_at, "creator": maker_of(row),
        "status": status_of(row), "jobsub_cluster": cluster, "jobsub_schedd": schedd,
        "campaign_stage_name": row.batch.stage.name, "available_output": row.batch.done,
        "output_dims": None, "handler": "POMS",
    }  # fmt: skip


def maker_of(row: Submission) -> str:
    """Return in whose name a submission runs."""
    return row.campaign.owner.username


def whole_shape(row: Submission, parent: int | None) -> dict[str, Any]:
    """Return all columns that the old submission had."""
    version, campaign = row.batch.version, row.batch.stage.campaign
    return {
        "submission_id": row.pk, "jobsub_job_id": job_id_of(row), "campaign_stage_id": row.batch.stage_id,
        "project": row.told.get("project") or row.offered or None,
        "command_executed": row.told.get("command") or " ".join(row.command), "created": row.created_at,
        "updated": row.state_since, "creator": maker_of(row), "updater": maker_of(row),
        "submission_params": {"dataset": dataset_of(row), "test": 1 if campaign.test else 0},
        "recovery_position": row.round or None, "recovery_tasks_parent": parent, "depends_on": None,
        "depend_type": None, "status": status_of(row), "uuid": str(row.uuid),
        "campaign_stage_snapshot_obj": {
            "campaign_stage_id": row.batch.stage_id, "name": row.batch.stage.name,
            "experiment": row.experiment.name, "dataset": version.dataset, "cs_split_type": version.split,
            "software_version": version.software_version, "completion_type": version.completion_type,
            "completion_pct": version.completion_pct, "campaign_stage_type": version.type,
            "param_overrides": version.parameters, "campaign_id": campaign.pk,
        },
        "job_type_snapshot_obj": {
            "name": version.job_type, "launch_script": version.launch_script,
            "output_file_patterns": version.output_file_patterns, "definition_parameters": version.parameters,
        },
        "login_setup_snapshot_obj": {
            "name": version.login_setup, "launch_host": version.host, "launch_account": version.account,
        },
        "experimenter_creator_obj": {"username": maker_of(row)},
    }  # fmt: skip


def dataset_of(row: Submission) -> str | None:
    """Return the dataset that a submission reads."""
    return row.told.get("dataset") or row.offered or row.batch.version.dataset or None


def history_shape(row: Submission, steps: Iterable[Transition]) -> list[dict[str, Any]]:
    """Return the states that a submission went through, by the old words; what has none twice running is left out."""
    found: list[dict[str, Any]] = []
    for step in steps:
        status = OF_STATE.get(step.target)
        if status is None or (found and found[-1]["status"] == status):
            continue
        entry = {"submission_id": row.pk, "status_id": STATUS_IDS[status], "status": status, "created": step.at}
        found.append(entry)
    return found
