"""Loop `restore`: a database that was put back to an earlier moment asks what was launched since, before it launches.

A restore or the promotion of a standby begins another life of the database (its timeline or system identifier); whoever
claims for a launch notices. Then an emergency stop stands over everything, and hosts and batch systems are asked for
launches that the database does not know. The plan loops go on meanwhile: what they plan again is the same work, and
takes the uuid under which it was launched already. When all have answered and nothing is open, the stop goes by itself;
else a person sees what is left, and says go on.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import structlog
from django.db import connection, transaction

from core import queue, transitions
from core.clock import due, now
from core.errors import Conflict, StaleState
from core.locking import session_lock, transaction_lock
from core.loops import careful
from integrations import registry
from integrations.errors import OutsideError
from integrations.launcher.base import Fate, Place
from integrations.models import BatchSystem, LaunchHost
from submissions.line import CLAIMS
from submissions.logic import reaching, stopping
from submissions.logic.merging import is_uuid
from submissions.models import Batch, Hold, Incarnation, Restoration, Stray, Submission, SubmissionUnit
from submissions.queries import keys_of

log = structlog.get_logger()

ACTOR = "loop:restore"
ONLY = 1  # the key of the one incarnation
# A call of a launcher that began before the restore may still start scripts so long after it.
SETTLED_AFTER = timedelta(seconds=90)
MARGIN = timedelta(hours=1)  # clocks of hosts differ, and time stamps of files
A_LOT = 500

_LIVES = """
SELECT i.id IS NOT NULL, coalesce((i.system_identifier, i.timeline) = (l.system_identifier, l.timeline), false),
       l.system_identifier, l.timeline, coalesce(i.noted_at < clock_timestamp() - interval '1 minute', false)
FROM (SELECT system_identifier, ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int AS timeline
      FROM pg_control_system()) l LEFT JOIN submissions_incarnation i ON i.id = %s
"""


# --- Noticing -------------------------------------------------------------------------------------------------


def notice() -> None:
    """Stop everything if this is not the life of the database that wrote last; one statement where it is.

    Once a minute it is noted that this life goes on: what was written after the note is what a restore may forget. All
    else in the database is written by the next life too, before it is noticed.
    """
    _, same, *_, is_old = _life()
    if same:
        if is_old:
            Incarnation.objects.filter(pk=ONLY).update(noted_at=now())
        return
    with transaction.atomic():
        transaction_lock(CLAIMS)
        known, same, identifier, timeline, _ = _life()
        if same:  # somebody else has noticed meanwhile
            return
        if known:
            begin("The database was restored from a backup, or a standby of it was promoted.", actor=ACTOR)
        life = {"system_identifier": identifier, "timeline": timeline, "noted_at": now()}
        Incarnation.objects.update_or_create(pk=ONLY, defaults=life)


def _life() -> tuple[bool, bool, int, int, bool]:
    """Return whether a life is known, whether it is this one, the numbers of this one, and whether the note is old."""
    with connection.cursor() as cursor:
        cursor.execute(_LIVES, [ONLY])
        found: tuple[bool, bool, int, int, bool] = cursor.fetchone()
    return found


@transaction.atomic
def begin(why: str, *, actor: str, back_to: datetime | None = None) -> Restoration:
    """Stop everything until hosts and batch systems have said what they know that the database does not.

    `back_to` is the last moment of which it knows; if it is not given, the last note of the life before says.
    """
    transaction_lock(CLAIMS)
    known = back_to or Incarnation.objects.values_list("noted_at", flat=True).first() or now()
    row = Restoration.objects.filter(ended_at=None).first() or Restoration(back_to=known)
    # Put back once more while the answers were being heard: they are of no use now.
    row.began_at, row.back_to, row.why, row.asked, row.silent = now(), min(row.back_to, known), why, {}, {}
    row.heard_at = None
    row.positions = dict(BatchSystem.objects.values_list("name", "position"))
    reason = (
        f"{why} It knows nothing after {row.back_to:%Y-%m-%d %H:%M:%S} UTC. Nothing is launched until hosts and batch"
        " systems have said what was launched since; the page Loops says how far that is."
    )
    try:
        row.stop = stopping.stop(None, "leave", actor=actor, reason=reason).pk
    except Conflict:
        log.info("restore.stopped_already")  # by somebody, or by the stop of before: that one ends it
    row.save()
    queue.wake("restore")
    log.error("restore.begun", back_to=str(row.back_to), why=why)
    return row


# --- Asking ---------------------------------------------------------------------------------------------------


def restore_some() -> int:
    """Go on with what follows a restore, if one is being made good; return how many launches were dealt with."""
    row = Restoration.objects.filter(ended_at=None).first()
    if row is None:
        return 0
    with session_lock("restore") as got:
        if not got:
            return 0
        ended = Hold.objects.filter(pk=row.stop or 0).exclude(released_at=None).first()
        if ended is not None:
            _end(row, ended.released_by)
            return 0
        did = 0
        with careful("restore", "restoration", row.pk):
            did = _ask_hosts(row) + _ask_systems(row) + _follow(row) + _adopt(row)
            if row.heard_at is None and all(name in row.asked for name in _names(row)):
                row.heard_at = now()
                queue.wake("plan")
            row.save(update_fields=["asked", "silent", "heard_at"])
            if not waits_for(row):
                _go_on(row)
        return did


def is_deaf() -> bool:
    """Tell whether a restore is being made good and not everybody has said yet what was launched since."""
    return Restoration.objects.filter(ended_at=None, heard_at=None).exists()


def waits_for(row: Restoration) -> list[str]:
    """Return what a restoration still waits for, a sentence each; nothing: it may end."""
    settled = row.began_at + SETTLED_AFTER
    found = [f"{name} does not answer: {why}" for name, why in sorted(row.silent.items())]
    heard = {name: datetime.fromisoformat(at) for name, at in row.asked.items()}
    for name in _names(row):
        if name not in row.silent and (name not in heard or heard[name] < settled):
            found.append(f"{name} is asked once more after {settled:%H:%M:%S} UTC")
    left = row.strays.filter(fate="open").count()
    if left:
        found.append(f"{left} launch{'es' * (left != 1)} of which the database does not know, and nothing planned fits")
    return found


def _names(row: Restoration) -> list[str]:
    return [*map(_called, _places()), *map(_called_system, row.positions)]


def _called_system(name: str) -> str:
    return f"batch system {name}"


def _places() -> list[Place]:
    hosts = LaunchHost.objects.filter(active=True).order_by("pk")
    return [Place("local"), *(Place("ssh", host.experiment_id, host.name, host.account) for host in hosts)]


def _called(place: Place) -> str:
    return f"launch host {place}" if place.launcher != "local" else "the launcher of this machine"


def _is_heard(row: Restoration, name: str) -> bool:
    at = row.asked.get(name)
    return at is not None and datetime.fromisoformat(at) >= row.began_at + SETTLED_AFTER


def _ask_hosts(row: Restoration) -> int:
    did = 0
    for place in _places():
        name, at = _called(place), now()
        if _is_heard(row, name):
            continue
        try:
            recent = registry.launcher(place).recent((row.back_to - MARGIN).timestamp())
            did += _sort(row, place, recent)
        except OutsideError as error:
            row.silent[name] = str(error)
            continue
        reaching.heard(place)
        row.silent.pop(name, None)
        row.asked[name] = at.isoformat()
    return did


def _sort(row: Restoration, place: Place, uuids: Sequence[str]) -> int:
    """Take launches that a host knows: ours that wait go to who looks at launches, unknown ones are noted."""
    did = 0
    known = {str(uuid): pk for uuid, pk in Submission.objects.filter(uuid__in=uuids).values_list("uuid", "pk")}
    for waiting in Submission.objects.filter(pk__in=known.values(), state="pending"):
        with careful("restore", "submission", waiting.pk):
            _take_up(waiting, f"{place} has launched it already, which the database had forgotten")
            did += 1
    noted = {
        str(uuid) for uuid in Stray.objects.filter(uuid__in=uuids).exclude(place={}).values_list("uuid", flat=True)
    }
    fresh = [uuid for uuid in uuids if uuid not in known and uuid not in noted]
    plans = registry.launcher(place).plans(fresh)
    where = {"launcher": place.launcher, "experiment_id": place.experiment_id, "host": place.host,
             "account": place.account}  # fmt: skip
    for uuid in fresh:
        about = {"restoration": row, "place": where, "found_at": _called(place), "plan": plans.get(uuid) or {}}
        Stray.objects.update_or_create(uuid=uuid, defaults=about)
    return did + len(fresh)


def _ask_systems(row: Restoration) -> int:
    """Note jobs of launches that neither the database nor a host knows, of what changed since the place put back."""
    did = 0
    for system, position in row.positions.items():
        name, at = _called_system(system), now()
        if _is_heard(row, name):
            continue
        try:
            jobs = registry.batch(system).snapshot(position).jobs
        except OutsideError as error:
            row.silent[name] = str(error)
            continue
        found: dict[str, list[str]] = defaultdict(list)
        for job in jobs:
            if is_uuid(job.uuid):
                found[job.uuid.lower()].append(job.id)
        did += _note_unknown(row, system, found)
        row.silent.pop(name, None)
        row.asked[name] = at.isoformat()
    return did


def _note_unknown(row: Restoration, system: str, found: dict[str, list[str]]) -> int:
    known: set[str] = set()
    for model in (Submission, Stray):
        known |= {str(uuid) for uuid in model.objects.filter(uuid__in=found).values_list("uuid", flat=True)}
    fresh = [uuid for uuid in found if uuid not in known]
    Stray.objects.bulk_create(
        Stray(restoration=row, uuid=uuid, found_at=system, job_ids=sorted(found[uuid])[:A_LOT],
              why="no launch host knows it")
        for uuid in fresh
    )  # fmt: skip
    return len(fresh)


# --- Following ------------------------------------------------------------------------------------------------


def _follow(row: Restoration) -> int:
    """Close what came to nothing: its script has ended and no batch system has a job of it."""
    by_place: dict[Place, list[Stray]] = defaultdict(list)
    for stray in row.strays.filter(fate="open").exclude(place={}):
        by_place[Place(**stray.place)].append(stray)
    did = 0
    for place, strays in by_place.items():
        try:
            fates = registry.launcher(place).status([str(stray.uuid) for stray in strays])
            ended = [stray for stray in strays if _is_over(fates[str(stray.uuid)])]
            jobs = _jobs_of([str(stray.uuid) for stray in ended], row.positions)
        except OutsideError as error:
            row.silent[_called(place)] = str(error)
            continue
        for stray in ended:
            there = jobs.get(str(stray.uuid)) or list(fates[str(stray.uuid)].job_ids)
            if there and there != stray.job_ids:
                Stray.objects.filter(pk=stray.pk).update(job_ids=there[:A_LOT])
            elif not there:
                Stray.objects.filter(pk=stray.pk).update(fate="empty", why="it submitted nothing")
                did += 1
    return did


def _is_over(fate: Fate) -> bool:
    return fate.state in ("finished", "vanished", "never_seen")


def _jobs_of(uuids: Sequence[str], systems: Iterable[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for name in systems if uuids else ():
        for uuid, ids in registry.batch(name).find(uuids).items():
            found[uuid] += ids
    return found


# --- Adopting -------------------------------------------------------------------------------------------------


def _adopt(row: Restoration) -> int:
    """Give work that was planned again the uuid under which it was launched, where it is the very same work."""
    strays = list(row.strays.filter(fate="open").exclude(plan={})[:A_LOT])
    if not strays:
        return 0
    waiting = _waiting({str(stray.plan.get("stage", "")) for stray in strays})
    did = 0
    for stray in strays:
        pk = waiting.pop(_work(stray.plan), None)
        if pk is None:
            continue
        with careful("restore", "stray", stray.pk):
            _adopt_as(stray, pk)
            did += 1
    if did:
        # What was told of their jobs meanwhile was nobody's: it is told again.
        for system in BatchSystem.objects.filter(name__in=row.positions):
            BatchSystem.objects.filter(pk=system.pk).update(position=row.positions[system.name])
        queue.wake("observe")
    return did


def _work(plan: dict[str, Any]) -> tuple[Any, ...]:
    """Return what makes two plans the same work: experiment, campaign, stage, round, and units in whatever order."""
    return (*map(plan.get, ("experiment", "campaign", "stage", "round")), frozenset(keys_of(plan)))


def _waiting(stages: set[str]) -> dict[tuple[Any, ...], int]:
    """Return what is planned in stages of these names and was not launched yet, by what work it is."""
    rows = Submission.objects.filter(state="pending", batch__stage__name__in=stages)
    return {_work(plan): pk for pk, plan in rows.values_list("pk", "jobs_file")}


def _adopt_as(stray: Stray, pk: int) -> None:
    with transaction.atomic():
        batch_id = Submission.objects.values_list("batch_id", flat=True).get(pk=pk)
        Batch.objects.select_for_update(no_key=True).get(pk=batch_id)
        submission = Submission.objects.select_for_update(no_key=True).get(pk=pk)
        if submission.state != "pending":
            raise StaleState(f"{submission.ref} is {submission.state}, not pending")
        _rename(submission, stray)
        _take_up(submission, f"{stray.found_at} has launched the same work as {stray.uuid}, which was forgotten")
        Stray.objects.filter(pk=stray.pk).update(fate="adopted", why=f"it is {submission.ref}")


def _rename(submission: Submission, stray: Stray) -> None:
    """Give a submission the uuid of a launch, its plan, and whatever is named by the uuid."""
    before, after = str(submission.uuid), str(stray.uuid)
    ours = dict(SubmissionUnit.objects.filter(submission=submission).values_list("unit__key", "unit_id"))

    def renamed(text: str) -> str:
        return text.replace(before, after).replace(f"_{before[:8]}", f"_{after[:8]}")

    plan = stray.plan
    for job in plan["jobs"]:
        for unit in job["units"]:
            unit["id"] = ours[unit["key"]]  # another life of the database gave it another number
            SubmissionUnit.objects.filter(submission=submission, unit_id=unit["id"]).update(job_index=job["index"])
    Submission.objects.filter(pk=submission.pk).update(
        uuid=UUID(after), jobs_file=plan, output_dir=plan["output_dir"], n_jobs=len(plan["jobs"]),
        environment={name: renamed(value) for name, value in submission.environment.items()},
        command=[renamed(word) for word in submission.command], offered=renamed(submission.offered),
        **({"offered_at": now()} if submission.offered else {}), **_where(stray),
    )  # fmt: skip


def _where(stray: Stray) -> dict[str, str]:
    return {name: stray.place[name] for name in ("launcher", "host", "account")}


def _take_up(submission: Submission, why: str) -> None:
    """Hand a launch that was made already to who looks at launches: its script is started by nobody."""
    transitions.move(
        submission, "launching", expect="pending", actor=ACTOR, reason=why, why=why, attempt=1, look_at=due(),
        claimed_at=due(),
    )  # fmt: skip
    queue.wake("launch")


# --- Ending ---------------------------------------------------------------------------------------------------


def _go_on(row: Restoration) -> None:
    with transaction.atomic():
        if row.stop is not None:
            found = row.strays.count()
            reason = f"all hosts and batch systems have answered; {found} launches were unknown, none of them is open"
            stopping.go_on(None, actor=ACTOR, reason=reason)
        _end(row, ACTOR)


def _end(row: Restoration, actor: str) -> None:
    Restoration.objects.filter(pk=row.pk).update(ended_at=now(), ended_by=actor)
    log.info("restore.ended", by=actor)
