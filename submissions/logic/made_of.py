"""Reads what the outputs of a batch were made of: from our rows, and of the inputs what their catalogue says now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from campaigns.definition import PASSES_ON
from core.errors import Conflict
from core.redaction import redacted
from integrations import registry
from integrations.catalogue.base import FileSeen
from submissions.logic.showing import without_secrets
from submissions.models import OUTSIDE, Batch, Output, Submission, Unit
from submissions.recipe import Made, Recipe, without

A_QUESTION = 5_000  # names in one question to a catalogue


def recipe_of(batch: Batch, *, ask: bool = False) -> Recipe:
    """Return the recipe of a batch: how its first launch was, and what the batch has put out in all its attempts.

    With `ask`, the catalogue says what its inputs are now (OutsideError where it does not answer); else sizes are as
    they were frozen, and checksums those of the outputs that the inputs are.
    """
    first = first_launch(batch)
    units = list(Unit.objects.filter(batch=batch).select_related("output").order_by("pk"))
    words = _words_of(first)
    environment = without_secrets(first.environment)
    return Recipe(
        definition=batch.version.revision.digest,
        release=batch.version.software_version,
        seeds={unit.key: unit.seed for unit in units if unit.seed is not None},
        inputs=_asked(batch, units) if ask else {unit.key: _frozen(unit) for unit in units if unit.file_name},
        command=[_told(words, word) for word in first.command],
        setup=_told(words, first.setup.strip()),  # a canonical text keeps no blank lines around it
        environment={name: _told(words, value) for name, value in environment.items()},
        uploads=dict(first.uploads),
        outputs={
            row.name: Made(row.size, row.checksum, row.events, row.metadata)
            for row in Output.objects.filter(result__submission__batch=batch).order_by("name")
        },
    )


def first_launch(batch: Batch) -> Submission:
    """Return the first submission of a batch that ran a script; Conflict where there is none to be run again."""
    if batch.is_outside:
        raise Conflict(f"{batch.ref} was launched outside POMS; only what POMS launched can be made again.")
    if batch.version.type in PASSES_ON:
        raise Conflict(f"{batch.ref} ran nothing; it passed files on.")
    launched = Submission.objects.filter(batch=batch, launched_at__isnull=False).exclude(kind=OUTSIDE)
    first = launched.defer("jobs_file").order_by("pk").first()
    if first is None:
        raise Conflict(f"{batch.ref} was never launched; there is nothing to make again.")
    return first


def _told(words: Mapping[str, str], text: str) -> str:
    return redacted(without(words, text))


def _words_of(row: Submission) -> dict[str, str]:
    project = str(row.environment.get("POMS_DATA_DISPATCHER_PROJECT_ID", ""))
    return {"uuid": str(row.uuid), "folder": row.output_dir, "dataset": row.offered, "project": project}


def _frozen(unit: Unit) -> tuple[int | None, str]:
    made = unit.output
    size = unit.size if unit.size is not None or made is None else made.size
    return size, made.checksum if made else ""


def _asked(batch: Batch, units: Sequence[Unit]) -> dict[str, tuple[int | None, str]]:
    files = {unit.key: unit.file_name for unit in units if unit.file_name}
    if not files:
        return {}
    catalogue = registry.catalogue(batch.experiment, batch.version.catalogue)
    names = sorted(set(files.values()))
    known: dict[str, FileSeen] = {}
    for at in range(0, len(names), A_QUESTION):
        known |= catalogue.told(names[at : at + A_QUESTION])
    found: dict[str, tuple[int | None, str]] = {}
    for unit in units:
        if not unit.file_name:
            continue
        seen = known.get(unit.file_name)
        # Outputs of a test run are in no catalogue: what was located then is all that is known.
        found[unit.key] = (seen.size, seen.checksum) if seen else (_frozen(unit) if unit.output else (None, "gone"))
    return found
