"""The shift list: who watches when, and who is told meanwhile."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from core.clock import now, shifted
from core.errors import Conflict, Refused
from core.models import Transition
from experiments import queries
from experiments.logic import membership, shifts
from experiments.models import Membership, Shift
from poms_site.overview import notices
from tests.cast import Cast

HOUR = timedelta(hours=1)
pytestmark = pytest.mark.django_db


def test_who_is_on_the_list_now_is_told_and_nobody_else(cast: Cast) -> None:
    class Thing:
        experiment = cast.experiment

    assert list(notices.operators(Thing())) == [cast.operator]
    shifts.add(cast.experiment, "shifter", now() + HOUR, now() + 3 * HOUR, by=cast.operator)
    assert queries.on_shift(cast.experiment) == []
    with shifted(2 * HOUR):
        assert queries.on_shift(cast.experiment) == [cast.shifter]
        assert list(notices.operators(Thing())) == [cast.shifter]
    with shifted(4 * HOUR):
        assert list(notices.operators(Thing())) == [cast.operator]


def test_who_may_watch_no_more_is_not_on_shift(cast: Cast) -> None:
    shifts.add(cast.experiment, "shifter", now() - HOUR, now() + HOUR, by=cast.operator)
    assert queries.on_shift(cast.experiment) == [cast.shifter]
    membership.leave(Membership.objects.get(user=cast.shifter))
    assert queries.on_shift(cast.experiment) == []


def test_what_makes_no_shift_is_refused_with_all_that_is_wrong(cast: Cast) -> None:
    at = now()
    with pytest.raises(Refused) as error:
        shifts.add(cast.experiment, "guest", at, at - HOUR, note="x" * 201, by=cast.operator)
    assert [problem.field for problem in error.value.problems] == ["person", "until", "note"]
    for begins, until in ((at - 3 * HOUR, at - HOUR), (at, at + timedelta(days=40))):
        with pytest.raises(Refused):
            shifts.add(cast.experiment, "shifter", begins, until, by=cast.operator)
    shifts.add(cast.experiment, "shifter", at, at + HOUR, by=cast.operator)
    with pytest.raises(Conflict):
        shifts.add(cast.experiment, "shifter", at, at + HOUR, by=cast.operator)
    assert Shift.objects.count() == 1


def test_the_page_shows_the_week_and_who_is_on_shift_now(cast: Cast, client: Any) -> None:
    at = now()
    shifts.add(cast.experiment, "shifter", at - HOUR, at + HOUR, note="the nights", by=cast.operator)
    client.force_login(cast.experimenter)
    text = client.get("/e/demo/shifts/").content.decode()
    assert "Now on shift" in text and "shifter" in text and "the nights" in text
    assert "Put somebody on the list" not in text
    assert client.get("/e/demo/shifts/?week=2020-W07").status_code == 200
    assert client.get("/e/demo/shifts/?week=2020-W77").status_code == 422
    client.force_login(cast.operator)
    bad = client.post("/e/demo/shifts/", {"person": "nobody", "begins": "soon", "until": "later"})
    assert bad.status_code == 422 and "no time: soon" in bad.content.decode()
    key = Shift.objects.get().pk
    assert client.post(f"/e/demo/shifts/w{key}/remove/").status_code == 303
    assert not Shift.objects.exists()


def test_the_api_and_its_list_agree(cast: Cast, client: Any) -> None:
    client.force_login(cast.operator)
    body = {"experiment": "demo", "person": "shifter", "begins": "2036-01-01T06:00Z", "until": "2036-01-01T14:00Z"}
    made = client.post("/api/v1/shifts/", body, content_type="application/json")
    assert made.status_code == 201, made.content
    assert client.get("/api/v1/shifts/?now=1").json()["results"] == []
    (row,) = client.get("/api/v1/shifts/?experiment=demo&person=shifter").json()["results"]
    assert row["ref"] == made.json()["ref"] and row["now"] is False
    why = {"reason": "she is ill"}
    gone = client.post(f"/api/v1/shifts/{row['ref']}/remove/", why, content_type="application/json")
    assert gone.json() == {"ref": row["ref"], "removed": True}
    assert Transition.objects.get(verb="remove_shift").reason.endswith("; she is ill")
