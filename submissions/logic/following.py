"""Schedules follow the definitions: made, changed and ended as approved revisions say and campaigns run (T7)."""

from __future__ import annotations

from typing import Any

from django.db import transaction

from campaigns import keepup, queries
from campaigns.models import Schedule, Stage, StageVersion
from core.clock import now
from submissions.logic import planning, ticking
from submissions.models import StageProgress

ACTOR = "loop:schedule"


def follow(version: StageVersion) -> None:
    """Let the schedule of a stage be what this version says, from now on; what had come until now is passed over."""
    with transaction.atomic():
        said, at = _said(version), now()
        following = _course(said).next(at)
        text = f"revision {version.revision.number}: {version.schedule} ({version.schedule_zone})"
        row, made = Schedule.objects.get_or_create(
            stage_id=version.stage_id,
            defaults={
                **said,
                "experiment": version.revision.campaign.experiment,
                "version": version,
                "since": at,
                "next_at": following,
                "look_at": following or at,
            },
        )
        if made:
            ticking.note(row, "", "create", actor=ACTOR, reason=text)
        else:
            _change(ticking.locked(row), version, said, text)
        _open(version)


def _said(version: StageVersion) -> dict[str, Any]:
    course = keepup.span(
        version.schedule, version.schedule_zone, version.schedule_start, version.schedule_end
    )  # fmt: skip
    return {
        "expression": str(course.rhythm), "zone": version.schedule_zone, "starts_at": course.start,
        "ends_at": course.end, "catch_up": version.catch_up, "cap": version.catch_up_cap, "overlap": version.overlap,
        "objective": version.latency_objective,
    }  # fmt: skip


def _course(said: dict[str, Any]) -> keepup.Span:
    return keepup.Span(keepup.read(said["expression"]), keepup.zone(said["zone"]), said["starts_at"], said["ends_at"])


def _change(row: Schedule, version: StageVersion, said: dict[str, Any], text: str) -> None:
    """Let a locked schedule go on by another version; its times stay as they are where those are the same."""
    before, also = row.condition, dict(said)
    if row.version.dataset != version.dataset:
        also["mark"] = ""
    timing = ("expression", "zone", "starts_at", "ends_at")
    if row.ended_at is not None or any(getattr(row, name) != said[name] for name in timing):
        while not ticking.skip_due(row, f"the schedule was changed: {text}"):
            pass
        following = _course(said).next(now())
        also |= {"ended_at": None, "next_at": following, "look_at": following or now(), "tries": 0, "why": ""}
    Schedule.objects.filter(pk=row.pk).update(version=version, **also)
    if before == "ended" or any(getattr(row, name) != value for name, value in said.items()):
        row.ended_at = also.get("ended_at", row.ended_at)
        ticking.note(row, before, "change", actor=ACTOR, reason=text)


def _open(version: StageVersion) -> None:
    """Let the stage and what it feeds go on, if they had ended: new inputs may come again."""
    reached = queries.fed_by(version.revision_id, [version.stage_id])
    Stage.objects.filter(pk__in=reached).exclude(completed_at=None).update(completed_at=None, succeeded=None)
    StageProgress.objects.filter(stage_id=version.stage_id, pass_number=version.stage.pass_number).update(closed=False)


def end(schedule: Schedule) -> None:
    """End a schedule of which no definition that runs says anything any more."""
    with transaction.atomic():
        row = ticking.locked(schedule)
        version = queries.running_version(row.stage_id)
        runs = version is not None and version.revision.campaign.state in ("approved", "running")
        if row.ended_at is None and not (runs and version and version.schedule):
            while not ticking.skip_due(row, "the schedule was taken away"):
                pass
            finish(row, "no definition that runs has it any more")


def finish(row: Schedule, reason: str) -> None:
    """End a locked schedule, and let its stage be closed."""
    before = row.condition
    row.ended_at = now()
    Schedule.objects.filter(pk=row.pk).update(ended_at=row.ended_at, asked_at=None, asked_by="")
    ticking.note(row, before, "end", actor=ACTOR, reason=reason)
    planning.note([row.stage_id])
