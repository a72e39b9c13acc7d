"""An attempt before it is one: the intent row with the exact command, environment and job list (design 6.1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import uuid4

from django.conf import settings

from campaigns import command
from campaigns.models import StageVersion
from core import transitions
from submissions.models import Batch, Submission, SubmissionUnit, Unit


def intend(
    batch: Batch, units: Sequence[Unit], *, kind: str, round_number: int, reason_key: str, actor: str, reason: str,
    memory: Mapping[int, int] | None = None,
) -> Submission:  # fmt: skip
    """Write the intent to run a batch's units, inside the caller's transaction.

    `memory` gives units, by key, more than the stage's memory in MB. At most one unfinished attempt of a
    batch can exist: a second intent breaks the partial unique index.
    """
    version = batch.version
    campaign = version.revision.campaign
    uuid = uuid4()
    output_dir = settings.LOCAL_FILES / campaign.experiment.name / f"c{campaign.pk}" / version.stage.name / str(uuid)
    jobs = _jobs(version, units, memory or {})
    memory_mb = max(job["memory_mb"] for job in jobs)
    words = {
        **version.revision.keywords, "experiment": campaign.experiment.name, "group": campaign.experiment.name,
        "version": version.software_version, "dataset": version.dataset, "parameter": version.dataset,
        "campaign": campaign.name_for_jobs, "stage": version.stage.name, "experimenter": campaign.owner.username,
    }  # fmt: skip
    submission = Submission.objects.create(
        experiment=campaign.experiment, batch=batch, campaign=campaign, uuid=uuid, reason_key=reason_key, kind=kind,
        round=round_number,
        launcher=version.launcher, system=version.batch, setup=version.setup, memory_mb=memory_mb,
        wall_s=version.wall_s, output_dir=str(output_dir), n_jobs=len(jobs),
        command=command.argv(version.launch_script, version.parameters, words),
        environment=_environment(version, batch, str(uuid), round_number),
        jobs_file={
            "uuid": str(uuid), "experiment": campaign.experiment.name, "campaign": campaign.name_for_jobs,
            "stage": version.stage.name, "round": round_number, "memory_mb": memory_mb, "wall_s": version.wall_s,
            "output_dir": str(output_dir), "output_patterns": _globs(version.output_file_patterns), "jobs": jobs,
        },
    )  # fmt: skip
    SubmissionUnit.objects.bulk_create(
        SubmissionUnit(submission=submission, unit_id=entry["id"], job_index=job["index"])
        for job in jobs
        for entry in job["units"]
    )
    transitions.created(submission, actor=actor, reason=reason)
    return submission


def _jobs(version: StageVersion, units: Sequence[Unit], memory: Mapping[int, int]) -> list[dict[str, Any]]:
    size = 1 if version.type == "generator" else version.files_per_job
    jobs = []
    for index, first in enumerate(range(0, len(units), size)):
        group = units[first : first + size]
        needs = max(memory.get(unit.pk, version.memory_mb) for unit in group)
        jobs.append({"index": index, "memory_mb": needs, "units": [_entry(unit) for unit in group]})
    return jobs


def _entry(unit: Unit) -> dict[str, Any]:
    if unit.file_name:
        facts = {"file": unit.file_name, "path": unit.path, "events": unit.events}
    else:
        facts = {"first_event": unit.first_event, "events": unit.events, "seed": unit.seed}
    return {"id": unit.pk, "key": unit.key, **facts}


def _globs(patterns: str) -> list[str]:
    """Turn comma-separated SQL LIKE patterns into shell globs."""
    return [part.strip().replace("%", "*").replace("_", "?") for part in patterns.split(",") if part.strip()]


def _environment(version: StageVersion, batch: Batch, uuid: str, round_number: int) -> dict[str, str]:
    """Return what the script finds in its environment (protocols.md 5 for the POMS4 names)."""
    campaign = version.revision.campaign
    return {
        "POMS_SUBMISSION_ID": uuid,
        "POMS4_SUBMISSION_ID": uuid,
        "POMS4_CAMPAIGN_ID": str(campaign.pk),
        "POMS4_CAMPAIGN_NAME": campaign.name_for_jobs,
        "POMS4_CAMPAIGN_STAGE_ID": str(version.stage_id),
        "POMS4_CAMPAIGN_STAGE_NAME": version.stage.name,
        "POMS4_CAMPAIGN_STAGE_TYPE": version.type,
        "POMS4_TEST_LAUNCH": "1" if campaign.test else "",
        "POMS_EXPERIMENT": campaign.experiment.name,
        "POMS_BATCH": str(batch.number),
        "POMS_ROUND": str(round_number),
    }
