"""Nominal times: any cron in any zone, intervals, what a change of the clock does; what becomes of missed times."""

from __future__ import annotations

from bisect import bisect_right
from datetime import UTC, date, datetime, timedelta
from itertools import islice, pairwise
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from campaigns import keepup
from campaigns.keepup import cron, wall
from campaigns.keepup.missed import ALL, CATCH_UP, FAILED, LAST, NONE, SKIPPED

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
# On every continent, with changes of one hour and of half of one, at midnight and at two, and with none.
ZONES = [
    "UTC", "America/Chicago", "America/New_York", "America/Denver", "America/Los_Angeles", "America/St_Johns",
    "America/Halifax", "America/Sao_Paulo", "America/Santiago", "America/Havana", "America/Asuncion", "America/Nuuk",
    "America/Caracas", "America/Mexico_City", "Europe/London", "Europe/Paris", "Europe/Zurich", "Europe/Rome",
    "Europe/Dublin", "Europe/Chisinau", "Europe/Moscow", "Atlantic/Azores", "Africa/Cairo", "Africa/Casablanca",
    "Africa/Lagos", "Asia/Beirut", "Asia/Jerusalem", "Asia/Gaza", "Asia/Tehran", "Asia/Kolkata", "Asia/Kathmandu",
    "Asia/Tokyo", "Asia/Shanghai", "Australia/Sydney", "Australia/Adelaide", "Australia/Lord_Howe",
    "Pacific/Auckland", "Pacific/Chatham", "Pacific/Apia", "Antarctica/Troll",
]  # fmt: skip


def times(text: str, zone: str, after: datetime, n: int) -> list[datetime]:
    return list(islice(keepup.span(text, zone, "", "").after(after), n))


def shown(moments: list[datetime], zone: str) -> list[str]:
    return [at.astimezone(ZoneInfo(zone)).strftime("%d %H:%M%z")[:-2] for at in moments]


# --- Reading ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("*/20 * * * *", "01 00:20 01 00:40 01 01:00"), ("30 2 * * *", "01 02:30 02 02:30 03 02:30"),
        ("0 6 * * mon-fri", "01 06:00 02 06:00 05 06:00"), ("0 0 1 JAN,jul *", "01 00:00 01 00:00 01 00:00"),
        ("0 8-10/2 * * 7", "04 08:00 04 10:00 11 08:00"), ("5/25 0 * * *", "01 00:05 01 00:30 01 00:55"),
        ("0 0 13 * fri", "02 00:00 09 00:00 13 00:00"), ("0 0 * * fri-sun", "02 00:00 03 00:00 04 00:00"),
        ("@hourly", "01 01:00 01 02:00 01 03:00"), ("@weekly", "04 00:00 11 00:00 18 00:00"),
        ("every 5 min", "01 00:05 01 00:10 01 00:15"), ("Every  24 hours", "02 00:00 03 00:00 04 00:00"),
        ("every 7h", "01 07:00 01 14:00 01 21:00"), ("every 5400 s", "01 01:30 01 03:00 01 04:30"),
    ],
)  # fmt: skip
def test_what_a_text_means(text, first):
    after = BEGIN + MINUTE * (0 if "JAN" in text or text[0] in "eE@" else -1)
    found = [at for at in times(text, "UTC", after, 4) if at > BEGIN or text == "0 0 1 JAN,jul *"][:3]
    assert " ".join(at.strftime("%d %H:%M") for at in found) == first


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("* * * *", "five fields"), ("61 * * * *", "the minute 61 is not between 0 and 59"),
        ("* * 31 feb *", "no date is ever"), ("*/0 * * * *", "a step of 0"), ("* 5-3 * * *", "3 < 5"),
        ("* * * foo *", "the month foo"), ("@often", "there is no @often"), ("every 5 days", "in s, min or h, not days"),
        ("every 0 min", "between 5 s"), ("every 4 s", "between 5 s"), ("every now and then", "looks like every 5 min"), ("*-3 * * * *", "cannot be read"),
        ("1,,2 * * * *", "cannot be read: nothing"), ("٣ * * * *", "cannot be read"), ("* " * 150, "at most 200"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_says_why(text, complaint):
    with pytest.raises(ValueError, match=complaint.replace("*", r"\*")):
        keepup.read(text)


def test_only_zones_and_times_that_there_are():
    assert keepup.moment("2026-11-01T08:00") == "2026-11-01 08:00"
    for text in ("2026-11-01", "2026-02-30 08:00", "tomorrow"):
        with pytest.raises(ValueError, match="time"):
            keepup.moment(text)
    for name in ("", "CST6CDT/x", "../../etc/passwd", "Mars/Olympus"):
        with pytest.raises(ValueError, match="time zone"):
            keepup.zone(name)


# --- Changes of the clock ----------------------------------------------------------------------------------------


def test_a_time_that_does_not_exist_is_run_once_at_the_change():
    after = datetime(2026, 3, 28, 12, tzinfo=UTC)
    for text in ("30 2 * * *", "0,30 2 * * *", "*/30 2 * * *"):
        assert shown(times(text, "Europe/Paris", after, 2), "Europe/Paris")[0] == "29 03:00+02", text
        assert shown(times(text, "Europe/Paris", after, 2), "Europe/Paris")[1][:2] == "30", text
    assert shown(times("15 2 * * *", "Australia/Lord_Howe", datetime(2026, 10, 3, 1, tzinfo=UTC), 1), "UTC") == [
        "03 15:30+00"
    ]
    assert shown(times("0 */2 * * *", "Europe/Paris", after + 12 * HOUR, 3), "Europe/Paris") == [
        "29 03:00+02", "29 04:00+02", "29 06:00+02",
    ]  # fmt: skip


def test_a_time_that_comes_twice_is_run_once():
    after = datetime(2026, 10, 24, 12, tzinfo=UTC)
    assert shown(times("30 2 * * *", "Europe/Paris", after, 2), "Europe/Paris") == ["25 02:30+02", "26 02:30+01"]
    between = datetime(2026, 10, 25, 1, 15, tzinfo=UTC)  # 02:15 for the second time
    assert shown(times("30 2 * * *", "Europe/Paris", between, 1), "Europe/Paris") == ["26 02:30+01"]


def test_what_names_no_hour_goes_on_in_every_hour_that_passes():
    for day in (datetime(2026, 3, 28, 20, tzinfo=UTC), datetime(2026, 10, 24, 20, tzinfo=UTC)):
        for text in ("*/5 * * * *", "@hourly", "7 0-23 * * *"):
            found = times(text, "Europe/Paris", day, 12 * 12)
            steps = {later - earlier for earlier, later in pairwise(found)}
            assert steps == {5 * MINUTE if "/" in text else HOUR}


def test_an_interval_goes_by_the_time_that_passes():
    found = times("every 24 h", "Europe/Paris", datetime(2026, 3, 27, tzinfo=UTC), 4)
    assert {later - earlier for earlier, later in pairwise(found)} == {DAY}
    span = keepup.span("every 7 h", "America/Chicago", "2026-03-07 23:00", "2026-03-08 14:00")
    assert shown(list(span.after(BEGIN)), "America/Chicago") == ["07 23:00-06", "08 07:00-05"]


def changes(zone: ZoneInfo, begin: datetime, days: int) -> list[datetime]:
    """Return the moments of a span at which the zone's offset changes, found by walking it."""
    found = []
    for n in range(days):
        one, other = begin + n * DAY, begin + (n + 1) * DAY
        if one.astimezone(zone).utcoffset() != other.astimezone(zone).utcoffset():
            minutes = [one + m * MINUTE for m in range(24 * 60 + 1)]
            found += [
                b for a, b in pairwise(minutes) if a.astimezone(zone).utcoffset() != b.astimezone(zone).utcoffset()
            ]
    return found


@pytest.mark.parametrize("zone", ZONES)
def test_in_a_year_each_named_time_of_the_wall_comes_once(zone):
    """A year: no time twice, none left out, and what a change skips at the change (T9)."""
    place = ZoneInfo(zone)
    named = {(hour, minute) for hour in (0, 1, 2, 3, 23) for minute in (0, 20, 40)}
    end = BEGIN + 365 * DAY
    found = [at for at in times("*/20 0-3,23 * * *", zone, BEGIN, 365 * 15 + 15) if at <= end]
    assert all(earlier < later for earlier, later in pairwise(found))
    turns = changes(place, BEGIN, 365)
    walls = [wall.shown(at, place) for at in found]
    at_change = {wall.shown(at, place) for at in found if at in turns}
    assert len(set(walls)) == len(walls)
    assert all((at.hour, at.minute) in named or at in at_change for at in walls)
    first, last = wall.shown(BEGIN, place), wall.shown(end, place)
    wanted = {
        datetime.fromisoformat("2026-01-01") + n * DAY + timedelta(hours=hour, minutes=minute)
        for n in range(-1, 367)
        for hour, minute in named
    }
    missing = {at for at in wanted if first < at <= last} - set(walls)
    assert all(wall.moment_of(at, place) in turns and wall.moment_of(at, place) in found for at in missing)
    assert len(missing) <= 3 * len(turns)


@pytest.mark.parametrize("zone", ["America/Chicago", "Australia/Lord_Howe", "Africa/Casablanca"])
def test_in_a_year_every_minute_that_passes_is_in_one_window(zone):
    """What names no hour: a tick each half hour, or at a change of half an hour within one, and as many as passed."""
    found = times("*/30 * * * *", zone, BEGIN, 365 * 48)
    assert {later - earlier for earlier, later in pairwise(found)} == {30 * MINUTE}
    assert found[-1] - found[0] == (365 * 48 - 1) * 30 * MINUTE


FIELDS = [
    st.one_of(st.just("*"), st.integers(1, most).map(lambda n: f"*/{n}"), st.integers(least, most).map(str),
              st.tuples(st.integers(least, most), st.integers(least, most)).map(lambda ends: f"{min(ends)}-{max(ends)}"),
              st.lists(st.integers(least, most), min_size=1, max_size=3).map(lambda many: ",".join(map(str, many))))
    for _, least, most, _ in cron.FIELDS
]  # fmt: skip
ANY_CRON = st.tuples(*FIELDS).map(" ".join)
ANY_ZONE = st.sampled_from(sorted(name for name in available_timezones() if "/" in name))
ANY_TIME = st.integers(0, 20 * 366 * 24 * 60).map(lambda minutes: datetime(2020, 1, 1, tzinfo=UTC) + minutes * MINUTE)


@given(text=ANY_CRON, zone=ANY_ZONE, after=ANY_TIME)
@settings(max_examples=200)
def test_any_cron_in_any_zone_grows_and_is_the_same_wherever_one_asks(text, zone, after):
    try:
        span = keepup.span(text, zone, "", "")
    except ValueError as error:
        assert "no date is ever" in str(error)
        return
    found = list(islice(span.after(after), 12))
    assert all(earlier < later for earlier, later in pairwise([after, *found]))
    assert all(at.second == at.microsecond == 0 for at in found)
    for n in (0, 5, 10):
        assert span.next(found[n]) == found[n + 1]
        assert span.next(found[n + 1] - timedelta(microseconds=1)) == found[n + 1]


@given(text=ANY_CRON, zone=st.sampled_from(ZONES), pick=st.integers(0, 9))
@settings(max_examples=60)
def test_around_a_change_it_does_what_a_watcher_of_the_wall_would(text, zone, pick):
    """Somebody who looks at the clock each minute: runs what it names when it first shows it, or has leapt over it."""
    place = ZoneInfo(zone)
    turns = changes(place, datetime(2026, 1, 1, tzinfo=UTC), 365) or [BEGIN + 99 * DAY]
    text = " ".join([*text.split()[:2], "*", "*", "*"])
    rule = cron.parse(text)
    begin = turns[pick % len(turns)] - 8 * HOUR
    expected, done = [], set()
    before = wall.shown(begin, place)
    for n in range(1, 20 * 60):
        at = begin + n * MINUTE
        clock = wall.shown(at, place)
        leapt = [before + m * MINUTE for m in range(1, max(1, (clock - before) // MINUTE))] if not rule.hourly else []
        seen = [one for one in (*leapt, clock) if one.minute in rule.minutes and one.hour in rule.hours]
        if any(one not in done or rule.hourly for one in seen):
            expected.append(at)
        # What is shown again after the clock was put back has been run before, even before we looked.
        done |= set(seen) | ({clock} if wall.moment_of(clock, place) < at else set())
        before = clock
    expected = [
        at for at in expected if rule.hourly or wall.moment_of(wall.shown(at, place), place) == at or at in turns
    ]
    found = [at for at in times(text, zone, begin, 20 * 60) if at < begin + 20 * HOUR]
    assert found == expected


# --- Missed times ------------------------------------------------------------------------------------------------

FIVE = [BEGIN + n * 5 * MINUTE for n in range(6)]


def judged(due, **given):
    found = keepup.judge(due, now=given.pop("now", due[-1] + timedelta(seconds=3)), **given)
    return [(FIVE.index(one.at), one.outcome) for one in found.passed], found.run and FIVE.index(found.run)


def test_of_missed_times_the_last_is_run():
    assert judged(FIVE, catch_up=LAST) == ([(n, SKIPPED) for n in range(5)], 5)
    assert judged(FIVE, catch_up=LAST, more=True) == ([(n, SKIPPED) for n in range(6)], None)


def test_all_missed_times_are_run_up_to_a_cap():
    assert judged(FIVE, catch_up=ALL, cap=4) == ([(0, SKIPPED), (1, SKIPPED)], 2)
    assert judged(FIVE, catch_up=ALL, cap=9) == ([], 0)


def test_without_catching_up_only_what_is_hardly_late_is_run():
    assert judged(FIVE, catch_up=NONE) == ([(n, SKIPPED) for n in range(5)], 5)
    assert judged(FIVE[:1], catch_up=NONE, now=FIVE[0] + HOUR) == ([(0, SKIPPED)], None)
    assert judged(FIVE[:1], catch_up=NONE, now=FIVE[0] + HOUR, tries=2, why="the catalogue is down") == ([], 0)


def test_what_was_begun_is_tried_until_the_next_time_comes():
    assert judged(FIVE[:1], catch_up=LAST, tries=3, why="down") == ([], 0)
    assert judged(FIVE[:2], catch_up=LAST, tries=3, why="down") == ([(0, FAILED)], 1)
    assert judged(FIVE[:2], catch_up=ALL, cap=9, why="waits") == ([(0, SKIPPED)], 1)
    assert (
        keepup.judge(FIVE[:2], now=FIVE[1], catch_up=LAST, tries=1, why="down").passed[0].reason
        == "down, until the next time came"
    )


@given(
    count=st.integers(1, 40), late=st.integers(0, 300), catch_up=st.sampled_from(CATCH_UP), cap=st.integers(1, 50),
    more=st.booleans(), tries=st.integers(0, 2), waits=st.booleans(),
)  # fmt: skip
def test_whatever_was_missed_each_time_has_one_outcome_or_is_next(count, late, catch_up, cap, more, tries, waits):
    due = [BEGIN + n * MINUTE for n in range(count)]
    now = due[-1] + late * MINUTE
    found = keepup.judge(
        due, now=now, catch_up=catch_up, cap=cap, more=more, tries=tries, why="why" if tries or waits else ""
    )
    passed = [one.at for one in found.passed]
    assert passed == due[: len(passed)]
    assert found.run == (due[len(passed)] if len(passed) < count else None)
    assert all(one.outcome in keepup.OUTCOMES and one.reason for one in found.passed)
    if found.run is None:
        assert more or catch_up == NONE


# --- The objective ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["95% within 24 h", "99.5 %  within 2h", "100% within 100 h"])
def test_an_objective_is_read(text):
    found = keepup.read_objective(text)
    assert keepup.read_objective(str(found)) == found


@pytest.mark.parametrize("text", ["", "95 within 24 h", "0% within 24 h", "101% within 2 h", "95% within 0 h", "soon"])
def test_what_is_no_objective_says_so(text):
    with pytest.raises(ValueError, match="objective"):
        keepup.read_objective(text)


def test_an_objective_is_at_risk_before_it_is_missed():
    """A hundred inputs at once, none done: met while they are young, at risk from 18 hours on, missed after 24."""
    objective = keepup.read_objective("95% within 24 h")
    facts = [(BEGIN, None)] * 10 + [(BEGIN, BEGIN + HOUR)] * 90
    words = [(hours, keepup.standing(facts, objective, BEGIN + hours * HOUR).word(objective)) for hours in range(1, 30)]
    assert [words[bisect_right([h for h, _ in words], hours) - 1][1] for hours in (1, 17, 19, 24, 25)] == [
        "met", "met", "at_risk", "at_risk", "missed",
    ]  # fmt: skip
    in_the_end = keepup.standing(facts[:4] + facts[10:], objective, BEGIN + 30 * HOUR)
    assert (in_the_end.word(objective), in_the_end.late, in_the_end.backlog) == ("met", 4, 0)
    assert in_the_end.share == pytest.approx(100 * 90 / 94)
    assert keepup.standing([], objective, BEGIN).word(objective) == "met"
    assert keepup.standing([], objective, BEGIN).share is None


def test_what_arrived_long_ago_does_not_count_any_more():
    objective = keepup.read_objective("95% within 24 h")
    assert keepup.standing([(BEGIN, None)], objective, BEGIN + 7 * DAY).late == 1
    assert keepup.standing([(BEGIN, None)], objective, BEGIN + 9 * DAY) == keepup.Standing()


def test_a_year_is_quick():
    assert date(2026, 12, 31) in {at.date() for at in times("*/30 * * * *", "Europe/Rome", BEGIN, 365 * 48)}
