"""Keep-up in simulated time through the real loop: each nominal time one outcome, each file once, whatever happens (T7).

The catalogue is a stand-in with a clock of its own; the database is real. POMS_SEED chooses other dice.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from django.conf import settings as conf
from django.db import connection, connections

from approvals.logic import deciding, filing
from approvals.models import Request
from campaigns.models import Campaign, Schedule, Stage
from core import clock, loops, transitions
from core.errors import Conflict, Refused
from core.models import Transition, Trouble
from integrations.catalogue.base import FileSeen, News
from integrations.errors import Unavailable
from integrations.models import Dataset, File
from submissions.logic import acting, arriving, following, pausing, planning, scheduling
from submissions.models import Batch, StageProgress, Tick, Unit
from tests import builders
from tests.turns import WHOLE

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
BEGIN = datetime(2026, 11, 1, tzinfo=UTC)
STAGE = "[campaign_stage raw]\ndataset_or_split_data=raw_data\ncs_split_type=nfiles(4)\nfiles_per_job=2\n"
POINTS = ("schedule.after_follow", "schedule.after_judging", "schedule.after_news", "schedule.before_commit",
          "schedule.after_commit")  # fmt: skip


class Killed(BaseException):
    """What a SIGKILL is to a transaction: it never commits, and nobody catches it."""


@dataclass
class Arrivals:
    """A catalogue whose dataset gains files by a clock: (time of entry, name, time of the data)."""

    files: list[tuple[datetime, str, datetime]] = field(default_factory=list)
    down: list[tuple[datetime, datetime]] = field(default_factory=list)
    asked: int = 0

    def add(self, at: datetime, name: str, taken: datetime | None = None) -> None:
        self.files.append((at, name, taken or at))

    def news(self, dataset: str, mark: str, wants: object = ()) -> News:
        assert dataset == "raw_data"
        assert not connection.in_atomic_block or _in_test_transaction(), "outside of any transaction"
        self.asked += 1
        at = clock.now()
        if any(begin <= at < end for begin, end in self.down):
            raise Unavailable("the catalogue does not answer")
        # What a catalogue gives may overlap with what it gave before: here by ten minutes.
        since = datetime.fromisoformat(mark) - 10 * MINUTE if mark else datetime.min.replace(tzinfo=UTC)
        rows = [
            FileSeen(name, f"/d/{name}", 1, events=10, taken_at=taken)
            for entered, name, taken in self.files
            if since < entered <= at
        ]
        return News(rows, at.isoformat())


def _in_test_transaction() -> bool:
    """Tell whether the only transaction is the one that the test is rolled back by."""
    return len(connection.savepoint_ids) <= 1


@pytest.fixture
def arrivals(monkeypatch):
    stand_in = Arrivals()
    monkeypatch.setattr(arriving, "registry", SimpleNamespace(catalogue=lambda *of: stand_in))
    return stand_in


class Time:
    """Simulated time: what is run in it takes none."""

    def __init__(self, at: datetime) -> None:
        self.at = at

    def __call__(self, *names: str) -> None:
        with clock.shifted(self.at - datetime.now(UTC)):
            for name in names or ("schedule", "plan"):
                loops.run(name)

    def __add__(self, by: timedelta) -> Time:
        self.at += by
        return self

    def do(self, act, *args, **given):
        with clock.shifted(self.at - datetime.now(UTC)):
            return act(*args, **given)


@pytest.fixture
def time():
    return Time(BEGIN + timedelta(seconds=20))


def approved(cast, stages: str) -> Campaign:
    """Return an approved campaign; the dataset is there for those who check the request."""
    dataset, _ = Dataset.objects.get_or_create(experiment=cast.experiment, name="raw_data")
    file, _ = File.objects.get_or_create(experiment=cast.experiment, name="f0", defaults={"path": "/d/f0"})
    dataset.files.add(file)
    return builders.approved_campaign(cast, builders.definition(stages=stages))


def kept_up(cast, time, schedule="schedule=*/5 * * * *\n", stages="") -> Campaign:
    """Return an approved campaign whose stage keeps up, with its schedule made."""
    campaign = approved(cast, STAGE + schedule + stages)
    time()
    return campaign


def ticks() -> list[tuple[str, str, int]]:
    return [(f"{row.nominal:%H:%M}", row.outcome, row.inputs) for row in Tick.objects.order_by("nominal")]


def whole(arrivals: Arrivals, at: datetime) -> None:
    """Check that each file that was there by a moment is one input, in one batch, and that the counters are right."""
    names = sorted(Unit.objects.values_list("file_name", flat=True))
    assert names == sorted({name for entered, name, _ in arrivals.files if entered <= at})
    progress = StageProgress.objects.get()
    taken = Unit.objects.exclude(batch=None).count()
    assert (progress.units, progress.taken, progress.closed) == (len(names), taken, False)
    assert taken == len(names) == sum(Batch.objects.values_list("n_units", flat=True))


# --- A day -------------------------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("deaths", [0.0, 0.15] if WHOLE else [0.15])
def test_a_day_of_keep_up_with_nine_outages(real_cast, arrivals, time, monkeypatch, deaths):
    """24 h at 5 minutes: six times POMS is away, three times the catalogue, and at any point a worker may be killed."""
    dice = random.Random(int(os.environ.get("POMS_SEED", "7")))
    end = BEGIN + 24 * HOUR
    for n in range(200):
        at = BEGIN - HOUR + dice.random() * 25 * HOUR
        arrivals.add(at, f"f{n:04}", at - dice.random() * 3 * HOUR)  # some were taken long before they are entered
    outages = [(BEGIN + hour * HOUR + dice.randrange(30) * MINUTE, minutes) for hour, minutes in
               ((1, 1), (2, 3), (4, 17), (6, 60), (8, 6), (10, 360), (17, 45), (20, 9), (22, 31))]  # fmt: skip
    away = [(begin, begin + minutes * MINUTE) for begin, minutes in outages[::2] + outages[3:4]]
    arrivals.down = [
        (begin, begin + minutes * MINUTE) for begin, minutes in outages if (begin, begin + minutes * MINUTE) not in away
    ]
    hits: Counter[str] = Counter()

    def crash(name: str) -> None:
        if dice.random() < deaths:
            hits[name] += 1
            raise Killed

    for module in (arriving, scheduling):
        monkeypatch.setattr(module, "crashpoint", crash)
    approved(real_cast, STAGE + "schedule=*/5 * * * *\n")
    passes = 0
    while time.at < end + 6 * MINUTE:
        passes += 1
        if not any(begin <= time.at < stop for begin, stop in away):
            with suppress(Killed):
                time("schedule", *(["plan"] if passes % 10 == 0 else []))
        time += timedelta(seconds=150)
    deaths = 0.0
    time()
    time()
    time()
    row = Schedule.objects.get()
    nominal = list(Tick.objects.order_by("nominal").values_list("nominal", flat=True))
    assert nominal == [
        row.since.replace(minute=5, second=0, microsecond=0) + n * 5 * MINUTE for n in range(len(nominal))
    ]
    assert row.next_at == nominal[-1] + 5 * MINUTE > time.at >= nominal[-1]
    assert len(nominal) >= 288
    outcomes = Counter(Tick.objects.values_list("outcome", flat=True))
    assert set(outcomes) == {"ran", "nothing_new", "skipped", "failed"}
    assert all(begin < tick.at < stop + 7 * MINUTE for tick in Tick.objects.filter(outcome="failed")
               for begin, stop in arrivals.down if begin <= tick.nominal < stop)  # fmt: skip
    assert sum(Tick.objects.values_list("inputs", flat=True)) == Unit.objects.count()
    last = Tick.objects.filter(outcome__in=("ran", "nothing_new")).latest("nominal")
    whole(arrivals, last.at)
    assert Trouble.objects.count() == 0
    if hits:
        assert set(hits) >= set(POINTS[1:])


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("point", ["schedule.after_news", "schedule.before_commit"])
def test_a_process_that_is_really_killed_leaves_the_tick_due(real_cast, point):
    approved(real_cast, STAGE + "schedule=* * * * *\n")
    loops.run("schedule")
    due = clock.now().replace(second=0, microsecond=0) - MINUTE
    Schedule.objects.update(next_at=due, look_at=due)
    url = f"{os.environ['DATABASE_URL'].rpartition('/')[0]}/{connection.settings_dict['NAME']}"
    environment = {**os.environ, "DATABASE_URL": url, "DJANGO_SETTINGS_MODULE": "poms_site.settings", "POMS_BELL": "0",
                   "POMS_CRASHPOINT": point, "POMS_SECRET_KEY": conf.SECRET_KEY}  # fmt: skip
    command = [sys.executable, "manage.py", "reconcile", "schedule", "--once"]
    done = subprocess.run(command, cwd=conf.BASE_DIR, env=environment, capture_output=True, timeout=120)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    assert not Tick.objects.filter(inputs__gt=0).exists() and not Unit.objects.exists()
    Schedule.objects.update(look_at=due)
    loops.run("schedule")
    assert Unit.objects.count() == 1
    assert Tick.objects.filter(outcome="ran").count() == 1


@pytest.mark.django_db(transaction=True)
def test_two_workers_write_one_outcome(real_cast, arrivals, time):
    kept_up(real_cast, time)
    arrivals.add(BEGIN, "f0")
    row = Schedule.objects.select_related("experiment", "stage__campaign__experiment").get()
    together, found = threading.Barrier(4), []

    def work() -> None:
        together.wait()
        try:
            found.append(arriving.arrive(row, row.next_at))
        finally:
            connections.close_all()

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert sorted(found, key=str) == [1, None, None, None]
    assert (Tick.objects.count(), Unit.objects.count()) == (1, 1)


# --- One tick after the other --------------------------------------------------------------------------------------

pytestmark = pytest.mark.django_db


def test_a_tick_takes_what_is_new_and_nothing_new_is_an_outcome(cast, arrivals, time):
    kept_up(cast, time)
    for n in range(5):
        arrivals.add(BEGIN + n * MINUTE, f"f{n}")
    (time + 5 * MINUTE)()
    (time + 5 * MINUTE)()
    assert ticks() == [("00:05", "ran", 5), ("00:10", "nothing_new", 0)]
    assert sorted(Batch.objects.values_list("n_units", flat=True)) == [1, 4], "the rest is cut at the tick"
    whole(arrivals, time.at)
    assert Stage.objects.get().completed_at is None
    assert Schedule.objects.get().next_at == BEGIN + 15 * MINUTE
    arrived = Unit.objects.order_by("arrived_at").values_list("arrived_at", flat=True)
    assert (arrived.first(), arrived.last()) == (Schedule.objects.get().since, BEGIN + 4 * MINUTE)


def test_a_catalogue_that_is_down_is_asked_until_the_next_time_and_no_file_is_lost(cast, arrivals, time):
    kept_up(cast, time)
    arrivals.down = [(BEGIN, BEGIN + 12 * MINUTE)]
    arrivals.add(BEGIN + MINUTE, "f0")
    time + 5 * MINUTE
    for _ in range(13):
        (time + timedelta(seconds=20))()
    row = Schedule.objects.get()
    assert ticks() == [] and row.tries > 4 and "does not answer" in row.why
    (time + 100 * timedelta(seconds=1))()
    assert [entry[:2] for entry in ticks()] == [("00:05", "failed")]
    assert Tick.objects.get().reason == "the catalogue does not answer, until the next time came"
    for _ in range(9):
        (time + timedelta(seconds=20))()
    assert ticks() == [("00:05", "failed", 0), ("00:10", "ran", 1)]
    whole(arrivals, time.at)


@pytest.mark.parametrize(
    ("policy", "outcomes"),
    [("catch_up=last\n", "skipped " * 5 + "ran"), ("catch_up=all\ncatch_up_cap=3\n", "skipped " * 3 + "ran nothing_new nothing_new"),
     ("catch_up=none\n", "skipped " * 6)],
)  # fmt: skip
def test_what_was_missed_is_caught_up_as_the_schedule_says(cast, arrivals, time, policy, outcomes):
    kept_up(cast, time, "schedule=@hourly\n" + policy)
    arrivals.add(BEGIN + MINUTE, "f0")
    (time + 6 * HOUR + 30 * MINUTE)()
    assert [outcome for _, outcome, _ in ticks()] == outcomes.split()
    (time + HOUR)()
    if policy == "catch_up=none\n":
        assert ticks()[-1] == ("07:00", "skipped", 0), "half an hour late, too"
        time.at = BEGIN + 8 * HOUR + MINUTE
        time()
        assert ticks()[-1] == ("08:00", "ran", 1)


def test_a_year_away_is_written_down_and_caught_up_once(cast, arrivals, time):
    kept_up(cast, time)
    arrivals.add(BEGIN, "f0")
    (time + timedelta(days=20))("schedule")
    assert Counter(outcome for _, outcome, _ in ticks()) == {"skipped": 20 * 288 - 1, "ran": 1}


@pytest.mark.parametrize("overlap", ["allow", "skip", "queue"])
def test_while_earlier_work_goes_on(cast, arrivals, time, overlap):
    kept_up(cast, time, f"schedule=*/5 * * * *\noverlap={overlap}\n")
    for n in range(3):
        arrivals.add(BEGIN + (4 + 5 * n) * MINUTE, f"f{n}")
        (time + 5 * MINUTE)()
    wanted = {"allow": [("00:05", "ran", 1), ("00:10", "ran", 1), ("00:15", "ran", 1)],
              "skip": [("00:05", "ran", 1), ("00:10", "skipped", 0), ("00:15", "skipped", 0)],
              "queue": [("00:05", "ran", 1), ("00:10", "skipped", 0)]}  # fmt: skip
    assert ticks() == wanted[overlap]
    if overlap == "allow":
        return
    assert "1 batch has not ended" in Tick.objects.get(nominal=BEGIN + 10 * MINUTE).reason
    cancel_batches()
    (time + MINUTE)()
    assert ticks()[-1] == {"skip": ("00:15", "skipped", 0), "queue": ("00:15", "ran", 2)}[overlap]
    cancel_batches()
    (time + 5 * MINUTE)()
    assert ticks()[-1] == {"skip": ("00:20", "ran", 2), "queue": ("00:20", "nothing_new", 0)}[overlap]
    whole(arrivals, time.at)


def cancel_batches() -> None:
    transitions.move_all(
        Batch.objects.filter(state="pending"), "cancelled", expect=["pending"], actor="user:operator", reason="away"
    )


def test_a_paused_schedule_writes_down_its_times_and_takes_all_in_when_it_goes_on(cast, arrivals, time):
    kept_up(cast, time)
    row = Schedule.objects.get()
    with pytest.raises(Refused, match="reason"):
        time.do(pausing.pause, row, actor="user:operator", reason=" ")
    time.do(pausing.pause, row, actor="user:operator", reason="the disk is full")
    with pytest.raises(Conflict, match="paused already by operator"):
        time.do(pausing.pause, row, actor="user:operator", reason="again")
    arrivals.add(BEGIN + MINUTE, "f0")
    (time + 11 * MINUTE)()
    time + 5 * MINUTE
    time.do(pausing.resume, row, actor="user:operator", reason="there is room")
    assert ticks() == [(at, "skipped", 0) for at in ("00:05", "00:10", "00:15")]
    assert {tick.reason for tick in Tick.objects.all()} == {"paused by operator: the disk is full"}
    with pytest.raises(Conflict, match="is not paused"):
        time.do(pausing.resume, row, actor="user:operator", reason="again")
    (time + 5 * MINUTE)()
    assert ticks()[-1] == ("00:20", "ran", 1)
    steps = Transition.objects.filter(kind="schedule").order_by("id").values_list("verb", "source", "target")
    assert list(steps) == [("create", "", "active"), ("pause", "active", "paused"), ("resume", "paused", "active")]


def test_somebody_may_have_it_look_now(cast, arrivals, time):
    kept_up(cast, time, "schedule=@daily\n")
    arrivals.add(BEGIN + MINUTE, "f0")
    row = Schedule.objects.get()
    time + HOUR
    time.do(pausing.run_now, row, actor="user:operator", reason="the shift asks")
    with pytest.raises(Conflict, match="operator has asked"):
        time.do(pausing.run_now, row, actor="user:operator", reason="again")
    (time + timedelta(seconds=1))()
    tick = Tick.objects.get()
    assert (tick.outcome, tick.inputs, tick.asked_by) == ("ran", 1, "user:operator")
    row.refresh_from_db()
    assert (row.asked_at, row.next_at, row.look_at) == (None, BEGIN + 24 * HOUR, BEGIN + 24 * HOUR)
    arrivals.down = [(BEGIN, BEGIN + 24 * HOUR)]
    time.do(pausing.run_now, row, actor="user:operator", reason="once more")
    (time + timedelta(seconds=1))()
    assert Tick.objects.exclude(pk=tick.pk).get().outcome == "failed"


# --- The definition ------------------------------------------------------------------------------------------------


def amended(cast, campaign: Campaign, text: str) -> None:
    filing.amend(Request.objects.get(campaign=campaign), by=cast.experimenter, definition=text)
    deciding.approve(Request.objects.get(campaign=campaign), by=cast.approver, reason="as asked")


def test_the_schedule_follows_the_approved_revision(cast, arrivals, time):
    campaign = kept_up(cast, time, "schedule=@hourly\nschedule_zone=America/Chicago\ncatch_up=all\n")
    row = Schedule.objects.get()
    assert (row.expression, row.zone, row.catch_up, row.cap, row.overlap) == (
        "@hourly",
        "America/Chicago",
        "all",
        10,
        "allow",
    )
    time.do(
        amended,
        cast,
        campaign,
        builders.definition(stages=STAGE + "schedule=@hourly\nschedule_zone=America/Chicago\noverlap=skip\n"),
    )
    (time + 30 * MINUTE)()
    row.refresh_from_db()
    assert (row.overlap, row.next_at) == ("skip", BEGIN + HOUR)
    (time + 31 * MINUTE)()
    (time + MINUTE)()
    assert ticks() == [("01:00", "nothing_new", 0)]
    time + 2 * HOUR
    time.do(amended, cast, campaign, builders.definition(stages=STAGE + "schedule=every 24 h\n"))
    time()
    row.refresh_from_db()
    assert (row.expression, row.zone, row.next_at) == ("every 24 h", "UTC", BEGIN + 24 * HOUR)
    assert ticks()[1:] == [("02:00", "skipped", 0), ("03:00", "skipped", 0)]
    assert "was changed" in Tick.objects.latest("nominal").reason
    verbs = list(Transition.objects.filter(kind="schedule").order_by("id").values_list("verb", flat=True))
    assert verbs == ["create", "change", "change"]


def test_a_schedule_that_is_taken_away_closes_its_stage(cast, arrivals, time):
    campaign = kept_up(cast, time)
    arrivals.add(BEGIN + MINUTE, "f0")
    (time + 5 * MINUTE)()
    time.do(amended, cast, campaign, builders.definition(stages=STAGE))
    (time + 6 * MINUTE)()
    row = Schedule.objects.get()
    assert row.ended_at is not None and row.condition == "ended"
    assert StageProgress.objects.get().closed and Unit.objects.count() == 1, "nothing is frozen beside"
    with pytest.raises(Conflict, match="has ended"):
        time.do(pausing.pause, row, actor="user:operator", reason="why not")
    time.do(amended, cast, campaign, builders.definition(stages=STAGE + "schedule=*/5 * * * *\n"))
    (time + MINUTE)()
    row.refresh_from_db()
    assert row.ended_at is None and not StageProgress.objects.get().closed
    arrivals.add(time.at, "f1")
    (time + 5 * MINUTE)()
    whole(arrivals, time.at)


def test_after_its_end_the_campaign_ends(cast, arrivals, time):
    campaign = kept_up(cast, time, "schedule=*/5 * * * *\nschedule_end=2026-11-01 00:12\n",
                       "[campaign_stage sum]\ndataset_or_split_data=from_parent\n[dependencies sum]\ncampaign_stage_1=raw\n")  # fmt: skip
    for _ in range(3):
        (time + 5 * MINUTE)()
    assert ticks() == [("00:05", "nothing_new", 0), ("00:10", "nothing_new", 0)]
    row = Schedule.objects.get()
    assert row.ended_at is not None and row.next_at is None
    time("plan")
    time("plan")
    campaign.refresh_from_db()
    assert campaign.state in ("succeeded", "failed")
    assert not Stage.objects.filter(completed_at=None).exists()
    time()
    assert Transition.objects.filter(kind="schedule").count() == 2


def test_a_cancelled_campaign_has_no_schedule(cast, arrivals, time):
    campaign = kept_up(cast, time)
    time.do(acting.cancel, campaign, actor="user:operator", reason="done")
    (time + 6 * MINUTE)()
    assert Schedule.objects.get().condition == "ended"
    (time + HOUR)()
    assert ticks() == [("00:05", "skipped", 0)]


def test_a_stage_that_had_ended_goes_on_with_a_schedule(cast, arrivals, time):
    two = STAGE + "schedule=%s\n[campaign_stage other]\nstage_type=generator\nevents=1\nevents_per_job=1\n"
    campaign = approved(cast, two % "@daily")
    time()
    Stage.objects.filter(name="raw").update(completed_at=time.at, succeeded=True)
    time.do(amended, cast, campaign, builders.definition(stages=two % "@hourly"))
    time()
    assert Stage.objects.get(name="raw").completed_at is None


def test_a_request_that_was_not_renewed_stops_its_ticks(cast, arrivals, time):
    kept_up(cast, time)
    Schedule.objects.update(valid_until=BEGIN + 7 * MINUTE)
    arrivals.add(BEGIN + MINUTE, "f0")
    (time + 5 * MINUTE)()
    (time + 5 * MINUTE)()
    assert [entry[1] for entry in ticks()] == ["ran", "skipped"]
    assert "was not renewed after 2026-11-01 00:07 UTC" in Tick.objects.latest("nominal").reason
    with pytest.raises(Refused, match="extend it first"):
        time.do(pausing.run_now, Schedule.objects.get(), actor="user:operator", reason="now")
    Schedule.objects.update(valid_until=BEGIN + 22 * MINUTE)
    (time + 5 * MINUTE)()
    assert ticks()[-1][:2] == ("00:15", "nothing_new")
    (time + 20 * MINUTE)()
    assert [entry[1] for entry in ticks()[3:]] == ["nothing_new"] + ["skipped"] * 3, "after an outage, too"


def test_nothing_is_done_twice_by_following_again(cast, arrivals, time):
    kept_up(cast, time)
    row = Schedule.objects.select_related("version__revision__campaign", "version__stage").get()
    time.do(following.follow, row.version)
    time.do(following.end, row)
    row.refresh_from_db()
    assert row.condition == "active"
    assert Transition.objects.filter(kind="schedule").count() == 1


@pytest.mark.django_db(transaction=True)
def test_only_the_errors_of_outside_count_as_the_catalogues(real_cast, arrivals, time, monkeypatch):
    """A fault of ours is no outcome: it is written down as one, and the times wait."""
    kept_up(real_cast, time)

    def broken(*_):
        raise ZeroDivisionError

    monkeypatch.setattr(arrivals, "news", broken)
    (time + 5 * MINUTE)()
    assert ticks() == [] and "ZeroDivisionError" in Trouble.objects.get(loop="schedule").error


def test_planning_and_an_empty_keep_up_make_nothing(cast, arrivals, time):
    kept_up(cast, time)
    planning.note([Stage.objects.get().pk])
    time("plan")
    assert not Batch.objects.exists() and Stage.objects.get().completed_at is None
