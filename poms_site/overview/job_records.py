"""What the catalogue's project, and the way to tape, say of a job's files (D1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from core.errors import PomsError
from integrations.catalogue.base import CONSUMPTION
from integrations.errors import OutsideError
from submissions.logic.attempting import as_attempt, catalogue_of
from submissions.models import EveryJob, Submission, SubmissionUnit

MOST = 500


@dataclass(frozen=True)
class Record:
    """One input of a job, and what its catalogue says became of it: one of the catalogue's FATES, or nothing."""

    name: str
    fate: str


@dataclass(frozen=True)
class Records:
    """What the catalogue says; `trouble` is a sentence where it does not answer."""

    catalogue: str
    rows: Sequence[Record] = ()
    trouble: str = ""


def fates_in(submission: Submission) -> Records | dict[str, str]:
    """Ask the catalogue what became of the inputs of a submission; one that is silent is trouble, not nothing."""
    name = submission.batch.version.catalogue or "The experiment's catalogue"
    try:
        catalogue = catalogue_of(submission)
        if CONSUMPTION not in catalogue.can or not submission.offered:
            return Records(name)
        return catalogue.fates(as_attempt(submission))
    except (OutsideError, PomsError) as error:
        return Records(name, trouble=str(error))


def of_job(job: EveryJob, told: Records | dict[str, str]) -> Records:
    """Return what was told of a submission's inputs, as far as it is about a job's."""
    version = job.submission.batch.version
    if isinstance(told, Records):
        return told
    if job.index is None:
        return Records(version.catalogue or "The experiment's catalogue")
    units = SubmissionUnit.objects.filter(submission=job.submission, job_index=job.index).order_by("pk")
    names = units.values_list("unit__file_name", flat=True)[:MOST]
    rows = [Record(name, told.get(name, "")) for name in names if name]
    return Records(version.catalogue or "The experiment's catalogue", rows)
