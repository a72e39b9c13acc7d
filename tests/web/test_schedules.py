"""Schedules on pages and in the API: where they stand, and a calendar with each time in its zone and in UTC."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from campaigns.models import Schedule
from core.clock import now
from poms_site.overview import calendar
from submissions.logic import pausing
from submissions.models import Tick

pytestmark = pytest.mark.django_db
DAY = timedelta(days=1)


@pytest.fixture
def row(world) -> Schedule:
    return world.own.objects["schedule"]


def ticks(row: Schedule, *moments: datetime, outcome: str = "nothing_new") -> None:
    Tick.objects.bulk_create(
        Tick(schedule=row, nominal=at, outcome=outcome, at=at, reason="as <ever>") for at in moments
    )


def test_the_page_shows_each_time_in_its_zone_and_in_utc(row, cast, as_, text):
    Tick.objects.all().delete()
    ticks(row, datetime(2026, 6, 1, 22, tzinfo=UTC), datetime(2026, 1, 9, 23, tzinfo=UTC))
    said = text(as_(cast.shifter).get(f"/e/demo/schedules/k{row.pk}/"))
    for words in ("06-02 00:00 +0200 06-01 22:00 UTC nothing new", "01-10 00:00 +0100 01-09 23:00 UTC nothing new",
                  "@daily", "in Europe/Zurich", "95% within 24 h", "none known yet", "Pause"):  # fmt: skip
        assert words in said, words
    assert said.count("coming") == 10


def test_the_calendar_goes_back_page_by_page(row, cast, as_, text):
    Tick.objects.all().delete()
    begin = datetime(2026, 3, 1, tzinfo=UTC)
    ticks(row, *(begin + n * DAY for n in range(60)))
    browser = as_(cast.shifter)
    first = browser.get(f"/e/demo/schedules/k{row.pk}/").content.decode()
    assert "03-11 00:00 UTC" in first and "03-10 00:00 UTC" not in first
    address = "?before=2026-03-11T00%3A00%3A00%2B00%3A00"
    assert address in first
    rest = browser.get(f"/e/demo/schedules/k{row.pk}/{address}").content.decode()
    assert "03-10 00:00 UTC" in rest and "03-11 00:00 UTC</td>" not in rest and "coming" not in rest
    assert browser.get(f"/e/demo/schedules/k{row.pk}/?before=yesterday").status_code == 422


def test_a_paused_schedule_says_by_whom_and_why(row, cast, as_, text):
    pausing.pause(row, actor="user:operator", reason="the <disk> is full")
    page = as_(cast.shifter).get(f"/e/demo/schedules/k{row.pk}/").content.decode()
    assert "the &lt;disk&gt; is full" in page and "Resume" in page
    assert f"k{row.pk}" in text(as_(cast.shifter).get("/e/demo/schedules/?state=paused"))
    assert f"k{row.pk}" not in text(as_(cast.shifter).get("/e/demo/schedules/?state=active"))


def test_what_waits_says_why(row, cast, as_, text):
    Schedule.objects.filter(pk=row.pk).update(next_at=now() - DAY / 24, tries=3, why="the catalogue does not answer")
    said = text(as_(cast.shifter).get(f"/e/demo/schedules/k{row.pk}/"))
    assert "waits: the catalogue does not answer (tried 3 times)" in said
    assert " due " in said


def test_the_api_gives_the_calendar_of_a_span(row, cast, as_):
    Tick.objects.all().delete()
    last = row.next_at - DAY
    ticks(row, last, last - 10 * DAY)
    ask = as_(cast.shifter).get
    address = f"/api/v1/schedules/demo/k{row.pk}/calendar/"
    found = ask(address).json()
    assert found["zone"] == "Europe/Zurich"
    assert [entry["outcome"] for entry in found["results"]] == ["nothing_new"] + ["coming"] * 6
    wider = {"from": (last - 11 * DAY).isoformat(), "to": last.isoformat()}
    assert [entry["outcome"] for entry in ask(address, wider).json()["results"]] == ["nothing_new"]
    for wrong in ({"from": "yesterday"}, {"to": "2026-11-01"}, {"from": "2026-11-02T00:00Z", "to": "2026-11-01T00:00Z"},
                  {"from": "2000-01-01T00:00Z"}, {"from": "2026-99-99T00:00Z"}):  # fmt: skip
        assert ask(address, wrong).status_code == 422, wrong
    assert ask("/api/v1/schedules/?state=resting").status_code == 422


def test_an_ended_schedule_has_no_time_that_comes(row):
    assert len(calendar.coming(row, 5)) == 5
    row.ended_at = now()
    assert calendar.coming(row, 5) == []
