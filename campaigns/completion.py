"""When a batch or a stage is complete (T5): criteria, and pure functions over what is known. Pure.

What is counted is counted against what was given, never against what was seen so far (protocols 12.1). No time limit
makes anything complete: it makes a question that a person sees.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

MOST = 10**15


@dataclass(frozen=True)
class Facts:
    """What is known of a stage whose batches have all ended; None where nobody can say now."""

    inputs: int
    done: int  # of them, with located output
    outputs: int = 0
    events: int = 0  # of the inputs that are done
    on_tape: int | None = 0  # of the outputs
    on_their_way: str = ""  # what is said of those that are not, by who takes them there
    checks: tuple[tuple[str, bool | None], ...] = ()  # what check scripts said of the outputs, by their command
    signed: bool | None = None  # a reviewer's verdict


@dataclass(frozen=True)
class Verdict:
    """What a criterion says: met, or not (None: not yet, and what it waits for)."""

    met: bool | None
    text: str


@dataclass(frozen=True)
class Criterion:
    """One criterion beside located output, with its argument: a number, a percentage, or a command."""

    kind: str
    argument: str = ""

    def __str__(self) -> str:
        return f"{self.kind}({self.argument})" if self.argument else self.kind

    def judge(self, facts: Facts) -> Verdict:
        """Say whether it is met."""
        return CRITERIA[self.kind].judge(self.argument, facts)


def is_met(done: int, inputs: int, percent: int) -> bool:
    """Tell whether enough inputs have located output: at least `percent` of them, and never none of some."""
    if inputs == 0:
        return True
    return done > 0 and done * 100 >= inputs * percent


def tally(done: int, inputs: int) -> str:
    """Return how many inputs have output, in words, for the history."""
    if inputs == 1:
        return "its input has located output" if done else "its input has no located output"
    return f"{done} of {inputs} inputs have located output"


def read(text: str) -> tuple[Criterion, ...]:
    """Read criteria as the text form has them: `tape, events(100000), check(./check.sh), signoff`.

    Raises ValueError with a sentence for what is none.
    """
    found: list[Criterion] = []
    for part in _separate(text):
        match = re.fullmatch(r"(\w+)\s*(?:\(\s*(.*?)\s*\))?", part, re.DOTALL)
        kind, argument = (match[1], match[2] or "") if match else (part, "")
        if kind not in CRITERIA:
            raise ValueError(f"there is no criterion {kind[:40]}; there are {', '.join(CRITERIA)}")
        needs = CRITERIA[kind].argument
        if needs is None and argument:
            raise ValueError(f"{kind} takes no argument, not {argument[:40]}")
        if needs is not None:
            argument = needs(kind, argument)
        criterion = Criterion(kind, argument)
        if criterion not in found:
            found.append(criterion)
    return tuple(found)


def judge(criteria: Sequence[Criterion], facts: Facts) -> Verdict:
    """Judge by all criteria: what fails decides, then what is waited for; met only if each is."""
    verdicts = [criterion.judge(facts) for criterion in criteria]
    for met in (False, None):
        told = [verdict.text for verdict in verdicts if verdict.met is met]
        if told:
            return Verdict(met, "; ".join(told))
    return Verdict(True, "; ".join(verdict.text for verdict in verdicts))


def _separate(text: str) -> list[str]:
    """Split at the commas outside parentheses."""
    parts, depth, begin = [], 0, 0
    for at, letter in enumerate(text):
        depth += (letter == "(") - (letter == ")")
        if letter == "," and depth == 0:
            parts.append(text[begin:at])
            begin = at + 1
    return [part.strip() for part in [*parts, text[begin:]] if part.strip()]


def number(kind: str, text: str) -> str:
    """Read an argument that is a whole number above none."""
    if not re.fullmatch(r"[0-9]{1,15}", text) or not int(text):
        raise ValueError(f"{kind} needs a number, such as {kind}(100000), not {text[:40] or 'nothing'}")
    return str(int(text))


def _share(kind: str, text: str) -> str:
    if not re.fullmatch(r"([1-9][0-9]?|100)%?|", text):
        raise ValueError(f"{kind} takes a percentage, such as {kind}(95%), not {text[:40]}")
    return "" if text in ("", "100", "100%") else f"{text.rstrip('%')}%"


def _command(kind: str, text: str) -> str:
    if not text:
        raise ValueError(f"{kind} needs a command that looks at the outputs, such as {kind}(./check_outputs.sh)")
    return text


def _tape(argument: str, facts: Facts) -> Verdict:
    if facts.on_tape is None:
        return Verdict(None, "it is not known which outputs are on tape")
    percent = int(argument.rstrip("%") or 100)
    text = f"{facts.on_tape} of {facts.outputs} outputs are on tape"
    if facts.on_tape * 100 >= facts.outputs * percent:
        return Verdict(True, text)
    return Verdict(None, f"{text}; {facts.on_their_way}" if facts.on_their_way else text)


def _as_many(argument: str, facts: Facts) -> Verdict:
    return Verdict(facts.outputs >= facts.inputs, f"{facts.outputs} outputs of {facts.inputs} inputs")


def _events(argument: str, facts: Facts) -> Verdict:
    return Verdict(facts.events >= int(argument), f"{facts.events} of {argument} events are done")


def _files(argument: str, facts: Facts) -> Verdict:
    return Verdict(facts.outputs >= int(argument), f"{facts.outputs} of {argument} output files are there")


def _check(argument: str, facts: Facts) -> Verdict:
    said = dict(facts.checks).get(argument)
    words = {True: "passed", False: "failed", None: "has not ended"}
    return Verdict(said, f"the check {argument} {words[said]}")


def _signoff(argument: str, facts: Facts) -> Verdict:
    words = {True: "a reviewer has signed it off", False: "a reviewer refused it", None: "waits for a reviewer"}
    return Verdict(facts.signed, words[facts.signed])


@dataclass(frozen=True)
class Way:
    """How one kind of criterion judges by its argument and the facts, and what reads the argument, if it takes one."""

    judge: Callable[[str, Facts], Verdict]
    argument: Callable[[str, str], str] | None = None


CRITERIA: dict[str, Way] = {
    "tape": Way(_tape, _share),
    "as_many": Way(_as_many),
    "events": Way(_events, number),
    "files": Way(_files, number),
    "check": Way(_check, _command),
    "signoff": Way(_signoff),
}
