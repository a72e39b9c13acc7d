"""The rule by which waiting work gets its place: fair between experiments, by rank and age within one, nobody starves."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from submissions.fairness import Piece, admitted, depth_of, effective_rank, in_order, overtaken_for, place_at

pieces = st.lists(
    st.builds(
        Piece, key=st.just(0), experiment=st.integers(1, 4), rank=st.integers(0, 100), hours=st.integers(0, 500),
        jobs=st.integers(1, 40), boosted=st.booleans(),
    ),
    max_size=40,
).map(lambda found: [Piece(**{**p.__dict__, "key": key}) for key, p in enumerate(found)])  # fmt: skip
weights = st.dictionaries(st.integers(1, 4), st.integers(1, 20))
use = st.dictionaries(st.integers(1, 4), st.integers(0, 200))


@given(pieces, use, weights)
def test_everything_gets_a_place_and_within_an_experiment_the_highest_goes_first(found, has, shares):
    ordered = in_order(found, has, shares, 1.0)
    assert sorted(piece.key for piece in ordered) == [piece.key for piece in found]
    for experiment in {piece.experiment for piece in found}:
        own = [effective_rank(p.rank, p.hours, 1.0, boosted=p.boosted) for p in ordered if p.experiment == experiment]
        assert own == sorted(own, reverse=True)


@given(st.lists(st.integers(1, 20), min_size=2, max_size=4), st.integers(1, 9))
def test_slots_go_by_weight_where_everybody_wants_them(shares, jobs):
    weights_ = dict(enumerate(shares))
    found = [Piece(n * 1000 + e, e, 50, 0, jobs) for e in weights_ for n in range(400)]
    taken = Counter(piece.experiment for piece in in_order(found, {}, weights_, 1.0)[:400])
    if max(taken.values()) == 400 or any(taken[e] == 400 for e in weights_):
        return  # one of them ran out of pieces
    per_weight = [taken[e] * jobs / weight for e, weight in weights_.items()]
    assert max(per_weight) - min(per_weight) <= jobs  # by no more than one piece


def test_who_has_much_there_already_waits_for_the_others():
    found = [Piece(1, 1, 100, 0, 1), Piece(2, 2, 0, 0, 1), Piece(3, 2, 0, 0, 1)]
    assert [piece.key for piece in in_order(found, {1: 2}, {}, 1.0)] == [2, 3, 1]
    assert [piece.key for piece in in_order(found, {1: 2}, {1: 3}, 1.0)] == [2, 1, 3]


def test_a_boost_goes_before_every_rank_and_the_older_before_the_younger():
    found = [Piece(1, 1, 100, 0, 1), Piece(2, 1, 0, 0, 1, boosted=True), Piece(3, 1, 100, 2, 1), Piece(4, 1, 100, 0, 1)]
    assert [piece.key for piece in in_order(found, {}, {}, 1.0)] == [2, 3, 1, 4]


@given(pieces, st.none() | st.integers(0, 300))
def test_room_is_exceeded_by_no_more_than_the_last_piece(found, room):
    went = admitted(found, room)
    assert went == found[: len(went)]
    if room is None:
        assert went == found
    elif went:
        assert sum(piece.jobs for piece in went[:-1]) < room


@pytest.mark.parametrize(
    ("setting", "slots", "depth"),
    [("0", 8, None), ("2x", 8, 16), ("0.5x", 8, 4), ("0.1x", 2, 1), ("2x", 0, None), ("25", 0, 25), ("0x", 9, None)],
)
def test_the_depth_is_a_number_of_jobs_or_a_multiple_of_the_slots(setting, slots, depth):
    assert depth_of(setting, slots) == depth


@pytest.mark.parametrize("setting", ["", "x", "-1", "2.5", "many", "2 x", "1e3"])
def test_a_depth_that_cannot_be_read_is_refused(setting):
    with pytest.raises(ValueError, match="neither a number"):
        depth_of(setting, 8)


@given(st.integers(0, 10**7), st.integers(-100, 100), st.floats(0.1, 10))
def test_what_was_put_back_among_idle_jobs_goes_before_what_comes_long_enough_after(minute, points, ageing):
    later = minute + round(60 * 100 / ageing) + 1
    assert place_at(minute, points, ageing) > place_at(later, 0, ageing)
    assert place_at(minute, 0, ageing) == -minute


# --- Nothing starves --------------------------------------------------------------------------------------------


def started_at(rank, ageing, arrivals, *, experiment=1):
    """Play one slot on which each piece takes its hours, from a piece of a rank at hour 0; return when that starts.

    `arrivals` are (hour, experiment, rank, hours that it takes).
    """
    waiting = [(0.0, Piece(0, experiment, rank, 0.0, 1), 1.0)]
    coming = [(hour, Piece(key, who, r, 0.0, 1), takes) for key, (hour, who, r, takes) in enumerate(arrivals, 1)]
    coming.sort(key=lambda entry: -entry[0])
    clock = 0.0
    while True:
        while coming and coming[-1][0] <= clock:
            waiting.append(coming.pop())
        aged = [Piece(p.key, p.experiment, p.rank, clock - since, 1) for since, p, _ in waiting]
        first = in_order(aged, {}, {}, ageing)[0].key
        if first == 0:
            return clock
        chosen = next(entry for entry in waiting if entry[1].key == first)
        waiting.remove(chosen)
        clock += chosen[2]


@given(
    st.integers(0, 100), st.sampled_from([0.5, 1.0, 4.0]),
    st.lists(st.tuples(st.floats(0, 300), st.just(1), st.just(100), st.floats(0.5, 5)), max_size=60),
)  # fmt: skip
def test_a_piece_starts_within_a_bound_whatever_comes_with_a_higher_rank(rank, ageing, arrivals):
    """It is overtaken only by what comes within `overtaken_for`; so it starts when that, and no more, has been done."""
    window = overtaken_for(rank, ageing)
    before_it = sum(takes for hour, _, _, takes in arrivals if hour <= window)
    assert started_at(rank, ageing, arrivals) <= before_it + 1e-6


def test_a_stream_of_rank_100_that_never_ends_holds_rank_0_up_for_a_hundred_points_and_no_longer():
    stream = [(float(hour), 1, 100, 1.0) for hour in range(1000)]
    assert started_at(0, 1.0, stream) <= 101
    assert started_at(0, 10.0, stream) <= 11
    assert started_at(0, 0.1, stream) > 999 - 1  # hardly any ageing: the stream goes first
