"""The check report of a request (P4): small checks over facts that were gathered before. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from campaigns.definition import FROM_PARENT, Definition
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
class Facts:
    """What the checks look at."""

    definition: Definition
    errors: Sequence[Problem] = ()
    warnings: Sequence[Problem] = ()
    datasets: Mapping[str, int | None] = field(default_factory=dict)
    own_job_types: Sequence[str] = ()
    production_stage: str = ""
    production_stages: Sequence[str] = ()
    hours_per_file: float | None = None
    release: str = ""


Check = Callable[[Facts], Iterator[Line]]


def report(facts: Facts) -> list[Line]:
    """Run every check; one that cannot be made here says so, and never "pass"."""
    return [line for check in CHECKS for line in check(facts)]


def verdict(lines: Sequence[Line]) -> str:
    """Return the worst result of a report: fail, warn or pass."""
    results = {line.result for line in lines}
    return FAIL if FAIL in results else WARN if WARN in results else PASS


def definition_is_whole(facts: Facts) -> Iterator[Line]:
    """The text parses, names only what exists, and its stages do not feed each other in a circle."""
    for problem in facts.errors:
        where = f"line {problem.line}: " if problem.line else ""
        yield Line("definition", FAIL, f"{where}{problem.field}: {problem.message}", problem.hint)
    for problem in facts.warnings:
        where = f"line {problem.line}: " if problem.line else ""
        yield Line("definition", WARN, f"{where}{problem.field}: {problem.message}", problem.hint)
    if not facts.errors:
        count = len(facts.definition.stages)
        yield Line("definition", PASS, f"complete and acyclic: {count} stages, {len(facts.definition.edges)} edges")


def datasets_have_files(facts: Facts) -> Iterator[Line]:
    """Every dataset that a stage names exists and is not empty."""
    for name, count in facts.datasets.items():
        if count is None:
            hint = "check its name with `poms file list`, or make the dataset first"
            yield Line("dataset", FAIL, f"there is no dataset {name}", hint)
        elif count == 0:
            yield Line("dataset", FAIL, f"the dataset {name} is empty", "wait for its files, or name another")
        else:
            yield Line("dataset", PASS, f"{name} has {count} files")


def somebody_may_decide(facts: Facts) -> Iterator[Line]:
    """An approver is registered for the production stage (W1)."""
    if facts.production_stage in facts.production_stages:
        yield Line("production stage", PASS, f"approvers are registered for {facts.production_stage}")
        return
    known = ", ".join(facts.production_stages) or "none yet"
    hint = f"choose one of: {known}; or ask an administrator to register an approver"
    yield Line("production stage", FAIL, f"nobody decides on {facts.production_stage or 'it'} here", hint)


def scripts_are_known(facts: Facts) -> Iterator[Line]:
    """A job type that the text brings along is code that will run for the experiment: somebody should read it."""
    for name in facts.own_job_types:
        yield Line(
            "scripts",
            WARN,
            f"the text defines its own job type {name}",
            "read its launch script before deciding",
        )


def cost(facts: Facts) -> Iterator[Line]:
    """How much it is: events, files, jobs, and core-hours where the time per file is given."""
    if facts.errors:
        return
    jobs = 0
    for stage in facts.definition.stages:
        if stage.type == "generator" and stage.events:
            jobs += -(-stage.events // (stage.events_per_job or stage.events))
        elif files := facts.datasets.get(stage.dataset):
            jobs += -(-files // stage.files_per_job)
    if not jobs:
        yield Line("cost", NOT_CHECKED, "the number of jobs depends on what the first stages put out")
        return
    text = f"{jobs} jobs in the stages that begin"
    if facts.hours_per_file:
        yield Line("cost", PASS, f"{text}, about {jobs * facts.hours_per_file:.1f} core-hours")
    else:
        yield Line("cost", WARN, f"{text}; the time per file is not given", "give hours_per_file, for an estimate")


def not_yet(facts: Facts) -> Iterator[Line]:
    """Say plainly which questions nobody has asked."""
    if facts.release:
        yield Line("release", NOT_CHECKED, f"whether the release {facts.release} exists in its repository")
    yield Line("output names", NOT_CHECKED, "whether outputs would collide with files that exist")
    yield Line("duplicate work", NOT_CHECKED, "whether the same inputs were processed before")


def datasets_of(definition: Definition) -> list[str]:
    """Return the datasets that stages read which no other stage feeds."""
    fed = {edge.downstream for edge in definition.edges if edge.upstream != edge.downstream}
    names = [s.dataset for s in definition.stages if s.type != "generator" and s.name not in fed]
    return [name for name in dict.fromkeys(names) if name not in ("", FROM_PARENT)]


CHECKS: tuple[Check, ...] = (
    definition_is_whole, datasets_have_files, somebody_may_decide, scripts_are_known, cost, not_yet,
)  # fmt: skip
