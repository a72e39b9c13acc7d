"""Jobs are kept for their time after their end, then in the archive, and can be read all the same (M11)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from io import StringIO

import pytest
from django.core.management import call_command
from django.db import DatabaseError, connection, transaction
from django.test import Client
from rest_framework.test import APIClient

from core import clock, ledger, loops, retention
from core.models import Seal, Transition
from experiments.logic import tokens
from experiments.models import User
from integrations.batch.base import JobSeen
from integrations.models import BatchSystem
from submissions.logic import acting, merging, missing, planning, retaining
from submissions.models import Batch, Command, EveryJob, Job, JobCount, JobTally, Submission
from tests import builders
from tests.cast import Cast

END = datetime(2026, 3, 31, 23, 59, 59, tzinfo=UTC)
KEPT = timedelta(days=30)


@pytest.fixture
def submission(cast: Cast) -> Submission:
    """A settled submission with two jobs of last spring, one of which failed."""
    builders.approved_campaign(cast)
    planning.plan_some()
    found = Submission.objects.select_related("experiment").first()
    BatchSystem.objects.create(name="local")
    report(found, ("1@x", "processing", -600, {}), ("1@x", "succeeded", 0, {"exit_code": 0, "wall_s": 600.0}))
    report(found, ("2@x", "processing", -600, {}), ("2@x", "failed", 0, {"exit_code": 65, "code": "exit"}))
    Submission.objects.filter(pk=found.pk).update(state="completed", look_at=None)
    Batch.objects.filter(pk=found.batch_id).update(state="completed")
    return found


def report(submission: Submission, *said: tuple[str, str, float, dict]) -> int:
    jobs = [
        JobSeen(id=name, uuid=str(submission.uuid), state=state, starts=1, at=END.timestamp() + at, index=int(name[0]) - 1,
                node="n1", site="SITE", **facts)
        for name, state, at, facts in said
    ]  # fmt: skip
    with transaction.atomic():
        return merging.merge(BatchSystem.objects.get().pk, jobs, source="test")


def retain_at(moment: datetime) -> None:
    with clock.shifted(moment - clock.now()):
        while retaining.retain():
            pass


def signed_in(user: User) -> APIClient:
    _, secret = tokens.issue(user, "test")
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {secret}")
    return client


def test_a_job_is_kept_until_thirty_days_after_its_end_and_then_in_the_archive(submission):
    retain_at(END + KEPT - timedelta(seconds=1))
    assert (Job.objects.count(), EveryJob.objects.filter(archived=True).count()) == (2, 0)
    retain_at(END + KEPT + timedelta(seconds=1))
    assert (Job.objects.count(), EveryJob.objects.filter(archived=True).count()) == (0, 2)


def test_nothing_of_a_job_is_lost_on_the_way(submission):
    names = [field.name for field in Job._meta.concrete_fields]
    before = list(EveryJob.objects.order_by("pk").values_list(*names))
    steps = list(ledger.history({"job": [before[0][0]]}).values_list("at", "source", "target", "actor", "reason"))
    retain_at(END + 2 * KEPT)
    assert list(EveryJob.objects.order_by("pk").values_list(*names)) == before
    job = EveryJob.objects.order_by("pk").first()
    kept = job.archived_steps()
    assert [(s.at, s.source, s.target, s.actor, s.reason) for s in kept] == steps and len(steps) == 2
    assert {(c.state, c.n) for c in JobCount.objects.filter(n__gt=0)} == {("succeeded", 1), ("failed", 1)}
    assert sum(row.n for row in JobTally.objects.all()) == 2


def test_jobs_of_a_submission_that_goes_on_stay(submission):
    Submission.objects.update(state="running")
    retain_at(END + timedelta(days=400))
    assert Job.objects.count() == 2


def test_a_job_without_an_end_stays(submission):
    report(submission, ("3@x", "processing", 0, {}))
    retain_at(END + timedelta(days=400))
    assert [job.external_id for job in Job.objects.all()] == ["3@x"]


def test_a_report_that_comes_after_all_that_changes_nothing(submission):
    retain_at(END + 2 * KEPT)
    assert report(submission, ("1@x", "failed", 100, {}), ("9@x", "failed", 100, {})) == 0
    assert not Job.objects.exists()
    assert sum(row.n for row in JobCount.objects.all()) == 2


def test_the_archive_is_only_read(submission):
    retain_at(END + 2 * KEPT)
    for words in ("UPDATE submissions_archivedjob SET node = 'x'", "DELETE FROM submissions_archivedjob"):
        with pytest.raises(DatabaseError, match="append-only"), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(words)


def test_recovery_knows_archived_jobs(submission):
    batch = submission.batch
    before = missing.fates_by_jobs(batch)
    assert set(before.fate.values()) == {"consumed", "failed"}
    retain_at(END + 2 * KEPT)
    assert missing.fates_by_jobs(batch) == before


def test_page_and_api_and_search_answer_from_the_archive(submission, cast):
    job = Job.objects.get(external_id="2@x")
    Submission.objects.update(state="running")
    Command.objects.create(
        experiment=submission.experiment,
        verb="kill",
        submission=submission,
        job_id=job.pk,
        actor="user:x",
        reason="why",
    )
    Submission.objects.update(state="completed")
    client, api = Client(), signed_in(cast.operator)
    client.force_login(cast.operator)
    asked = [f"/api/v1/jobs/{job.ref}/", f"/api/v1/jobs/{job.ref}/history/"]
    before = [api.get(path).json() for path in asked]
    retain_at(END + 2 * KEPT)
    after = [api.get(path).json() for path in asked]
    assert after[0]["archived"] is True and before[0]["archived"] is False
    for seen in (before[0], after[0]):
        del seen["archived"], seen["seconds_in_state"]
    assert after == before
    page = client.get(f"/e/demo/jobs/j{job.pk}/").content.decode()
    assert "2@x" in page and "exit code 65" in page and "archive" in page
    assert job.ref in client.get("/search/?q=2@x").content.decode()
    assert client.get("/e/demo/commands/").status_code == 200
    assert api.get("/api/v1/commands/").json()["results"][0]["job"] == job.ref


def test_lists_are_of_what_is_here_or_of_a_month_of_the_archive(submission, cast):
    client, api = Client(), signed_in(cast.operator)
    client.force_login(cast.operator)
    retain_at(END + 2 * KEPT)

    def listed(query: str) -> list[str]:
        found = [row["external_id"] for row in api.get(f"/api/v1/jobs/{query}").json()["results"]]
        page = client.get(f"/e/demo/jobs/{query}&part=live").content.decode()
        assert [name in page for name in ("1@x", "2@x")] == [name in found for name in ("1@x", "2@x")]
        return found

    assert listed("?state=failed") == []
    assert listed("?archived=2026-03") == ["2@x", "1@x"]
    assert listed("?archived=2026-03&state=failed") == ["2@x"]
    assert listed("?archived=2026-04") == []
    assert api.get("/api/v1/jobs/?archived=march").status_code == 422
    assert client.get("/e/demo/jobs/?archived=2026-13").status_code == 422


def test_nothing_is_wanted_of_an_archived_job(submission, cast):
    retain_at(END + 2 * KEPT)
    job = EveryJob.objects.select_related("experiment").first()
    with pytest.raises(Exception, match="nothing left to kill"):
        acting.command("kill", submission, job=job, actor="user:x", reason="why")


def test_the_command_says_what_it_would_do_and_does_it(submission):
    def run(*options: str) -> str:
        out = StringIO()
        call_command("retain", *options, stdout=out)
        return out.getvalue()

    with clock.shifted(END + 2 * KEPT - clock.now()):
        assert "2 jobs that ended before" in run("--dry-run") and Job.objects.count() == 2
        assert "2 jobs" in run() and not Job.objects.exists()
        assert "0 jobs" in run("--dry-run")
    assert "retain" in {loop.name for loop in loops.all_loops()}


# --- Months that are dropped -----------------------------------------------------------------------------------


def months(table: str) -> set[str]:
    return {f"{month:%Y-%m}" for month in retention.partitions_before(table, datetime(2100, 1, 1, tzinfo=UTC))}


def seal_all() -> None:
    while Transition.objects.count() > sum(Seal.objects.values_list("rows", flat=True)):
        ledger.seal()


@pytest.fixture
def march(transactional_db):
    """The ledger's month of the jobs' steps, made ahead as `retain` would have."""
    retention.make_partition(ledger.JOBS, END.date().replace(day=1))
    yield
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE core_transition")
        cursor.execute(f"DROP TABLE IF EXISTS {ledger.JOBS}_2026_03, submissions_archivedjob_2026_03")
    retention.make_partitions(clock.now().date())


@pytest.fixture
def sealed(march, real_cast):
    builders.approved_campaign(real_cast)
    planning.plan_some()
    found = Submission.objects.select_related("experiment").first()
    BatchSystem.objects.create(name="local")
    report(found, ("1@x", "processing", -600, {}), ("1@x", "succeeded", 0, {}), ("2@x", "processing", -5, {}))
    Submission.objects.filter(pk=found.pk).update(state="completed", look_at=None)
    seal_all()
    return found


def test_a_month_of_the_ledger_goes_when_all_its_jobs_are_archived_and_its_digest_stays(sealed):
    retain_at(END + 3 * KEPT)
    assert Job.objects.count() == 1 and "2026-03" in months(ledger.JOBS), "a job still has a step in it"
    report(sealed, ("2@x", "failed", 0, {}))
    seal_all()
    retain_at(END + 3 * KEPT)
    assert "2026-03" not in months(ledger.JOBS)
    assert not Transition.objects.filter(kind="job", at__lte=END).exists()
    assert [s.target for s in EveryJob.objects.get(external_id="1@x").archived_steps()] == ["succeeded", "processing"]
    assert ledger.verify() == []
    step = Transition.objects.get(kind="partition")
    assert (step.thing_id, step.target, step.actor) == (202603, "dropped", "loop:retain")
    link = next(link for link in Seal.objects.order_by("pk") if f"{ledger.JOBS}_2026_03" in link.parts)
    link.parts[f"{ledger.JOBS}_2026_03"][1] = ledger.GENESIS
    link.save()
    assert ledger.verify() == [
        f"seal {link.pk} ({link.rows} rows) does not match the {link.rows - rows_in(link)} rows it covers"
    ]


def rows_in(link: Seal) -> int:
    return int(link.parts[f"{ledger.JOBS}_2026_03"][0])


def test_a_month_that_is_not_sealed_stays(march, real_cast):
    builders.approved_campaign(real_cast)
    planning.plan_some()
    found = Submission.objects.select_related("experiment").first()
    BatchSystem.objects.create(name="local")
    report(found, ("1@x", "succeeded", 0, {}))
    Submission.objects.filter(pk=found.pk).update(state="completed", look_at=None)
    retain_at(END + 3 * KEPT)
    assert not Job.objects.exists() and "2026-03" in months(ledger.JOBS)


def test_a_month_that_somebody_drops_by_hand_is_missed(sealed):
    with connection.cursor() as cursor:
        cursor.execute(f"DROP TABLE {ledger.JOBS}_2026_03")
    assert len(ledger.verify()) == 1


def test_the_archive_stays_for_ever_or_as_long_as_is_set(sealed, settings):
    report(sealed, ("2@x", "failed", 0, {}))
    retain_at(END + timedelta(days=4000))
    assert "2026-03" in months("submissions_archivedjob")
    settings.KEEP_ARCHIVE_DAYS = 365
    retain_at(END + timedelta(days=364))
    assert "2026-03" in months("submissions_archivedjob")
    retain_at(END + timedelta(days=367))
    assert "2026-03" not in months("submissions_archivedjob")
    assert not EveryJob.objects.exists() and sum(row.n for row in JobTally.objects.all()) == 2
