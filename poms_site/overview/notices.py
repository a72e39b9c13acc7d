"""Who is told what: rules from the ledger's transitions to notices, and the loop that writes and sends them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from functools import reduce
from operator import or_
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.db.models import F, Q

from approvals.models import Comment, Request, TestRun, Watcher
from campaigns.models import Campaign, CampaignWatcher, Schedule
from core import differences, ledger
from core.crashpoints import crashpoint
from core.models import Transition, TransitionQuerySet
from experiments.models import ApiToken, Experiment, ExperimentGroupPermission, User
from experiments.queries import approvers_today, expiring, is_administrator
from experiments.scoping import may
from integrations.logbooks import book
from integrations.models import Credential, LedgerPlace, Notice, Service
from integrations.notices import choosing, outbox
from integrations.notices.outbox import Draft
from integrations.tickets import desk
from poms_site.overview import alarms, failures, report_mails, result
from poms_site.overview.words import shortened
from submissions.models import Exclusion, Failure, Reproduction, Submission

READER = "notify"
AT_A_TIME = 1000
MOST_LISTED = 20
LONGEST_SAID = 600
LONGEST_QUIET = timedelta(seconds=60)  # nobody waits longer than this for a bulk action to end
STRIDE = 1000  # how many transactions nobody is told of pass before the place is written down
END = 2**63 - 1
LOOK_FOR_DATES = timedelta(minutes=10)
SOON = timedelta(days=7)


# --- The things -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Source:
    """A kind of thing in the ledger: its model, what is read beside it, where its page is, and what it is called."""

    model: Any
    beside: tuple[str, ...]
    place: str
    title: Callable[[Any], str]

    def find(self, keys: Iterable[int]) -> dict[int, Any]:
        """Return the things of these keys."""
        return {row.pk: row for row in self.model.objects.select_related(*self.beside).filter(pk__in=set(keys))}

    def link(self, thing: Any) -> str:
        """Return the address of a thing's page, without the site."""
        return f"/e/{thing.experiment.name}/{self.place}/{thing.ref.rpartition('/')[2]}/"


SOURCES = {
    "request": Source(Request, ("experiment", "requester"), "requests", lambda row: row.title),
    "campaign": Source(Campaign, ("experiment", "owner"), "campaigns", lambda row: row.name),
    "submission": Source(
        Submission, ("experiment", "batch__stage__campaign"), "submissions",
        lambda row: f"{row.batch.stage.campaign.name}, stage {row.batch.stage.name}",
    ),
    "schedule": Source(
        Schedule, ("experiment", "stage__campaign__owner"), "schedules",
        lambda row: f"{row.stage.campaign.name}, stage {row.stage.name}",
    ),
    "exclusion": Source(Exclusion, ("experiment", "system"), "exclusions", lambda row: f"{row} in {row.system.name}"),
    "reproduction": Source(
        Reproduction, ("experiment", "by", "batch__stage__campaign"), "reproductions",
        lambda row: f"{row.batch.stage.campaign.name}, batch {row.batch.number} of {row.batch.stage.name}",
    ),
    "credential": Source(Credential, ("experiment",), "credentials", lambda row: row.title),
}  # fmt: skip


# --- The rules --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Rule:
    """One kind of transition and who is told of it.

    `says` follows the thing's name (r7 waits for your decision), `many` follows their number (3 requests wait …).
    """

    kind: str
    of: str
    verb: str
    who: Callable[[Any], Iterable[User]]
    says: str
    many: str
    sources: tuple[str, ...] = ()  # only from these states; none: from any
    whom: Callable[[Any, Transition], Iterable[User]] | None = None  # instead of `who`, where the event says it
    more: Callable[[Any], list[dict[str, str]]] | None = None  # what else is said of one thing

    def told(self, thing: Any, event: Transition) -> Iterable[User]:
        """Return who is told of an event."""
        return self.whom(thing, event) if self.whom else self.who(thing)

    def hears(self, event: Transition) -> bool:
        """Tell whether the rule answers to a transition."""
        fits = (self.of, self.verb) == (event.kind, event.verb)
        return fits and (not self.sources or event.source in self.sources)


def approvers(request: Request) -> Iterable[User]:
    """Return who is registered to decide on the request's production stage: people, and those of groups."""
    return approvers_today(request.experiment, request.production_stage)


def requester(request: Request) -> Iterable[User]:
    """Return who asks."""
    return [request.requester]


def owner(campaign: Campaign) -> Iterable[User]:
    """Return whose campaign it is, and who asked for it; of a test run, the request or the reproduction tells."""
    if campaign.test:
        return []
    return {campaign.owner, *User.objects.filter(pk__in=Request.objects.filter(campaign=campaign).values("requester"))}


def followers_besides(campaign: Campaign) -> Iterable[User]:
    """Return who watches a campaign and is not told of it in any case."""
    told = {user.pk for user in owner(campaign)}
    rows = User.objects.filter(pk__in=CampaignWatcher.objects.filter(campaign=campaign).values("user"))
    return rows.exclude(pk__in=told)


def followers(campaign: Campaign) -> Iterable[User]:
    """Return who watches a campaign, whoever else they are."""
    return User.objects.filter(pk__in=CampaignWatcher.objects.filter(campaign=campaign).values("user"))


def asker(row: Reproduction) -> Iterable[User]:
    """Return who had a batch made again."""
    return [row.by]


def came_of_it(campaign: Campaign) -> list[dict[str, str]]:
    """Return what came of a campaign that has ended, as further lines: in short, and where it is told whole."""
    request = Request.objects.filter(campaign=campaign).select_related("experiment").order_by("-pk").first()
    found = result.of_campaign(campaign, request)
    where = SOURCES["request"].link(request) if request else SOURCES["campaign"].link(campaign)
    return [{"ref": "", "title": "What came of it", "link": f"{where}#result", "said": found.said(), "by": ""}]


def testers(campaign: Campaign) -> Iterable[User]:
    """Return who waits for a test run: who asked for the work, and who started it."""
    run = TestRun.objects.filter(campaign=campaign).select_related("request__requester", "by").first()
    return {run.request.requester, run.by} if run else ()


def watchers(request: Request) -> Iterable[User]:
    """Return who watches a request but its requester, who is told in any case."""
    rows = User.objects.filter(pk__in=Watcher.objects.filter(request=request).values("user"))
    return rows.exclude(pk=request.requester_id)


def everybody(request: Request) -> Iterable[User]:
    """Return who watches a request, its requester and its approvers."""
    return {request.requester, *watchers(request), *approvers(request)}


def addressed(request: Request, event: Transition) -> Iterable[User]:
    """Return who is mentioned in a comment, and who asked for the request that it is on."""
    comment = _comment_of(event)
    names = comment.mentions if comment else []
    return {request.requester, *User.objects.filter(username__in=names)}


def bystanders(request: Request, event: Transition) -> Iterable[User]:
    """Return who watches a request and is not addressed by a comment on it."""
    told = {user.pk for user in addressed(request, event)}
    return [user for user in watchers(request) if user.pk not in told]


def _comment_of(event: Transition) -> Comment | None:
    """Return the comment that a transition is of: its reason begins with the number."""
    found = re.match(r"comment (\d{1,18}):", event.reason)
    return Comment.objects.filter(pk=int(found[1])).first() if found else None


def operators(thing: Any) -> Iterable[User]:
    """Return who looks after the experiment: who is on shift, else who may operate there by a role."""
    granted = ExperimentGroupPermission.objects.filter(content_object=thing.experiment, permission__codename="operate")
    return choosing.on_duty(thing.experiment, User.objects.filter(groups__in=granted.values("group")).distinct())


def minders(schedule: Schedule) -> Iterable[User]:
    """Return who looks after a keep-up: whose campaign it is, and who may operate there."""
    return {schedule.stage.campaign.owner, *operators(schedule)}


# What has not begun is cancelled with its request, of which the requester is told.
BEGUN = ("approved", "running", "failed")
RULES = (
    Rule("decide", "request", "file", approvers, "waits for your decision", "requests wait for your decision"),
    Rule("decided", "request", "approve", requester, "is approved", "of your requests are approved"),
    Rule("decided", "request", "return", requester, "was returned to you", "of your requests were returned to you"),
    Rule("decided", "request", "reject", requester, "was rejected", "of your requests were rejected"),
    Rule("decided", "request", "withdraw", requester, "was withdrawn", "of your requests were withdrawn"),
    Rule("decide", "request", "amend", approvers, "has another definition, which waits for you",
         "requests have another definition"),
    Rule("decided", "request", "merge", requester, "was joined with another", "of your requests became one"),
    Rule("decided", "request", "split", requester, "was split in two", "of your requests were split"),
    *(Rule("watched", "request", verb, watchers, says, many) for verb, says, many in (
        ("approve", "is approved", "requests that you watch are approved"),
        ("return", "was returned", "requests that you watch were returned"),
        ("reject", "was rejected", "requests that you watch were rejected"),
        ("withdraw", "was withdrawn", "requests that you watch were withdrawn"),
        ("merge", "was joined with another", "requests that you watch became one"),
        ("split", "was split in two", "requests that you watch were split"),
        ("amend", "has another definition", "requests that you watch have another definition"),
        ("prioritise", "has another priority", "requests that you watch have another priority"),
    )),
    Rule("mentioned", "request", "comment", requester, "has a comment for you", "requests have comments for you",
         whom=addressed),
    Rule("watched", "request", "comment", watchers, "has a comment", "requests that you watch have comments",
         whom=bystanders),
    Rule("keep_up", "request", "remind", everybody, "lapses soon unless somebody extends it", "requests lapse soon"),
    Rule("keep_up", "request", "lapse", everybody, "has lapsed; its campaign is held", "requests have lapsed"),
    Rule("tested", "campaign", "succeed", testers, "has run through", "test runs have run through"),
    Rule("tested", "campaign", "fail", testers, "has failed", "test runs have failed"),
    Rule("tested", "reproduction", "agree", asker, "came out equal", "reproductions came out equal"),
    Rule("tested", "reproduction", "differ", asker, "came out different", "reproductions came out different"),
    Rule("tested", "reproduction", "fail", asker, "has failed", "reproductions have failed"),
    Rule("campaign", "campaign", "succeed", owner, "has succeeded", "of your campaigns have succeeded",
         more=came_of_it),
    Rule("campaign", "campaign", "fail", owner, "has failed", "of your campaigns have failed", more=came_of_it),
    Rule("campaign", "campaign", "review", owner, "was judged by a reviewer", "of your campaigns were judged"),
    *(Rule("watched", "campaign", verb, who, says, many) for verb, who, says, many in (
        ("start", followers, "has begun", "campaigns that you watch have begun"),
        ("succeed", followers_besides, "has succeeded", "campaigns that you watch have succeeded"),
        ("fail", followers_besides, "has failed", "campaigns that you watch have failed"),
        ("cancel", followers_besides, "was cancelled", "campaigns that you watch were cancelled"),
        ("relaunch", followers, "runs again", "campaigns that you watch run again"),
        ("ask", followers, "waits for people to decide", "campaigns that you watch wait for people"),
        ("review", followers_besides, "was judged by a reviewer", "campaigns that you watch were judged"),
    )),
    Rule("campaign", "campaign", "cancel", owner, "was cancelled", "of your campaigns were cancelled", BEGUN),
    Rule("latency", "schedule", "warn", minders, "will miss its objective", "schedules will miss their objectives"),
    Rule("latency", "schedule", "miss", minders, "has missed its objective", "schedules have missed their objectives"),
    Rule("credential", "credential", "warn", operators, "ends soon", "credentials end soon"),
    Rule("credential", "credential", "end", operators, "has ended; what needs it waits", "credentials have ended"),
    Rule("credential", "credential", "fail_renewal", operators, "was not renewed", "credentials were not renewed"),
    Rule("operator", "exclusion", "create", operators, "eats jobs: look at the evidence",
         "places eat jobs: look at the evidence"),
    Rule("operator", "submission", "ask_person", operators, "may have run: say whether it did",
         "launches may have run: say whether they did"),
    Rule("operator", "submission", "recount", operators, "had wrong counters; they are mended, tell your administrator",
         "submissions had wrong counters; they are mended, tell your administrator"),
    Rule("operator", "campaign", "recount", operators, "had wrong tallies; they are mended, tell your administrator",
         "campaigns had wrong tallies; they are mended, tell your administrator"),
)  # fmt: skip


# --- The loop ---------------------------------------------------------------------------------------------------


def notify() -> int:
    """Write what is to be told, then send what is due; return how many steps that were."""
    return compose() + outbox.send(may_see) + desk.bring_up_to_date() + book.bring_up_to_date()


def may_see(user: User, notice: Notice) -> bool:
    """Tell whether a person may see, now, all that a notice is about: by the same root as every page (design 9)."""
    if not user.is_active:
        return False
    if notice.experiment is not None and not may(user, "view", notice.experiment):
        return False
    if notice.kind == alarms.KIND:
        return is_administrator(user)
    if notice.of == report_mails.OF:
        return report_mails.is_still_visible(user, notice)
    source = SOURCES.get(notice.of)
    if source is None:
        return True
    return bool(source.model.objects.visible_to(user).filter(pk__in=notice.things).count() == len(notice.things))


def compose() -> int:
    """Read the ledger on from our place; write notices and the new place in one transaction; return how many events.

    One reader at a time. An event is behind the place exactly when its notices are written.
    """
    with transaction.atomic():
        place = LedgerPlace.objects.select_for_update(skip_locked=True).filter(reader=READER).first()
        horizon, at = _now()
        if place is None:
            # Either somebody else reads just now, or nobody ever has: then what was before is told to nobody.
            LedgerPlace.objects.bulk_create(
                [LedgerPlace(reader=READER, txid=horizon - 1, last_id=END)], ignore_conflicts=True
            )
            return 0
        events = ledger.feed(_heard(), (place.txid, place.last_id), AT_A_TIME)
        ready = events[: settled(events, at, timedelta(seconds=settings.NOTICE_QUIET_SECONDS))]
        drafts = [draft for group in groups(ready) for draft in _drafts(group)]
        dated = place.looked_at is None or at - place.looked_at > LOOK_FOR_DATES
        if dated:
            drafts += [draft for look in DATES for draft in look(at)]
            place.looked_at = at
        outbox.enter(drafts)
        _tickets(ready)
        moved = bool(ready)
        if ready:
            place.txid, place.last_id = ready[-1].txid, ready[-1].pk
        elif not events and horizon - place.txid > STRIDE:
            place.txid, place.last_id, moved = horizon - 1, END, True
        if moved or dated:
            place.save()
            crashpoint("notify.before_commit")
    return len(ready)


def _heard() -> TransitionQuerySet:
    """Return the transitions to which anything answers; jobs' are in other partitions, which are not touched."""
    verbs: dict[str, set[str]] = {}
    for of, verb in (*((rule.of, rule.verb) for rule in RULES), *TOLD):
        verbs.setdefault(of, set()).add(verb)
    fits = reduce(or_, (Q(kind=of, verb__in=sorted(names)) for of, names in verbs.items()))
    return Transition.objects.filter(fits, kind__in=sorted(verbs))


def _now() -> tuple[int, datetime]:
    """Return the oldest transaction that still runs, and the database's time."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint, clock_timestamp()")
        horizon, at = cursor.fetchone()
        return int(horizon), at


def act_of(event: Transition) -> tuple[Any, ...]:
    """Return what makes events one act: the same verb by the same actor on things of one kind and experiment."""
    return event.kind, event.verb, event.actor, event.experiment_id


def settled(events: Sequence[Transition], at: datetime, quiet: timedelta) -> int:
    """Return how many of the events, from the oldest on, may be told of: those of acts that seem to have ended.

    An act is never cut in two while more of it may come, but for one that has gone on for so long that nobody should
    wait for its end.
    """
    first = {act_of(event): event.at for event in reversed(events)}
    last = {act_of(event): event.at for event in events}
    long = {act for act, begun in first.items() if at - begun >= LONGEST_QUIET or len(events) == AT_A_TIME}
    warm = {act for act, latest in last.items() if at - latest < quiet} - long
    end = next((n for n, event in enumerate(events) if act_of(event) in warm), len(events))
    while cut := {act_of(event) for event in events[:end]} & {act_of(event) for event in events[end:]} - long:
        end = next(n for n, event in enumerate(events) if act_of(event) in cut)
    return end


def groups(events: Sequence[Transition]) -> list[list[Transition]]:
    """Return events by the act that they belong to, each thing once, in the order of the ledger."""
    found: dict[tuple[Any, ...], dict[int, Transition]] = {}
    for event in events:
        found.setdefault(act_of(event), {})[event.thing_id] = event
    return [list(group.values()) for group in found.values()]


@dataclass
class _Seen:
    """What one pass knows already of who may see which experiment."""

    known: dict[tuple[int, int], bool] = field(default_factory=dict)

    def may(self, user: User, experiment: Experiment) -> bool:
        key = (user.pk, experiment.pk)
        if key not in self.known:
            self.known[key] = may(user, "view", experiment)
        return self.known[key]


def _drafts(group: Sequence[Transition]) -> list[Draft]:
    """Return what is to be told of one act: one draft for each rule and person, and one for the webhook."""
    source, seen = SOURCES[group[0].kind], _Seen()
    things = source.find(event.thing_id for event in group)
    found: list[Draft] = []
    for rule in RULES:
        heard = [event for event in group if rule.hears(event) and event.thing_id in things]
        told: dict[int, tuple[User, list[Transition]]] = {}
        for event in heard:
            thing = things[event.thing_id]
            for user in rule.told(thing, event):
                if user.is_active and event.actor != user.actor and seen.may(user, thing.experiment):
                    told.setdefault(user.pk, (user, []))[1].append(event)
        found += [_draft(rule, source, things, user, events) for user, events in told.values()]
        if heard:
            found.append(_draft(rule, source, things, None, heard))
    return found


def _draft(
    rule: Rule, source: Source, things: dict[int, Any], user: User | None, events: Sequence[Transition]
) -> Draft:
    first = things[events[0].thing_id]
    alone = len(events) == 1
    more = rule.more(first) if rule.more and alone and not first.test else []
    name = first.ref.rpartition("/")[2]
    title = shortened(source.title(first), 120)
    return Draft(
        recipient=user, experiment=first.experiment, kind=rule.kind, key=f"{rule.verb}:{events[0].txid}-{events[0].pk}",
        of=rule.of, things=[event.thing_id for event in events], ref=first.ref if alone else "",
        link=source.link(first) if alone else f"/e/{first.experiment.name}/{source.place}/",
        subject=f"{name} {rule.says}: {title}" if alone else f"{len(events)} {rule.many}",
        lines=[_line(source, things[event.thing_id], event) for event in events[:MOST_LISTED]] + more,
        actor=events[0].actor,
    )  # fmt: skip


def _line(source: Source, thing: Any, event: Transition) -> dict[str, str]:
    reason, _ = differences.parted(event.reason)
    return {
        "ref": thing.ref, "title": shortened(source.title(thing), 200), "link": source.link(thing),
        "said": shortened(reason.strip(), LONGEST_SAID), "by": event.actor.partition(":")[2],
    }  # fmt: skip


# --- Dates that come: nothing happens in the ledger when they do ---------------------------------------------------


def what_expires(at: datetime) -> list[Draft]:
    """Return what is to be told of tokens, service accounts and certificates that end soon, each once."""
    ending = expiring(SOON)
    tokens = ApiToken.objects.filter(pk__in=[entry.key for entry in ending if entry.kind == "token"])
    # One that was made for a few days only ends soon from its beginning.
    brief = set(tokens.filter(created_at__gt=F("expires_at") - SOON).values_list("pk", flat=True))
    return _untold(
        Draft(
            entry.owner, entry.experiment, "expiring", f"{entry.kind}:{entry.key}:{entry.expires_at:%Y-%m-%d}",
            link="/account/",
            subject=f"The {entry.kind} {shortened(entry.name, 80)} ends on {entry.expires_at:%Y-%m-%d} at"
            f" {entry.expires_at:%H:%M} UTC",
        )
        for entry in ending
        if entry.owner.is_active and not (entry.kind == "token" and entry.key in brief)
    )  # fmt: skip


def what_failed(at: datetime) -> list[Draft]:
    """Return the digests of yesterday's failures (UTC): one for each experiment or service and person, never one a job.

    What goes to a service is its providers' to mend; the rest is told to those who operate the experiment.
    """
    day = (at - timedelta(days=1)).date()
    recent = Failure.objects.filter(last_at__gte=datetime.combine(day, time.min, UTC), jobs__gt=0)
    found = []
    for experiment in Experiment.objects.filter(pk__in=recent.filter(service=None).values("experiment")):
        draft = Draft(None, experiment, "failures", f"experiment:{experiment.pk}:{day}", experiment.name,
                      link=f"/e/{experiment.name}/failures/")  # fmt: skip
        given = ExperimentGroupPermission.objects.filter(content_object=experiment, permission__codename="operate")
        people = User.objects.filter(groups__in=given.values("group"), is_active=True).distinct()
        found += _failed(draft, day, people, experiment=experiment, service=None)
    services = Service.objects.filter(pk__in=recent.exclude(service=None).values("service"), active=True)
    for service in services.select_related("experiment"):
        draft = Draft(None, None, "failures", f"service:{service.pk}:{day}", str(service), link="/provided/")
        found += _failed(draft, day, service.providers.filter(is_active=True), service=service)
    return found


def _failed(draft: Draft, day: date, people: Iterable[User], **whose: Any) -> list[Draft]:
    """Return a digest for each of the people who has not got it yet."""
    untold = _untold(replace(draft, recipient=user) for user in people)
    grown = failures.news_of(day, **whose) if untold else []
    new = sum(entry.is_new for entry in grown)
    subject = f"{draft.subject}: {new} new and {len(grown) - new} growing failures on {day}"
    lines = [entry.line for entry in grown]
    return [replace(one, subject=subject, lines=lines) for one in untold] if grown else []


DATES: tuple[Callable[[datetime], list[Draft]], ...] = (what_expires, what_failed, report_mails.due)


def _untold(drafts: Iterable[Draft]) -> list[Draft]:
    """Return the drafts that nobody has been told yet."""
    drafts = list(drafts)
    rows = Notice.objects.filter(key__in=[draft.key for draft in drafts])
    told = set(rows.values_list("recipient_id", "kind", "key")) if drafts else set()
    return [draft for draft in drafts if (draft.recipient.pk, draft.kind, draft.key) not in told]


# --- Tickets ----------------------------------------------------------------------------------------------------


def _tickets(events: Sequence[Transition]) -> None:
    """Write down what is to be said in tickets: one is opened when a request is filed, and ends with its campaign."""
    heard = [e for e in events if (e.kind, e.verb) in TOLD]
    desks = desk.open_for({event.experiment_id for event in heard})
    heard = [event for event in heard if event.experiment_id in desks]
    requests = SOURCES["request"].find(event.thing_id for event in heard if event.kind == "request")
    campaigns = [event.thing_id for event in heard if event.kind == "campaign"]
    rows = Request.objects.filter(campaign__in=campaigns).select_related("experiment")
    of_campaign = {row.campaign_id: row for row in rows}
    for event in heard:
        row = requests.get(event.thing_id) if event.kind == "request" else of_campaign.get(event.thing_id)
        if row is None:
            continue
        if event.verb == "file":
            desk.want(row.experiment, row.ref, title=f"POMS {row.ref}: {row.title}", text=_description(row))
        what, closes = TOLD[event.kind, event.verb]
        reason, _ = differences.parted(event.reason)
        who = event.actor.partition(":")[2]
        desk.tell(row.ref, f"{event.txid}-{event.pk}", f"{what} by {who}: {reason.strip()}", closes=closes)


TOLD = {
    ("request", "file"): ("Filed", False), ("request", "approve"): ("Approved", False),
    ("request", "return"): ("Returned", False), ("request", "reject"): ("Rejected", True),
    ("request", "withdraw"): ("Withdrawn", True), ("request", "merge"): ("Joined with another", True),
    ("request", "split"): ("Split in two", True), ("request", "amend"): ("Another definition proposed", False),
    ("campaign", "succeed"): ("Campaign succeeded,", True), ("campaign", "fail"): ("Campaign failed,", False),
    ("campaign", "relaunch"): ("Launched again", False),
}  # fmt: skip


def _description(row: Request) -> str:
    page = f"{settings.PUBLIC_URL}{SOURCES['request'].link(row)}" if settings.PUBLIC_URL else row.ref
    return (
        f"{row.title}\n\n{row.requester.username} asks {row.experiment.name} for {row.production_stage}, priority"
        f" {row.priority}. {page}"
    )
