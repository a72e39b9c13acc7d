"""Commands: precedence, keywords, arguments byte for byte."""

from __future__ import annotations

import pytest

from campaigns.command import argv, fill, overlay


def test_a_later_value_replaces_and_keeps_the_first_place():
    layers = ([("-Oa=", "jt"), ("-Ob=", "jt")], [("-Oa=", "stage"), ("-Od=", "new")])
    assert overlay(*layers) == [("-Oa=", "stage"), ("-Ob=", "jt"), ("-Od=", "new")]


def test_a_key_that_ends_in_a_blank_is_two_arguments():
    assert argv("fife_launch -c 'my cfg'", [("--stage ", "gen"), ("-Oa=", "x y")], {}) == [
        "fife_launch", "-c", "my cfg", "--stage", "gen", "-Oa=x y",
    ]  # fmt: skip


@pytest.mark.parametrize("nasty", ["$(touch x)", "`id`", "a;b", "a'b\"c", "\n", "-rf", "ü€", "a b  c"])
def test_a_value_arrives_byte_for_byte(nasty):
    assert argv("run", [("--x ", nasty)], {}) == ["run", "--x", nasty]


def test_words_are_filled_in_and_a_double_percent_is_one():
    assert fill("%(dataset)s at 95%% of %(version)s", {"dataset": "d", "version": "v"}) == "d at 95% of v"
    with pytest.raises(KeyError):
        fill("%(nobody)s", {})
