"""The arguments of a split, as the text form writes them: numbers, sizes, times, names. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime

LARGEST = 10_000_000_000
LATEST_RUN = 999_999_999
_SECONDS = {"w": 604_800, "d": 86_400, "h": 3_600, "m": 60, "s": 1}
_BYTES = {"": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12, "kib": 2**10, "mib": 2**20, "gib": 2**30}
# One argument: a bare word or quoted text, with or without a name before it.
_ARGUMENT = re.compile(r"""\s*(?:(\w+)\s*=\s*)?("[^"]*"|'[^']*'|[^,="']+)\s*""")


def separate(text: str) -> tuple[list[str], dict[str, str]]:
    """Return the arguments between the parentheses: without a name, and with one; ValueError says what is wrong."""
    bare: list[str] = []
    named: dict[str, str] = {}
    at = 0
    while at < len(text) and text.strip():
        match = _ARGUMENT.match(text, at)
        if match is None or (match.end() < len(text) and text[match.end()] != ","):
            raise ValueError(f"its arguments cannot be read from {text[at : at + 30].strip() or 'an empty place'}")
        value = match[2].strip().strip("\"'")
        if match[1] is None:
            if named:
                raise ValueError(f"{value} has no name, but stands after arguments that have one")
            bare.append(value)
        elif match[1] in named:
            raise ValueError(f"{match[1]} is given twice")
        else:
            named[match[1]] = value
        at = match.end() + 1
    return bare, named


def number(least: int, most: int = LARGEST) -> Callable[[str], int]:
    """Return what reads a whole number between two bounds."""

    def read(text: str) -> int:
        if not re.fullmatch(r"-?[0-9]{1,20}", text):
            raise ValueError(f"is {text or 'empty'}; it must be a whole number")
        if not least <= int(text) <= most:
            bounds = f"at least {least}" if most >= LARGEST else f"between {least} and {most}"
            raise ValueError(f"is {text}; it must be {bounds}")
        return int(text)

    return read


def size(text: str) -> int:
    """Read a number of bytes: 500000, 20GB, 4GiB."""
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]*)", text)
    if match is None or match[2].lower() not in _BYTES:
        raise ValueError(f"is {text or 'empty'}; it must be a size such as 20GB")
    found = int(float(match[1]) * _BYTES[match[2].lower()])
    if not 1 <= found <= 10**18:
        raise ValueError(f"is {text}; it must be at least one byte")
    return found


def span(text: str) -> int:
    """Read a span of time in seconds: 1w, 2d12h, 30m, 90."""
    if re.fullmatch(r"[0-9]{1,12}", text):
        found = int(text)
    elif re.fullmatch(r"([0-9]{1,9}[wdhms])+", text):
        found = sum(int(n) * _SECONDS[unit] for n, unit in re.findall(r"([0-9]+)([wdhms])", text))
    else:
        raise ValueError(f"is {text or 'empty'}; it must be a time such as 1d, 12h or 30m")
    if not 0 <= found <= 100 * 366 * 86_400:
        raise ValueError(f"is {text}; that is no time to wait for")
    return found


def moment(text: str) -> int:
    """Read a moment as seconds since 1970: 2026-11-22T08:30:00+01:00, a date, or such seconds; without a zone, UTC."""
    if re.fullmatch(r"[0-9]{1,11}", text):
        return int(text)
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"is {text or 'empty'}; it must be a date such as 2026-11-22 or 2026-11-22T08:30") from None
    return int((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp())


def key(text: str) -> str:
    """Read the name of a metadata value: data_stream, Dataset.Tag."""
    if not re.fullmatch(r"[A-Za-z][\w.+-]{0,99}", text):
        raise ValueError(f"is {text or 'empty'}; it must be a name of the metadata such as data_stream")
    return text
