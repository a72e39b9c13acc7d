"""What a definition leaves to the request is filled in, line by line."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from approvals.composing import Wishes, composed, leaves_open, list_name, listed, named, requirements
from campaigns import definition

OPEN = (
    "[campaign]\nexperiment=demo\nname=requested\n[campaign_stage gen]\nstage_type=generator\nevents=requested\n"
    "software_version=requested\n  memory_mb =  requested  \n[campaign_stage reco]\ndataset_or_split_data=requested\n"
)


def test_every_wish_goes_where_it_is_wanted():
    text, lacking = composed(OPEN, Wishes("Z to μμ, run 7!", "raw7", "v2", 1500, 10_000))
    assert lacking == []
    assert text.splitlines() == [
        "[campaign]", "experiment=demo", "name=z-to-run-7", "[campaign_stage gen]", "stage_type=generator", "events=10000",
        "software_version=v2", "  memory_mb =  1500", "[campaign_stage reco]", "dataset_or_split_data=raw7",
    ]  # fmt: skip


def test_what_the_request_does_not_say_is_a_problem_at_its_line():
    text, lacking = composed(OPEN, Wishes("a title"))
    assert [(p.field, p.line) for p in lacking] == [("events", 6), ("release", 7), ("memory_mb", 8), ("dataset", 10)]
    assert "events=requested" in text
    assert leaves_open(OPEN) == ["title", "events", "release", "memory_mb", "dataset"]


@given(st.text())
def test_a_text_without_the_word_stays_as_it_is(text):
    if "requested" not in text:
        assert composed(text, Wishes("x", "y", "z", 1, 1)) == (text, [])


@given(st.text())
def test_a_title_gives_a_name_that_the_form_can_hold(title):
    name = named(title)
    assert len(name) <= 60
    parsed = definition.parse(f"[campaign]\nexperiment=demo\nname={name or 'x'}\n[campaign_stage a]\n")
    assert parsed.definition.name == (name or "x")


def test_a_list_is_the_same_dataset_in_any_order():
    names = listed("b\n\n a \nb\n")
    assert names == ["b", "a"]
    assert list_name("demo", names) == list_name("demo", ["a", "b"])
    assert list_name("demo", names) != list_name("demo", ["a"])


@pytest.mark.parametrize(("text", "wanted"), [("", []), ("\n \n", []), (" a \nb\na", ["a", "b"])])
def test_each_line_is_a_requirement(text, wanted):
    assert requirements(text) == wanted
