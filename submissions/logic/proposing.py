"""A recovery as a proposal: what would be run again of which batches, and that it is then done exactly so (D3)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from django.db import transaction
from django.db.models import F, QuerySet

from campaigns import queries, recoveries
from campaigns.models import Campaign, Stage, StageVersion
from campaigns.recoveries import Input, Round
from core import transitions
from core.errors import Conflict, Problem, Refused
from integrations.errors import OutsideError
from submissions.logic import freezing, missing, planning, preparing, recovering
from submissions.models import Batch, Submission, Unit

MOST_BATCHES = 200  # of one plan: the rest follows in the next one
ENDED = ("jobs_completed", "completed", "failed")
ADDED = "added_files"
BY_HAND = ("completed", "failed")
GO_ON = ("running", "failed")  # states of campaigns of which more may be launched

Thing = Campaign | Stage | Batch


@dataclass(frozen=True)
class Heard:
    """What became of a batch's inputs in its last submission, or why nobody can say."""

    submission_id: int | None
    fates: missing.Fates = field(default_factory=missing.Fates)
    unknown: str = ""


@dataclass(frozen=True)
class Proposal:
    """What would be run again of one batch; `found` is None where nothing would, or where that is unknown."""

    batch: Batch
    last: Submission | None
    missing: tuple[Input, ...]
    by: str  # person: it can be applied; loop: POMS does it by itself; nobody
    why: str = ""
    unknown: str = ""
    found: Round | None = None
    jobs: int = 0
    memory_mb: int = 0
    wall_s: int = 0

    @property
    def can_apply(self) -> bool:
        """Tell whether a person can have it done."""
        return self.by == "person" and self.found is not None


@dataclass(frozen=True)
class News:
    """What the dataset of a stage has gained beyond its inputs, or why nobody can say."""

    version: StageVersion
    times: int  # that its input was frozen before
    frozen: freezing.Frozen | None = None
    unknown: str = ""


@dataclass(frozen=True)
class Gain:
    """What a stage would take of what its dataset has gained, as further slices of the same pass."""

    news: News
    by: str  # person, loop or nobody, as for a batch
    why: str = ""

    @property
    def can_apply(self) -> bool:
        """Tell whether a person can have it done."""
        return self.by == "person" and self.frozen is not None

    @property
    def frozen(self) -> freezing.Frozen | None:
        """Return the files in their slices, if there are any."""
        return self.news.frozen if self.news.frozen and self.news.frozen.units else None

    @property
    def summary(self) -> str:
        """Return in a line what would be taken."""
        if self.frozen is None:
            return self.news.unknown or self.why or "no new files"
        files, slices = self.frozen.units, len(self.frozen.slices)
        return f"{files} new file{'s' * (files > 1)} in {slices} slice{'s' * (slices > 1)}"


@dataclass(frozen=True)
class Done:
    """What was done by a plan: what is to be launched again, and what stages have taken."""

    submissions: tuple[Submission, ...] = ()
    gains: tuple[Gain, ...] = ()


@dataclass(frozen=True)
class Plan:
    """What a recovery would do; `more` batches come after those of this plan."""

    proposals: tuple[Proposal, ...]
    gains: tuple[Gain, ...] = ()
    more: int = 0

    @property
    def to_apply(self) -> list[Proposal]:
        """Return what a person can have done."""
        return [entry for entry in self.proposals if entry.can_apply]

    @property
    def to_take(self) -> list[Gain]:
        """Return what a person can have stages take."""
        return [entry for entry in self.gains if entry.can_apply]

    @property
    def does(self) -> bool:
        """Tell whether there is anything to be done by a person."""
        return bool(self.to_apply or self.to_take)

    @cached_property
    def hash(self) -> str:
        """Return what would be done as a hash: by batch the submission it follows, inputs, and what they are given."""
        takes = [
            [entry.news.version.pk, entry.news.times, frozen.digest, len(frozen.slices)]
            for entry in self.to_take
            if (frozen := entry.frozen)
        ]
        acts: list[Any] = [
            [
                entry.batch.pk, entry.last.pk if entry.last else None, found.kind, found.step, found.inputs,
                sorted(found.more_memory), sorted(found.more_time), sorted(found.avoid), found.overrides,
                entry.jobs, entry.memory_mb, entry.wall_s,
            ]
            for entry in self.to_apply
            if (found := entry.found)
        ]  # fmt: skip
        return hashlib.sha256(json.dumps([acts, takes]).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Asked:
    """The question for a recovery of a thing, with what catalogues had to say to it."""

    thing: Thing
    kind: str
    heard: Mapping[int, Heard]
    news: tuple[News, ...] = ()
    more: int = 0


def ask(thing: Thing, kind: str = "", *, freeze: bool = False) -> Asked:
    """Ask what became of the inputs that a batch, a stage or a campaign misses, outside any transaction.

    What datasets have gained is asked where the list has a step `added_files`, or where that is the kind; with
    `freeze`, who is going to apply the plan has it frozen outside as well.
    Without a kind it is about the steps of the job type's list. A catalogue that does not answer leaves its batches
    unknown; what is no kind is Refused.
    """
    kind = recoveries.SAME_AS.get(kind, kind)
    if kind and kind not in recoveries.KINDS:
        known = ", ".join(recoveries.KINDS)
        raise Refused("It cannot be recovered so.", [Problem("kind", f"there is no {kind[:60]}", f"one of {known}")])
    batches, more = _batches(thing)
    news = tuple(_news(version, freeze) for version in _readers(thing, kind))
    return Asked(thing, kind, {batch.pk: _hear(batch, kind) for batch in batches}, news, more)


def plan(asked: Asked) -> Plan:
    """Say what a recovery would do now; nothing is written."""
    rows = _beside(Batch.objects.filter(pk__in=asked.heard).order_by("pk"))
    return _propose(rows, asked)


def _hear(batch: Batch, kind: str) -> Heard:
    kinds = [kind] if kind else missing.kinds_left(batch)
    last = Submission.objects.filter(batch=batch).order_by("-pk").values_list("pk", flat=True).first()
    try:
        return Heard(last, missing.fates_for(batch, kinds))
    except OutsideError as error:
        return Heard(last, unknown=f"the catalogue does not say what became of its inputs: {error}")


def _readers(thing: Thing, kind: str) -> list[StageVersion]:
    """Return the stages of a campaign, or the one, of which it is asked what their datasets have gained."""
    if isinstance(thing, Batch) or kind not in ("", ADDED):
        return []
    if isinstance(thing, Stage):
        version = queries.running_version(thing.pk)
        versions = [version] if version else []
    else:
        beside = ("revision__campaign__experiment", "stage__campaign")
        rows = StageVersion.objects.filter(revision=thing.revision).select_related(*beside)
        versions = list(rows.order_by("position"))
    return [
        version
        for version in versions
        if (kind or planning.looks_of(version)) and not planning.keeps_up(version) and freezing.can_gain(version)
    ]


def _news(version: StageVersion, freeze: bool) -> News:
    times = freezing.times_frozen(version)
    try:
        return News(version, times, freezing.fetch_gained(version, freeze=freeze))
    except OutsideError as error:
        return News(version, times, unknown=f"the catalogue does not say what {version.dataset} has gained: {error}")


def apply(asked: Asked, *, said: str = "", actor: str, reason: str) -> Done:
    """Do what the plan says, all of it or nothing; return what is to be launched, and what stages have taken.

    `said` is the hash of the plan that somebody has read: where things are different now, it is a Conflict.
    """
    demand_reason(reason)
    with transaction.atomic():
        locked = _beside(Batch.objects.select_for_update(of=("self",), no_key=True))
        now = _propose(locked.filter(pk__in=asked.heard).order_by("pk"), asked)
        if said and said != now.hash:
            raise Conflict("What would be recovered is different now; nothing was launched.", _differs(now))
        if not now.does:
            raise Conflict(f"Nothing of {asked.thing.ref} can be recovered now.", _told(now))
        made = [_launch(entry, actor, reason) for entry in now.to_apply]
        by_campaign: dict[Campaign, set[int]] = {}
        for entry in now.to_apply:
            by_campaign.setdefault(entry.batch.stage.campaign, set()).add(entry.batch.stage_id)
        for gain in now.to_take:
            version = gain.news.version
            by_campaign.setdefault(version.revision.campaign, set()).add(version.stage_id)
        for campaign, stage_ids in by_campaign.items():
            planning.reopen(campaign, sorted(stage_ids), actor=actor, reason=reason)
        for gain in now.to_take:
            _take(gain, actor, reason)
    return Done(tuple(made), tuple(now.to_take))


def demand_reason(reason: str) -> None:
    """Refuse what is to be kept in the history without a reason."""
    if not reason.strip():
        raise Refused("To recover needs a reason.", [Problem("reason", "is empty", "say why; it is kept")])


def _launch(entry: Proposal, actor: str, reason: str) -> Submission:
    if entry.last is None or entry.found is None:
        raise ValueError(f"nothing of {entry.batch.ref} can be launched")  # to_apply has none such
    units = missing.units_of(entry.batch)
    return recovering.again(entry.batch, entry.last, units, entry.found, kind="relaunch", actor=actor, reason=reason)


def _take(gain: Gain, actor: str, reason: str) -> None:
    """Keep what a stage's dataset has gained as further slices; the stage's row is locked."""
    version, campaign = gain.news.version, gain.news.version.revision.campaign
    if gain.frozen is None or freezing.times_frozen(version) != gain.news.times:
        raise Conflict(f"{version.stage.ref} has taken new files meanwhile; nothing was changed. Look again.")
    freezing.keep(version, gain.frozen)
    transitions.record(
        [(campaign.pk, "running")], "campaign", "running", experiment_id=campaign.experiment_id, actor=actor,
        reason=f"{reason}; {version.stage.name} takes {gain.summary}", verb="recover",
    )  # fmt: skip


def _differs(plan: Plan) -> list[Problem]:
    changed = f"is {plan.hash} now" if plan.does else "has nothing to do now"
    return [Problem("plan", changed, "read it again before you apply it"), *_told(plan)]


def _told(plan: Plan) -> list[Problem]:
    gains = [Problem(entry.news.version.stage.ref, entry.summary) for entry in plan.gains]
    return [*(Problem(entry.batch.ref, summary(entry)) for entry in plan.proposals), *gains]


def summary(entry: Proposal) -> str:
    """Return in a line what would become of a batch."""
    if entry.found is None:
        return entry.unknown or entry.why
    number, found = len(entry.found.inputs), entry.found
    text = f"{number} of the {len(entry.missing)} missing inputs in {entry.jobs} job{'s' if entry.jobs > 1 else ''}"
    return text + missing.why_again(found)


# --- One batch -----------------------------------------------------------------------------------------------------


def _batches(thing: Thing) -> tuple[list[Batch], int]:
    """Return the batches that a plan is about: one, or those whose jobs have ended without all results."""
    rows = _beside(Batch.objects.all())
    if isinstance(thing, Batch):
        return list(rows.filter(pk=thing.pk)), 0
    of = {"stage": thing} if isinstance(thing, Stage) else {"stage__campaign": thing}
    ended = rows.filter(state__in=ENDED, done__lt=F("n_units"), **of).order_by("pk")
    found = list(ended[:MOST_BATCHES])
    return found, ended.count() - len(found) if len(found) == MOST_BATCHES else 0


def _beside(rows: QuerySet[Batch]) -> QuerySet[Batch]:
    beside = ("experiment", "version__revision__campaign__experiment", "version__stage", "stage__campaign__experiment")
    return rows.select_related(*beside)


def _propose(batches: Iterable[Batch], asked: Asked) -> Plan:
    proposals = tuple(_of_batch(batch, asked.heard[batch.pk], asked.kind) for batch in batches)
    return Plan(proposals, tuple(_gain(news, asked.kind) for news in asked.news), asked.more)


def _gain(news: News, kind: str) -> Gain:
    """Return what a stage would take: by itself before it ends, as often as its list says; else as a person asks."""
    version = news.version
    campaign = Campaign.objects.get(pk=version.revision.campaign_id)
    if campaign.state not in GO_ON:
        return Gain(news, "nobody", f"its campaign {campaign.ref} is {campaign.state}; it runs no more")
    ended = Stage.objects.filter(pk=version.stage_id, completed_at__isnull=False).exists()
    if not kind and not ended and news.times <= planning.looks_of(version):
        return Gain(news, "loop")
    return Gain(news, "person")


def _of_batch(batch: Batch, heard: Heard, kind: str) -> Proposal:
    units = missing.units_of(batch)
    inputs = tuple(missing.seen(units, heard.fates))
    last = Submission.objects.filter(batch=batch).order_by("-pk").first()
    if why := _why_not(batch, last, inputs, heard, kind):
        return Proposal(batch, last, inputs, "nobody", why)
    by = "loop" if batch.state == "jobs_completed" else "person"
    if heard.unknown or last is None:
        return Proposal(batch, last, inputs, by, unknown=heard.unknown)
    found, why = _round_of(batch, last, units, heard.fates, kind)
    if found is None:
        return Proposal(batch, last, inputs, by, why)
    chosen, memory, wall = recovering.given_in(batch, last, units, found)
    jobs = preparing.jobs_of(batch, chosen, memory, wall)
    return Proposal(
        batch, last, inputs, by, why, found=found, jobs=len(jobs),
        memory_mb=max(job["memory_mb"] for job in jobs), wall_s=max(job["wall_s"] for job in jobs),
    )  # fmt: skip


def _why_not(batch: Batch, last: Submission | None, inputs: Sequence[Input], heard: Heard, kind: str) -> str:
    """Return why nothing of a batch can be run again now; an empty text where something may be."""
    campaign = batch.stage.campaign
    if not inputs:
        return "it misses nothing"
    if batch.state == "cancelled":
        return "it is cancelled; nothing of it is launched again"
    if batch.state not in ENDED:
        return "its jobs have not ended; what it misses is not known before"
    if campaign.state not in GO_ON:
        return f"its campaign {campaign.ref} is {campaign.state}; it runs no more"
    if last is None:
        return "it was never launched"
    if last.pk != heard.submission_id:
        return "it was launched again meanwhile"
    if kind and batch.state not in BY_HAND:
        return "its jobs have just ended, and POMS decides on it by itself; ask again when it has"
    return ""


def _round_of(
    batch: Batch, last: Submission, units: Sequence[Unit], fates: missing.Fates, kind: str
) -> tuple[Round | None, str]:  # fmt: skip
    """Return what is run again, and why so: one kind, the next step, or as a relaunch where the list has no more."""
    policy, inputs = recovering.policy_of(batch.version), missing.seen(units, fates)
    if kind:
        chosen = recoveries.by_kind(kind, inputs, policy)
        return (chosen, "as asked for") if isinstance(chosen, Round) else (None, chosen.why)
    if batch.state not in BY_HAND and last.state == "removed":
        return None, f"{last.ref} was removed; POMS lets the batch fail"
    found = recovering.next_round_of(batch, last, units, fates)
    if isinstance(found, Round):
        return found, f"step {found.step} of its list"
    if batch.state not in BY_HAND:
        return None, found.why
    return recoveries.everything(inputs, policy), f"all that is missing, as by a relaunch, since {found.why}"
