"""Why does it not run? For anything: a request, campaign, stage, batch, submission or job, in whatever state it is.

What is in the way of a launch is what the launcher itself finds closed (submissions.line); the rest is what planner,
people and batch system still have to do. Of what runs the answer is that it runs, of what has ended how it did.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from approvals.models import Request
from campaigns.models import Campaign, Stage, StageVersion
from campaigns.queries import edges_by_stage
from core.models import Trouble
from poms_site.overview.words import count
from submissions import gating, line, queries
from submissions.gating import Told
from submissions.models import Batch, EveryJob, Job, Submission, Unit
from submissions.states import JOB_ENDED, JOB_STARTED, UNFINISHED

RUNS, WAITS, STUCK, ENDED = "runs", "waits", "needs a person", "has ended"


@dataclass(frozen=True)
class Answer:
    """Why a thing does not run: in a word, as a sentence, and everything that is in the way."""

    ref: str
    state: str
    verdict: str
    text: str
    since: datetime | None = None
    gates: list[Told] = field(default_factory=list)

    def document(self) -> dict[str, Any]:
        """Return it as the API shows it."""
        return asdict(self)


def why(thing: Any) -> Answer:
    """Return why a thing does not run, or that it does, or how it ended."""
    return _ANSWERS[type(thing)](thing)


# --- Submissions: the launcher's own answer ------------------------------------------------------------------------


def of_submission(row: Submission) -> Answer:
    """Answer for one attempt at a batch."""
    said, since = row.why, row.state_since
    if row.state == "pending":
        return _pending(row)
    if row.state == "launching":
        if row.unknown_since:
            return Answer(row.ref, row.state, WAITS, f"its launch is asked after: {said}", row.unknown_since)
        text = f"it is just being launched on {row.place}; its script has not said yet what it submitted"
        return Answer(row.ref, row.state, RUNS, text, since)
    if row.state == "unsure":
        text = f"nobody can say whether it was launched: {said}. Adopt its jobs, or give it up"
        return Answer(row.ref, row.state, STUCK, text, since, [Told("unsure", text, since, None, row.ref)])
    if row.state in ("submitted", "running"):
        counts = queries.job_counts(Submission.objects.filter(pk=row.pk))
        return Answer(row.ref, row.state, *_of_jobs(counts, row.system, row.state), since)
    if row.state == "jobs_completed":
        return Answer(row.ref, row.state, RUNS, "its jobs have ended; what they left is being accepted", since)
    return Answer(row.ref, row.state, ENDED, said or f"it is {_words(row.state)}", row.ended_at or since)


def _pending(row: Submission) -> Answer:
    closed = gating.told(line.closed(submission=row.pk))
    if closed:
        return Answer(row.ref, row.state, _verdict(closed), closed[0].text, closed[0].since or row.state_since, closed)
    place, limits = line.place_of(row.pk)
    if place is not None and place.admitted:
        text = f"nothing is in its way: it is {_nth(place.place)} to be launched in {row.system}"
        return Answer(row.ref, row.state, WAITS, text, row.state_since)
    stage = row.batch.stage.name
    told = [gate for key, ahead in limits if (gate := gating.of_limit(key, stage, ahead))]
    if place is not None and not place.is_within:
        told += gating.of_system(row.system, stage, place.place - 1)
    if place is not None and not place.has_room:
        told.append(Told("queue", queries.place_words(place), None, stage))
    if not told:
        text = f"{line.FARTHEST} submissions of its campaign and more go before it"
        told = [Told("queue", text, None, stage)]
    return Answer(row.ref, row.state, WAITS, told[0].text, row.state_since, told)


def _nth(place: int) -> str:
    return "next" if place == 1 else f"number {place}"


def _verdict(gates: list[Told]) -> str:
    """Tell whether somebody has to do something, or it goes on by itself."""
    by_person = {"approval", "returned", "unsure", "system"}
    parked = any(gate.gate == "trouble" and "parked" in gate.text for gate in gates)
    return STUCK if parked or any(gate.gate in by_person for gate in gates) else WAITS


def _of_jobs(counts: dict[str, int], system: str, state: str) -> tuple[str, str]:
    """Return verdict and sentence of what is in a batch system."""
    started = sum(counts.get(name, 0) for name in JOB_STARTED)
    idle, held = counts.get("idle", 0), counts.get("held", 0)
    ended = sum(counts.get(name, 0) for name in JOB_ENDED)
    parts = [count(started, "job") + " run" + "s" * (started == 1)] if started else []
    if idle:
        parts.append(f"{count(idle, 'job')} wait{'s' * (idle == 1)} for a slot in {system}")
    if held:
        parts.append(f"{count(held, 'job')} {'is' if held == 1 else 'are'} held in {system}")
    if ended:
        parts.append(f"{count(ended, 'job')} {'has' if ended == 1 else 'have'} ended")
    if not parts:
        return WAITS, f"it was submitted; {system} has not shown its jobs yet"
    verdict = RUNS if started else WAITS if idle else STUCK if held else RUNS
    return verdict, "; ".join(parts)


# --- Jobs and batches -----------------------------------------------------------------------------------------------


def of_job(row: Job | EveryJob) -> Answer:
    """Answer for one process."""
    system, since = row.system.name, row.state_since
    if row.ended_at is not None or row.state in JOB_ENDED:
        code = f" with exit code {row.exit_code}" if row.exit_code is not None else ""
        why = f": {row.reason}" if row.reason else ""
        return Answer(row.ref, row.state, ENDED, f"it is {_words(row.state)}{code}{why}", row.ended_at or since)
    if row.state == "idle":
        again = f", again: it has been started {row.starts} times" if row.starts else ""
        text = f"{system} has it and looks for a slot{again}"
        return Answer(row.ref, row.state, WAITS, text, since, [Told("slot", text, since)])
    if row.state == "held":
        text = f"{system} holds it: {row.reason or 'it does not say why'}"
        return Answer(row.ref, row.state, STUCK, text, since, [Told("held", text, since, None, row.ref)])
    if row.state == "suspended":
        text = f"its slot in {system} is lent to others; it goes on when it is free"
        return Answer(row.ref, row.state, WAITS, text, since, [Told("suspended", text, since)])
    where = f" on {row.node}" if row.node else ""
    return Answer(row.ref, row.state, RUNS, f"it is {_words(row.state)}{where}", since)


def of_batch(row: Batch) -> Answer:
    """Answer for one slice: by its attempt that has not ended, if there is one."""
    since = row.state_since
    done = f"{row.done} of {count(row.n_units, 'input')} have output"
    if row.state in ("completed", "cancelled"):
        return Answer(row.ref, row.state, ENDED, f"it is {_words(row.state)}: {done}", since)
    attempts = queries.without_plan(Submission.objects.filter(batch=row, state__in=UNFINISHED))
    attempt = attempts.select_related("experiment", "batch__stage").order_by("-pk").first()
    if attempt is not None:
        found = of_submission(attempt)
        return Answer(row.ref, row.state, found.verdict, f"{attempt.ref}: {found.text}", found.since, found.gates)
    if row.state == "failed":
        last = Submission.objects.filter(batch=row).order_by("-pk").first()
        why = f"; the last attempt {last.ref}: {last.why}" if last and last.why else ""
        return Answer(row.ref, row.state, ENDED, f"it has failed: {done}{why}. Relaunch what it misses", since)
    if trouble := _trouble(("recover", "plan", "settle"), "batch", row.pk):
        return Answer(row.ref, row.state, _verdict([trouble]), trouble.text, trouble.since, [trouble])
    campaign = row.stage.campaign
    gates = [Told(**gate) for gate in queries.gates(campaign) if gate["stage"] in (None, row.stage.name)]
    if row.state == "pending" and gates:
        return Answer(row.ref, row.state, _verdict(gates), gates[0].text, gates[0].since, gates)
    text = f"{done}; what it misses is being decided on" if row.state == "jobs_completed" else "its launch is prepared"
    return Answer(row.ref, row.state, RUNS, text, since)


def _trouble(loops: tuple[str, ...], kind: str, key: int) -> Told | None:
    row = Trouble.objects.filter(loop__in=loops, kind=kind, thing_id=key).order_by("next_at").first()
    if row is None:
        return None
    again = f"is tried again at {row.next_at:%Y-%m-%d %H:%M:%S} UTC" if row.next_at else "is parked"
    return Told(
        "trouble", f"a step of {row.loop} went wrong {row.tries} times and {again}: {row.error}", row.updated_at
    )


# --- Stages, campaigns, requests ------------------------------------------------------------------------------------


def of_stage(row: Stage) -> Answer:
    """Answer for one stage of a campaign."""
    ref, campaign = row.ref, row.campaign
    if row.completed_at is not None:
        how = "complete" if row.succeeded else "incomplete"
        return Answer(ref, "completed" if row.succeeded else "failed", ENDED, f"it has ended {how}", row.completed_at)
    if campaign.state not in ("approved", "running"):
        found = of_campaign(campaign)
        return Answer(ref, "pending", found.verdict, f"{campaign.ref}: {found.text}", found.since, found.gates)
    gates = [Told(**gate) for gate in queries.gates(campaign) if gate["stage"] in (None, row.name)]
    counts = queries.job_counts(Submission.objects.filter(batch__stage=row))
    started = sum(counts.get(name, 0) for name in JOB_STARTED)
    if started:
        return Answer(ref, "running", RUNS, f"{count(started, 'job')} run{'s' * (started == 1)}", None, gates)
    if trouble := _trouble(("plan", "recall", "complete"), "stage", row.pk):
        gates = [trouble, *gates]
    if gates:
        return Answer(ref, "pending", _verdict(gates), gates[0].text, gates[0].since, gates)
    if state := _open_state(Submission.objects.filter(batch__stage=row)):
        return Answer(ref, "running", *state)
    version = StageVersion.objects.filter(stage=row, revision=campaign.revision).first()
    if version is None:
        return Answer(ref, "pending", ENDED, "the running revision has no such stage")
    if edges_by_stage(campaign)[row.pk] and not Unit.objects.filter(stage=row, batch=None).exists():
        return Answer(ref, "pending", WAITS, "nothing has come yet of what feeds it")
    return Answer(ref, "pending", WAITS, queries.work_going_on(row.pk) or "its next batches are being planned")


def _open_state(attempts: Any) -> tuple[str, str] | None:
    """Return verdict and sentence of what of some attempts has not ended; None where nothing of them is left."""
    row = queries.without_plan(attempts.filter(state__in=UNFINISHED)).select_related("experiment", "batch__stage")
    first = row.order_by("-state", "pk").first()
    if first is None:
        return None
    found = of_submission(first)
    return found.verdict, f"{first.ref}: {found.text}"


def of_campaign(row: Campaign) -> Answer:
    """Answer for a campaign: everything that is in the way of any stage of it."""
    if row.state in ("succeeded", "failed", "cancelled"):
        stages = Stage.objects.filter(campaign=row, succeeded=False, completed_at__isnull=False)
        names = ", ".join(stages.order_by("pk").values_list("name", flat=True))
        why = f": {names} incomplete" if names and row.state == "failed" else ""
        return Answer(row.ref, row.state, ENDED, f"it has {_ended(row.state)}{why}", row.ended_at or row.state_since)
    gates = [Told(**gate) for gate in queries.gates(row)]
    counts = queries.job_counts(Submission.objects.filter(campaign=row))
    started = sum(counts.get(name, 0) for name in JOB_STARTED)
    if started:
        text = f"{count(started, 'job')} run{'s' * (started == 1)}"
        return Answer(row.ref, row.state, RUNS, text, row.started_at, gates)
    if gates:
        return Answer(row.ref, row.state, _verdict(gates), gates[0].text, gates[0].since or row.state_since, gates)
    if row.state == "new":
        return Answer(row.ref, row.state, WAITS, "nobody has asked for it to run yet: file a request", row.state_since)
    if state := _open_state(Submission.objects.filter(campaign=row)):
        return Answer(row.ref, row.state, *state, row.state_since)
    for stage in Stage.objects.filter(campaign=row, completed_at=None).select_related("campaign__experiment"):
        if trouble := _trouble(("plan", "recall", "complete", "schedule"), "stage", stage.pk):
            told = [Told(trouble.gate, f"{stage.name}: {trouble.text}", trouble.since, stage.name)]
            return Answer(row.ref, row.state, _verdict(told), told[0].text, trouble.since, told)
    return Answer(row.ref, row.state, WAITS, "its next batches are being planned", row.state_since)


def _ended(state: str) -> str:
    return "been cancelled" if state == "cancelled" else state


def of_request(row: Request) -> Answer:
    """Answer for a request: what people still have to do, and after that what its campaign waits for."""
    since = row.state_since
    if row.state == "pending_approval":
        text = f"it waits for an approver of {row.production_stage}"
        return Answer(row.ref, row.state, STUCK, text, since, [Told("approval", text, since, None, row.ref)])
    if row.state in ("draft", "returned"):
        who = row.requester.username
        text = (
            f"{who} has not filed it yet"
            if row.state == "draft"
            else f"{who} was asked to correct it and to file it again"
        )
        return Answer(row.ref, row.state, STUCK, text, since, [Told(row.state, text, since, None, row.ref)])
    if row.state == "approved" and row.campaign is not None:
        found = of_campaign(row.campaign)
        return Answer(row.ref, row.state, found.verdict, f"{found.ref}: {found.text}", found.since, found.gates)
    return Answer(row.ref, row.state, ENDED, f"it was {_words(row.state)}", since)


def _words(state: str) -> str:
    return state.replace("_", " ")


_ANSWERS: dict[type, Callable[[Any], Answer]] = {
    Request: of_request, Campaign: of_campaign, Stage: of_stage, Batch: of_batch, Submission: of_submission,
    Job: of_job, EveryJob: of_job,
}  # fmt: skip
