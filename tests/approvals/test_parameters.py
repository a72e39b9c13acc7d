"""Parameters of templates: declared, put in their places, and every complaint with what to do."""

from __future__ import annotations

import string

from hypothesis import given
from hypothesis import strategies as st

from approvals import parameters
from approvals.parameters import Parameter

TEXT = "[campaign]\nname=reco-{{ release }}\nsoftware_version={{release}}\ndataset_or_split_data={{dataset}}\n"


def test_declarations_are_read_with_defaults_and_words():
    found, problems = parameters.declared("release | the tag, as in git\n\ndataset = raw_2026 | what\nempty =\nbare\n")
    assert problems == []
    assert found == [
        Parameter("release", None, "the tag, as in git"), Parameter("dataset", "raw_2026", "what"),
        Parameter("empty", "", ""), Parameter("bare", None, ""),
    ]  # fmt: skip
    assert [one.needed for one in found] == [True, False, False, True]


def test_what_declares_nothing_is_said_with_its_line():
    _, problems = parameters.declared("release\n9lives = 1\nrelease = 2\n")
    assert [(problem.line, problem.field) for problem in problems] == [(2, "parameters"), (3, "parameters")]
    _, problems = parameters.declared("\n".join(f"p{n}" for n in range(41)))
    assert "more than 40" in problems[0].message


def test_places_and_declarations_must_fit():
    problems = parameters.check(TEXT, [Parameter("releese"), Parameter("dataset")])
    assert [(problem.field, problem.message) for problem in problems] == [
        ("definition", "{{release}} is no parameter"), ("parameters", "releese stands nowhere in the definition"),
    ]  # fmt: skip
    assert problems[0].hint == "did you mean releese?"


def test_places_are_filled_with_what_is_given_or_the_default():
    declared = [Parameter("release"), Parameter("dataset", "raw")]
    text, problems = parameters.filled(TEXT, declared, {"release": "v10"})
    assert problems == []
    assert text == "[campaign]\nname=reco-v10\nsoftware_version=v10\ndataset_or_split_data=raw\n"


def test_what_is_missing_unknown_or_of_many_lines_is_refused():
    declared = [Parameter("release", None, "the tag"), Parameter("dataset", "raw")]
    _, problems = parameters.filled(TEXT, declared, {"relaese": "v1", "dataset": "a\nname=b"})
    assert [(problem.field, problem.hint) for problem in problems] == [
        ("relaese", "did you mean release?"), ("release", "the tag"), ("dataset", "one line of at most 2000 characters"),
    ]  # fmt: skip


def test_a_value_is_never_read_as_a_place():
    text, _ = parameters.filled("{{a}} {{b}}", [Parameter("a"), Parameter("b")], {"a": "{{b}}", "b": "1"})
    assert text == "{{b}} 1"


words = st.text(string.ascii_lowercase + string.digits + " _-%", min_size=1, max_size=12).filter(str.strip)


@given(
    st.dictionaries(st.from_regex(r"[a-z]\w{0,8}", fullmatch=True, alphabet=string.ascii_letters), words, max_size=5)
)
def test_what_is_lifted_out_comes_back(values):
    values = {name: value.strip() for name, value in values.items()}
    text = "\n".join(f"k{n}={value}" for n, value in enumerate(values.values()))
    declared = [Parameter(name, value) for name, value in values.items()]
    lifted, problems = parameters.lifted(text, declared)
    if not problems:
        assert parameters.filled(lifted, declared, {})[0] == text
