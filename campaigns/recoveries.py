"""What is run again of a batch, and how: the steps of a job type's list, and what the cause of a failure asks for (D3).

Every kind chooses among the inputs that have no accepted result: one that has a result is never run again in the same
pass, whatever a catalogue says of it. Pure.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from campaigns.command import Pair
from integrations.catalogue.base import (
    CANCELLED,
    CONSUMED,
    DELIVERED,
    FAILED,
    SKIPPED,
    TRANSFERRED,
    UNCONSUMED,
    UNKNOWN,
)

MOST = 10**7  # as much as a definition can ask for

_UNUSED = {SKIPPED, UNKNOWN, DELIVERED, TRANSFERRED, UNCONSUMED, CANCELLED}


@dataclass(frozen=True)
class Kind:
    """One way to choose what is run again: in a sentence, and whether the catalogue is asked what became of inputs."""

    says: str
    fates: bool = True


KINDS: dict[str, Kind] = {
    "pending_files": Kind("inputs without located output", fates=False),
    "consumed_status": Kind("inputs that no job has consumed"),
    "process_status": Kind("inputs that no job has consumed, and those of jobs that failed"),
    "delivered_not_consumed": Kind("inputs that were given to a job, or never, and not consumed"),
    "added_files": Kind("files that the dataset has gained since it was frozen", fates=False),
    "state_failed": Kind("inputs that Data Dispatcher has as failed"),
    "state_not_done": Kind("inputs that Data Dispatcher does not have as done"),
    "reprocess_orphans": Kind("inputs that were consumed and have no output"),
    "reprocess_all": Kind("inputs without located output, whatever became of them", fates=False),
}
SAME_AS = {"proj_status": "process_status"}


@dataclass(frozen=True)
class Step:
    """One step of a job type's list: what is chosen, and the parameters laid over the stage's."""

    kind: str
    overrides: tuple[Pair, ...] = ()


@dataclass(frozen=True)
class Policy:
    """How far recovery goes by itself."""

    rounds: int = 2
    memory_factor: float = 2.0
    wall_factor: float = 1.5
    most_tries: int = 4  # of one input, after which it is skipped and reported


@dataclass(frozen=True)
class Input:
    """One input without a result: what became of it, and why its last job failed."""

    key: str
    fate: str = UNKNOWN
    cause: str = ""  # memory, time, node, input, system; or nothing that is known: then it failed by itself
    tries: int = 0
    node: str = ""


@dataclass(frozen=True)
class Round:
    """What the next round runs: which inputs, with what, without which nodes, and what is given up."""

    step: int
    kind: str
    inputs: tuple[str, ...]
    overrides: tuple[Pair, ...] = ()
    more_memory: frozenset[str] = frozenset()
    more_time: frozenset[str] = frozenset()
    avoid: frozenset[str] = frozenset()
    skipped: tuple[str, ...] = ()


@dataclass(frozen=True)
class Stop:
    """Why there is no further round."""

    why: str
    skipped: tuple[str, ...] = field(default_factory=tuple)


def read(recoveries: Sequence[Any]) -> tuple[Step, ...]:
    """Read a job type's list as the text form has it: [["process_status", [["-Osubmit.memory=", "4GB"]]], …].

    Raises ValueError with a sentence for what is none.
    """
    steps = []
    for number, said in enumerate(recoveries, 1):
        entry = [said] if isinstance(said, str) else said  # a bare word is a step without overrides
        if not isinstance(entry, (list, tuple)) or not entry or not isinstance(entry[0], str) or len(entry) > 2:
            raise ValueError(f'recovery {number} is no ["kind", [["key", "value"]]]')
        kind = SAME_AS.get(entry[0], entry[0])
        if kind not in KINDS:
            raise ValueError(f"recovery {number}: there is no {entry[0]}; there are {', '.join(KINDS)}")
        pairs = entry[1] if len(entry) == 2 else []
        if not isinstance(pairs, (list, tuple)) or not all(isinstance(p, (list, tuple)) and len(p) == 2 for p in pairs):
            raise ValueError(f"recovery {number}: its overrides are no list of [key, value] pairs")
        steps.append(Step(kind, tuple((str(key), str(value)) for key, value in pairs)))
    return tuple(steps)


def steps_of(recoveries: Sequence[Any], rounds: int) -> tuple[Step, ...]:
    """Return the steps of a stage: those of its job type's list, or so many rounds of whatever has no output.

    No rounds at all is no recovery, whatever is listed.
    """
    return read(recoveries) if recoveries and rounds else (Step("pending_files"),) * rounds


def chosen(kind: str, missing: Sequence[Input]) -> list[str]:
    """Return which of the inputs without a result a kind runs again, in their order."""
    wanted = {
        "consumed_status": lambda entry: entry.fate != CONSUMED,
        "process_status": lambda entry: entry.fate != CONSUMED or bool(entry.cause),
        "delivered_not_consumed": lambda entry: entry.fate in _UNUSED,
        "state_failed": lambda entry: entry.fate == FAILED,
        "state_not_done": lambda entry: entry.fate != CONSUMED,
        "reprocess_orphans": lambda entry: entry.fate == CONSUMED,
        "added_files": lambda entry: False,
    }.get(kind, lambda entry: True)
    return [entry.key for entry in missing if wanted(entry)]


def next_round(
    steps: Sequence[Step], taken: int, missing: Sequence[Input], policy: Policy, *, gained: int | None = None
) -> Round | Stop:
    """Decide on the next round: the first step after those taken that finds something to run again.

    `gained` is how many results the last round brought, None for the first one. A round that brings nothing is the
    last one, unless the next has another way: more memory or time, another node, a step with overrides of its own; or
    unless it was no doing of the jobs.
    """
    skipped = tuple(entry.key for entry in missing if entry.tries >= policy.most_tries)
    open_inputs = [entry for entry in missing if entry.tries < policy.most_tries]
    if not open_inputs:
        return Stop(f"each input was tried {policy.most_tries} times" if missing else "nothing is missing", skipped)
    for number in range(taken, len(steps)):
        step = steps[number]
        keys = chosen(step.kind, open_inputs)
        if not keys:
            continue
        mine = [entry for entry in open_inputs if entry.key in set(keys)]
        found = replace(
            everything(mine, policy), step=number + 1, kind=step.kind, overrides=step.overrides, skipped=skipped
        )
        not_its_own = any(entry.cause == "system" for entry in mine)
        another_way = found.more_memory or found.more_time or found.avoid or step.overrides or not_its_own
        if gained == 0 and not another_way:
            return Stop("the last round brought nothing, and the next would do the same", skipped)
        return found
    return Stop("every step was taken", skipped)


def by_kind(kind: str, missing: Sequence[Input], policy: Policy) -> Round | Stop:
    """Return what a person's round of one kind runs, whatever was tried; raise ValueError for what is no kind.

    The job type's list, its overrides among it, is left aside.
    """
    kind = SAME_AS.get(kind, kind)
    if kind not in KINDS:
        raise ValueError(f"there is no {kind}; there are {', '.join(KINDS)}")
    keys = set(chosen(kind, missing))
    if not keys:
        return Stop(f"nothing that is missing is one of: {KINDS[kind].says}")
    return replace(everything([entry for entry in missing if entry.key in keys], policy), kind=kind)


def everything(inputs: Sequence[Input], policy: Policy) -> Round:
    """Return the round of all these inputs, each with what its cause asks for: as a person asks, whatever was tried."""
    return Round(
        0, "pending_files", tuple(entry.key for entry in inputs),
        more_memory=_by_cause(inputs, "memory", policy.memory_factor),
        more_time=_by_cause(inputs, "time", policy.wall_factor),
        avoid=frozenset(entry.node for entry in inputs if entry.cause == "node" and entry.node),
    )  # fmt: skip


def _by_cause(inputs: Sequence[Input], cause: str, factor: float) -> frozenset[str]:
    return frozenset(entry.key for entry in inputs if entry.cause == cause) if factor > 1 else frozenset()


def grown(given: Mapping[int, int], more: Collection[int], factor: float) -> dict[int, int]:
    """Return memory (MB) or time (s) of each input, by key, for the next round: grown where that was the cause."""
    return {key: min(MOST, round(value * factor)) if key in more else value for key, value in given.items()}
