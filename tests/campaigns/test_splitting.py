"""Splits are partitions: no input twice, none missing, no slice over its limit (T4)."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaigns.splitting import KINDS, Input, Split, cut, parse, preview
from campaigns.splitting.cutting import datasets, values
from tests.campaigns import partitions
from tests.campaigns.partitions import INPUTS

SPLITS = [
    "None", "nfiles(3)", "nevents(70)", "bysize(1kB)", "mod(4)", "list", "drainingn(3)", "draining", "limitn(4)",
    "stagedfiles(5)", "byrun(low=2,high=4)", "byexistingruns(nfiles=2)", "new(window=1h)", "byvalue(stream,nevents=60)",
    "new(window=1h,firsttime=3000,lasttime=9000)", "multiparam",
]  # fmt: skip


@given(INPUTS, st.sampled_from(SPLITS), st.booleans(), st.floats(0, 30_000))
def test_every_input_is_in_one_slice_or_left_out_or_waits(inputs, text, closed, now):
    partitions.is_one(parse(text), inputs, closed=closed, now=now)


@given(INPUTS, st.sampled_from(SPLITS), st.floats(0, 30_000))
def test_what_is_cut_early_and_what_waited_are_together_a_partition(inputs, text, now):
    partitions.is_one_in_two_looks(parse(text), inputs, now=now)


@given(INPUTS, st.sampled_from([text for text in SPLITS if parse(text).limit]))
def test_a_slice_is_within_its_limit_or_a_single_input(inputs, text):
    split = parse(text)
    weight = {
        "file": lambda entry: 1,
        "events": lambda entry: entry.events or 1,
        "bytes": lambda entry: entry.size or 1,
    }
    for part in cut(split, inputs).slices:
        load = sum(weight[split.weighs](inputs[place]) for place in part.members)
        assert len(part.members) == 1 or load <= split.limit


@given(INPUTS, st.sampled_from([text for text in SPLITS if parse(text).what.groups]))
def test_inputs_of_different_groups_never_share_a_slice_and_the_label_says_the_group(inputs, text):
    split = parse(text)
    told = {"run": lambda e: str(e.run), "value": lambda e: e.value, "dataset": lambda e: e.dataset}.get(
        split.what.groups
    )
    for part in cut(split, inputs).slices:
        if told:
            assert {told(inputs[place]) for place in part.members} == {part.label}
        elif split.what.groups == "taken_at":
            times = [inputs[place].taken_at for place in part.members]
            assert max(times) - min(times) < split.given["window"]
        elif split.kind == "mod":
            assert len({inputs[place].rank % 4 for place in part.members}) == 1


@given(INPUTS)
def test_slices_of_runs_come_in_the_order_of_the_runs(inputs):
    labels = [int(part.label) for part in cut(parse("byexistingruns"), inputs).slices]
    assert labels == sorted(set(labels))


def test_a_window_of_time_waits_until_it_is_over_and_its_files_have_come():
    inputs = [Input(0, taken_at=100.0), Input(1, taken_at=3_700.0)]
    split = parse("new(window=1h,fts=10m)")
    assert cut(split, inputs, closed=False, now=4_199).slices == []
    early = cut(split, inputs, closed=False, now=4_200)
    assert [(part.label, list(part.members)) for part in early.slices] == [("1970-01-01T00:00Z", [0])]
    assert early.waiting == 1
    assert len(cut(split, inputs, closed=True).slices) == 2


def test_runs_from_low_to_high_are_both_included_and_others_are_named():
    inputs = [Input(rank, run=run) for rank, run in enumerate([1, 2, 4, 5, None])]
    found = cut(parse("byrun(low=2, high=4)"), inputs)
    assert [part.label for part in found.slices] == ["2", "4"]
    assert found.left_out == {"is of a run outside the range": 2, "has no run number": 1}


def test_the_combinations_of_lists_vary_the_first_fastest():
    assert values('[["a", "b"], [1, 2]]') == ["a_1", "b_1", "a_2", "b_2"]


@pytest.mark.parametrize(
    "text",
    ["", "a,b", "[]", "[[]]", '["a"]', '[["a", "b"], ["a_b"], [[1]]]', '[["a", "a"]]', json.dumps([[*range(400)]] * 3)],
)
def test_lists_that_cannot_be_combined_are_refused(text):
    with pytest.raises(ValueError, match="multiparam"):
        values(text)


def test_the_datasets_of_a_list_are_trimmed_and_each_counts_once():
    assert datasets(" startup, best ,perfect,best") == ["startup", "best", "perfect"]
    with pytest.raises(ValueError, match="names no dataset"):
        datasets(" , ")


@pytest.mark.parametrize("text", [
    "nfiles(0)", "nfiles(-1)", "nfiles", "nfiles(x)", "magic(3)", "nevents(99999999999)", "nfiles(1,2)", "nfiles(3", "mod(0)",
    "byrun(low=9,high=1)", "byrun(low=1,low=2)", "byrun(lo=1)", "bysize(3 apples)", "byvalue", "byvalue(a b)", "new(window=0)",
    "new(window=soon)", "new(firsttime=yesterday)", "byexistingruns(nfiles=1,nevents=2)", "nfiles(nfiles=1,nfiles=2)",
    "byrun(low=1,5)", "nfiles(1)(2)",
])  # fmt: skip
def test_a_split_that_cannot_be_is_refused_with_what_would_do(text):
    with pytest.raises(ValueError, match=r"split|size|given|known|takes"):
        parse(text)


@pytest.mark.parametrize("text", SPLITS)
def test_a_split_reads_back_as_it_is_written(text):
    split = parse(text)
    assert parse(str(split)) == split


def test_spellings_of_pom_s_files_are_understood():
    assert str(parse(" nfiles( 10 ) ")) == str(parse("nfiles_10")) == "nfiles(10)"
    assert str(parse("None")) == "whole"
    assert str(parse("byrun( low = 1, high=9 )")) == "byrun(low=1,high=9)"
    assert parse("bysize(2GB)").limit == 2 * 10**9
    assert parse("new(window=1d12h)").given["window"] == 129_600


def test_each_kind_shows_a_text_that_it_reads():
    for name, kind in KINDS.items():
        assert parse(kind.such_as).kind == name
        assert kind.says


def test_a_preview_says_how_many_slices_and_which_come_first():
    inputs = [Input(rank) for rank in range(3612)]
    split = Split("nfiles", {"nfiles": 100})
    text = preview(split, cut(split, inputs), lambda place: f"f{place}")
    assert (
        text
        == "37 slices of at most 100 files, the last has 12; the first three are f0 … f99; f100 … f199; f200 … f299"
    )
    runs = [Input(0, run=7), Input(1, run=7), Input(2)]
    told = preview(parse("byexistingruns"), cut(parse("byexistingruns"), runs), "abc".__getitem__)
    assert told == "1 slice of at most 2 files; it is 7: a, b. 1 file left out: has no run number"
    waits = preview(split, cut(split, inputs[:5], closed=False), str)
    assert waits == "no slice: there is nothing to cut. 5 files wait for more to come"


def test_a_million_files_are_cut_without_looking_at_each():
    inputs = [Input(0)] * 1_000_000
    found = cut(parse("nfiles(100)"), inputs)
    assert len(found.slices) == 10_000
    assert all(one.members[-1] + 1 == other.members[0] for one, other in pairwise(found.slices))
