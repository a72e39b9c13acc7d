"""Settings of catalogues as data: what can be set, what it means, and what must be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from integrations.errors import Refused


@dataclass(frozen=True)
class Setting:
    """One setting of a kind of catalogue; secrets are none of them, only names of credentials."""

    meaning: str
    default: str = ""
    obligatory: bool = False
    choices: tuple[str, ...] = ()


# What any link may say, whatever its kind: it is about the experiment's files, not about the catalogue itself.
OF_ANY: Mapping[str, Setting] = {
    "fts": Setting("addresses of the FTS that take the outputs to tape, with blanks between: http://host:8888/fts")
}


def read(system: str, declared: Mapping[str, Setting], given: Mapping[str, Any]) -> dict[str, str]:
    """Return every declared setting, as given or by default; Refused names all that is wrong with them."""
    wrong = [f"{name} is not one of its settings" for name in given if name not in {**declared, **OF_ANY}]
    found = {}
    for name, setting in declared.items():
        value = given.get(name, setting.default)
        text = str(value).strip() if isinstance(value, str | int | float) and not isinstance(value, bool) else None
        if text is None:
            wrong.append(f"{name} is neither text nor a number")
        elif setting.obligatory and not text:
            wrong.append(f"{name} is missing: {setting.meaning}")
        elif text and setting.choices and text not in setting.choices:
            wrong.append(f"{name} is {text}, not one of {', '.join(setting.choices)}")
        found[name] = text or ""
    if wrong:
        raise Refused(f"The settings of the {system} catalogue are wrong: {'; '.join(wrong)}.")
    return found
