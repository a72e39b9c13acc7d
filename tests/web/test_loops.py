"""The loops as administrators see them, by page and API: what is late, what is in trouble, and a row tried again."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import pytest
from django.core.management import CommandError, call_command
from django_q.models import OrmQ
from rest_framework.test import APIClient

from core import loops as turning
from core.clock import now
from core.models import Heartbeat, Transition, Trouble
from poms_site.overview import loops
from poms_site.web import live
from submissions.logic import restoring
from submissions.models import Restoration, Stray

pytestmark = pytest.mark.django_db


def of(name: str) -> loops.Standing:
    return next(entry for entry in loops.standings() if entry.loop.name == name)


def beat(name: str, ago: float, took: float | None = 0.5, **more) -> None:
    began = now() - timedelta(seconds=ago)
    ended = None if took is None else began + timedelta(seconds=took)
    Heartbeat.objects.update_or_create(loop=name, defaults={"started_at": began, "ended_at": ended, **more})


def parked(world, **more) -> Trouble:
    stage = world.own.objects["stage"]
    return Trouble.objects.create(
        **{
            "loop": "plan",
            "kind": "stage",
            "thing_id": stage.pk,
            "tries": 5,
            "error": "ValueError: <no> slices",
            **more,
        }
    )


@pytest.mark.parametrize(
    ("ago", "took", "more", "word"),
    [
        (1, 0.5, {}, "on time"),
        (134, 0.5, {}, "on time"),  # plan: three times 5 s and two minutes
        (140, 0.5, {}, "late"),
        (100, None, {}, "passing"),
        (140, None, {"failed_in_a_row": 9}, "late"),
        (1, None, {"failed_in_a_row": 3}, "failing"),
        (1, None, {"failed_in_a_row": 2}, "on time"),
    ],
)
def test_a_loop_is_late_after_three_periods_and_two_minutes(ago, took, more, word):
    beat("plan", ago, took, **more)
    assert of("plan").word == word


def test_a_loop_that_has_never_begun_is_not_late():
    assert of("plan").word == "never begun"


OUTCOME: list[Exception] = []


def turn() -> int:
    """Pass once, as the test says."""
    if OUTCOME:
        raise OUTCOME[0]
    return 0


def test_passes_that_fail_are_counted_until_one_ends():
    turning.register("trial", f"{__name__}.turn", period=1)
    try:
        for number in (1, 2, 3):
            OUTCOME[:] = [ValueError("no")]
            with pytest.raises(ValueError, match="no"):
                turning.run("trial")
            assert of("trial").beat.failed_in_a_row == number
        assert of("trial").is_failing
        OUTCOME[:] = []
        turning.run("trial")
        assert (of("trial").beat.failed_in_a_row, of("trial").beat.errors) == (0, 3)
    finally:
        del turning._loops["trial"]


def test_the_page_says_how_loops_stand_and_what_they_could_not_step(cast, world, as_, text):
    row = parked(world)
    beat("plan", 999, worker="w1:7", steps=4711)
    live.forget()
    answer = as_(cast.administrator).get("/loops/")
    page, words = answer.content.decode(), text(answer)
    assert "ValueError: &lt;no&gt; slices" in page
    assert f'href="/loops/troubles/t{row.pk}/retry/"' in page
    campaign = world.own.objects["stage"].campaign
    assert f'<a href="/e/demo/campaigns/c{campaign.pk}/">{world.own.objects["stage"].ref}</a>' in page
    assert "parked" in words
    assert "late" in words
    assert "4 711" in words
    assert 'href="/loops/"' in as_(cast.administrator).get("/admin/").content.decode()
    assert 'href="/loops/"' not in as_(cast.operator).get("/admin/").content.decode()


def test_a_parked_row_is_tried_again_when_an_administrator_says_so(cast, world, as_):
    row, client = parked(world), as_(cast.administrator)
    address = f"/loops/troubles/t{row.pk}/retry/"
    refused = client.post(address, {"reason": " "})
    assert (refused.status_code, "say why" in refused.content.decode()) == (422, True)
    row.refresh_from_db()
    assert row.next_at is None
    assert not Transition.objects.filter(kind="trouble").exists()
    bells = OrmQ.objects.count()
    assert client.post(address, {"reason": "the script is back"})["Location"] == "/loops/"
    row.refresh_from_db()
    assert row.next_at <= now()
    assert row.tries == 5, "one that fails again is parked at once"
    step = Transition.objects.get(kind="trouble", thing_id=row.pk)
    ref = world.own.objects["stage"].ref
    assert (step.verb, step.source, step.target, step.actor) == ("retry", "parked", "waiting", cast.administrator.actor)
    assert step.reason == f"plan, {ref}: the script is back"
    assert OrmQ.objects.count() >= bells
    Trouble.objects.all().delete()
    assert client.get(address).status_code == 404


def test_a_row_tried_again_is_parked_again_or_cleared():
    row = Trouble.objects.create(loop="plan", kind="thing", thing_id=7, tries=5, error="x", next_at=now())
    turning._troubled["plan"] = {("thing", 7)}
    with turning.careful("plan", "thing", 7):
        raise ValueError("still")
    row.refresh_from_db()
    assert (row.tries, row.next_at) == (6, None)
    with turning.careful("plan", "thing", 7):
        pass
    assert not Trouble.objects.exists()


def test_the_api_says_the_same(cast, world):
    row = parked(world)
    waiting = parked(world, loop="launch", kind="thing", tries=1, next_at=now())
    beat("plan", 10, worker="w1:7")
    client = APIClient()
    client.force_authenticate(cast.administrator)
    found = {entry["name"]: entry for entry in client.get("/api/v1/loops/").json()["results"]}
    assert (found["plan"]["state"], found["plan"]["parked"], found["plan"]["seconds"]) == ("on time", 1, 0.5)
    assert found["launch"]["waiting"] == 1
    listed = client.get("/api/v1/troubles/?parked=1").json()["results"]
    assert [(entry["ref"], entry["of"]) for entry in listed] == [(f"t{row.pk}", world.own.objects["stage"].ref)]
    listed = client.get("/api/v1/troubles/?loop=launch").json()["results"]
    assert [(entry["ref"], entry["state"]) for entry in listed] == [(f"t{waiting.pk}", "waiting")]
    assert client.get("/api/v1/troubles/?parked=perhaps").status_code == 422
    done = client.post(f"/api/v1/troubles/t{row.pk}/retry/", {"reason": "mended"}, format="json")
    assert (done.status_code, done.json()["state"]) == (200, "waiting")
    assert client.post("/api/v1/troubles/t1/retry/", {"reason": "x"}, format="json").status_code == 404


def test_what_is_done_after_a_restore_is_on_the_page_and_in_the_api(cast, world, as_, text):
    live.forget()
    assert "After a restore" not in text(as_(cast.administrator).get("/loops/"))
    row = restoring.begin("it was <put> back", actor="loop:restore")
    row.silent = {"launch host mcprod@gpvm01": "nobody is there"}
    row.save()
    plan = {"experiment": "demo", "campaign": "mine", "stage": "gen", "jobs": [{"units": [{"key": "a"}, {"key": "b"}]}]}
    open_one = Stray.objects.create(restoration=row, uuid=uuid4(), found_at="gpvm01", plan=plan, job_ids=["7.0@x"])
    Stray.objects.create(restoration=row, uuid=uuid4(), found_at="local", fate="empty", why="it submitted nothing")
    live.forget()
    page = as_(cast.administrator).get("/loops/")
    words = text(page)
    assert "it was &lt;put&gt; back" in page.content.decode()
    assert "launch host mcprod@gpvm01 does not answer: nobody is there" in words
    assert "1 launch of which the database does not know" in words
    assert words.index(str(open_one.uuid)) < words.index("came to nothing")
    assert "demo, mine, gen" in words
    assert "Emergency stop of everything" in words

    client = APIClient()
    client.force_authenticate(cast.administrator)
    (found,) = client.get("/api/v1/restorations/").json()["results"]
    assert found["counts"] == {"open": 1, "empty": 1}
    assert found["launches"][0] | {"fate": "open", "units": 2, "work": "demo, mine, gen"} == found["launches"][0]
    assert len(found["waits_for"]) >= 2
    client.force_authenticate(cast.operator)
    assert client.get("/api/v1/restorations/").status_code == 403


def test_a_quarantine_is_begun_by_hand(cast, world, capsys):
    call_command("quarantine", "--because", "a snapshot", "--back-to", "2026-12-01T03:00Z")
    row = Restoration.objects.get()
    assert (row.why, row.back_to.isoformat()) == ("a snapshot", "2026-12-01T03:00:00+00:00")
    assert "Launches since 2026-12-01 03:00:00 UTC are asked for" in capsys.readouterr().out
    with pytest.raises(CommandError, match="because"):
        call_command("quarantine")
    with pytest.raises(CommandError, match="back-to"):
        call_command("quarantine", "--because", "x", "--back-to", "yesterday")
