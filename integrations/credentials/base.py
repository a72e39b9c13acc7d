"""What every kind of credential must offer: its settings, how long it lives, and how it is renewed and used."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from integrations.catalogue.declared import Setting
from integrations.errors import Refused

_WORD = re.compile(r"[!-~]+")  # settings become words of commands, and of one line in the environment


@dataclass(frozen=True)
class Life:
    """What a credential says of itself, asked where it lies.

    `unusable` is an answer too: it is not there, or is none. One that says no end has none.
    """

    ends_at: datetime | None = None
    begins_at: datetime | None = None
    unusable: str = ""


class Kind(Protocol):
    """A kind of credential; what it is asked for is found by integrations.credentials.there."""

    word: str  # what people call one
    reads: str  # what is read of its file: token, certificates or tickets
    settings: Mapping[str, Setting]

    def life(self, found: Mapping[str, Any]) -> Life:
        """Return the life that stands in what was read of the file."""
        ...

    def environment(self, path: str, settings: Mapping[str, str]) -> dict[str, str]:
        """Return by which variables scripts find it: paths and options, never what is in the file."""
        ...

    def renewal(self, path: str, settings: Mapping[str, str]) -> list[str]:
        """Return the command that renews it, as the settings say; empty where they do not say how."""
        ...


def read(word: str, declared: Mapping[str, Setting], given: Mapping[str, Any]) -> dict[str, str]:
    """Return the settings that were given; Refused names all that is wrong with them."""
    wrong = [f"{name} is not one of its settings" for name in given if name not in declared]
    wrong += [
        f"{name} is {setting.meaning}: one word, of printable ASCII"
        for name, setting in declared.items()
        if given.get(name, "") != "" and not (isinstance(given[name], str) and _WORD.fullmatch(given[name]))
    ]
    if wrong:
        known = ", ".join(declared) or "none"
        raise Refused(f"The settings of the {word} are wrong: {'; '.join(wrong)}. Known are {known}.")
    return {name: given[name] for name in declared if given.get(name)}


def moment(seconds: Any) -> datetime | None:
    """Return the moment of an epoch second; None for what is none."""
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds < 2**40:
        return None
    return datetime.fromtimestamp(min(float(seconds), 253402300799.0), UTC)
