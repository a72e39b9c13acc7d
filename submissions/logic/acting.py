"""Loop `act`: what people and rules want done to jobs, applied until it is observed (design 3).

Commands that want the same of one batch system are applied together: jobs are read, asked for and written down in a
few statements and few calls, however many submissions they are of. What came of each job is kept with its command.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Count

from core import queue, transitions
from core.clock import due, now
from core.crashpoints import crashpoint
from core.errors import Conflict, Problem, Refused
from core.loops import careful, together, untroubled
from integrations import registry
from integrations.errors import OutsideError
from submissions.logic import planning
from submissions.models import Batch, Command, Job, JobFacts, Submission
from submissions.states import JOB_RANK

ACTOR = "loop:act"
A_PASS = 500
A_CALL = 10_000  # jobs of which a batch system is asked at once
MOST_TRIES = 100
ASK_AGAIN = 5  # tries after which jobs are asked for once more that were said to be done
VERBS = {"kill": "remove", "hold": "hold", "release": "release", "priority": "prio"}
HELD = JOB_RANK["held"]
ALIVE = ("pending", "launching", "submitted", "running")  # submissions of which something can still be wanted


@transaction.atomic
def command(
    verb: str, submission: Submission, *, job: JobFacts | None = None, value: int = 0, actor: str, reason: str
) -> Command:
    """Write down what is wanted of a submission's jobs, or of one of them; the loop does it."""
    needs_reason(verb, reason)
    if job.ended_at is not None if job else submission.state not in ALIVE:
        what, state = (job.ref, job.state) if job else (submission.ref, submission.state)
        raise Conflict(f"{what} is {state.replace('_', ' ')}; there is nothing left to {verb}.")
    wanted = Command.objects.create(
        experiment_id=submission.experiment_id, verb=verb, value=value, submission=submission,
        job_id=job.pk if job else None, actor=actor, reason=reason.strip(),
    )  # fmt: skip
    transitions.created(wanted, actor=actor, reason=reason)
    queue.wake("act")
    return wanted


@transaction.atomic
def command_many(
    verb: str, jobs_of: Mapping[tuple[int, int], Sequence[int] | None], *, selection: UUID, actor: str, reason: str
) -> list[Command]:
    """Write down what is wanted of many submissions, in two statements.

    `jobs_of` gives for each (submission, experiment) the keys of the jobs that are meant; None stands for all of them.
    """
    needs_reason(verb, reason)
    made = Command.objects.bulk_create(
        Command(experiment_id=experiment, verb=verb, submission_id=submission, actor=actor, reason=reason.strip(),
                selection=selection, chosen=None if jobs is None else list(jobs))
        for (submission, experiment), jobs in jobs_of.items()
    )  # fmt: skip
    for experiment in sorted({row.experiment_id for row in made}):
        own = [(row.pk, "") for row in made if row.experiment_id == experiment]
        transitions.record(
            own, "command", "wanted", experiment_id=experiment, actor=actor, reason=reason, verb="create"
        )
    if made:
        queue.wake("act")
    return made


def needs_reason(verb: str, reason: str) -> None:
    """Refuse a verb that nobody says why of."""
    if not reason.strip():
        raise Refused(f"To {verb} needs a reason.", [Problem("reason", "is empty", "say why; it is kept")])


def act_some() -> int:
    """Apply commands that are due; return how many."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            f"""
            UPDATE submissions_command SET due_at = clock_timestamp() + interval '30 seconds', tries = tries + 1
            WHERE id IN (
                SELECT id FROM submissions_command c
                WHERE due_at <= clock_timestamp() AND {untroubled("act", "command").format(id="c.id")}
                ORDER BY id LIMIT %s FOR UPDATE SKIP LOCKED)
            RETURNING id
            """,  # noqa: S608 - constant conditions
            [A_PASS],
        )
        due = [row[0] for row in cursor.fetchall()]
    alike: dict[tuple[Any, ...], list[Command]] = defaultdict(list)
    beside = Command.objects.select_related("submission").defer(
        "submission__command", "submission__setup", "submission__environment", "submission__jobs_file"
    )
    for wanted in beside.filter(pk__in=due, state__in=("wanted", "asked")).order_by("pk"):
        if wanted.submission.state == "pending" and wanted.verb == "kill":
            with careful("act", "command", wanted.pk):
                _remove_unlaunched(wanted)
            continue
        key = (wanted.submission.system, wanted.verb, wanted.value, wanted.actor, wanted.reason)
        alike[key].append(wanted)
    for group in alike.values():
        together("act", "command", {wanted.pk: wanted for wanted in group}, _apply)
    return len(due)


# --- Commands that want the same of one batch system ----------------------------------------------------------


@dataclass
class Target:
    """A command, the jobs that it is about by their names outside, and what came of them until now."""

    wanted: Command
    live: dict[str, int] = field(default_factory=dict)  # those that have not ended, with their state
    ended: list[str] = field(default_factory=list)  # those chosen that have
    known: int = 0  # jobs of its submission that we have seen
    came_of: dict[str, str] = field(default_factory=dict)
    told: str = ""  # what to say of it when it is looked at next

    @property
    def sees_all(self) -> bool:
        """Tell whether every job that it is about has been seen."""
        only_some = self.wanted.job_id or self.wanted.chosen is not None
        return bool(only_some) or self.known >= max(1, len(self.wanted.submission.job_ids))

    @property
    def ids(self) -> list[str]:
        """Return the jobs to ask for: all that live, or all there should be while not each has been seen."""
        found = list(self.live) if self.sees_all else list(self.wanted.submission.job_ids)
        again = self.wanted.tries % ASK_AGAIN == 0
        return [name for name in found if again or self.came_of.get(name) not in ("done", "already")]

    @property
    def refused(self) -> set[str]:
        """Return the jobs to which it cannot be done."""
        return {name for name, word in self.came_of.items() if word.startswith("refused")}

    def is_observed(self) -> bool:
        """Tell whether all that it can do is seen to be done."""
        open_ones = {name: state for name, state in self.live.items() if name not in self.refused}
        if self.wanted.verb == "kill":
            return not open_ones
        if self.wanted.verb == "hold":
            return all(state == HELD for state in open_ones.values())
        if self.wanted.verb == "release":
            return HELD not in open_ones.values()
        return self.wanted.state == "asked"

    def note(self, outcomes: Mapping[str, str]) -> None:
        """Keep what came of jobs: what has once been done was done by this command, whatever is said later."""
        for name, word in outcomes.items():
            if self.came_of.get(name) != "done":
                self.came_of[name] = word


def _apply(group: Sequence[Command]) -> None:
    """Apply commands that want the same of one batch system, each until it is observed."""
    waiting = [w for w in group if w.submission.state in ("pending", "launching", "unsure")]
    targets = _targets([w for w in group if w not in waiting])
    later = [Target(w, told="waits until the submission's jobs are known") for w in waiting]
    asked: list[Target] = []
    for target in targets:
        if target.sees_all and target.is_observed():
            _end_observed(target)
        elif target.wanted.tries > MOST_TRIES:
            why = f"not observed after {target.wanted.tries} tries; {target.wanted.outcome}"
            _end(target, "refused", why)
        else:
            asked.append(target)
    answered = _ask(asked) if asked else False
    for target in asked:
        if answered and target.sees_all and target.live and target.refused >= set(target.live):
            _end(target, "refused", "; ".join(sorted({target.came_of[name] for name in target.live})))
        else:
            later.append(target)
    if answered:
        fresh = [t.wanted.pk for t in later if t in asked and t.wanted.state == "wanted"]
        number = sum(len(t.live) or len(t.wanted.submission.job_ids) for t in asked if t.wanted.pk in fresh)
        transitions.move_all(
            Command.objects.filter(pk__in=fresh), "asked", expect=["wanted"], actor=ACTOR,
            reason=f"asked the batch system for {number} jobs",
        )  # fmt: skip
        queue.wake("observe")
    _later(later)


def _targets(group: Sequence[Command]) -> list[Target]:
    """Return commands with their jobs: those of whole submissions and those that were chosen, a statement each."""
    found = [Target(w, came_of={n: word for word, names in w.outcomes.items() for n in names}) for w in group]
    whole: dict[int, list[Target]] = defaultdict(list)
    some: dict[int, list[Target]] = defaultdict(list)
    for target in found:
        wanted = target.wanted
        keys = [wanted.job_id] if wanted.job_id else wanted.chosen
        if keys is None:
            whole[wanted.submission_id].append(target)
        for key in keys or ():
            some[key].append(target)
    _fill_whole(whole)
    _fill_chosen(some)
    return found


def _fill_whole(targets: Mapping[int, Sequence[Target]]) -> None:
    """Read the live jobs of whole submissions, and how many have been seen."""
    if not targets:
        return
    jobs = Job.objects.filter(submission__in=list(targets))
    for submission, name, state in jobs.filter(ended_at=None).values_list("submission", "external_id", "state_code"):
        for target in targets[submission]:
            target.live[name] = state
    for submission, number in jobs.values_list("submission").annotate(n=Count("pk")).order_by():
        for target in targets[submission]:
            target.known = number


def _fill_chosen(targets: Mapping[int, Sequence[Target]]) -> None:
    """Read the jobs that were chosen."""
    jobs = Job.objects.filter(pk__in=list(targets)) if targets else Job.objects.none()
    for key, name, state, ended in jobs.values_list("pk", "external_id", "state_code", "ended_at"):
        for target in targets[key]:
            if ended is None:
                target.live[name] = state
            else:
                target.ended.append(name)


def _ask(targets: Sequence[Target]) -> bool:
    """Ask the batch system for all jobs of commands that want the same; False where it did not answer."""
    first = targets[0].wanted
    ids = list(dict.fromkeys(name for target in targets for name in target.ids))
    outcomes: dict[str, str] = {}
    why = ""
    try:
        system = registry.batch(first.submission.system)
        for begin in range(0, len(ids), A_CALL):
            outcomes |= system.act(
                VERBS[first.verb], ids=ids[begin : begin + A_CALL], reason=f"{first.actor}: {first.reason}",
                value=first.value,
            )  # fmt: skip
    except OutsideError as error:
        why = str(error)
    if not why:
        crashpoint("act.after_ask")
    for target in targets:
        # What was said before it fell silent is kept: it was done.
        target.note({name: outcomes[name] for name in target.ids if name in outcomes})
        number = len(target.live) if target.sees_all else len(target.wanted.submission.job_ids)
        target.told = why or f"asked for {number} jobs"
    return not why


def _end_observed(target: Target) -> None:
    """End a command that is seen to be done: of jobs that were never asked for, it was so already."""
    seen = [*target.live, *target.ended]
    target.note({name: "already" for name in seen if name not in target.came_of})
    refused = sorted({target.came_of[name] for name in target.refused})
    if target.live and target.refused >= set(target.live):
        _end(target, "refused", "; ".join(refused))
    else:
        _end(target, "done", "; ".join(["observed", *refused]))


def _remove_unlaunched(wanted: Command) -> None:
    with transaction.atomic():
        batch = Batch.objects.select_for_update(no_key=True).get(pk=wanted.submission.batch_id)
        transitions.move(
            wanted.submission, "removed", expect="pending", actor=wanted.actor, reason=wanted.reason, look_at=None,
            ended_at=now(),
        )  # fmt: skip
        if batch.state == "pending":
            reason = f"{wanted.submission.ref} was removed before its launch: {wanted.reason}"
            transitions.move(batch, "failed", expect="pending", actor=wanted.actor, reason=reason)
            planning.note([batch.stage_id])
        _end(Target(wanted), "done", "removed before its launch")


def _end(target: Target, state: str, outcome: str) -> None:
    transitions.move(
        target.wanted, state, expect=("wanted", "asked"), actor=ACTOR, reason=outcome, outcome=outcome, due_at=None,
        outcomes=by_outcome(target.came_of),
    )  # fmt: skip


def give_up(wanted: Command, why: str) -> None:
    """End a command before anything was asked for: it is wanted no more."""
    _end(Target(wanted), "refused", why)


def by_outcome(came_of: Mapping[str, str]) -> dict[str, list[str]]:
    """Return what came of jobs as it is kept: the jobs of each outcome."""
    found: dict[str, list[str]] = defaultdict(list)
    for name, word in came_of.items():
        found[word].append(name)
    return dict(found)


def _later(targets: Iterable[Target]) -> None:
    """Look at commands again after a while, in one statement; what came of their jobs is kept with them."""
    rows = list(targets)
    if not rows:
        return
    spans = []
    for target in rows:
        after = timedelta(seconds=1 if target.told.startswith("asked") else 2)
        spans.append(min(after * (1 + target.wanted.tries / 5), timedelta(seconds=30)).total_seconds())
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE submissions_command c SET outcome = v.outcome, outcomes = v.outcomes::jsonb,"
            " due_at = now() + v.wait * interval '1 second'"
            " FROM unnest(%s::bigint[], %s::text[], %s::text[], %s::float8[]) AS v(id, outcome, outcomes, wait)"
            " WHERE c.id = v.id AND c.state IN ('wanted', 'asked')",
            [[t.wanted.pk for t in rows], [t.told for t in rows],
             [json.dumps(by_outcome(t.came_of)) for t in rows], spans],
        )  # fmt: skip


@transaction.atomic
def cancel(campaign: Any, *, actor: str, reason: str) -> None:
    """Cancel a campaign: nothing of it is launched any more, what runs is removed, what is done stays."""
    needs_reason("cancel", reason)
    transitions.move(
        campaign, "cancelled", expect=("new", "pending_approval", "approved", "running", "failed"), actor=actor,
        reason=reason, ended_at=now(),
    )  # fmt: skip
    Batch.objects.filter(stage__campaign=campaign).update(due_at=due())
    queue.wake("recover")
    live = Submission.objects.filter(batch__stage__campaign=campaign, state__in=ALIVE)
    for submission in live:
        command("kill", submission, actor=actor, reason=f"campaign cancelled: {reason}")
