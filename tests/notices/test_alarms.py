"""Administrators are told once of a loop that does not do its work, and of rows that are parked."""

from __future__ import annotations

from datetime import timedelta

import pytest

from core.clock import now
from core.models import Heartbeat, Trouble
from experiments.models import Membership
from integrations.models import Message, Notice
from poms_site.overview import notices
from poms_site.overview.alarms import alarm

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def turning(db):
    """Let the loop have passed a minute ago."""
    beat("alarm", 0, 60)


def beat(name: str, began: float, ended: float | None, **more) -> None:
    at = now()
    seen = {"started_at": at - timedelta(seconds=began), "ended_at": ended and at - timedelta(seconds=ended)}
    Heartbeat.objects.update_or_create(loop=name, defaults={**seen, **more})


def told(user) -> list[str]:
    return list(Notice.objects.filter(recipient=user, kind="alarm").order_by("pk").values_list("subject", flat=True))


def test_nothing_is_told_while_loops_turn(cast):
    beat("plan", 1, 0.5)
    beat("launch", 100, None)
    assert alarm() == 0
    assert not Notice.objects.exists()


@pytest.mark.parametrize(
    ("standing", "says"),
    [
        ({"began": 300, "ended": 299}, "The loop plan is late: nobody has begun it since"),
        ({"began": 1, "ended": 20, "failed_in_a_row": 3}, "The loop plan is failing: its passes have failed"),
    ],
)
def test_a_stuck_loop_is_told_once_to_administrators_until_it_has_recovered(cast, standing, says):
    began = standing.pop("began")
    beat("plan", began, **standing)
    assert (alarm(), alarm()) == (1, 0)
    (subject,) = told(cast.administrator)
    assert subject.startswith(says)
    assert not Notice.objects.exclude(recipient=cast.administrator).exists()
    beat("plan", 1, 0.5, failed_in_a_row=0)
    assert alarm() == 0
    beat("plan", began, **standing)
    assert alarm() == 1, "it has recovered meanwhile"


def test_what_was_away_with_the_whole_service_is_not_told_when_it_comes_back(cast):
    beat("plan", 3600, 3599)
    beat("alarm", 0, 3540)
    assert alarm() == 0
    beat("alarm", 0, 60)
    assert alarm() == 1, "it has not come back with the others"


def test_parked_rows_of_one_look_are_told_in_one_notice_each_row_once(cast):
    for number in (1, 2):
        Trouble.objects.create(loop="plan", kind="thing", thing_id=number, tries=5, error="ValueError: no")
    waiting = Trouble.objects.create(loop="plan", kind="thing", thing_id=3, tries=1, error="x", next_at=now())
    assert (alarm(), alarm()) == (1, 0)
    assert told(cast.administrator) == ["2 rows are parked: loops could not step them"]
    lines = Notice.objects.get().lines
    assert [(line["title"], line["said"]) for line in lines] == [
        ("plan: thing 1", "ValueError: no"), ("plan: thing 2", "ValueError: no"),
    ]  # fmt: skip
    Trouble.objects.filter(pk=waiting.pk).update(next_at=None)
    assert (alarm(), alarm()) == (1, 0)
    assert told(cast.administrator)[-1] == f"t{waiting.pk} is parked: plan could not step thing 3"


def test_who_administers_no_longer_is_told_no_more(cast):
    cast.administrator.email = "administrator@example.org"
    cast.administrator.save()
    beat("plan", 300, 299)
    assert alarm() == 1
    assert Message.objects.filter(recipient=cast.administrator).count() == 1
    notice = Notice.objects.get()
    assert notices.may_see(cast.administrator, notice)
    Membership.objects.filter(user=cast.administrator).update(active=False)
    assert not notices.may_see(cast.administrator, notice)
