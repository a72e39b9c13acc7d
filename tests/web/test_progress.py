"""How far and until when, as arithmetic: forecast, expected inputs, percent and the words for jobs' states. Pure."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poms_site.overview.counting import _JOB_MEANING, NAMES
from poms_site.overview.forecast import FEWEST, expected_units, forecast
from poms_site.overview.progress import percent
from submissions.states import JOB_STATES

AT = datetime(2026, 1, 1, tzinfo=UTC)
ages = st.lists(st.integers(1, 10**4), min_size=FEWEST, max_size=40)


def at(seconds, inputs=1):
    return [(AT - timedelta(seconds=ago), inputs) for ago in seconds]


# --- Forecast ---------------------------------------------------------------------------------------------------


def test_a_steady_rate_goes_on():
    found = forecast(at([10, 20, 30, 40]), 8, AT)
    assert found.end == AT + timedelta(seconds=80)
    assert round(found.spread.total_seconds(), 2) == round(80 * (1 / 4 + 1 / 8) ** 0.5, 2)


def test_nothing_is_said_of_too_little():
    assert forecast(at([10, 20]), 8, AT) is None
    assert forecast([], 8, AT) is None
    assert forecast(at([10, 20, 30]), 0, AT) is None
    assert forecast(at([10, 20, 30]), -1, AT) is None
    assert forecast(at([0, 0, 0]), 5, AT) is None


def test_results_count_by_their_inputs():
    found = forecast(at([10, 20, 30, 40], inputs=5), 40, AT)
    assert found.end == AT + timedelta(seconds=80)
    assert round(found.spread.total_seconds(), 2) == round(80 * (1 / 4 + 5 / 40) ** 0.5, 2)
    assert forecast(at([10, 20, 30], inputs=0), 40, AT) is None


def test_uneven_results_are_less_sure():
    even, uneven = (
        forecast([(then, k) for (then, _), k in zip(at([10, 20, 30, 40]), inputs, strict=True)], 40, AT)
        for inputs in ((5, 5, 5, 5), (1, 1, 1, 17))
    )
    assert even.end == uneven.end
    assert round(uneven.spread / even.spread, 6) == round(((3 + 17**2) / 4 / 25) ** 0.5, 6)


def test_an_end_lies_within_its_spread_and_not_in_the_past():
    found = forecast(at([1, 10, 100]), 1, AT)
    assert AT == found.earliest < found.end < found.latest == found.end + found.spread


@pytest.mark.parametrize(("sizes", "remaining"), [((1,), 100), ((10,), 200), ((1, 2, 3, 30), 400)])
def test_the_end_of_a_stage_with_a_known_rate_is_met_without_bias_and_as_often_as_its_spread_says(sizes, remaining):
    """Batches are settled at random, one in 60 s, with so many inputs each; look back on 25 of them, and then on."""
    chance, met, ratios = random.Random(42), 0, []
    for _ in range(1500):
        then, came = 0.0, []
        for _ in range(25):
            then += chance.expovariate(1 / 60)
            came.append((AT - timedelta(seconds=then), chance.choice(sizes)))
        found = forecast(came, remaining, AT)
        seconds, left = 0.0, remaining
        while left > 0:
            seconds += chance.expovariate(1 / 60)
            left -= chance.choice(sizes)
        told = (found.end - AT).total_seconds()
        ratios.append(told / seconds)
        met += abs(told - seconds) <= found.spread.total_seconds()
    ratios.sort()
    assert 0.8 < ratios[len(ratios) // 2] < 1.2
    assert 0.58 < met / len(ratios) < 0.78  # a normal distribution has 0.68 within one standard deviation


def test_an_end_that_no_date_can_be_is_not_said():
    assert forecast(at([1, 1, 10**7]), 10**9, AT) is None
    assert forecast(at([1, 1, 10**6]), 10**9, AT) is None


@given(ages, st.integers(1, 10**4))
def test_an_expected_end_is_never_before_now(seconds, remaining):
    found = forecast(at(seconds), remaining, AT)
    assert found.end > AT
    assert found.spread > timedelta()


@given(ages, st.integers(1, 10**4), st.integers(1, 10**4))
def test_more_work_takes_longer(seconds, remaining, more):
    assert forecast(at(seconds), remaining + more, AT).end > forecast(at(seconds), remaining, AT).end


@given(ages, st.integers(1, 10**4), st.integers(2, 50))
def test_a_higher_rate_ends_sooner(seconds, remaining, factor):
    slower = [ago * factor for ago in seconds]
    assert forecast(at(slower), remaining, AT).end > forecast(at(seconds), remaining, AT).end


@given(ages, st.integers(1, 10**4))
def test_more_results_make_it_surer(seconds, remaining):
    once, twice = forecast(at(seconds), remaining, AT), forecast(at(seconds * 2), remaining, AT)

    def share(found):
        return found.spread / (found.end - AT)

    assert share(twice) <= share(once) + 1e-6


# --- Expected inputs ---------------------------------------------------------------------------------------------


def test_a_parent_that_gave_nothing_yet_will_give_one_file_for_an_input():
    assert expected_units({"gen": 10, "sum": 0}, [("gen", "sum", 0)], {}) == {"gen": 10, "sum": 10}


def test_a_parent_goes_on_to_give_as_it_gave():
    assert expected_units({"gen": 10, "sum": 8}, [("gen", "sum", 8)], {"gen": 4}) == {"gen": 10, "sum": 20}


def test_parents_come_first_and_pass_their_own_expectation_on():
    units = {"a": 4, "b": 0, "c": 0}
    assert expected_units(units, [("a", "b", 0), ("b", "c", 0)], {}) == {"a": 4, "b": 4, "c": 4}
    assert expected_units(units, [("a", "b", 4), ("b", "c", 0)], {"a": 2}) == {"a": 4, "b": 8, "c": 8}


def test_several_parents_add_up_and_a_loop_to_itself_does_not():
    units = {"a": 3, "b": 5, "c": 2}
    assert expected_units(units, [("a", "c", 0), ("b", "c", 0), ("c", "c", 7)], {}) == {"a": 3, "b": 5, "c": 8}


def test_a_parent_that_is_not_looked_at_adds_nothing():
    assert expected_units({"sum": 3}, [("gen", "sum", 3)], {"sum": 1}) == {"sum": 3}


def test_what_has_ended_gets_and_gives_no_more():
    feeds = [("a", "b", 4), ("b", "c", 2)]
    units, done = {"a": 10, "b": 4, "c": 2}, {"a": 9, "b": 2}
    assert expected_units(units, feeds, done, ["a"]) == {"a": 10, "b": 4, "c": 4}
    assert expected_units(units, feeds, done, ["a", "b"]) == {"a": 10, "b": 4, "c": 2}
    assert expected_units(units, feeds, done, ["c"])["c"] == 2


@given(st.lists(st.tuples(st.integers(0, 1000), st.integers(0, 1000), st.integers(0, 3000)), min_size=1, max_size=6))
def test_no_stage_is_expected_to_have_less_than_it_has(chain):
    units = {f"s{n}": have for n, (have, _, _) in enumerate(chain)}
    done = {f"s{n}": min(have, ended) for n, (have, ended, _) in enumerate(chain)}
    feeds = [(f"s{n}", f"s{n + 1}", passed) for n, (_, _, passed) in enumerate(chain[:-1])]
    expected = expected_units(units, feeds, done)
    assert list(expected) == list(units)
    assert all(expected[name] >= units[name] >= 0 for name in units)


# --- Percent and words ---------------------------------------------------------------------------------------------


def test_percent_has_a_digit_and_is_never_100_too_early():
    assert [percent({"units": 3, "done": n}) for n in range(4)] == ["0", "33.3", "66.6", "100"]
    assert percent({"units": 10**6, "done": 10**6 - 1}) == "99.9"
    assert percent({"units": 0, "done": 0}) == percent({}) == "0"


@given(st.integers(1, 10**9), st.integers(0, 10**9))
def test_percent_is_100_for_all_and_only_for_all(units, done):
    done = min(units, done)
    assert (percent({"units": units, "done": done}) == "100") == (done == units)
    assert 0 <= float(percent({"units": units, "done": done})) <= 100


def test_every_state_of_a_job_counts_as_something():
    assert set(_JOB_MEANING) == set(JOB_STATES)
    assert set(_JOB_MEANING.values()) <= set(NAMES)
