"""Loop `pass`: stages that run nothing: files wait until somebody approves, or until they are where they should be.

What comes into such a stage goes on as it is. Its batches have no launch: each gets one attempt, written down when it
is passed, with who approved and why, so that the ledger has a result for each input as for any other stage.
"""

from __future__ import annotations

from collections.abc import Sequence
from uuid import uuid4

import structlog
from django.db import transaction
from django.db.models import F, Q, QuerySet

from campaigns.definition import APPROVAL, TRANSFER
from campaigns.models import Campaign, StageVersion
from core import transitions
from core.clock import now
from core.crashpoints import crashpoint
from core.loops import careful
from integrations import registry
from integrations.catalogue.base import NOWHERE, ON_DISK, RESIDENCE, TRANSFERS
from integrations.errors import Refused
from submissions.logic import feeding, planning
from submissions.models import Acceptance, Batch, Result, Submission, SubmissionUnit, Unit

log = structlog.get_logger()

ACTOR = "loop:pass"
WINDOW = 50  # batches of a stage whose files are asked for at once


def pass_some() -> int:
    """Look after every running stage that transfers files; return how many batches have all theirs now.

    Approval stages of test runs are passed, too: nobody is asked about them.
    """
    versions = StageVersion.objects.select_related("stage", "revision__campaign__experiment").filter(
        Q(type=TRANSFER) | Q(type=APPROVAL, revision__campaign__test=True), stage__completed_at=None,
        revision__campaign__revision_id=F("revision_id"), revision__campaign__state="running",
    )  # fmt: skip
    did = 0
    for version in versions.order_by("pk"):
        with careful("pass", "stage", version.stage_id):
            did += transfer(version) if version.type == TRANSFER else _approve_of_test(version)
    return did


def _approve_of_test(version: StageVersion) -> int:
    with transaction.atomic():
        return decide(version, passed=True, actor=ACTOR, reason="a test run needs nobody's approval")


def transfer(version: StageVersion) -> int:
    """Ask for the files of the next batches where they should be; pass the batches whose files are all there.

    Raises integrations.errors.OutsideError: where the catalogue does not answer, nothing is decided.
    """
    catalogue = registry.catalogue(version.revision.campaign.experiment, version.catalogue)
    to = version.destination
    if (TRANSFERS if to else RESIDENCE) not in catalogue.can:
        what = f"brings no files to {to}" if to else "does not know what is on disk"
        raise Refused(f"the catalogue {what}; the stage {version.stage.name} cannot transfer")
    window = list(_waiting(version).order_by("number")[:WINDOW])
    names = {
        batch.pk: list(Unit.objects.filter(batch=batch).exclude(file_name="").values_list("file_name", flat=True))
        for batch in window
    }
    there = 0
    for batch in window:
        if to:
            here = catalogue.bring(names[batch.pk], to)
        else:
            where = catalogue.residence(names[batch.pk])
            here = {name for name, place in where.items() if place == ON_DISK}
            if tape := [name for name, place in where.items() if place not in (ON_DISK, NOWHERE)]:
                catalogue.recall(tape)
        crashpoint("pass.after_look")
        missing = set(names[batch.pk]) - here
        if not missing:
            there += pass_batch(
                batch.pk, actor=ACTOR, reason=f"all {batch.n_units} files are {f'at {to}' if to else 'on disk'}"
            )
        elif to == "" and (gone := [name for name in missing if where.get(name, NOWHERE) == NOWHERE]):
            log.warning("pass.nowhere", batch=batch.ref, files=len(gone))
    return there


def decide(version: StageVersion, *, passed: bool, actor: str, reason: str) -> int:
    """Approve or refuse what waits in an approval stage, in the caller's transaction; return how many batches.

    What was refused once can be approved of after all.
    """
    rows = _waiting(version, "pending", *(("failed",) if passed else ()))
    waiting = list(rows.select_for_update(of=("self",), no_key=True).order_by("number"))
    for batch in waiting:
        if batch.state == "failed":
            transitions.move(batch, "pending", expect="failed", actor=actor, reason=reason)
        if passed:
            pass_batch(batch.pk, actor=actor, reason=reason)
        else:
            transitions.move(batch, "failed", expect="pending", actor=actor, reason=f"refused: {reason}")
    if waiting:
        planning.note([version.stage_id])
    return len(waiting)


def _waiting(version: StageVersion, *states: str) -> QuerySet[Batch]:
    stage = version.stage
    rows = Batch.objects.filter(stage=stage, pass_number=stage.pass_number, state__in=states or ("pending",))
    return rows.select_related("experiment")


def pass_batch(batch_id: int, *, actor: str, reason: str) -> bool:
    """Give each input of a batch its result, which is itself, and let it go on; False if it was done before."""
    with transaction.atomic():
        batch = (
            Batch.objects.select_for_update(of=("self",), no_key=True)
            .select_related("version", "stage__campaign")
            .get(pk=batch_id)
        )
        if batch.state != "pending" or Campaign.objects.filter(pk=batch.stage.campaign_id, state="cancelled").exists():
            return False
        units = list(Unit.objects.filter(batch=batch, acceptance=None).order_by("pk"))
        attempt = _attempt(batch, units, actor=actor, reason=reason)
        result = Result.objects.create(submission=attempt, job="", experiment_id=batch.experiment_id)
        Acceptance.objects.bulk_create(Acceptance(unit=unit, result=result) for unit in units)
        transitions.move(
            batch, "completed", expect="pending", actor=actor, reason=reason, done=batch.n_units, due_at=None
        )
        feeding.pass_on(
            batch.stage_id, batch.pass_number, [result.pk], done=len(units),
            events=sum(unit.events or 0 for unit in units), as_it_came=True,
        )  # fmt: skip
        crashpoint("pass.before_commit")
        planning.note([batch.stage_id])
    return True


def _attempt(batch: Batch, units: Sequence[Unit], *, actor: str, reason: str) -> Submission:
    """Write down an attempt that needs no jobs and is over."""
    at, kind = now(), "approval" if batch.version.type == APPROVAL else "transfer"
    last = Submission.objects.filter(batch=batch).count()
    attempt = Submission.objects.create(
        experiment_id=batch.experiment_id, batch=batch, campaign_id=batch.stage.campaign_id, uuid=uuid4(), kind=kind,
        reason_key=f"{kind}:{batch.pk}:{last}", round=last, state="completed", launcher="", system="", output_dir="",
        memory_mb=0, wall_s=0, n_jobs=0, look_at=None, launched_at=at, ended_at=at, why=reason,
    )  # fmt: skip
    SubmissionUnit.objects.bulk_create(SubmissionUnit(submission=attempt, unit=unit, job_index=0) for unit in units)
    transitions.created(attempt, actor=actor, reason=reason)
    return attempt
