"""What a definition says, however it is written: stages, edges, job types, set-ups. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from campaigns.command import Pair
from campaigns.definition.writing import dump
from core.errors import Problem

FROM_PARENT = "from_parent"


@dataclass(frozen=True)
class StageText:
    """One stage as the text defines it, defaults filled in."""

    name: str
    type: str = "regular"
    job_type: str = ""
    login_setup: str = ""
    dataset: str = ""
    catalogue: str = ""
    destination: str = ""
    split: str = "None"
    software_version: str = ""
    vo_role: str = ""
    params: tuple[Pair, ...] = ()
    test_params: tuple[Pair, ...] = ()
    completion_type: str = "located"
    completion_pct: int = 95
    completion: str = ""
    ask_after_h: int = 72
    events: int = 0
    seed: int = 0
    events_per_job: int = 0
    files_per_job: int = 1
    most_files: int = 0
    memory_mb: int = 2000
    memory_factor: float = 2.0
    wall_s: int = 86_400
    wall_factor: float = 1.5
    cpus: int = 1
    disk_mb: int = 0
    gpus: int = 0
    slots: str = ""
    sites: str = ""
    avoid_sites: str = ""
    recovery_rounds: int = 2
    most_tries: int = 4
    canary: int = 0
    value_overrides: str = ""
    schedule: str = ""
    schedule_zone: str = "UTC"
    schedule_start: str = ""
    schedule_end: str = ""
    catch_up: str = "last"
    catch_up_cap: int = 10
    overlap: str = "allow"
    latency_objective: str = ""
    recall_times: str = ""
    recall_window: int = 50
    line: int = 0


@dataclass(frozen=True)
class EdgeText:
    """One dependency: the outputs of `upstream` that match `pattern` feed `downstream`; both of one campaign or not."""

    upstream: str
    downstream: str
    pattern: str = "%"
    gate: str = "all"
    campaign: str = ""  # whose stage `upstream` is; empty: this one's
    line: int = 0


@dataclass(frozen=True)
class JobTypeText:
    """How one kind of job is run."""

    name: str
    launch_script: str = ""
    parameters: tuple[Pair, ...] = ()
    output_file_patterns: str = "%"
    recoveries: tuple[Any, ...] = ()
    line: int = 0


@dataclass(frozen=True)
class LoginSetupText:
    """Where and how scripts are started."""

    name: str
    host: str = "localhost"
    account: str = ""
    setup: str = ""
    launcher: str = "local"
    batch: str = "local"
    line: int = 0


@dataclass(frozen=True)
class Definition:
    """A whole campaign as text defines it."""

    experiment: str = ""
    name: str = ""
    role: str = "production"
    state: str = "Active"
    keywords: Mapping[str, str] = field(default_factory=dict)
    stages: tuple[StageText, ...] = ()
    edges: tuple[EdgeText, ...] = ()  # between its own stages
    across: tuple[EdgeText, ...] = ()  # from stages of other campaigns
    job_types: tuple[JobTypeText, ...] = ()
    login_setups: tuple[LoginSetupText, ...] = ()
    positions: Mapping[str, tuple[float, float]] = field(default_factory=dict)  # of stages in the editor

    @property
    def digest(self) -> str:
        """Return the hash to which an approval belongs: that of the canonical text, so of what runs."""
        return hashlib.sha256(dump(self).encode()).hexdigest()


@dataclass
class Parsed:
    """What a text says, and what is wrong with it."""

    definition: Definition
    errors: list[Problem]
    warnings: list[Problem]
    malformed: list[Problem] = field(default_factory=list)  # those of the errors for which it cannot even be kept
