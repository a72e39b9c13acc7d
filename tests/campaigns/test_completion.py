"""When a stage is complete: each criterion, and all of them together (T5)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaigns.completion import Criterion, Facts, is_met, judge, read


@given(st.integers(0, 1000), st.integers(0, 1000), st.integers(1, 100))
def test_a_share_is_of_what_was_given(done, inputs, percent):
    assert is_met(done, inputs, percent) == (inputs == 0 or (done > 0 and done / inputs * 100 >= percent))


@pytest.mark.parametrize(
    ("text", "facts", "met"),
    [
        ("tape", Facts(4, 4, outputs=4, on_tape=4), True),
        ("tape", Facts(4, 4, outputs=4, on_tape=3), None),
        ("tape", Facts(4, 4, outputs=4, on_tape=None), None),
        ("tape(75%)", Facts(4, 4, outputs=4, on_tape=3), True),
        ("as_many", Facts(4, 4, outputs=3), False),
        ("as_many", Facts(4, 4, outputs=5), True),
        ("events(100)", Facts(4, 4, events=99), False),
        ("events(100)", Facts(4, 4, events=100), True),
        ("files(3)", Facts(4, 4, outputs=2), False),
        ("check(./look.sh --all)", Facts(4, 4, checks=(("./look.sh --all", True),)), True),
        ("check(./look.sh)", Facts(4, 4, checks=(("./look.sh", False),)), False),
        ("check(./look.sh)", Facts(4, 4), None),
        ("signoff", Facts(4, 4), None),
        ("signoff", Facts(4, 4, signed=True), True),
        ("signoff", Facts(4, 4, signed=False), False),
        ("as_many, signoff", Facts(4, 4, outputs=1), False),
        ("as_many, signoff", Facts(4, 4, outputs=4), None),
        ("", Facts(4, 0), True),
    ],
)
def test_what_each_criterion_says(text, facts, met):
    assert judge(read(text), facts).met is met


def test_a_failure_decides_before_what_is_waited_for_is_named():
    verdict = judge(read("signoff, as_many"), Facts(4, 4, outputs=1))
    assert verdict.text == "1 outputs of 4 inputs"


@pytest.mark.parametrize(
    "text", ["located", "events", "events(0)", "events(x)", "tape(120%)", "check", "signoff(me)", "a b"]
)
def test_a_criterion_that_cannot_be_is_refused_with_what_would_do(text):
    with pytest.raises(ValueError, match=r"criterion|needs|takes"):
        read(text)


CRITERIA = st.one_of(
    st.sampled_from(
        [Criterion("tape"), Criterion("as_many"), Criterion("signoff"), Criterion("check", "x.sh a(b, c)")]
    ),
    st.integers(1, 10**9).map(lambda n: Criterion("events", str(n))),
    st.integers(1, 99).map(lambda n: Criterion("tape", f"{n}%")),
)


@given(st.lists(CRITERIA, unique=True, max_size=5))
def test_criteria_read_back_as_they_are_written(criteria):
    assert read(", ".join(map(str, criteria))) == tuple(criteria)
