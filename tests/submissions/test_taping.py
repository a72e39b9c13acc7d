"""Outputs on their way to tape: what the catalogue and the FTS say of a batch, and what their silence means."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from campaigns.models import Campaign
from core import loops
from core.clock import now
from integrations.catalogue.local import LocalCatalogue
from integrations.errors import Unavailable
from integrations.models import CatalogueLink
from poms_site.web import live
from submissions.logic import completing, taping
from submissions.models import Batch, Completion, Output, TapeProgress
from submissions.queries import gates
from tests import builders, jobs
from tests.stand_ins.fts.server import FtsServer, serving
from tests.stand_ins.serving import Reply

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def folders(settings, tmp_path) -> None:
    settings.LOCAL_FILES, settings.LOCAL_LAUNCHES = tmp_path / "files", tmp_path / "launches"
    settings.HTTP_ALLOW = ["127.0.0.1"]


@pytest.fixture
def fts(cast) -> Iterator[FtsServer]:
    """The FTS of the experiment, beside its local catalogue."""
    with serving() as server:
        CatalogueLink.objects.create(experiment=cast.experiment, system="local", settings={"fts": server.address})
        yield server


def made(cast: Any, completion: str = "tape") -> Campaign:
    """Return a campaign whose one batch has four outputs."""
    text = f"[campaign_stage gen]\nstage_type=generator\nevents=4\nevents_per_job=1\ncompletion={completion}\n"
    campaign = builders.approved_campaign(cast, builders.definition(stages=text))
    jobs.run(campaign)
    return campaign


def names() -> list[str]:
    return list(Output.objects.order_by("name").values_list("name", flat=True))


def look() -> TapeProgress:
    """Let time pass until it is looked at again, and judge what waits for that."""
    TapeProgress.objects.exclude(look_at=None).update(look_at=now() - timedelta(seconds=1))
    loops.run("tape")
    completing.complete_some()
    return TapeProgress.objects.get()


def told(campaign: Campaign) -> str:
    (text,) = [gate["text"] for gate in gates(campaign) if gate["gate"] == "completion"]
    return text.removeprefix("gen has done its work and waits: ")


def test_a_batch_is_followed_to_tape_and_its_stage_is_judged_at_once(cast, fts):
    campaign = made(cast)
    fts.pending, fts.new = names()[:1], names()[1:2]
    row = look()
    assert (row.outputs, row.on_tape, row.waiting, row.failed, row.unseen) == (4, 0, 2, 0, 2)
    assert told(campaign) == "0 of 4 outputs are on tape; 2 wait at the FTS"
    LocalCatalogue(cast.experiment).put_on_tape(names()[:3])
    fts.finish(*names())
    fts.errors = {names()[3]: "no space", "of_another.root": "checksum differs"}
    row = look()
    assert (row.on_tape, row.waiting, row.failed) == (3, 0, 1)
    assert [(entry["name"], entry["message"]) for entry in row.failures] == [(names()[3], "no space")]
    assert told(campaign) == "3 of 4 outputs are on tape; 1 failed at the FTS: no space"
    LocalCatalogue(cast.experiment).put_on_tape(names())
    row = look()
    assert (row.on_tape, row.failed, row.look_at) == (4, 0, None)
    assert Completion.objects.get().ended_at is not None
    asked = fts.asked("/status")
    look()
    assert fts.asked("/status") == asked, "what is on tape is not looked at again"


def test_a_failure_is_known_since_it_was_seen_first(cast, fts):
    made(cast)
    fts.errors = {names()[0]: "no space"}
    since = look().failures[0]["since"]
    fts.errors = {names()[0]: "no tape", names()[1]: "no space"}
    first, second = look().failures
    assert (first["since"], first["message"], first["name"]) == (since, "no tape", names()[0])
    assert second["since"] > since
    fts.finish(names()[0])
    assert [entry["name"] for entry in look().failures] == [names()[1]]


GARBAGE = Reply(200, b"{}", {"Content-Type": "application/json"})


@pytest.mark.parametrize("fault", [500, "html", "half", lambda reply: GARBAGE], ids=["500", "html", "half", "garbage"])
def test_a_silent_fts_is_not_known_since_then_and_never_zero(cast, fts, fault):
    campaign = made(cast)
    fts.fail(fault)
    row = look()
    assert (row.on_tape, row.waiting, row.failed) == (0, None, None)
    assert f"not known since {row.since:%Y-%m-%d %H:%M} UTC" in told(campaign)
    fts.errors = {names()[0]: "no space"}
    known = look().fts_at
    assert "not known" not in told(campaign)
    fts.fail(fault)
    row = look()
    assert (row.failed, row.fts_at, row.fts_unknown_since) == (1, known, known)
    assert "0 of 4 outputs are on tape; 1 failed at the FTS: no space; what the FTS does is not known" in told(campaign)


def test_a_catalogue_that_does_not_answer_leaves_what_was_known(cast, fts, monkeypatch):
    made(cast)
    LocalCatalogue(cast.experiment).put_on_tape(names()[:3])
    known = look().tape_at
    fts.pending = names()

    def silent(self: LocalCatalogue, names: list[str]) -> set[str]:
        raise Unavailable("the catalogue sleeps")

    with monkeypatch.context() as asleep:
        asleep.setattr(LocalCatalogue, "archived", silent)
        row = look()
    assert (row.on_tape, row.tape_at, row.tape_unknown_since) == (3, known, known)
    assert (row.tape_why, row.waiting) == ("the catalogue sleeps", 4)
    monkeypatch.setattr(LocalCatalogue, "can", frozenset())
    assert look().tape_why == "the catalogue does not know what is on tape"


def test_without_tape_in_its_completion_a_batch_is_followed_only_where_there_is_an_fts(cast, fts):
    made(cast, "files(4)")
    fts.pending = names()
    row = look()
    assert (row.outputs, row.waiting, row.has_fts) == (4, 4, True)
    TapeProgress.objects.all().delete()
    CatalogueLink.objects.update(settings={})
    taping.note(Batch.objects.get())
    assert not TapeProgress.objects.exists()


def test_without_an_fts_a_stage_that_waits_for_tape_is_followed_by_the_catalogue_alone(cast):
    campaign = made(cast)
    LocalCatalogue(cast.experiment).put_on_tape(names()[:1])
    row = look()
    assert (row.on_tape, row.waiting, row.has_fts, row.fts_why) == (1, None, False, "")
    assert told(campaign) == "1 of 4 outputs are on tape"


def test_batches_that_had_outputs_before_anybody_followed_them_are_found(cast):
    made(cast)
    TapeProgress.objects.all().delete()
    completing.complete_some()
    assert look().outputs == 4


def test_outputs_that_come_while_others_are_asked_for_are_looked_at_again(cast, fts, monkeypatch):
    made(cast)
    LocalCatalogue(cast.experiment).put_on_tape(names())
    monkeypatch.setattr(taping, "crashpoint", lambda name: taping.note(Batch.objects.get()))
    TapeProgress.objects.update(look_at=now() - timedelta(hours=1))
    taping.tape_some()
    assert TapeProgress.objects.get().look_at is not None


def test_what_is_not_there_for_long_is_looked_at_less_often_and_given_up_in_the_end(cast):
    made(cast)
    for age, least, most in (
        (timedelta(hours=1), 9, 11),
        (timedelta(hours=10), 55, 65),
        (timedelta(days=30), 350, 370),
    ):
        TapeProgress.objects.update(since=now() - age)
        row = look()
        assert row.look_at is not None
        assert timedelta(minutes=least) < row.look_at - now() < timedelta(minutes=most)
    TapeProgress.objects.update(since=now() - timedelta(days=61))
    assert look().look_at is None


def test_many_batches_of_an_experiment_are_one_question(cast, fts):
    text = "[campaign_stage gen]\nstage_type=generator\nevents=4\nevents_per_job=1\ncs_split_type=nevents(1)\n"
    jobs.run(builders.approved_campaign(cast, builders.definition(stages=f"{text}completion=tape\n")))
    fts.errors = {name: "no space" if number else "no tape" for number, name in enumerate(names())}
    loops.run("tape")
    assert TapeProgress.objects.filter(failed=1, outputs=1).count() == 4
    assert fts.asked("/status") == 1
    completing.complete_some()
    assert "4 failed at the FTS: no space, and 1 other reason" in told(Campaign.objects.get())


def test_page_and_api_say_it(cast, fts, client):
    made(cast)
    batch = Batch.objects.get()
    client.force_login(cast.operator)
    document = f"/api/v1/batches/{batch.ref}/"

    def page() -> str:
        live.forget()
        return client.get(f"/e/demo/batches/b{batch.pk}/").content.decode()

    assert "Nobody has looked yet" in page()
    LocalCatalogue(cast.experiment).put_on_tape(names()[:1])
    fts.errors, fts.pending = {names()[3]: "no <b>space"}, names()[2:3]
    look()
    said = client.get(document).json()["tape"]
    assert (said["outputs"], said["on_tape"], said["not_known_since"]) == (4, 1, None)
    assert (said["fts"]["waiting"], said["fts"]["failed"], said["fts"]["failures"][0]["message"]) == (
        1,
        1,
        "no <b>space",
    )
    assert "no &lt;b&gt;space" in page()
    assert "1 wait and 1 failed; it does not speak of 1" in page()
    fts.fail(500)
    look()
    said = client.get(document).json()["tape"]["fts"]
    assert (said["waiting"], said["failed"]) == (None, None)
    assert said["not_known_since"] == said["known"]
    assert "What the FTS does is not known since" in page()
