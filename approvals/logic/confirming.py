"""An operator confirms the check report and ticks off special requirements: gates before an approval, no state."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db import transaction

from approvals.composing import REPORT, requirements
from approvals.logic import deciding, steps, trying
from approvals.models import Confirmation, Request
from approvals.queries import policy_of
from core.errors import Conflict, Problem, Refused
from experiments.scoping import require


def confirm(
    request: Request, *, by: Any, ticked: Sequence[str] | None = None, digest: str = "", reason: str = ""
) -> list[str]:
    """Confirm the check report of the revision that waits, and tick off requirements: those given, or all of them.

    Returns what was newly confirmed. What the experiment's policy wants then, a test run, begins by itself. Raises
    Refused for a line that the request does not have, Conflict if it was changed after it was read.
    """
    require(by, "check_request", request.experiment)
    with transaction.atomic():
        row = steps.locked(request)
        if row.state != "pending_approval" or row.revision is None:
            raise Conflict(f"The request is {steps.word(row)}; there is nothing to confirm.")
        if digest and digest != row.revision.digest:
            raise Conflict("The request was changed after you read it; read it again. Nothing was confirmed.")
        wanted = requirements(row.special)
        chosen = wanted if ticked is None else [line.strip() for line in ticked if line.strip()]
        if unknown := [line for line in chosen if line not in wanted]:
            hint = "tick off lines of the special requirements, as they stand there"
            raise Refused("Nothing was confirmed.", [Problem("ticked", f"no such requirement: {unknown[0]}", hint)])
        done = set(
            Confirmation.objects.filter(request=row, digest=row.revision.digest).values_list("requirement", flat=True)
        )
        fresh = [line for line in ("", *chosen) if line not in done]
        Confirmation.objects.bulk_create(
            Confirmation(request=row, requirement=line, digest=row.revision.digest, by=by) for line in fresh
        )
        if fresh:
            what = "; ".join(line or REPORT for line in fresh)
            text = f"confirmed: {what}{reason and f' ({reason})'}"
            steps.note(row, "confirm", actor=by.actor, reason=text)
    policy = policy_of(row.experiment_id)
    if fresh and policy.test_size and not row.test_runs.filter(digest=row.revision.digest).exists():
        trying.test(row, by=by, size=policy.test_size)
    return [line or REPORT for line in fresh]


def untick(request: Request, *, by: Any, ticked: Sequence[str], reason: str, digest: str = "") -> list[str]:
    """Take ticks back while nobody has approved: of requirements, or of the check report; return them."""
    require(by, "check_request", request.experiment)
    deciding.needs_reason("take a tick back", reason)
    with transaction.atomic():
        row = steps.locked(request)
        if row.state != "pending_approval" or row.revision is None:
            raise Conflict(f"The request is {steps.word(row)}; its confirmations stay.")
        if digest and digest != row.revision.digest:
            raise Conflict("The request was changed after you read it; read it again. Nothing was changed.")
        standing = Confirmation.objects.filter(request=row, digest=row.revision.digest)
        done = set(standing.values_list("requirement", flat=True))
        chosen = ["" if line == REPORT else line for line in dict.fromkeys(ticked)]
        if not chosen or (unknown := [line for line in chosen if line not in done]):
            text = f"not ticked off: {unknown[0] or REPORT}" if chosen else "none was named"
            hint = f"one of {'; '.join(line or REPORT for line in sorted(done)) or 'none yet'}"
            raise Refused("Nothing was changed.", [Problem("ticked", text, hint)])
        standing.filter(requirement__in=chosen).delete()
        text = f"took back: {'; '.join(line or REPORT for line in chosen)} ({reason})"
        steps.note(row, "untick", actor=by.actor, reason=text)
    return [line or REPORT for line in chosen]
