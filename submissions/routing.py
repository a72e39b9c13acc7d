"""Whose a failure is: the first rule that fits. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

from submissions.signatures import Signature

LONGEST = 200


@dataclass(frozen=True)
class Rule:
    """One rule: a cause, a pattern in the line that tells, or both; to which service by name, else the experiment."""

    service: str
    cause: str = ""
    pattern: str = ""
    key: int = 0

    def fits(self, signature: Signature) -> bool:
        """Tell whether a failure is one that the rule speaks of."""
        if self.cause and self.cause != signature.cause:
            return False
        return not self.pattern or bool(_compiled(self.pattern).search(signature.line or signature.title))


# What POMS brings; every rule that somebody sets goes before these. A name is that of a service of the experiment, or
# of all, or what a service gates: `batch` is also whatever service gates a batch system.
DEFAULTS = (
    Rule("cvmfs", pattern=r"/cvmfs/.*(no such file|not connected|input/output|cannot|stale)"),
    Rule("catalogue", "service", r"\b(sam|samweb\w*|metacat\w*|rucio\w*|data.?dispatcher\w*|catalogue\w*)\b"),
    Rule("storage", "service", r"<(root|xroot|gsiftp|srm|davs?) address>|xrd|gfal|ifdh|dcache|/(pnfs|eos)/|\[FATAL\]"
                               r"|server responded with an error|stale"),
    Rule("network", "service", r"resolve|name resolution|name or service|no route|unreachable"),
    Rule("tokens", "credential"),
    Rule("batch", "node"),
    Rule("batch", "system"),
)  # fmt: skip

Owner = TypeVar("Owner")


def first(
    rules: Iterable[Rule], signature: Signature, services: Mapping[str, Owner]
) -> tuple[Rule | None, Owner | None]:
    """Return the first rule that fits and the service it names; a rule to a service that is not there is passed over.

    Without a rule the failure is the experiment's: most are its own software or input.
    """
    for rule in rules:
        if rule.fits(signature) and (not rule.service or rule.service in services):
            return rule, services.get(rule.service) if rule.service else None
    return None, None


def problem_of(pattern: str) -> str:
    """Return what is wrong with a pattern, as a sentence; nothing if it can be used."""
    if len(pattern) > LONGEST:
        return f"is longer than {LONGEST} characters"
    # Nested repetition takes for ever on some lines: no rule needs it.
    if re.search(r"\([^()]*[*+}][^()]*\)\s*[*+{]", pattern):
        return "repeats what repeats, which may take for ever"
    try:
        re.compile(pattern)
    except re.error as error:
        return f"is no regular expression: {error}"
    return ""


@lru_cache(maxsize=512)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE)
