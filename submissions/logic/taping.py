"""Loop `tape`: how far the outputs of batches are on their way to tape: by the catalogue, and by the experiment's FTS.

It looks and decides nothing. What is not answered stays as it was known, with its date. A batch is looked at from its
first outputs on, if its stage asks for tape or its experiment has an FTS, until all its outputs are there.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Generic, TypeVar

from django.db.models import QuerySet

from campaigns import completion
from core import errors
from core.clock import due, now
from core.crashpoints import crashpoint
from core.loops import careful
from experiments.models import Experiment
from integrations import registry
from integrations.catalogue.base import RESIDENCE
from integrations.errors import OutsideError, Refused
from integrations.transfers.base import Failed, Standing
from submissions.models import Batch, Completion, Output, TapeProgress

A_PASS = 50  # batches
A_QUESTION = 5_000  # names in one question to a catalogue
LOOK_AGAIN, RAREST = timedelta(minutes=10), timedelta(hours=6)
GIVEN_UP = timedelta(days=60)  # what was known then stays, with its date
KEPT = 100  # failures of a batch that are kept by name; all are counted

Said = TypeVar("Said")


def note(batch: Batch) -> None:
    """Follow the outputs of a batch to tape, in the caller's transaction, if anybody wants to know of them."""
    experiment, version = batch.experiment, batch.version
    kinds = {criterion.kind for criterion in completion.read(version.completion)}
    if "tape" in kinds or registry.has_transfers(experiment, version.catalogue):
        TapeProgress.objects.update_or_create(batch=batch, defaults={"look_at": due(), "since": due()})


def follow(batches: QuerySet[Batch]) -> None:
    """Follow those of the batches that nobody follows yet: they had their outputs before anybody asked for tape."""
    missing = batches.filter(tape_progress=None, done__gt=0).values_list("pk", flat=True)
    TapeProgress.objects.bulk_create((TapeProgress(batch_id=key) for key in missing), ignore_conflicts=True)


def tape_some() -> int:
    """Look at the batches that are due, all of an experiment in one question; return how many were looked at."""
    beside = ("batch__experiment", "batch__version")
    rows = TapeProgress.objects.filter(look_at__lte=due()).select_related(*beside).order_by("look_at")
    groups: dict[tuple[int, str], list[TapeProgress]] = defaultdict(list)
    for row in rows[:A_PASS]:
        groups[row.batch.experiment_id, row.batch.version.catalogue].append(row)
    did = 0
    for (experiment_id, name), group in groups.items():
        with careful("tape", "experiment", experiment_id):
            look(group[0].batch.experiment, name, group)
            did += len(group)
    return did


def look(experiment: Experiment, catalogue: str, rows: Sequence[TapeProgress]) -> None:
    """Ask where the outputs of batches are, and keep the answers, each for itself."""
    names: dict[int, list[str]] = {row.batch_id: [] for row in rows}
    outputs = Output.objects.filter(result__submission__batch__in=names).order_by("pk")
    for batch_id, name in outputs.values_list("result__submission__batch_id", "name"):
        names[batch_id].append(name)
    everything = sorted({name for own in names.values() for name in own})
    tape = _asked(lambda: _archived(experiment, catalogue, everything))
    rest = [name for name in everything if tape.answer is None or name not in tape.answer]
    fts = _asked(lambda: _standing(experiment, catalogue, rest))
    crashpoint("tape.after_look")
    changed = {row.batch.stage_id for row in rows if _keep(row, names[row.batch_id], tape, fts)}
    # A stage that waits for tape is judged with what is known now.
    Completion.objects.filter(stage_id__in=changed, ended_at=None).update(look_at=due())


@dataclass(frozen=True)
class _Answer(Generic[Said]):
    """What somebody outside said; None where there was nobody to ask, or nobody answered: then `why` says so."""

    answer: Said | None = None
    why: str = ""


def _asked(question: Callable[[], Said | None]) -> _Answer[Said]:
    try:
        return _Answer(question())
    except (OutsideError, errors.Refused) as error:  # a link that was taken away is the latter
        return _Answer(None, str(error))


def _archived(experiment: Experiment, name: str, outputs: Sequence[str]) -> Collection[str]:
    catalogue = registry.catalogue(experiment, name)
    if RESIDENCE not in catalogue.can:
        raise Refused("the catalogue does not know what is on tape")
    pieces = [outputs[at : at + A_QUESTION] for at in range(0, len(outputs), A_QUESTION)]
    return {found for piece in pieces for found in catalogue.archived(piece)}


def _standing(experiment: Experiment, name: str, outputs: Sequence[str]) -> Mapping[str, Standing] | None:
    transfers = registry.transfers(experiment, name)
    return None if transfers is None else transfers.status(outputs)


def _keep(
    row: TapeProgress, names: Sequence[str], tape: _Answer[Collection[str]], fts: _Answer[Mapping[str, Standing]]
) -> bool:  # fmt: skip
    """Keep what was answered about one batch; return whether it says something else than before."""
    at, before = now(), row.said()
    row.outputs, row.tape_why, row.fts_why = len(names), tape.why, fts.why
    if tape.answer is not None:
        row.on_tape, row.tape_at = sum(name in tape.answer for name in names), at
    row.has_fts = fts.answer is not None or bool(fts.why)
    if fts.answer is not None:
        there = tape.answer or ()
        found = {name: fts.answer[name] for name in names if name in fts.answer and name not in there}
        failed = {name: said.message for name, said in found.items() if isinstance(said, Failed)}
        row.failed, row.waiting, row.fts_at = len(failed), len(found) - len(failed), at
        row.failures = _failures(row.failures, failed, at)
    done = tape.answer is not None and row.on_tape == len(names)
    age = at - row.since
    look_at = None if done or age > GIVEN_UP else due(min(max(LOOK_AGAIN, age / 10), RAREST))
    fields = (
        "outputs",
        "on_tape",
        "tape_at",
        "tape_why",
        "waiting",
        "failed",
        "failures",
        "has_fts",
        "fts_at",
        "fts_why",
    )
    # Outputs that came while the others were asked for have made it due again: then it stays so.
    own = TapeProgress.objects.filter(pk=row.pk)
    own.update(**{name: getattr(row, name) for name in fields})
    own.filter(look_at=row.look_at).update(look_at=look_at)
    return row.said() != before


def _failures(before: Iterable[Mapping[str, Any]], failed: Mapping[str, str], at: datetime) -> list[dict[str, Any]]:
    """Return the failures by age; one that goes on has begun when it was seen first, whatever its message is now."""
    since = {entry["name"]: entry["since"] for entry in before}
    found = [{"name": name, "message": said, "since": since.get(name, at.isoformat())} for name, said in failed.items()]
    return sorted(found, key=lambda entry: (entry["since"], entry["name"]))[:KEPT]
