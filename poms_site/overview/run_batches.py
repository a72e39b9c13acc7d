"""The batches of a run with every attempt at them: the troubled ones first where there are too many."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from django.db.models import Count, F, Max, Min, Q

from campaigns.models import Campaign
from core.models import Transition
from poms_site.overview.words import look
from submissions.models import Batch, EveryJob, JobCount, Submission
from submissions.states import JOB_STATES

BATCHES = 200
_UNHAPPY = ("failed", "launch_failed", "removed", "unsure")


@dataclass
class Attempt:
    """One submission as the report shows it."""

    row: Submission
    jobs: Mapping[str, int]
    first_start: datetime | None
    last_end: datetime | None
    reasons: list[str] = field(default_factory=list)

    @property
    def seconds(self) -> float | None:
        """Return how long it took from the intent to the end; None while it runs."""
        return (self.row.ended_at - self.row.created_at).total_seconds() if self.row.ended_at else None


@dataclass
class BatchFacts:
    """One batch with its attempts."""

    row: Batch
    attempts: list[Attempt]

    @property
    def only(self) -> Attempt | None:
        """Return its attempt if it needed just the one that went as it should."""
        same = len(self.attempts) == 1 and look(self.attempts[0].row.state) == look(self.row.state)
        return self.attempts[0] if same else None


def batches_of(campaign: Campaign, order: Mapping[int, int]) -> tuple[list[BatchFacts], int]:
    """Return at most BATCHES batches with their attempts, and how many there are.

    Where there are more, those that needed more than one attempt or did not complete come first,
    then every so manyth. `order` gives each stage its place.
    """
    rows = Batch.objects.filter(stage__campaign=campaign)
    total = rows.count()
    trouble = Count("submissions", filter=Q(submissions__round__gt=0) | Q(submissions__state__in=_UNHAPPY))
    stride = F("pk") % (-(-total // BATCHES) or 1)
    worst_first = (
        rows.select_related("stage", "experiment").annotate(trouble=trouble).order_by("-trouble", stride, "pk")
    )
    chosen = list(worst_first[:BATCHES])
    chosen.sort(key=lambda batch: (order.get(batch.stage_id, len(order)), batch.pass_number, batch.number))
    attempts = attempts_of([batch.pk for batch in chosen])
    return [BatchFacts(batch, attempts.get(batch.pk, [])) for batch in chosen], total


def attempts_of(batch_ids: Sequence[int]) -> dict[int, list[Attempt]]:
    """Return the attempts at batches, in order, by batch; without what only a launch needs."""
    rows = (
        Submission.objects.filter(batch_id__in=batch_ids)
        .select_related("experiment")
        .defer("jobs_file", "environment", "setup", "job_ids", "command")
        .order_by("pk")
    )
    ids = [row.pk for row in rows]
    counts: dict[int, dict[str, int]] = defaultdict(dict)
    for counted in JobCount.objects.filter(submission_id__in=ids, n__gt=0).order_by("-state_code"):
        counts[counted.submission_id][JOB_STATES[counted.state_code]] = counted.n
    spans = {
        row["submission_id"]: (row["begin"], row["end"])
        for row in EveryJob.objects.filter(submission_id__in=ids)
        .values("submission_id")
        .annotate(begin=Min("started_at"), end=Max("ended_at"))
        .order_by()
    }
    reasons = defaultdict(list)
    steps = Transition.objects.filter(kind="submission", thing_id__in=ids, reason__gt="").filter(
        Q(verb="create") | Q(target__in=("completed", *_UNHAPPY))
    )
    for thing_id, reason in steps.order_by("id").values_list("thing_id", "reason"):
        reasons[thing_id].append(reason)
    found: dict[int, list[Attempt]] = defaultdict(list)
    for row in rows:
        begin, end = spans.get(row.pk, (None, None))
        found[row.batch_id].append(Attempt(row, counts.get(row.pk, {}), begin, end, reasons[row.pk]))
    return found
