"""The invariants I1 to I8 of reliability.md, by SQL: each function returns a sentence for every breach.

They ask the database that Django is connected to, and compare it with the batch system's own log (`Truth`)
where the invariant speaks of what really happened. They may be run at any time; `settled=True` adds what must
hold only when everything planned has ended.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from django.apps import apps
from django.db import connection
from django.db.models import F, ForeignKey, ManyToManyField, OneToOneField

SHOWN = 5
NEXT = {
    "stage_in": "staging_in", "execute": "processing", "suspend": "suspended", "resume": "processing",
    "stage_out": "staging_out", "hold": "held", "release": "idle", "remove": "removed",
}  # fmt: skip


@dataclass
class SeenJob:
    """One job as its log says it is: the fold of its events."""

    uuid: str
    cluster: int
    index: int
    units: tuple[str, ...]
    state: str = "idle"
    starts: int = 0
    executes: int = 0
    releases: int = 0
    at: float = 0.0
    exit_code: int | None = None
    began: float | None = None
    ended: float | None = None


@dataclass
class Truth:
    """What the batch system's log says: the ground truth outside the system under test."""

    submits: dict[str, list[dict[str, Any]]] = field(default_factory=lambda: defaultdict(list))
    jobs: dict[str, SeenJob] = field(default_factory=dict)

    @classmethod
    def of(cls, events: Iterable[dict[str, Any]]) -> Truth:
        """Fold the events of a log, in their order."""
        truth = cls()
        for event in events:
            truth._take(event)
        return truth

    def _take(self, event: dict[str, Any]) -> None:
        kind, at = event["event"], event["at"]
        if kind == "submit":
            self.submits[event["uuid"]].append(event)
            for proc, asked in enumerate(event["jobs"]):
                job = SeenJob(event["uuid"], event["cluster"], asked["index"], tuple(asked["units"]), at=at)
                self.jobs[f"{event['cluster']}.{proc}@local"] = job
            return
        job = self.jobs[event["job"]]
        job.at = at
        job.state = event["state"] if kind == "end" else NEXT.get(kind, job.state)
        if kind == "stage_in":
            job.starts, job.exit_code, job.ended = event["starts"], None, None
            job.began = job.began or at
        elif kind == "execute":
            job.executes += 1
        elif kind == "release":
            job.releases += 1
        elif kind in ("end", "stopped", "remove"):
            job.exit_code = event.get("exit_code")
            job.ended = at

    def ids(self, uuid: str) -> list[str]:
        """Return the ids of the jobs submitted under a uuid."""
        return [
            f"{event['cluster']}.{proc}@local"
            for event in self.submits.get(uuid, ())
            for proc in range(len(event["jobs"]))
        ]


def broken(truth: Truth, *, settled: bool = True) -> dict[str, list[str]]:
    """Return the breaches of every invariant, by its name; an empty list is good news."""
    return {
        "I1": one_group_a_reason(truth),
        "I2": intents_and_tags_agree(truth),
        "I3": states_are_the_fold_of_reports(truth),
        "I4": transitions_are_unbroken(),
        "I5": slices_are_a_partition(settled=settled),
        "I6": ticks_have_one_outcome(),
        "I7": what_ran_was_approved(truth),
        "I8": links_stay_in_one_experiment(),
    }


def _rows(sql: str, *values: object) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, values or None)
        return cursor.fetchall()


def _each(sentence: str, rows: Iterable[object]) -> list[str]:
    found = list(rows)
    shown = [f"{sentence}: {row}" for row in found[:SHOWN]]
    return [*shown, *([f"{sentence}: {len(found) - SHOWN} more"] if len(found) > SHOWN else [])]


# --- I1 -----------------------------------------------------------------------------------------------------


def one_group_a_reason(truth: Truth) -> list[str]:
    """I1: whatever the reason of an intent, the batch system has at most one group of jobs for it."""
    groups: Counter[str] = Counter()
    for key, uuid in _rows("SELECT reason_key, uuid::text FROM submissions_submission"):
        groups[key] += len(truth.submits.get(uuid, ()))
    batches = _rows("SELECT reason_key FROM submissions_batch GROUP BY reason_key HAVING count(*) > 1")
    return _each("reason with several groups of jobs", [key for key, n in groups.items() if n > 1]) + _each(
        "reason of several batches", batches
    )


# --- I2 -----------------------------------------------------------------------------------------------------


def intents_and_tags_agree(truth: Truth) -> list[str]:
    """I2: a submitted intent has the job ids that the log has for it, and every tag of the log is an intent's."""
    rows = _rows(
        "SELECT uuid::text, state, job_ids FROM submissions_submission"
        " WHERE state NOT IN ('pending', 'launching', 'unsure', 'launch_failed')"
        "   AND NOT (state = 'removed' AND launched_at IS NULL)"
    )
    none = [row[:2] for row in rows if not row[2]]
    other = [uuid for uuid, _, ids in rows if ids and sorted(ids) != sorted(truth.ids(uuid))]
    submitted = {row[0] for row in rows}
    known = {uuid for (uuid,) in _rows("SELECT uuid::text FROM submissions_submission")}
    waiting = {
        u for (u,) in _rows("SELECT uuid::text FROM submissions_submission WHERE state IN ('launching', 'unsure')")
    }
    return (
        _each("submitted without a job id", none)
        + _each("submitted with other job ids than the log's", other)
        + _each("tag of no intent", sorted(set(truth.submits) - known))
        + _each("tag of an intent that is not submitted", sorted((set(truth.submits) & known) - submitted - waiting))
    )


# --- I3 -----------------------------------------------------------------------------------------------------


def states_are_the_fold_of_reports(truth: Truth) -> list[str]:
    """I3: each job's state is the fold of its reports, and the counters count the jobs exactly."""
    from submissions.states import JOB_STATES

    rows = _rows(
        "SELECT j.external_id, s.uuid::text, j.state_code, j.starts, j.exit_code, extract(epoch FROM j.event_at),"
        " j.index, j.ended_at IS NOT NULL FROM submissions_job j JOIN submissions_submission s ON s.id = j.submission_id"
    )
    wrong = []
    for external_id, uuid, code, starts, exit_code, at, index, ended in rows:
        job = truth.jobs.get(external_id)
        state = JOB_STATES[code]
        if job is None:
            wrong.append((external_id, "is not in the log"))
            continue
        fold = (job.uuid, job.state, job.starts, job.index, job.state in ("succeeded", "failed", "removed"))
        if fold != (uuid, state, starts, index, ended) or abs(job.at - float(at)) > 1e-4:
            wrong.append((external_id, f"row {(uuid, state, starts, index, ended, float(at))}, log {(*fold, job.at)}"))
        elif job.state in ("succeeded", "failed") and job.exit_code != exit_code:
            wrong.append((external_id, f"exit code {exit_code}, log {job.exit_code}"))
    counters = _rows(
        """
        SELECT coalesce(c.submission_id, j.submission_id), coalesce(c.state_code, j.state_code), c.n, j.n FROM
            (SELECT submission_id, state_code, n FROM submissions_jobcount WHERE n <> 0) c
            FULL JOIN (SELECT submission_id, state_code, count(*) AS n FROM submissions_job GROUP BY 1, 2) j
            USING (submission_id, state_code)
        WHERE c.n IS DISTINCT FROM j.n
        """
    )
    return (
        _each("job that is not what the log says", wrong)
        + _each("job of the log without a row", sorted(set(truth.jobs) - {row[0] for row in rows}))
        + _each("counter that does not count (submission, state, counter, rows)", counters)
    )


# --- I4 -----------------------------------------------------------------------------------------------------

# What a thing's last transition must agree with.
PRESENT = {
    "campaign": "SELECT id, state FROM campaigns_campaign",
    "revision": "SELECT id, state FROM campaigns_revision",
    "request": "SELECT id, state FROM approvals_request",
    "batch": "SELECT id, state FROM submissions_batch",
    "submission": "SELECT id, state FROM submissions_submission",
    "command": "SELECT id, state FROM submissions_command",
}


def transitions_are_unbroken() -> list[str]:
    """I4: each transition begins where the one before it ended, with time, actor and reason; the last is now."""
    from submissions.states import JOB_STATES

    gaps = _rows(
        """
        SELECT kind, thing_id, id, before, source, target FROM (
            SELECT *, coalesce(lag(target) OVER w, '') AS before, lag(at) OVER w AS earlier FROM core_transition
            WINDOW w AS (PARTITION BY kind, thing_id ORDER BY id)) t
        WHERE source <> before OR (kind <> 'job' AND at < earlier)
        """
    )
    bare = _rows("SELECT kind, target, count(*) FROM core_transition WHERE actor = '' OR reason = '' GROUP BY 1, 2")
    words = ", ".join(f"'{word}'" for word in JOB_STATES)
    present = PRESENT | {"job": f"SELECT id, (ARRAY[{words}])[state_code + 1] FROM submissions_job"}
    elsewhere = []
    for kind, sql in present.items():
        elsewhere += _rows(
            f"""
            SELECT %s, p.id, p.state, t.target FROM ({sql}) p(id, state) LEFT JOIN (
                SELECT DISTINCT ON (thing_id) thing_id, target FROM core_transition WHERE kind = %s
                ORDER BY thing_id, id DESC) t ON t.thing_id = p.id
            WHERE t.target IS DISTINCT FROM p.state
            """,
            kind, kind,
        )  # fmt: skip
    return (
        _each("transition that does not follow the one before (kind, thing, id, before, from, to)", gaps)
        + _each("transitions without actor or reason (kind, to, how many)", bare)
        + _each("thing that is not where its last transition led (kind, id, state, led to)", elsewhere)
    )


# --- I5 -----------------------------------------------------------------------------------------------------


def slices_are_a_partition(*, settled: bool = True) -> list[str]:
    """I5: the slices of a stage hold each of its inputs once, and each input is a frozen one or a parent's output."""
    checks = {
        "batch whose inputs are not as many as it says": """
            SELECT b.id, b.n_units, count(u.id) FROM submissions_batch b LEFT JOIN submissions_unit u ON u.batch_id = b.id
            GROUP BY b.id HAVING count(u.id) <> b.n_units OR count(u.id) = 0
                OR count(*) FILTER (WHERE u.stage_id <> b.stage_id OR u.pass_number <> b.pass_number) > 0""",
        "stage whose slices are not numbered from one without a gap": """
            SELECT stage_id, pass_number FROM submissions_batch GROUP BY 1, 2
            HAVING min(number) <> 1 OR max(number) <> count(*)""",
        "attempt with an input that is not of its batch": """
            SELECT su.submission_id, su.unit_id FROM submissions_submissionunit su
            JOIN submissions_submission s ON s.id = su.submission_id JOIN submissions_unit u ON u.id = su.unit_id
            WHERE u.batch_id IS DISTINCT FROM s.batch_id""",
        "first attempt that does not cover its batch": """
            SELECT s.id, b.n_units, count(su.id) FROM submissions_submission s JOIN submissions_batch b ON b.id = s.batch_id
            LEFT JOIN submissions_submissionunit su ON su.submission_id = s.id
            WHERE s.kind = 'first' GROUP BY s.id, b.n_units HAVING count(su.id) <> b.n_units""",
        "later attempt at an input that had its result already": """
            SELECT s.id, su.unit_id FROM submissions_submissionunit su JOIN submissions_submission s ON s.id = su.submission_id
            JOIN submissions_acceptance a ON a.unit_id = su.unit_id JOIN submissions_result r ON r.id = a.result_id
            WHERE r.submission_id < s.id""",
        "output that matches an edge of what runs and is no input below it": """
            SELECT o.id, e.id FROM submissions_output o JOIN campaigns_edge e ON e.upstream_id = o.stage_id
            JOIN campaigns_campaign c ON c.id = e.campaign_id
            JOIN campaigns_edgeversion v ON v.edge_id = e.id AND v.revision_id = c.revision_id
            WHERE EXISTS (SELECT 1 FROM unnest(string_to_array(e.pattern, ',')) p WHERE o.name LIKE trim(p))
              AND NOT EXISTS (SELECT 1 FROM submissions_unit u WHERE u.edge_id = e.id AND u.output_id = o.id)""",
        "input that came by an edge and is no output above it": """
            SELECT u.id FROM submissions_unit u JOIN campaigns_edge e ON e.id = u.edge_id
            LEFT JOIN submissions_output o ON o.id = u.output_id
            WHERE o.stage_id IS DISTINCT FROM e.upstream_id OR u.stage_id <> e.downstream_id""",
        "accepted result of another batch than its input's": """
            SELECT a.unit_id FROM submissions_acceptance a JOIN submissions_result r ON r.id = a.result_id
            JOIN submissions_submission s ON s.id = r.submission_id JOIN submissions_unit u ON u.id = a.unit_id
            WHERE r.refused <> '' OR u.batch_id IS DISTINCT FROM s.batch_id""",
        "batch that counts its results wrongly": """
            SELECT b.id, b.done, count(a.unit_id) FROM submissions_batch b JOIN submissions_unit u ON u.batch_id = b.id
            LEFT JOIN submissions_acceptance a ON a.unit_id = u.id GROUP BY b.id HAVING b.done <> count(a.unit_id)""",
        "stage that counts its inputs wrongly (stage, counters, rows)": """
            SELECT p.stage_id, ARRAY[p.units, p.taken, p.done], ARRAY[count(u.id), count(u.batch_id), count(a.unit_id)]
            FROM submissions_stageprogress p LEFT JOIN submissions_unit u
                ON u.stage_id = p.stage_id AND u.pass_number = p.pass_number
            LEFT JOIN submissions_acceptance a ON a.unit_id = u.id GROUP BY p.id
            HAVING ARRAY[p.units, p.taken, p.done] <> ARRAY[count(u.id), count(u.batch_id), count(a.unit_id)]""",
    }  # fmt: skip
    if settled:
        checks["input that is in no slice"] = "SELECT id FROM submissions_unit WHERE batch_id IS NULL"
    found = [sentence for what, sql in checks.items() for sentence in _each(what, _rows(sql))]
    for stage_id, number, units, digest in _rows(
        "SELECT stage_id, pass_number, units, digest FROM submissions_snapshot"
    ):
        keys = [
            key
            for (key,) in _rows(
                "SELECT key FROM submissions_unit WHERE stage_id = %s AND pass_number = %s AND edge_id IS NULL ORDER BY id",
                stage_id, number,
            )
        ]  # fmt: skip
        if len(keys) != units or hashlib.sha256("\n".join(keys).encode()).hexdigest() != digest:
            found.append(f"stage {stage_id} has {len(keys)} frozen inputs which are not the {units} of its snapshot")
    return found


# --- I6 -----------------------------------------------------------------------------------------------------


def ticks_have_one_outcome() -> list[str]:
    """I6: each nominal time has one outcome, none is passed over, and the queue has no schedules of its own."""
    checks = {
        "a time of a schedule has two outcomes":
            "SELECT schedule_id, nominal FROM submissions_tick GROUP BY 1, 2 HAVING count(*) > 1",
        "a schedule waits for a time that has its outcome":
            "SELECT s.id FROM campaigns_schedule s JOIN submissions_tick t ON t.schedule_id = s.id"
            " AND t.nominal = s.next_at AND t.asked_by = ''",
        "an outcome lies after the time that the schedule waits for":
            "SELECT t.id FROM campaigns_schedule s JOIN submissions_tick t ON t.schedule_id = s.id"
            " WHERE t.nominal > s.next_at AND t.asked_by = ''",
        "the queue has schedules of its own": "SELECT id FROM django_q_schedule",
    }  # fmt: skip
    return [sentence for what, sql in checks.items() for sentence in _each(what, _rows(sql))]


# --- I7 -----------------------------------------------------------------------------------------------------


def what_ran_was_approved(truth: Truth) -> list[str]:
    """I7: what ran belongs to the revision that was approved, whose hash is that of its text and of the decision."""
    found = _each(
        "batch of another revision than the approved one",
        _rows(
            "SELECT b.id FROM submissions_batch b JOIN campaigns_stageversion v ON v.id = b.version_id"
            " JOIN campaigns_revision r ON r.id = v.revision_id JOIN campaigns_campaign c ON c.id = r.campaign_id"
            " WHERE c.revision_id IS DISTINCT FROM r.id OR r.state <> 'approved' OR v.stage_id <> b.stage_id"
        ),
    )
    approved = defaultdict(set)
    for revision_id, digest in _rows(
        "SELECT q.revision_id, d.digest FROM approvals_decision d JOIN approvals_request q ON q.id = d.request_id"
        " WHERE d.verdict = 'approve' AND q.state = 'approved'"
    ):
        approved[revision_id].add(digest)
    ran = _rows(
        "SELECT DISTINCT r.id, r.text, r.digest FROM submissions_batch b"
        " JOIN campaigns_stageversion v ON v.id = b.version_id JOIN campaigns_revision r ON r.id = v.revision_id"
    )
    for revision_id, text, digest in ran:
        if hashlib.sha256(text.encode()).hexdigest() != digest:
            found.append(f"revision {revision_id}: its hash is not that of its text")
        if approved[revision_id] != {digest}:
            found.append(f"revision {revision_id} ran with hash {digest}; approved are {approved[revision_id]}")
    intended = defaultdict(list)
    for uuid, index, key in _rows(
        "SELECT s.uuid::text, su.job_index, u.key FROM submissions_submissionunit su"
        " JOIN submissions_submission s ON s.id = su.submission_id JOIN submissions_unit u ON u.id = su.unit_id"
    ):
        intended[uuid].append((index, key))
    ran_jobs = defaultdict(list)
    for job in truth.jobs.values():
        ran_jobs[job.uuid] += [(job.index, key) for key in job.units]
    other = [
        uuid for uuid, events in truth.submits.items()
        if len(events) == 1 and sorted(ran_jobs[uuid]) != sorted(intended[uuid])
    ]  # fmt: skip
    return found + _each("submission that ran with other inputs than intended", other)


# --- I8 -----------------------------------------------------------------------------------------------------


def links_stay_in_one_experiment() -> list[str]:
    """I8: every row belongs to one experiment, and whatever it refers to belongs to the same."""
    found: list[str] = []
    for model in apps.get_models():
        path = _path(model)
        if path is None or not model._meta.managed:
            continue
        rows = model._base_manager.all()
        nullable = model._meta.get_field(path.removesuffix("_id")).null if "__" not in path else False
        if not nullable:
            found += _each(f"{model.__name__} without an experiment", rows.filter(**{path: None}).values_list("pk"))
        for link in model._meta.get_fields():
            if not isinstance(link, ForeignKey | OneToOneField | ManyToManyField):
                continue
            theirs = _path(link.related_model)
            if theirs is None:
                continue
            other = f"{link.name}__{theirs}"
            strangers = (
                rows.exclude(**{path: None}).exclude(**{other: None}).exclude(**{path: F(other)}).values_list("pk")
            )
            found += _each(f"{model.__name__}.{link.name} leads into another experiment", strangers[: SHOWN + 1])
    for kind, table, path in (
        ("campaign", "campaigns_campaign x", "x.experiment_id"),
        ("revision", "campaigns_revision x JOIN campaigns_campaign c ON c.id = x.campaign_id", "c.experiment_id"),
        ("request", "approvals_request x", "x.experiment_id"),
        ("batch", "submissions_batch x", "x.experiment_id"),
        ("submission", "submissions_submission x", "x.experiment_id"),
        ("command", "submissions_command x", "x.experiment_id"),
        ("job", "submissions_job x", "x.experiment_id"),
    ):
        strangers = _rows(
            f"SELECT t.id FROM core_transition t LEFT JOIN (SELECT x.id, {path} AS experiment_id FROM {table}) x"
            " ON x.id = t.thing_id WHERE t.kind = %s AND x.experiment_id IS DISTINCT FROM t.experiment_id",
            kind,
        )
        found += _each(f"transition of a {kind} of another experiment or of none", strangers)
    return found


def _path(model: Any) -> str | None:
    """Return along which fields a model's rows find their experiment's key; None if they have none."""
    if model._meta.label == "experiments.Experiment":
        return "id"
    path = getattr(model, "EXPERIMENT_PATH", None)
    return path if isinstance(path, str) else None
