"""Loop `offer`: before its launch, the catalogue offers an attempt's files to its jobs, under a name of its own.

An offer may be made again: the same finds it there (integrations.catalogue.base). Until it is made the attempt is not
in line: `look_at` is empty. So a catalogue that does not answer delays, and no launch depends on it any more.
"""

from __future__ import annotations

from django.db import connection
from django.db.models import F
from django.db.models.functions import Coalesce, Greatest

from core import queue
from core.clock import due, now
from core.crashpoints import crashpoint
from core.locking import session_lock
from core.loops import careful, untroubled
from submissions.logic.attempting import catalogue_of
from submissions.models import Submission, SubmissionUnit

A_PASS = 100


def offer_some() -> int:
    """Make the offers that wait, one worker at a time; return how many were looked at."""
    with session_lock("offer") as got:
        if not got:
            return 0
        rows = Submission.objects.select_related("experiment", "batch__version").filter(pk__in=_due())
        waiting = list(rows.order_by("created_at", "pk"))
        for submission in waiting:
            with careful("offer", "submission", submission.pk):
                offer(submission)
        return len(waiting)


def _due() -> list[int]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT id FROM submissions_submission s"  # noqa: S608 - a constant condition
            " WHERE state = 'pending' AND offered <> '' AND offered_at IS NULL"
            f" AND {untroubled('offer', 'submission').format(id='s.id')} ORDER BY created_at, id LIMIT %s",
            [A_PASS],
        )
        return [row[0] for row in cursor.fetchall()]


def offer(submission: Submission) -> None:
    """Have the catalogue offer a submission's files, and let it into the line.

    The command was written with our name for the offer. It says now what the catalogue calls it, by which scripts ask
    for it: a name with its namespace, or the number of a project. Nothing else in a command can be our name.
    """
    names = SubmissionUnit.objects.filter(submission=submission).exclude(unit__file_name="").order_by("pk")
    made = catalogue_of(submission).offer(submission.offered, list(names.values_list("unit__file_name", flat=True)))
    crashpoint("offer.after_offer")
    Submission.objects.filter(pk=submission.pk, state="pending", offered_at=None).update(
        environment={**submission.environment, **made.environment},
        offered_at=now(),
        look_at=Greatest(due(), Coalesce(F("not_before"), due())),
        command=[word.replace(submission.offered, made.dataset) for word in submission.command],
    )
    queue.wake("launch")
