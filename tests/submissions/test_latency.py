"""The objective of a keep-up: counted in one statement as by the pure rule, and warned of before it is missed."""

from __future__ import annotations

import random
from datetime import datetime, timedelta

import pytest

from campaigns import keepup
from campaigns.models import Schedule
from core.models import Transition
from submissions import latency
from submissions.logic import warning
from submissions.models import Acceptance, Batch, Result, Submission, Unit
from tests.submissions.test_keeping_up import BEGIN, HOUR, Time, arrivals, kept_up, time  # noqa: F401 - fixtures

pytestmark = pytest.mark.django_db
OBJECTIVE = "schedule=@hourly\nlatency_objective=90% within 10 h\n"


@pytest.fixture
def row(cast, arrivals, time) -> Schedule:  # noqa: F811
    kept_up(cast, time, OBJECTIVE)
    for n in range(20):
        arrivals.add(BEGIN + timedelta(minutes=n + 1), f"f{n:02}")
    (time + HOUR)()
    return Schedule.objects.select_related("experiment").get()


def finish(units: list[Unit], at: datetime) -> None:
    """Let units have their result at a moment."""
    submission = Submission.objects.get(batch=units[0].batch) if units[0].batch else Submission.objects.first()
    made = Result.objects.create(
        experiment=submission.experiment, submission=submission, job=f"{Result.objects.count()}.0@local", at=at
    )
    Acceptance.objects.bulk_create(Acceptance(unit=unit, result=made) for unit in units)


def test_the_statement_counts_as_the_rule_does(row):
    dice = random.Random(3)
    for unit in Unit.objects.all():
        arrived = BEGIN - dice.random() * 200 * HOUR
        Unit.objects.filter(pk=unit.pk).update(arrived_at=arrived)
        if dice.random() < 0.6:
            finish([unit], arrived + dice.random() * 20 * HOUR)
    facts = list(Unit.objects.values_list("arrived_at", "acceptance__result__at"))
    for text in ("90% within 10 h", "99% within 1 h", "50% within 100 h"):
        objective = keepup.read_objective(text)
        for hours in (-100, -10, 0, 30):
            at = BEGIN + hours * HOUR
            known = [(arrived, done) for arrived, done in facts]
            assert latency.standing_of(row, objective, at) == keepup.standing(known, objective, at)


def test_it_is_said_once_before_the_objective_is_missed(row, time):  # noqa: F811
    def said() -> list[str]:
        return list(Transition.objects.filter(kind="schedule").order_by("id").values_list("verb", flat=True))[1:]

    time.do(warning.warn_some)
    assert said() == []
    time.at = BEGIN + 9 * HOUR
    for _ in range(3):
        time.do(warning.warn_some)
    assert said() == ["warn"]
    reason = Transition.objects.get(kind="schedule", verb="warn").reason
    assert (
        reason
        == "90% within 10 h: none known yet, 0 late, 20 in time to be done yet, the oldest since 2026-11-01 00:01 UTC"
    )
    units = list(Unit.objects.order_by("arrived_at"))
    finish(units[:18], BEGIN + 9 * HOUR)
    time.do(warning.warn_some)
    assert said() == ["warn", "meet"]
    time.at = BEGIN + 11 * HOUR
    time.do(warning.warn_some)
    assert said() == ["warn", "meet"], "two of twenty may be late"
    Unit.objects.filter(pk=units[0].pk).update(arrived_at=BEGIN - 5 * HOUR)
    time.do(warning.warn_some)
    assert said() == ["warn", "meet", "miss"]
    assert latency.backlog_of(row) == 20


def test_what_warns_is_told_to_those_who_look_after_it(row):
    from poms_site.overview.notices import SOURCES, minders

    thing = SOURCES["schedule"].find([row.pk])[row.pk]
    assert {user.username for user in minders(thing)} >= {"experimenter", "operator"}
    assert SOURCES["schedule"].link(thing) == f"/e/demo/schedules/k{row.pk}/"
    assert Batch.objects.count() == 5 and Time
