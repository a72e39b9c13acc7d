"""A batch is run again as it was run, as a test run of its own, and what comes out is compared (J6; loop `reproduce`).

The test run goes the normal path: it waits at the same gates, is launched, watched and recovered like any other work.
Its definition is the one stage as its revision has it, its inputs and seeds are those of the batch, and its jobs are
told the same names. What it puts out is kept apart: it is not declared, feeds nothing, and is nobody's result.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from django.db import transaction

from campaigns import definition
from campaigns.definition import Definition
from campaigns.logic import editing
from campaigns.models import Campaign, Stage, StageVersion
from core import transitions
from core.clock import now
from core.crashpoints import crashpoint
from core.errors import Conflict, Problem, Refused
from core.loops import careful
from submissions.logic import feeding, made_of, planning
from submissions.models import Batch, Output, Reproduction, Snapshot, StageProgress, Submission, Unit
from submissions.queries import reproductions_due
from submissions.recipe import Difference, Recipe, compare

ACTOR = "loop:reproduce"
A_PASS = 20
RANK = 90  # above what is usual: somebody waits for the answer
LONGEST_NAME = 100
LARGEST_SEED = 10**9  # of a stage, as definitions have it


def reproduce(
    batch: Batch, *, by: Any, reason: str, seed: int | None = None, package: Mapping[str, Any] | None = None
) -> Reproduction:  # fmt: skip
    """Run a batch again with the definition, inputs, seeds and command that it had; return the reproduction.

    `package` is the recipe of a package of the batch: its seeds are used, and where it differs from our own record,
    that is named. `seed` is a stage's seed to try instead. Refused while the batch goes on, or has put out nothing.
    """
    if not reason.strip():
        raise Refused("To reproduce needs a reason.", [Problem("reason", "is empty", "say why; it is kept")])
    said = _read(package)
    was = made_of.recipe_of(batch)
    _refuse_unfinished(batch, was)
    with transaction.atomic():
        # One at a time of a batch: whoever asks twice gets one.
        Batch.objects.select_for_update(no_key=True).get(pk=batch.pk)
        before = Reproduction.objects.filter(batch=batch)
        if going_on := before.filter(state="running").select_related("experiment").first():
            raise Conflict(f"{batch.ref} is being reproduced already by {going_on.ref}; wait for it.")
        wanted = _alone(batch, before.count() + 1, seed)
        why = f"{batch.ref} is made again: {reason.strip()}"
        campaign = _campaign(batch, wanted, by=by, why=why)
        row = Reproduction.objects.create(
            experiment=batch.experiment, batch=batch, campaign=campaign, seed=seed,
            package=said.document() if said else None, by=by, reason=reason.strip(),
        )  # fmt: skip
        transitions.created(row, actor=by.actor, reason=why)
        _note(batch, by.actor, f"made again by {row.ref}: {reason.strip()}")
        _begin(row, _seeds(batch, said, seed), was)
    return row


def _read(package: Mapping[str, Any] | None) -> Recipe | None:
    if package is None:
        return None
    try:
        return Recipe.of(package)
    except ValueError as error:
        hint = "the file record.json of a package, as `poms reproduce` sends it"
        raise Refused("Nothing was started.", [Problem("package", str(error)[:400], hint)]) from error


def _refuse_unfinished(batch: Batch, was: Recipe) -> None:
    if batch.state not in ("completed", "failed", "cancelled"):
        raise Conflict(f"{batch.ref} is {batch.state.replace('_', ' ')}; wait for its end. Nothing was started.")
    if not was.outputs:
        raise Conflict(f"{batch.ref} has put out nothing that could be compared. Nothing was started.")


def _seeds(batch: Batch, said: Recipe | None, seed: int | None) -> Mapping[str, int]:
    """Return the seeds by key that stand instead of the recorded ones."""
    if seed is None:
        return said.seeds if said else {}
    if not 0 <= seed <= LARGEST_SEED:
        raise Refused("Nothing was started.", [Problem("seed", f"{seed} is not between 0 and {LARGEST_SEED}")])
    stage = batch.stage.name
    ranges = Unit.objects.filter(batch=batch, first_event__isnull=False).values_list("key", "first_event")
    found = {key: feeding.seed_for(seed, stage, first) for key, first in ranges if first is not None}
    if not found:
        raise Refused("Nothing was started.", [Problem("seed", f"{batch.ref} has no event ranges", "leave it out")])
    return found


def _alone(batch: Batch, number: int, seed: int | None) -> Definition:
    """Return the definition that the batch was run by, of which only its stage is left, fed by nothing.

    What would bring the stage other inputs than the batch's, or let it wait for people, is left out.
    """
    revision = batch.version.revision
    whole = definition.parse(revision.text).definition
    stage = next(entry for entry in whole.stages if entry.name == batch.stage.name)
    alone = replace(
        stage, schedule="", completion="", canary=0, most_files=max(1, batch.n_units),
        seed=stage.seed if seed is None else seed,
    )  # fmt: skip
    ending = f"-again-b{batch.pk}-{number}"
    return replace(
        whole, name=f"{whole.name[: LONGEST_NAME - len(ending)]}{ending}", stages=(alone,), edges=(), across=(),
        positions={},
    )  # fmt: skip


def _campaign(batch: Batch, wanted: Definition, *, by: Any, why: str) -> Campaign:
    """Make the test run, approved by the rule that test runs need no approver; its jobs see the batch's campaign."""
    first = batch.stage.campaign
    campaign = Campaign.objects.create(
        experiment=batch.experiment, name=wanted.name, owner=first.owner, test=True, known_as=first.name_for_jobs
    )
    transitions.created(campaign, actor=by.actor, reason=why)
    revision = editing.propose_whole(campaign, wanted, author=by, note=why[:400])
    transitions.move(revision, "approved", expect="proposed", actor=by.actor, reason=why)
    transitions.move(
        campaign, "approved", expect="new", actor=by.actor, reason=why, revision=revision, rank=RANK
    )  # fmt: skip
    transitions.move(
        campaign, "running", expect="approved", actor=by.actor, reason="its batch is ready", started_at=now()
    )
    return campaign


def _begin(row: Reproduction, seeds: Mapping[str, int], was: Recipe) -> None:
    """Give the test run the batch's own inputs, in their order, and let it be launched."""
    batch, campaign = row.batch, row.campaign
    Stage.objects.filter(campaign=campaign).update(pass_number=batch.pass_number)
    beside = ("stage__campaign__experiment", "revision__campaign__experiment")
    version = StageVersion.objects.select_related(*beside).get(revision=campaign.revision)
    units = _units(batch, version.stage, seeds)
    keys = hashlib.sha256("".join(f"{unit.key}\n" for unit in units).encode()).hexdigest()
    own = {"stage": version.stage, "pass_number": batch.pass_number, "units": len(units)}
    Snapshot.objects.create(**own, dataset=f"inputs of {batch.ref}", digest=keys)
    StageProgress.objects.create(**own, closed=True)
    again = planning.form(version, batch.number, units, batch.label)
    # Of an analysis the same files, not those that its owner has now.
    Submission.objects.filter(batch=again).update(
        uploads=dict(was.uploads), sandbox_since=now() if was.uploads else None
    )
    planning.note([version.stage_id])


def _units(batch: Batch, stage: Stage, seeds: Mapping[str, int]) -> list[Unit]:
    made = [
        Unit(
            experiment_id=batch.experiment_id, stage=stage, pass_number=batch.pass_number, key=unit.key,
            file_name=unit.file_name, path=unit.path, first_event=unit.first_event, events=unit.events, size=unit.size,
            traits=unit.traits, seed=None if unit.seed is None else seeds.get(unit.key, unit.seed),
        )
        for unit in Unit.objects.filter(batch=batch).order_by("pk")
    ]  # fmt: skip
    Unit.objects.bulk_create(made)
    return made


def _note(batch: Batch, actor: str, reason: str) -> None:
    """Write into the history of a batch what was found out about it."""
    transitions.record(
        [(batch.pk, batch.state)], "batch", batch.state, experiment_id=batch.experiment_id, actor=actor, reason=reason,
        verb="reproduce",
    )  # fmt: skip


# --- The comparison ---------------------------------------------------------------------------------------------------


def reproduce_some() -> int:
    """Compare reproductions whose test run has ended; return how many."""
    rows = reproductions_due(A_PASS)
    for row in rows:
        with careful("reproduce", "reproduction", row.pk):
            judge(row)
    return len(rows)


def judge(row: Reproduction) -> None:
    """Compare what a reproduction has put out with what its batch had, and write the verdict down.

    Raises OutsideError where a catalogue does not say what the inputs are now: then nothing is decided.
    """
    batch = row.batch
    again = Batch.objects.select_related("version__revision", "experiment").filter(stage__campaign=row.campaign).first()
    ours = made_of.recipe_of(batch)
    was = Recipe.of(row.package) if row.package else ours
    differences: list[Difference] = []
    if row.package:
        altered, _ = compare(ours, was)
        differences += [replace(entry, of=f"package: {entry.of}") for entry in altered]
    remarks: list[str] = []
    if again is None or not Submission.objects.filter(batch=again, launched_at__isnull=False).exists():
        to, verdict, outputs = "failed", f"it was never launched: {row.campaign.ref} is {row.campaign.state}", 0
    else:
        # The text that was run is the same by its making: one stage of it, with nothing that feeds it.
        made = replace(made_of.recipe_of(again, ask=True), definition=was.definition)
        named, remarks = compare(was, made)
        differences += named
        remarks += _attempts_of(batch)
        outputs = len(made.outputs)
        to, verdict = _verdict(row, differences, outputs)
    with transaction.atomic():
        transitions.move(
            row, to, expect="running", actor=ACTOR, reason=verdict, verdict=verdict, remarks=remarks,
            differences=[entry.document() for entry in differences], outputs=outputs, ended_at=now(),
        )  # fmt: skip
        _note(batch, ACTOR, f"{row.ref}: {verdict}")
        crashpoint("reproduce.before_commit")


def _verdict(row: Reproduction, differences: Sequence[Difference], outputs: int) -> tuple[str, str]:
    if not outputs:
        return "failed", f"nothing came out: {row.campaign.ref} is {row.campaign.state}"
    if not differences:
        return "equal", f"equal: {outputs} output{'s' * (outputs != 1)} compared"
    kinds = Counter(entry.of for entry in differences)
    return "different", ", ".join(f"{kind} ({times})" for kind, times in kinds.items())


def _attempts_of(batch: Batch) -> list[str]:
    """Remark on attempts of a batch that had parameters of their own: a reproduction begins without them."""
    results = Output.objects.filter(result__submission__batch=batch).values("result__submission_id")
    given = Submission.objects.filter(pk__in=results).order_by("pk").values_list("pk", "jobs_file__overrides")
    return [
        f"{batch.experiment.name}/s{pk} had parameters of its own, which a reproduction begins without: {overrides}"
        for pk, overrides in given
        if overrides
    ]


# --- What reviewers say -------------------------------------------------------------------------------------------


def sign(row: Reproduction, *, passed: bool, actor: str, reason: str) -> None:
    """Say that a reproduction convinces, or does not; another word later stands instead, and both are in the ledger."""
    if not reason.strip():
        raise Refused("A signature needs a reason.", [Problem("reason", "is empty", "say why; it is kept and shown")])
    with transaction.atomic():
        locked = Reproduction.objects.select_for_update(of=("self",), no_key=True).get(pk=row.pk)
        if locked.state == "running":
            raise Conflict(f"{row.ref} has not ended; there is nothing to sign yet.")
        Reproduction.objects.filter(pk=row.pk).update(
            signed=passed, signed_by=actor, signed_at=now(), signed_why=reason.strip()
        )
        transitions.record(
            [(row.pk, locked.state)], "reproduction", locked.state, experiment_id=row.experiment_id, actor=actor,
            reason=reason.strip(), verb="sign_off" if passed else "refuse",
        )  # fmt: skip
