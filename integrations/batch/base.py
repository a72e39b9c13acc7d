"""What every batch system must offer: many at a time, and a defined answer for "asked and not seen"."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol


@dataclass(frozen=True)
class Capabilities:
    """What a batch system can do, so that nobody asks what class it is."""

    find_by_uuid: bool
    hold: bool
    priority: bool
    history_days: float


@dataclass(frozen=True)
class JobSeen:
    """One job as its batch system shows it; `at` is the epoch second of its last event."""

    id: str
    uuid: str
    state: str
    starts: int
    at: float
    index: int | None = None
    code: str = ""
    exit_code: int | None = None
    signal: int | None = None
    node: str = ""
    site: str = ""
    slot_type: str = ""
    memory_mb: float | None = None
    cpu_s: float | None = None
    wall_s: float | None = None
    reason: str = ""


@dataclass(frozen=True)
class Snapshot:
    """The jobs that changed after a position, and the position to ask from next time."""

    position: int
    jobs: Sequence[JobSeen] = field(default_factory=tuple)


class BatchSystem(Protocol):
    """A batch system. Every call raises only integrations.errors.OutsideError."""

    capabilities: Capabilities

    def environment(self) -> dict[str, str]:
        """Return what a script that submits to it finds in its environment."""
        ...

    def find(self, uuids: Sequence[str]) -> dict[str, list[str]]:
        """Return the job ids that carry each uuid, in queue and history; an empty list is proof of absence."""
        ...

    def snapshot(self, since: int) -> Snapshot:
        """Return every job that changed after the position."""
        ...

    def jobs(self, ids: Sequence[str]) -> tuple[list[JobSeen], list[str]]:
        """Return the jobs, and the ids of those that the system, having answered, does not know."""
        ...

    def act(self, verb: str, *, ids: Sequence[str], reason: str, value: int = 0) -> dict[str, str]:
        """Hold, release, remove or re-prioritise; return for each id "done", "already", "absent" or "refused: why"."""
        ...

    def log(self, job_id: str, stream: str, offset: int, length: int) -> dict[str, Any]:
        """Return {"text", "total"}: a piece of a job's standard output ("out") or error ("err")."""
        ...

    def depth(self) -> dict[str, int]:
        """Return how many jobs are idle, running and held, how many slots there are (P3), and as `memory_mb` the most
        memory that a job can have (0: no limit is known)."""
        ...
