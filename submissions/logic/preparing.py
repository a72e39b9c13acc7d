"""An attempt before it is one: the intent row with the exact command, environment and job list (design 6.1)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID, uuid4

from django.conf import settings

from campaigns import command, splitting
from campaigns.command import Pair
from campaigns.definition.values import named
from campaigns.models import Campaign, JobType, StageVersion
from campaigns.queries import is_analysis
from core import queue, transitions
from core.clock import now
from integrations import registry
from integrations.catalogue.base import OFFERS
from integrations.catalogue.patterns import several
from submissions.models import Batch, Reproduction, Submission, SubmissionUnit, Unit

# What a stage says of the slots of its jobs; which of it are lists, and what `Slots` calls them.
SLOTS = ("cpus", "disk_mb", "gpus", "slots", "sites", "avoid_sites")
LISTS = {"slots": "kinds", "sites": "sites", "avoid_sites": "avoid_sites"}


def intend(
    batch: Batch, units: Sequence[Unit], *, kind: str, round_number: int, reason_key: str, actor: str, reason: str,
    memory: Mapping[int, int] | None = None, wall: Mapping[int, int] | None = None, overrides: Sequence[Pair] = (),
    avoid: Sequence[str] = (), wait: timedelta | None = None,
) -> Submission:  # fmt: skip
    """Write the intent to run a batch's units, inside the caller's transaction; it is in line after a wait, if any.

    `memory` and `wall` give units, by key, more than the stage's memory in MB and time in seconds; `overrides` are a
    recovery's, laid over all other parameters; `avoid` names nodes. At most one unfinished attempt of a batch can
    exist: a second intent breaks the partial unique index.
    """
    submission = draft(
        batch, units, kind=kind, round_number=round_number, reason_key=reason_key, memory=memory, wall=wall,
        overrides=overrides, avoid=avoid,
    )  # fmt: skip
    if wait:
        submission.look_at = submission.not_before = now() + wait
    if submission.offered:
        submission.look_at = None
        queue.wake("offer")
    submission.save(force_insert=True)
    SubmissionUnit.objects.bulk_create(
        SubmissionUnit(submission=submission, unit_id=entry["id"], job_index=job["index"])
        for job in submission.jobs_file["jobs"]
        for entry in job["units"]
    )
    transitions.created(submission, actor=actor, reason=reason)
    return submission


def draft(
    batch: Batch, units: Sequence[Unit], *, kind: str, round_number: int, reason_key: str,
    memory: Mapping[int, int] | None = None, wall: Mapping[int, int] | None = None, overrides: Sequence[Pair] = (),
    avoid: Sequence[str] = (),
) -> Submission:  # fmt: skip
    """Return what would be launched of a batch, to be saved as its intent or shown to people: nothing is written.

    Batch and units need not be saved either.
    """
    version = batch.version
    campaign = version.revision.campaign
    uuid = uuid4()
    output_dir = settings.LOCAL_FILES / campaign.experiment.name / f"c{campaign.pk}" / version.stage.name / str(uuid)
    own, place = _of_value(version, batch.label), version.place
    jobs = _jobs(version, units, memory or {}, wall or {}, own)
    memory_mb = max((job["memory_mb"] for job in jobs), default=version.memory_mb)
    wall_s = max((job["wall_s"] for job in jobs), default=version.wall_s)
    pairs = command.overlay(version.parameters, own.get("params", ()), overrides)
    offered = _offered(version, batch, pairs, uuid)
    words = command.words_of(
        version.revision.keywords, experiment=campaign.experiment.name, campaign=campaign.name_for_jobs,
        stage=version.stage.name, version=version.software_version,
        dataset=offered or batch.label or version.dataset, experimenter=campaign.owner.username,
        pass_number=batch.pass_number,
    )  # fmt: skip
    return Submission(
        experiment=campaign.experiment, batch=batch, campaign=campaign, uuid=uuid, reason_key=reason_key, kind=kind,
        round=round_number, launcher=version.launcher, host=place.host, account=place.account, system=version.batch,
        setup=command.fill_setup(version.setup, words), memory_mb=memory_mb, wall_s=wall_s,
        output_dir=str(output_dir), n_jobs=len(jobs), offered=offered,
        analyst=campaign.owner if is_analysis(version.revision) else None,
        command=command.argv(version.launch_script, pairs, words),
        environment=_environment(version, batch, str(uuid), round_number),
        jobs_file={
            "uuid": str(uuid), "experiment": campaign.experiment.name, "campaign": campaign.name_for_jobs,
            "stage": version.stage.name, "round": round_number, "memory_mb": memory_mb, "wall_s": wall_s,
            "output_dir": str(output_dir), "output_patterns": _globs(version.output_file_patterns), "jobs": jobs,
            "slots": _slots(version, own), "avoid": list(avoid),
            "slice": batch.label, "overrides": [list(pair) for pair in overrides],
        },
    )  # fmt: skip


def jobs_of(
    batch: Batch, units: Sequence[Unit], memory: Mapping[int, int], wall: Mapping[int, int]
) -> list[dict[str, Any]]:  # fmt: skip
    """Return the jobs in which an attempt runs units of a batch, each with its memory in MB and time in seconds."""
    return _jobs(batch.version, units, memory, wall, _of_value(batch.version, batch.label))


def _of_value(version: StageVersion, label: str) -> dict[str, Any]:
    """Return what a stage lays over itself for batches of one value of what it is split by; `*` is for the others."""
    found: dict[str, Any] = version.value_overrides.get(label, version.value_overrides.get("*", {}))
    return found


def _offered(version: StageVersion, batch: Batch, pairs: Sequence[Pair], uuid: UUID) -> str:
    """Return the name under which the catalogue is to offer the attempt's files; empty where jobs need none.

    They need one where the catalogue follows what is consumed, and where the script asks for a dataset by name.
    """
    split = splitting.parse(version.split)
    if version.type == "generator" or split.what.holds == "values":
        return ""
    texts = [version.launch_script, *(text for pair in pairs for text in pair)]
    asked = any({"dataset", "parameter"} & set(command.references(text)) for text in texts)
    campaign = version.revision.campaign
    if not asked and OFFERS not in registry.catalogue(campaign.experiment, version.catalogue).can:
        return ""
    stage = re.sub(r"[^A-Za-z0-9_.-]", "_", version.stage.name)[:60]
    return f"poms_{campaign.experiment.name}_c{campaign.pk}_{stage}_b{batch.number}_{str(uuid)[:8]}"


def _jobs(
    version: StageVersion, units: Sequence[Unit], memory: Mapping[int, int], wall: Mapping[int, int],
    own: Mapping[str, Any],
) -> list[dict[str, Any]]:  # fmt: skip
    size = 1 if version.type == "generator" else own.get("files_per_job", version.files_per_job)
    least_memory, least_wall = own.get("memory_mb", version.memory_mb), own.get("wall_s", version.wall_s)
    jobs = []
    for index, first in enumerate(range(0, len(units), size)):
        group = units[first : first + size]
        jobs.append({
            "index": index, "memory_mb": max(memory.get(unit.pk, least_memory) for unit in group),
            "wall_s": max(wall.get(unit.pk, least_wall) for unit in group), "units": [_entry(unit) for unit in group],
        })  # fmt: skip
    return jobs


def _slots(version: StageVersion, own: Mapping[str, Any]) -> dict[str, Any]:
    """Return what else than memory and time the jobs want of a slot, in the words of integrations.batch.base.Slots."""
    said = {key: own.get(key, getattr(version, key)) for key in SLOTS}
    lists = {name: list(named(said[key])) for key, name in LISTS.items()}
    return {key: said[key] for key in SLOTS if key not in LISTS} | lists


def _entry(unit: Unit) -> dict[str, Any]:
    if unit.file_name:
        facts = {"file": unit.file_name, "path": unit.path, "events": unit.events}
    elif unit.key.startswith("value:"):
        facts = {"value": unit.key.removeprefix("value:")}
    else:
        facts = {"first_event": unit.first_event, "events": unit.events, "seed": unit.seed}
    return {"id": unit.pk, "key": unit.key, **facts}


def _globs(patterns: str) -> list[str]:
    """Turn comma-separated SQL LIKE patterns into shell globs."""
    return [part.replace("%", "*").replace("_", "?") for part in several(patterns)]


def _environment(version: StageVersion, batch: Batch, uuid: str, round_number: int) -> dict[str, str]:
    """Return what the script finds in its environment (protocols 5.1 for the POMS4 names, and the older ones).

    What names the attempt by its number is added at the launch (wanting.environment_of): before, it has none.
    """
    campaign = version.revision.campaign
    known = command.environment_of(
        experiment=campaign.experiment.name, campaign=campaign.name_for_jobs, stage=version.stage.name,
        stage_type=version.type, launcher=campaign.owner.username, test=_is_for_test(campaign),
    )  # fmt: skip
    host = urlsplit(settings.PUBLIC_URL).hostname or ""
    kinds = JobType.objects.filter(experiment=campaign.experiment, name=version.job_type).values_list("pk", flat=True)
    parents = batch.submissions.order_by("-pk").values_list("pk", flat=True) if round_number else ()
    return known | {
        "POMS_SUBMISSION_ID": uuid,
        "POMS4_HOST": host,
        "POMS_ENV": host,
        "POMS_TEST": "1" if settings.DEBUG else "",
        "POMS4_CAMPAIGN_ID": str(campaign.pk),
        "POMS4_CAMPAIGN_STAGE_ID": str(version.stage_id),
        # The oldest names say campaign and mean the stage, and task for the submission.
        "POMS_CAMPAIGN_ID": str(version.stage_id),
        "POMS_PARENT_TASK_ID": "".join(map(str, parents[:1])),
        "POMS_TASK_DEFINITION_ID": "".join(map(str, kinds[:1])),
        "POMS_BATCH": str(batch.number),
        "POMS_PASS": str(batch.pass_number),
        "POMS_ROUND": str(round_number),
    }


def _is_for_test(campaign: Campaign) -> bool:
    """Tell whether jobs are told that they are a test: those of a reproduction are told what the first ones were."""
    made_again = Reproduction.objects.filter(campaign=campaign) if campaign.test else None
    if made_again is None:
        return False
    first = made_again.values_list("batch__stage__campaign__test", flat=True).first()
    return True if first is None else bool(first)
