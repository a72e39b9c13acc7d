"""Graphs of stages: circles are found, orders are right."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from campaigns.graph import find_cycle, order

names = [f"s{n}" for n in range(8)]
pairs = st.lists(st.tuples(st.sampled_from(names), st.sampled_from(names)), max_size=20)


@given(pairs)
def test_a_circle_is_found_exactly_when_there_is_no_order(edges):
    cycle = find_cycle(names, edges)
    assert bool(cycle) == (len(order(names, edges)) < len(names))
    if cycle:
        assert cycle[0] == cycle[-1] and len(cycle) > 2
        assert all(pair in edges for pair in zip(cycle, cycle[1:], strict=False))


@given(pairs)
def test_parents_come_before_children(edges):
    if not find_cycle(names, edges):
        place = {name: n for n, name in enumerate(order(names, edges))}
        assert all(place[a] < place[b] for a, b in edges if a != b)


def test_a_stage_may_feed_itself():
    assert find_cycle(["a"], [("a", "a")]) == []
