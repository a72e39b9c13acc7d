"""Loop `launch`: the launch protocol (design 6, reliability 1b): at most one run of an intent, none forgotten.

The intent was committed when it was planned. `start_some` claims it, commits, and has the shim start its
script under an advisory lock; it does not wait for the script. `look_some` asks later what became of it: the
normal path and the recovery after a crash are the same code.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from datetime import timedelta
from itertools import groupby

import structlog
from django.conf import settings
from django.db import connection, transaction
from django.db.models import OuterRef, Subquery

from campaigns.models import Campaign
from core import errors, queue, transitions
from core.clock import due, now
from core.crashpoints import crashpoint
from core.locking import session_locks, transaction_lock
from core.loops import careful, untroubled
from integrations import registry
from integrations.batch.base import BatchSystem
from integrations.errors import OutsideError, Refused
from integrations.launcher.base import Fate, Launch, Place
from submissions import equipment, line
from submissions.logic import excluding, minding, reaching, restoring, sandboxing
from submissions.logic.reporting import report_environment
from submissions.logic.wanting import environment_of, wanted_of
from submissions.models import Batch, Submission
from submissions.queries import stopped_among, without_plan

log = structlog.get_logger()

ACTOR = "loop:launch"
A_LIST = 100
MOST_ATTEMPTS = 20
FIRST_LOOK = timedelta(seconds=0.3)
LEASE = timedelta(seconds=5)
WITHOUT_CREDENTIAL = timedelta(seconds=30)
UNSURE_AFTER = timedelta(minutes=10)
# A host that is silent is one trouble, not a hundred: its launches wait for it, and are unsure only after a day.
SILENT_AFTER = timedelta(days=1)
# A person may say what became of it; meanwhile it is asked for, in case its jobs are found after all.
UNSURE_LOOK = timedelta(minutes=5)
UNKNOWN = ("launching", "unsure")


def launch_some() -> int:
    """Start what is pending, look at what was started; return how many were stepped."""
    return start_some() + look_some()


# --- Starting -------------------------------------------------------------------------------------------


def start_some() -> int:
    """Claim pending submissions of one place that no gate holds, and start them in one call of its launcher."""
    minding.look_at_own()
    with ExitStack() as turn:
        claimed = _claim_pending(turn)
        crashpoint("launch.after_claim")
        if claimed:
            _start(claimed[0].place, claimed)
    return len(claimed)


def _claim_pending(turn: ExitStack) -> list[Submission]:
    """Mark pending submissions launching and commit, before any act: the first in line, as long as there is room.

    All are of one place, at which this worker has a turn until the stack ends: a host that does not answer keeps one
    worker, and what is for others goes on.

    One claims at a time: the lock ends with the transaction, after what it marked can be seen, so the next one counts
    it. Two launchers together put no more into a batch system than one would.
    """
    with transaction.atomic():
        transaction_lock(line.CLAIMS)
        restoring.notice()
        left_out = reaching.resting()
        while chosen := line.next_in_line(A_LIST, left_out):
            place = chosen[0].at
            if turn.enter_context(reaching.turn_at(place)):
                break
            left_out.append(place)
        else:
            return []
        # One that did not answer the last time is asked for one launch: no other need wait for what becomes of it.
        most = 1 if reaching.is_silent(place) else A_LIST
        ids = [row.submission for row in chosen if row.at == place][:most]
        moved = transitions.move_all(
            Submission.objects.filter(pk__in=ids), "launching", expect=["pending"], actor=ACTOR,
            reason="no gate holds it",
        )  # fmt: skip
        rank = Campaign.objects.filter(pk=OuterRef("campaign_id")).values("rank")
        Submission.objects.filter(pk__in=moved).update(
            attempt=1, look_at=due(LEASE), claimed_at=due(), rank=Subquery(rank)
        )
    return list(Submission.objects.filter(pk__in=moved))


def _start(place: Place, submissions: Sequence[Submission]) -> None:
    """Have the shim start scripts under their advisory locks; whoever holds one already is left to it."""
    with session_locks([_lock(s) for s in submissions]) as got:
        crashpoint("launch.after_lock")
        mine = _allowed(_not_stopped([s for s in submissions if _lock(s) in got]))
        if not mine:
            return
        try:
            launcher = registry.launcher(place)
            sandboxing.fill(launcher, mine)
            outcomes = launcher.start(_as_launches(dict.fromkeys(mine, 0)))
        except OutsideError as error:
            # Nobody knows whether it ran: the next look asks. A refusal of the whole call is asked again too.
            reaching.unheard(place, error)
            log.warning("launch.start_unanswered", place=str(place), error=str(error), count=len(mine))
            _look_again(mine, f"the launcher did not answer: {error}", FIRST_LOOK)
            return
        reaching.heard(place)
        crashpoint("launch.after_start")
        for submission in mine:
            outcome = outcomes.get(str(submission.uuid))
            if outcome is not None and outcome.outcome == "refused":
                with careful("launch", "submission", submission.pk):
                    _fail(submission, f"the launcher refuses: {outcome.detail}")
        _look_again(mine, "", FIRST_LOOK)


def _not_stopped(submissions: Sequence[Submission]) -> list[Submission]:
    """Return those of which no emergency stop lets nothing be launched; the others are looked at again later."""
    stopped = stopped_among(s.experiment_id for s in submissions)
    for submission in submissions:
        if why := stopped.get(submission.experiment_id):
            _look_again([submission], why, LEASE)
    return [s for s in submissions if s.experiment_id not in stopped]


def _allowed(submissions: Sequence[Submission]) -> list[Submission]:
    """Return those that may be launched where they want to; the others have failed, with why."""
    left = []
    for submission in submissions:
        if why := sandboxing.refusal(submission):
            with careful("launch", "submission", submission.pk):
                _fail(submission, why)
        else:
            left.append(submission)
    return left


def _lock(submission: Submission) -> str:
    return f"launch:{submission.uuid}"


def _place(submission: Submission) -> Place:
    return submission.place


def _as_launches(fences: Mapping[Submission, int]) -> list[Launch]:
    """Return submissions as the launcher takes them, each with the attempt that was seen on record.

    One whose batch system has no slot such as it wants has failed, with why; the others go on.
    """
    systems = {name: registry.batch(name) for name in {submission.system for submission in fences}}
    excluding.avoid(fences)
    credentials, launches = equipment.environments(fences), []
    for submission, after in fences.items():
        known = credentials.get(submission.pk, {})
        try:
            launches.append(_as_launch(submission, systems[submission.system], after, known))
        except Refused as error:
            with careful("launch", "submission", submission.pk):
                _fail(submission, f"{submission.system} refuses: {error}")
    return launches


def _as_launch(submission: Submission, system: BatchSystem, after: int, credentials: Mapping[str, str]) -> Launch:
    # The token is made for the launch and kept nowhere.
    reporting = report_environment(str(submission.uuid))
    given = {**reporting, **credentials, **environment_of(submission)}
    environment = {**system.environment(wanted_of(submission)), **given}
    return Launch(
        uuid=str(submission.uuid), attempt=submission.attempt, after=after, argv=submission.command,
        setup=submission.setup, env=environment, files={"jobs.json": json.dumps(submission.jobs_file)},
        wall_s=settings.LAUNCH_WALL_SECONDS, uploads=submission.uploads,
    )  # fmt: skip


def _look_again(submissions: Sequence[Submission], why: str, after: timedelta) -> None:
    fields = {"look_at": due(after), **({"why": why} if why else {})}
    Submission.objects.filter(pk__in=[s.pk for s in submissions], state__in=UNKNOWN).update(**fields)


# --- Looking --------------------------------------------------------------------------------------------


def look_some() -> int:
    """Ask what became of launches that are due for a look; return how many were looked at."""
    due = sorted(_claim_launching(), key=_place)
    groups = {place: list(group) for place, group in groupby(due, key=_place)}
    # Those that did not answer the last time come last, so that nobody else waits for them.
    for place, members in sorted(groups.items(), key=lambda entry: reaching.is_silent(entry[0])):
        if reaching.rests(place):
            _unknown(members, f"the launch host {place} does not answer", SILENT_AFTER)
            continue
        with reaching.turn_at(place) as mine:
            if mine:
                with session_locks([_lock(s) for s in members]) as got:
                    _look(place, [s for s in members if _lock(s) in got])
            elif not reaching.is_silent(place):
                _look_again(members, "", FIRST_LOOK)  # whoever speaks to it now is soon done
    return len(due)


def _claim_launching() -> list[Submission]:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            f"""
            UPDATE submissions_submission SET look_at = clock_timestamp() + %(lease)s * interval '1 second'
            WHERE id IN (
                SELECT id FROM submissions_submission s
                WHERE state IN {UNKNOWN} AND look_at <= clock_timestamp()
                  AND {untroubled("launch", "submission").format(id="s.id")}
                ORDER BY look_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED)
            RETURNING id
            """,  # noqa: S608 - constant conditions
            {"lease": LEASE.total_seconds(), "limit": 2 * A_LIST},
        )
        ids = [row[0] for row in cursor.fetchall()]
    return list(without_plan(Submission.objects.filter(pk__in=ids)))


def _look(place: Place, submissions: Sequence[Submission]) -> None:
    if not submissions:
        return
    # Read again under the lock: whoever had it may have recorded the launch meanwhile.
    again = Submission.objects.filter(pk__in=[s.pk for s in submissions], state__in=UNKNOWN)
    submissions = list(without_plan(again))
    try:
        fates = registry.launcher(place).status([str(s.uuid) for s in submissions])
    except OutsideError as error:
        reaching.unheard(place, error)
        after = SILENT_AFTER if reaching.is_silent(place) else UNSURE_AFTER
        _unknown(submissions, f"the launcher does not say what became of it: {error}", after)
        return
    reaching.heard(place)
    crashpoint("launch.after_status")
    asked: dict[str, list[tuple[Submission, Fate]]] = defaultdict(list)
    for submission in submissions:
        fate = fates[str(submission.uuid)]
        if fate.state == "running":
            waited = now() - submission.state_since
            _look_again([submission], "", min(max(waited / 4, FIRST_LOOK), timedelta(seconds=5)))
        elif fate.state == "unknown":
            _unknown([submission], "the launcher cannot read what became of it")
        elif fate.state == "finished" and fate.exit_code == 0 and fate.job_ids:
            with careful("launch", "submission", submission.pk):
                _record(submission, fate.job_ids, fate.exit_code, "the script reported its jobs")
        else:
            asked[submission.system].append((submission, fate))
    for system, entries in asked.items():
        _ask_batch(place, system, entries)


def _ask_batch(place: Place, system: str, entries: Sequence[tuple[Submission, Fate]]) -> None:
    """Let queue and history of the batch system decide: present is adopted, proved absent is tried again."""
    try:
        found = registry.batch(system).find([str(s.uuid) for s, _ in entries])
    except OutsideError as error:
        _unknown([s for s, _ in entries], f"the batch system does not say whether it has jobs of it: {error}")
        return
    crashpoint("launch.after_find")
    again = []
    restoring.notice()
    unequipped = equipment.stopped([submission.pk for submission, _ in entries])
    stopped = stopped_among(submission.experiment_id for submission, _ in entries)
    for submission, fate in entries:
        # What its wrapper told of is there, even where the jobs carry no uuid: never launched again.
        present = found[str(submission.uuid)] or submission.told.get("job_ids", [])
        with careful("launch", "submission", submission.pk):
            if present:
                why = _story(fate, adopted=True)
                _record(submission, present, fate.exit_code, why)
            elif fate.state == "finished":
                _fail(submission, _story(fate, adopted=False), fate.exit_code)
            elif fate.job_ids:
                _unknown([submission], f"it reported {fate.job_ids[0]}, of which the batch system knows nothing")
            elif submission.state == "unsure":
                # Not for us: a person may be giving it up now, and then its batch is launched under another uuid.
                _look_again([submission], _story(fate, adopted=False), UNSURE_LOOK)
            elif submission.attempt >= MOST_ATTEMPTS:
                _fail(submission, f"it was ended {submission.attempt} times before it submitted anything")
            elif submission.pk in unequipped:
                why = f"waits for a credential: {unequipped[submission.pk].why}"
                _look_again([submission], why, WITHOUT_CREDENTIAL)
            elif submission.experiment_id in stopped:
                _look_again([submission], stopped[submission.experiment_id], LEASE)
            else:
                # Never seen or killed; its lock is free and the batch system answered: a new attempt is safe.
                submission.attempt += 1
                Submission.objects.filter(pk=submission.pk, state="launching").update(
                    attempt=submission.attempt, unknown_since=None, why=_story(fate, adopted=False)
                )
                again.append((submission, fate.attempt or 0))
    if again:
        _start_again(place, again)


def _start_again(place: Place, entries: Sequence[tuple[Submission, int]]) -> None:
    after = {submission.pk: fence for submission, fence in entries}
    submissions = list(Submission.objects.filter(pk__in=after))
    try:
        launcher = registry.launcher(place)
        sandboxing.fill(launcher, submissions)
        launcher.start(_as_launches({s: after[s.pk] for s in submissions}))
    except OutsideError as error:
        log.warning("launch.restart_unanswered", place=str(place), error=str(error), count=len(submissions))
    crashpoint("launch.after_restart")
    _look_again(submissions, "", FIRST_LOOK)


def _story(fate: Fate, *, adopted: bool) -> str:
    ended = {
        "never_seen": "the script was never started",
        "vanished": "the script was ended from outside",
        "finished": "the script ran past its time" if fate.timed_out else f"the script ended with {fate.exit_code}",
    }[fate.state]
    return f"{ended}; " + (
        "its jobs were found by uuid and adopted" if adopted else "the batch system has no job of it"
    )


def _unknown(submissions: Sequence[Submission], why: str, unsure_after: timedelta = UNSURE_AFTER) -> None:
    """Nobody can say: ask again later, never launch again by oneself; after a while a person sees it."""
    for submission in submissions:
        since = submission.unknown_since or now()
        if submission.state == "unsure":
            _look_again([submission], why, UNSURE_LOOK)
        elif now() - since > unsure_after:
            with careful("launch", "submission", submission.pk):
                transitions.move(
                    submission, "unsure", expect="launching", actor=ACTOR, reason=why, why=why,
                    look_at=due(UNSURE_LOOK),
                )  # fmt: skip
        else:
            wait = min(max((now() - since) / 2, timedelta(seconds=1)), timedelta(seconds=60))
            Submission.objects.filter(pk=submission.pk, state="launching").update(
                unknown_since=since, why=why, look_at=due(wait)
            )


# --- Recording --------------------------------------------------------------------------------------------


def _record(submission: Submission, job_ids: Sequence[str], exit_code: int | None, why: str) -> None:
    with transaction.atomic():
        # The batch comes first: everybody who locks both does it in this order.
        batch = Batch.objects.select_for_update(no_key=True).get(pk=submission.batch_id)
        transitions.move(
            submission, "submitted", expect=("launching", "unsure"), actor=ACTOR,
            reason=f"{why} ({len(job_ids)} jobs)", job_ids=list(job_ids), n_jobs=len(job_ids), exit_code=exit_code,
            why=why,
            launched_at=now(), look_at=due(), unknown_since=None,
        )  # fmt: skip
        if batch.state == "pending":
            transitions.move(
                batch, "submitted", expect="pending", actor=ACTOR, reason=f"{submission.ref} was submitted"
            )
        crashpoint("launch.before_record_commit")
        queue.wake("observe")
    crashpoint("launch.after_record")


def _fail(submission: Submission, why: str, exit_code: int | None = None) -> None:
    with transaction.atomic():
        Batch.objects.select_for_update(no_key=True).get(pk=submission.batch_id)
        transitions.move(
            submission, "launch_failed", expect=("launching", "unsure"), actor=ACTOR, reason=why, why=why,
            exit_code=exit_code, ended_at=now(), look_at=None,
        )  # fmt: skip
        Batch.objects.filter(pk=submission.batch_id).update(due_at=due())
        queue.wake("recover")


def resolve_unsure(submission: Submission, *, ran: bool, actor: str, reason: str) -> None:
    """Let a person say what became of an unsure launch: adopt its jobs, or give it up.

    One that is launching may be running its script: only its own loop may say what became of it.
    """
    if not reason.strip():
        raise errors.Refused(
            "This needs a reason.", [errors.Problem("reason", "is empty", "say how you know; it is kept")]
        )
    if submission.state != "unsure":
        state = submission.state.replace("_", " ")
        raise errors.Conflict(f"{submission.ref} is {state}, not unsure; nothing was changed.")
    if ran:
        found = registry.batch(submission.system).find([str(submission.uuid)])[str(submission.uuid)]
        if not found:
            raise Refused("The batch system has no job of this submission; give it up instead.")
        _record(submission, found, submission.exit_code, f"{actor} says that it ran: {reason}")
    else:
        _fail(submission, f"{actor} gave it up: {reason}")
