"""What a check is: a look at facts that were gathered before, and lines that say how it came out. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from approvals.estimate import Cost
from campaigns.definition import Definition
from campaigns.fife_launch import Configuration
from core.errors import Problem

PASS, WARN, FAIL, NOT_CHECKED = "pass", "warn", "fail", "not_checked"


@dataclass(frozen=True)
class Line:
    """One line of the report: what was checked, how it came out, and how to mend it."""

    check: str
    result: str
    text: str
    hint: str = ""


@dataclass(frozen=True)
class Answer:
    """What an outside system said: yes, no, or nothing (then `why` says why nobody knows)."""

    yes: bool | None
    why: str = ""


@dataclass(frozen=True)
class Same:
    """The same work on the same inputs elsewhere: how many of ours, of how many, where, and how far it is."""

    ref: str
    stage: str
    shared: int
    of: int
    state: str
    unit: str = "files"


@dataclass(frozen=True)
class Slots:
    """What a batch system has: slots, the memory of the largest one (0: it does not say), or why nobody knows."""

    slots: int = 0
    memory_mb: float = 0
    why: str = ""


@dataclass(frozen=True)
class Facts:
    """What the checks look at."""

    definition: Definition
    errors: Sequence[Problem] = ()
    warnings: Sequence[Problem] = ()
    # What is to be processed: the ways in which the request says so, and what the catalogue knows.
    wanted: Mapping[str, str] = field(default_factory=dict)
    datasets: Mapping[str, int | None] = field(default_factory=dict)
    unknown_files: Sequence[str] = ()
    unread: str = ""  # why the catalogue could not be asked
    offline: Mapping[str, Answer] = field(default_factory=dict)  # of each dataset: are files only on tape
    # Code
    repository: str = ""
    packages: Sequence[str] = ()
    release: str = ""
    tag: Answer | None = None
    configuration: str = ""
    configured: Answer | None = None
    fife: Configuration | None = None  # the configuration, where fife_launch is what reads it
    unread_fife: str = ""  # why it is not here
    own_job_types: Sequence[str] = ()
    scripts: Mapping[str, Answer] = field(default_factory=dict)
    # Work and its place
    same: Sequence[Same] = ()
    uncompared: str = ""  # why it could not be compared with other work
    outputs: str = ""
    taken: Sequence[str] | None = None  # names that exist already; None: nobody knows what will be put out
    taken_why: str = ""
    slots: Mapping[str, Slots] = field(default_factory=dict)
    cost: Cost | None = None
    begun: Sequence[str] = ()  # stages of the running campaign whose input is frozen
    # People
    production_stage: str = ""
    production_stages: Sequence[str] = ()
    entitled: Answer = Answer(True)
    undeclared: Sequence[str] = ()  # keys of `details` that the experiment has not declared


class Check(Protocol):
    """One question about a request."""

    name: str

    def lines(self, facts: Facts) -> Iterator[Line]:
        """Say how it came out, in one line or several; none where the question does not arise."""
        ...


def verdict(lines: Sequence[Line]) -> str:
    """Return the worst result of a report: fail, warn or pass."""
    results = {line.result for line in lines}
    return FAIL if FAIL in results else WARN if WARN in results else PASS
