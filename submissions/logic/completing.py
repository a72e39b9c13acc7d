"""Loop `complete`: stages whose batches have ended, and whose definition asks for more than located output (T5).

What is outside is asked before the transaction, and nobody's silence is an answer. No time limit completes anything: a
stage that waits for longer than its definition says raises a question, which stands until somebody decides.
"""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any
from uuid import uuid4

from django.db import transaction
from django.db.models import QuerySet, Sum

from campaigns import command, completion, queries
from campaigns.completion import Criterion, Facts
from campaigns.definition import APPROVAL
from campaigns.models import Campaign, Stage, StageVersion
from core import transitions
from core.clock import due, now
from core.crashpoints import crashpoint
from core.errors import Conflict, Problem, Refused
from core.loops import careful
from core.redaction import redacted
from integrations import registry
from integrations.launcher.base import Launch
from submissions.logic import passing, planning, taping
from submissions.models import Batch, Completion, Output, StageProgress
from submissions.queries import at_fts
from submissions.states import OPEN_BATCH

ACTOR = "loop:complete"
A_PASS = 50
LOOK_AGAIN, CHECK_AGAIN, LEASE = timedelta(minutes=10), timedelta(seconds=5), timedelta(minutes=2)
CHECK_WALL_S = 1800
A_QUESTION = 5_000  # names in one question to a catalogue
SHOWN = 2_000  # letters of what a check said


def complete_some() -> int:
    """Judge the stages that are due; return how many."""
    claimed = _claim()
    for key in claimed:
        with careful("complete", "completion", key):
            complete(key)
    return len(claimed)


def _claim() -> list[int]:
    """Take rows that are due, each for a while: a check script is started by one worker."""
    with transaction.atomic():
        rows = Completion.objects.select_for_update(skip_locked=True, no_key=True).order_by("look_at")
        keys = [row.pk for row in rows.filter(ended_at=None, look_at__lte=due())[:A_PASS]]
        Completion.objects.filter(pk__in=keys).update(look_at=due(LEASE))
    return keys


def complete(key: int) -> str:
    """Judge one stage by its criteria: end it, or say what it waits for. Return that, or an empty text if it ended.

    Raises OutsideError where a catalogue or launch host does not answer: then nothing is decided.
    """
    row = Completion.objects.filter(pk=key, ended_at=None).first()
    if row is None:
        return ""
    version = queries.running_version(row.stage_id)
    if version is None or version.stage.pass_number != row.pass_number:
        Completion.objects.filter(pk=key).update(ended_at=now(), look_at=None)
        return ""
    criteria = completion.read(version.completion)
    checks = _look_after_checks(row, version, criteria)
    facts = _facts(row, version, criteria, checks)
    crashpoint("complete.after_look")
    with transaction.atomic():
        stage = Stage.objects.select_for_update(of=("self",), no_key=True).get(pk=row.stage_id)
        row = Completion.objects.select_for_update(no_key=True).filter(pk=key, ended_at=None).first()
        if row is None:  # somebody has decided meanwhile, or lets it go on
            return ""
        if stage.completed_at is not None or not _is_at_end(version):
            Completion.objects.filter(pk=key).update(look_at=due(LOOK_AGAIN))
            return row.waits_for
        verdict = completion.judge(criteria, _with_signature(facts, row))
        if verdict.met is None:
            soon = CHECK_AGAIN if any(passed is None for _, passed in facts.checks) else LOOK_AGAIN
            _wait(row, version, verdict.text, soon)
            return verdict.text
        _end(row, version, succeeded=verdict.met, actor=ACTOR, reason=verdict.text)
    return ""


def _is_at_end(version: StageVersion) -> bool:
    own = Batch.objects.filter(stage_id=version.stage_id, pass_number=version.stage.pass_number)
    return not own.filter(state__in=OPEN_BATCH).exists()


def _wait(row: Completion, version: StageVersion, text: str, soon: timedelta) -> None:
    """Keep what the stage waits for; once it does so for long, write into the ledger that people should decide."""
    asked = row.asked_at
    if asked is None and row.since <= now() - timedelta(hours=version.ask_after_h):
        asked = now()
        reason = f"{version.stage.name} has waited for {version.ask_after_h} h: {text}; sign it off, or decide for it"
        _note(version, "ask", ACTOR, reason)
    Completion.objects.filter(pk=row.pk).update(waits_for=text, asked_at=asked, look_at=due(soon))


def _end(row: Completion, version: StageVersion, *, succeeded: bool, actor: str, reason: str) -> None:
    Completion.objects.filter(pk=row.pk).update(ended_at=now(), look_at=None, waits_for="")
    _note(version, "judge", actor, f"{version.stage.name} is {'complete' if succeeded else 'incomplete'}: {reason}")
    planning.finish(version, succeeded=succeeded, actor=actor, reason=f"stage {version.stage.name}: {reason}")
    crashpoint("complete.before_commit")


def _note(version: StageVersion, verb: str, actor: str, reason: str) -> None:
    """Write into the campaign's history what was done about one of its stages."""
    campaign = version.revision.campaign
    transitions.record(
        [(campaign.pk, campaign.state)], "campaign", campaign.state, experiment_id=campaign.experiment_id,
        actor=actor, reason=reason, verb=verb,
    )  # fmt: skip


# --- Facts ------------------------------------------------------------------------------------------------------


def _facts(
    row: Completion, version: StageVersion, criteria: tuple[Criterion, ...], checks: dict[str, dict[str, Any]]
) -> Facts:  # fmt: skip
    kinds = {criterion.kind for criterion in criteria}
    outputs = Output.objects.filter(stage_id=row.stage_id, pass_number=row.pass_number)
    progress = StageProgress.objects.filter(stage_id=row.stage_id, pass_number=row.pass_number)
    sums = progress.aggregate(done=Sum("done"), events=Sum("events_done"))
    on_tape, on_their_way = None, ""
    if "tape" in kinds:
        names = list(outputs.order_by("pk").values_list("name", flat=True))
        catalogue = registry.catalogue(version.revision.campaign.experiment, version.catalogue)
        pieces = [names[at : at + A_QUESTION] for at in range(0, len(names), A_QUESTION)]
        on_tape = sum(len(catalogue.archived(piece)) for piece in pieces)
        taping.follow(Batch.objects.filter(stage_id=row.stage_id, pass_number=row.pass_number))
        on_their_way = at_fts(row.stage_id, row.pass_number)
    return Facts(
        inputs=row.inputs, done=sums["done"] or 0, outputs=outputs.count(), events=sums["events"] or 0, on_tape=on_tape,
        on_their_way=on_their_way, checks=tuple((command, entry.get("passed")) for command, entry in checks.items()),
    )  # fmt: skip


def _with_signature(facts: Facts, row: Completion) -> Facts:
    return Facts(**{**facts.__dict__, "signed": row.signed})


def _look_after_checks(
    row: Completion, version: StageVersion, criteria: tuple[Criterion, ...]
) -> dict[str, dict[str, Any]]:  # fmt: skip
    """Start the check scripts that have not run, once each, where the stage's script runs; return what each said.

    A script finds outputs.json in its folder: name, path, size, checksum and events of each output, and where its
    jobs wrote. It passes by ending with 0. The intent is written before it starts, so that it starts once.
    """
    checks = dict(row.checks)
    for criterion in criteria:
        if criterion.kind == "check" and criterion.argument not in checks:
            checks[criterion.argument] = {"uuid": str(uuid4()), "passed": None, "said": ""}
    if checks != row.checks:
        Completion.objects.filter(pk=row.pk).update(checks=checks)
    launcher = registry.launcher(version.place) if checks else None
    for check, entry in checks.items():
        if entry["passed"] is not None or launcher is None:
            continue
        fate = launcher.status([entry["uuid"]])[entry["uuid"]]
        if fate.state == "never_seen":
            started = launcher.start([_launch(version, check, entry["uuid"])])[entry["uuid"]]
            crashpoint("complete.after_start")
            if started.outcome == "refused":
                entry |= {"passed": False, "said": f"could not be started: {started.detail}"}
        elif fate.state != "running":
            said = redacted(str(launcher.output(entry["uuid"], "tail", 0, SHOWN)["text"]).replace("\0", "\ufffd"))
            ended_well = fate.state == "finished" and fate.exit_code == 0 and not fate.timed_out
            entry |= {"passed": ended_well, "said": said}
    if checks:
        Completion.objects.filter(pk=row.pk).update(checks=checks)
    return checks


def _launch(version: StageVersion, check: str, uuid: str) -> Launch:
    stage, campaign = version.stage, version.revision.campaign
    words = command.words_of(
        {}, experiment=campaign.experiment.name, campaign=campaign.name_for_jobs, stage=stage.name,
        version=version.software_version, dataset=version.dataset, experimenter=campaign.owner.username,
    )  # fmt: skip
    fields = ("name", "path", "size", "checksum", "events")
    outputs = list(Output.objects.filter(stage=stage, pass_number=stage.pass_number).order_by("pk").values(*fields))
    folders = Batch.objects.filter(stage=stage, pass_number=stage.pass_number).values_list("submissions__output_dir")
    told = {
        "experiment": campaign.experiment.name, "campaign": campaign.name_for_jobs, "stage": stage.name,
        "pass": stage.pass_number, "outputs": outputs, "folders": sorted({row[0] for row in folders if row[0]}),
    }  # fmt: skip
    return Launch(
        uuid=uuid, attempt=1, after=0, argv=["sh", "-c", check], wall_s=CHECK_WALL_S,
        setup=command.fill_setup(version.setup, words),
        env={"POMS_EXPERIMENT": campaign.experiment.name, "POMS_CHECK_OF": stage.ref},
        files={"outputs.json": json.dumps(told)},
    )  # fmt: skip


# --- What people decide ----------------------------------------------------------------------------------------------


def sign_off(campaign: Campaign, stage: str, *, passed: bool, actor: str, reason: str) -> None:
    """Say that a stage's outputs are good or are not: of one that waits for that, or of an approval stage."""
    _refuse_without(reason)
    with transaction.atomic():
        version = _locked(campaign, stage)
        if version.type == APPROVAL:
            reopened = passed and version.stage.completed_at is not None
            if not passing.decide(version, passed=passed, actor=actor, reason=reason):
                raise Conflict(f"Nothing waits for an approval in {version.stage.ref}; nothing was changed.")
            if reopened:
                planning.reopen(version.revision.campaign, [version.stage_id], actor=actor, reason=reason)
        else:
            row = _waiting(version)
            if "signoff" not in [criterion.kind for criterion in completion.read(version.completion)]:
                raise Conflict(
                    f"{version.stage.ref} asks for nobody's sign-off: its completion is {version.completion}."
                )
            Completion.objects.filter(pk=row.pk).update(signed=passed, signed_by=actor, signed_at=now(), look_at=due())
        _note(version, "sign_off" if passed else "refuse", actor, f"{version.stage.name}: {reason}")


def accept(campaign: Campaign, stage: str, *, actor: str, reason: str) -> None:
    """Take a stage as complete as it is: one that waits for its criteria, or that has failed by them."""
    _refuse_without(reason)
    with transaction.atomic():
        version = _locked(campaign, stage)
        failed = version.stage.succeeded is False and _rows(version).filter(ended_at__isnull=False).exists()
        if failed:
            waited = "it had failed by its completion"
            planning.reopen(version.revision.campaign, [], actor=actor, reason=reason)
        else:
            row = _waiting(version)
            waited = f"it waited: {row.waits_for or 'not judged yet'}"
            Completion.objects.filter(pk=row.pk).update(ended_at=now(), look_at=None, waits_for="")
        _note(version, "accept", actor, f"{version.stage.name}: {reason}; {waited}")
        planning.finish(
            version, succeeded=True, actor=actor, reason=f"{version.stage.name} accepted as it is: {reason}"
        )


def _locked(campaign: Campaign, name: str) -> StageVersion:
    stage = Stage.objects.select_for_update(of=("self",), no_key=True).filter(campaign=campaign, name=name).first()
    version = queries.running_version(stage.pk) if stage else None
    if version is None:
        names = [entry.stage.name for entry in queries.graph_of(campaign)[0]]
        hint = f"one of {', '.join(names)}" if names else "it has none that runs"
        raise Refused("Nothing was changed.", [Problem("stage", f"{campaign.ref} has no stage {name[:40]}", hint)])
    return version


def _waiting(version: StageVersion) -> Completion:
    row = _rows(version).select_for_update(no_key=True).filter(ended_at=None).first()
    if row is None or version.revision.campaign.state != "running":
        raise Conflict(f"{version.stage.ref} does not wait for its completion; nothing was changed.")
    return row


def _rows(version: StageVersion) -> QuerySet[Completion]:
    return Completion.objects.filter(stage_id=version.stage_id, pass_number=version.stage.pass_number)


def _refuse_without(reason: str) -> None:
    if not reason.strip():
        raise Refused("A decision needs a reason.", [Problem("reason", "is empty", "say why; it is kept and shown")])
