"""The monitor lens against its stand-in over HTTP: windows, partial answers, and that absent is not gone."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypotheses
from hypothesis import strategies as st

from core import errors as ours
from integrations import hosting, http, registry
from integrations.batch.base import JobSeen
from integrations.batch.jobsub import JobsubBatch
from integrations.conformance.batch import Follower
from integrations.conformance.monitor import MonitorConformance
from integrations.errors import Refused, Unavailable
from integrations.models import BatchSystem
from integrations.monitor import lens as module
from integrations.monitor.base import Monitored
from integrations.monitor.lens import Lens
from submissions.logic import observing
from submissions.models import Job, JobCount, Submission
from submissions.states import JOB_STATES
from tests.contracts.world import populate
from tests.stand_ins.lens.server import LensServer, parse, serving
from tests.stand_ins.serving import Reply

SCHEDD = "jobsub01.example.org"
WORDS = {"idle": "Idle", "processing": "Running", "held": "Held", "succeeded": "Completed", "failed": "Failed",
         "removed": "Cancelled"}  # fmt: skip


class Clock:
    """Time that passes when it is told to; it begins now, since the server has a clock of its own."""

    def __init__(self) -> None:
        self.at = time.time()

    def __call__(self) -> float:
        return self.at


class LensBench:
    """The stand-in, as jobs and people use it."""

    def __init__(self, server: LensServer, follow: str) -> None:
        self.server, self.clock, self.clusters = server, Clock(), 100
        self.monitor = Lens({"lens": server.address, "lens_group": "demo", "lens_follow": follow}, clock=self.clock)
        self.unknown = [f"9.0@{SCHEDD}", "7.3@elsewhere", "no id"]

    def submit(self, uuid: str, number: int) -> list[str]:
        self.clusters += 1
        return self.server.submit(self.clusters, SCHEDD, number, uuid)

    def move(self, job_id: str, state: str) -> None:
        self.server.move(job_id, WORDS[state])

    def later(self) -> None:
        self.clock.at += 10


@pytest.fixture(autouse=True)
def loopback(settings) -> None:
    settings.HTTP_ALLOW = ["127.0.0.1"]


@pytest.fixture
def server() -> Iterator[LensServer]:
    with serving() as running:
        yield running


@pytest.fixture(params=["summary", "jobs"])
def bench(server, request) -> LensBench:
    return LensBench(server, request.param)


def said(document) -> object:
    return lambda reply: Reply(200, json.dumps(document).encode(), {"Content-Type": "application/json"})


FAULTS = {
    "500": 500, "503": 503, "a page of a proxy": "html", "it breaks off": "cut", "half of an answer": "half",
    "no data": said({"errors": [{"message": "not today"}]}), "null": said({"data": None}),
    "another thing": said([1]), "nothing of what was asked": said({"data": {}}),
}  # fmt: skip


class TestLens(MonitorConformance):
    """What every monitor must do, by counters and by jobs."""

    @pytest.fixture(params=list(FAULTS))
    def broken(self, server, request):
        return lambda: server.fail(FAULTS[request.param])


# --- What it asks -----------------------------------------------------------------------------------------------


def test_jobs_are_asked_for_where_counters_have_moved_only(server):
    bench = LensBench(server, "summary")
    ids = [bench.submit(str(uuid4()), 5) for _ in range(10)]
    follower = Follower(bench.monitor)
    assert len(follower.look()) == 50
    asked = len(server.calls)
    bench.later()
    assert not bench.monitor.snapshot(follower.position).jobs
    assert len(server.calls) - asked == 2  # the list, and all counters in one
    bench.move(ids[3][2], "processing")
    changed = bench.monitor.snapshot(follower.position).jobs
    assert {job.id for job in changed} == set(ids[3])


def test_it_is_asked_from_the_last_look_on_and_after_a_long_silence_for_all_that_runs(server):
    bench = LensBench(server, "summary")
    bench.submit(str(uuid4()), 1)
    position = bench.monitor.snapshot("").position
    first = [call.json()["query"] for call in server.calls if "submissions(" in call.json()["query"]]
    assert "from:" not in first[0]
    bench.clock.at += 120
    bench.monitor.snapshot(position)
    bench.clock.at += 4000
    bench.monitor.snapshot(position)
    later = [call.json()["query"] for call in server.calls if "submissions(" in call.json()["query"]][1:]
    assert 'to:"now"' in later[0] and "from:" not in later[1]


def test_many_things_are_asked_for_in_few_questions(server):
    bench = LensBench(server, "jobs")
    ids = bench.submit(str(uuid4()), 450)
    assert {job.id for job in bench.monitor.snapshot("").jobs} == set(ids)
    assert len(server.calls) == 1 + 1 + 3
    assert len(bench.monitor.jobs(ids)[0]) == 450


def test_numbers_of_processes_may_have_gaps(server):
    bench = LensBench(server, "summary")
    ids = bench.submit(str(uuid4()), 30)
    server.forgotten |= set(ids[3:9])
    assert {job.id for job in bench.monitor.snapshot("").jobs} == {*ids[:3], *ids[9:]}


def test_samdev_is_fermilab_there(server):
    monitor = Lens({"lens": server.address, "group": "samdev"})
    assert monitor.group == "fermilab"


# --- Partial answers --------------------------------------------------------------------------------------------


def test_what_was_not_answered_is_asked_again_and_the_rest_counts(bench, server):
    good, bad = bench.submit(str(uuid4()), 2), bench.submit(str(uuid4()), 2)
    follower = Follower(bench.monitor)
    server.broken.add(bad[0].replace(".0@", "@"))
    assert set(follower.look()) == set(good)
    assert json.loads(follower.position)["from"] == 0
    server.broken.clear()
    bench.later()
    assert set(follower.look()) == {*good, *bad}
    assert json.loads(follower.position)["from"] == bench.clock.at


def test_a_job_that_is_not_answered_for_keeps_its_submission_for_the_next_look(bench, server):
    ids = bench.submit(str(uuid4()), 3)
    server.broken.add(ids[1])
    follower = Follower(bench.monitor)
    assert follower.look() == {}
    with pytest.raises(Unavailable):
        bench.monitor.jobs(ids)
    server.broken.clear()
    bench.later()
    assert set(follower.look()) == set(ids)


@pytest.mark.parametrize("status", ["Sleeping", "", None])
def test_a_state_that_nobody_knows_is_no_state(server, status):
    bench = LensBench(server, "jobs")
    ids = bench.submit(str(uuid4()), 1)
    server.submissions["101", SCHEDD].jobs[0] = status
    assert not bench.monitor.snapshot("").jobs
    with pytest.raises(Unavailable):
        bench.monitor.jobs(ids)


@hypotheses(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    moves=st.lists(
        st.tuples(st.integers(0, 5), st.sampled_from(["Running", "Held", "Completed", "Failed", "Idle"])), max_size=25
    ),
    silent=st.lists(st.booleans(), min_size=25, max_size=25),
)
@pytest.mark.parametrize("follow", ["summary", "jobs"])
def test_whatever_is_not_answered_the_last_look_knows_how_all_jobs_are(follow, moves, silent):
    with serving() as server:
        bench = LensBench(server, follow)
        ids = bench.submit(str(uuid4()), 6)
        follower, ended = Follower(bench.monitor), set()
        for (proc, state), quiet in zip(moves, silent, strict=False):
            if proc not in ended:
                server.move(ids[proc], state)
                ended |= {proc} if state in ("Completed", "Failed") else set()
            bench.later()
            if quiet:
                server.fail(503, times=1)
            try:
                follower.look()
            except Unavailable:
                assert quiet
        bench.later()
        seen = follower.look()
        if follow == "summary":  # two jobs that have changed places leave the counters as they were: asked by id
            seen = {**seen, **{job.id: job for job in bench.monitor.jobs(ids)[0]}}
        states = {name: word for word, name in WORDS.items()}
        assert {job_id: seen[job_id].state for job_id in ids} == {
            job_id: states[server.submissions["101", SCHEDD].jobs[n]] for n, job_id in enumerate(ids)
        }


# --- In place of a batch system ----------------------------------------------------------------------------------


class System:
    """A batch system that knows some jobs."""

    capabilities = None

    def __init__(self, known: dict[str, JobSeen] | None = None) -> None:
        self.known, self.asked = known or {}, []

    def jobs(self, ids):
        self.asked += ids
        return [self.known[i] for i in ids if i in self.known], [i for i in ids if i not in self.known]


def test_a_job_that_lens_does_not_know_is_asked_of_the_batch_system(bench):
    ids = bench.submit(str(uuid4()), 1)
    elsewhere = f"5.0@{SCHEDD}"
    system = System({elsewhere: JobSeen(elsewhere, "u", "processing", 2, 1.0)})
    found, absent = Monitored(system, bench.monitor).jobs([*ids, elsewhere, f"6.0@{SCHEDD}"])
    assert {job.id: job.starts for job in found} == {ids[0]: 1, elsewhere: 2}
    assert absent == [f"6.0@{SCHEDD}"] and set(system.asked) == {elsewhere, f"6.0@{SCHEDD}"}


def test_an_end_that_was_not_heard_of_is_told_by_the_batch_system_if_it_knows_it_still(bench):
    ids = bench.submit(str(uuid4()), 2)
    bench.move(ids[0], "succeeded")
    bench.move(ids[1], "succeeded")
    system = System({ids[0]: JobSeen(ids[0], "u", "failed", 3, 1.0, exit_code=9)})
    found, absent = Monitored(system, bench.monitor).jobs(ids)
    assert {job.id: (job.state, job.starts) for job in found} == {ids[0]: ("failed", 3), ids[1]: ("succeeded", 1)}
    assert absent == []


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"lens": "ftp://x"}, "only https"), ({"lens": "http://lens.example.org/q"}, "only https"),
        ({"lens": "https://lens.example.org/q", "lens_group": "no group"}, "lens_group"),
        ({"lens": "https://lens.example.org/q", "lens_follow": "all"}, "lens_follow"),
    ],
)  # fmt: skip
@pytest.mark.django_db
def test_a_monitor_that_cannot_work_is_refused_where_it_is_entered(cast, given, said):
    values = {"group": "demo", "schedds": [SCHEDD], **given}
    with pytest.raises(ours.Refused) as refused:
        hosting.enter_system("farm", "jobsub", by=cast.administrator, reason="to try", settings=values)
    assert said in str(refused.value.problems[0])


@pytest.mark.django_db
def test_a_row_says_whether_lens_tells_of_its_jobs(server):
    given = {"group": "demo", "schedds": [SCHEDD]}
    plain = BatchSystem.objects.create(name="plain", backend="jobsub", settings=given)
    watched = BatchSystem.objects.create(
        name="watched", backend="jobsub", settings={**given, "lens": server.address, "lens_follow": "jobs"}
    )
    assert isinstance(registry.batch(plain.name), JobsubBatch)
    system = registry.batch(watched.name)
    assert isinstance(system, Monitored) and isinstance(system.system, JobsubBatch)
    assert (system.monitor.group, system.monitor.follow) == ("demo", "jobs")


# --- Through the loop --------------------------------------------------------------------------------------------


@pytest.fixture
def farm(server, monkeypatch):
    """Return a batch system whose jobs Lens tells of, and which itself knows none."""
    settings = {"group": "demo", "schedds": [SCHEDD], "lens": server.address}
    row = BatchSystem.objects.create(name="farm", backend="jobsub", settings=settings)
    monkeypatch.setattr(JobsubBatch, "depth", lambda self: {"slots": 10})
    monkeypatch.setattr(JobsubBatch, "jobs", lambda self, ids: ([], list(ids)))
    return row


def states(submission) -> dict[str, int]:
    rows = JobCount.objects.filter(submission=submission, n__gt=0)
    return {JOB_STATES[row.state_code]: row.n for row in rows}


@pytest.mark.django_db(transaction=True)
def test_observe_counts_what_lens_tells_and_moves_nothing_while_it_is_silent(real_cast, server, farm):
    world = populate(real_cast)
    submission = world.own.objects["running"]
    Submission.objects.filter(pk=submission.pk).update(system="farm")
    JobCount.objects.filter(submission=submission).delete()
    Job.objects.filter(submission=submission).delete()
    ids = server.submit(50, SCHEDD, 3, str(submission.uuid))
    observing.observe_some()
    assert states(submission) == {"idle": 3}
    server.move(ids[0], "Completed")
    server.move(ids[1], "Running")
    observing.observe_some()
    assert states(submission) == {"idle": 1, "processing": 1, "succeeded": 1}
    before = list(Job.objects.filter(submission=submission).order_by("pk").values())
    server.move(ids[2], "Running")
    for fault in (503, "html", "half", "cut", said({"data": {}})):
        server.fail(fault)
        observing.observe_some()
        assert list(Job.objects.filter(submission=submission).order_by("pk").values()) == before, fault
        assert BatchSystem.objects.get(pk=farm.pk).error
    observing.observe_some()
    assert states(submission) == {"processing": 2, "succeeded": 1}


# --- The stand-in itself -----------------------------------------------------------------------------------------


def test_the_stand_in_speaks_as_the_protocol_shows(server):
    server.submit(12, SCHEDD, 2, "u-1", group="nova")
    query = '{s0:submission(id:"12.0@HERE"){id done running idle args:env(name:"X")} s1:submission(id:"1.0@x"){id}}'
    body = {"query": query.replace("HERE", SCHEDD), "operationName": None}
    answer = http.call(
        "POST", server.address, body=json.dumps(body).encode(), headers={"Content-Type": "application/json"}
    )
    assert answer.json() == {
        "data": {
            "s0": {"id": f"12.000000.0.000000@{SCHEDD}", "done": False, "running": 0, "idle": 2, "args": None},
            "s1": None,
        },
        "errors": [{"message": "no submission found with the given id", "path": ["s1"]}],
    }


@pytest.mark.parametrize("query", ["", "{", "{a(b:}", "no query", "{a}}"])
def test_the_stand_in_refuses_what_is_no_query(query):
    with pytest.raises(ValueError, match="Syntax"):
        parse(query)


def test_a_position_of_somebody_else_is_refused(server):
    with pytest.raises(Refused, match="none of Lens's"):
        Lens({"lens": server.address, "group": "demo"}).snapshot("{")


def test_the_words_of_states_are_ours():
    assert set(module._STATES.values()) <= set(JOB_STATES)
