"""A submission as catalogues know it: its inputs, its outputs' patterns, and since when."""

from __future__ import annotations

from integrations import registry
from integrations.catalogue.base import Attempt, Catalogue
from submissions.models import Submission, SubmissionUnit


def as_attempt(submission: Submission) -> Attempt:
    """Return what a catalogue needs to know of a submission."""
    units = SubmissionUnit.objects.filter(submission=submission).order_by("pk")
    version = submission.batch.version
    return Attempt(
        uuid=str(submission.uuid), offered=submission.offered, place=submission.output_dir, since=submission.created_at,
        inputs=dict(units.values_list("unit__key", "unit__file_name")), patterns=version.output_file_patterns,
        version=version.software_version,
    )  # fmt: skip


def catalogue_of(submission: Submission) -> Catalogue:
    """Return the catalogue in which a submission's files are."""
    return registry.catalogue(submission.experiment, submission.batch.version.catalogue)
