"""What every probe offers: declared settings, and one look: up, down or unknown, with a sentence and figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from core.errors import Problem, Refused
from experiments.models import Experiment

UP, DOWN, UNKNOWN = "up", "down", "unknown"


@dataclass(frozen=True)
class Look:
    """What a look found: up, down, or unknown where the look itself did not come about."""

    status: str
    said: str
    figures: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Setting:
    """One setting of a probe as people enter it."""

    name: str
    about: str
    default: str | None = None  # None: it must be given
    whole: bool = False


class Probe(Protocol):
    """A probe. `look` raises only integrations.errors.OutsideError, which counts as unknown."""

    def look(self, *, was_down: bool) -> Look:
        """Look once. Where a figure has two limits, `was_down` says which one counts."""
        ...


@dataclass(frozen=True)
class Asked:
    """What a probe is made of: whose service it is (none: of all), and the settings as entered."""

    experiment: Experiment | None
    settings: Mapping[str, Any]


def read(declared: Sequence[Setting], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings, checked and with what is not said; raise Refused that names each one that is wrong."""
    problems, found = [], dict[str, Any]()
    known = {setting.name: setting for setting in declared}
    for name in sorted(set(given) - set(known)):
        problems.append(Problem(f"settings.{name}", "there is no such setting", f"known are {', '.join(known)}"))
    for setting in declared:
        text = str(given.get(setting.name, setting.default if setting.default is not None else "")).strip()
        if setting.default is None and not text:
            problems.append(Problem(f"settings.{setting.name}", "is missing", setting.about))
        elif setting.whole and text and not (text.isascii() and text.isdecimal() and len(text) <= 15):
            problems.append(Problem(f"settings.{setting.name}", f"not a whole number: {text[:40]}", setting.about))
        else:
            found[setting.name] = (int(text) if text else None) if setting.whole else text
    if problems:
        raise Refused("The service cannot be looked at with these settings; nothing was changed.", problems)
    return found


def within(figure: float, close: int, reopen: int | None, *, was_down: bool) -> bool:
    """Tell whether a figure is low enough; once it was too high it must fall to `reopen` (by default 80 %) first."""
    return figure <= (reopen if reopen is not None else close * 8 // 10) if was_down else figure <= close
