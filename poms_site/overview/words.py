"""How states, numbers, times and sizes are written for people (interface, "States look the same everywhere"). Pure."""

from __future__ import annotations

import re
import signal
from datetime import UTC, datetime
from math import floor, log10
from typing import NamedTuple

from integrations.batch.base import Slots

NARROW_SPACE = "\u202f"
# Controls but line ends and tabs, what turns the direction of writing, and halves of characters.
_UNSAFE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


class Look(NamedTuple):
    """How a state looks: the name of its mark and colour, and what it means."""

    mark: str
    meaning: str


WAITING = Look("wait", "waiting")
PERSON = Look("person", "needs a person")
MOVING = Look("moving", "moving")
DONE = Look("done", "done")
FAILED = Look("failed", "failed")
ENDED = Look("ended", "ended by someone")

_TABLE = {
    WAITING: "draft new pending idle suspended not_checked wanted proposed due coming skipped unknown",
    PERSON: "pending_approval returned unsure held standing warn return paused at_risk degraded ending watched",
    MOVING: "launching submitted running staging_in processing staging_out project_running asked active on_probation",
    DONE: "jobs_completed completed succeeded approved approve pass done released ran nothing_new met up live"
    " equal good remarks",
    FAILED: "failed launch_failed lost rejected reject fail refused missed down expired unusable different bad",
    ENDED: "cancelled removed withdrawn superseded merge split ended put_away excluded undone",
}
LOOKS = {state: look for look, states in _TABLE.items() for state in states.split()}


def look(state: str) -> Look:
    """Return how a state looks; raise KeyError for a word that no state table has."""
    return LOOKS[state]


def words(state: str) -> str:
    """Return a state as people read it: pending approval."""
    return state.replace("_", " ")


def printable(text: str) -> str:
    """Return text in which nothing hides: controls and turns of direction appear as replacement characters."""
    return _UNSAFE.sub("\ufffd", text)


def number(value: float) -> str:
    """Return a number with narrow spaces between thousands."""
    return f"{value:,}".replace(",", NARROW_SPACE)


def percent(share: float) -> str:
    """Return a share in percent, to two digits at least: 5.1 %, 37 %, 0 %."""
    value = 100 * share
    return f"{value:.0f}{NARROW_SPACE}%" if value >= 10 or value == 0 else f"{value:.2g}{NARROW_SPACE}%"


def rough(value: float) -> str:
    """Return an estimate to three digits, with narrow spaces between thousands."""
    if value == 0:
        return "0"
    digits = max(0, 2 - floor(log10(abs(value))))
    return number(round(value, digits) if digits else int(float(f"{value:.3g}")))


def count(value: int, noun: str) -> str:
    """Return a number of things: 1 job, 20 jobs, 3 batches."""
    plural = noun + ("es" if noun.endswith(("s", "x", "ch", "sh")) else "s")
    return f"{number(value)} {noun if value == 1 else plural}"


def count_of(value: int, what: str) -> str:
    """Return a number of what is said in several words: launch failed, 12 × launch failed."""
    return what if value == 1 else f"{number(value)} × {what}"


def duration(seconds: float) -> str:
    """Return a duration in at most two units: 0.4 s, 4 min 5 s, 2 h 5 min, 3 d 4 h."""
    if seconds < 10:
        return f"{seconds:.1f} s" if seconds % 1 else f"{seconds:.0f} s"
    whole = int(seconds)
    for size, unit, below, part in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= size:
            rest = whole % size // below
            return f"{number(whole // size)} {unit} {rest} {part}" if rest else f"{number(whole // size)} {unit}"
    return f"{whole} s"


def ago(seconds: float) -> str:
    """Return how long ago something was, in its largest unit: just now, 12 min ago, in 3 h."""
    size = abs(seconds)
    for unit, word in ((86400, "d"), (3600, "h"), (60, "min")):
        if size >= unit:
            text = f"{number(int(size // unit))} {word}"
            return f"{text} ago" if seconds > 0 else f"in {text}"
    return "just now" if seconds >= 0 else "in a moment"


def span(seconds: float) -> str:
    """Return for how long something lasts so far, no finer than a minute: under 1 min, 17 min, 3 d 4 h."""
    return "under 1 min" if seconds < 60 else duration(seconds if seconds >= 3600 else int(seconds // 60) * 60)


def size(octets: float) -> str:
    """Return the size of a file: 812 B, 4.2 kB, 1.7 GB."""
    for unit in ("B", "kB", "MB", "GB"):
        if octets < 1000:
            return f"{octets:.0f} B" if unit == "B" else f"{octets:.3g} {unit}"
        octets /= 1000
    return f"{octets:.3g} TB"


def moment(at: datetime) -> str:
    """Return an exact time with its zone: 2026-11-22 00:50:19 UTC."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def clock(at: datetime) -> str:
    """Return a moment of these days by its date and minute: 11-22 06:40 UTC."""
    return f"{at.astimezone(UTC):%m-%d %H:%M} UTC"


def slots(asked: Slots) -> str:
    """Show what a job wants of a slot beside memory and time; empty where it is nothing special."""
    told = [
        count(asked.cpus, "core") if asked.cpus > 1 else "",
        f"{memory(asked.disk_mb)} of disk" if asked.disk_mb else "",
        count(asked.gpus, "GPU") if asked.gpus else "",
        " or ".join(asked.kinds),
        f"at {' or '.join(asked.sites)}" if asked.sites else "",
        f"not at {', '.join(asked.avoid_sites)}" if asked.avoid_sites else "",
    ]
    return ", ".join(filter(None, told))


def memory(megabytes: float) -> str:
    """Return an amount of memory: 302 MB, 1.5 GB."""
    return f"{megabytes / 1000:.3g} GB" if megabytes >= 10_000 else f"{number(round(megabytes))} MB"


def measured(value: float, error: float | None, unit: str) -> str:
    """Return a measured value with its error, which is given to two digits: 91.186 ± 0.033 GeV."""
    if error is None or error <= 0:
        return f"{value:g} {unit}".strip()
    digits = 0
    while error * 10**digits < 9.5 and digits < 12:
        digits += 1
    return f"{value:.{digits}f} ± {error:.{digits}f} {unit}".strip()


def signal_name(number_of_signal: int) -> str:
    """Return the name of a signal: SIGSEGV."""
    try:
        return signal.Signals(number_of_signal).name
    except ValueError:
        return f"signal {number_of_signal}"


_CODES = {
    "memory": "over its memory limit",
    "wall": "over its time limit",
    "input_missing": "an input was missing",
    "runner_vanished": "its process vanished",
    "runner_error": "the batch system could not run it",
}


def ending(state: str, code: str, exit_code: int | None, signal_number: int | None) -> str:
    """Return how a job ended, in words: over its memory limit, SIGSEGV (signal 11), exit code 65; nothing if well."""
    if state in ("lost", "removed"):
        return {"lost": "the batch system lost it", "removed": "removed"}[state]
    if state == "held":
        return code
    if state != "failed":
        return ""
    if code in _CODES:
        return _CODES[code]
    if signal_number is not None:
        return f"{signal_name(signal_number)} (signal {signal_number})"
    if exit_code is not None:
        return f"exit code {exit_code}"
    return code or "failed, nobody said how"


def shortened(text: str, most: int) -> str:
    """Return text of at most so many characters, with an ellipsis where it was cut."""
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"
