"""State tables: what a table answers about its moves."""

from __future__ import annotations

import pytest

from core.states import SYSTEM, Move, StateTable, table


@pytest.fixture
def lamp() -> StateTable:
    return table(
        "lamp",
        "off",
        ("off dimmed", "on", "switch", "watch"),
        ("on", "dimmed", "dim"),
        ("on off dimmed", "broken", "fall"),
    )


def test_a_row_with_several_sources_is_several_moves(lamp):
    assert lamp.moves[:2] == (Move("off", "on", "switch", "watch"), Move("dimmed", "on", "switch", "watch"))
    assert len(lamp.moves) == 6


def test_a_move_without_somebody_is_the_systems(lamp):
    assert lamp.move("on", "dimmed") == Move("on", "dimmed", "dim", SYSTEM)


def test_a_move_that_is_not_in_the_table_is_none(lamp):
    assert lamp.move("broken", "on") is None
    assert lamp.move("off", "dimmed") is None
    assert lamp.move("nonsense", "on") is None


def test_states_stand_once_each_with_the_initial_one_first(lamp):
    assert lamp.states == ("off", "on", "dimmed", "broken")


def test_the_sources_of_a_state_are_those_with_a_move_to_it(lamp):
    assert lamp.sources("on") == ("off", "dimmed")
    assert lamp.sources("off") == ()


def test_a_state_that_no_move_leaves_is_final(lamp):
    assert lamp.final == ("broken",)


def test_choices_read_as_words():
    assert table("x", "new_one", ("new_one", "old_one", "age")).choices() == [
        ("new_one", "new one"), ("old_one", "old one"),
    ]  # fmt: skip
