"""Splits are partitions: no input twice, none missing, no batch over its size."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaigns.splitting import Split, parse

weights = st.lists(st.integers(1, 50), max_size=200)


@given(weights, st.integers(1, 60), st.sampled_from(["nfiles", "nevents", "whole"]))
def test_with_no_more_to_come_every_input_is_in_one_batch(inputs, size, kind):
    assert sum(Split(kind, size).cut(inputs, closed=True)) == len(inputs)


@given(weights, st.integers(1, 60), st.sampled_from(["nfiles", "nevents", "whole"]))
def test_while_more_may_come_only_full_batches_are_cut(inputs, size, kind):
    early = Split(kind, size).cut(inputs, closed=False)
    assert sum(early) <= len(inputs)
    rest = inputs[sum(early) :]
    later = early + Split(kind, size).cut(rest, closed=True)
    assert later == Split(kind, size).cut(inputs, closed=True) or kind == "whole"


@given(weights, st.integers(1, 60))
def test_a_batch_by_events_is_within_its_size_or_a_single_input(inputs, size):
    begin = 0
    for count in Split("nevents", size).cut(inputs, closed=True):
        part = inputs[begin : begin + count]
        assert count == 1 or sum(part) <= size
        begin += count


@pytest.mark.parametrize("text", ["nfiles(0)", "nfiles(-1)", "nfiles", "nfiles(x)", "magic(3)", "nevents(99999999999)"])
def test_a_split_that_cannot_be_is_refused(text):
    with pytest.raises(ValueError, match=r"split|size"):
        parse(text)


def test_a_split_reads_back_as_it_is_written():
    assert str(parse(" nfiles( 10 ) ")) == "nfiles(10)"
    assert str(parse("None")) == "whole"
