"""How what a job carries is written in the languages of batch systems: numbers as numbers, all else as text. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping

# A number of which a query for the number and one for the text must not differ: no sign, no leading zero, 64 bits.
_NUMBER = re.compile(r"0|[1-9]\d{0,17}")
# Names that are text whatever they hold.
TEXTS = (
    "POMS_SUBMISSION_ID",
    "POMS4_CAMPAIGN_NAME",
    "POMS4_CAMPAIGN_STAGE_NAME",
    "POMS_CAMPAIGN_NAME",
    "POMS_LAUNCHER",
)


def is_number(name: str, value: str) -> bool:
    """Tell whether an attribute is written without quotes, as the queries of scripts in the field expect (POMS 5.1)."""
    return name not in TEXTS and _NUMBER.fullmatch(value) is not None


def literal(name: str, value: str) -> str:
    """Return a value as a ClassAd expression has it."""
    return value if is_number(name, value) else quoted(value)


def quoted(text: str) -> str:
    """Return a text as a ClassAd has it, on one line."""
    for plain, escaped in (("\\", "\\\\"), ('"', '\\"'), ("\n", "\\n"), ("\r", "\\r"), ("\t", "\\t")):
        text = text.replace(plain, escaped)
    return f'"{text}"'


def lines(tags: Mapping[str, str]) -> list[str]:
    """Return the lines of a submit description that give a job its tags: `+POMS4_CAMPAIGN_ID=17`."""
    return [f"+{name}={literal(name, value)}" for name, value in tags.items()]
