"""What every batch system must offer: many at a time, and a defined answer for "asked and not seen"."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol


@dataclass(frozen=True)
class Capabilities:
    """What a batch system can do, so that nobody asks what class it is."""

    find_by_uuid: bool
    hold: bool
    priority: bool
    history_days: float


KINDS_OF_SLOTS = ("onsite", "offsite", "opportunistic", "dedicated")


@dataclass(frozen=True)
class Slots:
    """What a stage's jobs want of a slot, in one vocabulary for all systems (J11); 0 and empty: as the system does.

    `kinds` are some of KINDS_OF_SLOTS; `sites` are the only ones wanted, `avoid_sites` and `avoid_nodes` not wanted.
    """

    memory_mb: int = 0
    wall_s: int = 0
    disk_mb: int = 0
    cpus: int = 1
    gpus: int = 0
    kinds: Sequence[str] = ()
    sites: Sequence[str] = ()
    avoid_sites: Sequence[str] = ()
    avoid_nodes: Sequence[str] = ()


@dataclass(frozen=True)
class Wanted:
    """What a launch wants of a batch system: by which uuid its jobs are found, what they carry, where they may run.

    `tags` become attributes of each job, as far as the system has such; `priority` orders the idle jobs of one account.
    """

    uuid: str
    tags: Mapping[str, str] = field(default_factory=dict)
    slots: Slots = Slots()
    priority: int = 0


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
    cpus: int | None = None
    reason: str = ""


@dataclass(frozen=True)
class Snapshot:
    """The jobs that changed after a position, and the position to ask from next time."""

    position: str
    jobs: Sequence[JobSeen] = field(default_factory=tuple)


class BatchSystem(Protocol):
    """A batch system. Every call raises only integrations.errors.OutsideError."""

    capabilities: Capabilities

    def environment(self, wanted: Wanted) -> dict[str, str]:
        """Return what a script that submits to it finds in its environment.

        POMS_SUBMIT_WORDS among it is a JSON object: for each submit command, by its name, the words that the submit
        wrapper adds. A word pair [option, value] is left out where the script says that option itself; a single
        [word] is always added.
        """
        ...

    def find(self, uuids: Sequence[str]) -> dict[str, list[str]]:
        """Return the job ids that carry each uuid, in queue and history; an empty list is proof of absence."""
        ...

    def snapshot(self, since: str) -> Snapshot:
        """Return every job that changed after the position; an empty one is the beginning."""
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
