"""What a definition will cost: jobs, core-hours, bytes, from how much it reads and what was measured before. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import sqrt

from campaigns.definition import FROM_PARENT, PASSES_ON, Definition, StageText
from campaigns.splitting import datasets, parse, values


@dataclass(frozen=True)
class Measured:
    """What was seen of a stage's work: seconds of one core, bytes and outputs for an input, with their spread."""

    seconds: float
    source: str
    spread: float = 0.0  # standard deviation of the seconds
    n: int = 0  # jobs that it was seen in
    memory_mb: float | None = None  # that 95 % of the jobs stayed below
    bytes: float | None = None
    outputs: float | None = None


@dataclass(frozen=True)
class StageCost:
    """One stage: inputs, jobs, seconds of one core in all, bytes put out; None where nobody knows."""

    name: str
    inputs: int | None = None
    jobs: int | None = None
    seconds: float | None = None
    spread: float = 0.0
    bytes: float | None = None
    source: str = ""

    @property
    def core_hours(self) -> float | None:
        """Return the hours of one core."""
        return None if self.seconds is None else self.seconds / 3600

    @property
    def seconds_per_job(self) -> float | None:
        """Return the time of one job."""
        return self.seconds / self.jobs if self.seconds is not None and self.jobs else None


@dataclass(frozen=True)
class Cost:
    """The whole: sums over the stages, and what is missing for a better answer."""

    stages: tuple[StageCost, ...] = ()
    files: int = 0
    events: int = 0
    missing: tuple[str, ...] = field(default_factory=tuple)

    @property
    def jobs(self) -> int | None:
        """Return the number of jobs, or None unless it is known for every stage."""
        known = [stage.jobs for stage in self.stages if stage.jobs is not None]
        return sum(known) if known and len(known) == len(self.stages) else None

    @property
    def core_hours(self) -> float | None:
        """Return the hours of one core, or None unless every stage's are known."""
        known = [stage.seconds for stage in self.stages if stage.seconds is not None]
        return sum(known) / 3600 if known and len(known) == len(self.stages) else None

    @property
    def core_hours_spread(self) -> float:
        """Return one standard deviation of the core-hours."""
        return sqrt(sum(stage.spread**2 for stage in self.stages)) / 3600

    @property
    def bytes(self) -> float | None:
        """Return the bytes put out, or None where no stage's are known."""
        known = [stage.bytes for stage in self.stages if stage.bytes is not None]
        return sum(known) if known else None


def estimate(
    definition: Definition, files_of: Mapping[str, int | None], measured: Mapping[str, Measured],
    hours_per_file: float | None = None,
) -> Cost:  # fmt: skip
    """Return the cost of a definition, whose stages come with parents first.

    `files_of` says how many files each dataset has; `measured` what is known of a stage's work, by its name. For a
    stage of which nothing is known, `hours_per_file` counts for each input if it begins the campaign. A fed stage is
    taken to get as many inputs as its parents put out files, or one for each input of a parent.
    """
    inputs: dict[str, int | None] = {}
    outputs: dict[str, float | None] = {}
    costs, missing = [], []
    for stage in in_order(definition):
        known = measured.get(stage.name)
        count = inputs[stage.name] = _inputs(stage, definition, files_of, outputs)
        each = known.outputs if known and known.outputs else 1.0
        outputs[stage.name] = None if count is None else count * each
        begins = not _parents(stage, definition)
        if known is None and hours_per_file and begins:
            known = Measured(hours_per_file * 3600, "the time per file that was given")
        if known is None:
            missing.append(f"the time per input of {stage.name}")
        if count is None:
            missing.append(f"how many inputs {stage.name} gets")
        costs.append(_cost(stage, count, known))
    began = [s for s in definition.stages if not _parents(s, definition)]
    files = sum(inputs[s.name] or 0 for s in began if s.type != "generator")
    return Cost(tuple(costs), files, sum(s.events for s in began if s.type == "generator"), tuple(missing))


def in_order(definition: Definition) -> list[StageText]:
    """Return the stages with parents first; in a circle, which is refused elsewhere, as they stand."""
    left, done, ordered = list(definition.stages), set[str](), []
    while left:
        ready = [s for s in left if set(_parents(s, definition)) <= done] or left
        for stage in ready:
            ordered.append(stage)
            done.add(stage.name)
            left.remove(stage)
    return ordered


def datasets_of(definition: Definition) -> list[str]:
    """Return the datasets that stages read which no other stage feeds."""
    fed = {edge.downstream for edge in definition.edges if edge.upstream != edge.downstream}
    fed |= {edge.downstream for edge in definition.across}
    stages = [s for s in definition.stages if s.type != "generator" and s.name not in fed]
    return list(dict.fromkeys(name for stage in stages for name in named(stage)))


def named(stage: StageText) -> list[str]:
    """Return the datasets that a stage names: one, several for a list, none where its field holds words."""
    holds = _holds(stage)
    if stage.dataset in ("", FROM_PARENT) or holds == "values":
        return []
    try:
        return datasets(stage.dataset) if holds == "datasets" else [stage.dataset]
    except ValueError:  # a complaint of the definition, not ours
        return []


def _holds(stage: StageText) -> str:
    try:
        return parse(stage.split).what.holds
    except ValueError:  # as above
        return "dataset"


def _parents(stage: StageText, definition: Definition) -> list[str]:
    names = {s.name for s in definition.stages}
    return [
        e.upstream for e in definition.edges
        if e.downstream == stage.name and e.upstream != stage.name and e.upstream in names
    ]  # fmt: skip


def _inputs(
    stage: StageText, definition: Definition, files_of: Mapping[str, int | None], outputs: Mapping[str, float | None]
) -> int | None:
    if stage.type == "generator":
        return -(-stage.events // (stage.events_per_job or stage.events)) if stage.events else None
    parents = _parents(stage, definition)
    if any(edge.downstream == stage.name for edge in definition.across):
        return None  # another campaign's doing
    if parents:
        given = [outputs.get(name) for name in parents]
        return None if any(n is None for n in given) else round(sum(n or 0 for n in given))
    if _holds(stage) == "values":
        try:
            count = len(values(stage.dataset))
        except ValueError:  # a complaint of the definition, not ours
            return None
    else:
        counts = [files_of.get(name) for name in named(stage)]
        if not counts or any(number is None for number in counts):
            return None
        count = sum(number or 0 for number in counts)
    return min(count, stage.most_files) if stage.most_files else count


def _cost(stage: StageText, count: int | None, known: Measured | None) -> StageCost:
    per_job = 1 if stage.type == "generator" else stage.files_per_job
    jobs = None if count is None else -(-count // per_job)
    if stage.type in PASSES_ON:
        return StageCost(stage.name, count, 0, 0.0, 0.0, 0)
    if count is None or known is None:
        return StageCost(stage.name, count, jobs)
    # The mean of n jobs is known to spread/sqrt(n); the jobs to come vary by their own spread.
    spread = known.spread * sqrt(count**2 / known.n + count) if known.n else 0.0
    size = None if known.bytes is None else known.bytes * count
    return StageCost(stage.name, count, jobs, known.seconds * count, spread, size, known.source)
