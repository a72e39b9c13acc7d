"""Writing a tree as a dimension query that reads as the same tree again."""

from __future__ import annotations

import re
from collections.abc import Iterable

from integrations.catalogue.dimensions.lexing import END, WORD
from integrations.catalogue.dimensions.parsing import RESERVED
from integrations.catalogue.dimensions.tree import (
    And,
    Available,
    Combined,
    Constraint,
    Defined,
    DimensionError,
    Node,
    Not,
    Or,
    Range,
    Related,
    Selected,
    Value,
)

_PLAIN = re.compile(rf"(?!-)(?!{END}-){WORD}(?<!-)")  # reads as itself, and never as a part of a range
_ALONE = re.compile(r"\d+(?:\.\d+)?|\d{4}-\d\d-\d\d|\d\d-[A-Za-z]{3}-\d{4}")


def write(tree: Node) -> str:
    """Return a tree as text."""
    if isinstance(tree, Selected):
        return _selected(tree)
    if isinstance(tree, Combined):
        pieces = [_inside(tree.first, Combined, Selected)]
        pieces += [f"{op} {_inside(node, Combined, Selected)}" for op, node in tree.others]
        return " ".join(pieces)
    if isinstance(tree, Or):
        return " or ".join(_inside(part, Or, Combined, Selected) for part in tree.parts)
    if isinstance(tree, And):
        return " and ".join(_inside(part, And, Or, Combined, Selected) for part in tree.parts)
    if isinstance(tree, Not):
        return f"not {_inside(tree.of, And, Or, Combined, Selected)}"
    return _atom(tree)


def value(text: str) -> str:
    """Return a value as it is written: quoted where it would be read as something else."""
    if _PLAIN.fullmatch(text) and text.lower() not in RESERVED:
        return text
    return _quoted(text)


def names(files: Iterable[str]) -> str:
    """Return the query for files of these very names, whatever signs are in them."""
    given = list(files)
    if odd := [name for name in given if "%" in name]:
        raise DimensionError(f"{odd[0][:80]!r} cannot be asked for: a % in a name would stand for anything.")
    return f"file_name {','.join(map(value, given))}"


def _quoted(text: str) -> str:
    if not text.isascii() or "\n" in text or ("'" in text and '"' in text):
        raise DimensionError(f"{text[:80]!r} cannot be written in a query.")
    return f'"{text}"' if "'" in text else f"'{text}'"


def _inside(node: Node, *loose: type) -> str:
    return f"({write(node)})" if isinstance(node, loose) else write(node)


def _atom(node: Node) -> str:
    if isinstance(node, Constraint):
        op = "" if node.op == "=" else f"{node.op} "
        return f"{node.name} {op}{','.join(_value(entry) for entry in node.values)}"
    if isinstance(node, Defined):
        return f"defname: {value(node.name)}"
    if isinstance(node, Related):
        return f"{node.relation}: ({write(node.of)})"
    if isinstance(node, Available):
        return f"availability: {','.join(node.kinds)}"
    raise TypeError(f"no part of a dimension query: {node!r}")


def _value(entry: Value) -> str:
    return f"{_end(entry.low)}-{_end(entry.high)}" if isinstance(entry, Range) else value(entry)


def _end(text: str) -> str:
    return text if _ALONE.fullmatch(text) else _quoted(text)


def _selected(tree: Selected) -> str:
    options = []
    if tree.stride != 1:
        options.append(f"stride {tree.stride}")
    if tree.offset:
        options.append(f"offset {tree.offset}")
    if tree.limit is not None:
        options.append(f"limit {tree.limit}")
    if tree.availability:
        options.append(f"availability {','.join(tree.availability)}")
    return f"{_inside(tree.of, Selected)} with {' '.join(options) or 'offset 0'}"
