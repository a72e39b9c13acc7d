"""Dimension queries at random, for text and for a small catalogue in which they find something."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from integrations.catalogue.dimensions import (
    And,
    Available,
    Combined,
    Constraint,
    Defined,
    Node,
    Not,
    Or,
    Range,
    Related,
    Selected,
)
from integrations.catalogue.dimensions.parsing import AVAILABILITIES, FAR, NEAR, ONE_VALUE, SETS

OPERATORS = ("=", "!=", "in", "not in", *ONE_VALUE)
KINDS = st.lists(st.sampled_from(AVAILABILITIES), min_size=1, max_size=2, unique=True).map(tuple)


def constraints(values: dict[str, list[str]], texts: frozenset[str]) -> st.SearchStrategy[Node]:
    """Return constraints on these names with these values; patterns are compared only with what is a text."""

    def on(name: str) -> st.SearchStrategy[Node]:
        exact = st.sampled_from([text for text in values[name] if "%" not in text])
        ranges = st.builds(Range, exact, exact)
        several = st.lists(st.sampled_from(values[name]) | ranges, min_size=1, max_size=3).map(tuple)

        def with_operator(op: str) -> st.SearchStrategy[Node]:
            given: st.SearchStrategy[Any] = several
            if op in ONE_VALUE:
                given = (st.sampled_from(values[name]) if "like" in op else exact).map(lambda value: (value,))
            return given.map(lambda entries: Constraint(name, op, entries))

        return st.sampled_from([op for op in OPERATORS if name in texts or "like" not in op]).flatmap(with_operator)

    return st.sampled_from(sorted(values)).flatmap(on)


def trees(leaves: st.SearchStrategy[Node], datasets: list[str]) -> st.SearchStrategy[Node]:
    """Return whole queries with everything that the language has, but for ancestors and descendants."""
    ends = leaves | st.sampled_from(datasets).map(Defined)

    def grow(inner: st.SearchStrategy[Node]) -> st.SearchStrategy[Node]:
        several = st.lists(inner, min_size=2, max_size=3).map(tuple)
        others = st.lists(st.tuples(st.sampled_from(SETS), inner), min_size=1, max_size=3).map(tuple)
        return st.one_of(
            inner.map(Not),
            several.map(And),
            several.map(Or),
            st.builds(Combined, inner, others),
            st.builds(
                Selected,
                inner,
                st.none() | st.integers(0, 8),
                st.integers(0, 4),
                st.integers(1, 4),
                st.just(()) | KINDS,
            ),
            st.builds(Related, st.sampled_from(NEAR), inner),
            st.builds(lambda part, some: And((part, Available(some))), inner, KINDS),
        )

    return st.recursive(ends, grow, max_leaves=6)


def far_trees(leaves: st.SearchStrategy[Node]) -> st.SearchStrategy[Node]:
    """Return queries with one question for ancestors or descendants."""
    return st.builds(lambda far, of, other: Or((Related(far, of), other)), st.sampled_from(FAR), leaves, leaves)
