"""Canaries: the first batches of a stage must succeed before the rest is launched; one that fails holds the stage.

What waits is decided in submissions.line. Here the failure is made visible: a hold with the evidence, which a person
releases to let the rest go all the same, and which goes by itself once the canary has succeeded after all.
"""

from __future__ import annotations

from django.db import connection, transaction

from campaigns.models import Stage
from core.loops import careful
from submissions.line import CANARY
from submissions.logic import holding
from submissions.models import Batch, Hold, Submission
from submissions.queries import job_counts

_FAILED = f"""
SELECT min(k.id) FROM submissions_batch k
JOIN campaigns_stageversion v ON v.id = k.version_id AND v.canary > 0 AND k.number <= v.canary
JOIN campaigns_stage g ON g.id = k.stage_id AND g.completed_at IS NULL AND g.pass_number = k.pass_number
JOIN campaigns_campaign c ON c.id = g.campaign_id AND c.state = 'running'
WHERE k.state IN ('failed', 'cancelled') AND NOT EXISTS (
    SELECT FROM submissions_hold h WHERE h.scope = 'stage' AND h.stage_id = k.stage_id AND h.actor = '{CANARY}'
    AND h.since >= k.state_since)
GROUP BY k.stage_id LIMIT 50
"""  # noqa: S608 - a constant word


def judge_some() -> int:
    """Hold stages whose canary has failed, release those whose canaries have succeeded; return how many."""
    with connection.cursor() as cursor:
        cursor.execute(_FAILED)
        failed = [row[0] for row in cursor.fetchall()]
    did = 0
    for batch in Batch.objects.filter(pk__in=failed).select_related("stage__campaign__experiment"):
        with careful("check", "batch", batch.pk):
            did += _hold(batch)
    for hold in Hold.objects.filter(scope="stage", actor=CANARY, released_at=None).select_related("stage"):
        with careful("check", "hold", hold.pk):
            did += _release(hold)
    return did


def _hold(batch: Batch) -> bool:
    with transaction.atomic():
        Stage.objects.select_for_update(no_key=True).get(pk=batch.stage_id)
        again = Hold.objects.filter(scope="stage", stage=batch.stage, actor=CANARY, since__gte=batch.state_since)
        if again.exists():
            return False
        for earlier in Hold.objects.filter(scope="stage", stage=batch.stage, actor=CANARY, released_at=None):
            holding.release(earlier, actor=CANARY, reason=f"{batch.ref} has failed again")
        jobs = job_counts(Submission.objects.filter(batch=batch))
        told = ", ".join(f"{number} {state.replace('_', ' ')}" for state, number in sorted(jobs.items())) or "no job"
        last = Submission.objects.filter(batch=batch).order_by("-pk").values_list("why", flat=True).first()
        why = f": {last}" if last else ""
        reason = (
            f"its canary {batch.ref} is {batch.state}: {batch.done} of {batch.n_units} inputs have output; jobs: {told}"
            f"{why}. Relaunch it, or release this hold to launch the rest all the same"
        )
        holding.hold("stage", batch.stage, actor=CANARY, reason=reason)
    return True


def _release(hold: Hold) -> bool:
    stage = hold.stage
    if stage is None:
        return False
    first = Batch.objects.filter(stage=stage, pass_number=stage.pass_number).select_related("version")
    bad = [b for b in first.order_by("number")[:100] if b.number <= b.version.canary and b.state != "completed"]
    if bad:
        return False
    holding.release(hold, actor=CANARY, reason="its canary has succeeded")
    return True
