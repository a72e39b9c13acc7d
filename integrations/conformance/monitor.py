"""What every monitor must do, said once; a monitor's tests bring a bench, on which jobs come, move and end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol
from uuid import uuid4

import pytest

from integrations.conformance.batch import Follower
from integrations.errors import Unavailable
from integrations.monitor.base import Monitor


class Bench(Protocol):
    """What the tests need of a monitor beside it."""

    monitor: Monitor
    unknown: Sequence[str]  # ids in its form of jobs that never were

    def submit(self, uuid: str, number: int) -> list[str]:
        """Let so many jobs of a submission come; return their ids."""
        ...

    def move(self, job_id: str, state: str) -> None:
        """Let a job come into one of our states."""
        ...

    def later(self) -> None:
        """Let time pass, so that what is told next is newer."""
        ...


class MonitorConformance:
    """Inherit it with fixtures `bench`, and `broken`: a way in which it does not answer as it should."""

    def test_jobs_are_told_with_their_uuid_and_state_as_they_move(self, bench: Bench) -> None:
        uuid = str(uuid4())
        ids = bench.submit(uuid, 3)
        follower = Follower(bench.monitor)  # type: ignore[arg-type]  # it asks for snapshots only
        seen = follower.look()
        assert {job_id: (job.uuid, job.state) for job_id, job in seen.items()} == dict.fromkeys(ids, (uuid, "idle"))
        for states in (
            ("processing", "idle", "held"),
            ("succeeded", "processing", "removed"),
            ("succeeded", "failed", "removed"),
        ):
            for job_id, state in zip(ids, states, strict=True):
                bench.move(job_id, state)
            bench.later()
            seen = follower.look()
            assert [seen[job_id].state for job_id in ids] == list(states)

    def test_an_end_is_told_once(self, bench: Bench) -> None:
        ids = bench.submit(str(uuid4()), 4)
        follower = Follower(bench.monitor)  # type: ignore[arg-type]  # it asks for snapshots only
        bench.move(ids[0], "succeeded")
        at = follower.look()[ids[0]].at
        for job_id in ids[1:]:
            bench.move(job_id, "failed")
            bench.later()
            assert follower.look()[ids[0]].at == at
        bench.later()
        snapshot = bench.monitor.snapshot(follower.position)
        assert not snapshot.jobs

    def test_jobs_by_id_are_told_and_those_that_never_were_are_named(self, bench: Bench) -> None:
        ids = bench.submit(str(uuid4()), 2)
        bench.move(ids[1], "processing")
        found, unknown = bench.monitor.jobs([*ids, *bench.unknown])
        assert {job.id: job.state for job in found} == {ids[0]: "idle", ids[1]: "processing"}
        assert sorted(unknown) == sorted(bench.unknown)

    def test_jobs_of_nobody_of_ours_are_not_told(self, bench: Bench) -> None:
        bench.submit("", 2)
        assert not bench.monitor.snapshot("").jobs

    def test_silence_is_no_answer(self, bench: Bench, broken: Callable[[], None]) -> None:
        ids = bench.submit(str(uuid4()), 2)
        broken()
        with pytest.raises(Unavailable):
            bench.monitor.snapshot("")
        broken()
        with pytest.raises(Unavailable):
            bench.monitor.jobs(ids)
