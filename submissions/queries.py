"""Questions about batches, submissions and jobs; also what the loops ask to find their work."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from django.contrib.postgres.expressions import ArraySubquery
from django.db import connection
from django.db.models import BooleanField, Case, Count, F, Func, OuterRef, Q, QuerySet, Subquery, Sum, When
from django.db.models.expressions import RawSQL
from django.db.models.functions import Coalesce

from campaigns import completion, keepup, splitting
from campaigns.definition import APPROVAL, PASSES_ON
from campaigns.models import Campaign, EdgeVersion, Stage, StageVersion
from campaigns.queries import edges_by_stage
from core.clock import now
from core.errors import Problem, Refused
from core.loops import untroubled
from experiments.models import Experiment
from submissions import gating, line
from submissions.models import (
    OUTSIDE,
    Batch,
    Boost,
    Completion,
    EveryJob,
    Hold,
    Job,
    JobCount,
    Output,
    Prestaging,
    Reproduction,
    Slice,
    StageProgress,
    Stray,
    Submission,
    TapeProgress,
    Unit,
    Verdict,
)
from submissions.states import AGAIN, JOB_STATES, OPEN_BATCH, UNFINISHED

SWEEP = timedelta(seconds=30)
LOOKED_THROUGH = 10_000  # jobs that one page of a list looks through for those that fit: some 20 ms
PROBED = 500  # of these, by which one knows how far down the others reach


def without_plan(submissions: QuerySet[Submission]) -> QuerySet[Submission]:
    """Leave out what only a launch needs; the list of jobs may be megabytes. It is read when asked for after all."""
    return submissions.defer("command", "setup", "environment", "jobs_file")


def planned(batches: QuerySet[Batch]) -> QuerySet[Batch]:
    """Leave out batches that stand for launches made outside POMS: no stage waits for them, and they take no inputs."""
    return batches.exclude(reason_key__startswith=f"{OUTSIDE}:")


def launched_outside(campaign: Campaign, most: int = 10) -> list[Submission]:
    """Return the latest launches of a campaign that were made outside POMS."""
    rows = without_plan(Submission.objects.filter(campaign=campaign, kind=OUTSIDE)).select_related("experiment")
    return list(rows.select_related("batch__stage").order_by("-pk")[:most])


def due_stages(limit: int) -> list[int]:
    """Return stages with a note to be planned, the longest waiting first."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT stage_id FROM submissions_plandue d WHERE due_at <= clock_timestamp()"  # noqa: S608 - a constant condition
            f" AND {untroubled('plan', 'stage').format(id='d.stage_id')}"
            " GROUP BY stage_id ORDER BY min(due_at) LIMIT %s",
            [limit],
        )
        return [row[0] for row in cursor.fetchall()]


def forgotten_stages() -> list[int]:
    """Return stages of running campaigns that have not ended and have no note: what the sweep looks at."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT s.id FROM campaigns_stage s JOIN campaigns_campaign c ON c.id = s.campaign_id"
            " JOIN campaigns_stageversion v ON v.stage_id = s.id AND v.revision_id = c.revision_id"
            " WHERE c.state IN ('approved', 'running') AND s.completed_at IS NULL"
            " AND NOT EXISTS (SELECT 1 FROM submissions_plandue d WHERE d.stage_id = s.id)"
        )
        return [row[0] for row in cursor.fetchall()]


def progress_above(edges: Iterable[EdgeVersion]) -> dict[int, StageProgress]:
    """Return by stage how far those above some edges are in their present pass, where a gate asks for a share."""
    above = {edge.edge.upstream_id for edge in edges if edge.gate not in ("all", "each")}
    if not above:
        return {}
    rows = StageProgress.objects.filter(stage_id__in=above, pass_number=F("stage__pass_number"))
    return {row.stage_id: row for row in rows}


def gates_of_edges(
    version: StageVersion, edges: Sequence[EdgeVersion], above: Mapping[int, StageProgress]
) -> tuple[list[str], str]:
    """Return what the stage still waits for, and why it can never start (or an empty text).

    `above` is what progress_above says of the edges.
    """
    waiting, doomed = [], ""
    for edge in edges:
        parent = edge.edge.upstream
        if parent.pk == version.stage_id or edge.gate == "each":
            continue
        across = parent.campaign_id != edge.edge.campaign_id
        name = f"{parent.campaign.name}/{parent.name}" if across else parent.name
        if across and parent.completed_at is None and parent.campaign.state == "cancelled":
            doomed = f"{parent.campaign.name}, whose {parent.name} feeds it, was cancelled"
        if edge.gate == "all":
            if parent.completed_at is None:
                waiting.append(f"waits for all of {name}")
            elif not parent.succeeded:
                doomed = f"{name} is incomplete"
            continue
        share = int(edge.gate.rstrip("%"))
        progress = above.get(parent.pk)
        if progress is None or not progress.closed or not completion.is_met(progress.done, progress.units, share):
            waiting.append(f"waits for {edge.gate} of {name}")
            if parent.completed_at is not None:
                doomed = f"{name} ended below {edge.gate}"
    return waiting, doomed


def latest_batches(stage_ids: Iterable[int], each: int) -> dict[int, list[Batch]]:
    """Return the latest so many batches of each stage, the latest first, with what a cell of a strip shows of them."""
    rows = Batch.objects.raw(
        "SELECT b.* FROM unnest(%s::bigint[]) AS wanted(id) CROSS JOIN LATERAL ("
        "SELECT id, stage_id, number, state, done, n_units FROM submissions_batch WHERE stage_id = wanted.id"
        " ORDER BY id DESC LIMIT %s) b",
        [list(stage_ids), each],
    )
    found: dict[int, list[Batch]] = defaultdict(list)
    for batch in rows:
        found[batch.stage_id].append(batch)
    return found


def work_going_on(stage_id: int) -> str:
    """Return what of a stage's work has not ended, in words; an empty text if nothing is left."""
    batches = planned(Batch.objects.filter(stage_id=stage_id, state__in=OPEN_BATCH)).count()
    waiting = Unit.objects.filter(stage_id=stage_id, batch=None).exists()
    if not batches:
        return "inputs wait to be put into batches" if waiting else ""
    return f"{batches} batch{'es have' if batches > 1 else ' has'} not ended"


def standing_holds() -> QuerySet[Hold]:
    """Return the holds that stand now."""
    return Hold.objects.filter(released_at=None).filter(Q(until=None) | Q(until__gt=now()))


def standing_stops() -> QuerySet[Hold]:
    """Return the emergency stops that stand now."""
    return standing_holds().exclude(emergency="")


def stops_over(experiment: Any) -> QuerySet[Hold]:
    """Return the emergency stops that stand over an experiment (or a reference to one), those of everything too."""
    return standing_stops().filter(Q(scope="everything") | Q(scope="experiment", experiment=experiment))


def stopped_among(experiment_ids: Iterable[int]) -> dict[int, str]:
    """Return those experiments of which an emergency stop lets nothing be launched, each with why."""
    found: dict[int, str] = {}
    wanted = set(experiment_ids)
    for hold in standing_stops().order_by("pk"):
        why = f"stopped by {hold.actor.rpartition(':')[2]}: {hold.reason}"
        for key in wanted if hold.scope == "everything" else wanted & {hold.experiment_id}:
            found.setdefault(key, why)
    return found


def holds_on(stage: Stage) -> QuerySet[Hold]:
    """Return the holds that keep every launch of a stage: on itself, its campaign, its experiment, on everything."""
    campaign = stage.campaign
    return standing_holds().filter(
        Q(scope="everything") | Q(scope="experiment", experiment_id=campaign.experiment_id)
        | Q(scope="campaign", campaign=campaign) | Q(scope="stage", stage=stage)
    )  # fmt: skip


def standing_boosts() -> QuerySet[Boost]:
    """Return the boosts that stand now."""
    return Boost.objects.filter(ended_at=None, until__gt=now())


def boosted_until(campaign: Campaign) -> datetime | None:
    """Return until when a campaign is on top of its experiment's queue, or None if it is not."""
    return standing_boosts().filter(campaign=campaign).values_list("until", flat=True).first()


def gates(campaign: Campaign) -> list[dict[str, Any]]:
    """Return what keeps a campaign from going on now: the same gates that planner and launcher evaluate.

    Each has its kind (`gate`), its text, `since` when, and the name of the `stage` that it is about, if it is of one.
    """
    found: list[dict[str, Any]] = []
    if campaign.state in ("new", "pending_approval"):
        found.append({"gate": "approval", "text": "waits for an approver", "since": campaign.state_since})
    held = standing_holds_on(campaign)
    found += [gating.of_hold(hold).document() for hold in held]
    if campaign.revision_id and campaign.state in ("approved", "running"):
        found += _gates_of_stages(campaign)
    found += [gate.document() for gate in _closed(campaign, {hold.ref for hold in held})]
    found += gates_of_line(campaign)
    unsure = Submission.objects.filter(batch__stage__campaign=campaign, state="unsure")
    for submission in unsure:
        text = f"{submission.ref} needs a person: {submission.why}"
        found.append({"gate": "unsure", "text": text, "since": submission.state_since})
    return [{"stage": None, "ref": None, **gate} for gate in found]


def standing_holds_on(campaign: Campaign) -> list[Hold]:
    """Return the holds that stand on a campaign, on parts of it, or on all that it belongs to."""
    holds = standing_holds().filter(
        Q(scope="everything")
        | Q(scope="experiment", experiment_id=campaign.experiment_id)
        | Q(scope="service", service__gates="everything", experiment_id=None)
        | Q(scope="service", service__gates="everything", experiment_id=campaign.experiment_id)
        | Q(scope="campaign", campaign=campaign)
        | Q(scope="stage", stage__campaign=campaign)
        | Q(scope="batch", batch__stage__campaign=campaign)
    )
    return list(holds.select_related("experiment", "service", "campaign", "stage", "batch").order_by("pk"))


def _closed(campaign: Campaign, told: Collection[str]) -> list[gating.Told]:
    """Return what the launcher finds closed for what waits of a campaign, but for what is told already."""
    if campaign.state not in ("approved", "running"):
        return []
    found = line.closed(campaign=campaign.pk)
    own = [gate for gate in gating.told(row for row in found if row.gate != "campaign") if gate.ref not in told]
    return list(dict.fromkeys(own))


def _gates_of_stages(campaign: Campaign) -> list[dict[str, Any]]:
    """Return what keeps each stage of a campaign that has not ended: asked of all stages together."""
    open_ones = StageVersion.objects.select_related("stage").filter(
        revision=campaign.revision, stage__completed_at=None
    )
    versions, edges = list(open_ones), edges_by_stage(campaign)
    above = progress_above(edge for version in versions for edge in edges[version.stage_id])
    pending, completions = _of_passes(versions, "pending"), _completions(versions)
    found: list[dict[str, Any]] = []
    for version in versions:
        name = version.stage.name
        waiting, doomed = gates_of_edges(version, edges[version.stage_id], above)
        own = _gates_of_tape(version)
        own += _gates_of_completion(version, pending[version.stage_id], completions.get(version.stage_id))
        own += [{"gate": "edge", "text": f"{name} {text}", "since": None} for text in waiting]
        if doomed:
            own.append({"gate": "edge", "text": f"{name} cannot start: {doomed}", "since": None})
        found += [gate | {"stage": name} for gate in own]
    return found


def _of_passes(versions: Sequence[StageVersion], state: str) -> Counter[int]:
    """Return how many batches in a state each stage that only passes files on has in its present pass."""
    passing = [version.stage_id for version in versions if version.type in PASSES_ON]
    if not passing:
        return Counter()
    rows = Batch.objects.filter(stage_id__in=passing, pass_number=F("stage__pass_number"), state=state)
    return Counter(dict(rows.values_list("stage_id").annotate(number=Count("pk"))))


def _completions(versions: Sequence[StageVersion]) -> dict[int, Completion]:
    """Return by stage what its present pass waits, or has waited for, to be complete."""
    stages = [version.stage_id for version in versions]
    rows = Completion.objects.filter(stage_id__in=stages, pass_number=F("stage__pass_number"))
    return {row.stage_id: row for row in rows}


def _gates_of_completion(version: StageVersion, pending: int, row: Completion | None) -> list[dict[str, Any]]:
    """Return what people, or what is outside, still have to say of a stage that has done what it can."""
    stage = version.stage
    found: list[dict[str, Any]] = []
    if pending:
        files = f"{pending} batch{'es wait' if pending > 1 else ' waits'}"
        what = "for an approval" if version.type == APPROVAL else f"for files on their way{_to(version)}"
        found.append({"gate": version.type, "text": f"{stage.name}: {files} {what}", "since": None})
    if row is not None and row.ended_at is None:
        text = f"{stage.name} has done its work and waits: {row.waits_for or version.completion}"
        if row.asked_at:
            text += "; it does so for long: sign it off, accept it as it is, or mend what it waits for"
        found.append({"gate": "completion", "text": text, "since": row.since})
    return found


def awaited(campaign: Campaign, *, by_person: bool = False) -> list[tuple[str, str]]:
    """Return the stages that wait for their completion, for an approval, or have failed by their criteria, with why.

    `by_person`: only those of which somebody is asked for a verdict.
    """
    found = []
    versions = list(StageVersion.objects.select_related("stage").filter(revision=campaign.revision))
    pending, completions = _of_passes(versions, "pending"), _completions(versions)
    refused = _of_passes(versions, "failed") if by_person else Counter[int]()
    for version in versions:
        stage, asks = version.stage, "signoff" in version.completion
        if version.type == APPROVAL:
            if waiting := pending[stage.pk]:
                found.append((stage.name, f"waits for an approval of {waiting} batch{'es' * (waiting > 1)}"))
            elif refused[stage.pk]:
                found.append((stage.name, "was refused"))
        elif row := completions.get(stage.pk):
            if row.ended_at is None and (asks or not by_person):
                found.append((stage.name, row.waits_for or f"waits: {version.completion}"))
            elif not by_person and stage.succeeded is False:
                found.append((stage.name, "has failed by its criteria"))
    return found


def _to(version: StageVersion) -> str:
    return f" to {version.destination}" if version.destination else ""


def ahead_of_launch(version: StageVersion) -> QuerySet[Slice]:
    """Return the slices of a stage's frozen input whose files a launch will need, in no order.

    A slice of a stage that waits for the disk has no batch before its files are there; of another one it may have.
    """
    stage = version.stage
    rows = Slice.objects.filter(snapshot__stage=stage, snapshot__pass_number=stage.pass_number)
    if splitting.parse(version.split).what.staged:
        return rows.filter(taken_at=None)
    return rows.filter(Q(taken_at=None) | Q(batch__state="pending"))


def _gates_of_tape(version: StageVersion) -> list[dict[str, Any]]:
    if not splitting.parse(version.split).what.staged:
        return []
    sums = ahead_of_launch(version).aggregate(
        slices=Count("pk"), whole=Count("on_disk_at"), files=Sum("units"), there=Sum("on_disk")
    )
    if sums["whole"] == sums["slices"]:
        return []
    text = f"{version.stage.name}: {sums['there']} of {sums['files']} files are on disk, "
    text += f"{sums['whole']} of the {sums['slices']} slices that wait are whole{_next_recall(version)}"
    return [{"gate": "tape", "text": text, "since": None}]


def _next_recall(version: StageVersion) -> str:
    """Return when more is asked for from tape, in the zone of the stage, if that goes by the clock."""
    row = Prestaging.objects.filter(stage_id=version.stage_id).first() if recalls_by_clock(version) else None
    if row is None or row.next_at is None:
        return ""
    at = row.next_at.astimezone(keepup.zone(version.schedule_zone))
    many = f"next {version.recall_window} slices are" if version.recall_window > 1 else "next slice is"
    return f"; the {many} asked for from tape at {at:%Y-%m-%d %H:%M} ({version.schedule_zone})"


def recalls_by_clock(version: StageVersion) -> bool:
    """Tell whether a stage asks for its files on tape only at certain times; a test run waits for none."""
    return bool(version.recall_times) and not version.revision.campaign.test


def at_fts(stage_id: int, pass_number: int) -> str:
    """Return what the FTS says of a stage's outputs that are not on tape yet, in words; empty if it says nothing."""
    rows = TapeProgress.objects.filter(
        batch__stage_id=stage_id, batch__pass_number=pass_number, has_fts=True, look_at__isnull=False
    )
    told, reasons = [], Counter[str]()
    sums = rows.aggregate(failed=Sum("failed"), waiting=Sum("waiting"))
    for failures in rows.exclude(failures=[]).values_list("failures", flat=True):
        reasons.update(entry["message"] for entry in failures)
    if sums["failed"] and reasons:
        more = len(reasons) - 1
        others = f", and {more} other reason{'s' * (more > 1)}" if more else ""
        told.append(f"{sums['failed']} failed at the FTS: {reasons.most_common(1)[0][0]}{others}")
    if sums["waiting"]:
        told.append(f"{sums['waiting']} wait{'s' * (sums['waiting'] == 1)} at the FTS")
    silent = rows.exclude(fts_why="").annotate(unknown=Coalesce("fts_at", "since")).order_by("unknown").first()
    if silent is not None:
        told.append(f"what the FTS does is not known since {silent.unknown:%Y-%m-%d %H:%M} UTC: {silent.fts_why}")
    return "; ".join(told)


def gates_of_line(campaign: Campaign) -> list[dict[str, Any]]:
    """Return where in the lines in front of batch systems a campaign's next work stands, if there is no room for it."""
    waiting = Submission.objects.filter(batch__stage__campaign=campaign, state="pending")
    if campaign.state != "running" or not waiting.exists():
        return []
    found = []
    for row in line.in_line([campaign.pk]):
        if not row.is_within:
            found += [gate.document() for gate in gating.of_system(row.system, before=row.place - 1)]
        elif not row.has_room:
            found.append({"gate": "queue", "text": place_words(row), "since": None})
    return found


def place_words(row: line.InLine) -> str:
    """Return where in the line of its batch system something stands, in words."""
    if row.place > line.FARTHEST:
        return f"more than {line.FARTHEST} submissions go before it in the queue of {row.system}"
    before = f"; {row.ahead} {'job goes' if row.ahead == 1 else 'jobs go'} before it" if row.ahead else ""
    return f"{'next' if row.place == 1 else _ordinal(row.place)} in the queue of {row.system}{before}"


def _ordinal(number: int) -> str:
    ending = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"


def job_counts(submissions: QuerySet[Submission]) -> dict[str, int]:
    """Return how many jobs are in each state, from the counters."""
    rows = JobCount.objects.filter(submission__in=submissions).values("state_code").annotate(total=Sum("n"))
    return {JOB_STATES[row["state_code"]]: row["total"] for row in rows if row["total"]}


def job_counts_by_stage(stage_ids: Iterable[int]) -> dict[int, dict[str, int]]:
    """Return job counters of stages, by stage and state."""
    rows = (
        JobCount.objects.filter(submission__batch__stage_id__in=list(stage_ids))
        .values("submission__batch__stage_id", "state_code")
        .annotate(total=Sum("n"))
    )
    found: dict[int, dict[str, int]] = defaultdict(dict)
    for row in rows:
        if row["total"]:
            found[row["submission__batch__stage_id"]][JOB_STATES[row["state_code"]]] = row["total"]
    return found


def progress_of(stages: Iterable[Stage]) -> dict[int, dict[str, int]]:
    """Return for each stage's present pass: units, done, events_done, and those that failed for good, run or wait.

    Recovering are the missing inputs of open batches that are launched again, by a recovery or a relaunch; they are
    among neither those that run nor those that wait. No batch of a stage that has ended is open, so of what was taken
    the rest has failed: its counters say all, and only the batches of stages that go on are looked at.
    """
    ended = {stage.pk: stage.completed_at is not None for stage in stages}
    names = ("units", "done", "events_done", "failed", "running", "recovering", "waiting")
    found = {pk: dict.fromkeys(names, 0) for pk in ended}
    counters = StageProgress.objects.filter(stage_id__in=list(ended), pass_number=F("stage__pass_number"))
    for pk, units, taken, done, events in counters.values_list("stage_id", "units", "taken", "done", "events_done"):
        failed = taken - done if ended[pk] else 0
        found[pk] |= {"units": units, "done": done, "events_done": events, "failed": failed}
    # A plain value, and no EXISTS: PostgreSQL might answer that one by reading every submission there is.
    again = Submission.objects.filter(batch=OuterRef("pk"), kind__in=AGAIN).values("kind")[:1]
    open_units = (
        Batch.objects.filter(stage_id__in=[pk for pk, has_ended in ended.items() if not has_ended])
        .filter(pass_number=F("stage__pass_number"))
        .annotate(again=Case(When(state__in=OPEN_BATCH, then=Subquery(again))))
        .values("stage_id", "state", "again")
        .annotate(inputs=Sum("n_units"), results=Sum("done"))
    )
    for sums in open_units:
        missing = sums["inputs"] - sums["results"]
        if sums["state"] in ("failed", "cancelled", "completed"):
            found[sums["stage_id"]]["failed"] += missing
        elif sums["again"]:
            found[sums["stage_id"]]["recovering"] += missing
        elif sums["state"] in ("submitted", "project_running", "jobs_completed"):
            found[sums["stage_id"]]["running"] += missing
    for entry in found.values():
        entry["waiting"] = entry["units"] - sum(entry[name] for name in ("done", "failed", "running", "recovering"))
    return found


def batch_counts(stage_ids: Iterable[int]) -> dict[int, dict[str, int]]:
    """Return how many batches of each stage are in each state."""
    found: dict[int, dict[str, int]] = defaultdict(dict)
    ours = planned(Batch.objects.filter(stage_id__in=list(stage_ids)))
    rows = ours.values("stage_id", "state").annotate(n=Count("id"))
    for row in rows:
        found[row["stage_id"]][row["state"]] = row["n"]
    return found


# The latest submissions first, and of each its latest jobs, until there are enough: neither a long history nor a large
# campaign is read further. The fences keep the planner from turning it round.
_LATEST_JOBS = """
SELECT j.id FROM (SELECT id FROM submissions_submission WHERE {field} = %s ORDER BY id DESC LIMIT %s OFFSET 0) s
CROSS JOIN LATERAL (
    SELECT id FROM submissions_job WHERE submission_id = s.id ORDER BY id DESC LIMIT %s OFFSET 0
) j LIMIT %s
"""
_OF = {"submission": "id", "batch": "batch_id", "campaign": "campaign_id", "experiment": "experiment_id"}


def latest_jobs(what: str, key: int, most: int) -> RawSQL:
    """Return the keys of the latest jobs of a submission, batch, campaign or experiment, for a filter `pk__in`."""
    return RawSQL(_LATEST_JOBS.format(field=_OF[what]), (key, most, most, most))  # noqa: S611 - a constant field


def has_submissions(campaign: Campaign, at_least: int) -> bool:
    """Tell whether a campaign has so many submissions; costs no more than to walk along as many of an index."""
    return bool(Submission.objects.filter(campaign=campaign).order_by("-pk").values("pk")[at_least - 1 : at_least])


def live_among(jobs: QuerySet[Job], experiment: Experiment) -> QuerySet[Job]:
    """Return those jobs of an experiment that have not ended.

    By the submissions that are not over, which are few: their index of live jobs finds them however long the past is,
    while the planner would rather read ten million rows than half a million by an index.
    """
    there = Submission.objects.filter(experiment=experiment, state__in=set(UNFINISHED) - {"pending"})
    any_of = Func(ArraySubquery(there.values("pk")), function="ANY")
    of_those = Func(
        F("submission_id"), any_of, template="%(expressions)s", arg_joiner=" = ", output_field=BooleanField()
    )
    return jobs.filter(of_those, experiment=experiment, ended_at=None)


def looked_down_to(rows: Any, within: int) -> int | None:
    """Return the key above which about so many of the newest rows lie; None where there are hardly any more.

    To count them off would cost as much as to look through them: the first ones say how dense the keys are.
    """
    keys = rows.order_by("-pk").values_list("pk", flat=True)
    probed = min(within, PROBED)
    newest, reached = keys.first(), keys[probed : probed + 1].first()
    if newest is None or reached is None:
        return None
    return max(0, int(newest - (newest - reached) * within // probed))


def made_as(experiment_id: int, name: str) -> Output | None:
    """Return the accepted output of this name, with what made it, or None if no campaign has."""
    rows = Output.objects.filter(experiment_id=experiment_id, name=name)
    return rows.select_related("result__submission__experiment", "stage__campaign__experiment").first()


def uses_of(experiment_id: int, name: str) -> QuerySet[Unit]:
    """Return where a file is an input: its unit in each stage and pass, with batch, result and the outputs of that."""
    beside = ("stage__campaign__experiment", "batch__experiment", "acceptance__result__submission__experiment")
    rows = Unit.objects.filter(experiment_id=experiment_id, key=f"file:{name}").select_related(*beside)
    return rows.prefetch_related("acceptance__result__outputs").order_by("pk")


def slices_with(experiment_id: int, name: str) -> QuerySet[Slice]:
    """Return the slices of frozen datasets in which a file waits for a batch."""
    rows = Slice.objects.filter(snapshot__stage__campaign__experiment_id=experiment_id, taken_at=None)
    return rows.filter(inputs__contains=f"file:{name}\t").select_related("snapshot__stage__campaign__experiment")


def archived_in(rows: QuerySet[EveryJob], month: str) -> QuerySet[EveryJob]:
    """Return the archived jobs that ended in a month, given as 2026-10 (UTC)."""
    if not re.fullmatch(r"[12][0-9]{3}-(?:0[1-9]|1[0-2])", month):
        raise Refused(
            "The list cannot be filtered so.", [Problem("archived", f"no month: {month[:40]}", "such as 2026-10")]
        )
    begin = datetime(int(month[:4]), int(month[5:]), 1, tzinfo=UTC)
    return rows.filter(archived=True, ended_at__gte=begin, ended_at__lt=(begin + timedelta(days=32)).replace(day=1))


def seconds_since(then: datetime) -> float:
    """Return how long ago a moment was, in seconds: the time in a state (M3)."""
    return max(0.0, (now() - then).total_seconds())


def reproductions_due(limit: int) -> list[Reproduction]:
    """Return reproductions whose test run has ended and that nobody has compared, the oldest first."""
    ended = Q(campaign__state__in=("succeeded", "failed", "cancelled"))
    rows = Reproduction.objects.filter(ended, ended_at=None).extra(  # noqa: S610 - a constant condition
        where=[untroubled("reproduce", "reproduction").format(id="submissions_reproduction.id")]
    )
    beside = ("experiment", "campaign__experiment", "batch__experiment", "batch__stage__campaign__experiment")
    return list(rows.select_related(*beside, "batch__version__revision").order_by("pk")[:limit])


def verdict_on(campaign: Campaign) -> Verdict | None:
    """Return the verdict that stands on a campaign: the newest, be it a withdrawal."""
    return Verdict.objects.filter(campaign=campaign).select_related("by").order_by("-pk").first()


def unreviewed(campaigns: QuerySet[Campaign], since: datetime) -> QuerySet[Campaign]:
    """Narrow campaigns to productions that have ended since and on whose results no verdict stands, newest first."""
    latest = Verdict.objects.filter(campaign=OuterRef("pk")).order_by("-pk").values("verdict")[:1]
    ended = campaigns.filter(state__in=("succeeded", "failed"), test=False, ended_at__gte=since)
    said = ended.annotate(said=Subquery(latest))
    return said.filter(Q(said=None) | Q(said="withdrawn")).order_by("-ended_at", "-pk")


def unsigned(reproductions: QuerySet[Reproduction]) -> QuerySet[Reproduction]:
    """Narrow reproductions to those that have come to a verdict and wait for a signature, newest first."""
    return reproductions.filter(state__in=("equal", "different"), signed=None).order_by("-pk")


def forgotten_launches(version: StageVersion) -> list[dict[str, Any]]:
    """Return the plans of first launches of a stage that a restored database has forgotten and that are still open."""
    campaign = version.revision.campaign
    rows = Stray.objects.filter(
        restoration__ended_at=None, fate="open", plan__stage=version.stage.name, plan__round=0,
        plan__campaign=campaign.name_for_jobs, plan__experiment=campaign.experiment.name,
    )  # fmt: skip
    return list(rows.order_by("pk").values_list("plan", flat=True))


def keys_of(plan: Mapping[str, Any]) -> list[str]:
    """Return the keys of the units that a jobs.json names, in its order."""
    return [str(unit.get("key")) for job in plan.get("jobs", ()) for unit in job.get("units", ())]
