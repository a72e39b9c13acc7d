"""The loop that recognises failures: each job once, exact sums, silence is not an answer, and what went well is taken back."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.db.models import Sum

from core.clock import now
from core.models import Transition
from experiments.models import User
from integrations import registry
from integrations.errors import Refused as Denied
from integrations.errors import Unavailable
from integrations.models import BatchSystem, Notice
from poms_site.overview import notices
from submissions.logic import diagnosing, escalating, routing
from submissions.models import Failure, Job, JobCount, JobFailure, Reading, Sighting, Signature, Submission
from submissions.states import JOB_RANK
from tests.failures_corpus import running

SPEAKS = "Traceback (most recent call last):\n  File \"reco.py\", line 3, in load\nKeyError: 'geometry'\n"


class Logs:
    """A batch system of which only the logs are asked."""

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}
        self.silent: Exception | None = None
        self.asked: list[tuple[str, str, int, int]] = []

    def log(self, job_id: str, stream: str, offset: int, length: int) -> dict[str, object]:
        self.asked.append((job_id, stream, offset, length))
        if self.silent:
            raise self.silent
        data = self.texts.get(job_id, SPEAKS).encode() if stream == "err" else b""
        return {"text": data[offset : offset + length].decode(), "total": len(data)}


@pytest.fixture
def logs(monkeypatch):
    found = Logs()
    monkeypatch.setattr(registry, "batch", lambda name: found)
    return found


@pytest.fixture
def submission(cast):
    BatchSystem.objects.create(name="far", backend="local")
    return running.running(cast, "far")


def job(submission: Submission, state: str = "failed", ago: float = 60, **values) -> Job:
    at = now() - timedelta(seconds=ago)
    number = Job.objects.count()
    ended = None if state in ("held", "processing") else at
    given = {"code": "exit", "exit_code": 1} if state == "failed" else {}
    return Job.objects.create(
        experiment=submission.experiment, submission=submission, system=BatchSystem.objects.get(name="far"),
        external_id=f"{number}.0@far", index=number, state_code=JOB_RANK[state], starts=1, event_at=at, state_since=at,
        started_at=at - timedelta(hours=1), ended_at=ended, node="wn1", wall_s=3600, cpus=2,
        **{"site": "FNAL", **given, **values},
    )  # fmt: skip


def sums_are_exact() -> None:
    for failure in Failure.objects.all():
        counted = JobFailure.objects.filter(failure=failure)
        seen = Sighting.objects.filter(failure=failure).aggregate(n=Sum("jobs"), core_s=Sum("core_s"))
        assert failure.jobs == counted.count() == (seen["n"] or 0), failure
        assert failure.core_s == pytest.approx(sum(counted.values_list("core_s", flat=True)))


pytestmark = pytest.mark.django_db


def test_failed_jobs_are_recognised_once_and_counted_where_they_were_seen(submission, logs):
    jobs = [job(submission, ago=n) for n in range(90, 95)] + [
        job(submission, site="CERN"),
        job(submission, "succeeded"),
    ]
    diagnosing.diagnose_some()
    (failure,) = Failure.objects.all()
    assert failure.signature.title == "KeyError: 'geometry' in load (reco.py)"
    assert (failure.jobs, failure.core_s, failure.experiment) == (6, 6 * 7200, submission.experiment)
    assert dict(Sighting.objects.values_list("site", "jobs")) == {"FNAL": 5, "CERN": 1}
    assert {row.release for row in Sighting.objects.all()} == {"v1"}
    assert (failure.first_at, failure.last_at) == (jobs[4].ended_at, jobs[5].ended_at)
    asked = len(logs.asked)
    for _ in range(3):
        assert diagnosing.diagnose_some() == 0, "nothing is new"
    assert len(logs.asked) == asked
    sums_are_exact()


def test_only_the_end_of_a_log_is_read_and_secrets_in_it_are_covered(submission, logs):
    found = job(submission)
    token = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9.c2lnbmF0dXJl"
    logs.texts[found.external_id] = "x" * 50_000 + f"\nERROR: token {token} was refused by the frobnicator\n"
    diagnosing.diagnose_some()
    row = JobFailure.objects.get()
    assert "frobnicator" in row.tail and token not in row.tail + row.failure.signature.title
    assert all(offset >= 50_000 - 2 * 8192 for _, _, offset, length in logs.asked if length)


def test_silence_is_not_read_yet_and_in_the_end_the_facts_alone_speak(submission, logs):
    for _ in range(3):
        job(submission, exit_code=65)
    logs.silent = Unavailable("the schedd does not answer")
    diagnosing.diagnose_some()
    assert len(logs.asked) == 1, "who is silent is asked no more in this pass"
    assert not Failure.objects.exists()
    assert set(JobFailure.objects.values_list("tries", flat=True)) == {1}
    assert diagnosing.diagnose_some() == 0, "it is asked again later"
    for _ in diagnosing.WAITS:
        JobFailure.objects.update(look_at=now() - timedelta(seconds=1))
        diagnosing.diagnose_some()
    (failure,) = Failure.objects.all()
    assert (failure.jobs, failure.signature.cause, failure.signature.exit_code) == (3, "input", 65)
    assert {row.unread for row in JobFailure.objects.all()} == {"the schedd does not answer"}
    sums_are_exact()


def test_a_log_that_is_gone_for_good_is_not_waited_for(submission, logs):
    job(submission)
    logs.silent = Denied("there is no such job any more")
    diagnosing.diagnose_some()
    assert JobFailure.objects.get().unread == "there is no such job any more"
    assert Failure.objects.get().jobs == 1


def test_no_more_logs_are_read_in_a_pass_than_one_system_can_bear(submission, logs, monkeypatch):
    monkeypatch.setattr(diagnosing, "LOGS_OF_ONE", 4)
    for _ in range(10):
        job(submission)
    diagnosing.diagnose_some()
    assert len({asked[0] for asked in logs.asked}) == 4
    while diagnosing.diagnose_some():
        pass
    assert Failure.objects.get().jobs == 10
    sums_are_exact()


def test_what_the_batch_system_ended_itself_needs_no_log(submission, logs):
    job(submission, code="memory", reason="held 300 MiB of the 200 MiB asked for", exit_code=None, signal=9)
    job(submission, "lost")
    diagnosing.diagnose_some()
    assert logs.asked == []
    assert set(Signature.objects.values_list("cause", flat=True)) == {"memory", "system"}


def test_held_jobs_are_found_and_those_that_a_person_held_or_removed_are_none(submission, logs):
    job(submission, "held", code="held 34.102", reason="Job has gone over memory limit of 2048 MB")
    job(submission, "held", code="held 1.0", reason="via condor_hold (by user ada)")
    job(submission, "removed", code="removed", reason="via condor_rm (by user ada)")
    job(submission, "removed", code="removed", reason="SYSTEM_PERIODIC_REMOVE: ran too long")
    JobCount.objects.create(submission=submission, state_code=JOB_RANK["held"], n=2)
    diagnosing.diagnose_some()
    assert JobFailure.objects.count() == 2
    assert diagnosing.diagnose_some() == 0
    sums_are_exact()


def test_a_job_that_was_lost_and_comes_back_is_taken_back(submission, logs):
    found = job(submission, "lost")
    diagnosing.diagnose_some()
    assert Failure.objects.get().jobs == 1
    Job.objects.filter(pk=found.pk).update(state_code=JOB_RANK["succeeded"])
    diagnosing.diagnose_some()
    assert (Failure.objects.get().jobs, JobFailure.objects.count()) == (0, 0)
    Job.objects.filter(pk=found.pk).update(state_code=JOB_RANK["failed"], exit_code=1, code="exit")
    diagnosing.diagnose_some()
    assert sorted(Failure.objects.values_list("jobs", flat=True)) == [0, 1]
    sums_are_exact()


def test_an_end_that_is_reported_late_is_found_by_the_second_reader(submission, logs):
    diagnosing.diagnose_some()
    assert Reading.objects.get(reader="new").ended_at < now() - timedelta(seconds=119)
    job(submission, ago=5 * 3600)
    diagnosing.diagnose_some()
    assert Failure.objects.get().jobs == 1


def test_many_ends_are_read_in_pieces_and_none_is_left_out(submission, logs, monkeypatch):
    monkeypatch.setattr(diagnosing, "A_PASS", 3)
    at = now() - timedelta(minutes=30)
    made = [job(submission, ago=600 * (n % 5) + 30, code="memory", reason="x") for n in range(20)]
    Job.objects.filter(pk__in=[row.pk for row in made[:7]]).update(ended_at=at)  # the same moment
    Reading.objects.create(reader="new", ended_at=now() - timedelta(hours=2))
    for _ in range(12):
        diagnosing.diagnose_some()
    assert Failure.objects.get().jobs == 20
    sums_are_exact()


def test_what_was_recognised_goes_with_the_job_also_past_django(submission, logs):
    found = job(submission)
    diagnosing.diagnose_some()
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM submissions_job WHERE id = %s", [found.pk])
    assert not JobFailure.objects.exists()
    assert Failure.objects.get().jobs == 1, "figures stay"


def test_the_cost_of_a_pass_does_not_grow_with_the_history(submission, logs, django_assert_max_num_queries):
    for n in range(40):
        job(submission, "succeeded" if n % 2 else "failed", ago=200 + n, code="memory", reason="x")
    while diagnosing.diagnose_some():
        pass
    with django_assert_max_num_queries(20):
        diagnosing.diagnose_some()


# --- Whose it is ------------------------------------------------------------------------------------------------------


def test_a_new_failure_is_routed_by_the_rules_and_people_have_the_last_word(cast, submission, logs):
    running.services()
    routing.add(cast.experiment, pattern="geometry", service="catalogue", by=cast.administrator, reason="they serve it")
    job(submission)
    diagnosing.diagnose_some()
    failure = Failure.objects.get()
    assert failure.service.name == "catalogue" and failure.routed_by.startswith("rule:")
    routing.give(failure, "demo", by=cast.operator, reason="our own geometry after all")
    job(submission)
    diagnosing.diagnose_some()
    failure.refresh_from_db()
    assert (failure.service, failure.routed_by, failure.jobs) == (None, cast.operator.actor, 2)
    steps = Transition.objects.filter(kind="failure", thing_id=failure.pk)
    assert [(step.verb, step.actor) for step in steps] == [("route", cast.operator.actor)]


def test_the_same_signature_belongs_to_each_experiment_by_itself(cast, submission, logs):
    job(submission)
    diagnosing.diagnose_some()
    mine = Failure.objects.get()
    theirs = Failure.objects.create(
        experiment=cast.other, signature=mine.signature, first_at=now(), last_at=now(), jobs=9, fix="ours alone"
    )
    assert list(Failure.objects.visible_to(cast.operator)) == [mine]
    assert list(Failure.objects.visible_to(cast.stranger)) == [theirs]
    assert set(Sighting.objects.visible_to(cast.stranger)) == set()


def test_a_provider_sees_what_is_routed_to_the_service_and_nothing_else(cast, submission, logs):
    running.services()
    job(submission)
    job(submission, code="runner_error", reason="the node did not boot")
    diagnosing.diagnose_some()
    provider: User = cast.service_provider
    assert list(Failure.objects.visible_to(provider)) == []
    routed = Failure.objects.get(service__name="batch")
    routed.service.providers.add(provider)
    assert list(Failure.objects.visible_to(provider)) == [routed]


# --- Who is told ------------------------------------------------------------------------------------------------------


def test_owners_get_one_digest_a_day_and_never_one_for_each_job(cast, submission, logs):
    running.services()
    yesterday = (now() - timedelta(days=1)).replace(hour=12)
    ago = (now() - yesterday).total_seconds()
    for n in range(30):
        job(submission, ago=ago + n)
    job(submission, ago=ago, code="runner_error", reason="the node did not boot")
    while diagnosing.diagnose_some():
        pass
    batch = Failure.objects.get(service__name="batch")
    batch.service.providers.add(cast.service_provider)
    drafts = notices.what_failed(now())
    told = {(draft.recipient.username, draft.key.partition(":")[0]) for draft in drafts}
    assert ("service_provider", "service") in told and ("operator", "experiment") in told
    assert not {name for name, _ in told} & {"stranger", "guest", "shifter"}
    (mine,) = [draft for draft in drafts if draft.recipient == cast.operator]
    assert mine.subject.startswith("demo: 1 new and 0 growing failures on ")
    assert [(line["ref"], line["said"]) for line in mine.lines] == [
        (Failure.objects.get(service=None).ref, "30 jobs, new; cause software")
    ]
    notices.outbox.enter(drafts)
    assert notices.what_failed(now()) == []
    assert Notice.objects.filter(kind="failures").count() == len(drafts)


def test_what_does_not_grow_is_no_news(cast, submission, logs):
    # Late yesterday, so that the day before the day before is not over three days ago, whenever this runs.
    ago = (now() - (now() - timedelta(days=1)).replace(hour=23, minute=59, second=59)).total_seconds()
    for days, many in ((0, 3), (1, 2), (2, 1)):
        for _ in range(many):
            job(submission, ago=ago + days * 86400)
    while diagnosing.diagnose_some():
        pass
    assert Failure.objects.get().jobs == 6
    assert notices.what_failed(now()) == []


def test_a_failure_is_told_in_words_for_those_outside(submission, logs, settings):
    settings.PUBLIC_URL = "https://poms.example.org"
    job(submission)
    diagnosing.diagnose_some()
    failure = Failure.objects.get()
    text = escalating.told(failure)
    assert text.startswith("KeyError: 'geometry' in load (reco.py)\n1 jobs of demo, 2.0 core-hours")
    assert text.endswith(f"https://poms.example.org/e/demo/failures/f{failure.pk}/")
