"""Emergency stop: nothing of an experiment, or of all, is launched any more; what runs is killed, held or left."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from django.db import transaction
from django.db.models import Q, QuerySet, Sum

from core.errors import Conflict, Problem, Refused
from core.locking import transaction_lock
from experiments.models import Experiment
from submissions.line import CLAIMS
from submissions.logic import acting, holding
from submissions.models import Command, Hold, JobCount, Submission
from submissions.models.control import TREATMENTS
from submissions.queries import standing_stops
from submissions.states import IN_BATCH_SYSTEM, JOB_ENDED, JOB_RANK

ENDED = [JOB_RANK[state] for state in JOB_ENDED]


@dataclass(frozen=True)
class Plan:
    """What a stop would meet: jobs that run or wait in a batch system, their submissions, and what is not launched."""

    scope: str
    jobs: int
    submissions: int
    waiting: int

    def says(self, treat: str) -> str:
        """Return it as a sentence."""
        there = (
            f"{self.jobs} job{'s' * (self.jobs != 1)} of {self.submissions} submission{'s' * (self.submissions != 1)}"
        )
        what = {"kill": "are removed", "hold": "are held", "leave": "go on"}[treat]
        waits = f"{self.waiting} submission{'s' * (self.waiting != 1)} that wait{'s' * (self.waiting == 1)}"
        return f"Nothing of {self.scope} is launched until somebody says go on, {waits} among it; {there} {what}."

    def as_dict(self, treat: str) -> dict[str, Any]:
        """Return it as the API shows it."""
        return {
            "scope": self.scope, "jobs": self.jobs, "submissions": self.submissions, "waiting": self.waiting,
            "says": self.says(treat),
        }  # fmt: skip


def plan(experiment: Experiment | None) -> Plan:
    """Return what a stop of an experiment, or of everything, would meet; nothing is changed."""
    there = _there(experiment)
    counts = JobCount.objects.filter(submission__in=there.values("pk")).exclude(state_code__in=ENDED)
    unseen = there.filter(state="launching").aggregate(n=Sum("n_jobs"))["n"] or 0
    waiting = _within(experiment, Submission.objects.filter(state="pending")).count()
    scope = experiment.name if experiment else "all experiments"
    return Plan(scope, (counts.aggregate(n=Sum("n"))["n"] or 0) + unseen, there.count(), waiting)


@transaction.atomic
def stop(experiment: Experiment | None, treat: str, *, actor: str, reason: str) -> Hold:
    """Stop an experiment, or everything: after this commits nothing of it is claimed for a launch.

    Whoever claims has the same lock: what was claimed before is seen here and gets the command like what runs, what is
    claimed later meets the hold.
    """
    if treat not in TREATMENTS:
        raise Refused("Nothing was stopped.", [Problem("jobs", f"unknown: {treat[:40]}", ", ".join(TREATMENTS))])
    acting.needs_reason("stop", reason)
    transaction_lock(CLAIMS)
    name = experiment.name if experiment else "everything"
    if standing_stops().filter(experiment=experiment).exists():
        raise Conflict(f"{name} is stopped already; nothing was changed.")
    made = holding.hold("experiment" if experiment else "everything", experiment, actor=actor, reason=reason)
    made.emergency, made.selection = treat, uuid4()
    made.save(update_fields=["emergency", "selection"])
    if treat != "leave":
        found = dict.fromkeys(_there(experiment).order_by("pk").values_list("pk", "experiment_id"))
        told = f"emergency stop: {reason}"
        acting.command_many(treat, found, selection=made.selection, actor=actor, reason=told)
    return made


@transaction.atomic
def go_on(experiment: Experiment | None, *, actor: str, reason: str) -> Hold:
    """End an emergency stop: launches go on, and what it held is released. What it killed stays killed."""
    acting.needs_reason("go on", reason)
    found = standing_stops().filter(experiment=experiment).select_for_update(of=("self",)).first()
    if found is None:
        raise Conflict(f"{experiment.name if experiment else 'Everything'} is not stopped; nothing was changed.")
    holding.end_stop(found, actor=actor, reason=reason)
    if found.emergency == "hold":
        stopped = Command.objects.filter(selection=found.selection).values("submission")
        alive = Submission.objects.filter(pk__in=stopped, state__in=acting.ALIVE)
        # A hold that is not seen to be done yet would be asked for again after the release.
        for command in Command.objects.filter(selection=found.selection, state__in=("wanted", "asked")):
            acting.give_up(command, "the stop has ended before this was seen to be done")
        acting.command_many(
            "release", dict.fromkeys(alive.order_by("pk").values_list("pk", "experiment_id")),
            selection=uuid4(), actor=actor, reason=f"go on: {reason}",
        )  # fmt: skip
    return found


def _there(experiment: Experiment | None) -> QuerySet[Submission]:
    """Return the submissions whose jobs are in a batch system or on the way."""
    return _within(experiment, Submission.objects.filter(state__in=IN_BATCH_SYSTEM))


def _within(experiment: Experiment | None, rows: QuerySet[Submission]) -> QuerySet[Submission]:
    return rows.filter(experiment=experiment) if experiment else rows


def stops_of(user: Any) -> QuerySet[Hold]:
    """Return the emergency stops that concern what somebody may see: those of their experiments, and of everything."""
    seen = user.experiment_ids("view_overview")
    return standing_stops().filter(Q(experiment__in=seen) | Q(scope="everything")).select_related("experiment")
