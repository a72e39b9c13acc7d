"""A pool that is simulated, to replay the seven scenarios of peers 4: what a rule finds, how soon, and what it costs.

400 nodes of 8 slots at 8 sites run jobs of six campaigns, 90 minutes in the median, of which one in twenty fails. After
an hour something goes wrong. Every five minutes the rule is asked, as the loop `guard` asks it, and what it says is
done: a node or site gets no more jobs, a campaign is paused, all is stopped; each for an hour, then one try, and twice
as long if that fails. In the real thing an exclusion reaches the next submissions; here it reaches the next jobs.
"""

from __future__ import annotations

import heapq
import math
import random
from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from submissions import blackholes
from submissions.blackholes import CAMPAIGN, FAST, NODE, POOL, SITE, SLOW, Ended, Rule

NODES, SLOTS, SITES, CAMPAIGNS = 400, 8, 8, 6
MEDIAN_MIN, SPREAD, BASE = 90.0, 0.5, 0.05
ONSET_MIN, CHECK_MIN, SLOW_EVERY_MIN = 60.0, 5.0, 60.0
FIRST_MIN, CAP = 60.0, 0.1
BREAKS_MIN, PAUSE_MIN = 5.0, 0.5  # a broken job lives so long in the median; a slot waits so long for its next job


@dataclass(frozen=True)
class Scenario:
    """What goes wrong: so many nodes kill jobs in 20 to 40 s, or fail 40 % of them at their end; campaigns break."""

    name: str
    black: int = 0
    flaky: int = 0
    broken: int = 0
    campaigns: int = CAMPAIGNS
    all_at_once: bool = True
    sites: int = 0
    ends_min: float = math.inf
    hours: float = 8  # with the fault


# The rows of peers 4, in its order, then some of our own.
ROWS = (
    Scenario("3 black holes", black=3),
    Scenario("2 of 6 campaigns broken", broken=2),
    Scenario("both together", black=3, broken=2),
    Scenario("central outage", broken=CAMPAIGNS, ends_min=ONSET_MIN + 120),
    Scenario("10 % of nodes black", black=40),
    Scenario("30 % of nodes black", black=120),
    Scenario("10 flaky nodes", flaky=10),
)
MORE = (
    Scenario("3 black holes, one campaign", black=3, campaigns=1),
    Scenario("a site black", sites=1),
    Scenario("30 % of nodes black, one after another", black=120, all_at_once=False),
    Scenario("10 flaky nodes, a day", flaky=10, hours=24),
    Scenario("nothing wrong, a day", hours=24),
)


@dataclass
class Outcome:
    """What became of one run; times in minutes since the fault began."""

    bad: int
    found: dict[str, float] = field(default_factory=dict)
    drained: set[str] = field(default_factory=set)  # healthy nodes that a rule excluded
    eaten: dict[str, int] = field(default_factory=lambda: defaultdict(int))  # until the node was found
    paused: set[int] = field(default_factory=set)
    wrongly_paused: set[int] = field(default_factory=set)
    sites: set[str] = field(default_factory=set)
    stopped: list[float] = field(default_factory=list)
    on_trial: int = 0
    failed: int = 0
    ended: int = 0

    @property
    def latency(self) -> float:
        """Return how long it took to find a bad node, in the mean."""
        return sum(self.found.values()) / len(self.found) if self.found else math.nan


class Pool:
    """One run: a heap of ends of jobs and of starts."""

    def __init__(self, scenario: Scenario, seed: int, rules: Sequence[Rule] = (FAST, SLOW)) -> None:
        self.scenario, self.random, self.rules = scenario, random.Random(seed), rules
        self.names = [f"n{number:03}" for number in range(NODES)]
        self.site = {name: f"site{number % SITES}" for number, name in enumerate(self.names)}
        chosen = self.random.sample(self.names, scenario.black + scenario.flaky)
        gone = [name for name in self.names if self.site[name] in {f"site{n}" for n in range(scenario.sites)}]
        self.end = ONSET_MIN + 60 * scenario.hours
        self.black = {
            name: ONSET_MIN + (0.0 if scenario.all_at_once else self.random.uniform(0, 30 * scenario.hours))
            for name in [*chosen[: scenario.black], *gone]
        }
        self.flaky = set(chosen[scenario.black :])
        self.broken = set(range(scenario.broken))
        self.heap: list[tuple[float, int, str, str, int, float, bool]] = []
        self.count = 0
        self.window: deque[tuple[float, float, str, int, bool]] = deque()
        self.forgiven: dict[str, float] = {}  # what a node did before does not count again
        self.out: dict[str, tuple[float, float]] = {}  # node or site -> until when, for how long
        self.trial: set[str] = set()
        self.asleep: list[str] = []
        self.paused: dict[int, tuple[float, float]] = {}
        self.stop_until, self.stop_for, self.forgotten = 0.0, 0.0, 0.0
        self.outcome = Outcome(len(self.black) + len(self.flaky))

    def run(self) -> Outcome:
        """Let an hour pass, and then those with the fault."""
        for name in self.names:
            for _ in range(SLOTS):
                self._start(name, 0.0, warm=True)
        check = CHECK_MIN
        while check <= self.end:
            while self.heap and self.heap[0][0] <= check:
                self._step(*heapq.heappop(self.heap))
            self._check(check)
            check += CHECK_MIN
        return self.outcome

    # --- Jobs

    def _push(
        self, at: float, what: str, node: str, campaign: int = 0, since: float = 0.0, fails: bool = False
    ) -> None:
        self.count += 1
        heapq.heappush(self.heap, (at, self.count, what, node, campaign, since, fails))

    def _start(self, node: str, at: float, *, warm: bool = False, trial: bool = False) -> None:
        able = [c for c in range(self.scenario.campaigns) if c not in self.paused]
        if not able:
            self.asleep.append(node)
            return
        campaign = self.random.choice(able)
        run = self.random.lognormvariate(math.log(MEDIAN_MIN), SPREAD)
        fails = self.random.random() < BASE
        if fails:
            run *= self.random.random()
        if warm:
            run *= self.random.random()  # as far as it has come already
        faulty = ONSET_MIN <= at < self.scenario.ends_min
        if faulty and at >= self.black.get(node, math.inf):
            run, fails = self.random.uniform(20, 40) / 60, True
        elif faulty and campaign in self.broken:
            run, fails = self.random.lognormvariate(math.log(BREAKS_MIN), 0.3), True
        elif faulty and node in self.flaky:
            fails = self.random.random() < 0.4
        self._push(at + run, "trial" if trial else "end", node, campaign, at, fails)

    def _step(self, at: float, _: int, what: str, node: str, campaign: int, since: float, fails: bool) -> None:
        if what == "start":
            if at < self.stop_until or self._is_out(node):
                self.asleep.append(node)
            else:
                self._start(node, at)
            return
        self.window.append((at, since, node, campaign, fails))
        self.outcome.ended += 1
        self.outcome.failed += fails
        if node in self.black and fails and since >= self.black[node] and node not in self.outcome.found:
            self.outcome.eaten[node] += 1
        if what == "trial":
            self._judge_trial(node, at, fails)
        else:
            self._push(at + PAUSE_MIN, "start", node)

    def _is_out(self, node: str) -> bool:
        return node in self.out or self.site[node] in self.out

    # --- The rule, and what is done

    def _check(self, at: float) -> None:
        self._try_again(at)
        while self.window and self.window[0][0] < at - SLOW.minutes:
            self.window.popleft()
        for rule in self.rules:
            if rule is SLOW and at % SLOW_EVERY_MIN:
                continue
            excluded = [name for name in self.names if self._is_out(name)]
            for verdict in blackholes.judge(self._ended(at, rule), pool=NODES, excluded=excluded, rule=rule):
                if rule is FAST or verdict.level == NODE:
                    self._act(verdict.level, verdict.name, at)

    def _ended(self, at: float, rule: Rule) -> list[Ended]:
        begin = max(at - rule.minutes, self.forgotten)
        groups: dict[tuple[str, int], list[int]] = defaultdict(lambda: [0, 0])
        for when, since, node, campaign, fails in reversed(self.window):
            if when < begin:
                break
            if since < self.forgiven.get(node, 0.0):
                continue
            group = groups[node, campaign]
            group[0] += 1
            group[1] += fails
        return [Ended(node, self.site[node], campaign, *counts) for (node, campaign), counts in groups.items()]

    def _act(self, level: str, name: str, at: float) -> None:
        seen = self.outcome
        if level == POOL:
            self.stop_for = 2 * self.stop_for or FIRST_MIN
            self.stop_until = at + self.stop_for
            seen.stopped.append(at - ONSET_MIN)
        elif level == CAMPAIGN:
            self.paused[int(name)] = (at + FIRST_MIN, FIRST_MIN)
            (seen.paused if int(name) in self.broken else seen.wrongly_paused).add(int(name))
        elif level == SITE or len([n for n in self.out if n in self.site]) < CAP * NODES:
            self.out[name] = (at + FIRST_MIN, FIRST_MIN)
            if level == SITE:
                seen.sites.add(name)
            for node in [name] if level == NODE else [n for n in self.names if self.site[n] == name]:
                if node in self.flaky or at >= self.black.get(node, math.inf):
                    seen.found.setdefault(node, at - self.black.get(node, ONSET_MIN))
                else:
                    seen.drained.add(node)

    def _try_again(self, at: float) -> None:
        """Let one job run where an exclusion is over; after a stop, let jobs start again and look at them alone."""
        for name, (until, _) in self.out.items():
            if at >= until and name not in self.trial:
                self.trial.add(name)
                self.outcome.on_trial += 1
                node = name if name in self.site else next(n for n in self.names if self.site[n] == name)
                self._start(node, at, trial=True)
        if self.stop_until and at >= self.stop_until:
            self.stop_until, self.forgotten = 0.0, at
        if at >= self.stop_until:
            waiting, self.asleep = self.asleep, []
            for node in waiting:
                self._push(at + self.random.random(), "start", node)

    def _judge_trial(self, node: str, at: float, fails: bool) -> None:
        name = node if node in self.out else self.site[node]
        self.trial.discard(name)
        _, hours = self.out.pop(name)
        if fails:
            self.out[name] = (at + 2 * hours, 2 * hours)
        else:
            self.forgiven[node] = at
        self._push(at + PAUSE_MIN, "start", node)


def replay(scenario: Scenario, seeds: int, rules: Sequence[Rule] = (FAST, SLOW)) -> list[Outcome]:
    """Run a scenario with so many seeds."""
    return [Pool(scenario, seed, rules).run() for seed in range(1, seeds + 1)]


def summed(scenario: Scenario, outcomes: Sequence[Outcome]) -> dict[str, object]:
    """Return what the runs of a scenario found, as one line says it."""
    found = sum(len(outcome.found) for outcome in outcomes)
    times = [minutes for outcome in outcomes for minutes in outcome.found.values()]
    eaten = [number for outcome in outcomes for number in outcome.eaten.values()]
    stops = [outcome.stopped[0] for outcome in outcomes if outcome.stopped]
    return {
        "scenario": scenario.name, "runs": len(outcomes), "bad": sum(outcome.bad for outcome in outcomes),
        "found": found, "healthy_drained": sum(len(outcome.drained) for outcome in outcomes),
        "latency_min": round(sum(times) / len(times), 1) if times else None,
        "eaten_each": round(sum(eaten) / len(eaten), 1) if eaten else 0,
        "eaten": round(sum(eaten) / len(outcomes), 1),
        "campaigns_paused": sum(len(outcome.paused) for outcome in outcomes),
        "wrongly_paused": sum(len(outcome.wrongly_paused) for outcome in outcomes),
        "sites": sum(len(outcome.sites) for outcome in outcomes),
        "runs_stopped": len(stops), "stopped_after_min": round(sum(stops) / len(stops), 1) if stops else None,
        "tries": sum(outcome.on_trial for outcome in outcomes),
    }  # fmt: skip
