"""`python -m tests.scale.campaigns`: 2,000 campaigns with 250,000 submissions; are their pages quick for one client?

Starts a whole POMS and fills its tables with campaigns of the past, first a few and then many, by copying one that
planner and approvers made. Each time an operator asks for each page `--times` times over HTTP, after one answer that
warms it. Prints one JSON object a line, like `make bench`:

campaign_list_p95_ms          the list of campaigns; reference: the same page with few campaigns in the tables
campaign_list_sql             how many SQL statements it takes; reference: the same
campaign_history_p95_ms       every step of the campaign with the most submissions, and its statements as `_sql`
campaign_submissions_p95_ms   the list of its submissions, and its statements as `_sql`
submission_page_p95_ms        one of its submissions, another one each time, and its statements as `_sql`

The lists and the history keep nothing between two answers but what depends on nothing else: the address of a reference,
the mark of a state, the bar of four numbers. The page of a submission keeps its live part for two seconds
and what its script printed for ten: that is why it is another submission each time, and every answer is made anew.
`fill` is what tests/web/test_statements.py counts SQL statements with.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import time
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.db import connection

ROLE = "operator"
CHUNK = 25_000
SHARE_OF_LARGEST = 83  # one submission in so many is of the one large campaign: 3,012 of 250,000
JOBS = 2
FAILS = 20  # one job in so many failed, where a submission has so many
FEW = (60, 600)
FULL = (2_000, 250_000)
STAGES = (
    f"[campaign_stage gen]\nstage_type=generator\nevents={JOBS}\nevents_per_job=1\ncs_split_type=nevents({JOBS})\nseed=7\n"
    "[campaign_stage sum]\ndataset_or_split_data=from_parent\ncs_split_type=None\n"
    "[dependencies sum]\ncampaign_stage_1=gen\n"
)
# kind, from, to, verb, actor: what the loops write of a batch whose first attempt did it, in this order
STEPS = (
    ("batch", "", "pending", "create", "loop:plan"),
    ("submission", "", "pending", "create", "loop:plan"),
    ("submission", "pending", "launching", "launch", "loop:launch"),
    ("submission", "launching", "submitted", "submit", "loop:launch"),
    ("batch", "pending", "submitted", "submit", "loop:launch"),
    ("submission", "submitted", "running", "start", "loop:observe"),
    ("batch", "submitted", "project_running", "start", "loop:observe"),
    ("submission", "running", "jobs_completed", "end_jobs", "loop:observe"),
    ("batch", "project_running", "jobs_completed", "end_jobs", "loop:observe"),
    ("submission", "jobs_completed", "completed", "settle", "loop:settle"),
    ("batch", "jobs_completed", "completed", "complete", "loop:settle"),
)


@dataclass(frozen=True)
class Past:
    """What was filled in: the keys of the campaign with the most submissions, and of its submissions."""

    largest: int
    submissions: list[int]


@dataclass(frozen=True)
class Prototype:
    """The keys of one campaign that has ended, from which all others are copied."""

    campaign: int
    revision: int
    stages: list[int]
    versions: list[int]
    batch: int
    submission: int
    counter: int
    job: int


def fill(campaigns: int, submissions: int, cast: Any, jobs: int = JOBS) -> Past:
    """Write so many campaigns of one past year with so many submissions together, each with its jobs and its history.

    One of them has every SHARE_OF_LARGESTth submission, from the first to the last; the others have equally many. It and
    every tenth of the others was cancelled: its stages never ended, so how far it is must be summed over its batches.
    Inputs and outputs are left out: none of the pages measured here reads them.
    """
    from django.db import transaction

    with transaction.atomic(), connection.cursor() as cursor:
        row = prototype(cast)
        copy_campaigns(cursor, row, campaigns)
    for begin in range(0, submissions, CHUNK):  # a transaction each, for the ledger is sealed by transactions
        with transaction.atomic(), connection.cursor() as cursor:
            _copy_submissions(cursor, row, range(begin, min(begin + CHUNK, submissions)), submissions, jobs)
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO submissions_stageprogress (stage_id, pass_number, units, taken, done, events_done, closed)"
            " SELECT stage_id, 1, sum(n_units), sum(n_units), sum(done), sum(done), true FROM submissions_batch b"
            " JOIN past p ON p.stage = b.stage_id GROUP BY stage_id"
        )
        cursor.execute(
            "INSERT INTO submissions_jobtally (experiment_id, stage_id, day, site, state_code, n, wall_s, core_s, cpu_s)"
            " SELECT j.experiment_id, b.stage_id, (j.ended_at AT TIME ZONE 'UTC')::date, j.site, j.state_code, count(*),"
            " sum(coalesce(j.wall_s, 0)), sum(coalesce(j.wall_s, 0) * coalesce(j.cpus, 1)), sum(coalesce(j.cpu_s, 0))"
            " FROM submissions_job j JOIN submissions_submission s ON s.id = j.submission_id"
            " JOIN submissions_batch b ON b.id = s.batch_id JOIN past p ON p.stage = b.stage_id GROUP BY 1, 2, 3, 4, 5"
        )
        cursor.execute("SELECT campaign FROM past WHERE place = 0")
        (largest,) = cursor.fetchone()
        cursor.execute("SELECT id FROM submissions_submission WHERE campaign_id = %s ORDER BY id DESC", [largest])
        mine = [pk for (pk,) in cursor.fetchall()]
        cursor.execute("DROP TABLE past")
    return Past(largest, mine)


def prototype(cast: Any) -> Prototype:
    """Make one campaign as people and planner make it, and let it have ended well, in the caller's transaction."""
    from campaigns.models import Stage
    from core.clock import now
    from integrations.models import BatchSystem
    from submissions.logic import planning
    from submissions.models import Batch, Job, JobCount, JobTally, Submission
    from submissions.states import JOB_RANK
    from tests import builders

    campaign = builders.approved_campaign(cast, builders.definition(stages=STAGES))
    stages = list(Stage.objects.filter(campaign=campaign).order_by("pk"))
    for stage in stages:
        planning.plan(stage.pk)
    end = now()
    begin = end - timedelta(hours=1)
    batch = Batch.objects.get(stage=stages[0])
    submission = Submission.objects.get(batch=batch)
    system, _ = BatchSystem.objects.get_or_create(name=submission.system, defaults={"backend": "local"})
    job = Job.objects.create(
        experiment=campaign.experiment, submission=submission, system=system, external_id=f"{batch.pk}@past", index=0,
        state_code=JOB_RANK["succeeded"], starts=1, event_at=end, state_since=end, started_at=begin, ended_at=end,
        exit_code=0, node="node1", site="SITE", memory_mb=150, wall_s=3000,
    )  # fmt: skip
    counter = JobCount.objects.create(submission=submission, state_code=job.state_code, n=1)
    JobTally.objects.create(
        experiment=campaign.experiment, stage=stages[0], day=end.date(), site=job.site, state_code=job.state_code, n=1,
        wall_s=job.wall_s, core_s=job.wall_s,
    )  # fmt: skip
    type(campaign).objects.filter(pk=campaign.pk).update(state="succeeded", started_at=begin, ended_at=end)
    Stage.objects.filter(campaign=campaign).update(completed_at=end, succeeded=True)
    Batch.objects.filter(pk=batch.pk).update(state="completed", done=batch.n_units, due_at=None)
    Submission.objects.filter(pk=submission.pk).update(
        state="completed", look_at=None, attempt=1, launched_at=begin, ended_at=end, exit_code=0
    )
    campaign.refresh_from_db()
    return Prototype(
        campaign.pk, campaign.revision_id, [stage.pk for stage in stages],
        [stage.versions.get().pk for stage in stages], batch.pk, submission.pk, counter.pk, job.pk,
    )  # fmt: skip


def copy(cursor: Any, model: Any, pk: int, source: str, **changed: str) -> None:
    """Insert a copy of a row for each row of a query `g`, with some columns from expressions over it."""
    quoted = connection.ops.quote_name
    columns = [field.column for field in model._meta.concrete_fields if not field.primary_key]
    assert not set(changed) - set(columns), changed
    values = [changed.get(column, f"p.{quoted(column)}") for column in columns]
    table = quoted(model._meta.db_table)
    cursor.execute(
        f"INSERT INTO {table} ({', '.join(map(quoted, columns))})"
        f" SELECT {', '.join(values)} FROM {table} p CROSS JOIN ({source}) g WHERE p.id = {pk:d}"
    )


def copy_campaigns(cursor: Any, row: Prototype, campaigns: int) -> None:
    """Copy the campaign with its definition; the temporary table `past` numbers the copies."""
    from campaigns.models import Campaign, Revision, Stage, StageVersion

    copy(cursor, Campaign, row.campaign, f"SELECT n FROM generate_series(1, {campaigns:d}) n ORDER BY n",
          name=f"'past-{row.campaign}-' || n", revision_id="NULL",
          state=f"CASE WHEN ({campaigns:d} - g.n) % 10 = 0 THEN 'cancelled' ELSE p.state END")  # fmt: skip
    mine = f"SELECT id FROM campaigns_campaign WHERE name LIKE 'past-{row.campaign}-%'"
    copy(cursor, Revision, row.revision, mine, campaign_id="g.id")
    cursor.execute(
        f"UPDATE campaigns_campaign c SET revision_id = r.id FROM campaigns_revision r"
        f" WHERE r.campaign_id = c.id AND c.id IN ({mine})"
    )
    ends = f"SELECT id, state = 'succeeded' AS ended FROM campaigns_campaign WHERE id IN ({mine})"
    for stage, version in zip(row.stages, row.versions, strict=True):
        copy(cursor, Stage, stage, ends, campaign_id="g.id", completed_at="CASE WHEN g.ended THEN p.completed_at END",
              succeeded="CASE WHEN g.ended THEN p.succeeded END")  # fmt: skip
        made = (
            "SELECT s.id AS stage, c.revision_id AS revision FROM campaigns_stage s"
            f" JOIN campaigns_campaign c ON c.id = s.campaign_id AND c.id IN ({mine})"
            f" WHERE s.name = (SELECT name FROM campaigns_stage WHERE id = {stage:d})"
        )
        copy(cursor, StageVersion, version, made, stage_id="g.stage", revision_id="g.revision")
    cursor.execute(
        "CREATE TEMPORARY TABLE past AS SELECT row_number() OVER (ORDER BY c.id DESC) - 1 AS place, c.id AS campaign,"
        " s.id AS stage, v.id AS version FROM campaigns_campaign c JOIN campaigns_stage s ON s.campaign_id = c.id"
        " JOIN campaigns_stageversion v ON v.stage_id = s.id AND v.revision_id = c.revision_id"
        f" WHERE c.id IN ({mine}) AND s.name = (SELECT name FROM campaigns_stage WHERE id = {row.stages[0]:d})"
    )


def _copy_submissions(cursor: Any, row: Prototype, some: range, of: int, jobs: int) -> None:
    """Copy batch and submission, one each, with jobs, counters and history, evenly over the year before now."""
    from submissions.models import Batch, Job, JobCount, Submission
    from submissions.states import JOB_RANK

    places = (
        "SELECT k, p.campaign, p.stage, p.version FROM"
        f" generate_series({some.start:d}, {some.stop - 1:d}) k CROSS JOIN (SELECT count(*) AS n FROM past) a"
        f" JOIN past p ON p.place = CASE WHEN k % {SHARE_OF_LARGEST} = 0 THEN 0 ELSE 1 + k * (a.n - 1) / {of:d} END ORDER BY k"
    )
    unique = f"{row.batch}:' || k"
    ago = f"({of:d} - g.k) * interval '1 year' / {of:d}"
    copy(cursor, Batch, row.batch, places, stage_id="g.stage", version_id="g.version", number="1 + g.k",
          reason_key=f"'slice:{unique}")  # fmt: skip
    batches = (
        f"SELECT b.id AS batch, x.campaign, x.k FROM submissions_batch b JOIN ({places}) x"
        f" ON b.reason_key = 'slice:{row.batch}:' || x.k ORDER BY x.k"
    )
    copy(cursor, Submission, row.submission, batches, batch_id="g.batch", campaign_id="g.campaign",
          uuid="gen_random_uuid()", reason_key=f"'first:{unique}",
         **{name: f"p.{name} - {ago}" for name in ("created_at", "launched_at", "ended_at")})  # fmt: skip
    made = (
        f"SELECT s.id AS submission, s.batch_id AS batch, s.campaign_id AS campaign, x.k FROM submissions_submission s"
        f" JOIN generate_series({some.start:d}, {some.stop - 1:d}) x(k) ON s.reason_key = 'first:{row.batch}:' || x.k ORDER BY x.k"
    )
    bad, good, failed = jobs // FAILS, JOB_RANK["succeeded"], JOB_RANK["failed"]
    copy(cursor, JobCount, row.counter, f"SELECT m.*, c.* FROM ({made}) m CROSS JOIN"
         f" (VALUES ({good:d}, {jobs - bad:d}), ({failed:d}, {bad:d})) c(code, n) WHERE c.n > 0",
         submission_id="g.submission", state_code="g.code", n="g.n")  # fmt: skip
    fails = f"g.i % {FAILS} = {FAILS - 1}"
    copy(cursor, Job, row.job, f"SELECT * FROM ({made}) m CROSS JOIN generate_series(0, {jobs - 1}) i",
         submission_id="g.submission", index="g.i", external_id=f"'{row.batch}.' || g.k || '.' || g.i || '@past'",
         state_code=f"CASE WHEN {fails} THEN {failed:d} ELSE {good:d} END", site="'SITE' || g.k % 20",
         node="'node' || (7 * g.k + g.i) % 500", exit_code=f"CASE WHEN {fails} THEN 65 ELSE 0 END",
         code=f"CASE WHEN {fails} THEN 'exit' ELSE '' END",
         **{name: f"p.{name} - {ago}" for name in ("event_at", "state_since", "started_at", "ended_at")})  # fmt: skip
    cursor.execute(
        "INSERT INTO core_transition"
        " (kind, thing_id, experiment_id, campaign_id, source, target, verb, actor, reason)"
        " SELECT s.kind, CASE s.kind WHEN 'batch' THEN m.batch ELSE m.submission END, c.experiment_id, m.campaign,"
        f" s.source, s.target, s.verb, s.actor, 'as it should be' FROM ({made}) m CROSS JOIN unnest(%s, %s, %s, %s, %s)"
        " WITH ORDINALITY s(kind, source, target, verb, actor, place)"
        f" CROSS JOIN (SELECT experiment_id FROM campaigns_campaign WHERE id = {row.campaign:d}) c ORDER BY s.place, m.k",
        [list(column) for column in zip(*STEPS, strict=True)],
    )


def pages(past: Past, times: int) -> dict[str, list[str]]:
    """Return by name which addresses are asked for, one after the other."""
    largest = f"/e/demo/campaigns/c{past.largest}/"
    newest = past.submissions[: times + 1]
    return {
        "campaign_list": ["/e/demo/campaigns/"] * (times + 1),
        "campaign_history": [f"{largest}history/"] * (times + 1),
        "campaign_submissions": [f"/e/demo/submissions/?campaign=c{past.largest}"] * (times + 1),
        "submission_page": [f"/e/demo/submissions/s{pk}/" for pk in newest],
    }


def statements(addresses: list[str], user: Any) -> list[str]:
    """Return the SQL statements that the last of these pages takes, the first of them having warmed the session."""
    from django.test import Client
    from django.test.utils import CaptureQueriesContext

    from poms_site.web import live

    client = Client()
    client.force_login(user)
    client.get(addresses[0])
    live.forget()
    with CaptureQueriesContext(connection) as queries:
        answer = client.get(addresses[-1])
    assert answer.status_code == 200, (addresses[-1], answer.status_code)
    return [query["sql"] for query in queries]


def sealed() -> None:
    """Let the ledger be sealed up to now: what years bring is in the tables at once, and hashing it takes a core."""
    from core import ledger
    from core.models import Seal, Transition

    while True:
        ledger.seal()
        last = Seal.objects.order_by("-to_txid").first()
        if not Transition.objects.filter(txid__gte=last.to_txid if last else 0).exists():
            return
        time.sleep(0.2)


def measured(site: Any, cookie: str, user: Any, past: Past, times: int) -> dict[str, tuple[float, int]]:
    """Return the 95th percentile of the time of each page's answers, the first left out, and its statements."""
    from tests.scale.readers import ask, p95

    found = {}
    for name, addresses in pages(past, times).items():
        answers = [ask(site.address, path, cookie) for path in addresses]
        found[name] = (p95(answers[1:]), len(statements(addresses, user)))
    return found


def main() -> None:
    """Start everything, fill in a little, measure, fill in much, measure, print, stop everything."""
    options = argparse.ArgumentParser(prog="campaigns")
    options.add_argument("--campaigns", type=int, default=FULL[0])
    options.add_argument("--submissions", type=int, default=FULL[1])
    options.add_argument("--times", type=int, default=60)
    asked = options.parse_args()
    from poms_site import embedded
    from tests.scale.readers import Site, say

    home = Path(tempfile.mkdtemp(prefix="poms-campaigns-"))
    server = embedded.ensure(None, durable=True)
    site = Site(home)
    try:
        os.environ.update(
            DJANGO_SETTINGS_MODULE="poms_site.settings", POMS_STATE=str(home / "run"), POMS_BELL="0", POMS_LOG="ERROR",
            POMS_LOCAL_PASSWORDS="1",
        )  # fmt: skip
        import django

        django.setup()
        from experiments.models import Experiment, User
        from tests.cast import Cast

        cast = Cast(
            Experiment.objects.get(name="demo"),
            Experiment.objects.get(name="other"),
            {user.username: user for user in User.objects.all()},
        )
        cookie = site.session(ROLE)
        found = []
        for campaigns, submissions in (FEW, (asked.campaigns, asked.submissions)):
            with connection.cursor() as cursor:
                # The copies' keys are right; to look each of them up would take as long again.
                cursor.execute("SET session_replication_role = replica")
                cursor.execute("SET statement_timeout = 0")  # a slow machine takes its time over years at once
                past = fill(campaigns, submissions, cast)
                cursor.execute("VACUUM ANALYZE")  # as autovacuum does in its time
            sealed()
            found.append(measured(site, cookie, cast.people[ROLE], past, asked.times))
        few, many = found
        for name, (time_taken, sql) in many.items():
            say(f"{name}_p95_ms", time_taken, "ms", few[name][0])
            say(f"{name}_sql", sql, "statements", few[name][1])
    finally:
        site.stop()
        if server is not None:
            server.stop()
        shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    main()
