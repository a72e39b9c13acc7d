"""Settings of outside systems as data: what can be set, what it means, what kind of value it is, and what must be."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from integrations.errors import Refused

YES_NO = {"yes": True, "true": True, "no": False, "false": False}
KINDS = ("text", "number", "yes_no", "words", "object")


@dataclass(frozen=True)
class Setting:
    """One setting of a kind of system; secrets are none of them, only names of credentials.

    A `number` may have a fraction, `words` stand with blanks between them, an `object` is written as JSON.
    """

    meaning: str
    default: str = ""
    obligatory: bool = False
    choices: tuple[str, ...] = ()
    kind: str = "text"


def read(
    what: str, declared: Mapping[str, Setting], given: Mapping[str, Any], also: Iterable[str] = ()
) -> dict[str, Any]:
    """Return every declared setting, as given or by default; Refused names all that is wrong with them.

    `also` may be given without being read here. What is neither given nor has a default is empty text, or left out
    where it is of another kind.
    """
    wrong = [f"{name} is not one of its settings" for name in given if name not in {*declared, *also}]
    found = {}
    for name, setting in declared.items():
        try:
            value = _value(setting, given.get(name, setting.default))
        except ValueError as error:
            wrong.append(f"{name} {error}")
            continue
        empty = value in ("", None)
        if setting.obligatory and empty:
            wrong.append(f"{name} is missing: {setting.meaning}")
        elif not empty and setting.choices and value not in setting.choices:
            wrong.append(f"{name} is {value}, not one of {', '.join(setting.choices)}")
        if setting.kind == "text" or not empty:
            found[name] = value
    if wrong:
        raise Refused(f"The settings of the {what} are wrong: {'; '.join(wrong)}.")
    return found


def as_given(
    what: str, declared: Mapping[str, Setting], given: Mapping[str, Any], also: Iterable[str] = ()
) -> dict[str, Any]:
    """Return what was given, each as the kind of value that it is: what a row keeps. Raises Refused as `read` does."""
    found = read(what, declared, given, also)
    return {name: found.get(name, value) for name, value in given.items() if name not in declared or name in found}


def as_text(settings: Mapping[str, Any]) -> str:
    """Return settings as people write them: one a line."""
    return "\n".join(f"{name} = {_said(value)}" for name, value in sorted(settings.items()))


def as_lines(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of a row as its record tells them: settings as people write them, all else as it is."""
    return {name: as_text(value) if isinstance(value, dict) else value for name, value in values.items()}


def _said(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list) and all(isinstance(word, str) for word in value):
        return " ".join(value)
    return json.dumps(value, sort_keys=True, ensure_ascii=False) if isinstance(value, list | dict) else str(value)


def _value(setting: Setting, given: Any) -> Any:
    """Return a value as its kind of setting has it, empty text or None where none is said; raise ValueError."""
    plain = str(given).strip() if isinstance(given, str | int | float) and not isinstance(given, bool) else None
    if plain == "":
        return "" if setting.kind == "text" else None
    if setting.kind == "text":
        if plain is None:
            raise ValueError("is neither text nor a number")
        return plain
    if setting.kind == "number":
        return _number(plain)
    if setting.kind == "yes_no":
        known = given if isinstance(given, bool) else YES_NO.get((plain or "").lower())
        if known is None:
            raise ValueError(f"is {given}, neither yes nor no")
        return known
    if setting.kind == "words":
        words = plain.split() if plain is not None else given
        if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
            raise ValueError("is no list of words")
        return words
    return _object(given)


def _number(plain: str | None) -> int | float:
    try:
        value = float(plain or "")
    except ValueError:
        raise ValueError(f"is {plain or 'something else'}, not a number") from None
    if value != value or abs(value) > 1e15:  # noqa: PLR0124 - not a number
        raise ValueError(f"is {plain}, not a number")
    return int(value) if value.is_integer() else value


def _object(given: Any) -> dict[str, Any]:
    try:
        value = json.loads(given) if isinstance(given, str) else given
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise ValueError('is no JSON object, such as {"name": "value"}')
    return value
