"""What happened since somebody looked last, for whoever is on shift: what broke, is stuck, ends, waits, what rules did.

A statement for each question and for all experiments together. What happened is read from the ledger by time and from
the jobs by their end, no further back than WINDOW; what is stuck, from what is open now. So it costs what happened
lately, not what there ever was.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db import connection
from django.db.models import Count, Q
from django.urls import reverse

from approvals.models import Request
from campaigns.models import Campaign
from core.clock import now
from experiments.models import Experiment, LastLook
from experiments.scoping import held_on
from integrations.models import BatchSystem, Credential, Service, ServiceState
from poms_site.overview import incidents, stays, words
from poms_site.overview.incidents import Help, Item
from poms_site.overview.waiting import MOST, waiting_for
from submissions.models import Submission
from submissions.states import IN_BATCH_SYSTEM, JOB_RANK, JOB_STATES, OPEN_BATCH, UNFINISHED

FIRST_VISIT = timedelta(hours=24)
WINDOW = timedelta(days=7)
SOON = timedelta(hours=12)
LOOKED_AT = 100_000  # jobs that ended, the latest
LIVE_LOOKED_AT = 2_000  # submissions whose live jobs are looked at for long stays, the oldest
# A campaign's way of failing needs somebody when so many jobs did so and they are such a share of all that ended.
MANY, SHARE = 10, 0.1

_SINCE = "unnest(%(ids)s::bigint[], %(sinces)s::timestamptz[]) AS w(id, since)"
_BAD = "j.state_code <> %(succeeded)s"
_ENDED = f"""
SELECT j.experiment_id, s.campaign_id, c.name, j.state_code, CASE WHEN {_BAD} THEN j.code END,
       CASE WHEN {_BAD} THEN j.signal END, CASE WHEN {_BAD} THEN j.exit_code END, count(*), max(j.ended_at),
       sum(coalesce(j.wall_s, 0) * coalesce(j.cpus, 1)) / 3600
FROM (SELECT * FROM submissions_job WHERE ended_at > %(first)s ORDER BY ended_at DESC LIMIT %(looked_at)s) j
JOIN {_SINCE} ON w.id = j.experiment_id AND j.ended_at > w.since
JOIN submissions_submission s ON s.id = j.submission_id JOIN campaigns_campaign c ON c.id = s.campaign_id
GROUP BY 1, 2, 3, 4, 5, 6, 7
"""  # noqa: S608 - constants of this module only
# Steps of the ledger since then; jobs are in other partitions, which no kind that is asked for leads into.
_STEPS = f"""
SELECT t.experiment_id, coalesce(t.campaign_id, CASE t.kind WHEN 'campaign' THEN t.thing_id END) AS campaign, t.kind,
       t.verb, CASE WHEN t.actor LIKE 'user:%%' THEN '' ELSE t.actor END AS by, count(*), max(t.at),
       (array_agg(t.reason ORDER BY t.id DESC))[1]
FROM core_transition t JOIN {_SINCE} ON w.id = t.experiment_id AND t.at > w.since
WHERE t.at > %(first)s AND t.kind IN %(kinds)s AND t.kind || ' ' || t.verb = ANY(%(steps)s) GROUP BY 1, 2, 3, 4, 5
"""  # noqa: S608 - as above
_STUCK = """
SELECT t.experiment_id, {campaign} AS campaign, t.state, count(*), min(t.state_since)
FROM {table} t {join} JOIN (SELECT * FROM unnest(%(states)s::text[], %(stays)s::interval[])) AS l(state, stay)
  ON l.state = t.state AND t.state_since <= %(at)s::timestamptz - l.stay
WHERE t.state IN {open} AND t.experiment_id = ANY(%(ids)s) GROUP BY 1, 2, 3
"""
# No job is longer in a state than its submission is launched, and none is in it where the counter says so.
_STUCK_JOBS = f"""
SELECT s.experiment_id, s.campaign_id, s.state_code, sum(j.n), min(j.since)
FROM (SELECT s.id, s.experiment_id, s.campaign_id, k.state_code, l.stay FROM submissions_submission s
      JOIN submissions_jobcount k ON k.submission_id = s.id AND k.n > 0
      JOIN unnest(%(codes)s::smallint[], %(stays)s::interval[]) AS l(code, stay) ON l.code = k.state_code
      WHERE s.state IN {UNFINISHED} AND s.experiment_id = ANY(%(ids)s) AND s.launched_at <= %(at)s::timestamptz - l.stay
      ORDER BY s.launched_at LIMIT %(most)s) s
CROSS JOIN LATERAL (
    SELECT count(*) AS n, min(state_since) AS since FROM submissions_job
    WHERE submission_id = s.id AND ended_at IS NULL AND state_code = s.state_code
      AND state_since <= %(at)s::timestamptz - s.stay) j
WHERE j.n > 0 GROUP BY 1, 2, 3
"""  # noqa: S608 - as above
# What breaks by a step: kind and verb, how it is called, where one looks, and whether somebody must act.
BREAKS: dict[str, tuple[str, str, bool]] = {
    "submission fail_launch": ("launch failed", "submissions", True),
    "submission fail": ("submission failed", "submissions", False),
    "batch fail": ("batch failed for good", "batches", True),
    "campaign fail": ("campaign failed", "campaigns", True),
    "schedule miss": ("keep-up missed its objective", "schedules", True),
    "credential fail_renewal": ("renewal of a credential failed", "credentials", True),
}
# What rules and loops do by themselves that somebody on shift should know of.
RULED: dict[str, tuple[str, str]] = {
    "hold hold": ("hold set", "holds"),
    "hold release": ("hold released", "holds"),
    "batch recover": ("recovery begun", "batches"),
    "credential renew": ("credential renewed", "credentials"),
    "credential warn": ("warning of a credential that ends", "credentials"),
    "command create": ("command given to jobs", "jobs"),
    "exclusion exclude": ("node or site excluded", "sites"),
    "exclusion try": ("node or site tried again", "sites"),
    "exclusion let_in": ("node or site let in again", "sites"),
}
_FILTER = {"submissions": {"submission fail_launch": "launch_failed", "submission fail": "failed"},
           "batches": {"batch fail": "failed"}, "campaigns": {"campaign fail": "failed"}}  # fmt: skip


@dataclass(frozen=True)
class Watched:
    """What one experiment is to somebody on shift: since when, the items in groups, and what runs."""

    experiment: Experiment
    since: datetime
    items: list[Item] = field(default_factory=list)
    running: int = 0

    @property
    def needs_somebody(self) -> bool:
        """Tell whether somebody must act."""
        return incidents.needs_somebody(self.items)

    @property
    def worst(self) -> Item | None:
        """Return what to begin with: the first item on which somebody must act."""
        return next((item for item in self.items if item.urgent), None)

    def sections(self) -> list[tuple[str, str, list[Item]]]:
        """Return the items by section: its key, its head line, and what is in it."""
        found = [(key, incidents.HEADS[key], [i for i in self.items if i.section == key]) for key in incidents.SECTIONS]
        return [entry for entry in found if entry[2]]


def since_of(user: Any, experiments: Iterable[Experiment]) -> dict[int, datetime]:
    """Return by experiment since when a person is told: their last look, at most WINDOW ago; at first, the last day."""
    at = now()
    looks = dict(LastLook.objects.filter(user_id=user.pk).values_list("experiment", "at"))
    return {row.pk: max(looks.get(row.pk, at - FIRST_VISIT), at - WINDOW) for row in experiments}


def watched(user: Any, experiments: Sequence[Experiment]) -> list[Watched]:
    """Return what a person on shift is told of experiments into which they may look, those that need somebody first."""
    sinces = since_of(user, experiments)
    found = gather({row: sinces[row.pk] for row in experiments})
    active = Campaign.objects.filter(experiment__in=experiments, state="running").order_by()
    running = dict(active.values_list("experiment").annotate(n=Count("pk")))
    rows = []
    for row in experiments:
        items = [*found[row.pk], *_yours(user, row)]
        rows.append(Watched(row, sinces[row.pk], incidents.fold(items), running.get(row.pk, 0)))
    return sorted(rows, key=lambda one: (not one.needs_somebody, one.experiment.name))


def gather(sinces: Mapping[Experiment, datetime]) -> dict[int, list[Item]]:
    """Return the groups of what concerns everybody in experiments, each since its moment, by the experiment's key."""
    look = _Look(list(sinces), list(sinces.values()), now())
    found: dict[int, list[Item]] = defaultdict(list)
    if sinces:
        parts = (
            look.failures, look.steps, look.services, look.systems, look.stuck, look.stuck_jobs, look.requests,
            look.ending,
        )  # fmt: skip
        for part in parts:
            for key, item in part():
                found[key].append(item)
    return found


def entry_text(one: Watched, by: str) -> str:
    """Return what goes into the logbook: what the page says, as plain lines."""
    lines = [f"{one.experiment.name}: shift since {one.since:%Y-%m-%d %H:%M} UTC, by {by}"]
    for _, head, items in one.sections():
        lines += ["", head]
        lines += [f"- {item.title}: {item.text}" for item in items]
        lines += [f"  - {title}" for item in items for title in item.folded]
    if not one.items:
        lines.append("Nothing broke, nothing is stuck.")
    return "\n".join(lines)


@dataclass(frozen=True)
class _Look:
    """One look at experiments: each question gives the key of the experiment and an item."""

    experiments: list[Experiment]
    since: list[datetime]
    at: datetime

    @property
    def _asked(self) -> dict[str, Any]:
        return {"ids": [row.pk for row in self.experiments], "sinces": self.since, "first": min(self.since),
                "at": self.at}  # fmt: skip

    def _rows(self, statement: str, **more: Any) -> list[tuple[Any, ...]]:
        with connection.cursor() as cursor:
            cursor.execute(statement, self._asked | more)
            return cursor.fetchall()

    def _page(self, route: str, experiment: int, **query: str) -> str:
        name = next(row.name for row in self.experiments if row.pk == experiment)
        asked = "&".join(f"{key}={value}" for key, value in query.items() if value)
        return reverse(route, args=[name]) + (f"?{asked}" if asked else "")

    def failures(self) -> Iterable[tuple[int, Item]]:
        """Give how jobs failed, by campaign and by how they ended."""
        rows = self._rows(_ENDED, looked_at=LOOKED_AT, succeeded=JOB_RANK["succeeded"])
        ended: Counter[int] = Counter()
        for row in rows:
            ended[row[1]] += row[7]
        for key, campaign, name, code_of_state, code, signal, exit_code, n, last, core_hours in rows:
            state = JOB_STATES[code_of_state]
            if state not in ("failed", "lost"):
                continue
            how = words.ending(state, code, exit_code, signal)
            share = n / ended[campaign]
            page = self._page("jobs", key, campaign=f"c{campaign}", state=state)
            yield key, Item(
                incidents.BROKEN, state, f"{name}: {words.count(n, 'job')} {how}",
                f"{100 * share:.0f} % of those that ended, {core_hours:.1f} core-hours", n, last,
                n >= MANY and share >= SHARE, Help("Look", page),
            )  # fmt: skip

    def steps(self) -> Iterable[tuple[int, Item]]:
        """Give what broke by a step of the ledger, by campaign, and what rules did, by rule."""
        kinds = tuple({step.partition(" ")[0] for step in (*BREAKS, *RULED)})
        rows = self._rows(_STEPS, kinds=kinds, steps=[*BREAKS, *RULED])
        names = dict(Campaign.objects.filter(pk__in={row[1] for row in rows if row[1]}).values_list("pk", "name"))
        ruled: dict[tuple[int, str, str], list[tuple[int, datetime, str]]] = defaultdict(list)
        for key, campaign, kind, verb, by, n, last, reason in rows:
            step = f"{kind} {verb}"
            if step in BREAKS:
                page = self._looked_at(step, key, campaign)
                title = ": ".join(filter(None, [names.get(campaign), words.count_of(n, BREAKS[step][0])]))
                urgent = BREAKS[step][2]
                look = Help("Look why", page)
                yield key, Item(incidents.BROKEN, "failed", title, _short(reason), n, last, urgent, look)
            elif by:
                ruled[key, step, by].append((n, last, reason))
        for (key, step, by), parts in ruled.items():
            word, route = RULED[step]
            number, (_, last, reason) = sum(n for n, *_ in parts), max(parts, key=lambda part: part[1])
            text = f"{by.replace(':', ' ')}: {_short(reason)}"
            look = Help("Look", self._page(route, key))
            yield key, Item(incidents.RULES, "asked", words.count_of(number, word), text, number, last, help=look)

    def _looked_at(self, step: str, key: int, campaign: int | None) -> str:
        """Return the list in which those that broke by a step stand."""
        route = BREAKS[step][1]
        narrowed = {"campaign": f"c{campaign}"} if campaign and route in ("submissions", "batches") else {}
        return self._page(route, key, **narrowed, state=_FILTER.get(route, {}).get(step, ""))

    def services(self) -> Iterable[tuple[int, Item]]:
        """Give the services that are down or were so meanwhile; one of all is told to each experiment."""
        whose = Q(experiment__in=self.experiments) | Q(experiment=None)
        rows = Service.objects.filter(whose, active=True)
        down = ServiceState.objects.filter(service__in=rows, target="down").between(min(self.since), self.at)
        times: dict[int, list[datetime]] = defaultdict(list)
        for service, begun, until in down.values_list("service", "at", "until"):
            times[service].append(until or begun)
        for row in rows:
            for experiment, since in zip(self.experiments, self.since, strict=True):
                if row.experiment_id not in (None, experiment.pk):
                    continue
                outages = [at for at in times[row.pk] if at > since]
                is_down = (row.forced if row.is_forced else row.state) == "down"
                if not outages and not is_down:
                    continue
                said = row.forced_reason if row.is_forced else row.said
                text = f"since {row.state_since:%m-%d %H:%M} UTC: {_short(said)}" if is_down else "it is up again"
                page = reverse("service", args=[experiment.name, f"v{row.pk}"])
                yield experiment.pk, Item(
                    incidents.BROKEN, "down" if is_down else "up", f"{row} {'is' if is_down else 'was'} down", text,
                    max(1, len(outages)), row.state_since if is_down else max(outages), is_down, Help("Look", page),
                )  # fmt: skip

    def systems(self) -> Iterable[tuple[int, Item]]:
        """Give the batch systems that do not answer, to the experiments that have jobs there."""
        silent = {row.name: row for row in BatchSystem.objects.exclude(error="") if row.looked_at is not None}
        there = Submission.objects.filter(state__in=IN_BATCH_SYSTEM, system__in=silent, experiment__in=self.experiments)
        for key, name in set(there.values_list("experiment", "system")):
            row = silent[name]
            page = Help("Look", self._page("submissions", key, state="running"))
            title = f"batch system {name} does not answer"
            yield key, Item(incidents.BROKEN, "down", title, _short(row.error), 1, row.looked_at or self.at, True, page)

    def stuck(self) -> Iterable[tuple[int, Item]]:
        """Give the batches and submissions that are longer in a state than is usual, by campaign and state."""
        of_batches = _STUCK.format(
            campaign="s.campaign_id", table="submissions_batch", open=OPEN_BATCH,
            join="JOIN campaigns_stage s ON s.id = t.stage_id",
        )  # fmt: skip
        of_submissions = _STUCK.format(
            campaign="t.campaign_id", table="submissions_submission", open=UNFINISHED, join=""
        )
        for kind, route, statement in (("batch", "batches", of_batches), ("submission", "submissions", of_submissions)):
            longest = stays.longest_of(kind)
            rows = self._rows(statement, states=list(longest), stays=list(longest.values()))
            yield from self._stuck(kind, route, rows)

    def stuck_jobs(self) -> Iterable[tuple[int, Item]]:
        """Give the jobs that are longer in a state than is usual, by campaign and state."""
        longest = stays.longest_of("job")
        codes = [JOB_RANK[state] for state in longest]
        rows = self._rows(_STUCK_JOBS, codes=codes, stays=list(longest.values()), most=LIVE_LOOKED_AT)
        yield from self._stuck("job", "jobs", [(k, c, JOB_STATES[code], int(n), at) for k, c, code, n, at in rows])

    def _stuck(self, kind: str, route: str, rows: list[tuple[Any, ...]]) -> Iterable[tuple[int, Item]]:
        names = dict(Campaign.objects.filter(pk__in={row[1] for row in rows}).values_list("pk", "name"))
        for key, campaign, state, n, since in rows:
            page = self._page(route, key, campaign=f"c{campaign}", state=state)
            unsure = state == "unsure"
            text = "nobody knows whether they ran" if unsure else f"usual is up to {_stay(kind, state)}"
            yield key, Item(
                incidents.STUCK, state, f"{names[campaign]}: {words.count(n, kind)} {words.words(state)}",
                f"since {since:%m-%d %H:%M} UTC; {text}", n, since, True,
                Help("Say whether it ran" if unsure else "Look", page),
            )  # fmt: skip

    def requests(self) -> Iterable[tuple[int, Item]]:
        """Give the requests that wait for long, by state."""
        for state, stay in stays.longest_of("request").items():
            rows = Request.objects.filter(experiment__in=self.experiments, state=state, state_since__lte=self.at - stay)
            oldest: dict[int, list[datetime]] = defaultdict(list)
            for key, since in rows.values_list("experiment", "state_since"):
                oldest[key].append(since)
            for key, times in oldest.items():
                title = f"{words.count(len(times), 'request')} {words.words(state)}"
                text = f"since {min(times):%m-%d %H:%M} UTC; usual is up to {_stay('request', state)}"
                page = Help("Look", self._page("requests", key, state=state))
                urgent = state == "pending_approval"
                yield key, Item(incidents.STUCK, state, title, text, len(times), min(times), urgent, page)

    def ending(self) -> Iterable[tuple[int, Item]]:
        """Give the credentials that have ended, cannot be used, or end soon with nobody renewing them by itself."""
        rows = Credential.objects.filter(experiment__in=self.experiments, active=True).select_related("experiment")
        for row in rows:
            condition = row.condition(self.at)
            soon = row.ends_at is not None and row.ends_at <= self.at + SOON
            if condition not in ("expired", "unusable", "ending") and not soon:
                continue
            over = condition in ("expired", "unusable")
            by_itself = bool(row.command) and not row.trouble
            text = row.trouble or ("POMS renews it by itself" if by_itself and not over else row.remedy)
            yield row.experiment_id, Item(
                incidents.ENDING, condition if over else "ending", f"{row.name} {row.end_in_words()}", _short(text), 1,
                row.ends_at or row.due_at, over or not by_itself,
                Help("Renew", reverse("credential", args=[row.experiment.name, row.name])),
            )  # fmt: skip


# What else waits for a person is broken or stuck, and is told as such.
_OWN = {
    "pending_approval": ("request", "to decide on", True), "returned": ("own request", "to correct", False),
    "draft": ("own draft", "to file", False), "held": ("hold", "that stands on a campaign", False),
}  # fmt: skip


def _yours(user: Any, experiment: Experiment) -> Iterable[Item]:
    """Give what waits for this person, by kind."""
    groups: dict[str, list[Any]] = defaultdict(list)
    for thing in waiting_for(user, experiment, held_on(user, experiment)):
        if thing.state in _OWN:
            groups[thing.state].append(thing)
    for state, things in groups.items():
        noun, rest, urgent = _OWN[state]
        text = ", ".join(thing.title for thing in things[:3]) + (" and more" if len(things) > 3 else "")
        route, word = ("holds", "Release") if state == "held" else ("requests", "Decide" if urgent else "Go on")
        page = reverse(route, args=[experiment.name]) + (f"?state={state}" if route == "requests" else "")
        or_more = " or more" if len(things) >= MOST else ""
        yield Item(
            incidents.YOURS, state, f"{words.count(len(things), noun)}{or_more} {rest}", _short(text), len(things),
            min(thing.since for thing in things), urgent, Help(word, page),
        )  # fmt: skip


def _stay(kind: str, state: str) -> str:
    return words.duration(stays.LONGEST[kind, state].total_seconds())


def _short(text: str) -> str:
    return words.shortened(" ".join(text.split()), 160)
