"""Lens, Landscape's GraphQL: what runs at Fermilab, by submission and by job (protocols 8).

A look asks which submissions of the group there were since the last one, and for their counters. Of those whose
counters have moved the jobs are asked for (`summary`), or of all of them (`jobs`). Lens says no time of a change, so it
is when we were told; what has ended is told once. A part of an answer that failed is asked for again: nothing moves by
it.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from integrations import http
from integrations.batch.base import JobSeen, Snapshot
from integrations.errors import Refused, Unavailable, Unsure
from integrations.monitor.base import ENDED

SECONDS = 60.0
MOST_BYTES = 64 * 1024 * 1024
IN_A_QUESTION = 200  # aliases in one query
WINDOW_S = 3600.0  # as far back as it is asked for changes; after a longer silence, for all that runs
OVERLAP_S = 300.0  # what it hears late is told twice rather than never
MOST_PROCS = 20_000  # of one submission
UUID = "POMS_SUBMISSION_ID"
COUNTERS = ("running", "idle", "held", "failed", "completed", "cancelled")
FOLLOWS = ("summary", "jobs")
_ID = re.compile(r"(\d{1,10})(?:\.\d+)?(?:\.(\d{1,7}))?(?:\.\d+)?@([A-Za-z0-9._-]{1,100})")
_SHORT = re.compile(r"(\d{1,10})\.(\d{1,7})@([A-Za-z0-9._-]{1,100})")
_UNKNOWN = re.compile(r"(?i)\bno (?:submission|job)s? found\b")
# Its words for a job's state, as far as public sources show them; one that is none of these is asked for again.
_STATES = {
    "idle": "idle", "pending": "idle", "running": "processing", "held": "held", "suspended": "suspended",
    "completed": "succeeded", "failed": "failed", "cancelled": "removed", "removed": "removed",
}  # fmt: skip
_GROUPS = {"samdev": "fermilab"}


class Missing(Exception):
    """A part of an answer did not come; the rest may be used."""


@dataclass(frozen=True)
class _Answer:
    """The parts of an answer by alias, and the aliases of which it said that there is no such thing."""

    parts: Mapping[str, Any]
    unknown: frozenset[str]


class Lens:
    """One endpoint, asked about one group."""

    def __init__(self, settings: Mapping[str, Any], *, clock: Callable[[], float] = time.time) -> None:
        """Read the settings of a batch system's row; Refused for those that cannot be meant."""
        self.url = str(settings["lens"]).strip()
        http.check(self.url)
        group = str(settings.get("lens_group") or settings.get("group") or "").strip()
        if not re.fullmatch(r"[A-Za-z0-9_-]{1,60}", group):
            raise Refused(f"lens_group is {group[:40]!r}: name the experiment's group as Landscape has it.")
        self.group = _GROUPS.get(group, group)
        self.follow = str(settings.get("lens_follow") or "summary")
        if self.follow not in FOLLOWS:
            raise Refused(f"lens_follow is {self.follow[:40]!r}, not one of {', '.join(FOLLOWS)}.")
        self.clock = clock

    def snapshot(self, since: str) -> Snapshot:
        """Return the jobs of what there was since the position, as far as its counters have moved or all are asked for.

        What was not answered keeps the position where it was: the next look asks for it again.
        """
        before, at = _position(since), self.clock()
        known: dict[str, dict[str, Any]] = before.get("known", {})
        begin = float(before.get("from", 0)) - OVERLAP_S
        listed = self._submissions(begin if begin > at - WINDOW_S else None)
        wanted = {**{key: entry["uuid"] for key, entry in known.items() if not entry.get("done")}, **listed}
        counted, whole = self._counters(sorted(wanted))
        jobs: list[JobSeen] = []
        for key, counters in counted.items():
            entry = known.get(key) or {"uuid": wanted[key], "counts": [], "ended": ""}
            ended = _numbers(entry.get("ended", ""))
            if entry.get("done") or (self.follow == "summary" and entry["counts"] == counters["counts"]):
                continue
            try:
                told = self._jobs_of(key, sum(counters["counts"]), ended)
            except (Missing, Unavailable):
                whole = False
                continue
            jobs += [_seen(job, state, entry["uuid"], at) for job, state in told]
            ended |= {int(_proc(job)) for job, state in told if state in ENDED}
            known[key] = {"uuid": entry["uuid"], "counts": counters["counts"], "ended": _ranges(ended)}
            if counters["done"] and len(ended) >= sum(counters["counts"]):
                known[key] = {"uuid": entry["uuid"], "counts": counters["counts"], "done": at}
        kept = {key: entry for key, entry in known.items() if at - entry.get("done", at) < 2 * WINDOW_S}
        after = {"from": at if whole else before.get("from", 0), "known": kept}
        return Snapshot(json.dumps(after, sort_keys=True), jobs)

    def jobs(self, ids: Sequence[str]) -> tuple[list[JobSeen], list[str]]:
        """Return the jobs, and the ids of which it says that there is none; Unavailable where it says nothing."""
        found, unknown = [], []
        for some in _parts(list(ids)):
            askable = {f"j{number}": job for number, job in enumerate(some) if _SHORT.fullmatch(job)}
            unknown += [job for job in some if job not in askable.values()]
            answer = self._ask({
                alias: f"job(id:{_text(job)}){{id status done error {UUID}:env(name:{_text(UUID)})}}"
                for alias, job in askable.items()
            })  # fmt: skip
            for alias, job in askable.items():
                if alias in answer.unknown:
                    unknown.append(job)
                    continue
                state = _state(answer.parts.get(alias))
                if state is None:
                    raise Unavailable(f"Lens does not say how the job {job} is.")
                found.append(_seen(job, state, str(answer.parts[alias].get(UUID) or ""), self.clock()))
        return found, unknown

    # --- Questions ------------------------------------------------------------------------------------------------

    def _submissions(self, begin: float | None) -> dict[str, str]:
        """Return the uuids of the group's submissions by cluster@schedd: those since a time, or all that run."""
        span = f', from:"{datetime.fromtimestamp(begin, UTC):%Y-%m-%dT%H:%M:%SZ}", to:"now"' if begin else ""
        query = f"submissions(group:{_text(self.group)}{span}){{id {UUID}:env(name:{_text(UUID)})}}"
        rows = self._ask({"all": query}).parts.get("all")
        if not isinstance(rows, list):
            raise Unavailable("Lens does not list the submissions.")
        found = {}
        for row in rows:
            key = _cluster(str(row.get("id", ""))) if isinstance(row, dict) else ""
            if key and row.get(UUID):
                found[key] = str(row[UUID])
        return found

    def _counters(self, keys: Sequence[str]) -> tuple[dict[str, dict[str, Any]], bool]:
        """Return the counters of submissions, and whether all were answered."""
        found, whole = {}, True
        for some in _parts(list(keys)):
            answer = self._ask({
                f"s{number}": f"submission(id:{_text(_id(key, 0))}){{id done {' '.join(COUNTERS)}}}"
                for number, key in enumerate(some)
            })  # fmt: skip
            for number, key in enumerate(some):
                part = answer.parts.get(f"s{number}")
                if f"s{number}" in answer.unknown:
                    continue
                told = part if isinstance(part, dict) else {}
                counts, done = [told.get(name) for name in COUNTERS], told.get("done")
                if all(isinstance(count, int) and count >= 0 for count in counts) and isinstance(done, bool):
                    found[key] = {"counts": counts, "done": done}
                else:
                    whole = False
        return found, whole

    def _jobs_of(self, key: str, total: int, ended: set[int]) -> list[tuple[str, str]]:
        """Return id and state of a submission's jobs that had not ended; a process that it has not heard of is none.

        Numbers of processes may have gaps: it is asked on until there are as many as its counters say.
        """
        found: list[tuple[str, str]] = []
        proc, left = 0, min(total, MOST_PROCS) - len(ended)
        while left > 0 and proc < 2 * total + IN_A_QUESTION:
            some = [number for number in range(proc, proc + IN_A_QUESTION) if number not in ended][: max(left, 20)]
            proc = some[-1] + 1 if some else proc + IN_A_QUESTION
            if not some:
                continue
            asked = {f"j{number}": f"job(id:{_text(_id(key, number))}){{id status done error}}" for number in some}
            answer = self._ask(asked)
            for number in some:
                if f"j{number}" in answer.unknown:
                    continue
                state = _state(answer.parts.get(f"j{number}"))
                if state is None:
                    raise Missing
                found.append((_id(key, number), state))
                left -= 1
        return found

    def _ask(self, parts: Mapping[str, str]) -> _Answer:
        """Ask one query of several parts; Unavailable where nothing that can be read comes back."""
        if not parts:
            return _Answer({}, frozenset())
        query = "{" + " ".join(f"{alias}:{part}" for alias, part in parts.items()) + "}"
        body = json.dumps({"query": query, "operationName": None}).encode()
        try:
            answer = http.call(
                "POST", self.url, body=body, headers={"Content-Type": "application/json"}, seconds=SECONDS,
                cap=MOST_BYTES,
            )  # fmt: skip
            if answer.status in http.BUSY:
                raise Unavailable(f"Lens does not serve now (HTTP {answer.status}).", answer.retry_after)
            if answer.status != 200:
                raise Refused(f"Lens refuses the question (HTTP {answer.status}): {answer.body[:200]!r}")
            document = answer.json()
        except Unsure as error:
            raise Unavailable(f"Lens did not answer: {error}.") from error
        data = document.get("data") if isinstance(document, dict) else None
        errors = document.get("errors") or [] if isinstance(document, dict) else []
        if not isinstance(data, dict) or not isinstance(errors, list):
            raise Unavailable(f"Lens does not answer the question: {_words(errors) or answer.body[:120]!r}")
        return _Answer(data, frozenset(_told_unknown(data, errors)))


def _told_unknown(data: Mapping[str, Any], errors: Sequence[Any]) -> Iterator[str]:
    """Yield the aliases of which it says in words that there is no such thing; every other failure is silence."""
    for error in errors:
        path = error.get("path") if isinstance(error, dict) else None
        alias = str(path[0]) if isinstance(path, list) and len(path) == 1 else ""
        if alias and data.get(alias) is None and _UNKNOWN.search(str(error.get("message", ""))):
            yield alias


def _words(errors: Sequence[Any]) -> str:
    return "; ".join(str(error.get("message", ""))[:200] for error in errors[:3] if isinstance(error, dict))


def _state(part: Any) -> str | None:
    """Return the state of a job as it was answered; None where it does not say."""
    if not isinstance(part, dict) or not isinstance(part.get("done"), bool):
        return None
    state = _STATES.get(str(part.get("status", "")).lower())
    if part["done"]:
        return state if state in ("failed", "removed") else "failed" if part.get("error") is True else "succeeded"
    return None if state in ENDED else state


def _seen(job: str, state: str, uuid: str, at: float) -> JobSeen:
    # How often it has begun Lens does not say: always once, so that what is told later counts.
    return JobSeen(id=job, uuid=uuid, state=state, starts=1, at=at, index=int(_proc(job)))


def _cluster(given: str) -> str:
    """Return cluster@schedd of an id in one of its forms: C.0@schedd, C.000000.0.000000@schedd."""
    found = _ID.fullmatch(given)
    return f"{found[1]}@{found[3]}" if found else ""


def _id(key: str, proc: int) -> str:
    cluster, _, schedd = key.partition("@")
    return f"{cluster}.{proc}@{schedd}"


def _proc(job: str) -> str:
    return job.partition("@")[0].rpartition(".")[2]


def _ranges(numbers: set[int]) -> str:
    """Return numbers in few letters: 0-41 43."""
    found: list[list[int]] = []
    for number in sorted(numbers):
        if found and number == found[-1][1] + 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    return " ".join(f"{first}-{last}" if last > first else str(first) for first, last in found)


def _numbers(ranges: str) -> set[int]:
    found: set[int] = set()
    for part in ranges.split():
        first, _, last = part.partition("-")
        found |= set(range(int(first), int(last or first) + 1))
    return found


def _text(text: str) -> str:
    return json.dumps(text)  # a string of GraphQL is written as one of JSON


def _parts(items: list[str]) -> Iterator[list[str]]:
    for first in range(0, len(items), IN_A_QUESTION):
        yield items[first : first + IN_A_QUESTION]


def _position(since: str) -> dict[str, Any]:
    try:
        return dict(json.loads(since)) if since else {}
    except ValueError as error:
        raise Refused(f"The position {since[:60]!r} is none of Lens's; empty it to begin anew.") from error
