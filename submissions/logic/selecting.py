"""Operator's verbs on selections: what one will do to how many things, and doing it to rows, not one by one.

A selection is a set of rows that somebody may see; which, is for the edges to say: named ones, or all that fit a
filter. Jobs are acted on by commands, one a submission, which keep what came of each job; batches, stages and campaigns
are held by gates. Both cost a few statements, however many things are chosen.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

from django.contrib.postgres.aggregates import ArrayAgg
from django.db import transaction
from django.db.models import Count, F, Q, QuerySet, Sum

from campaigns.models import Campaign, Stage
from core import queue, transitions
from core.clock import now
from core.errors import Conflict, PomsError, Problem, Refused
from experiments.models import Experiment
from experiments.scoping import may, require
from submissions.logic import acting, holding, recovering
from submissions.models import Batch, Command, Job, JobCount, Submission, SubmissionUnit
from submissions.queries import standing_holds
from submissions.states import JOB_ENDED, JOB_RANK, OPEN_BATCH

MODELS: dict[str, Any] = {"job": Job, "submission": Submission, "batch": Batch, "stage": Stage, "campaign": Campaign}
VERBS = {
    "job": ("kill", "hold", "release", "retry"),
    "submission": ("kill", "hold", "release", "retry", "launch"),
    "batch": ("kill", "hold", "release", "retry", "launch"),
    "stage": ("kill", "hold", "release", "retry", "launch"),
    "campaign": ("kill", "hold", "release", "retry", "launch"),
}
RULES = {"kill": "operate", "hold": "watch", "release": "watch", "retry": "watch", "launch": "operate"}
AGAIN_AT_ONCE = 500  # batches, each of which is planned by itself
HELD = JOB_RANK["held"]
ENDED = [JOB_RANK[state] for state in JOB_ENDED]
FAILED = [JOB_RANK[state] for state in ("failed", "removed", "lost")]
# Where each kind of thing stands in a submission, and where its campaign is.
OF_SUBMISSION = {"submission": "pk", "batch": "batch", "stage": "batch__stage", "campaign": "campaign"}
CAMPAIGN_OF = {
    "job": "submission__campaign", "submission": "campaign", "batch": "stage__campaign", "stage": "campaign",
    "campaign": "pk",
}  # fmt: skip


@dataclass(frozen=True)
class Plan:
    """What a verb will do: to how many jobs, submissions and batches of how many campaigns, and what it leaves out."""

    noun: str
    verb: str
    chosen: int
    able: int
    jobs: int = 0
    submissions: int = 0
    batches: int = 0
    campaigns: int = 0

    @property
    def left_out(self) -> int:
        """Return how many of the chosen things there is nothing to do with."""
        return self.chosen - self.able

    @property
    def says(self) -> str:
        """Return it as a sentence."""
        if not self.able:
            return f"There is nothing to {self.verb} among {_many(self.chosen, self.noun)}."
        within = f" of {_many(self.campaigns, 'campaign')}" if self.noun != "campaign" else ""
        return {
            "kill": f"This removes {_many(self.jobs, 'job')} of {_many(self.submissions, 'submission')}{within}."
            " Their batches count as failed; a retry does the rest again.",
            "hold": f"This holds {self._held}{within}." + (" What runs goes on." if self._is_gate else ""),
            "release": f"This releases {self._held}{within}.",
            "retry": f"This launches again what {_many(self.batches, 'failed batch')}{within} miss.",
            "launch": f"This puts {_many(self.submissions, 'submission')} with {_many(self.jobs, 'job')}{within} before"
            " all else of the experiment, and takes the holds off what was chosen.",
        }[self.verb] + (f" With {self.left_out} of those chosen there is nothing to do." if self.left_out else "")

    @property
    def _is_gate(self) -> bool:
        return self.noun not in ("job", "submission")

    @property
    def _held(self) -> str:
        if self._is_gate:
            return f"{_many(self.able, self.noun)}" if self.noun != "campaign" else _many(self.able, "campaign")
        return f"{_many(self.jobs, 'job')} of {_many(self.submissions, 'submission')}"

    def as_dict(self) -> dict[str, Any]:
        """Return it as the API shows it."""
        names = ("chosen", "able", "left_out", "jobs", "submissions", "batches", "campaigns")
        return {"verb": self.verb, "noun": self.noun, "says": self.says, **{n: getattr(self, n) for n in names}}


@dataclass
class Done:
    """What a verb did: the answer on each object, and by which name the commands that it gave are found together."""

    plan: Plan
    selection: UUID
    answers: list[dict[str, Any]] = field(default_factory=list)

    @property
    def refused(self) -> int:
        """Return how many objects refused."""
        return sum(1 for answer in self.answers if answer["outcome"].startswith("refused"))


def permitted(user: Any, verb: str, noun: str, experiment: Experiment, rows: QuerySet[Any]) -> QuerySet[Any]:
    """Return those of the rows on which a person may use a verb; raise NotAllowed where that is on none.

    Who runs analyses may do all this to their own; to everything else it takes the role that the verb takes on one.
    """
    if may(user, RULES[verb], experiment):
        return rows
    if may(user, "define_own", experiment):
        mine = rows.filter(**{f"{CAMPAIGN_OF[noun]}__in": own_campaigns(user, experiment)})
        if mine.exists():
            return mine
    require(user, RULES[verb], experiment)
    return rows


def own_campaigns(user: Any, experiment: Experiment) -> QuerySet[Any]:
    """Return the keys of the campaigns that run as somebody's analysis."""
    return Submission.objects.filter(experiment=experiment, analyst=user.pk).values("campaign")


def plan(verb: str, noun: str, rows: QuerySet[Any]) -> Plan:
    """Return what a verb would do to rows; nothing is changed."""
    _known(verb, noun)
    chosen, able = rows.order_by().count(), _able(verb, noun, rows)
    if noun == "job" and verb != "retry":
        sums = able.order_by().aggregate(
            n=Count("pk"), s=Count("submission", distinct=True), b=Count("submission__batch", distinct=True),
            c=Count("submission__campaign", distinct=True),
        )  # fmt: skip
        return Plan(noun, verb, chosen, sums["n"], sums["n"], sums["s"], sums["b"], sums["c"])
    number = able.order_by().count()
    if verb == "retry":
        sums = _failed(noun, able).aggregate(n=Count("pk"), c=Count("stage__campaign", distinct=True))
        return Plan(noun, verb, chosen, number, 0, 0, sums["n"], sums["c"])
    if verb in ("hold", "release") and noun != "submission":
        campaigns = able.order_by().aggregate(c=Count(CAMPAIGN_OF[noun], distinct=True))["c"]
        return Plan(noun, verb, chosen, number, campaigns=campaigns, batches=number if noun == "batch" else 0)
    found = _submissions(verb, noun, able)
    sums = found.order_by().aggregate(
        n=Count("pk"), b=Count("batch", distinct=True), c=Count("campaign", distinct=True), planned=Sum("n_jobs")
    )
    jobs = sums["planned"] or 0 if verb == "launch" else _live_jobs(verb, found)
    return Plan(noun, verb, chosen, number, jobs, sums["n"], sums["b"], sums["c"])


def left_out(verb: str, noun: str, rows: QuerySet[Any]) -> list[str]:
    """Return the references of those rows that there is nothing to do with."""
    able = _able(verb, noun, rows).order_by().values("pk")
    beside = "campaign__experiment" if noun == "stage" else "experiment"
    return [row.ref for row in rows.exclude(pk__in=able).order_by("pk").select_related(beside)]


def act(
    verb: str, noun: str, rows: QuerySet[Any], *, actor: str, reason: str, at_most: int | None = None,
    each: bool = False,
) -> Done:  # fmt: skip
    """Do a verb to rows; one that refuses stops no other.

    `at_most` is how many things the person was told of: where more fit meanwhile, nothing is changed. With `each`, jobs
    are answered for one by one, else by their submissions.
    """
    acting.needs_reason(verb, reason)
    planned = plan(verb, noun, rows)
    if at_most is not None and planned.able > at_most:
        raise Conflict(f"It would be {planned.able} by now, not {at_most}: look again; nothing was changed.")
    if not planned.able:
        return Done(planned, uuid4())
    done = Done(planned, uuid4())
    able, why = _able(verb, noun, rows), {"actor": actor, "reason": reason}
    if verb == "retry":
        _retry(noun, able, done, **why)
    elif verb == "launch":
        _launch(noun, able, done, **why)
    elif noun in ("job", "submission") or verb == "kill":
        _command(noun, able, done, each=each, **why)
    elif verb == "hold":
        _hold(noun, able, done, **why)
    else:
        _release(noun, able, done, **why)
    return done


def _known(verb: str, noun: str) -> None:
    if verb not in VERBS[noun]:
        raise Refused(f"A {noun} cannot be said {verb} to.", [Problem("verb", f"unknown: {verb}")])


def _many(number: int, word: str) -> str:
    plural = f"{word}es" if word.endswith("ch") else f"{word}s"
    return f"{number:,} {word if number == 1 else plural}".replace(",", "\u202f")


# --- What of the chosen a verb can be done to ------------------------------------------------------------------


def _able(verb: str, noun: str, rows: QuerySet[Any]) -> QuerySet[Any]:
    """Return those rows that there is something to do with."""
    if noun == "job":
        return _able_jobs(verb, rows)
    if verb == "retry":
        return _with_failed(noun, rows)
    if noun == "submission":
        return rows.filter(state__in=["pending"] if verb == "launch" else acting.ALIVE)
    if verb in ("kill", "launch"):
        states = ("pending",) if verb == "launch" else acting.ALIVE
        with_some = rows.filter(pk__in=Submission.objects.filter(state__in=states).values(OF_SUBMISSION[noun]))
        return with_some if verb == "kill" else with_some | rows.filter(pk__in=_held(noun))
    if verb == "release":
        return rows.filter(pk__in=_held(noun))
    alive = {
        "batch": Q(state__in=OPEN_BATCH), "stage": Q(completed_at=None),
        "campaign": Q(state__in=("approved", "running")),
    }[noun]  # fmt: skip
    return rows.filter(alive).exclude(pk__in=_held(noun))


def _able_jobs(verb: str, rows: QuerySet[Any]) -> QuerySet[Any]:
    if verb == "retry":
        return rows.filter(state_code__in=FAILED, index__isnull=False, submission__batch__state="failed")
    alive = rows.filter(ended_at=None)
    if verb == "hold":
        return alive.exclude(state_code=HELD)
    return alive.filter(state_code=HELD) if verb == "release" else alive


def _held(noun: str) -> QuerySet[Any]:
    """Return the keys of what is held by a gate of its own."""
    return standing_holds().filter(scope=noun).values(noun)


def _with_failed(noun: str, rows: QuerySet[Any]) -> QuerySet[Any]:
    failed = Batch.objects.filter(state="failed")
    if noun == "batch":
        return rows.filter(state="failed")
    if noun == "submission":  # the last of its batch: what an earlier one missed is the later one's
        later = (
            Submission.objects.filter(batch__in=failed).values("batch").annotate(last=ArrayAgg("pk", order_by="-pk"))
        )
        return rows.filter(pk__in=[row["last"][0] for row in later])
    return rows.filter(pk__in=failed.values("stage" if noun == "stage" else "stage__campaign"))


def _failed(noun: str, able: QuerySet[Any]) -> QuerySet[Batch]:
    """Return the failed batches of the chosen things."""
    failed, keys = Batch.objects.filter(state="failed"), able.order_by()
    if noun == "batch":
        return failed.filter(pk__in=keys.values("pk"))
    if noun in ("job", "submission"):
        return failed.filter(pk__in=keys.values("submission__batch" if noun == "job" else "batch"))
    return failed.filter(**{"stage__in" if noun == "stage" else "stage__campaign__in": keys.values("pk")})


def _submissions(verb: str, noun: str, able: QuerySet[Any]) -> QuerySet[Submission]:
    """Return the submissions of the chosen things that a verb is said to."""
    states = ["pending"] if verb == "launch" else list(acting.ALIVE)
    found = Submission.objects.filter(state__in=states)
    return found.filter(**{f"{OF_SUBMISSION[noun]}__in": able.order_by().values("pk")})


def _live_jobs(verb: str, submissions: QuerySet[Submission]) -> int:
    """Return how many jobs have not ended: those that are seen, and of what is not launched those that are planned."""
    counts = JobCount.objects.filter(submission__in=submissions.order_by().values("pk")).exclude(state_code__in=ENDED)
    if verb == "release":
        counts = counts.filter(state_code=HELD)
    seen = counts.aggregate(n=Sum("n"))["n"] or 0
    if verb == "release":
        return int(seen)
    unseen = submissions.filter(state__in=("pending", "launching")).order_by().aggregate(n=Sum("n_jobs"))["n"] or 0
    return int(seen) + int(unseen)


# --- Doing it --------------------------------------------------------------------------------------------------


def _command(noun: str, able: QuerySet[Any], done: Done, *, each: bool, actor: str, reason: str) -> None:
    """Give commands, one a submission: for all of its jobs, or for those that were chosen."""
    with transaction.atomic():
        jobs_of: dict[tuple[int, int], Sequence[int] | None]
        if noun == "job":
            grouped = able.order_by().values_list("submission_id", "experiment_id").annotate(keys=ArrayAgg("pk"))
            jobs_of = {(submission, experiment): keys for submission, experiment, keys in grouped}
        else:
            found = _submissions(done.plan.verb, noun, able).order_by("pk").values_list("pk", "experiment_id")
            jobs_of = dict.fromkeys(found)
        made = acting.command_many(done.plan.verb, jobs_of, selection=done.selection, actor=actor, reason=reason)
    names = dict(Experiment.objects.filter(pk__in={row.experiment_id for row in made}).values_list("pk", "name"))
    for row in made:
        name, keys = names[row.experiment_id], jobs_of[row.submission_id, row.experiment_id]
        told = {"outcome": "wanted", "command": f"{name}/x{row.pk}"}
        if each and keys is not None:
            done.answers += [{"ref": f"{name}/j{key}", **told} for key in sorted(keys)]
        else:
            jobs = {} if keys is None else {"jobs": len(keys)}
            done.answers.append({"ref": f"{name}/s{row.submission_id}", **told, **jobs})


def _hold(noun: str, able: QuerySet[Any], done: Done, *, actor: str, reason: str) -> None:
    for row in able.order_by("pk").select_related(*_beside(noun)):
        made = holding.hold(noun, row, actor=actor, reason=reason)
        done.answers.append({"ref": row.ref, "outcome": "done", "hold": made.ref})


def _release(noun: str, able: QuerySet[Any], done: Done, *, actor: str, reason: str) -> None:
    for row in able.order_by("pk").select_related(*_beside(noun)):
        for hold in standing_holds().filter(scope=noun, **{noun: row}):
            holding.release(hold, actor=actor, reason=reason)
        done.answers.append({"ref": row.ref, "outcome": "done"})


def _launch(noun: str, able: QuerySet[Any], done: Done, *, actor: str, reason: str) -> None:
    """Put what waits to the front of its experiment's line, and take the holds off what was chosen."""
    if noun != "submission":
        held = able.filter(pk__in=_held(noun))
        _release(noun, held, Done(done.plan, done.selection), actor=actor, reason=reason)
    with transaction.atomic():
        waiting = _submissions("launch", noun, able).order_by("pk")
        found = list(waiting.select_for_update(of=("self",), no_key=True).values_list("pk", "experiment_id"))
        Submission.objects.filter(pk__in=[pk for pk, _ in found]).update(front_at=now())
        for experiment in sorted({experiment for _, experiment in found}):
            transitions.record(
                [(pk, "pending") for pk, own in found if own == experiment], "submission", "pending",
                experiment_id=experiment, actor=actor, reason=reason, verb="launch",
            )  # fmt: skip
        queue.wake("launch")
    for row in able.order_by("pk").select_related(*_beside(noun)):
        done.answers.append({"ref": row.ref, "outcome": "done"})


def _retry(noun: str, able: QuerySet[Any], done: Done, *, actor: str, reason: str) -> None:
    """Relaunch failed batches, of chosen jobs only their inputs; one that refuses stops no other."""
    batches = list(_failed(noun, able).select_related("experiment").order_by("pk")[: AGAIN_AT_ONCE + 1])
    if len(batches) > AGAIN_AT_ONCE:
        raise Refused(f"More than {AGAIN_AT_ONCE} failed batches fit; narrow the selection. Nothing was changed.")
    only = _inputs_of(able) if noun == "job" else {}
    for batch in batches:
        try:
            made = recovering.relaunch(batch, actor=actor, reason=reason, only=only.get(batch.pk))
        except PomsError as error:
            done.answers.append({"ref": batch.ref, "outcome": f"refused: {error.detail}"})
        else:
            done.answers.append({"ref": batch.ref, "outcome": "done", "submission": made.ref})


def _inputs_of(jobs: QuerySet[Any]) -> Mapping[int, set[int]]:
    """Return the keys of the inputs of jobs, by their batch."""
    found: dict[int, set[int]] = defaultdict(set)
    # In one filter: both are of the same job.
    rows = SubmissionUnit.objects.filter(
        submission__jobs__in=jobs.order_by().values("pk"), job_index=F("submission__jobs__index")
    )
    for batch, unit in rows.values_list("submission__batch", "unit"):
        found[batch].add(unit)
    return found


def _beside(noun: str) -> tuple[str, ...]:
    return ("campaign__experiment",) if noun == "stage" else ("experiment",)


def commands_of(selection: UUID) -> QuerySet[Command]:
    """Return the commands that one verb on a selection gave."""
    return Command.objects.filter(selection=selection)
