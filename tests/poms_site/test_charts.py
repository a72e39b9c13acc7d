"""The geometry of charts over time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from poms_site.overview import charts
from poms_site.overview.charts import Window

BEGIN = datetime(2026, 11, 22, 0, 50, 19, tzinfo=UTC)


def window(seconds: float) -> Window:
    return Window(BEGIN, BEGIN + timedelta(seconds=seconds))


@given(st.floats(0.1, 3e8), st.integers(2, 12))
def test_ticks_are_few_inside_and_in_order(seconds, most):
    ticks = charts.time_ticks(window(seconds), most)
    assert len(ticks) <= most
    assert all(0 <= tick.at <= 100 for tick in ticks)
    assert [tick.at for tick in ticks] == sorted(tick.at for tick in ticks)


def test_ticks_stand_at_round_times():
    assert [tick.text for tick in charts.time_ticks(window(155))] == [
        "00:50:30", "00:51:00", "00:51:30", "00:52:00", "00:52:30",
    ]  # fmt: skip
    assert [tick.text for tick in charts.time_ticks(window(4 * 3600), 4)] == ["02:00", "04:00"]
    assert charts.time_ticks(window(3 * 86400))[0].text == "11-22 12:00"
    assert charts.time_ticks(window(5 * 86400))[0].text == "2026-11-23"


@given(st.integers(0, 10**7))
def test_counts_on_the_axis_are_round_and_few(top):
    ticks = charts.count_ticks(top)
    assert 1 <= len(ticks) <= 5
    assert ticks[0] == (100.0, 0)
    assert all(level <= top and 0 <= at <= 100 for at, level in ticks)


def test_a_moment_outside_the_window_is_kept_at_its_edge():
    shown = window(100)
    assert shown.share(BEGIN - timedelta(seconds=5)) == 0
    assert shown.share(BEGIN + timedelta(seconds=25)) == 25
    assert shown.share(BEGIN + timedelta(days=1)) == 100


def test_a_report_that_came_late_leaves_no_negative_number_of_jobs():
    assert charts.levels([-1, 2, -1, 1]) == [0, 1, 0, 1]


def test_areas_are_stacked_on_one_another():
    assert charts.stacked([[1, 1], [0, 1]], 2) == [
        "M0,500 L2,500 L2,1000 L0,1000Z",
        "M0,500 L1,500 L1,0 L2,0 L2,500 L0,500Z",
    ]


def test_a_group_without_jobs_has_no_area():
    assert charts.stacked([[0, 0], [1, 1]], 1) == ["", "M0,0 L2,0 L2,1000 L0,1000Z"]


def test_pieces_of_a_progress_bar_fill_it():
    pieces = charts.shares({"done": 5, "running": 0, "failed": 1, "waiting": 2})
    assert [(p.mark, p.at, p.width) for p in pieces] == [("done", 0, 62.5), ("failed", 62.5, 12.5), ("wait", 75, 25)]
    assert charts.shares({"done": 0, "running": 0, "failed": 0, "waiting": 0}) == []


def test_buckets_are_no_shorter_than_a_tenth_of_a_second():
    assert charts.buckets(window(3.2), 240) == (32, timedelta(seconds=0.1))
    assert charts.buckets(window(2400), 240) == (240, timedelta(seconds=10))
