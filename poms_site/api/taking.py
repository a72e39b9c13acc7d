"""Finds what an action of a view takes from its request – body, query, headers – by reading the view's own code.

The description of the API is made from it, so it cannot promise what nothing reads; tests/contracts/test_openapi.py
holds it against what views really read.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from rest_framework import serializers

from experiments.viewsets import ReasonInput, ScopedViewSet

# How the base class reads, in words of this module; its own code is not followed.
LISTS = ("page", "narrowed", "list")
PAGES = ("cursor", "limit")


@dataclass
class Taken:
    """What an action takes."""

    forms: list[type[serializers.Serializer[Any]]] = field(default_factory=list)
    partial: bool = False
    query: list[str] = field(default_factory=list)
    headers: list[str] = field(default_factory=list)

    def also(self, kind: str, *names: Any) -> None:
        """Add what is not known yet."""
        known: list[Any] = getattr(self, kind)
        known += [name for name in names if name not in known]


@cache
def taken(view: type[Any], action: str) -> Taken:
    """Return what an action of a view takes, with all that its own helpers take for it."""
    found = Taken()
    reached = list(_reached(view, getattr(view, action)))
    passed = _passed(reached)
    for function in reached:
        # The rows of a list are narrowed where they are gathered; who looks for one of them asks for nothing.
        if function.__name__ != "rows" or action in ("list", "export"):
            _read(view, function, found, passed)
    return found


def _reached(view: type[Any], first: Callable[..., Any]) -> Iterator[Callable[..., Any]]:
    """Give a function and what it calls: methods of the view, and functions that are handed the request."""
    waiting, seen = [inspect.unwrap(first)], set()
    while waiting:
        function = waiting.pop()
        if function in seen or not inspect.isfunction(function):
            continue
        seen.add(function)
        yield function
        for node in ast.walk(_tree(function)):
            if not isinstance(node, ast.Call):
                continue
            if isinstance(node.func, ast.Attribute) and ast.unparse(node.func.value) in _selves(function):
                waiting.append(_method(view, function, node.func))
            elif isinstance(node.func, ast.Name) and "request" in "".join(map(ast.unparse, node.args)):
                waiting.append(function.__globals__.get(node.func.id, first))


def _method(view: type[Any], function: Callable[..., Any], called: ast.Attribute) -> Any:
    name = called.attr
    if ast.unparse(called.value) == "super()":
        after = False
        for kind in view.__mro__:
            if after and name in vars(kind):
                return vars(kind)[name] if kind is not ScopedViewSet else None
            after = after or function in vars(kind).values()
        return None
    found = getattr(view, name, None)
    of_base = found is getattr(ScopedViewSet, name, None) and name not in ("list", "retrieve")
    return None if of_base else found


def _passed(functions: list[Callable[..., Any]]) -> dict[str, list[str]]:
    """Return the words that functions hand to each other, by the name of who is called: `_moment(request, "from")`."""
    found: dict[str, list[str]] = {}
    for node in (node for function in functions for node in ast.walk(_tree(function))):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func).rpartition(".")[2]
            found.setdefault(name, []).extend(str(a.value) for a in node.args if isinstance(a, ast.Constant))
    return found


def _read(view: type[Any], function: Callable[..., Any], found: Taken, passed: dict[str, list[str]]) -> None:
    tree = _tree(function)
    queries = {"query_params", *_named(tree, "query_params")}
    words = {
        node.target.id: [str(e.value) for e in node.iter.elts if isinstance(e, ast.Constant)]
        for node in ast.walk(tree)
        if isinstance(node, ast.For) and isinstance(node.target, ast.Name) and isinstance(node.iter, ast.Tuple)
    }
    words |= dict.fromkeys(inspect.signature(function).parameters, passed.get(function.__name__, []))
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            _read_call(view, function, node, found)
        for source, asked in _asked(node):
            last = source.rpartition(".")[2].rstrip(")")
            if isinstance(asked, ast.Set):
                names = [str(entry.value) for entry in asked.elts if isinstance(entry, ast.Constant)]
            else:
                names = [str(asked.value)] if isinstance(asked, ast.Constant) else words.get(ast.unparse(asked), [])
            if last in queries:
                found.also("query", *names)
            elif last == "headers":
                found.also("headers", *names)


def _named(tree: ast.AST, what: str) -> Iterator[str]:
    """Give the names by which a function calls what ends in a word: `query = request.query_params`, in a pair too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.AnnAssign) and node.value:
            pairs: list[tuple[ast.expr, ast.expr]] = [(node.target, node.value)]
        elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Tuple):
            first = node.targets[0]
            targets: list[ast.expr] = first.elts if isinstance(first, ast.Tuple) else []
            pairs = list(zip(targets, node.value.elts, strict=False))
        elif isinstance(node, ast.Assign):
            pairs = [(node.targets[0], node.value)]
        else:
            continue
        yield from (ast.unparse(name) for name, value in pairs if ast.unparse(value).rpartition(".")[2] == what)


def _asked(node: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    """Give what is looked up where: `query.get("a")`, `query["a"]`, `"a" in query`."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "get" and node.args:
        yield ast.unparse(node.func.value), node.args[0]
    elif isinstance(node, ast.Subscript):
        yield ast.unparse(node.value), node.slice
    elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Sub):  # set(query) - {"experiment", "by"}
        yield ast.unparse(node.left), node.right
    elif isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.In):
        yield ast.unparse(node.comparators[0]), node.left


def _read_call(view: type[Any], function: Callable[..., Any], node: ast.Call, found: Taken) -> None:
    called = node.func
    if not isinstance(called, ast.Attribute):
        return
    on_self = ast.unparse(called.value) in _selves(function)
    if on_self and called.attr == "body":
        found.also("forms", *_forms(view, function, node.args[0]))
        found.partial = any(word.arg == "partial" for word in node.keywords)
    elif on_self and called.attr == "reason":
        found.also("forms", ReasonInput)
    elif on_self and called.attr == "once":
        found.also("headers", "Idempotency-Key")
    elif on_self and called.attr in LISTS:
        also = [*node.args[1:2], *(word.value for word in node.keywords if word.arg == "also")]
        more = [word.value for part in also for word in ast.walk(part) if isinstance(word, ast.Constant)]
        found.also("query", "experiment", *view.filters, *view.more_filters, *(map(str, more) if also else PAGES))
    elif called.attr == "paginate_queryset" or (on_self and called.attr == "history_page"):
        found.also("query", *PAGES)


def _forms(view: type[Any], function: Callable[..., Any], node: ast.expr) -> list[Any]:
    """Return what is named in `self.body(…)`: a class of the module, an attribute of the view, or one of two."""
    if isinstance(node, ast.IfExp):
        return _forms(view, function, node.body) + _forms(view, function, node.orelse)
    first, *rest = ast.unparse(node).split(".")
    found = view if first == "self" else function.__globals__[first]
    for name in rest:
        found = getattr(found, name)
    return [found] if found is not serializers.Serializer else []  # of the last kind no field is taken


@cache
def _selves(function: Callable[..., Any]) -> set[str]:
    """Return how a method names its own object: `self`, `super()`, and what is only another name for it."""
    others = _named(_tree(function), "self")
    return {"self", "super()", *others}


@cache
def _tree(function: Callable[..., Any]) -> ast.AST:
    return ast.parse(textwrap.dedent(inspect.getsource(function)))
