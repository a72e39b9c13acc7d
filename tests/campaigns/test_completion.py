"""When enough is done, and how it is said."""

from __future__ import annotations

import pytest

from campaigns import completion


@pytest.mark.parametrize(
    ("done", "inputs", "percent", "met"),
    [(0, 0, 100, True), (0, 5, 0, False), (1, 5, 0, True), (4, 5, 80, True), (3, 5, 80, False), (5, 5, 100, True)],
)
def test_enough_is_a_share_and_never_nothing_of_something(done, inputs, percent, met):
    assert completion.is_met(done, inputs, percent) is met


@pytest.mark.parametrize(
    ("done", "inputs", "words"),
    [
        (4, 5, "4 of 5 inputs have located output"),
        (1, 1, "its input has located output"),
        (0, 1, "its input has no located output"),
    ],
)
def test_a_tally_reads_as_a_sentence(done, inputs, words):
    assert completion.tally(done, inputs) == words
