"""What a dimension query finds, over Python sets: written apart from the SQL that it is compared with."""

from __future__ import annotations

import json
import operator
import re
from collections.abc import Callable, Iterable
from decimal import Decimal
from functools import partial
from typing import Any

from integrations.catalogue.dimensions import (
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
    parse,
)
from integrations.catalogue.dimensions.reading import is_number, moment, number, run
from tests.stand_ins.sam.book import Book, SamFile

ORDERS: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip
ABOUT_PROJECTS = ("project_name", "project_id", "consumed_status")
LONGEST = 50_000_000


def found(book: Book, dims: str) -> list[SamFile]:
    """Return the files that a query finds, by id; raises DimensionError."""
    keys = Evaluation(book).keys(parse(dims, longest=LONGEST), ("default",))
    return [book.files[key] for key in sorted(keys)]


class Evaluation:
    """One evaluation; it remembers which definitions it is inside of."""

    def __init__(self, book: Book) -> None:
        self.book = book
        self.open: list[str] = []

    def keys(self, node: Node, kinds: tuple[str, ...]) -> set[int]:
        universe = {key for key, file in self.book.files.items() if allows(kinds, file)}
        if isinstance(node, Constraint) and node.name.lower() == "dataset_def_name":
            positive = {"!=": "=", "not in": "=", "not like": "like", "in": "="}.get(node.op, node.op)
            names = [name for name in self.book.definitions if _text(name, positive, node.values)]
            named: set[int] = set().union(*(self.defined(name, kinds) for name in names))
            return universe - named if node.op in ("!=", "not in", "not like") else named
        if isinstance(node, Constraint):
            return universe & self.constrained(node)
        if isinstance(node, Defined):
            return self.defined(node.name, kinds)
        if isinstance(node, Related):
            return universe & self.related(node.relation, self.keys(node.of, kinds))
        if isinstance(node, Not):
            return universe - self.keys(node.of, kinds)
        if isinstance(node, Or):
            return set().union(*(self.keys(part, kinds) for part in node.parts))
        if isinstance(node, And):
            return self.all_of(node, kinds)
        if isinstance(node, Combined):
            result = self.keys(node.first, kinds)
            for op, other in node.others:
                more = self.keys(other, kinds)
                result = {"minus": result - more, "union": result | more, "intersect": result & more}[op]
            return result
        if isinstance(node, Selected):
            some = sorted(self.keys(node.of, node.availability or kinds))[node.offset :: node.stride]
            return set(some if node.limit is None else some[: node.limit])
        raise DimensionError(f"{node} cannot stand here")

    def all_of(self, node: And, kinds: tuple[str, ...]) -> set[int]:
        given = tuple(kind for part in node.parts if isinstance(part, Available) for kind in part.kinds)
        kinds = given or kinds
        parts = [part for part in node.parts if not isinstance(part, Available)]
        projects = [p for p in parts if isinstance(p, Constraint) and p.name.lower() in ABOUT_PROJECTS]
        sets = [self.keys(part, kinds) for part in parts if part not in projects]
        if projects:
            universe = {key for key, file in self.book.files.items() if allows(kinds, file)}
            sets.append(universe & self.of_projects(projects))
        return set.intersection(*sets)

    def defined(self, name: str, kinds: tuple[str, ...]) -> set[int]:
        if name in self.open:
            raise DimensionError(f"Definition {name} is defined by itself")
        if name not in self.book.definitions:
            raise DimensionError(f"Dataset definition '{name}' not found")
        self.open.append(name)
        result = self.keys(parse(self.book.definitions[name].dims, longest=LONGEST), kinds)
        self.open.pop()
        return result

    def related(self, relation: str, of: set[int]) -> set[int]:
        upward = relation in ("isparentof", "isancestorof")
        result: set[int] = set()
        waiting = of
        while waiting:
            next_ones = set().union(*(self.parents(key) if upward else self.children(key) for key in waiting))
            waiting = next_ones - result
            result |= next_ones
            if relation in ("isparentof", "ischildof"):
                break
        return result

    def parents(self, key: int) -> set[int]:
        return {self.book.ids[name] for name in self.book.files[key].parents if name in self.book.ids}

    def children(self, key: int) -> set[int]:
        return self.book.children.get(self.book.files[key].name, set())

    def constrained(self, node: Constraint) -> set[int]:
        name = node.name.lower()
        if name in ABOUT_PROJECTS:
            return self.of_projects([node])
        if (
            name == "file_name"
            and node.op in ("=", "in")
            and all(isinstance(v, str) and "%" not in v for v in node.values)
        ):
            return {self.book.ids[v] for v in node.values if v in self.book.ids}
        test = self.test(node, name)
        return {key for key, file in self.book.files.items() if _negated(node, partial(test, file))}

    def test(self, node: Constraint, name: str) -> Callable[[SamFile, str, Any], bool]:
        if name in TEXTS:
            return lambda file, op, values: _text(TEXTS[name](file), op, values)
        if name in NUMBERS:
            return lambda file, op, values: _number(NUMBERS[name](file), op, values, name)
        if name in MOMENTS:
            return lambda file, op, values: _moment(MOMENTS[name](file), op, values, name)
        if name == "run_number":
            return lambda file, op, values: any(_run((r.run, r.subrun), op, values) for r in file.runs)
        if name == "run_type":
            return lambda file, op, values: any(_text(r.type, op, values) for r in file.runs)
        if name == "snapshot_id":
            return lambda file, op, values: any(
                _number(key, op, values, name) for key, keys in self.book.snapshots.items() if file.id in keys
            )
        if name in ("snapshot_for_project_name", "snapshot_for_project_id"):
            projects = self.book.projects.values()
            return lambda file, op, values: any(
                _text(p.name, op, values) if name.endswith("name") else _number(p.id, op, values, name)
                for p in projects if file.id in self.book.snapshots[p.snapshot]
            )  # fmt: skip
        if "." in name:
            return lambda file, op, values: _parameter(file.metadata.get(node.name), op, values)
        raise DimensionError(f"Unknown dimension '{node.name}'")

    def of_projects(self, nodes: Iterable[Constraint]) -> set[int]:
        result = set()
        for project in self.book.projects.values():
            for key in self.book.snapshots[project.snapshot]:
                row = {"project_name": project.name, "project_id": project.id,
                       "consumed_status": project.statuses.get(key, "unconsumed")}  # fmt: skip
                if all(_row(row, node) for node in nodes):
                    result.add(key)
        return result


def allows(kinds: tuple[str, ...], file: SamFile) -> bool:
    """Tell whether a query with such an availability looks at a file at all."""
    if "any" in kinds:
        return True
    places = {"default": not file.virtual, "virtual": file.virtual,
              "anylocation": file.located, "physical": file.located}  # fmt: skip
    statuses = {"default": not file.bad, "good": not file.bad, "bad": file.bad}
    by_place = [places[kind] for kind in kinds if kind in places]
    by_status = [statuses[kind] for kind in kinds if kind in statuses]
    return (any(by_place) or not by_place) and (any(by_status) or not by_status)


def _row(row: dict[str, Any], node: Constraint) -> bool:
    name = node.name.lower()
    if name == "project_id":
        return _negated(node, lambda op, values: _number(row[name], op, values, name))
    return _negated(node, lambda op, values: _text(row[name], op, values))


def _negated(node: Constraint, test: Callable[[str, Any], bool]) -> bool:
    positive = {"!=": "=", "not in": "=", "not like": "like"}
    if node.op in positive:
        return not test(positive[node.op], node.values)
    return test("=" if node.op == "in" else node.op, node.values)


def _said(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else json.dumps(value)


def _application(key: str) -> Callable[[SamFile], str | None]:
    def of(file: SamFile) -> str | None:
        application = file.metadata.get("application")
        return _said(application.get(key)) if isinstance(application, dict) else None

    return of


def _plain(key: str) -> Callable[[SamFile], str | None]:
    return lambda file: _said(file.metadata.get(key))


TEXTS: dict[str, Callable[[SamFile], str | None]] = {
    "file_name": lambda file: file.name, "full_path": lambda file: file.disk or file.tape,
    "create_user": _plain("user"), "version": _application("version"), "family": _application("family"),
    "application": _application("name"), "appl_name": _application("name"),
    **{key: _plain(key) for key in ("data_tier", "data_stream", "file_type", "file_format")},
}  # fmt: skip
NUMBERS: dict[str, Callable[[SamFile], int | None]] = {
    "file_id": lambda file: file.id, "file_size": lambda file: file.size, "event_count": lambda file: file.events,
}  # fmt: skip
MOMENTS: dict[str, Callable[[SamFile], Any]] = {
    "start_time": lambda file: file.start, "end_time": lambda file: file.end,
    "create_date": lambda file: file.created, "update_date": lambda file: file.updated,
}  # fmt: skip


def like(text: str, pattern: str) -> bool:
    """Compare with a pattern of SQL."""
    parts = [".*" if sign == "%" else "." if sign == "_" else re.escape(sign) for sign in re.sub("%+", "%", pattern)]
    return bool(re.fullmatch("".join(parts), text, re.DOTALL))


def _text(text: str | None, op: str, values: Any) -> bool:
    if text is None:
        return False
    if op == "like":
        return like(text, values[0])
    if op in ORDERS:
        return ORDERS[op](text, values[0])
    return any(
        value.low <= text <= value.high
        if isinstance(value, Range)
        else like(text, value)
        if "%" in value
        else text == value
        for value in values
    )


def _number(given: int | Decimal | None, op: str, values: Any, name: str) -> bool:
    if op == "like":
        raise DimensionError(f"{name} is a number")
    if op in ORDERS:
        wanted = number(values[0], name)
        return given is not None and ORDERS[op](given, wanted)
    ends = [(v.low, v.high) if isinstance(v, Range) else (v, v) for v in values]
    both = [(number(low, name), number(high, name)) for low, high in ends]
    return given is not None and any(low <= given <= high for low, high in both)


def _moment(given: Any, op: str, values: Any, name: str) -> bool:
    if op == "like":
        raise DimensionError(f"{name} is a time")
    if op in ORDERS:
        wanted = moment(values[0], name).at
        return given is not None and ORDERS[op](given, wanted)
    ends = [(v.low, v.high) if isinstance(v, Range) else (v, v) for v in values]
    both = [(moment(low, name).at, moment(high, name).end) for low, high in ends]
    return given is not None and any(low <= given <= high for low, high in both)


def _run(given: tuple[int, int], op: str, values: Any) -> bool:
    if op == "like":
        raise DimensionError("run_number is a number")
    if op in ORDERS:
        return _compared(given, op, values[0])
    return any(
        _compared(given, ">=", v.low) and _compared(given, "<=", v.high) if isinstance(v, Range)
        else _compared(given, "=", v)
        for v in values
    )  # fmt: skip


def _compared(given: tuple[int, int], op: str, text: str) -> bool:
    wanted = run(text)
    order = ORDERS.get(op, operator.eq)
    return order(given[0], wanted.run) if wanted.subrun is None else order(given, (wanted.run, wanted.subrun))


def _parameter(given: Any, op: str, values: Any) -> bool:
    is_numeric = isinstance(given, int | float) and not isinstance(given, bool)
    exact = Decimal(str(given)) if is_numeric else None
    if op in ORDERS and is_number(values[0]):
        return exact is not None and ORDERS[op](exact, number(values[0], ""))
    if op == "=" and exact is not None:
        for value in values:
            low, high = (value.low, value.high) if isinstance(value, Range) else (value, value)
            if is_number(low) and is_number(high) and number(low, "") <= exact <= number(high, ""):
                return True
    return _text(_said(given), op, values)
