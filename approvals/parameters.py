"""What a template leaves to be filled in: parameters, {{name}} in its definition, declared one a line. Pure.

A declaration says `name = default | what it is`; without a default it must be given.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from core.errors import Problem, nearest

MOST = 40
LONGEST_VALUE = 2000
_DECLARED = re.compile(r"(?P<name>[A-Za-z]\w{0,39})\s*(?:=\s*(?P<default>[^|]*?))?\s*(?:\|\s*(?P<about>.*))?")
_PLACE = re.compile(r"\{\{\s*(\w+)\s*\}\}")


@dataclass(frozen=True)
class Parameter:
    """One thing to be filled in."""

    name: str
    default: str | None = None
    about: str = ""

    @property
    def needed(self) -> bool:
        """Tell whether it must be given."""
        return self.default is None

    def __str__(self) -> str:
        default = "" if self.default is None else f" = {self.default}"
        return f"{self.name}{default}{f' | {self.about}' if self.about else ''}"


def declared(text: str) -> tuple[list[Parameter], list[Problem]]:
    """Read declarations, one a line; return them and what is wrong with the others."""
    found: dict[str, Parameter] = {}
    problems = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        match = _DECLARED.fullmatch(line.strip())
        if match is None:
            hint = "name = default | what it is"
            problems.append(Problem("parameters", f"this declares nothing: {line.strip()[:60]}", hint, number))
        elif match["name"] in found:
            problems.append(Problem("parameters", f"{match['name']} is declared a second time", "keep one", number))
        else:
            found[match["name"]] = Parameter(match["name"], match["default"], match["about"] or "")
    if len(found) > MOST:
        problems.append(Problem("parameters", f"more than {MOST}", "leave some to the request, or to the text"))
    return list(found.values()), problems


def check(definition: str, parameters: Sequence[Parameter]) -> list[Problem]:
    """Return what does not fit: a place that nothing is declared for, a parameter that has no place."""
    places = set(_PLACE.findall(definition))
    names = [parameter.name for parameter in parameters]
    problems = [
        Problem("definition", f"{{{{{place}}}}} is no parameter", nearest(place, names) or f"declare {place}")
        for place in sorted(places - set(names))
    ]
    return problems + [
        Problem("parameters", f"{name} stands nowhere in the definition", f"write {{{{{name}}}}} where it belongs")
        for name in names
        if name not in places
    ]


def filled(definition: str, parameters: Sequence[Parameter], given: Mapping[str, str]) -> tuple[str, list[Problem]]:
    """Return the definition with what was given, or the defaults, in its places, and what is wrong with it."""
    names = [parameter.name for parameter in parameters]
    problems = [
        Problem(
            name, "the template has no such parameter", nearest(name, names) or f"it has {', '.join(names) or 'none'}"
        )
        for name in given
        if name not in names
    ]
    values = {}
    for parameter in parameters:
        value = given.get(parameter.name, "").strip() or parameter.default
        if value is None:
            problems.append(Problem(parameter.name, "is not given", parameter.about or "it has no default"))
            continue
        if "\n" in value or "\r" in value or len(value) > LONGEST_VALUE:
            problems.append(
                Problem(parameter.name, "is no single line", f"one line of at most {LONGEST_VALUE} characters")
            )
            continue
        values[parameter.name] = value
    return _PLACE.sub(lambda match: values.get(match[1], match[0]), definition), problems


def lifted(text: str, parameters: Sequence[Parameter]) -> tuple[str, list[Problem]]:
    """Return a definition as a template: where a parameter's default stands, its place; the longest value first."""
    names = {one.default: one.name for one in reversed(parameters) if one.default}
    longest_first = sorted(names, key=len, reverse=True)
    put: set[str] = set()

    def place(match: re.Match[str]) -> str:
        put.add(names[match[0]])
        return f"{{{{{names[match[0]]}}}}}"

    text = re.sub("|".join(map(re.escape, longest_first)), place, text) if names else text
    return text, [
        Problem("parameters", f"{one.default or 'nothing'} stands nowhere in the definition",
                f"{one.name} = a value that stands in the definition")
        for one in parameters if one.name not in put
    ]  # fmt: skip
