"""Questions about requests."""

from __future__ import annotations

from typing import Any

from django.db.models import Case, Q, QuerySet, When

from approvals.composing import REPORT, requirements
from approvals.models import Confirmation, Policy, Request, Template
from core.errors import Conflict, NotAllowed, PomsError, Problem, Refused, nearest
from experiments.models import Experiment
from experiments.queries import approves, is_approver
from experiments.scoping import may

VERDICTS = ("approve", "return", "reject", "merge", "split")


def policy_of(experiment_id: int) -> Policy:
    """Return what an experiment asks for before its work runs; one that has said nothing has the defaults."""
    return Policy.objects.filter(experiment_id=experiment_id).first() or Policy(experiment_id=experiment_id)


def templates_for(experiment: Experiment) -> QuerySet[Template]:
    """Return the templates that an experiment may begin with: its own, and those of the common library."""
    rows = Template.objects.filter(Q(experiment=experiment) | Q(common=True), active=True)
    return rows.select_related("experiment", "updated_by")


def template_named(experiment: Experiment, name: str) -> Template:
    """Return the template of this name that the experiment may begin with; its own goes before a common one."""
    rows = {
        row.name: row
        for row in templates_for(experiment).order_by(Case(When(experiment=experiment, then=1), default=0))
    }
    if name not in rows:
        names = ", ".join(sorted(rows)) or "none"
        hint = nearest(name, rows, f"one of {names}")
        raise Refused("There is no such template.", [Problem("template", f"unknown: {name[:60]}", hint)])
    return rows[name]


def waits_for(user: Any) -> Q:
    """Return the condition that a request waits for a decision of this person (W3)."""
    mine = Q(pk__isnull=True)  # of nobody; said in SQL, for a list is also ordered by it
    for experiment_id, stage in approves(user):
        mine |= Q(experiment_id=experiment_id, production_stage=stage)
    return mine & Q(state="pending_approval")


def waiting_for(user: Any) -> Any:
    """Return the requests on which a person is registered to decide, the highest priority first (W3)."""
    return Request.objects.visible_to(user).filter(waits_for(user)).order_by("-priority", "pk")


def obstacle(request: Request, by: Any, verdict: str = "approve") -> PomsError | None:
    """Return what keeps a person from deciding so on the request as it is now, or None if nothing does (W1, W2).

    An operator, who checks requests, may return one too. Nothing is approved before its special requirements are
    ticked off, and the check report confirmed where the experiment wants that.
    """
    operator = verdict == "return" and may(by, "check_request", request.experiment)
    if not operator and not is_approver(by, request.experiment, request.production_stage):
        return NotAllowed(
            f"You are not registered as an approver of {request.production_stage} in {request.experiment.name}."
        )
    if request.revision is None or request.state != "pending_approval":
        return Conflict(f"The request is {request.state.replace('_', ' ')}, not pending approval.")
    own = by.pk in {request.requester_id, request.revision.author_id}
    if own and not operator and not request.experiment.author_may_approve:
        return NotAllowed("Nobody decides on a request of their own here; ask another approver.")
    if verdict == "approve" and (open_gates := unconfirmed(request)):
        text = "An operator must confirm first what the request asks for specially."
        return Conflict(text, [Problem("confirm", gate, "ask an operator to tick it off") for gate in open_gates])
    return None


def unconfirmed(request: Request) -> list[str]:
    """Return what an operator has still to tick off before the request can be approved."""
    if request.revision is None:
        return []
    wanted = requirements(request.special)
    policy = policy_of(request.experiment_id)
    if not wanted and not policy.confirm:
        return []
    rows = Confirmation.objects.filter(request=request, digest=request.revision.digest)
    done = set(rows.values_list("requirement", flat=True))
    gates = [line for line in wanted if line not in done]
    return gates + ([REPORT] if policy.confirm and "" not in done else [])
