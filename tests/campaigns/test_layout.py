"""Drawing a graph of stages: nothing overlaps, every edge goes to the right, the same graph looks the same."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaigns.layout import layered

CARD = (190.0, 84.0)
GAP = (84.0, 22.0)


@st.composite
def graphs(draw):
    names = [f"s{number}" for number in range(draw(st.integers(1, 12)))]
    forth = [(a, b) for place, a in enumerate(names) for b in names[place:]]
    edges = draw(st.lists(st.sampled_from(forth), max_size=20))
    return draw(st.permutations(names)), edges


@given(graphs())
def test_cards_keep_their_distance_and_lie_inside(graph):
    drawing = layered(*graph, card=CARD, gap=GAP)
    assert sorted(card.name for card in drawing.cards) == sorted(graph[0])
    for card in drawing.cards:
        assert 0 <= card.x <= card.x + card.width <= drawing.width + 0.01
        assert -0.01 <= card.y <= card.y + card.height <= drawing.height + 0.01
    for one, other in itertools.combinations(drawing.cards, 2):
        if one.layer == other.layer:
            assert abs(one.y - other.y) >= CARD[1] + GAP[1] - 0.02
        else:
            assert abs(one.x - other.x) >= CARD[0] + GAP[0] - 0.01


@given(graphs())
def test_every_edge_but_a_loop_is_a_line_from_left_to_right(graph):
    names, edges = graph
    drawing = layered(names, edges)
    cards = {card.name: card for card in drawing.cards}
    assert [line.edge for line in drawing.lines] == [n for n, (a, b) in enumerate(edges) if a != b]
    assert set(drawing.loops) == {a for a, b in edges if a == b}
    for line in drawing.lines:
        upstream, downstream = cards[line.upstream], cards[line.downstream]
        assert upstream.layer < downstream.layer
        assert line.points[0][0] == upstream.x + upstream.width
        assert line.points[-1][0] == downstream.x
        assert upstream.y < line.points[0][1] < upstream.y + upstream.height
        assert downstream.y < line.points[-1][1] < downstream.y + downstream.height
        assert [x for x, _ in line.points] == sorted(x for x, _ in line.points)
        assert all(0 <= y <= drawing.height for _, y in line.points)


@given(graphs())
def test_a_line_never_runs_through_a_card(graph):
    drawing = layered(*graph)
    for line in drawing.lines:
        for (left, y), (right, _) in zip(line.points[1:-1:2], line.points[2:-1:2], strict=True):
            for card in drawing.cards:
                beside = card.x + card.width <= left or card.x >= right
                assert beside or not card.y < y < card.y + card.height


@given(graphs())
def test_the_same_graph_gives_the_same_drawing(graph):
    assert layered(*graph) == layered(*graph)


def test_a_chain_is_drawn_in_one_row():
    drawing = layered(["gen", "reco", "merge"], [("gen", "reco"), ("reco", "merge")], card=CARD, gap=GAP)
    assert [(card.x, card.y) for card in drawing.cards] == [(0, 0), (274, 0), (548, 0)]
    assert (drawing.width, drawing.height) == (738, 84)
    assert drawing.lines[0].path == "M190,42 C232,42 232,42 274,42"


def test_edges_do_not_cross_where_they_need_not():
    # Given in an order in which both edges would cross.
    drawing = layered(["a", "b", "x", "y"], [("a", "y"), ("b", "x")])
    y = {card.name: card.y for card in drawing.cards}
    assert (y["a"] < y["b"]) == (y["y"] < y["x"])


def test_a_stage_without_parents_stands_right_before_the_one_it_feeds():
    drawing = layered(["gen", "reco", "calib", "merge"], [("gen", "reco"), ("reco", "merge"), ("calib", "merge")])
    assert {card.name: card.layer for card in drawing.cards} == {"gen": 0, "reco": 1, "calib": 1, "merge": 2}


def test_two_edges_between_the_same_stages_are_two_lines():
    drawing = layered(["gen", "reco"], [("gen", "reco"), ("gen", "reco")])
    assert len({line.path for line in drawing.lines}) == 2


def test_nothing_is_drawn_of_an_empty_graph():
    drawing = layered([], [])
    assert (drawing.width, drawing.height, drawing.cards, drawing.lines) == (0, 0, (), ())


def test_a_cycle_is_refused_by_name():
    with pytest.raises(ValueError, match="a → b → a"):
        layered(["a", "b"], [("a", "b"), ("b", "a")])


def test_an_edge_of_an_unknown_stage_is_refused():
    with pytest.raises(ValueError, match="not there: ghost"):
        layered(["a"], [("a", "ghost")])
