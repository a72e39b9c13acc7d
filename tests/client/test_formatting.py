"""How values look to people and to pipes, and that no text can take over a terminal."""

from __future__ import annotations

import datetime

import pytest
from poms_client import formatting, refs, states, watching
from poms_client.errors import UsedWrongly


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain\ttext\n", "plain\ttext\n"),
        ("\x1b[2J", "\\x1b[2J"),
        ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
        ("\x9b31m", "\\x9b31m"),
        ("a\r\nb\rc\x00\x7f\x08", "a\nb\\x0dc\\x00\\x7f\\x08"),
        ("\u202eevil", "\\u202eevil"),
        ("\ud800", "\\ud800"),
        ("Zürich ✔ 東京", "Zürich ✔ 東京"),
    ],
)
def test_control_characters_are_shown_not_obeyed(text, shown):
    assert formatting.visible(text) == shown


def test_a_field_stays_in_its_line_and_column():
    assert formatting.plain("title", "a\tb\nc") == "a b\\nc"


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "0 s"),
        (0.44, "0.4 s"),
        (59.9, "59 s"),
        (60, "1 min"),
        (245, "4 min 5 s"),
        (7500, "2 h 5 min"),
        (86400, "1 d"),
        (273600, "3 d 4 h"),
    ],
)
def test_durations_have_at_most_two_units(seconds, shown):
    assert formatting.duration(seconds) == shown


def test_times_are_relative_for_people_and_exact_for_pipes():
    then = (formatting.now() - datetime.timedelta(minutes=5, seconds=0.5)).isoformat().replace("+00:00", "Z")
    assert formatting.pretty("started", then) == "5 min ago"
    assert formatting.plain("started", then) == then
    later = (formatting.now() + datetime.timedelta(hours=2, seconds=0.5)).isoformat()
    assert formatting.pretty("expires", later) == "in 2 h"


@pytest.mark.parametrize(
    ("key", "value", "pretty", "plain"),
    [
        ("memory_mb", 1512, "1\u202f512 MB", "1512"),
        ("size", 1_234_567, "1.2 MB", "1234567"),
        ("wall_s", 3723, "1 h 2 min", "3723"),
        ("units", 10_000, "10\u202f000", "10000"),
        ("complete", False, "no", "no"),
        ("jobs", {"idle": 3, "failed": 0}, "3 idle", "idle=3 failed=0"),
        (
            "progress",
            {"units": 20, "done": 14, "failed": 1},
            "14 of 20 units done · 1 failed",
            "14/20",
        ),
        ("exit_code", 0, "0", "0"),
        ("ended", None, "", ""),
    ],
)
def test_numbers_have_units_for_people_and_none_for_pipes(key, value, pretty, plain):
    assert formatting.pretty(key, value) == pretty
    assert formatting.plain(key, value) == plain


def test_every_state_looks_as_the_interface_says():
    table = {
        ("○", "bright_black"): "draft new pending idle",
        ("☛", "yellow"): "pending_approval returned unsure held",
        ("◐", "blue"): "launching submitted running staging_in processing staging_out project_running",
        ("✔", "green"): "jobs_completed completed succeeded approved",
        ("✗", "red"): "failed launch_failed lost rejected",
        ("▬", "magenta"): "cancelled removed withdrawn superseded",
    }
    for (mark, colour), known in table.items():
        for state in known.split():
            assert (states.look(state).mark, states.look(state).colour) == (mark, colour), state


def test_a_bar_shows_even_one_failure_and_is_never_longer_than_its_place():
    for counts in (
        {"done": 0, "running": 0, "failed": 1, "waiting": 99_999},
        {"done": 33, "running": 33, "failed": 33, "waiting": 1},
        {"done": 1, "running": 0, "failed": 0, "waiting": 0},
    ):
        cells = watching.widths(counts, 20)
        assert sum(cells.values()) == 20
        assert all((cells[word] > 0) == (count > 0) for word, count in counts.items())


def test_an_experiment_completes_a_reference():
    assert refs.CAMPAIGN.full("c1", "demo") == "demo/c1"
    assert refs.CAMPAIGN.full("nova/c1", "demo") == "nova/c1"
    assert refs.STAGE.full("c1/gen", "demo") == "demo/c1/gen"


@pytest.mark.parametrize(
    ("noun", "ref"),
    [
        (refs.CAMPAIGN, "c1"),
        (refs.CAMPAIGN, "demo/c1/gen"),
        (refs.STAGE, "demo/c1"),
        (refs.CAMPAIGN, "demo/r1"),
    ],
)
def test_a_reference_of_another_kind_is_refused_before_anything_is_sent(noun, ref):
    with pytest.raises(UsedWrongly):
        noun.full(ref)
