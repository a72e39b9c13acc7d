"""What every batch system must do, said once against the protocol; a backend's tests bring a bench and inherit it.

A bench is the other side: it submits jobs as the script of a launch does, looks at what the system itself has written
down of a job, and lets the system fail.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol
from uuid import uuid4

import pytest

from integrations.batch.base import BatchSystem, JobSeen, Slots, Wanted
from integrations.errors import Refused, Unavailable

SOON_S = 300.0  # a command of the system may wait for a minute, more than once; it only ends a hang
ENDED = ("succeeded", "failed", "removed")
# Of two sightings with the same start and time, both of them ends or none, the later phase is the newer, as in merging.
PHASES = (
    "lost", "idle", "staging_in", "processing", "suspended", "held", "staging_out", "failed", "succeeded", "removed",
)  # fmt: skip
LASTING = "sleep 600"


class Bench(Protocol):
    """What the tests need of a backend beside the system."""

    system: BatchSystem
    unknown: Sequence[str]  # ids in its form of jobs that never were

    def submit(self, wanted: Wanted, scripts: Sequence[str]) -> list[str]:
        """Submit one job for each piece of shell, in one cluster or array, as a launch does; return the ids in order.

        It uses nothing but `system.environment(wanted)` and the submit command of the batch system.
        """
        ...

    def recorded(self, job_id: str) -> Mapping[str, Any]:
        """Return what the system itself has written down of what a job wants, in the words of Slots.

        `tags` are its attributes and `priority` its place among the idle ones. What it does not have is left out.
        """
        ...

    def down(self) -> AbstractContextManager[object]:
        """Take the system away; when the block ends it is back, and answers."""
        ...


class Follower:
    """Somebody who asks for changes only, and keeps what is newest of each job as the merge does."""

    def __init__(self, system: BatchSystem, position: str = "") -> None:
        self.system = system
        self.position = position
        self.jobs: dict[str, JobSeen] = {}

    def look(self) -> dict[str, JobSeen]:
        """Ask what has changed, from where the last look ended; return the newest of each job."""
        snapshot = self.system.snapshot(self.position)
        self.position = snapshot.position
        for seen in snapshot.jobs:
            if seen.id not in self.jobs or _age(seen) >= _age(self.jobs[seen.id]):
                self.jobs[seen.id] = seen
        return self.jobs


def new(**values: Any) -> Wanted:
    """Return what a launch wants that nobody has seen."""
    uuid = str(uuid4())
    return Wanted(**{"uuid": uuid, "tags": {"POMS_SUBMISSION_ID": uuid}, "slots": Slots(memory_mb=100), **values})


def wait_for(what: Callable[[], bool], why: str, seen: Callable[[], object] = str) -> None:
    """Wait until it is true; where it does not come about, say why it was to, and what was seen instead."""
    deadline = time.monotonic() + SOON_S
    while not what():
        assert time.monotonic() < deadline, f"it does not come about: {why} {seen()}"
        time.sleep(0.1)


def in_states(system: BatchSystem, ids: Sequence[str], states: Sequence[str]) -> dict[str, JobSeen]:
    """Wait until all jobs are in one of the states, and return them."""
    seen: dict[str, JobSeen] = {}

    def all_there() -> bool:
        seen.update({job.id: job for job in system.jobs(ids)[0]})
        return set(seen) == set(ids) and all(job.state in states for job in seen.values())

    wait_for(all_there, f"all in {', '.join(states)}")
    return seen


def ended(system: BatchSystem, ids: Sequence[str]) -> list[JobSeen]:
    """Wait for the end of jobs; return them in order."""
    seen = in_states(system, ids, ENDED)
    return [seen[job_id] for job_id in ids]


class BatchConformance:
    """Inherit it with a fixture `bench`."""

    def test_jobs_are_found_by_uuid_in_queue_and_history(self, bench: Bench) -> None:
        quick, lasting, nobody = new(), new(), str(uuid4())
        gone = bench.submit(quick, ["true", "exit 1"])
        ended(bench.system, gone)
        there = bench.submit(lasting, [LASTING])
        found = bench.system.find([quick.uuid, nobody, lasting.uuid])
        assert {uuid: sorted(ids) for uuid, ids in found.items()} == {
            quick.uuid: sorted(gone), nobody: [], lasting.uuid: there,
        }  # fmt: skip
        bench.system.act("remove", ids=there, reason="the test is over")

    def test_many_uuids_are_found_in_one_call(self, bench: Bench) -> None:
        wanted = [new() for _ in range(10)]
        ids = {one.uuid: bench.submit(one, ["true"]) for one in wanted}
        strangers: dict[str, list[str]] = {str(uuid4()): [] for _ in range(500)}
        assert bench.system.find([*ids, *strangers]) == {**ids, **strangers}
        assert bench.system.find([]) == {}

    def test_an_end_is_told_with_code_signal_and_place(self, bench: Bench) -> None:
        wanted = new()
        ids = bench.submit(wanted, ["exit 0", "exit 3", "kill -15 $$"])
        jobs = ended(bench.system, ids)
        assert [(job.state, job.exit_code, job.signal) for job in jobs] == [
            ("succeeded", 0, None), ("failed", 3, None), ("failed", None, 15),
        ]  # fmt: skip
        assert [(job.uuid, job.index, job.starts) for job in jobs] == [(wanted.uuid, n, 1) for n in range(3)]
        assert all(job.node and job.wall_s is not None and job.at > 1e9 for job in jobs)
        assert all(job.reason for job in jobs[1:]), "people read why"

    def test_what_changes_is_told_from_one_position_to_the_next(self, bench: Bench) -> None:
        follower = Follower(bench.system)
        early = bench.submit(new(), ["exit 0", LASTING])
        wait_for(lambda: set(early) <= set(follower.look()), "the first jobs are seen")
        late = bench.submit(new(), ["exit 4"] * 5)
        ends = ["succeeded", *["failed"] * len(late)]
        wait_for(lambda: states_of(follower, [early[0], *late]) == ends, "the ends are told")
        wait_for(lambda: _state(follower.look(), early[1]) == "processing", "the lasting one runs")
        assert bench.system.act("remove", ids=early[1:], reason="the test is over") == {early[1]: "done"}
        wait_for(lambda: _state(follower.look(), early[1]) == "removed", "the removal is told", lambda: follower.jobs)
        now = {job.id: job for job in bench.system.jobs([*early, *late])[0]}
        assert {job_id: follower.jobs[job_id].state for job_id in now} == {job.id: job.state for job in now.values()}
        assert {job_id: follower.jobs[job_id].exit_code for job_id in late} == dict.fromkeys(late, 4)

    def test_a_position_can_be_asked_twice_and_by_another(self, bench: Bench) -> None:
        follower = Follower(bench.system)
        follower.look()
        position = follower.position
        ids = bench.submit(new(), ["exit 0", "exit 1"])
        ended(bench.system, ids)
        told = [Follower(bench.system, position), Follower(bench.system, position), Follower(bench.system)]
        for one in told:
            wait_for(lambda one=one: set(ids) <= set(one.look()), "a worker that begins there is told all")  # type: ignore[misc]
            wait_for(lambda one=one: states_of(one, ids) == ["succeeded", "failed"], "and how it stands")  # type: ignore[misc]
        assert told[0].position

    def test_nothing_is_lost_while_others_submit(self, bench: Bench) -> None:
        follower, ids = Follower(bench.system), []
        for n in range(8):
            ids += bench.submit(new(), ["exit 0"] * (n % 3 + 1))
            follower.look()
        ends = ["succeeded"] * len(ids)
        wait_for(lambda: states_of(follower, ids) == ends, "each end is told", lambda: follower.jobs)

    def test_hold_and_release(self, bench: Bench) -> None:
        system, (unknown, *_) = bench.system, bench.unknown
        if not system.capabilities.hold:
            pytest.skip("it has no hold")
        first, second = ids = bench.submit(new(), [LASTING, LASTING])
        in_states(system, ids, ["processing"])
        told = system.act("hold", ids=[first, unknown], reason="disk full & so on")
        assert told == {first: "done", unknown: "absent"}
        held = in_states(system, [first], ["held"])[first]
        assert "disk full & so on" in held.reason
        assert system.act("hold", ids=[first], reason="again") == {first: "already"}
        assert system.act("release", ids=ids, reason="room again") == {first: "done", second: "already"}
        again = in_states(system, [first], ["processing"])[first]
        assert again.starts == held.starts + 1 == 2
        assert system.act("remove", ids=ids, reason="the test is over") == dict.fromkeys(ids, "done")

    def test_remove(self, bench: Bench) -> None:
        system = bench.system
        ids = bench.submit(new(), [LASTING] * 3)
        in_states(system, ids[:1], ["processing"])
        assert system.act("remove", ids=[*ids, *bench.unknown], reason="not wanted") == {
            **dict.fromkeys(ids, "done"), **dict.fromkeys(bench.unknown, "absent"),
        }  # fmt: skip
        assert {job.state for job in ended(system, ids)} == {"removed"}
        assert system.act("remove", ids=ids, reason="again") == dict.fromkeys(ids, "already")

    def test_what_has_ended_is_left_alone(self, bench: Bench) -> None:
        ids = bench.submit(new(), ["true"])
        ended(bench.system, ids)
        for verb in ("hold", "release", "remove", "prio"):
            (outcome,) = bench.system.act(verb, ids=ids, reason="too late", value=3).values()
            assert outcome.startswith("refused: "), (verb, outcome)
        assert ended(bench.system, ids)[0].state == "succeeded"

    def test_the_place_among_the_idle_ones_can_be_changed(self, bench: Bench) -> None:
        if not bench.system.capabilities.priority:
            pytest.skip("it has no priorities")
        (job_id,) = bench.submit(new(priority=2), [LASTING])
        assert bench.recorded(job_id).get("priority", 2) == 2
        unknown = bench.unknown[0]
        assert bench.system.act("prio", ids=[job_id, unknown], reason="urgent", value=5) == {
            job_id: "done", unknown: "absent",
        }  # fmt: skip
        assert bench.recorded(job_id).get("priority", 5) == 5
        assert bench.system.act("prio", ids=[job_id], reason="urgent", value=5) == {job_id: "already"}
        bench.system.act("remove", ids=[job_id], reason="the test is over")

    def test_a_verb_that_nobody_knows_is_refused(self, bench: Bench) -> None:
        with pytest.raises(Refused, match="knows no frobnicate"):
            bench.system.act("frobnicate", ids=[], reason="x")

    def test_jobs_that_are_not_there_are_named(self, bench: Bench) -> None:
        ids = bench.submit(new(), ["true", LASTING])
        ended(bench.system, ids[:1])
        seen, absent = bench.system.jobs([bench.unknown[0], *ids, *bench.unknown[1:]])
        assert sorted(job.id for job in seen) == sorted(ids)
        assert absent == list(bench.unknown)
        assert bench.system.jobs([]) == ([], [])
        bench.system.act("remove", ids=ids[1:], reason="the test is over")

    def test_what_a_job_prints_is_read_in_pieces(self, bench: Bench) -> None:
        (job_id,) = bench.submit(new(), ["seq 1 20000; echo oh >&2"])
        ended(bench.system, [job_id])
        whole = "".join(f"{n}\n" for n in range(1, 20_001))
        assert bench.system.log(job_id, "out", 0, 10) == {"text": whole[:10], "total": len(whole)}
        assert bench.system.log(job_id, "out", 1_000, 5_000)["text"] == whole[1_000:6_000]
        assert bench.system.log(job_id, "out", len(whole), 100)["text"] == ""
        assert bench.system.log(job_id, "err", 0, 100) == {"text": "oh\n", "total": 3}

    def test_what_was_never_printed_is_refused(self, bench: Bench) -> None:
        for job_id in bench.unknown:
            with pytest.raises(Refused):
                bench.system.log(job_id, "out", 0, 10)

    def test_depth_counts_what_waits_runs_and_is_held(self, bench: Bench) -> None:
        system = bench.system
        before = system.depth()
        assert {"idle", "running", "held", "slots", "memory_mb"} <= set(before)
        assert before["slots"] > 0
        ids = bench.submit(new(), [LASTING, LASTING])
        wait_for(lambda: system.depth()["running"] >= before["running"] + 2, "both run")
        if system.capabilities.hold:
            system.act("hold", ids=ids[:1], reason="for the test")
            wait_for(lambda: system.depth()["held"] == before["held"] + 1, "one is held")
        system.act("remove", ids=ids, reason="the test is over")
        ended(system, ids)

    def test_tags_and_slots_arrive(self, bench: Bench) -> None:
        slots = Slots(memory_mb=123, wall_s=3600, disk_mb=50, cpus=1)
        tags = {"POMS4_CAMPAIGN_NAME": 'a "b" c', "POMS4_CAMPAIGN_ID": "17", "POMS4_TEST_LAUNCH": "False"}
        uuid = str(uuid4())
        wanted = new(uuid=uuid, slots=slots, tags={"POMS_SUBMISSION_ID": uuid, **tags})
        ids = bench.submit(wanted, [LASTING, LASTING])
        for job_id in ids:
            recorded = dict(bench.recorded(job_id))
            carried = recorded.pop("tags", wanted.tags)
            assert {name: carried.get(name) for name in wanted.tags} == wanted.tags
            recorded.pop("priority", None)
            assert {name: recorded[name] for name in recorded if hasattr(slots, name)} == {
                name: getattr(slots, name) for name in recorded if hasattr(slots, name)
            }  # fmt: skip
        bench.system.act("remove", ids=ids, reason="the test is over")

    def test_a_system_that_is_down_is_unavailable_and_nothing_is_absent(self, bench: Bench) -> None:
        system, wanted = bench.system, new()
        ids = bench.submit(wanted, [LASTING])
        in_states(system, ids, ["processing"])
        position = system.snapshot("").position
        with bench.down():
            for ask in (
                lambda: system.find([wanted.uuid]), lambda: system.jobs(ids), lambda: system.snapshot(position),
                lambda: system.snapshot(""), system.depth, lambda: system.act("hold", ids=ids, reason="x"),
                lambda: system.log(bench.unknown[0], "out", 0, 10),
            ):  # fmt: skip
                with pytest.raises(Unavailable):
                    ask()
        assert system.find([wanted.uuid]) == {wanted.uuid: ids}
        in_states(system, ids, ["processing"])
        system.act("remove", ids=ids, reason="the test is over")
        assert ended(system, ids)[0].state == "removed"


def _age(seen: JobSeen) -> tuple[int, bool, float, int]:
    # An end counts before the time: a system may give it in whole seconds, and what came before it in parts of one.
    return seen.starts, seen.state in ENDED, seen.at, PHASES.index(seen.state)


def _state(jobs: Mapping[str, JobSeen], job_id: str) -> str:
    return jobs[job_id].state if job_id in jobs else "absent"


def states_of(follower: Follower, ids: Sequence[str]) -> list[str]:
    """Look, and return the states of jobs."""
    follower.look()
    return [_state(follower.jobs, job_id) for job_id in ids]
