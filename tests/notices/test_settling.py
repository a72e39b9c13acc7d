"""When an act is over: pure, over every way in which people's acts may interleave."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

from hypothesis import given
from hypothesis import strategies as st

from poms_site.overview.notices import LONGEST_QUIET, act_of, groups, settled

NOW = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
QUIET = timedelta(seconds=5)
LONG = LONGEST_QUIET.total_seconds()


def event(actor: str, ago: float, thing: int = 1) -> SimpleNamespace:
    at = NOW - timedelta(seconds=ago)
    return SimpleNamespace(kind="request", verb="return", actor=actor, experiment_id=1, at=at, thing_id=thing)


def test_an_act_that_is_quiet_is_over_and_one_that_goes_on_is_not():
    assert settled([event("a", 9), event("a", 6)], NOW, QUIET) == 2
    assert settled([event("a", 9), event("a", 4)], NOW, QUIET) == 0
    assert settled([], NOW, QUIET) == 0


def test_an_act_in_front_of_one_that_goes_on_is_told_and_one_around_it_waits():
    assert settled([event("a", 9), event("b", 4)], NOW, QUIET) == 1
    assert settled([event("a", 9), event("b", 4), event("a", 6)], NOW, QUIET) == 0


def test_nobody_waits_for_ever():
    assert settled([event("a", LONG + 1), event("a", 1)], NOW, QUIET) == 2
    assert settled([event("a", LONG + 1), event("b", 1), event("a", 0)], NOW, QUIET) == 1


EVENTS = st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 2 * LONG)), max_size=12)


@given(EVENTS)
def test_no_act_is_cut_unless_it_goes_on_for_too_long(drawn):
    events = [event(actor, ago, n) for n, (actor, ago) in enumerate(sorted(drawn, key=lambda pair: -pair[1]))]
    end = settled(events, NOW, QUIET)
    told, left = events[:end], events[end:]
    long = {act_of(e) for e in events if NOW - e.at >= LONGEST_QUIET}
    assert {act_of(e) for e in told} & {act_of(e) for e in left} <= long
    assert all(NOW - e.at >= QUIET for e in told if act_of(e) not in long)
    if events and NOW - events[0].at >= LONGEST_QUIET:
        assert end > 0, "what has waited long enough is told"
    if all(NOW - e.at >= QUIET for e in events):
        assert end == len(events)
    assert sum(len(group) for group in groups(told)) == len(told)
