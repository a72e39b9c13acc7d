"""Dimension queries as SQL over the tables of the local catalogue; values are parameters, never text.

A query means a set of files, and each of its parts does, too. All parts look at the same files: those of the
experiment that the availability in force allows (without any: neither bad nor virtual ones); `not` is the rest of
those. A file about which nothing is known fails every constraint, and so meets its negation: `!=` is `not =`. The
one exception are projects, in SAM's way: constraints on project and consumption that are joined with `and` are about
one and the same project.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import connection

from integrations.catalogue import dimensions
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
    Value,
)
from integrations.catalogue.dimensions.reading import has_wildcard, is_number, moment, number, run
from integrations.models import Dataset

MOST_PARTS = 1_000  # of a query, with those of the datasets that it names
MOST_DATASETS = 50  # that one pattern of names stands for


@dataclass(frozen=True)
class Piece:
    """A piece of SQL and its parameters."""

    sql: str
    params: tuple[Any, ...] = ()

    def __and__(self, other: Piece) -> Piece:
        """Join two conditions, of which both must hold."""
        return _joined(" AND ", (self, other))

    def inside(self, template: str, *before: Any, after: tuple[Any, ...] = ()) -> Piece:
        """Put it into the {} of a template that has parameters of its own before and after."""
        return Piece(template.format(self.sql), (*before, *self.params, *after))


# --- Names ----------------------------------------------------------------------------------------------------------

# Properties of a file by the expression that gives them.
TEXTS = {
    "file_name": "f.name", "full_path": "f.path", "create_user": "f.metadata ->> 'user'",
    "data_tier": "f.metadata ->> 'data_tier'", "data_stream": "f.metadata ->> 'data_stream'",
    "file_type": "f.metadata ->> 'file_type'", "file_format": "f.metadata ->> 'file_format'",
    "version": "f.metadata #>> '{application,version}'", "family": "f.metadata #>> '{application,family}'",
    "application": "f.metadata #>> '{application,name}'", "appl_name": "f.metadata #>> '{application,name}'",
}  # fmt: skip
NUMBERS = {"file_id": "f.id", "file_size": "f.size", "event_count": "f.events"}
MOMENTS = {
    "start_time": "f.start_time", "end_time": "f.end_time",
    "create_date": "f.created_at", "update_date": "f.updated_at",
}  # fmt: skip
PROJECTS = {"project_name": "p.name", "project_id": "p.id", "consumed_status": "coalesce(c.status, 'unconsumed')"}
OTHERS = ("run_number", "run_type", "snapshot_id", "snapshot_for_project_name", "snapshot_for_project_id",
          "dataset_def_name")  # fmt: skip
NAMES = sorted((*TEXTS, *NUMBERS, *MOMENTS, *PROJECTS, *OTHERS))
# Of these nothing but the file itself decides.
_OWN = {*TEXTS, *NUMBERS, *MOMENTS, "run_number", "run_type"}

_SET = "SELECT f.id FROM integrations_file f WHERE f.experiment_id = %s AND {}"
_RELATIVES = {
    "isparentof": "f.id IN (SELECT l.parent_id FROM integrations_parentage l WHERE l.child_id IN ({}))",
    "ischildof": "f.id IN (SELECT l.child_id FROM integrations_parentage l WHERE l.parent_id IN ({}))",
    "isancestorof": (
        "f.id IN (WITH RECURSIVE up (id) AS (SELECT l.parent_id FROM integrations_parentage l WHERE l.child_id IN ({})"
        " UNION SELECT l.parent_id FROM integrations_parentage l JOIN up ON l.child_id = up.id) SELECT id FROM up)"
    ),
    "isdescendantof": (
        "f.id IN (WITH RECURSIVE up (id) AS (SELECT l.child_id FROM integrations_parentage l WHERE l.parent_id IN ({})"
        " UNION SELECT l.child_id FROM integrations_parentage l JOIN up ON l.parent_id = up.id) SELECT id FROM up)"
    ),
}
_SOME = (
    "f.id IN (SELECT q.id FROM (SELECT s.id, row_number() OVER (ORDER BY s.id) - 1 - %s AS n FROM ({}) s) q"
    " WHERE q.n >= 0 AND mod(q.n, %s) = 0 ORDER BY q.id LIMIT %s)"
)
_OF_PROJECT = (
    "f.id IN (SELECT g.id FROM integrations_fileproject p JOIN integrations_datasetsnapshot s ON s.id = p.snapshot_id"
    " CROSS JOIN unnest(s.files) AS g (id)"
    " LEFT JOIN integrations_consumption c ON c.project_id = p.id AND c.file_id = g.id"
    " WHERE p.experiment_id = %s AND {})"
)
_OF_SNAPSHOT = (
    "f.id IN (SELECT unnest(s.files) FROM integrations_datasetsnapshot s"
    " LEFT JOIN integrations_fileproject p ON p.snapshot_id = s.id WHERE s.experiment_id = %s AND {})"
)
NEGATIVE = ("!=", "not in", "not like")
POSITIVE = {"in": "=", "!=": "=", "not in": "=", "not like": "like"}
_SET_OPERATORS = {"minus": "EXCEPT", "union": "UNION", "intersect": "INTERSECT"}
_NOTHING, _EVERYTHING = Piece("FALSE"), Piece("TRUE")
_LOCATED, _GOOD = "f.medium IN ('disk', 'tape')", "f.metadata ->> 'content_status' IS DISTINCT FROM 'bad'"
_PLACES = {
    "default": "f.medium <> 'virtual'", "virtual": "f.medium = 'virtual'",
    "anylocation": _LOCATED, "physical": _LOCATED,
}  # fmt: skip
_STATUSES = {"default": _GOOD, "good": _GOOD, "bad": "f.metadata ->> 'content_status' = 'bad'"}
USUAL = ("default",)


# --- The public functions -------------------------------------------------------------------------------------------


def condition(tree: Node, experiment_id: int) -> Piece:
    """Return the condition on `integrations_file f` that a query comes to; raises DimensionError.

    Datasets that it names are looked up; one that does not exist, or that names itself, is an error.
    """
    return _Compiler(experiment_id).members(_Expansion(experiment_id).expanded(tree), USUAL)


def is_own(tree: Node) -> bool:
    """Tell whether only the file's own rows decide if it is found, so that only a changed file can become a member."""
    if isinstance(tree, Constraint):
        return tree.name.lower() in _OWN or "." in tree.name
    if isinstance(tree, Not):
        return is_own(tree.of)
    if isinstance(tree, And | Or):
        return all(is_own(part) for part in tree.parts)
    if isinstance(tree, Combined):
        return is_own(tree.first) and all(is_own(node) for _, node in tree.others)
    if isinstance(tree, Selected):
        return (tree.limit, tree.offset, tree.stride) == (None, 0, 1) and is_own(tree.of)
    return isinstance(tree, Available)


# --- Datasets by name -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Listed:
    """A dataset that is a list; it stands where the query named it."""

    dataset_id: int


class _Expansion:
    """Puts what datasets are defined by where they are named."""

    def __init__(self, experiment_id: int) -> None:
        self.experiment_id = experiment_id
        self.open: list[str] = []
        self.parts = 0

    def expanded(self, node: Node) -> Any:
        self.parts += 1
        if self.parts > MOST_PARTS:
            raise DimensionError(f"The query has more than {MOST_PARTS} parts, those of its datasets counted.")
        if isinstance(node, Defined):
            return self.dataset(node.name)
        if isinstance(node, Constraint) and node.name.lower() == "dataset_def_name":
            return self.named(node)
        if isinstance(node, Not):
            return Not(self.expanded(node.of))
        if isinstance(node, And | Or):
            return type(node)(tuple(self.expanded(part) for part in node.parts))
        if isinstance(node, Combined):
            others = tuple((op, self.expanded(other)) for op, other in node.others)
            return Combined(self.expanded(node.first), others)
        if isinstance(node, Related):
            return Related(node.relation, self.expanded(node.of))
        if isinstance(node, Selected):
            return Selected(self.expanded(node.of), node.limit, node.offset, node.stride, node.availability)
        return node

    def dataset(self, name: str) -> Any:
        if name in self.open:
            raise DimensionError(f"The dataset {name} is defined by itself: {' → '.join([*self.open, name])}.")
        row = Dataset.objects.filter(experiment_id=self.experiment_id, name=name).first()
        if row is None:
            raise DimensionError(f"There is no dataset {name}.")
        if not row.query:
            return _Listed(row.pk)
        self.open.append(name)
        found = self.expanded(dimensions.parse(row.query))
        self.open.pop()
        return found

    def named(self, node: Constraint) -> Any:
        """Return the datasets that a constraint on their names stands for, or what is in none of them."""
        positive = POSITIVE.get(node.op, node.op)
        test = _texts(Piece("d.name"), positive, node.values)
        sql = "SELECT d.name FROM integrations_dataset d WHERE d.experiment_id = %s AND ({}) ORDER BY d.name LIMIT %s"
        piece = test.inside(sql, self.experiment_id, after=(MOST_DATASETS + 1,))
        with connection.cursor() as cursor:
            cursor.execute(piece.sql, piece.params)
            names = [name for (name,) in cursor.fetchall()]
        if len(names) > MOST_DATASETS:
            raise DimensionError(f"dataset_def_name stands for more than {MOST_DATASETS} datasets here.")
        found = Or(tuple(self.dataset(name) for name in names))
        return Not(found) if node.op in NEGATIVE else found


# --- From tree to SQL -----------------------------------------------------------------------------------------------


class _Compiler:
    def __init__(self, experiment_id: int) -> None:
        self.experiment_id = experiment_id

    def members(self, node: Any, allowed: tuple[str, ...]) -> Piece:
        """Return the condition for the files of a query, availability included."""
        if _is_uniform(node):
            return self.holds(node, allowed) & _availability(allowed)
        if isinstance(node, Selected) and node.availability:
            return self.members(Selected(node.of, node.limit, node.offset, node.stride), node.availability)
        if isinstance(node, And):
            kinds, parts = _and_its_availability(node)
            together, others = _about_projects(parts)
            pieces = [self.members(part, kinds or allowed) for part in others]
            pieces += [self.project(together) & _availability(kinds or allowed)] if together else []
            return _joined(" AND ", pieces)
        if isinstance(node, Or):
            return _joined(" OR ", [self.members(part, allowed) for part in node.parts])
        if isinstance(node, Not):
            return self.members(node.of, allowed).inside("({}) IS NOT TRUE") & _availability(allowed)
        return self.holds(node, allowed)

    def holds(self, node: Any, allowed: tuple[str, ...]) -> Piece:
        """Return the condition for a query all of whose parts look at the same files; which, is said around it."""
        if isinstance(node, _Listed):
            sql = "f.id IN (SELECT m.file_id FROM integrations_dataset_files m WHERE m.dataset_id = %s)"
            return Piece(sql, (node.dataset_id,))
        if isinstance(node, Constraint):
            return self.constraint(node)
        if isinstance(node, Not):
            return self.holds(node.of, allowed).inside("({}) IS NOT TRUE")
        if isinstance(node, And):
            together, others = _about_projects(node.parts)
            pieces = [self.holds(part, allowed) for part in others]
            return _joined(" AND ", [*pieces, *([self.project(together)] if together else [])])
        if isinstance(node, Or):
            return _joined(" OR ", [self.holds(part, allowed) for part in node.parts]) if node.parts else _NOTHING
        if isinstance(node, Related):
            return self.files(node.of, allowed).inside(_RELATIVES[node.relation])
        if isinstance(node, Combined):
            return self.combined(node, allowed)
        if isinstance(node, Selected):
            found = self.files(node.of, node.availability or allowed)
            if (node.limit, node.offset, node.stride) == (None, 0, 1):
                return found.inside("f.id IN ({})")
            return found.inside(_SOME, node.offset, after=(node.stride, node.limit))
        raise TypeError(f"no part of a query: {node!r}")

    def files(self, node: Any, allowed: tuple[str, ...]) -> Piece:
        """Return the SELECT of the ids of a query's files."""
        return self.members(node, allowed).inside(_SET.format("({})"), self.experiment_id)

    def combined(self, node: Combined, allowed: tuple[str, ...]) -> Piece:
        """Return set operations as such: PostgreSQL does them in one go, however many files there are."""
        found = self.files(node.first, allowed)
        for op, other in node.others:
            more = self.files(other, allowed)
            found = Piece(f"({found.sql}) {_SET_OPERATORS[op]} ({more.sql})", found.params + more.params)
        return found.inside("f.id IN ({})")

    def constraint(self, node: Constraint) -> Piece:
        name = node.name.lower()
        if name in PROJECTS:
            return self.project([node])
        if name in ("snapshot_id", "snapshot_for_project_id"):
            column = "s.id" if name == "snapshot_id" else "p.id"
            return _negatable(node, lambda op, values: self.snapshot(_numbers(column, op, values, name)))
        if name == "snapshot_for_project_name":
            return _negatable(node, lambda op, values: self.snapshot(_texts(Piece("p.name"), op, values)))
        if name == "run_number":
            return _negatable(node, lambda op, values: _of_runs(_runs(op, values)))
        if name == "run_type":
            return _negatable(node, lambda op, values: _of_runs(_texts(Piece("r.type"), op, values)))
        if name in TEXTS:
            return _negatable(node, lambda op, values: _texts(Piece(TEXTS[name]), op, values))
        if name in NUMBERS:
            return _negatable(node, lambda op, values: _numbers(NUMBERS[name], op, values, name))
        if name in MOMENTS:
            return _negatable(node, lambda op, values: _moments(MOMENTS[name], op, values, name))
        if "." in name:
            return _negatable(node, lambda op, values: _parameter(node.name, op, values))
        known = "any parameter with a dot in it, such as Dataset.Tag, and " + ", ".join(NAMES)
        raise DimensionError(f"The local catalogue does not know {node.name}. It knows {known}.")

    def snapshot(self, test: Piece) -> Piece:
        return test.inside(_OF_SNAPSHOT, self.experiment_id)

    def project(self, nodes: Sequence[Constraint]) -> Piece:
        """Return the condition that one file of one project meets all of these."""
        return _joined(" AND ", map(_of_project, nodes)).inside(_OF_PROJECT, self.experiment_id)


def _of_project(node: Constraint) -> Piece:
    name = node.name.lower()
    if name == "project_id":
        return _negatable(node, lambda op, values: _numbers(PROJECTS[name], op, values, name))
    return _negatable(node, lambda op, values: _texts(Piece(PROJECTS[name]), op, values))


def _is_uniform(node: Any) -> bool:
    """Tell whether no part of the condition itself looks at other files than the rest."""
    if isinstance(node, Selected):
        return not node.availability and _is_uniform(node.of)
    if isinstance(node, And | Or):
        return all(not isinstance(part, Available) and _is_uniform(part) for part in node.parts)
    if isinstance(node, Not):
        return _is_uniform(node.of)
    return not isinstance(node, Combined) or all(map(_is_uniform, (node.first, *(other for _, other in node.others))))


def _and_its_availability(node: And) -> tuple[tuple[str, ...], list[Any]]:
    kinds = [kind for part in node.parts if isinstance(part, Available) for kind in part.kinds]
    return tuple(kinds), [part for part in node.parts if not isinstance(part, Available)]


def _about_projects(parts: Iterable[Any]) -> tuple[list[Constraint], list[Any]]:
    together: list[Constraint] = []
    others: list[Any] = []
    for part in parts:
        is_one = isinstance(part, Constraint) and part.name.lower() in PROJECTS
        (together if is_one else others).append(part)
    return together, others


def _availability(kinds: tuple[str, ...]) -> Piece:
    if "any" in kinds:
        return _EVERYTHING
    tests = []
    for meanings in (_PLACES, _STATUSES):
        wanted = dict.fromkeys(meanings[kind] for kind in kinds if kind in meanings)
        if wanted:
            tests.append(Piece(" OR ".join(wanted)))
    return _joined(" AND ", tests)


def _joined(word: str, pieces: Iterable[Piece]) -> Piece:
    given = list(pieces)
    if len(given) == 1:
        return given[0]
    return Piece(word.join(f"({piece.sql})" for piece in given), tuple(entry for p in given for entry in p.params))


# --- Tests of one property ------------------------------------------------------------------------------------------


def _negatable(node: Constraint, test: Callable[[str, tuple[Value, ...]], Piece]) -> Piece:
    """Return the test of a constraint; a negative operator is the rest of its positive one."""
    found = test(POSITIVE.get(node.op, node.op), node.values)
    return found.inside("({}) IS NOT TRUE") if node.op in NEGATIVE else found


def _either(pieces: Sequence[Piece]) -> Piece:
    return _joined(" OR ", pieces)


def _texts(column: Piece, op: str, values: tuple[Value, ...]) -> Piece:
    """Compare text: byte by byte, so that the order is the same on every installation."""

    def test(sql: str, *given: Any) -> Piece:
        return column.inside("({}) " + sql, after=given)

    if op == "like":
        return test("LIKE %s ESCAPE ''", _text(values[0]))
    if op != "=":
        return test(f'COLLATE "C" {op} %s', _text(values[0]))
    plain = [entry for entry in values if isinstance(entry, str)]
    pieces = [test("LIKE %s ESCAPE ''", entry) for entry in plain if has_wildcard(entry)]
    if exact := [entry for entry in plain if not has_wildcard(entry)]:
        pieces.append(test("= ANY(%s)", exact))
    for entry in values:
        if isinstance(entry, Range):
            pieces.append(test('COLLATE "C" BETWEEN %s AND %s', entry.low, entry.high))
    return _either(pieces)


def _numbers(column: str, op: str, values: tuple[Value, ...], name: str) -> Piece:
    if op == "like":
        raise DimensionError(f"{name} is a number; 'like' compares text.")
    if op != "=":
        return Piece(f"{column} {op} %s", (number(_text(values[0]), name),))
    pieces = [Piece(f"{column} = %s", (number(e, name),)) for e in values if isinstance(e, str)]
    for entry in values:
        if isinstance(entry, Range):
            pieces.append(Piece(f"{column} BETWEEN %s AND %s", (number(entry.low, name), number(entry.high, name))))
    return _either(pieces)


def _moments(column: str, op: str, values: tuple[Value, ...], name: str) -> Piece:
    """Compare times; a day alone is, in a comparison, its midnight, else the whole day."""
    if op == "like":
        raise DimensionError(f"{name} is a time; 'like' compares text.")
    if op != "=":
        return Piece(f"{column} {op} %s", (moment(_text(values[0]), name).at,))
    pieces = []
    for entry in values:
        low, high = (entry.low, entry.high) if isinstance(entry, Range) else (entry, entry)
        pieces.append(Piece(f"{column} BETWEEN %s AND %s", (moment(low, name).at, moment(high, name).end)))
    return _either(pieces)


def _runs(op: str, values: tuple[Value, ...]) -> Piece:
    """Compare runs, or subruns where the value names one."""
    if op == "like":
        raise DimensionError("run_number is a number; 'like' compares text.")
    if op != "=":
        return _run(op, _text(values[0]))
    pieces = []
    for entry in values:
        if isinstance(entry, Range):
            pieces.append(_run(">=", entry.low) & _run("<=", entry.high))
        else:
            pieces.append(_run("=", entry))
    return _either(pieces)


def _run(op: str, text: str) -> Piece:
    wanted = run(text)
    if wanted.subrun is None:
        return Piece(f"r.run {op} %s", (wanted.run,))
    return Piece(f"(r.run, r.subrun) {op} (%s, %s)", (wanted.run, wanted.subrun))


def _of_runs(test: Piece) -> Piece:
    return test.inside("f.id IN (SELECT r.file_id FROM integrations_filerun r WHERE {})")


def _parameter(name: str, op: str, values: tuple[Value, ...]) -> Piece:
    """Compare a parameter of the metadata: as a number where both are numbers, else as text."""
    pieces = []
    if op == "=":
        singles = [entry for entry in values if isinstance(entry, str) and is_number(entry)]
        pieces = [_as_number(name, "=", entry) for entry in singles]
        ranges = [entry for entry in values if isinstance(entry, Range)]
        pieces += [
            _as_number(name, ">=", entry.low) & _as_number(name, "<=", entry.high)
            for entry in ranges
            if is_number(entry.low) and is_number(entry.high)
        ]
    elif op != "like" and is_number(_text(values[0])):
        return _as_number(name, op, _text(values[0]))
    return _either([*pieces, _texts(Piece("f.metadata ->> %s", (name,)), op, values)])


def _as_number(name: str, op: str, text: str) -> Piece:
    sql = (
        f"CASE WHEN jsonb_typeof(f.metadata -> %s) = 'number' THEN (f.metadata ->> %s)::numeric {op} %s ELSE FALSE END"
    )
    return Piece(sql, (name, name, number(text, name)))


def _text(entry: Value) -> str:
    if isinstance(entry, Range):
        raise DimensionError(f"A range ({entry.low} to {entry.high}) cannot be compared with.")
    return entry
