"""What the tests of requests share: a filed request, one that reads files, and reading rows anew."""

from __future__ import annotations

from typing import Any

from approvals.logic import filing
from approvals.models import Request
from integrations.models import Dataset, File
from tests import builders
from tests.cast import Cast

READING = "[campaign_stage reco]\ndataset_or_split_data=raw\ncs_split_type=None\n"


def again(request: Request) -> Request:
    """Return the row as it is now."""
    return Request.objects.select_related("campaign", "revision", "experiment", "requester").get(pk=request.pk)


def filed(cast: Cast, text: str = "", **values: Any) -> Request:
    """Return a request on the approvers' desk."""
    return filing.file(builders.request(cast, text, **values), by=cast.experimenter)


def seeded(seed: int, campaign: str = "tiny") -> str:
    """Return the tiny definition with another seed."""
    return builders.definition(campaign=campaign).replace("seed=7", f"seed={seed}")


def dataset(cast: Cast, name: str, *names: str) -> Dataset:
    """Make a dataset of files, which need not exist."""
    rows = [
        File.objects.get_or_create(experiment=cast.experiment, name=own, defaults={"path": f"/nowhere/{own}"})[0]
        for own in names
    ]
    made, _ = Dataset.objects.get_or_create(experiment=cast.experiment, name=name)
    made.files.add(*rows)
    return made


def reading(dataset: str, campaign: str = "tiny") -> str:
    """Return a definition whose only stage reads a dataset."""
    return builders.definition(stages=READING.replace("=raw", f"={dataset}"), campaign=campaign)


def line(request: Request, check: str) -> Any:
    """Return the first line of a check in the request's report."""
    return request.checks.filter(check_name=check).order_by("position").first()
