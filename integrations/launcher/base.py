"""What every launcher must offer: start scripts on a host through the shim, and say what became of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol


@dataclass(frozen=True, order=True)
class Place:
    """Where scripts run: by which launcher, and for ssh on which host and account of which experiment."""

    launcher: str
    experiment_id: int = 0
    host: str = ""
    account: str = ""

    @classmethod
    def of(cls, launcher: str, experiment_id: int, host: str, account: str) -> Place:
        """Return a place as a login set-up says it; the local launcher has but one."""
        return cls(launcher) if launcher == "local" else cls(launcher, experiment_id, host, account)

    def __str__(self) -> str:
        return f"{self.account}@{self.host}" if self.account else self.host or self.launcher


@dataclass(frozen=True)
class Launch:
    """One script to be started: everything that the shim needs.

    `after` is the attempt that the last status saw on record (0: none). If another has been recorded since,
    the shim refuses: what was concluded from that look, that nothing was submitted, may hold no more.
    """

    uuid: str
    attempt: int
    after: int
    argv: Sequence[str]
    setup: str = ""
    env: dict[str, str] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    uploads: dict[str, str] = field(default_factory=dict)  # name and SHA-256; `supply` has brought their bytes
    wall_s: int = 600

    def as_dict(self) -> dict[str, Any]:
        """Return the launch as the shim reads it."""
        return asdict(self)


@dataclass(frozen=True)
class Started:
    """What the shim did: started, running (already), finished (already), stale or refused."""

    outcome: str
    detail: str = ""


@dataclass(frozen=True)
class Fate:
    """What became of a launch: never_seen, running, finished, vanished (killed without a result) or unknown."""

    state: str
    attempt: int | None = None
    exit_code: int | None = None
    timed_out: bool = False
    job_ids: Sequence[str] = ()


class Launcher(Protocol):
    """A launcher. Every call raises only integrations.errors.OutsideError."""

    def start(self, launches: Sequence[Launch]) -> dict[str, Started]:
        """Start scripts, many in one call; return the outcome of each uuid."""
        ...

    def status(self, uuids: Sequence[str]) -> dict[str, Fate]:
        """Return what became of each."""
        ...

    def stop(self, uuids: Sequence[str]) -> dict[str, str]:
        """End running scripts."""
        ...

    def present(self, setup: str, programs: Sequence[str]) -> dict[str, bool]:
        """Tell of programs whether a script with this set-up would find them; none of them is run (P2)."""
        ...

    def supply(self, digests: Sequence[str], content: Callable[[str], bytes]) -> None:
        """See to it that files are there by the time of a launch: those that are not yet are asked of `content`."""
        ...

    def clear(self, uuids: Sequence[str]) -> dict[str, bool]:
        """Take away the uploads of launches that have been settled; False where something still runs of one."""
        ...

    def recent(self, since: float) -> list[str]:
        """Return the uuids of launches that were begun since a time, in seconds since 1970 by the host's clock."""
        ...

    def plans(self, uuids: Sequence[str]) -> dict[str, dict[str, Any] | None]:
        """Return the jobs.json that launches were given; None where it is gone or spoilt."""
        ...

    def output(self, uuid: str, part: str, offset: int, length: int) -> dict[str, Any]:
        """Return {"text", "total"}: a piece of what a script printed."""
        ...
