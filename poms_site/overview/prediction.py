"""When each campaign of a queue will start and end: the queue played forward, several times, with what is known. Pure.

Slots, waiting work, running jobs and the order of submissions.fairness are played as events. Each play takes other
durations, as far as they vary and as nobody knows them; the spread of the plays is the spread of the answer. The same
stage takes the same durations in every prediction, so two orders are compared and not two throws of dice.

Work is played in portions: a portion is a job, or as many jobs as keep the number of events small. So the cost goes by
campaigns and stages, not by jobs.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush
from math import exp
from statistics import NormalDist

from submissions.fairness import DEFAULT_WEIGHT, effective_rank

SAMPLES = 11
MOST_SLOTS = 48  # played; more are put together
PORTIONS = 1600  # of all work in one play
SETTLING = 1.5  # seconds between the last job of a stage and what follows from it
LAUNCHING = 1.5  # seconds between an opened gate and jobs in the batch system
LONGEST = 10 * 365 * 86400.0
_NORMAL = [NormalDist().inv_cdf((n + 0.5) / 1024) for n in range(1024)]


@dataclass(frozen=True)
class Work:
    """What is left of one stage. Times are in seconds, spreads are shares of the time of a job."""

    name: str
    seconds: float
    spread: float = 0.2  # from job to job
    doubt: float = 0.0  # of the expected time itself
    waiting: int = 0  # jobs that wait for a place in the batch system
    hours: float = 0.0  # for how long
    idle: int = 0  # jobs that have one
    running: tuple[float, ...] = ()  # for how long each runs, or some that stand for all
    runs: int | None = None  # how many run, where not each is named
    later: int = 0  # jobs that are still to be planned
    done: int = 0
    feeds: tuple[tuple[str, float], ...] = ()  # from which stage, and which share of it opens the gate; 0: each
    system: str = "local"

    @property
    def left(self) -> int:
        """Return how many jobs have not ended."""
        return self.waiting + self.idle + self.on + self.later

    @property
    def on(self) -> int:
        """Return how many jobs run."""
        return len(self.running) if self.runs is None else self.runs


@dataclass(frozen=True)
class Entry:
    """One campaign: `boosted` is for how many seconds it still is; `held` likewise, None where nobody knows."""

    key: int
    experiment: int
    rank: int
    stages: tuple[Work, ...]
    boosted: float = 0.0
    held: float | None = 0.0


@dataclass(frozen=True)
class Span:
    """A predicted time, in seconds from now: in one of ten plays earlier than `early`, in one later than `late`."""

    early: float
    median: float
    late: float


@dataclass(frozen=True)
class Predicted:
    """When a campaign starts (0: it has) and ends."""

    start: Span
    end: Span


def predict(
    entries: Sequence[Entry], slots: Mapping[str, int], weights: Mapping[int, int], ageing: float,
    *, samples: int = SAMPLES,
) -> dict[int, Predicted]:  # fmt: skip
    """Return predicted start and end of each campaign that has work left and is not held for who knows how long."""
    plays = [_Play(entries, slots, weights, ageing, number).run() for number in range(samples)]
    found = {}
    for entry in entries:
        starts, ends = (
            sorted(play[which][entry.key] for play in plays if entry.key in play[which]) for which in (0, 1)
        )
        if len(ends) == len(plays) and len(starts) == len(plays):
            found[entry.key] = Predicted(_span(starts), _span(ends))
    return found


def delays(before: Mapping[int, Predicted], after: Mapping[int, Predicted], least: float = 60.0) -> dict[int, float]:
    """Return by how many seconds the end of campaigns moves (later is positive), where it is more than `least`."""
    moved = {key: after[key].end.median - known.end.median for key, known in before.items() if key in after}
    return {key: seconds for key, seconds in moved.items() if abs(seconds) > least}


def _span(times: Sequence[float]) -> Span:
    last = len(times) - 1
    return Span(times[round(0.1 * last)], times[round(0.5 * last)], times[round(0.9 * last)])


@dataclass
class _Stage:
    """A stage while it is played: counts are jobs, `key` is its place in the line."""

    entry: Entry
    work: Work
    number: int
    factor: float  # of all its times in this play
    ready: int = 0
    shut: int = 0
    done: float = 0.0
    left: int = 0
    total: int = 0
    portions: int = 0
    in_line: bool = False
    below: list[_Stage] = field(default_factory=list)
    above: list[tuple[_Stage, float]] = field(default_factory=list)


@dataclass
class _System:
    """A batch system while it is played; `unit` real slots are one slot here."""

    free: int
    unit: float
    most: int  # jobs of one portion
    idle: deque[tuple[_Stage, int]] = field(default_factory=deque)
    lines: dict[int, list[tuple[float, int, _Stage, bool]]] = field(default_factory=dict)
    use: dict[int, float] = field(default_factory=dict)


class _Play:
    """One play: durations by its number, events until nothing is left."""

    def __init__(
        self, entries: Sequence[Entry], slots: Mapping[str, int], weights: Mapping[int, int], ageing: float, number: int
    ) -> None:
        self.number = number
        self.entries = entries
        self.weights = weights
        self.ageing = ageing
        self.count = 0
        self.starts: dict[int, float] = {}
        self.ends: dict[int, float] = {}
        self.open_stages: dict[int, int] = {}
        self.events: list[tuple[float, int, str, _Stage, int]] = []
        self.systems = _systems(entries, slots)
        for entry in entries:
            self._take_in(entry)

    def run(self) -> tuple[dict[int, float], dict[int, float]]:
        """Play to the end; return when each campaign started and ended."""
        for system in self.systems.values():
            self._fill(system, 0.0)
        while self.events:
            at, _, what, stage, jobs = heappop(self.events)
            if at > LONGEST:
                self._leave_open()
                break
            system = self.systems[stage.work.system]
            if what == "open":
                self._queue(stage, at)
            else:
                if what != "done":
                    system.free += 1
                    system.use[stage.entry.experiment] -= jobs
                if what != "free":
                    self._end(stage, jobs, at)
            self._fill(system, at)
        return self.starts, self.ends

    def _leave_open(self) -> None:
        """Let what goes on for so long end then: later than that is all that can be said of it."""
        for entry in self.entries:
            if entry.held is not None and self.open_stages[entry.key]:
                self.starts.setdefault(entry.key, LONGEST)
                self.ends.setdefault(entry.key, LONGEST)

    def _at(self, when: float, what: str, stage: _Stage, jobs: int) -> None:
        self.count += 1
        heappush(self.events, (when, self.count, what, stage, jobs))

    def _take_in(self, entry: Entry) -> None:
        stages = {}
        for number, work in enumerate(entry.stages):
            z = _normal(entry.key, number, self.number, 0)
            made = _Stage(entry, work, number, exp(work.doubt * z), shut=work.later, done=work.done, left=work.left)
            made.total = made.left + work.done
            stages[work.name] = made
        for made in stages.values():
            for name, share in made.work.feeds:
                if name in stages and name != made.work.name:
                    made.above.append((stages[name], share))
                    stages[name].below.append(made)
        unfinished = sum(1 for made in stages.values() if made.left)
        self.open_stages[entry.key] = unfinished
        if any(work.done or work.on for work in entry.stages):
            self.starts[entry.key] = 0.0
        for made in stages.values():
            self._begin(made)

    def _begin(self, stage: _Stage) -> None:
        work, system = stage.work, self.systems[stage.work.system]
        system.use.setdefault(stage.entry.experiment, 0.0)
        ages = sorted(work.running)
        for first in range(0, work.on, system.most):
            jobs = min(system.most, work.on - first)
            age = ages[(first + jobs // 2) * len(ages) // work.on]
            # Of a job that runs longer than expected already, some more of its time is to be expected.
            rest = max(self._time(stage, jobs) - age, 0.1 * work.seconds)
            self._run(system, stage, jobs, 0.0, max(rest, 0.2))
        if work.idle:
            system.idle.append((stage, work.idle))
            system.use[stage.entry.experiment] += work.idle
        stage.ready = work.waiting
        if stage.entry.held is None:
            stage.ready = stage.shut = 0  # it goes on when somebody lets it
            return
        if not stage.above:
            stage.ready, stage.shut = stage.ready + stage.shut, 0
        else:
            self._open(stage, 0.0, note=False)
        if stage.ready and stage.entry.held > 0:
            self._at(stage.entry.held, "open", stage, 0)
        elif stage.ready:
            self._queue(stage, 0.0)

    def _queue(self, stage: _Stage, at: float) -> None:
        """Put a stage into the line of its experiment; what was there from the start has waited longer."""
        if stage.in_line or not stage.ready:
            return
        entry, work = stage.entry, stage.work
        stage.in_line = True
        boosted = entry.boosted > at
        hours = work.hours if work.waiting else -at / 3600
        points = effective_rank(entry.rank, hours, self.ageing, boosted=boosted)
        line = self.systems[work.system].lines.setdefault(entry.experiment, [])
        self.count += 1
        heappush(line, (-points, self.count, stage, boosted))

    def _open(self, stage: _Stage, at: float, *, note: bool = True) -> None:
        """Let through as many jobs as the stages above have made inputs for."""
        if not stage.shut:
            return
        share = 1.0
        for above, gate in stage.above:
            made = above.done / above.total if above.total else 1.0
            if made < (gate or 0.0) - 1e-9:
                return
            share = min(share, made)
        allowed = stage.total if share > 1 - 1e-9 else int(stage.total * share)
        more = min(stage.shut, allowed - (stage.total - stage.shut))
        if more > 0:
            stage.shut -= more
            stage.ready += more
            if note and stage.entry.held is not None:
                self._at(max(at + SETTLING + LAUNCHING, stage.entry.held), "open", stage, 0)

    def _fill(self, system: _System, at: float) -> None:
        """Give free slots to what has a place, then to the lines, as the rule says."""
        while system.free > 0:
            if system.idle:
                stage, jobs = system.idle.popleft()
                portion = min(jobs, system.most)
                if jobs > portion:
                    system.idle.appendleft((stage, jobs - portion))
                self._run(system, stage, portion, at, self._time(stage, portion), counted=True)
                continue
            lines, use, weights = system.lines, system.use, self.weights
            if not lines:
                return
            first = next(iter(lines))
            if len(lines) > 1:
                first = min(lines, key=lambda e: (use[e] / weights.get(e, DEFAULT_WEIGHT), e))
            line = lines[first]
            _, _, stage, boosted = line[0]
            if boosted and stage.entry.boosted <= at:  # it has ended meanwhile
                heappop(line)
                stage.in_line = False
                self._queue(stage, at)
                continue
            portion = min(stage.ready, system.most)
            stage.ready -= portion
            if not stage.ready:
                heappop(line)
                stage.in_line = False
                if not line:
                    del lines[first]
            self._run(system, stage, portion, at, self._time(stage, portion))

    def _time(self, stage: _Stage, jobs: int) -> float:
        """Return the time of a job, as the mean of so many."""
        stage.portions += 1
        z = _normal(stage.entry.key, stage.number, self.number, stage.portions)
        spread = stage.work.spread / jobs**0.5
        return stage.work.seconds * stage.factor * exp(spread * z - spread * spread / 2)

    def _run(
        self, system: _System, stage: _Stage, jobs: int, at: float, seconds: float, *, counted: bool = False
    ) -> None:
        self.starts.setdefault(stage.entry.key, at)
        system.free -= 1
        if not counted:
            system.use[stage.entry.experiment] += jobs
        busy = seconds * jobs / system.unit
        if busy >= seconds:
            self._at(at + busy, "both", stage, jobs)
        else:  # fewer jobs than the slots that are one here: they leave room for others before they end
            self._at(at + busy, "free", stage, jobs)
            self._at(at + seconds, "done", stage, jobs)

    def _end(self, stage: _Stage, jobs: int, at: float) -> None:
        stage.left -= jobs
        stage.done += jobs
        for below in stage.below:
            self._open(below, at)
        if stage.left == 0:
            key = stage.entry.key
            self.open_stages[key] -= 1
            if not self.open_stages[key]:
                self.ends[key] = at + SETTLING


def _systems(entries: Iterable[Entry], slots: Mapping[str, int]) -> dict[str, _System]:
    """Return the batch systems of all work, with so large portions that one play has few events."""
    jobs: dict[str, list[int]] = {}
    busy: dict[str, int] = {}
    for entry in entries:
        for work in entry.stages:
            jobs.setdefault(work.system, []).append(work.left)
            busy[work.system] = busy.get(work.system, 0) + work.on
    found = {}
    everything = max(1, sum(sum(counts) for counts in jobs.values()))
    for name, counts in jobs.items():
        real = max(1, slots.get(name) or busy[name])
        unit = max(1.0, real / MOST_SLOTS)
        budget = max(1.0, PORTIONS * sum(counts) / everything)
        most = max(1, round(unit), -int(-sum(counts) // budget))
        found[name] = _System(free=round(real / unit), unit=unit, most=most)
    return found


def _normal(key: int, stage: int, play: int, portion: int) -> float:
    """Return a normal number that is always the same for the same portion of the same play."""
    mixed = (key * 2654435761 + stage * 40503 + portion * 2246822519 + play * 3266489917) & 0xFFFFFFFF
    mixed ^= mixed >> 15
    mixed = (mixed * 2246822519) & 0xFFFFFFFF
    return _NORMAL[(mixed ^ mixed >> 13) & 1023]
