"""After a restore: what was launched since is found and taken up, nothing is launched twice, and a person sees the rest."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from uuid import uuid4

import pytest
from django.db import connection

from campaigns.models import Campaign
from core import loops
from core.clock import now
from integrations import registry
from integrations.batch.base import JobSeen, Snapshot
from integrations.errors import Unavailable
from integrations.launcher.base import Launch, Place
from integrations.launcher.local import LocalLauncher
from submissions.logic import launching, planning, restoring, stopping
from submissions.models import Incarnation, Job, Output, Restoration, Result, Stray, Submission
from submissions.queries import standing_stops
from submissions.states import JOB_RANK
from tests import builders
from tests.cast import Cast

pytestmark = pytest.mark.django_db(transaction=True)

LOOPS = ("restore", "plan", "launch", "observe", "settle", "recover", "act")


class Moment:
    """A moment of the database, to which it can be put back."""

    def __init__(self) -> None:
        self.name = connection.settings_dict["NAME"]
        self._as_nobody(f'CREATE DATABASE "{self.name}_then" TEMPLATE "{self.name}"')

    def put_back(self) -> None:
        """Forget what came after; the server counts a restore, which the copy of a database does not make it do."""
        self._as_nobody(
            f'DROP DATABASE "{self.name}" WITH (FORCE)', f'ALTER DATABASE "{self.name}_then" RENAME TO "{self.name}"'
        )
        Incarnation.objects.update(timeline=0)

    def drop(self) -> None:
        """Leave no copy behind."""
        self._as_nobody(f'DROP DATABASE IF EXISTS "{self.name}_then" WITH (FORCE)')

    def _as_nobody(self, *statements: str) -> None:
        connection.close()
        with connection._nodb_cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restoring, "SETTLED_AFTER", timedelta())


@pytest.fixture
def moments() -> Iterator[Callable[[], Moment]]:
    made: list[Moment] = []

    def now() -> Moment:
        made.append(Moment())
        return made[-1]

    yield now
    for moment in made:
        moment.drop()


def succeeded(campaign: Campaign) -> Callable[[], bool]:
    def look() -> bool:
        campaign.refresh_from_db()
        assert campaign.state != "failed"
        return campaign.state == "succeeded"

    return look


def launched() -> set[str]:
    """Return what the host has started, whatever the database says of it."""
    return set(registry.launcher(Place("local")).recent(0))


@pytest.mark.parametrize("steps", range(0, 12, 2))
def test_a_production_goes_on_from_any_moment_and_does_nothing_twice(
    real_cast: Cast, local, local_system, drive, moments, steps
):
    campaign = builders.approved_campaign(real_cast, builders.definition())
    launching.start_some()  # so that this life of the database is known
    for name in [name for _ in range(3) for name in ("plan", "launch", "observe", "settle")][:steps]:
        loops.run(name)
    then = moments()
    drive(succeeded(campaign), names=LOOPS)
    before = launched()
    assert len(before) == 3
    outputs = set(Output.objects.values_list("name", flat=True))
    then.put_back()
    campaign.refresh_from_db()
    assert campaign.state != "succeeded"

    drive(succeeded(campaign), names=LOOPS)
    assert launched() == before, "the same work was launched again"
    assert {str(uuid) for uuid in Submission.objects.values_list("uuid", flat=True)} == before
    assert set(Output.objects.values_list("name", flat=True)) == outputs
    assert not Result.objects.exclude(refused="").exists()
    assert set(Job.objects.values_list("state_code", flat=True)) == {JOB_RANK["succeeded"]}
    drive(lambda: not Restoration.objects.filter(ended_at=None).exists(), names=LOOPS)
    assert Restoration.objects.get().ended_by == "loop:restore"
    assert not standing_stops().exists()
    assert not Stray.objects.filter(fate="open").exists()


def restored(why: str = "it was restored") -> Restoration:
    return restoring.begin(why, actor="user:administrator")


def test_a_promotion_that_lost_nothing_ends_by_itself(real_cast: Cast, local, local_system, drive):
    campaign = builders.approved_campaign(real_cast, builders.definition())
    drive(lambda: Submission.objects.exclude(state__in=("pending", "launching")).exists(), names=LOOPS)
    Incarnation.objects.update(timeline=0)
    assert launching.start_some() == 0, "nothing is claimed in the pass that notices it"
    (stop,) = standing_stops()
    assert (stop.scope, stop.emergency, stop.actor) == ("everything", "leave", "loop:restore")
    assert "restored from a backup, or a standby of it was promoted" in stop.reason
    drive(succeeded(campaign), names=LOOPS)
    row = Restoration.objects.get()
    assert (row.ended_by, row.strays.count(), standing_stops().count()) == ("loop:restore", 0, 0)
    restoring.notice()
    assert Restoration.objects.count() == 1, "the life of the database is known now"


def test_hosts_are_asked_from_the_last_minute_of_the_life_before(real_cast: Cast, local, local_system):
    """What runs in the new life writes before it notices: only the note of the old one says when that ended."""
    restoring.notice()
    long_ago = now() - timedelta(days=2)
    Incarnation.objects.update(noted_at=long_ago)
    restoring.notice()
    assert now() - Incarnation.objects.get().noted_at < timedelta(minutes=1), "a life that goes on notes it"
    Incarnation.objects.update(noted_at=long_ago, timeline=0)
    loops.run("observe")
    loops.run("plan")
    assert Restoration.objects.get().back_to == long_ago


def test_one_that_goes_on_is_asked_once_more_after_calls_of_before_have_ended(real_cast: Cast, local, monkeypatch):
    monkeypatch.setattr(restoring, "SETTLED_AFTER", timedelta(seconds=90))
    row = restored()
    restoring.restore_some()
    row.refresh_from_db()
    assert row.ended_at is None
    (sentence,) = restoring.waits_for(row)
    assert sentence.startswith("the launcher of this machine is asked once more after")
    Restoration.objects.update(began_at=row.began_at - timedelta(seconds=90))
    restoring.restore_some()
    assert Restoration.objects.get().ended_at is not None


def test_who_does_not_answer_is_waited_for_until_a_person_says_go_on(real_cast: Cast, local, local_system, monkeypatch):
    def silent(*_: object) -> list[str]:
        raise Unavailable("nobody is there")

    monkeypatch.setattr(LocalLauncher, "recent", silent)
    row = restored()
    restoring.restore_some()
    row.refresh_from_db()
    assert row.ended_at is None
    assert restoring.waits_for(row) == ["the launcher of this machine does not answer: nobody is there"]
    stopping.go_on(None, actor="user:administrator", reason="it was empty, I looked")
    restoring.restore_some()
    row.refresh_from_db()
    assert row.ended_by == "user:administrator"
    assert not standing_stops().exists()


def test_jobs_of_which_no_host_knows_wait_for_a_person(real_cast: Cast, local, local_system, monkeypatch):
    uuid = str(uuid4())
    known = registry.batch("local")
    job = JobSeen(id="7.0", uuid=uuid, state="processing", starts=1, at=1.0)
    foreign = JobSeen(id="8.0", uuid="a tag of somebody's", state="idle", starts=0, at=1.0)
    monkeypatch.setattr(type(known), "snapshot", lambda *_: Snapshot("", [job, foreign]))
    row = restored()
    restoring.restore_some()
    stray = Stray.objects.get()
    assert (str(stray.uuid), stray.found_at, stray.job_ids, stray.fate) == (uuid, "local", ["7.0"], "open")
    row.refresh_from_db()
    (sentence,) = restoring.waits_for(row)
    assert sentence == "1 launch of which the database does not know, and nothing planned fits"


def test_what_came_to_nothing_is_closed_and_what_runs_is_waited_for(real_cast: Cast, local, local_system, drive):
    launcher = registry.launcher(Place("local"))
    gate = local.home / "gate"
    failed, running = (str(uuid4()) for _ in range(2))
    plan = json.dumps({"experiment": "demo", "campaign": "gone", "stage": "gen", "jobs": []})
    launcher.start([
        Launch(failed, 1, 0, ["false"], files={"jobs.json": plan}),
        Launch(running, 1, 0, ["sh", "-c", f"while ! test -e '{gate}'; do sleep 0.1; done"], files={"jobs.json": plan}),
    ])  # fmt: skip
    row = restored()

    def fates() -> dict[str, str]:
        restoring.restore_some()
        return {str(stray.uuid): stray.fate for stray in Stray.objects.all()}

    drive(lambda: fates() == {failed: "empty", running: "open"}, names=("restore",))
    gate.touch()
    drive(lambda: fates() == {failed: "empty", running: "empty"}, names=("restore",))
    row.refresh_from_db()
    assert row.ended_by == "loop:restore"


def test_work_that_is_not_the_very_same_is_not_taken_up(real_cast: Cast, local, local_system):
    """Of two plans that differ by one unit, or by campaign, stage or experiment, neither is the other's."""
    builders.approved_campaign(real_cast, builders.definition())
    planning.plan_some()
    row = restored()
    ours = Submission.objects.order_by("pk").first().jobs_file
    for change in ({"campaign": "other"}, {"stage": "other"}, {"experiment": "other"}, {"jobs": ours["jobs"][:1]}):
        where = {"launcher": "local", "experiment_id": 0, "host": "", "account": ""}
        Stray.objects.create(
            restoration=row, uuid=uuid4(), place=where, plan=json.loads(json.dumps({**ours, **change}))
        )
    assert restoring._adopt(row) == 0
    Stray.objects.create(restoration=row, uuid=uuid4(), place=where, plan=ours)
    assert restoring._adopt(row) == 1
    assert list(Stray.objects.values_list("fate", flat=True).order_by("pk")) == ["open"] * 4 + ["adopted"]


def test_the_life_of_the_database_is_read_by_an_account_without_rights(real_cast: Cast):
    restoring.notice()
    with connection.cursor() as cursor:
        cursor.execute("CREATE ROLE poms_plain; GRANT USAGE ON SCHEMA public TO poms_plain")
        try:
            cursor.execute("GRANT SELECT ON submissions_incarnation TO poms_plain; SET ROLE poms_plain")
            restoring.notice()
        finally:
            cursor.execute("RESET ROLE; DROP OWNED BY poms_plain; DROP ROLE poms_plain")
    assert not Restoration.objects.exists()
