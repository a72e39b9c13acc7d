"""A definition is applied: a request asks for it, new or the one that its campaign has, and is filed (T1, J12).

What `poms campaign plan` foresees, this sets going. Whoever may approve it can do so in the same breath.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from approvals.logic import deciding, filing
from approvals.models import Request
from approvals.states import AMENDABLE, EDITABLE
from campaigns.logic import editing
from core.errors import Problem, Refused
from experiments.models import Experiment
from experiments.queries import production_stages


@dataclass(frozen=True)
class Applied:
    """The request that asks for the definition now, and whether anything became different."""

    request: Request
    changed: bool


def apply(
    experiment: Experiment, text: str, *, by: Any, production_stage: str = "", title: str = "", note: str = "",
    approve: bool = False,
) -> Applied:  # fmt: skip
    """Ask for a definition; return the request, on the approvers' desk or approved.

    A campaign of its name that runs, or waits, is asked to go on by it; else a new request is made. Refused with every
    complaint if it cannot run; where only the filing is refused, the draft is kept and named.
    """
    wanted = editing.read_or_refuse(text, experiment, by)
    title = title.strip() or wanted.name
    standing = _standing(experiment, wanted.name) or _kept(experiment, title, by)
    unchanged = standing is not None and standing.revision is not None and standing.revision.digest == wanted.digest
    if standing is None:
        request = filing.draft(
            experiment, requester=by, reason="applied", title=title, definition=text,
            production_stage=production_stage or _only_stage(experiment),
        )  # fmt: skip
    elif unchanged and standing.state in AMENDABLE:
        request = standing
    else:
        request = filing.edit(standing, by=by, definition=text)
    if request.state in EDITABLE:
        request = _filed(request, by, note)
    if approve and request.state == "pending_approval" and request.revision is not None:
        request = deciding.approve(request, by=by, reason=note or "applied", digest=request.revision.digest)
    return Applied(request, changed=not unchanged)


def _standing(experiment: Experiment, name: str) -> Request | None:
    rows = Request.objects.filter(
        experiment=experiment, campaign__name=name, campaign__test=False, state__in=(*EDITABLE, *AMENDABLE),
        campaign__state__in=("new", "pending_approval", "approved", "running"),
    )  # fmt: skip
    return rows.select_related("experiment", "requester", "revision", "campaign").order_by("-pk").first()


def _kept(experiment: Experiment, title: str, by: Any) -> Request | None:
    """Return the person's draft of this title that never had a campaign: one whose filing was refused before."""
    rows = Request.objects.filter(experiment=experiment, requester=by, title=title, state="draft", campaign=None)
    return rows.select_related("experiment", "requester", "revision", "campaign").order_by("-pk").first()


def _only_stage(experiment: Experiment) -> str:
    """Return the production stage for which somebody decides, if there is but one."""
    stages = production_stages(experiment)
    if len(stages) != 1:
        hint = f"one of {', '.join(stages)}" if stages else "no approver is registered yet; ask an administrator"
        raise Refused("Nothing was asked for.", [Problem("production_stage", "is not given", hint)])
    return stages[0]


def _filed(request: Request, by: Any, note: str) -> Request:
    try:
        return filing.file(request, by=by, reason=note)
    except Refused as refusal:
        raise Refused(f"It is kept as the draft {request.ref}. {refusal.detail}", refusal.problems) from refusal
