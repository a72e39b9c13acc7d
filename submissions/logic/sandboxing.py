"""The sandbox of an analysis: the files of its owner go with the launch, are on record, and are cleaned up (loop)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from itertools import groupby

import structlog
from django.conf import settings
from django.db import transaction

from core.clock import due, now
from core.errors import NotVisible
from core.loops import careful, untroubled
from integrations import registry
from integrations.errors import OutsideError, Refused, Unavailable
from integrations.launcher import allowing
from integrations.launcher.base import Launcher, Place
from integrations.uploads import keeping
from submissions.models import Submission
from submissions.queries import without_plan

log = structlog.get_logger()

A_PASS = 100
ENDED = ("completed", "failed", "removed", "launch_failed")
TRY_AGAIN = timedelta(minutes=10)


def refusal(submission: Submission) -> str:
    """Return why a submission may not be launched where it wants to, or an empty text."""
    return allowing.why_not(submission.place, analysis=submission.analyst_id is not None)


def fill(launcher: Launcher, submissions: Sequence[Submission]) -> None:
    """Choose what comes with the launches of analysts, write it down, and bring it to the host.

    It is chosen once: another attempt gets the same files, whatever their owner has changed since.
    """
    with transaction.atomic():
        for row in submissions:
            if row.analyst_id is not None and not row.uploads:
                row.uploads = keeping.area_of(row.experiment_id, row.analyst_id)
                row.sandbox_since = now() if row.uploads else None
                Submission.objects.filter(pk=row.pk).update(uploads=row.uploads, sandbox_since=row.sandbox_since)
    digests = sorted({digest for row in submissions for digest in row.uploads.values()})
    if digests:
        try:
            launcher.supply(digests, keeping.content_of)
        except NotVisible as error:
            raise Refused(str(error)) from error


def clean_some() -> int:
    """Take away the sandboxes of submissions that have been settled; return how many were looked at."""
    with transaction.atomic():
        rows = Submission.objects.filter(sandbox_since__lte=due(), state__in=ENDED)
        free = rows.extra(where=[untroubled("clean", "submission").format(id="submissions_submission.id")])  # noqa: S610 - a constant condition
        first = without_plan(free.order_by("sandbox_since"))
        found = list(first.select_for_update(skip_locked=True, of=("self",))[:A_PASS])
        Submission.objects.filter(pk__in=[row.pk for row in found]).update(sandbox_since=due(TRY_AGAIN))
    for place, group in groupby(sorted(found, key=_place), key=_place):
        members = list(group)
        with careful("clean", "submission", members[0].pk):
            _clear(place, members)
    return len(found)


def _place(submission: Submission) -> Place:
    return submission.place


def _clear(place: Place, submissions: Sequence[Submission]) -> None:
    try:
        cleared = registry.launcher(place).clear([str(row.uuid) for row in submissions])
    except Unavailable as error:
        log.info("clean.unavailable", place=str(place), error=str(error), count=len(submissions))  # due again later
        return
    except OutsideError as error:
        log.warning("clean.unanswered", place=str(place), error=str(error), count=len(submissions))
        return
    gone = [row.pk for row in submissions if cleared.get(str(row.uuid))]
    Submission.objects.filter(pk__in=gone).update(sandbox_since=None)


def forget() -> int:
    """Delete contents of uploads that no area has and no submission of late was launched with; always one pass."""
    span = timedelta(days=settings.UPLOAD_DAYS)
    used = Submission.objects.exclude(uploads={}).filter(created_at__gt=now() - span).values_list("uploads", flat=True)
    keeping.forget({digest for uploads in used.iterator() for digest in uploads.values()}, span)
    return 0
