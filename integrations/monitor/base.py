"""What a monitor must offer: the look of a batch system at its jobs, and the difference between silent and absent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from integrations.batch.base import BatchSystem, Capabilities, JobSeen, Snapshot, Wanted

ENDED = ("succeeded", "failed", "removed")


class Monitor(Protocol):
    """A monitor. Every call raises only integrations.errors.OutsideError."""

    def snapshot(self, since: str) -> Snapshot:
        """Return every job that changed after the position; an empty one is the beginning."""
        ...

    def jobs(self, ids: Sequence[str]) -> tuple[list[JobSeen], list[str]]:
        """Return the jobs that it knows, and the ids of those of which, having answered, it knows nothing."""
        ...


class Monitored:
    """A batch system whose jobs a monitor tells of; all else is the system's own.

    A monitor comes late, and forgets: that it does not know a job proves nothing. The system itself is asked of those.
    """

    def __init__(self, system: BatchSystem, monitor: Monitor) -> None:
        self.system = system
        self.monitor = monitor
        self.capabilities: Capabilities = system.capabilities

    def snapshot(self, since: str) -> Snapshot:
        """Return what the monitor tells of since the position."""
        return self.monitor.snapshot(since)

    def jobs(self, ids: Sequence[str]) -> tuple[list[JobSeen], list[str]]:
        """Return the jobs; absent are only those that the batch system does not know either.

        Whoever asks by id has not heard of an end: where the monitor tells of one, the system says it with all that
        belongs to it, how often the job had begun among it; else the monitor's word stands.
        """
        told, unknown = self.monitor.jobs(ids)
        ended = {job.id: job for job in told if job.state in ENDED}
        if not unknown and not ended:
            return told, []
        found, absent = self.system.jobs([*unknown, *ended])
        there = {job.id for job in found}
        kept = [job for job in told if job.id not in there]
        return [*kept, *found], [job_id for job_id in absent if job_id not in ended]

    def environment(self, wanted: Wanted) -> dict[str, str]:
        """Return what a script that submits to the batch system finds in its environment."""
        return self.system.environment(wanted)

    def find(self, uuids: Sequence[str]) -> dict[str, list[str]]:
        """Return the job ids of each uuid by the batch system itself: here an empty list is proof."""
        return self.system.find(uuids)

    def act(self, verb: str, *, ids: Sequence[str], reason: str, value: int = 0) -> dict[str, str]:
        """Hold, release, remove or re-prioritise in the batch system."""
        return self.system.act(verb, ids=ids, reason=reason, value=value)

    def log(self, job_id: str, stream: str, offset: int, length: int) -> dict[str, Any]:
        """Return a piece of what a job printed, by the batch system."""
        return self.system.log(job_id, stream, offset, length)

    def depth(self) -> dict[str, int]:
        """Return how deep the batch system's queues are."""
        return self.system.depth()


def monitored(system: BatchSystem, settings: Mapping[str, Any]) -> BatchSystem:
    """Return a batch system with the monitor that its settings name, or as it is; Refused for one that cannot be."""
    from integrations.monitor.lens import Lens  # noqa: PLC0415 - one that is not named is not loaded

    return Monitored(system, Lens(settings)) if settings.get("lens") else system
