"""Reports: equal to a recount of the ledger and of the jobs, day by day in UTC, of real productions and of moved ones."""

from __future__ import annotations

import csv
import io
import time
from collections import Counter
from datetime import UTC, date, datetime, timedelta

import pytest
from django.db import connection, transaction

from approvals.logic import deciding, filing
from core import loops
from core.clock import now
from core.ledger import oldest_running
from core.models import Transition
from integrations.batch.base import JobSeen
from integrations.models import BatchSystem, LedgerPlace
from poms_site.overview import periods, reports
from poms_site.overview.report_csv import csv_of
from poms_site.overview.report_figures import STEPS, figures, quantile
from poms_site.overview.report_pdf import pdf_of
from poms_site.overview.report_words import change, told, verdict
from submissions.logic import merging, planning, tallying
from submissions.models import (
    Failure,
    Job,
    Result,
    StepTally,
    Submission,
)
from tests import builders

MONDAY = date(2026, 11, 23)
FAILS = (
    "[campaign_stage gen]\nstage_type=generator\nevents=3\nevents_per_job=1\ncs_split_type=nevents(3)\n"
    "recovery_rounds=0\n"
)
MIDNIGHT = datetime.combine(now().date(), datetime.min.time(), UTC)  # the last one


def wait_for_others(seconds: float = 120) -> None:
    """Wait until no transaction of the server, another test's among them, keeps the ledger's feed from our last step."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_current_xact_id()::text::bigint")
        mark = cursor.fetchone()[0]
    deadline = time.monotonic() + seconds
    while oldest_running() <= mark:
        assert time.monotonic() < deadline, "somebody's transaction stays open"
        time.sleep(0.02)


def move(days: timedelta, **which) -> None:
    """Let steps of the ledger have happened earlier, as if these days had been lived through."""
    keys = list(Transition.objects.filter(**which).values_list("id", flat=True))
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE core_transition DISABLE TRIGGER core_transition_stays")
        cursor.execute("UPDATE core_transition SET at = at - %s WHERE id = ANY(%s)", [days, keys])
        cursor.execute("ALTER TABLE core_transition ENABLE TRIGGER core_transition_stays")


def recount(experiments, period) -> dict[int, Counter]:
    """Count what happened in a period from the ledger and the jobs themselves, row by row."""
    found = {row.pk: Counter() for row in experiments}
    for step in Transition.objects.exclude(kind="job").filter(experiment_id__in=list(found)):
        if period.since <= step.at < period.until:
            found[step.experiment_id][f"{step.kind} {step.verb}"] += 1
    for job in Job.objects.filter(experiment_id__in=list(found)).exclude(ended_at=None):
        if period.since <= job.ended_at < period.until:
            core = (job.wall_s or 0) * (job.cpus or 1)
            found[job.experiment_id].update({f"n {job.state}": 1, f"core {job.state}": core, "cpu": job.cpu_s or 0})
    return found


def check(experiments, period) -> reports.Report:
    """Hold a report against the recount of its period and of the one before."""
    made = reports.report(experiments, period)
    for of, pick in ((period, lambda row: row.now), (period.before, lambda row: row.before)):
        counted = recount(experiments, of) if of else {row.pk: Counter() for row in experiments}
        every = sum((Counter(c) for c in counted.values()), Counter())
        for row, counts in [(made.total, every), *zip(made.experiments, counted.values(), strict=True)]:
            wanted = figures(counts)
            for key, value in pick(row).items():
                if not key.startswith(("decision", "result", "surplus", "waste")):
                    assert value == (None if wanted[key] is None else pytest.approx(wanted[key])), (of.name, row, key)
    return made


@pytest.mark.django_db(transaction=True)
def test_a_report_of_days_that_were_lived_equals_a_recount(real_cast, local_system, drive):
    """Two real productions, one with jobs that fail; then the first is moved two days back, and half of the jobs of the
    second over midnight: every report of a day, a week and of all equals what is counted row by row."""
    script = 'case "$NAME" in bad*) exit 3;; *) echo "$KEYS" > "$NAME";; esac'
    builders.login_setup(real_cast, setup=f"export TINY_JOB='{script}'")
    good = builders.approved_campaign(real_cast)
    bad = builders.approved_campaign(real_cast, builders.definition(campaign="bad", stages=FAILS), title="bad")

    def ended():
        for row in (good, bad):
            row.refresh_from_db()
        return good.state == "succeeded" and bad.state == "failed"

    drive(ended)
    move(timedelta(days=2), kind="campaign", thing_id=good.pk)
    move(timedelta(days=2), campaign_id=good.pk)
    # Jobs are moved by what a batch system may say of them any time: they ended later than was thought.
    with transaction.atomic():
        later = [
            JobSeen(job.external_id, str(job.submission.uuid), job.state, starts=job.starts + 1,
                    at=(MIDNIGHT + timedelta(seconds=n - 2)).timestamp(), wall_s=100.0 + n, cpu_s=50.0, cpus=1 + n % 3)
            for n, job in enumerate(Job.objects.select_related("submission").order_by("pk"))
        ]  # fmt: skip
        merging.merge(local_system.pk, later, source="test")
    wait_for_others()
    while tallying.tally_some():
        pass
    loops.run("diagnose")
    today = now().date()
    experiments = [real_cast.experiment, real_cast.other]
    for day in (today - timedelta(days=n) for n in range(5)):
        for kind in periods.KINDS:
            check(experiments, periods.period_of(kind, day))
    whole = check(experiments, periods.period_of("all", max(today, MIDNIGHT.date())))
    assert whole.total.now["campaigns_succeeded"] == whole.total.now["campaigns_failed"] == 1
    assert whole.total.now["failed"] >= 3
    assert whole.total.now["wasted"] > 0
    assert whole.total.now["filed"] == whole.total.now["approved"] == 2
    before, after = (
        reports.report(experiments, periods.period_of("day", MIDNIGHT.date() - timedelta(days=n))) for n in (1, 0)
    )
    assert before.total.now["succeeded"] + before.total.now["failed"] == 2, "those of the last two seconds of a day"
    assert after.total.before == before.total.now, "the period before is the same as that period was"
    assert sum(row.now["succeeded"] + row.now["failed"] for row in after.stages) == Job.objects.count() - 2
    assert sum(row.jobs for row in whole.failures) == whole.total.now["failed"]
    assert {ref for row in whole.failures for ref in row.refs} == {row.ref for row in Failure.objects.all()}
    check_written(whole)


def check_written(made) -> None:
    """As CSV and as PDF it says the same."""
    rows = list(csv.DictReader(io.StringIO(csv_of(made))))
    total = {row["figure"]: row["value"] for row in rows if not row["experiment"] and not row["stage"]}
    assert total["succeeded"] == str(int(made.total.now["succeeded"]))
    assert {row["experiment"] for row in rows} == {"", "demo", "other"}
    first, second = pdf_of(made), pdf_of(made)
    assert first.startswith(b"%PDF-") and first == second


@pytest.mark.django_db(transaction=True)
def test_each_step_is_tallied_once_whoever_counts_and_whatever_is_killed(real_cast, monkeypatch):
    builders.approved_campaign(real_cast)
    monkeypatch.setattr(tallying, "AT_A_TIME", 3)
    planning.plan_some()
    wait_for_others()
    with pytest.raises(RuntimeError), transaction.atomic():  # killed before it was committed
        tallying.tally_some()
        raise RuntimeError
    assert not StepTally.objects.exists()
    loops.run("tally")
    once = list(StepTally.objects.order_by("pk").values_list("kind", "verb", "n"))
    assert loops.run("tally") == 0
    LedgerPlace.objects.filter(reader=tallying.READER).update(txid=0, last_id=0)
    StepTally.objects.all().delete()
    loops.run("tally")
    again = list(StepTally.objects.order_by("pk").values_list("kind", "verb", "n"))
    assert sorted(once) == sorted(again)
    kinds = Transition.objects.filter(kind__in=tallying.KINDS).count()
    assert sum(n for *_, n in once) == kinds


@pytest.mark.django_db(transaction=True)
def test_times_of_requests_are_from_the_filing_that_was_decided_on(real_cast):
    made = builders.request(real_cast)
    filing.file(made, by=real_cast.experimenter)
    move(timedelta(hours=50), kind="request", verb__in=("create", "file"))
    deciding.send_back(made, by=real_cast.approver, reason="no")
    move(timedelta(hours=40), kind="request", verb="return")
    with connection.cursor() as cursor:
        cursor.execute("UPDATE approvals_decision SET at = at - interval '40 hours'")
    made.refresh_from_db()
    filing.file(made, by=real_cast.experimenter)
    last = Transition.objects.filter(kind="request", verb="file").latest("id")
    move(timedelta(hours=4), id=last.id)
    deciding.approve(made, by=real_cast.approver, reason="yes")
    made.refresh_from_db()
    type(made.campaign).objects.filter(pk=made.campaign_id).update(state="succeeded", ended_at=now())
    wait_for_others()
    tallying.tally_some()
    found = reports.report([real_cast.experiment], periods.period_of("all", now().date())).total.now
    assert found["decision_median"] == pytest.approx((10 * 3600 + 4 * 3600) / 2, abs=60)
    assert found["result_median"] == pytest.approx(50 * 3600, abs=60), "from the first filing"
    assert (found["filed"], found["returned"], found["approved"]) == (2, 1, 1)


@pytest.mark.django_db
def test_results_that_do_not_count_are_waste_though_their_jobs_succeeded(cast):
    builders.approved_campaign(cast)
    planning.plan_some()
    row = Submission.objects.first()
    system = BatchSystem.objects.create(name="local")
    seen = [
        JobSeen(f"{n}.0@x", str(row.uuid), "succeeded", 1, now().timestamp(), wall_s=3600.0, cpus=2) for n in (1, 2)
    ]
    merging.merge(system.pk, seen, source="test")
    Result.objects.create(experiment=cast.experiment, submission=row, job="1.0@x", refused="has a result already")
    Result.objects.create(experiment=cast.experiment, submission=row, job="2.0@x")
    found = reports.report([cast.experiment], periods.period_of("day", now().date())).total.now
    assert (found["succeeded"], found["used"], found["surplus"], found["wasted"]) == (2, 4.0, 1, 2.0)
    assert found["waste"] == 50


@pytest.mark.django_db
def test_what_waits_is_said_beside_what_was(cast):
    filing.file(builders.request(cast), by=cast.experimenter)
    builders.approved_campaign(cast, builders.definition(campaign="more"), title="more")
    planning.plan_some()
    found = reports.report([cast.experiment, cast.other], periods.period_of("week", now().date()))
    waits = found.backlog["demo"]
    assert (waits.requests, waits.submissions) == (1, Submission.objects.filter(state="pending").count())
    assert found.waiting == waits, "nothing waits in the other experiment"


def test_weeks_begin_on_monday_and_days_are_utc():
    week = periods.period_of("week", MONDAY + timedelta(days=6))
    assert (week.begin, week.name) == (MONDAY, "2026-W48")
    assert week.title == "Week 2026-W48, 23 November to 29 November 2026"
    assert week.before.name == "2026-W47" and week.after.begin == date(2026, 11, 30)
    assert periods.period_of("all", MONDAY).before is None
    assert not week.is_over(week.until - timedelta(microseconds=1)) and week.is_over(week.until)
    assert periods.latest_over("day", datetime(2026, 12, 1, 0, 30, tzinfo=UTC)).name == "2026-11-30"
    with pytest.raises(ValueError, match="no period"):
        periods.period_of("month", MONDAY)


@pytest.mark.django_db
def test_quantiles_are_those_of_the_database():
    sizes = [5.0, 1.0, 9.0, 2.5, 7.0]
    with connection.cursor() as cursor:
        for share in (0.0, 0.5, 0.9, 1.0):
            cursor.execute(
                "SELECT percentile_cont(%s) WITHIN GROUP (ORDER BY v) FROM unnest(%s::float8[]) v", [share, sizes]
            )
            assert quantile(sizes, share) == pytest.approx(cursor.fetchone()[0])
    assert quantile([], 0.5) is None


def test_changes_are_told_with_their_direction():
    from poms_site.overview.report_figures import BY_KEY

    failed, success, filed = BY_KEY["failed"], BY_KEY["success"], BY_KEY["filed"]
    assert (change(failed, 30, 20), verdict(failed, 30, 20)) == ("+50 %", "worse")
    assert (change(success, 90.0, 95.5), verdict(success, 90.0, 95.5)) == ("−5.5 points", "worse")
    assert (change(filed, 3, 0), verdict(filed, 3, 0)) == ("new", "")
    assert (change(filed, 3, 3), change(filed, 0, 0)) == ("the same", "")
    assert (change(filed, None, 3), change(success, 3.0, None)) == ("", "")
    assert told(BY_KEY["decision_median"], 7500.0) == "2 h 5 min"
    assert told(success, None) == "–"


def test_every_step_that_is_counted_is_one_that_the_ledger_can_have():
    from approvals.states import REQUEST
    from campaigns.states import CAMPAIGN
    from submissions.states import BATCH, SUBMISSION

    tables = {"request": REQUEST, "campaign": CAMPAIGN, "batch": BATCH, "submission": SUBMISSION}
    for step in (step for steps in STEPS.values() for step in steps):
        kind, verb = step.split()
        assert kind in tallying.KINDS
        if kind in tables:
            verbs = {move.verb for move in tables[kind].moves}
            assert verb in verbs, step
