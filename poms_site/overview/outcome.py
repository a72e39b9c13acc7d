"""How a campaign came out, in numbers: from our records and, independently, from the batch system's own log."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from django.conf import settings

from campaigns.models import Campaign
from integrations.batch.local_daemon import read_log
from submissions import queries
from submissions.models import Acceptance, Batch, Output, Submission, Unit


def outcome_of(campaign: Campaign) -> dict[str, Any]:
    """Return the demo's figures; `duplicates` and `lost` compare our rows with what really ran.

    duplicates: submissions that the batch system got more than once, job indices it was given twice, and event
    numbers that the merge found twice. lost: submissions that we call launched of which it knows nothing, and
    inputs with neither result nor failure.
    """
    submissions = Submission.objects.filter(batch__stage__campaign=campaign)
    units = Unit.objects.filter(stage__campaign=campaign)
    jobs = queries.job_counts(submissions)
    recovered = Acceptance.objects.filter(unit__stage__campaign=campaign, result__submission__round__gt=0)
    doubled, unknown = launched_otherwise(campaign)
    ended = Batch.objects.filter(stage__campaign=campaign, state__in=("completed", "failed", "cancelled"))
    open_units = units.filter(acceptance=None).exclude(batch__in=ended)
    peak = _z_peak(campaign)
    return {
        "campaign": campaign.ref,
        "state": campaign.state,
        "batches": Batch.objects.filter(stage__campaign=campaign).count(),
        "submissions": submissions.count(),
        "jobs": sum(jobs.values()),
        "failed_jobs": sum(n for state, n in jobs.items() if state != "succeeded"),
        "recovered_inputs": recovered.count(),
        "inputs": units.count(),
        "outputs": Output.objects.filter(stage__campaign=campaign).count(),
        "duplicates": doubled + int(peak.get("duplicates", 0)),
        "lost": unknown + open_units.count(),
        "z_mass_gev": peak.get("z_mass_gev"),
        "z_mass_err_gev": peak.get("z_mass_err_gev"),
        "plot": next(iter(_outputs(campaign, ".png")), None),
    }


def launched_otherwise(campaign: Campaign) -> tuple[int, int]:
    """Compare our submissions with the batch system's own log.

    Return how many clusters it got beside the one of each submission, and of how many submissions that we call launched
    it knows nothing.
    """
    submissions = Submission.objects.filter(batch__stage__campaign=campaign)
    really = _launched_truly({str(uuid) for uuid in submissions.values_list("uuid", flat=True)})
    claimed = {str(uuid) for uuid in submissions.exclude(launched_at=None).values_list("uuid", flat=True)}
    return sum(count - 1 for count in really.values()), len(claimed - set(really))


def _launched_truly(uuids: set[str]) -> Counter[str]:
    """Count the clusters that the local batch daemon's own log has for each submission."""
    found: Counter[str] = Counter()
    for event in read_log(str(settings.LOCAL_SPOOL)):
        if event["event"] == "submit" and event.get("uuid") in uuids:
            found[event["uuid"]] += 1
    return found


def _outputs(campaign: Campaign, ending: str) -> list[str]:
    rows = Output.objects.filter(stage__campaign=campaign, name__endswith=ending).order_by("-pk")
    return list(rows.values_list("path", flat=True))


def _z_peak(campaign: Campaign) -> dict[str, Any]:
    """Return the result of the fit, if the campaign made one."""
    for path in _outputs(campaign, "zpeak.json"):
        with open(path) as file:
            return dict(json.load(file))
    return {}
