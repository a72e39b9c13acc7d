"""How states, numbers, times and sizes are written."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from approvals.states import REQUEST
from campaigns.states import CAMPAIGN, REVISION
from poms_site.overview import words
from submissions.states import BATCH, COMMAND, JOB, SUBMISSION

TABLES = (REQUEST, CAMPAIGN, REVISION, BATCH, SUBMISSION, JOB, COMMAND)

# The table of the interface page, as it stands there.
INTERFACE = {
    "waiting": "draft new pending idle",
    "needs a person": "pending_approval returned unsure held",
    "moving": "launching submitted running staging_in processing staging_out project_running",
    "done": "jobs_completed completed succeeded approved",
    "failed": "failed launch_failed lost rejected",
    "ended by someone": "cancelled removed withdrawn superseded",
}


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.kind)
def test_every_state_has_a_look(table):
    assert set(table.states) <= set(words.LOOKS)


@pytest.mark.parametrize(("meaning", "states"), INTERFACE.items())
def test_states_look_as_the_interface_says(meaning, states):
    assert {words.look(state).meaning for state in states.split()} == {meaning}


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (999, "999"), (7140, "7\u202f140"), (1234567, "1\u202f234\u202f567"), (1234.5, "1\u202f234.5")],
)
def test_thousands_are_parted_by_narrow_spaces(value, text):
    assert words.number(value) == text


@pytest.mark.parametrize(
    ("value", "noun", "text"), [(1, "job", "1 job"), (0, "job", "0 jobs"), (3, "batch", "3 batches")]
)
def test_nouns_follow_their_number(value, noun, text):
    assert words.count(value, noun) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (0.42, "0.4 s"), (59.9, "59 s"), (60, "1 min"), (154, "2 min 34 s"), (7500, "2 h 5 min"),
     (273_600, "3 d 4 h")],
)  # fmt: skip
def test_durations_have_at_most_two_units(seconds, text):
    assert words.duration(seconds) == text


def test_moments_are_in_utc_whatever_their_zone():
    cest = timezone(timedelta(hours=2))
    assert words.moment(datetime(2026, 7, 1, 1, 30, tzinfo=cest)) == "2026-06-30 23:30:00 UTC"
    assert words.moment(datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)) == "2026-01-02 03:04:05 UTC"


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [(91.18630972870511, 0.03250022792764895, "91.186 ± 0.033 GeV"), (91.2, 1.5, "91.2 ± 1.5 GeV"),
     (5000.0, 120.0, "5000 ± 120 GeV"), (91.2, None, "91.2 GeV"), (91.2, 0.0, "91.2 GeV")],
)  # fmt: skip
def test_an_error_is_given_to_two_digits_and_the_value_to_as_many_places(value, error, text):
    assert words.measured(value, error, "GeV") == text


def test_memory_is_in_megabytes_until_it_is_large():
    assert [words.memory(mb) for mb in (301.7, 4000, 16_000)] == ["302 MB", "4\u202f000 MB", "16 GB"]


def test_what_hides_or_turns_text_is_made_visible():
    assert words.printable("a\x1b[31mb\u202ec\u2066d\ud800e\tf\n") == "a\ufffd[31mb\ufffdc\ufffdd\ufffde\tf\n"
    assert words.printable(words.number(1000)) == "1\u202f000"


def test_long_text_is_cut_with_an_ellipsis():
    assert words.shortened("x" * 30, 10) == "x" * 9 + "…"
    assert words.shortened("short", 10) == "short"


def test_signals_have_names_where_there_are_any():
    assert (words.signal_name(11), words.signal_name(1234)) == ("SIGSEGV", "signal 1234")
