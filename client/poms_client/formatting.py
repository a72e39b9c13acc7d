"""Turns values of the API into words for people and into plain fields for pipes, by the name of the key."""

from __future__ import annotations

import datetime
import re
from typing import Any

NARROW_SPACE = "\u202f"
# Control characters, terminal escapes, what turns the direction of writing, and halves of characters.
_UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")

TIMES = frozenset([
    "created", "filed", "started", "ended", "launched", "at", "since", "expires", "last_used", "used", "revoked",
    "until", "boosted_until", "starts", "ends", "late",
])  # fmt: skip
SECONDS = frozenset(["seconds_in_state", "cpu_s", "wall_s", "seconds"])
MEGABYTES = frozenset(["memory_mb"])
BYTES = frozenset(["size", "size_bytes", "bytes"])
NUMBERS = frozenset([
    "units", "events", "batches", "starts", "rank", "priority", "number", "round", "exit_code",
    "in", "done", "running", "failed", "recovering", "waiting", "out",
])  # fmt: skip
QUANTITIES = SECONDS | MEGABYTES | BYTES | NUMBERS
_TITLES = {"seconds_in_state": "since", "memory_mb": "memory", "cpu_s": "CPU time", "wall_s": "run time"}
STATES = frozenset(["state", "from", "to", "result", "verdict"])


def visible(text: str) -> str:
    r"""Return text that a terminal cannot execute: controls but line ends and tabs appear as `\x1b`."""
    return _UNSAFE.sub(_escaped, text.replace("\r\n", "\n"))


def _escaped(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"


def one_line(text: str) -> str:
    """Return visible text that stays in its line and its column."""
    return visible(text).replace("\t", " ").replace("\n", "\\n")


def moment(value: Any) -> datetime.datetime | None:
    """Return a time of the API with its zone, or None when it is no time."""
    try:
        # Before 3.11 Python did not know that Z is UTC.
        found = datetime.datetime.fromisoformat(str(value).replace("Z", "+00:00"))
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=datetime.timezone.utc)


def now() -> datetime.datetime:
    """Return the present moment in UTC."""
    return datetime.datetime.now(datetime.timezone.utc)


def duration(seconds: float) -> str:
    """Return a duration in at most two units: 0.4 s, 4 min 5 s, 2 h 5 min, 3 d 4 h."""
    if seconds < 10:
        return f"{seconds:.1f} s" if seconds % 1 else f"{seconds:.0f} s"
    whole = int(seconds)
    for size, unit, below, part in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= size:
            rest = whole % size // below
            return f"{whole // size} {unit} {rest} {part}" if rest else f"{whole // size} {unit}"
    return f"{whole} s"


def relative(value: Any) -> str:
    """Return a time as seen from now: 3 min ago, in 2 d 4 h; other text as it is."""
    then = moment(value)
    if then is None:
        return one_line(str(value))
    distance = (now() - then).total_seconds()
    if abs(distance) < 1:
        return "now"
    words = duration(float(int(abs(distance))))
    return f"{words} ago" if distance > 0 else f"in {words}"


def number(value: Any) -> str:
    """Return a number with narrow spaces between thousands."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return f"{value:,}".replace(",", NARROW_SPACE)
    return one_line(str(value))


def size(count: float) -> str:
    """Return a number of bytes in the unit that suits it (powers of 1000)."""
    for unit in ("B", "kB", "MB", "GB"):
        if abs(count) < 1000:
            return f"{count:.0f} {unit}" if unit == "B" or count >= 100 else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def tally(counts: dict[str, Any]) -> str:
    """Return counts by word, those that are not zero: 3 idle · 2 running."""
    return " · ".join(f"{number(count)} {one_line(str(word))}" for word, count in counts.items() if count)


def progress(counts: dict[str, Any]) -> str:
    """Return a campaign's progress: 14 of 20 units done · 1 failed · 3 running."""
    rest = tally({word: counts.get(word, 0) for word in ("failed", "running", "recovering", "waiting")})
    words = f"{number(counts.get('done', 0))} of {number(counts.get('units', 0))} units done"
    return f"{words} · {rest}" if rest else words


def expected_end(end: dict[str, Any]) -> str:
    """Return an expected end with its spread: in 3 h 5 min ± 20 min."""
    at, latest = moment(end.get("at")), moment(end.get("latest"))
    spread = f" ± {duration(float(int((latest - at).total_seconds())))}" if at and latest else ""
    return f"{relative(end.get('at'))}{spread}"


def share(counts: dict[str, Any]) -> str:
    """Return a campaign's progress in a table's cell: 14 of 20 · 1 failed."""
    told = f"{number(counts.get('done', 0))} of {number(counts.get('units', 0))}"
    return f"{told} · {number(counts['failed'])} failed" if counts.get("failed") else told


def plain(key: str, value: Any) -> str:
    """Return a value as one field of tab-separated text: exact times, bare numbers, nothing relative."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        if key == "progress":
            return f"{value.get('done', 0)}/{value.get('units', 0)}"
        return " ".join(f"{one_line(str(name))}={plain('', item)}" for name, item in value.items())
    if isinstance(value, list):
        return ",".join(plain("", item) for item in value)
    return one_line(str(value))


def pretty(key: str, value: Any) -> str:
    """Return a value for people: relative times, durations, units."""
    if value is None or value == "":
        return ""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if key in TIMES:
        return relative(value)
    if key in SECONDS and is_number:
        return duration(value)
    if key in MEGABYTES and is_number:
        return f"{number(value)} MB"
    if key in BYTES and is_number:
        return size(value)
    if key in NUMBERS:
        return number(value)
    if key in STATES:
        return words(value)
    if key == "expected_end" and isinstance(value, dict):
        return expected_end(value)
    if isinstance(value, dict):
        return progress(value) if key == "progress" else tally(value)
    if isinstance(value, list):
        return ", ".join(plain("", item) for item in value)
    return plain(key, value)


def title(key: str) -> str:
    """Return the head of a column for people: the unit stands with each value."""
    return _TITLES.get(key, words(key))


def words(state: Any) -> str:
    """Return a state as people read it: pending approval."""
    return one_line(str(state)).replace("_", " ")


def reference(item: dict[str, Any]) -> str:
    """Return what an object is called: its reference, or its id or name where it has none."""
    for key in ("ref", "id", "name"):
        if item.get(key) not in (None, ""):
            return one_line(str(item[key]))
    return ""
