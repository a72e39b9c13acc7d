"""`poms schedule`: what is sent, and what is said of it."""

from __future__ import annotations

import pytest

ROW = {"ref": "demo/k1", "state": "active", "campaign": "demo/c1", "stage": "raw", "schedule": "@daily", "zone": "UTC",
       "next": "2026-11-02T00:00:00Z", "why": ""}  # fmt: skip
TIMES = [
    {"at": "2026-11-01T00:00:00Z", "local": "2026-10-31T19:00:00-05:00", "outcome": "ran", "inputs": 7, "reason": ""}
]


def test_schedules_are_listed_by_state_and_campaign(service, poms):
    service.pages("schedules/", [ROW])
    assert poms("schedule", "list", "-e", "demo", "--state", "active", "--campaign", "c1", "-q").out == "demo/k1\n"
    assert {"state": "active", "campaign": "demo/c1"}.items() <= service.asked[-1].query.items()
    assert "@daily" in poms("schedule", "list").out


def test_the_calendar_is_asked_for_a_span(service, poms):
    service.on(
        "GET", "schedules/demo/k1/calendar/", *[service.Answer({"zone": "America/Chicago", "results": TIMES})] * 2
    )
    shown = poms("schedule", "calendar", "k1", "-e", "demo", "--from", "2026-10-31T00:00Z")
    assert (shown.code, "ran" in shown.out, "7" in shown.out) == (0, True, True)
    assert service.asked[-1].query == {"from": "2026-10-31T00:00Z"}
    assert '"inputs": 7' in poms("schedule", "calendar", "demo/k1", "--json").out


@pytest.mark.parametrize("verb", ["pause", "resume", "run"])
def test_a_verb_goes_with_its_reason(service, poms, verb):
    refused = poms("schedule", verb, "demo/k1")
    assert (refused.code, f"{verb} needs a reason" in refused.err) == (64, True)
    service.on("POST", f"schedules/demo/k1/{verb}/", service.Answer(ROW))
    assert poms("schedule", verb, "demo/k1", "--reason", "the disk is full").code == 0
    assert service.asked[-1].body == {"reason": "the disk is full"}


def test_a_campaign_is_no_schedule(service, poms):
    wrong = poms("schedule", "show", "demo/c1")
    assert (wrong.code, "is a campaign, not a schedule" in wrong.err) == (64, True)
