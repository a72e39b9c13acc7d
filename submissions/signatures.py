"""What a failure is recognised by: its facts and the one line that tells, without what differs from job to job. Pure.

The line that says why is looked for in what the job printed; times, hosts, users, numbers and the like are taken out
of it (DIRAC#4267: the same error of two users is one error). The causes are the one vocabulary of recoveries and of
routing; by exit codes alone they follow the classification of Fermilab's batch queues (protocols 9.2).
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from submissions.normalising import LONGEST, normalised
from submissions.telling import cause_in, lines_of, step_of, telling

CAUSES = {
    "memory": "more memory than it had", "time": "more time than it had", "node": "the node it ran on",
    "input": "its input", "software": "the experiment's software", "service": "a service that it used",
    "credential": "a credential", "submission": "how it was submitted", "system": "the batch system itself",
    "unknown": "nothing known",
}  # fmt: skip
# The batch systems' own words for why a job ended, as far as they say what it was.
CODES = {
    "memory": "memory", "wall": "time", "deadline": "time", "input_missing": "input", "runner_vanished": "system",
    "runner_error": "system", "lost": "system", "preempted": "system",
}  # fmt: skip
# Those whose reason says it all, so that no log need be read.
SPOKEN = {**CODES, "exec_failed": "submission"}
# HTCondor's hold codes (protocols 9.2), the more particular first; of others the reason's words tell.
HELD = {
    "34.102": "memory", "34.104": "node", "34": "memory", "4": "credential", "6": "submission", "7": "submission",
    "8": "submission", "9": "submission", "10": "submission", "12": "service", "13": "input", "14": "submission",
    "22": "system", "23": "submission", "24": "system", "32": "submission", "33": "submission", "35": "software",
    "45": "node", "46": "time", "47": "time",
}  # fmt: skip
# Held by a person, submitted so, or only on the way: nothing has failed.
NO_FAILURE = ("held 0.", "held 1.", "held 15.", "held 16.")
EXITS = {
    6: "software", 9: "input", 65: "input", 20: "service",
    **dict.fromkeys((90, 91, 124, 126, 127, 130, 131, 137), "submission"), **dict.fromkeys((129, 143), "node"),
}  # fmt: skip
SIGNALS = {4: "node", 7: "node", 9: "node", 15: "node"}  # others are the program's own


@dataclass(frozen=True)
class Facts:
    """What is known of a job that failed; `names` are words that mean only this one: its node, its account."""

    state: str = "failed"
    exit_code: int | None = None
    signal: int | None = None
    code: str = ""
    reason: str = ""
    out: str = ""
    err: str = ""
    step: str = ""
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Signature:
    """What failures of one kind have in common."""

    digest: str
    title: str
    cause: str
    exit_code: int | None = None
    signal: int | None = None
    code: str = ""
    step: str = ""
    line: str = ""


_PEOPLE = re.compile(
    r"/(?:users?|home|persistent|scratch/users)/([A-Za-z][\w-]{2,30})(?=/)|/nashome/\w/([A-Za-z][\w-]{2,30})"
    r"|\b(?:USER(?:NAME)?|LOGNAME|user|owner)=['\"]?([A-Za-z][\w-]{2,30})"
)
_NOBODY = {"users", "user", "none", "root", "data", "true", "false", "name"}
_POLICY = re.compile(r"periodic_?remove|\bpolicy\b|exceed", re.IGNORECASE)


def recognised(facts: Facts) -> Signature:
    """Return what a failure is recognised by."""
    streams = [lines_of(facts.err), lines_of(facts.out)]
    step = facts.step or step_of(streams)
    said = not needs_log(facts)
    line, cause = (facts.reason, "") if said else telling(streams)
    shown = normalised(line, {*facts.names, *_people(facts)})
    if said or not cause:
        cause = cause_of(facts) if said or not shown else cause_in(shown) or cause_of(facts)
    code = "" if facts.code in ("exit", "signal") else facts.code
    parts = (facts.state, str(facts.exit_code), str(facts.signal), code, step, shown)
    digest = hashlib.sha256("\x1f".join(parts).encode()).hexdigest()[:20]
    title = shown or ended(facts.state, facts.code, facts.exit_code, facts.signal)
    return Signature(digest, title[:LONGEST], cause, facts.exit_code, facts.signal, code, step, shown)


def cause_of(facts: Facts) -> str:
    """Return the cause as far as the batch system's facts tell it: its code, the signal, the exit code."""
    if facts.state == "held":
        code = facts.code.removeprefix("held ")
        return HELD.get(code) or HELD.get(code.partition(".")[0]) or cause_in(facts.reason) or "unknown"
    if facts.state == "lost":
        return "system"
    if facts.code in SPOKEN:
        return SPOKEN[facts.code]
    if facts.state == "removed":
        return cause_in(facts.reason) or "submission"
    if facts.signal is not None:
        return SIGNALS.get(facts.signal, "software")
    if facts.exit_code is not None:
        return EXITS.get(facts.exit_code, "software")
    return cause_in(facts.reason) or "unknown"


def is_failure(state: str, code: str = "", reason: str = "") -> bool:
    """Tell whether a job in this state is one that failed.

    A held one is, unless a person held it or it is only on its way in; a removed one, if a policy removed it.
    """
    if state == "held":
        return bool(code) and not code.startswith(NO_FAILURE)
    if state == "removed":
        return bool(_POLICY.search(reason))
    return state in ("failed", "lost")


def needs_log(facts: Facts) -> bool:
    """Tell whether only the job's log can say why; a batch system that ended it has said so itself."""
    return facts.state == "failed" and facts.code not in SPOKEN


def ended(state: str, code: str, exit_code: int | None, signal: int | None) -> str:
    """Return how a job ended, where nothing else is said of it."""
    if signal is not None:
        return f"ended by signal {signal}, without a word"
    if exit_code is not None:
        return f"exit code {exit_code}, without a word"
    return f"{state}: {code}" if code else state


def _people(facts: Facts) -> set[str]:
    """Return the people whose names are in a log as such: in the places where their files are, or called users."""
    found = {
        name for text in (facts.err, facts.out) for match in _PEOPLE.finditer(text) for name in match.groups() if name
    }
    return {name for name in found if name.lower() not in _NOBODY}
