"""The tree of a dimension query: what is asked, without how it was written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias


class DimensionError(ValueError):
    """A query that cannot be read, or that SAM forbids; says where and why."""


@dataclass(frozen=True)
class Range:
    """Everything from `low` to `high`, both included."""

    low: str
    high: str


Value: TypeAlias = "str | Range"


@dataclass(frozen=True)
class Constraint:
    """A property of files: `op` is =, !=, <, <=, >, >=, like, not like, in or not in; without any it is =."""

    name: str
    op: str
    values: tuple[Value, ...]


@dataclass(frozen=True)
class Defined:
    """The files of a dataset."""

    name: str


@dataclass(frozen=True)
class Available:
    """A part of an And that changes which files the whole And looks at: bad ones, virtual ones …"""

    kinds: tuple[str, ...]


@dataclass(frozen=True)
class Related:
    """Files that are isparentof, ischildof, isancestorof or isdescendantof a file that `of` finds."""

    relation: str
    of: Node


@dataclass(frozen=True)
class Not:
    """All other files."""

    of: Node


@dataclass(frozen=True)
class And:
    """Files of which all parts hold."""

    parts: tuple[Node, ...]


@dataclass(frozen=True)
class Or:
    """Files of which at least one part holds."""

    parts: tuple[Node, ...]


@dataclass(frozen=True)
class Combined:
    """Sets from left to right: `first`, then minus, union or intersect each of the others."""

    first: Node
    others: tuple[tuple[str, Node], ...]


@dataclass(frozen=True)
class Selected:
    """Some of what `of` finds, in the order of file ids: from `offset` on, each `stride`-th, at most `limit`.

    `availability` says which files `of` looks at; empty: as around it.
    """

    of: Node
    limit: int | None = None
    offset: int = 0
    stride: int = 1
    availability: tuple[str, ...] = ()


Node: TypeAlias = "Constraint | Defined | Available | Related | Not | And | Or | Combined | Selected"
