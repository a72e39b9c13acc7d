"""The forecast: what is certain comes out exactly, order and shares are those of the rule, and it is quick."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poms_site.overview.prediction import LAUNCHING, SETTLING, Entry, Work, delays, predict
from tests.effort import FIVE_SECONDS, effort

SLOTS = {"local": 4}


def sure(name="gen", seconds=10.0, **values):
    return Work(name, seconds, **{"spread": 0.0, "doubt": 0.0, **values})


def ends(entries, slots=SLOTS, weights=None, ageing=1.0):
    return {key: found.end.median for key, found in predict(entries, slots, weights or {}, ageing).items()}


def test_what_is_certain_is_told_exactly():
    entries = [Entry(1, 1, 50, (sure(waiting=8),)), Entry(2, 1, 80, (sure(waiting=4),))]
    found = predict(entries, SLOTS, {}, 1.0)
    assert (found[2].start.median, found[2].end.median) == (0, 10 + SETTLING)
    assert (found[1].start.median, found[1].end.median) == (10, 30 + SETTLING)
    assert found[1].end.early == found[1].end.late


def test_running_jobs_take_what_is_left_of_them_and_idle_ones_go_first():
    entries = [Entry(1, 1, 0, (sure(running=(6.0, 6.0, 6.0, 6.0), idle=4),)), Entry(2, 1, 100, (sure(waiting=4),))]
    found = ends(entries)
    assert found == {1: 14 + SETTLING, 2: 24 + SETTLING}


def test_a_stage_waits_for_its_gate():
    sum_of = sure("sum", 5.0, later=1, feeds=(("gen", 1.0),))
    assert ends([Entry(1, 1, 50, (sure(waiting=8), sum_of))]) == {1: 20 + SETTLING + LAUNCHING + 5 + SETTLING}
    half = replace(sum_of, feeds=(("gen", 0.5),), later=8)
    assert ends([Entry(1, 1, 50, (sure(waiting=8), half))])[1] < 20 + SETTLING + LAUNCHING + 10 + SETTLING


def test_two_experiments_share_the_slots_by_weight():
    entries = [Entry(1, 1, 100, (sure(waiting=40),)), Entry(2, 2, 0, (sure(waiting=40),))]
    even = ends(entries)
    assert even[1] == pytest.approx(even[2], abs=11)
    uneven = ends(entries, weights={1: 3})
    assert uneven[1] < even[1] - 20


def test_a_boost_goes_first_until_it_ends():
    work = (sure(waiting=40),)
    entries = [Entry(1, 1, 80, work), Entry(2, 1, 20, work, boosted=35.0)]
    found = ends(entries)
    assert found[1] < found[2]  # the boost ended before it was done
    assert ends([entries[0], replace(entries[1], boosted=1e6)])[2] < found[1]


def test_of_what_is_done_nothing_is_foretold():
    assert ends([Entry(1, 1, 50, (sure(done=4),)), Entry(2, 1, 50, (sure(waiting=4),))]).keys() == {2}


def test_held_work_waits_for_its_release_and_without_an_end_nothing_is_told():
    held = Entry(1, 1, 50, (sure(waiting=4),), held=100.0)
    assert ends([held]) == {1: 110 + SETTLING}
    assert ends([replace(held, held=None), Entry(2, 1, 0, (sure(waiting=4),))]) == {2: 10 + SETTLING}


def test_more_waiting_goes_before_a_higher_rank_when_it_makes_enough_points():
    entries = [Entry(1, 1, 20, (sure(waiting=4, hours=90.0),)), Entry(2, 1, 100, (sure(waiting=4),))]
    assert ends(entries)[1] < ends(entries)[2]
    assert ends(entries, ageing=0.0)[1] > ends(entries, ageing=0.0)[2]


def test_a_doubtful_time_has_a_wide_answer_and_the_same_question_the_same_answer():
    entries = [Entry(1, 1, 50, (Work("gen", 100.0, doubt=0.5, waiting=8),))]
    found = predict(entries, SLOTS, {}, 1.0)[1]
    assert found.end.early < 0.8 * found.end.median and found.end.late > 1.2 * found.end.median
    assert predict(entries, SLOTS, {}, 1.0)[1] == found


def test_a_change_of_rank_delays_only_those_that_it_overtakes():
    first, second, other = (Entry(n, 1 + n // 3, 90 - 10 * n, (sure(waiting=8),)) for n in (1, 2, 3))
    before = predict([first, second, other], SLOTS, {}, 1.0)
    after = predict([first, replace(second, rank=100), other], SLOTS, {}, 1.0)
    moved = delays(before, after, least=1.0)
    assert moved[2] < 0 < moved[1]
    assert 3 not in moved


works = st.builds(
    Work, name=st.just("gen"), seconds=st.floats(1, 1e5), spread=st.floats(0, 1), doubt=st.floats(0, 1),
    waiting=st.integers(0, 3000), idle=st.integers(0, 50), later=st.integers(0, 500), done=st.integers(0, 9),
    running=st.lists(st.floats(0, 1e6), max_size=8).map(tuple), hours=st.floats(0, 1000),
)  # fmt: skip


@given(st.lists(st.tuples(works, st.integers(0, 2), st.integers(0, 100)), max_size=8), st.integers(0, 5000))
def test_every_campaign_with_work_gets_an_answer_in_order_and_no_slot_does_more_than_it_can(found, slots):
    entries = [Entry(n, who, rank, (work,)) for n, (work, who, rank) in enumerate(found)]
    answer = predict(entries, {"local": slots}, {}, 1.0, samples=3)
    assert set(answer) == {n for n, entry in enumerate(entries) if entry.stages[0].left}
    for spans in answer.values():
        assert 0 <= spans.start.early <= spans.start.median <= spans.start.late
        assert spans.end.early <= spans.end.median <= spans.end.late
        assert spans.start.median <= spans.end.median


def test_all_work_takes_as_long_as_the_slots_need_for_it():
    entries = [Entry(n, n % 3, n, (sure(seconds=60.0, waiting=100 + n),)) for n in range(40)]
    for slots in (3, 40, 1000):
        least = sum(60.0 * (100 + n) for n in range(40)) / slots
        assert least <= max(ends(entries, {"local": slots}).values()) <= 1.15 * least + 60 + SETTLING


def test_five_hundred_campaigns_are_foretold_in_a_moment():
    entries = [
        Entry(n, n % 5, n % 100, (
            Work("gen", 3600.0, doubt=0.2, waiting=100 + n), Work("reco", 600.0, later=100 + n, feeds=(("gen", 0.0),)),
            Work("sum", 1000.0, later=1, feeds=(("reco", 1.0),))))
        for n in range(500)
    ]  # fmt: skip
    foretold: list[int] = []
    # About 10 plain loops on a quiet machine.
    assert effort(lambda: foretold.extend(predict(entries, {"local": 800}, {}, 1.0, samples=6))) < FIVE_SECONDS / 2
    assert len(foretold) == 500
