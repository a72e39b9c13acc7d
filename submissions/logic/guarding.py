"""Loop `guard`: asks the rule what eats jobs; excludes it, pauses a campaign, stops a batch system, or says so (D2).

Each batch system is judged every five minutes by what ended in the last half hour, and once an hour by eight hours. A
guard that observes only notes what it would have done, and how many jobs it would have saved.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from django.db import connection, transaction
from django.db.models import F

from campaigns.models import Campaign
from core import transitions
from core.clock import due, now
from core.loops import careful
from experiments.models import Experiment
from integrations.models import BatchSystem, Service
from submissions import blackholes
from submissions.blackholes import CAMPAIGN, FAST, NODE, POOL, SITE, SLOW, Ended, Rule, Verdict
from submissions.logic import holding, limiting
from submissions.models import Exclusion, Guard, Hold, Job, Limit, Node
from submissions.models.exclusion import ACT
from submissions.queries import standing_holds
from submissions.states import IN_BATCH_SYSTEM, JOB_RANK, STANDING

ACTOR = "rule:blackholes"
EVERY = timedelta(minutes=5)
SLOW_EVERY = timedelta(hours=1)
LATELY = timedelta(days=1)  # a node that had no job for longer does not count as one of the pool
FORGOTTEN = timedelta(days=30)
LONGEST_H = 7 * 24.0
EXAMPLES = 5
OUT = ("excluded", "on_probation")
SUCCEEDED = JOB_RANK["succeeded"]
FAILED = [JOB_RANK[state] for state in ("failed", "lost")]

# What people removed says nothing of a node. What a place did before it was let in again does not count once more.
_ENDED = """
SELECT j.node, j.site, s.campaign_id, j.experiment_id, count(*), count(*) FILTER (WHERE j.state_code = ANY(%(failed)s)),
       count(*) FILTER (WHERE j.state_code = ANY(%(failed)s) AND j.ended_at > %(fresh)s)
FROM submissions_job j JOIN submissions_submission s ON s.id = j.submission_id
WHERE j.ended_at > %(begin)s AND j.system_id = %(system)s AND j.node <> ''
  AND (j.state_code = %(succeeded)s OR j.state_code = ANY(%(failed)s))
  AND NOT EXISTS (SELECT FROM unnest(%(places)s::text[], %(since)s::timestamptz[]) AS f(name, at)
                  WHERE f.name IN (j.node, j.site) AND coalesce(j.started_at, j.ended_at) <= f.at)
  AND NOT EXISTS (SELECT FROM unnest(%(campaigns)s::bigint[], %(released)s::timestamptz[]) AS f(id, at)
                  WHERE f.id = s.campaign_id AND coalesce(j.started_at, j.ended_at) <= f.at)
GROUP BY 1, 2, 3, 4
"""
_REMEMBER = """
INSERT INTO submissions_node AS n (system_id, name, site, seen_at)
SELECT %(system)s, name, max(site), %(at)s FROM unnest(%(names)s::text[], %(sites)s::text[]) AS u(name, site)
GROUP BY name
ON CONFLICT (system_id, name) DO UPDATE SET site = excluded.site, seen_at = excluded.seen_at
WHERE n.seen_at < excluded.seen_at - interval '1 hour' OR n.site <> excluded.site
"""


@dataclass
class _Window:
    """What ended on a batch system since a moment, whose campaigns these are, and what failed since the last look."""

    begin: datetime
    ended: list[Ended] = field(default_factory=list)
    owners: dict[int, int] = field(default_factory=dict)  # campaign -> experiment
    fresh: dict[tuple[str, str, int, int], int] = field(default_factory=lambda: defaultdict(int))


def guard_some() -> int:
    """Judge the batch systems that are due; return how many were."""
    for system in BatchSystem.objects.exclude(pk__in=Guard.objects.values("system")):
        Guard.objects.get_or_create(system=system)
    did = 0
    for guard in Guard.objects.filter(judge_at__lte=due()).select_related("system").order_by("judge_at"):
        with careful("guard", "guard", guard.pk):
            did += judge(guard)
    return did


def judge(guard: Guard) -> bool:
    """Judge one batch system; False when somebody else does so already."""
    if not Guard.objects.filter(pk=guard.pk, judge_at__lte=due()).update(judge_at=due(EVERY)):
        return False
    at, slow = now(), bool(Guard.objects.filter(pk=guard.pk, slow_at__lte=due()).update(slow_at=due(SLOW_EVERY)))
    system = guard.system
    window = _read(system, at, FAST, guard.judged_at)
    _remember(system, window.ended, at)
    pool = Node.objects.filter(system=system, seen_at__gt=at - LATELY).count()
    out = _out(system, NODE)
    judged: dict[str, Any] = {"pool": pool, "away": len(out)}
    excluded = out | _nodes_at(_out(system, SITE), window)
    verdicts = [(verdict, window, FAST) for verdict in blackholes.judge(window.ended, excluded=excluded, **judged)]
    named = {(verdict.level, verdict.name) for verdict, *_ in verdicts}
    if slow and (POOL, "") not in named:
        longer = _read(system, at, SLOW, guard.judged_at)
        verdicts += [
            (verdict, longer, SLOW)
            for verdict in blackholes.judge(longer.ended, excluded=excluded, **judged, rule=SLOW)
            if verdict.level == NODE and (NODE, verdict.name) not in named
        ]
        Node.objects.filter(system=system, seen_at__lt=at - FORGOTTEN).delete()
    concerned = _concerned(system, window)
    for verdict, seen, rule in verdicts:
        _find(_Finding(guard, verdict, seen, rule, pool, at), concerned)
    _count_spared(system, window, at)
    _spread(guard, concerned)
    _go_on(system, concerned, at)
    Guard.objects.filter(pk=guard.pk).update(judged_at=at, nodes=pool)
    return True


# --- What happened --------------------------------------------------------------------------------------------------


def _read(system: BatchSystem, at: datetime, rule: Rule, last: datetime | None) -> _Window:
    """Return what ended in a rule's window, in one statement by the index of ends."""
    begin = at - timedelta(minutes=rule.minutes)
    over = Exclusion.objects.filter(system=system, state__in=("released", "undone"), state_since__gt=begin)
    begin = max([begin, *over.filter(level=POOL).values_list("state_since", flat=True)])
    places = dict(over.filter(level__in=(NODE, SITE)).order_by("state_since").values_list("name", "state_since"))
    campaigns = dict(over.filter(level=CAMPAIGN).order_by("state_since").values_list("campaign_id", "state_since"))
    asked: dict[str, Any] = {
        "system": system.pk, "begin": begin, "fresh": last or at, "succeeded": SUCCEEDED, "failed": FAILED,
        "places": list(places), "since": list(places.values()), "campaigns": list(campaigns),
        "released": list(campaigns.values()),
    }  # fmt: skip
    found = _Window(begin)
    with connection.cursor() as cursor:
        cursor.execute(_ENDED, asked)
        for node, site, campaign, experiment, jobs, failures, fresh in cursor.fetchall():
            found.ended.append(Ended(node, site, campaign, jobs, failures))
            found.owners[campaign] = experiment
            found.fresh[node, site, campaign, experiment] += fresh
    return found


def _remember(system: BatchSystem, ended: Iterable[Ended], at: datetime) -> None:
    rows = [(row.node, row.site) for row in ended]
    with connection.cursor() as cursor:
        names, sites = [node for node, _ in rows], [site for _, site in rows]
        cursor.execute(_REMEMBER, {"system": system.pk, "at": at, "names": names, "sites": sites})


def _concerned(system: BatchSystem, window: _Window) -> list[Experiment]:
    """Return the experiments that use a batch system now."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT DISTINCT experiment_id FROM submissions_submission"  # noqa: S608 - constant words
            f" WHERE system = %s AND state IN {IN_BATCH_SYSTEM}",
            [system.name],
        )
        live = {row[0] for row in cursor.fetchall()}
    return list(Experiment.objects.filter(pk__in=live | set(window.owners.values())).order_by("pk"))


def _out(system: BatchSystem, level: str) -> set[str]:
    """Return the names of the nodes or sites that the rule keeps submissions of some experiment from."""
    rows = Exclusion.objects.filter(system=system, level=level, state__in=OUT, actor=ACTOR)
    return set(rows.values_list("name", flat=True))


def _nodes_at(sites: set[str], window: _Window) -> set[str]:
    return {row.node for row in window.ended if row.site in sites}


# --- What is done ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Finding:
    """A verdict, with what it rests on."""

    guard: Guard
    verdict: Verdict
    window: _Window
    rule: Rule
    pool: int
    at: datetime

    @property
    def campaign(self) -> Campaign | None:
        """Return the campaign that is to blame, if it is one."""
        if self.verdict.level != CAMPAIGN:
            return None
        return Campaign.objects.select_related("experiment").get(pk=int(self.verdict.name))

    @property
    def says(self) -> str:
        """Return the verdict in a sentence."""
        found, minutes = self.verdict, self.rule.minutes
        span = f"{minutes} min" if minutes < 120 else f"{minutes // 60} h"
        much = f"{found.failures} of {found.jobs} jobs failed in {span}"
        if found.level == POOL:
            return f"{much} on {found.nodes} of {self.pool} nodes, in every campaign: the cause is none of the nodes"
        if found.level == CAMPAIGN and found.campaigns[0].elsewhere is None:
            return f"{much} on all of {found.nodes} nodes, and nothing else ran there to compare with"
        beside = "another campaign's on the same" if found.level == CAMPAIGN else "the same campaigns' on"
        return (
            f"{much}; of {beside} {found.nodes} {'' if found.level == CAMPAIGN else 'other '}nodes"
            f" {found.expected:.1%} do, and chance alone would be {_chance(found.tail)}"
        )


def _chance(tail: float) -> str:
    return f"one in 10^{min(99, math.floor(-math.log10(tail)))}" if tail > 0 else "less than one in 10^99"


def _find(finding: _Finding, concerned: Sequence[Experiment]) -> None:
    """Write down a verdict for every experiment that it concerns, and act on it if the guard does."""
    level, system, campaign = finding.verdict.level, finding.guard.system, finding.campaign
    name = campaign.ref if campaign else finding.verdict.name or system.name
    experiments = [campaign.experiment] if campaign else concerned
    act, why_not = _may_act(finding, name)
    says = f"{finding.says}{why_not}"
    with transaction.atomic():
        standing = {
            row.experiment_id: row
            for row in Exclusion.objects.select_for_update(of=("self",), no_key=True)
            .select_related("hold")
            .filter(system=system, level=level, name=name, state__in=STANDING)
        }
        verdict = next((row.verdict for row in standing.values()), uuid4())
        fresh = [e for e in experiments if e.pk not in standing or (act and standing[e.pk].state == "watched")]
        held = next((row.hold for row in standing.values() if row.state == "excluded" and row.hold), None)
        hold = held or (_hold(finding, campaign, says) if act and fresh else None)
        hours = finding.guard.hours
        until = finding.at + timedelta(hours=hours) if level in (NODE, SITE) else hold.until if hold else None
        for experiment in experiments:
            also: dict[str, Any] = {"evidence": _evidence(finding, experiment), "seen_at": finding.at}
            row = standing.get(experiment.pk)
            if row is None:
                _create(
                    experiment, system, level, name, state="excluded" if act else "watched", reason=says,
                    campaign=campaign, verdict=verdict, until=until if act else None, hours=hours, hold=hold, **also,
                )  # fmt: skip
            elif act and row.state == "watched":
                transitions.move(
                    row, "excluded", expect="watched", actor=ACTOR, reason=says, until=until, hours=hours, hold=hold,
                    **also,
                )  # fmt: skip
            else:
                also["evidence"]["examples"] = row.evidence.get("examples") or also["evidence"]["examples"]
                Exclusion.objects.filter(pk=row.pk).update(**also)


def _create(
    experiment: Experiment, system: BatchSystem, level: str, name: str, *, state: str, reason: str, **values: Any
) -> Exclusion:  # fmt: skip
    row = Exclusion(
        experiment=experiment, system=system, level=level, name=name, state=state, state_since=now(), since=now(),
        reason=reason, actor=ACTOR, **values,
    )  # fmt: skip
    row.save(force_insert=True)
    transitions.created(row, actor=ACTOR, reason=reason)
    return row


def _may_act(finding: _Finding, name: str) -> tuple[bool, str]:
    """Tell whether a verdict is acted upon; and if not though the guard acts, why, to be added to what is said."""
    guard, level = finding.guard, finding.verdict.level
    if guard.mode != ACT:
        return False, ""
    if level == NODE:
        out = _out(guard.system, NODE) | {name}
        most = max(1, guard.cap * finding.pool // 100)
        if len(out) > most:
            return (
                False,
                f". It is not excluded: {most} of {finding.pool} nodes are, and no more than {guard.cap} % may",
            )
    campaign = finding.campaign
    if campaign and standing_holds().filter(scope="campaign", campaign=campaign).exclude(actor=ACTOR).exists():
        return False, ". It is held already"
    return True, ""


def _hold(finding: _Finding, campaign: Campaign | None, says: str) -> Hold | None:
    """Pause a campaign until a person looks, or stop a batch system for a while; a node or site needs no hold."""
    if campaign is not None:
        return holding.hold("campaign", campaign, actor=ACTOR, reason=f"it fails wherever it runs: {says}")
    if finding.verdict.level != POOL:
        return None
    return _stop(finding.guard, f"everything fails in {finding.guard.system.name}: {says}", finding.at)


def _stop(guard: Guard, reason: str, at: datetime) -> Hold:
    """Stop all launches into a batch system: twice as long each time within a day, and then one launch a minute until
    a job has succeeded."""
    system = guard.system
    service, fresh = Service.objects.get_or_create(
        experiment=None, name=f"pool-{system.name}"[:40],
        defaults={"kind": "none", "title": f"Jobs of {system.name}"[:100], "gates": "batch", "gated": system.name},
    )  # fmt: skip
    if fresh:
        transitions.record(
            [(service.pk, "")], "outside_service", service.state, experiment_id=None, actor=ACTOR,
            reason=f"to stop launches into {system.name}", verb="create",
        )  # fmt: skip
    before = Hold.objects.filter(scope="service", service=service, actor=ACTOR, since__gt=at - LATELY).count()
    hours = min(LONGEST_H, guard.hours * 2**before)
    if not Limit.objects.filter(
        kind="launches", experiment=None, system=system.name, host=None, ended_at=None
    ).exists():
        limiting.limit(
            "launches", 1, experiment=None, system=system.name, actor=ACTOR,
            reason="everything failed there: a launch a minute until a job succeeds again",
        )  # fmt: skip
    until = at + timedelta(hours=hours)
    return holding.hold("service", service, actor=ACTOR, reason=reason, until=until)


# --- Evidence -------------------------------------------------------------------------------------------------------


def _evidence(finding: _Finding, experiment: Experiment) -> dict[str, Any]:
    """Return what a verdict rests on as an experiment may see it: of campaigns of others only how much they did."""
    verdict, owners = finding.verdict, finding.window.owners
    own = [row for row in verdict.campaigns if owners.get(row.campaign) == experiment.pk]
    rest = [row for row in verdict.campaigns if owners.get(row.campaign) != experiment.pk]
    names = dict(Campaign.objects.filter(pk__in=[row.campaign for row in own]).values_list("pk", "name"))
    return {
        "window_min": finding.rule.minutes, "jobs": verdict.jobs, "failures": verdict.failures,
        "expected": verdict.expected, "tail": verdict.tail, "nodes": verdict.nodes, "pool": finding.pool,
        "campaigns": [
            {"ref": f"{experiment.name}/c{row.campaign}", "name": names.get(row.campaign, ""), "jobs": row.jobs,
             "failures": row.failures, "elsewhere": row.elsewhere, "nodes": row.nodes}
            for row in own
        ],
        "others": {
            "campaigns": len(rest), "jobs": sum(row.jobs for row in rest), "failures": sum(row.failures for row in rest)
        },
        "examples": _examples(finding, experiment),
    }  # fmt: skip


def _examples(finding: _Finding, experiment: Experiment) -> list[int]:
    """Return keys of jobs of an experiment that failed so, the latest first."""
    verdict = finding.verdict
    rows = Job.objects.filter(
        system=finding.guard.system, experiment=experiment, state_code__in=FAILED, ended_at__gt=finding.window.begin
    )
    if verdict.level in (NODE, SITE):
        rows = rows.filter(**{verdict.level: verdict.name})
    elif verdict.level == CAMPAIGN:
        rows = rows.filter(submission__campaign_id=int(verdict.name))
    return list(rows.order_by("-ended_at", "pk").values_list("pk", flat=True)[:EXAMPLES])


# --- What goes on -----------------------------------------------------------------------------------------------------


def _count_spared(system: BatchSystem, window: _Window, at: datetime) -> None:
    """Count for what is only watched the jobs that failed there since the last look: those would have been saved."""
    for row in Exclusion.objects.filter(system=system, state="watched", since__lt=at):
        number = sum(
            failures
            for (node, site, campaign, experiment), failures in window.fresh.items()
            if experiment == row.experiment_id and _covers(row, node, site, campaign)
        )
        if number:
            Exclusion.objects.filter(pk=row.pk).update(spared=F("spared") + number)


def _covers(row: Exclusion, node: str, site: str, campaign: int) -> bool:
    if row.level == CAMPAIGN:
        return row.campaign_id == campaign
    return row.level == POOL or row.name == (node if row.level == NODE else site)


def _spread(guard: Guard, concerned: Sequence[Experiment]) -> None:
    """Let what was found concern the experiments that have come to the batch system since; what one undid stays so."""
    rows = Exclusion.objects.filter(
        system=guard.system, actor=ACTOR, level__in=(NODE, SITE), state__in=OUT
    ).order_by("pk")  # fmt: skip
    by_verdict: dict[UUID, Exclusion] = {}
    for row in rows:
        by_verdict.setdefault(row.verdict, row)
    told: dict[UUID, set[int]] = defaultdict(set)
    same = Exclusion.objects.filter(verdict__in=by_verdict)
    for verdict, experiment_id in same.values_list("verdict", "experiment_id"):
        told[verdict].add(experiment_id)
    for verdict, row in by_verdict.items():
        standing = Exclusion.objects.filter(system=guard.system, level=row.level, name=row.name, state__in=STANDING)
        have = told[verdict] | set(standing.values_list("experiment_id", flat=True))
        others = {"campaigns": 0} | {name: row.evidence.get(name, 0) for name in ("jobs", "failures")}
        figures = {**row.evidence, "campaigns": [], "examples": [], "others": others}
        with transaction.atomic():
            for experiment in concerned:
                if experiment.pk not in have:
                    _create(
                        experiment, guard.system, row.level, row.name, state="excluded", reason=row.reason,
                        verdict=verdict, until=row.until, hours=row.hours, evidence=figures, seen_at=row.seen_at,
                    )  # fmt: skip


def _go_on(system: BatchSystem, concerned: Sequence[Experiment], at: datetime) -> None:
    """Let exclusions whose time is over be tried, judge trials, and end what is over."""
    rows = Exclusion.objects.filter(system=system, state__in=STANDING).select_related("canary", "hold", "experiment")
    for row in rows.order_by("pk"):
        with careful("guard", "exclusion", row.pk), transaction.atomic():
            if row.level in (CAMPAIGN, POOL):
                _follow_hold(row)
            elif row.state == "excluded" and row.until is not None and row.until <= at:
                until = at + timedelta(hours=row.hours)
                why = "its time is over: the jobs of one submission may try it"
                transitions.move(
                    row, "on_probation", expect="excluded", actor=ACTOR, reason=why, until=until, canary=None
                )  # fmt: skip
            elif row.state == "on_probation":
                _judge_trial(row, at)
            if row.state == "watched" and (row.seen_at or row.since) < at - timedelta(minutes=2 * FAST.minutes):
                why = f"nothing more was found for {2 * FAST.minutes} min"
                transitions.move(row, "released", expect="watched", actor=ACTOR, reason=why)
    _try_pool(system, concerned, at)


def _follow_hold(row: Exclusion) -> None:
    if row.state == "excluded" and (row.hold is None or row.hold.released_at is not None):
        why = f"its hold was released: {row.hold.release_reason}" if row.hold else "its hold is gone"
        transitions.move(row, "released", expect="excluded", actor=ACTOR, reason=why, until=None)


def _judge_trial(row: Exclusion, at: datetime) -> None:
    """Let a place in again when its canary's jobs succeed there; exclude it for twice as long when they fail."""
    canary = row.canary
    if canary is not None:
        jobs = Job.objects.filter(submission=canary, ended_at__isnull=False, **{row.level: row.name})
        codes = list(jobs.values_list("state_code", flat=True))
        good, bad = codes.count(SUCCEEDED), sum(1 for code in codes if code in FAILED)
        if good and good >= bad:
            why = f"{good} of {good + bad} jobs of {canary.ref} succeeded there"
            transitions.move(
                row, "released", expect="on_probation", actor=ACTOR, reason=why, until=None, canary=None
            )  # fmt: skip
            return
        if bad:
            hours = min(LONGEST_H, 2 * row.hours)
            why = f"{bad} of {good + bad} jobs of {canary.ref} failed there: excluded for {hours:g} h"
            transitions.move(
                row, "excluded", expect="on_probation", actor=ACTOR, reason=why, hours=hours, canary=None,
                until=at + timedelta(hours=hours),
            )  # fmt: skip
            return
        if canary.ended_at is not None:
            Exclusion.objects.filter(pk=row.pk, canary=canary).update(canary=None)
    if row.until is not None and row.until <= at:
        why = f"no job came by in {row.hours:g} h of probation"
        transitions.move(row, "released", expect="on_probation", actor=ACTOR, reason=why, until=None, canary=None)


def _try_pool(system: BatchSystem, concerned: Sequence[Experiment], at: datetime) -> None:
    """After a stop: give all free when a job has succeeded; stop again when the first ones fail."""
    limit = Limit.objects.filter(
        kind="launches", experiment=None, system=system.name, actor=ACTOR, ended_at=None
    ).first()
    holds = Hold.objects.filter(scope="service", service__gates="batch", service__gated=system.name, actor=ACTOR)
    last = holds.order_by("-pk").first()
    if limit is None or last is None or last.released_at is None:
        return
    since = Job.objects.filter(system=system, started_at__gt=last.released_at, ended_at__gt=last.released_at)
    if since.filter(state_code=SUCCEEDED).exists():
        limiting.remove(limit, actor=ACTOR, reason="a job has succeeded again")
    elif since.filter(state_code__in=FAILED).count() >= FAST.failures:
        guard = Guard.objects.select_related("system").get(system=system)
        why = f"everything still fails in {system.name}: of the jobs since the last stop none succeeded"
        with transaction.atomic():
            hold, verdict = _stop(guard, why, at), uuid4()
            standing = Exclusion.objects.filter(system=system, level=POOL, state__in=STANDING)
            have = set(standing.values_list("experiment_id", flat=True))
            for experiment in concerned:
                if experiment.pk not in have:
                    _create(
                        experiment, system, POOL, system.name, state="excluded", reason=why, verdict=verdict, hold=hold,
                        until=hold.until, seen_at=at,
                    )  # fmt: skip
