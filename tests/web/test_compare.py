"""A failed job beside a good one: which one is near, what differs, and the logs aligned."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaigns.models import Revision, StageVersion
from core.clock import now
from integrations.errors import Unavailable
from poms_site.overview import job_log
from poms_site.overview.job_compare import BESIDE, compare, nearest_good
from poms_site.overview.log_difference import AROUND, aligned, normalised
from submissions.models import Batch, EveryJob, Job, JobCount, Submission
from submissions.states import JOB_RANK


def made(world, index, state="succeeded", submission=None, **facts):
    at = now()
    submission = submission or world.own.objects["running"]
    given = {"started_at": at - timedelta(minutes=10), "ended_at": at, "node": "n1", "site": "s", **facts}
    job = Job.objects.create(
        experiment=world.own.experiment, submission=submission, system=world.own.objects["system"], index=index,
        external_id=f"{Job.objects.count() + 10}.0@local", state_code=JOB_RANK[state], starts=1, event_at=at,
        state_since=at, **given,
    )  # fmt: skip
    JobCount.objects.get_or_create(submission=submission, state_code=JOB_RANK[state], defaults={"n": 1})
    return EveryJob.objects.select_related(*BESIDE).get(pk=job.pk)


# --- Which one is near ------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_the_nearest_good_job_is_of_the_same_submission_and_the_next_place_in_it(world):
    failed = made(world, 5, "failed")
    assert nearest_good(failed) is None
    far, near, _ = made(world, 90), made(world, 7), made(world, 6, "failed")
    assert nearest_good(failed) == near
    Job.objects.filter(pk=near.pk).update(**{"state_code": JOB_RANK["removed"]})
    assert nearest_good(failed) == far


@pytest.mark.django_db
def test_without_one_there_a_job_of_the_same_release_goes_before_a_nearer_one(world):
    failed = made(world, 0, "failed")
    far, near = world.own.objects["broken"].submissions.get(), world.own.objects["unsure"]
    assert abs(far.pk - failed.submission_id) <= abs(near.pk - failed.submission_id)
    one, other = made(world, 0, submission=far), made(world, 0, submission=near)
    batch = far.batch
    version = StageVersion.objects.get(pk=batch.version_id)
    version.pk, version.software_version, version.revision = None, "v9", another_revision(world, version)
    version.save(force_insert=True)
    Batch.objects.filter(pk=batch.pk).update(version=version)
    assert nearest_good(failed) == other
    Batch.objects.filter(pk=batch.pk).update(version=near.batch.version)
    Batch.objects.filter(pk=near.batch_id).update(version=version)
    assert nearest_good(failed) == one


def another_revision(world, version):
    row = Revision.objects.get(pk=version.revision_id)
    row.pk, row.number, row.digest = None, row.number + 1, "0" * 64
    row.save(force_insert=True)
    return row


# --- What differs -----------------------------------------------------------------------------------------------


@pytest.fixture
def logs_of(monkeypatch):
    """Let jobs have printed texts, by their index."""

    def so(**texts):
        def fetch(job, stream, offset, length):
            text = texts[f"j{job.index}"].encode()
            return {"text": text[offset : offset + length].decode(), "total": len(text)}

        monkeypatch.setattr(job_log, "fetch", fetch)

    return so


@pytest.mark.django_db
def test_what_differs_is_marked_and_what_does_not_is_not(world, cast, as_, text, logs_of):
    logs_of(j1="begin 1\nreading\nFATAL: no field\n", j2="begin 2\nreading\ndone\n")
    failed = made(world, 1, "failed", exit_code=65, node="n7", memory_mb=410, wall_s=100.0, cpu_s=90.0)
    good = made(world, 2, memory_mb=400, wall_s=310.0, cpu_s=280.0)
    shown = as_(cast.experimenter).get(f"/e/demo/jobs/j{failed.pk}/compare/")
    told = text(shown)
    assert f"j{failed.pk} beside j{good.pk}" in told
    assert "− FATAL: no field" in told and "+ done" in told
    answer = as_(cast.experimenter).get(f"/api/v1/jobs/demo/j{failed.pk}/compare/").json()
    assert (answer["left"], answer["right"]) == (failed.ref, good.ref)
    differs = {fact["name"] for fact in answer["facts"] if fact["differs"]}
    assert {"state", "exit code", "node", "how it ended", "wall time"} <= differs
    assert not differs & {"site", "memory used", "release", "command", "memory asked for", "processor used"}
    turned = as_(cast.experimenter).get(f"/api/v1/jobs/demo/j{good.pk}/compare/", {"with": f"j{failed.pk}"}).json()
    assert {fact["name"] for fact in turned["facts"] if fact["differs"]} == differs


@pytest.mark.django_db
def test_another_environment_and_command_are_told_but_for_what_is_each_attempts_own(world, logs_of):
    logs_of(j1="", j2="")
    other = world.own.objects["unsure"]
    Submission.objects.filter(pk=other.pk).update(
        environment={**other.environment, "POMS_BATCH": "9", "RELEASE": "v2"}, command=["/bin/other"]
    )
    left, right = made(world, 1, "failed"), made(world, 2, submission=Submission.objects.get(pk=other.pk))
    facts = {fact.name: fact for fact in compare(left, right).facts}
    assert (facts["$RELEASE"].left, facts["$RELEASE"].right) == ("", "v2")
    assert "$POMS_BATCH" not in facts
    assert facts["command"].differs and facts["command"].right == "/bin/other"


@pytest.mark.django_db
def test_a_log_that_cannot_be_read_is_said_and_the_rest_stands(world, cast, as_, text, monkeypatch):
    def fetch(*args):
        raise Unavailable("nobody answers")

    monkeypatch.setattr(job_log, "fetch", fetch)
    failed, _ = made(world, 1, "failed"), made(world, 2)
    shown = as_(cast.experimenter).get(f"/e/demo/jobs/j{failed.pk}/compare/")
    assert "A log cannot be read now: nobody answers" in text(shown) and "differ" in text(shown)


@pytest.mark.django_db
def test_a_job_of_another_experiment_is_not_there_to_compare_with(world, cast, as_):
    mine, theirs = world.own.ref("job").rpartition("/")[2], world.other.ref("job").rpartition("/")[2]
    client = as_(cast.experimenter)
    for wanted in (theirs, world.other.ref("job"), "j999999999", "nonsense"):
        assert client.get(f"/e/demo/jobs/{mine}/compare/", {"with": wanted}).status_code == 404
    assert client.get(f"/api/v1/jobs/demo/{mine}/compare/", {"with": world.other.ref("job")}).status_code == 404
    assert client.get(f"/api/v1/jobs/demo/{mine}/compare/", {"with": "nonsense"}).status_code == 422


# --- Logs aligned -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("2026-12-01T10:00:00Z event 17 took 0.31 s", "2026-12-02 11:12:13 event 18 took 12.5 s"),
        ("at 0x7ffd3a of node fnpc1234", "at 0x1000 of node fnpc99"),
        ("uuid 0b1f3c5e-1111-2222-3333-444455556666 ok", "uuid ffffffff-aaaa-bbbb-cccc-ddddeeeeffff ok"),
        ("read file_000123.root", "read file_9.root"),
        ("commit 3fa9c21b7d", "commit 99aa00ff1"),
        ("10:11:12   begin", "10:11:13 begin"),
    ],
)
def test_lines_that_say_the_same_but_for_numbers_and_times_are_alike(one, other):
    assert normalised(one) == normalised(other)


@pytest.mark.parametrize(("one", "other"), [("opened", "closed"), ("deadbeef", "decade"), ("no field", "no events")])
def test_lines_that_say_something_else_are_not(one, other):
    assert normalised(one) != normalised(other)


def test_long_stretches_that_are_alike_are_left_out():
    same = [f"step {n} of the event" for n in range(100)]
    rows = aligned("\n".join([*same, "FATAL"]), "\n".join([*same, "done"]))
    assert [row.how for row in rows] == ["skipped", *["same"] * AROUND, "left", "right"]
    assert rows[0].skipped == 100 - AROUND


@given(st.lists(st.sampled_from("abcde"), max_size=30), st.lists(st.sampled_from("abcde"), max_size=30))
def test_every_line_of_both_is_there_once(left, right):
    rows = aligned("\n".join(left), "\n".join(right))
    skipped = sum(row.skipped for row in rows)
    assert sum(row.how in ("same", "left") for row in rows) + skipped == len(left)
    assert sum(row.how in ("same", "right") for row in rows) + skipped == len(right)
