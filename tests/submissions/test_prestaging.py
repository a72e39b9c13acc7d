"""Prestaging by the clock: files on tape are asked for at certain times only, a missed one once, ahead of launches."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from campaigns import definition
from campaigns.models import Stage
from core.clock import now, shifted
from core.models import Trouble
from integrations.catalogue.local import LocalCatalogue
from integrations.errors import Unavailable
from submissions.logic import planning, recalling
from submissions.models import Batch, Prestaging, Slice, Submission
from submissions.queries import gates
from tests import builders
from tests.submissions.test_slices import put_files, started

pytestmark = pytest.mark.django_db

NIGHTLY = "\nrecall_times=0 2 * * *\nschedule_zone=America/Chicago\nrecall_window=2"
DAY = timedelta(days=1)


class Tape:
    """What is on disk, and what was asked for."""

    def __init__(self) -> None:
        self.disk: set[str] = set()
        self.asked: list[str] = []
        self.looks = 0
        self.silent = False


@pytest.fixture
def tape(monkeypatch) -> Tape:
    tape = Tape()

    def residence(self: LocalCatalogue, names: list[str]) -> dict[str, str]:
        tape.looks += 1
        if tape.silent:
            raise Unavailable("the catalogue sleeps")
        return {name: "disk" if name in tape.disk else "tape" for name in names}

    monkeypatch.setattr(LocalCatalogue, "residence", residence)
    monkeypatch.setattr(LocalCatalogue, "recall", lambda self, names: tape.asked.extend(names))
    return tape


@pytest.fixture
def stage(cast) -> Stage:
    """A stage of twelve files in four slices, on tape."""
    put_files(cast)
    stage = started(cast, "stagedfiles(3)", "raw", NIGHTLY)
    planning.plan_some()
    return stage


def look() -> None:
    """Let the loop pass until it finds nothing more, as `loops.run` does."""
    while recalling.recall_some():
        pass


def until_next() -> timedelta:
    """Return how long it is until the next time, and a second."""
    at = Prestaging.objects.get().next_at
    assert at is not None
    return at - now() + timedelta(seconds=1)


def files(*numbers: int) -> list[str]:
    return [f"f{number:02}" for number in numbers]


def told(stage: Stage) -> list[str]:
    return [gate["text"] for gate in gates(stage.campaign) if gate["gate"] == "tape"]


def test_files_are_asked_for_at_their_time_only(stage, tape):
    look()
    assert tape.asked == []
    at = Prestaging.objects.get().next_at
    assert at is not None and now() < at <= now() + DAY + timedelta(hours=1)
    local = at.astimezone(definition.values.keepup.zone("America/Chicago"))
    assert (local.hour, local.minute) == (2, 0)
    assert told(stage) == [
        "reco: 0 of 12 files are on disk, 0 of the 4 slices that wait are whole; the next 2 slices are asked for"
        f" from tape at {local:%Y-%m-%d %H:%M} (America/Chicago)"
    ]
    with shifted(until_next()):
        look()
        assert tape.asked == files(0, 1, 2, 3, 4, 5)
        tape.asked.clear()
        with shifted(timedelta(hours=5)):
            look()
            assert tape.asked == [], "the next time is tomorrow"
    row = Prestaging.objects.get()
    assert row.next_at is not None and timedelta(hours=23) <= row.next_at - at <= timedelta(hours=25)
    assert row.files == 6


def test_what_comes_between_the_times_is_launched_and_the_next_time_goes_on(stage, tape):
    look()
    with shifted(until_next()):
        look()
        tape.asked.clear()
        tape.disk.update(files(0, 1, 2, 3))
        look()
        assert told(stage)[0].startswith("reco: 4 of 12 files are on disk, 1 of the 4 slices that wait are whole;")
        planning.plan_some()
        assert Batch.objects.count() == 1
        with shifted(until_next()):
            look()
            assert tape.asked == files(4, 5, 6, 7, 8), "a window from the first that is not there, not what is"


def test_what_is_on_disk_waits_for_no_time(stage, tape):
    tape.disk.update(files(*range(12)))
    look()
    planning.plan_some()
    assert Batch.objects.count() == 4
    assert tape.asked == []


def test_times_that_were_missed_are_caught_up_once(stage, tape):
    look()
    with shifted(5 * DAY):
        look()
        assert tape.asked == files(0, 1, 2, 3, 4, 5)
        look()
        assert len(tape.asked) == 6
        assert timedelta() < until_next() <= DAY + timedelta(hours=1, seconds=1)


def test_a_catalogue_that_does_not_answer_is_asked_until_it_does(stage, tape):
    look()
    at = Prestaging.objects.get().next_at
    with shifted(until_next()):
        tape.silent = True
        look()
        assert Prestaging.objects.get().next_at == at
        assert "sleeps" in Trouble.objects.get().error
        tape.silent = False
        look()
        assert len(tape.asked) == 6


def test_a_worker_that_dies_after_it_asked_asks_no_less(stage, tape, monkeypatch):
    look()

    def dies(point: str) -> None:
        raise SystemExit(point)

    with shifted(until_next()):
        with monkeypatch.context() as dying:
            dying.setattr(recalling, "crashpoint", dies)
            with pytest.raises(SystemExit, match="recall"):
                look()
        look()
        assert set(tape.asked) == set(files(0, 1, 2, 3, 4, 5))
        assert until_next() > timedelta(minutes=1)


def test_other_times_count_from_their_approval_and_what_was_not_there_to_ask_for_is_not_missed(stage, tape):
    look()
    Prestaging.objects.update(times="@hourly (UTC)", next_at=now() - DAY)
    look()
    assert tape.asked == []
    Prestaging.objects.update(next_at=now() - 2 * DAY)  # before the dataset was frozen
    look()
    assert tape.asked == []
    assert until_next() > timedelta()


def test_a_stage_that_waits_for_no_disk_has_its_files_asked_for_ahead_of_its_launches(cast, tape):
    put_files(cast)
    stage = started(cast, "nfiles(3)", "raw", NIGHTLY)
    planning.plan_some()
    assert Batch.objects.count() == 4, "it is not gated"
    assert told(stage) == []
    look()
    assert tape.looks == 0, "the catalogue is asked when the time has come"
    Batch.objects.filter(number=1).update(**{"state": "submitted"})
    tape.disk.update(files(3, 4, 5))
    with shifted(until_next()):
        look()
        assert tape.asked == files(6, 7, 8, 9, 10, 11), "neither what is launched nor what is on disk"
    assert Slice.objects.exclude(on_disk_at=None).count() == 1


def test_a_test_run_asks_at_once(cast, stage, tape):
    type(stage.campaign).objects.filter(pk=stage.campaign_id).update(test=True)
    look()
    assert tape.asked == files(0, 1, 2, 3, 4, 5)
    assert not Submission.objects.exists()


def stage_text(more: str) -> str:
    return builders.definition(stages=f"[campaign_stage reco]\n{more}\n")


@pytest.mark.parametrize(
    "more, said",
    [
        ("stage_type=generator\nevents=5\nrecall_times=@daily", "a dataset of its own"),
        ('dataset_or_split_data=[["a"]]\ncs_split_type=multiparam\nrecall_times=@daily', "a dataset of its own"),
        ("dataset_or_split_data=raw\nschedule=@daily\nrecall_times=@daily", "takes its files as they come"),
        ("dataset_or_split_data=raw\ncs_split_type=nfiles(3)\nrecall_window=4", "waits for no tape"),
        ("dataset_or_split_data=raw\nrecall_times=sometimes", "five fields"),
        ("dataset_or_split_data=raw\nrecall_times=@daily\nrecall_window=0", "not between 1 and 1000"),
    ],
)  # fmt: skip
def test_a_definition_that_could_ask_for_nothing_is_refused(more, said):
    parsed = definition.parse(stage_text(more))
    problems: list[Any] = [*parsed.errors, *definition.check(parsed.definition)]
    assert any(said in problem.message for problem in problems if "recall" in problem.field), problems


def test_a_time_is_reckoned_in_its_zone_over_a_change_of_the_clock(stage, tape):
    version = stage.versions.get()
    after = recalling._after(version, datetime.fromisoformat("2026-03-07T12:00:00+00:00"))
    assert after == datetime.fromisoformat("2026-03-08T08:00:00+00:00")  # 2:00 never comes that night
