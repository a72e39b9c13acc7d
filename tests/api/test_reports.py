"""Jobs that report themselves: one or many at once, twice, late, in any order, and only with their own token."""

from __future__ import annotations

import random
from typing import Any

import pytest
from rest_framework.test import APIClient

from core import clock
from integrations import registry
from integrations.batch.base import Snapshot
from integrations.models import BatchSystem
from submissions.logic import observing, planning, reporting
from submissions.models import Job, JobCount, Report, Submission
from tests import builders

pytestmark = pytest.mark.django_db
PHASES = ("idle", "staging_in", "processing", "staging_out", "succeeded")


class Silent:
    """A batch system that shows nothing: all is known by reports."""

    def snapshot(self, since: str) -> Snapshot:
        return Snapshot("")

    def jobs(self, ids: list[str]) -> tuple[list[Any], list[str]]:
        return [], []

    def depth(self) -> dict[str, int]:
        return {}


@pytest.fixture
def submissions(cast, monkeypatch):
    """Two launched submissions of a batch system."""
    builders.approved_campaign(cast, builders.definition(stages=(
        "[campaign_stage gen]\nstage_type=generator\nevents=2\nevents_per_job=1\ncs_split_type=nevents(1)\n"
    )))  # fmt: skip
    planning.plan_some()
    Submission.objects.update(state="running", look_at=None)
    BatchSystem.objects.create(name="local")
    monkeypatch.setattr(registry, "batch", lambda name: Silent())
    return list(Submission.objects.order_by("pk"))


def said(submission: Submission, job: str, state: str, at: float, **more: Any) -> dict[str, Any]:
    begin = clock.now().timestamp() - 1000
    return {"uuid": str(submission.uuid), "job": job, "state": state, "starts": 1, "at": begin + at, **more}


def send(submission: Submission, body: Any) -> Any:
    headers = {"X-Poms-Submission-Token": reporting.report_token(str(submission.uuid))}
    return APIClient().post("/api/v1/reports/", body, format="json", headers=headers)


def merged() -> dict[str, str]:
    observing.observe(BatchSystem.objects.get())
    return {job.external_id: job.state for job in Job.objects.all()}


def test_one_report_is_taken_in(submissions):
    answer = send(submissions[0], said(submissions[0], "1@x", "processing", 1, node="n1"))
    assert (answer.status_code, answer.json()) == (202, {"accepted": True})
    assert merged() == {"1@x": "processing"} and Job.objects.get().node == "n1"


def test_many_in_any_order_and_twice_mean_the_same(submissions):
    mine = submissions[0]
    reports = [said(mine, f"{n}@x", phase, at, wall_s=5.0) for n in range(20) for at, phase in enumerate(PHASES)]
    random.Random(7).shuffle(reports)
    for body in (reports[:60], reports[40:], reports):
        answer = send(mine, {"reports": body})
        assert answer.status_code == 202 and answer.json()["accepted"] == len(body)
        states = merged()
    assert states == {f"{n}@x": "succeeded" for n in range(20)}
    assert {count.state: count.n for count in JobCount.objects.filter(n__gt=0)} == {"succeeded": 20}
    assert not Report.objects.exists()


def test_each_report_has_its_own_answer(submissions):
    mine, other = submissions
    late = said(mine, "5@x", "failed", 1)
    late["at"] += 10 * 86_400
    bodies = [
        said(mine, "1@x", "processing", 1), said(mine, "2@x", "lost", 1), said(other, "3@x", "processing", 1),
        said(mine, "4@x", "processing", 1, colour="red"), late, "no report", {"job": "6@x"},
    ]  # fmt: skip
    answer = send(mine, {"reports": bodies}).json()
    assert answer["accepted"] == 1
    assert [entry["accepted"] for entry in answer["reports"]] == [True, *[False] * 6]
    whys = [entry.get("why", "") for entry in answer["reports"]]
    assert (
        "state" in whys[1] and "token" in whys[2] and "colour" in whys[3] and "ahead" in whys[4] and whys[5] and whys[6]
    )
    assert merged() == {"1@x": "processing"}


def test_a_token_reaches_no_other_submission(submissions):
    mine, other = submissions
    body = {"reports": [said(other, "1@x", "failed", 1)]}
    assert send(mine, body).status_code == 404
    assert APIClient().post("/api/v1/reports/", body, format="json").status_code == 404
    assert not Report.objects.exists()


def test_too_many_and_none_are_refused(submissions):
    mine = submissions[0]
    one = said(mine, "1@x", "idle", 1)
    for reports in ([], [one] * (reporting.MOST + 1), {"a": 1}):
        assert send(mine, {"reports": reports}).status_code == 422
    assert send(mine, {"reports": [one], "more": 1}).status_code == 422
    assert not Report.objects.exists()


def test_a_secret_in_a_reason_is_refused_or_covered(submissions):
    mine = submissions[0]
    body = {"reports": [said(mine, "1@x", "failed", 1, reason="Authorization: Bearer abcdefghijklmnop.qrstuvwxyz")]}
    send(mine, body)
    assert "abcdefghijklmnop" not in "".join(str(report.facts) for report in Report.objects.all())
