"""Which node or site eats jobs, which campaign is broken, when everything fails: judged by comparison (D2). Pure.

A node is compared with what the same campaigns do on the other nodes, each counted once: a busy black hole has so many
failures that, counted by jobs, they would look usual (peers 4). What is broken by itself is taken out before: a
campaign that fails where others succeed, then a site. When too much looks bad, nothing is excluded and all is stopped,
for then the cause is none of the nodes.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

NODE, SITE, CAMPAIGN, POOL = "node", "site", "campaign", "pool"


@dataclass(frozen=True)
class Rule:
    """What is enough for a verdict; the first four numbers are those of peers 4, the others are levels above a node.

    `failures` are the fewest, `rate` is their least share, `times` how often more than expected they must be, `tail`
    the most that chance may explain. A verdict on a campaign or the pool needs so many `nodes` at least; `reach` is the
    share of the pool that must have failed before all is stopped; of `widest` the pool a site may be and be excluded.
    """

    minutes: int = 30
    failures: int = 5
    rate: float = 0.5
    times: float = 3.0
    tail: float = 1e-6
    nodes: int = 5
    reach: float = 0.2
    widest: float = 0.5


FAST = Rule()
# Of nodes that fail often, but not at once, two or three jobs end in half an hour: nothing can be said of them then.
# Over eight hours it can, and a smaller share is enough. Asked once an hour of 400 nodes, chance is mistaken for one of
# them once in a hundred days.
SLOW = Rule(minutes=480, failures=8, rate=0.25)
# Nothing is known of how often jobs fail where nothing ended that did not look bad.
USUAL = 0.05


@dataclass(frozen=True)
class Ended:
    """How many jobs of a campaign ended on a node in the window, and how many of these failed."""

    node: str
    site: str
    campaign: int
    jobs: int
    failures: int


@dataclass(frozen=True)
class Compared:
    """One campaign in a verdict: what it did there, and its mean share of failures on so many other nodes."""

    campaign: int
    jobs: int
    failures: int
    elsewhere: float | None
    nodes: int


@dataclass(frozen=True)
class Verdict:
    """What is to blame: a node or site by name, a campaign by its key, or the pool; with the figures that say so."""

    level: str
    name: str
    jobs: int
    failures: int
    expected: float
    tail: float
    nodes: int  # those that it was compared with; of a pool, those that failed
    campaigns: tuple[Compared, ...] = ()

    @property
    def rate(self) -> float:
        """Return the share of its jobs that failed."""
        return self.failures / self.jobs


def judge(
    ended: Iterable[Ended], *, pool: int, excluded: Collection[str] = (), away: int | None = None, rule: Rule = FAST
) -> list[Verdict]:
    """Return what is to blame for the failures of a window, the worst first.

    `pool` is how many nodes the batch system has, as far as is known. `excluded` nodes are not judged again and say
    nothing of others; `away` is how many of them a rule took away: they count with those that look bad when it is asked
    whether all is to be stopped (all of them, if it is not given).
    """
    rows = [row for row in ended if row.jobs > 0 and row.node not in excluded]
    pool = max(pool, len({row.node for row in rows}) + len(excluded))
    campaigns = _broken_campaigns(rows, rule)
    left = _without(rows, {int(verdict.name) for verdict in campaigns})
    sites = _bad_sites(left, pool, rule)
    gone = {verdict.name for verdict in sites}
    left = [row for row in left if row.site not in gone]
    stop = _stop(left, pool, len(excluded) if away is None else away, rule)
    if stop is not None:
        only = {row.campaign for row in left}
        if len(only) > 1:
            return [*campaigns, stop]
        # With one campaign alone nobody can tell it from the pool: the lesser stop does the same.
        return [*campaigns, _of_campaign(left, only.pop(), rule)]
    return [*campaigns, *sites, *_bad_nodes(left, rule)]


def tail_of(failures: int, jobs: int, share: float) -> float:
    """Return how likely at least so many of so many jobs fail, where each does so with this probability."""
    if failures <= 0:
        return 1.0
    if share <= 0.0:
        return 0.0
    if share >= 1.0:
        return 1.0
    log, rest = math.log(share), math.log1p(-share)
    total = 0.0
    for k in range(failures, jobs + 1):
        choose = math.lgamma(jobs + 1) - math.lgamma(k + 1) - math.lgamma(jobs - k + 1)
        term = math.exp(choose + k * log + (jobs - k) * rest)
        total += term
        if k > jobs * share and term < total * 1e-12:
            break
    return min(1.0, total)


# --- Baselines: the share of failures of each campaign, a mean over nodes -------------------------------------------


@dataclass
class _Baseline:
    """Of each campaign the sum of its shares over nodes, how many nodes those are, and how many jobs."""

    shares: dict[int, float] = field(default_factory=lambda: defaultdict(float))
    nodes: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    jobs: dict[int, int] = field(default_factory=lambda: defaultdict(int))

    def add(self, row: Ended) -> None:
        self.shares[row.campaign] += row.failures / row.jobs
        self.nodes[row.campaign] += 1
        self.jobs[row.campaign] += row.jobs

    def without(self, rows: Sequence[Ended], campaign: int) -> tuple[float, int, int]:
        """Return the mean share of a campaign elsewhere than in these rows, on how many nodes, with how many jobs."""
        own = [row for row in rows if row.campaign == campaign]
        nodes = self.nodes.get(campaign, 0) - len(own)
        jobs = self.jobs.get(campaign, 0) - sum(row.jobs for row in own)
        share = self.shares.get(campaign, 0.0) - sum(row.failures / row.jobs for row in own)
        return (max(0.0, share / nodes) if nodes else 0.0), nodes, jobs


def _baseline(rows: Iterable[Ended]) -> _Baseline:
    found = _Baseline()
    for row in rows:
        found.add(row)
    return found


def _compare(rows: Sequence[Ended], base: _Baseline, level: str, name: str) -> Verdict | None:
    """Return the figures of one node or site against the same campaigns elsewhere; None: they ran nowhere else.

    Jobs of campaigns that ran nowhere else say nothing, and are left out.
    """
    by_campaign: dict[int, list[Ended]] = defaultdict(list)
    for row in rows:
        by_campaign[row.campaign].append(row)
    jobs = failures = elsewhere_jobs = others = 0
    weighed, compared = 0.0, []
    for campaign, own in sorted(by_campaign.items()):
        did, failed = sum(row.jobs for row in own), sum(row.failures for row in own)
        share, nodes, there = base.without(own, campaign)
        compared.append(Compared(campaign, did, failed, share if nodes else None, nodes))
        if nodes:
            jobs, failures, weighed = jobs + did, failures + failed, weighed + did * share
            elsewhere_jobs, others = elsewhere_jobs + there, max(others, nodes)
    if not jobs:
        return None
    expected = weighed / jobs
    # None of n failed elsewhere does not mean that none ever would: one of n + 2, as the rule of succession says.
    tail = tail_of(failures, jobs, max(expected, 1 / (elsewhere_jobs + 2)))
    return Verdict(level, name, jobs, failures, expected, tail, others, tuple(compared))


def _is_bad(found: Verdict, rule: Rule) -> bool:
    return (
        found.failures >= rule.failures
        and found.rate >= max(rule.rate, rule.times * found.expected)
        and found.tail < rule.tail
    )


def _by(rows: Iterable[Ended], what: str) -> Mapping[str, list[Ended]]:
    found: dict[str, list[Ended]] = defaultdict(list)
    for row in rows:
        if name := getattr(row, what):
            found[name].append(row)
    return found


def _fails(rows: Sequence[Ended], rule: Rule) -> bool:
    """Tell whether a node looks bad by itself, whatever happens elsewhere."""
    failures = sum(row.failures for row in rows)
    return failures >= rule.failures and failures >= rule.rate * sum(row.jobs for row in rows)


def _share(rows: Iterable[Ended]) -> float:
    rows = list(rows)
    return sum(row.failures for row in rows) / sum(row.jobs for row in rows)


def _without(rows: Iterable[Ended], campaigns: Collection[int]) -> list[Ended]:
    return [row for row in rows if row.campaign not in campaigns]


# --- Levels -----------------------------------------------------------------------------------------------------


def _broken_campaigns(rows: Sequence[Ended], rule: Rule) -> list[Verdict]:
    """Return the campaigns that fail on most of their nodes while another one succeeds on the same nodes."""
    by_campaign: dict[int, dict[str, Ended]] = defaultdict(dict)
    for row in rows:
        by_campaign[row.campaign][row.node] = row
    shares = {campaign: _mean(own.values()) for campaign, own in by_campaign.items()}
    suspects = {
        campaign for campaign, own in by_campaign.items()
        if shares[campaign] >= rule.rate and len(own) >= rule.nodes
        and sum(row.failures for row in own.values()) >= rule.failures
    }  # fmt: skip
    found = []
    for campaign in sorted(suspects):
        own = by_campaign[campaign]
        for other in sorted(set(by_campaign) - suspects, key=lambda key: shares[key]):
            common = [row for node, row in by_campaign[other].items() if node in own]
            if len(common) < rule.nodes:
                continue
            there = _mean(common)
            jobs, failures = sum(row.jobs for row in own.values()), sum(row.failures for row in own.values())
            tail = tail_of(failures, jobs, max(there, 1 / (sum(row.jobs for row in common) + 2)))
            if shares[campaign] >= rule.times * there and tail < rule.tail:
                told = Compared(campaign, jobs, failures, there, len(common))
                found.append(
                    Verdict(CAMPAIGN, str(campaign), jobs, failures, there, tail, len(common), (told,))
                )  # fmt: skip
                break
    return found


def _mean(rows: Iterable[Ended]) -> float:
    shares = [row.failures / row.jobs for row in rows]
    return sum(shares) / len(shares) if shares else 0.0


def _bad_sites(rows: Sequence[Ended], pool: int, rule: Rule) -> list[Verdict]:
    """Return the sites that fail on most of their nodes, while the same campaigns succeed at others."""
    sites, base, found = _by(rows, "site"), _baseline(rows), []
    if len(sites) < 2:
        return []
    for name, own in sites.items():
        nodes = _by(own, "node")
        bad = sum(1 for there in nodes.values() if _share(there) >= rule.rate)
        if bad < 2 or 2 * bad < len(nodes) or len(nodes) > rule.widest * pool:
            continue
        verdict = _compare(own, base, SITE, name)
        if verdict is not None and _is_bad(verdict, rule):
            found.append(verdict)
    return sorted(found, key=lambda verdict: (verdict.tail, verdict.name))


def _bad_nodes(rows: Sequence[Ended], rule: Rule) -> list[Verdict]:
    base, found = _baseline(rows), []
    for name, own in _by(rows, "node").items():
        if _fails(own, rule):
            verdict = _compare(own, base, NODE, name)
            if verdict is not None and _is_bad(verdict, rule):
                found.append(verdict)
    return sorted(found, key=lambda verdict: (verdict.tail, -verdict.failures, verdict.name))


def _stop(rows: Sequence[Ended], pool: int, away: int, rule: Rule) -> Verdict | None:
    """Return a verdict on all when most of what ended failed on most nodes, or too many nodes look bad."""
    nodes = _by(rows, "node")
    if len(nodes) < rule.nodes:
        return None
    failing = [name for name, own in nodes.items() if _share(own) >= rule.rate]
    everywhere = sum(_share(own) for own in nodes.values()) / len(nodes) >= rule.rate
    # Against those nodes alone that do not look bad: with many bad ones, the mean of all would hide them.
    sound = _baseline(row for own in nodes.values() if not _fails(own, rule) for row in own)
    bad = [name for name, own in nodes.items() if _fails(own, rule) and _stands_out(own, sound, rule)]
    enough = rule.reach * pool
    if not ((everywhere and len(failing) > enough) or (bad and len(bad) + away > enough)):
        return None
    jobs, failures = sum(row.jobs for row in rows), sum(row.failures for row in rows)
    by_campaign: dict[int, list[Ended]] = defaultdict(list)
    for row in rows:
        by_campaign[row.campaign].append(row)
    told = tuple(
        Compared(campaign, sum(row.jobs for row in own), sum(row.failures for row in own), None, len(own))
        for campaign, own in sorted(by_campaign.items())
    )
    count = max(len(failing), len(bad))
    return Verdict(POOL, "", jobs, failures, USUAL, tail_of(failures, jobs, USUAL), count, told)


def _stands_out(own: Sequence[Ended], sound: _Baseline, rule: Rule) -> bool:
    jobs, failures = sum(row.jobs for row in own), sum(row.failures for row in own)
    weighed = 0.0
    for row in own:
        share, nodes, _ = sound.without((), row.campaign)
        weighed += row.jobs * (share if nodes else USUAL)
    expected = max(weighed / jobs, USUAL)
    return failures >= rule.times * expected * jobs and tail_of(failures, jobs, expected) < rule.tail


def _of_campaign(rows: Sequence[Ended], campaign: int, rule: Rule) -> Verdict:
    own = [row for row in rows if row.campaign == campaign]
    jobs, failures = sum(row.jobs for row in own), sum(row.failures for row in own)
    told = Compared(campaign, jobs, failures, None, len(own))
    return Verdict(
        CAMPAIGN, str(campaign), jobs, failures, USUAL, tail_of(failures, jobs, USUAL), len(own), (told,)
    )  # fmt: skip
