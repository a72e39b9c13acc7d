"""The dimension language as text: what it reads, what it writes, and what it refuses, quickly."""

from __future__ import annotations

import contextlib
import string
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from integrations.catalogue.dimensions import (
    And,
    Combined,
    Constraint,
    Defined,
    DimensionError,
    Not,
    Or,
    Range,
    Related,
    Selected,
    names,
    parse,
    write,
)
from integrations.catalogue.dimensions.reading import Run, moment, run
from tests.effort import FIVE_SECONDS, effort
from tests.integrations.asking import constraints, far_trees, trees

PLAIN = string.ascii_letters + string.digits + "_.%?+-"
ANY_VALUE = (
    st.text(PLAIN, min_size=1, max_size=12)
    | st.text(PLAIN + " '():,=<>!/", max_size=12)
    | st.text(PLAIN + ' "\t', max_size=8)
    | st.from_regex(r"-?[0-9]{1,4}(\.[0-9]{1,3})?(-[0-9]{1,3})?", fullmatch=True)
    | st.sampled_from(
        ["and", "OR", "minus", "with", "2026-01-31", "01-Feb-2026", "2026-01-31T10:00:00-0500", "-", "5-"]
    )
)
NAME = st.sampled_from(["file_name", "run_number", "Dataset.Tag", "a+b-c.d", "limit", "availability", "defname"])


def c(name: str, *values: str, op: str = "=") -> Constraint:
    return Constraint(name, op, values)


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("file_name a.root", c("file_name", "a.root")),
        ("file_name = 'a b'", c("file_name", "a b")),
        ("FILE_NAME LIKE %.root", c("FILE_NAME", "%.root", op="like")),
        ("data_tier not in (raw, reco)", c("data_tier", "raw", "reco", op="not in")),
        ("data_tier (raw,reco)", c("data_tier", "raw", "reco")),
        ("run_number 10-20", c("run_number", Range("10", "20"))),
        ("run_number 10 - 20, 31", c("run_number", Range("10", "20"), "31")),
        ("run_number 10- 20", c("run_number", Range("10", "20"))),
        ("run_number 10 -20", c("run_number", Range("10", "20"))),
        ("create_date 2026-01-01-2026-01-31", c("create_date", Range("2026-01-01", "2026-01-31"))),
        ("create_date '2026-01-01'-'2026-01-31'", c("create_date", Range("2026-01-01", "2026-01-31"))),
        ("create_date > 2026-09-18T21:00:17-0500", c("create_date", "2026-09-18T21:00:17-0500", op=">")),
        ("create_date 01-Feb-2026", c("create_date", "01-Feb-2026")),
        ("file_name a-b-1", c("file_name", "a-b-1")),
        ("not not version v1", Not(Not(c("version", "v1")))),
        ("version a and version b or version c", Or((And((c("version", "a"), c("version", "b"))), c("version", "c")))),
        ("a.b 1 or a.b 2 minus a.b 3 union a.b 4",
         Combined(Or((c("a.b", "1"), c("a.b", "2"))), (("minus", c("a.b", "3")), ("union", c("a.b", "4"))))),
        ("defname: X with stride 4 offset 1", Selected(Defined("X"), None, 1, 4)),
        ("defname:X with limit 2 with availability any, bad", Selected(Defined("X"), 2, availability=("any", "bad"))),
        ("isparentof:( isparentof: (version v) )", Related("isparentof", Related("isparentof", c("version", "v")))),
        ("(defname:X with limit 2) and version v", And((Selected(Defined("X"), 2), c("version", "v")))),
    ],
)  # fmt: skip
def test_text_is_read_as_it_is_meant(text, tree):
    assert parse(text) == tree


@pytest.mark.parametrize(
    ("text", "line", "column", "why"),
    [
        ("", 1, 1, "empty"),
        ("version", 1, 8, "expected a value"),
        ("version v and", 1, 14, "expected a name"),
        ("version v\n  und data_tier raw", 2, 3, "'und' cannot stand here"),
        ("(version v", 1, 11, "expected ')'"),
        ("version v)", 1, 10, "')' cannot stand here"),
        ("version 'v", 1, 9, "never closed"),
        ("version é", 1, 9, "not ASCII"),
        ("version and version v", 1, 9, "expected a value"),
        ("event_count > 1,2", 1, 16, "one value"),
        ("event_count < 1-2", 1, 1, "no range"),
        ("file_name like a,b", 1, 17, "one value"),
        ("isparentof: version v", 1, 13, "expected '('"),
        ("isfriendof:(version v)", 1, 1, "no 'isfriendof:'"),
        ("defname:X with stride 0", 1, 23, "at least 1"),
        ("defname:X with limit many", 1, 22, "a number"),
        ("defname:X with limit 1 limit 2", 1, 24, "twice"),
        ("defname:X with luck", 1, 16, "one of limit"),
        ("defname:X with availability somewhere", 1, 29, "one of default"),
        ("availability: any", 1, 1, "beside something else"),
        ("isancestorof:(version v) and isdescendantof:(version v)", 1, 30, "more than one ancestor"),
        ("isparentof:(version v) and isancestorof:(version v)", 1, 28, "mixing"),
        ("isdescendantof:(ischildof:(version v))", 1, 17, "mixing"),
    ],
)
def test_errors_say_where_and_why(text, line, column, why):
    with pytest.raises(DimensionError, match=rf"^Parse error at line {line}, column {column}: ") as caught:
        parse(text)
    assert why in str(caught.value)


@given(trees(constraints({"file_name": ["a", "b%"], "run_number": ["1", "123.4"]}, frozenset({"file_name"})), ["X"]))
def test_what_is_written_reads_as_the_same_tree(tree):
    assert parse(write(tree)) == tree


@given(far_trees(constraints({"file_name": ["a", "b%"]}, frozenset({"file_name"}))))
def test_questions_for_ancestors_are_written_so_too(tree):
    assert parse(write(tree)) == tree


@given(NAME, st.lists(ANY_VALUE | st.builds(Range, ANY_VALUE, ANY_VALUE), min_size=1, max_size=4))
def test_any_value_and_any_range_survive(name, values):
    tree = Constraint(name, "=", tuple(values))
    try:
        text = write(tree)
    except DimensionError as error:
        assert "cannot be written" in str(error)
        return
    assert parse(text) == tree


@given(st.text(PLAIN + " '\"():,=<>!\n", max_size=60))
def test_any_text_is_read_or_refused(text):
    try:
        tree = parse(text)
    except DimensionError as error:
        assert str(error)
        return
    assert parse(write(tree)) == tree


@pytest.mark.parametrize(
    "bomb",
    [
        "(" * 90_000,
        "not " * 24_000 + "version v",
        "isparentof:(" * 7_000,
        "(" * 40_000 + "version v" + ")" * 40_000,
        "version v and " * 7_000,
        "version " + "v," * 40_000,
        "'" * 99_999,
        "defname:X " + "with limit 1 " * 7_000,
        "x" * 1_000_000,
    ],
    ids=lambda bomb: bomb[:16],
)
def test_a_bomb_is_refused_quickly(bomb):
    def refused() -> None:
        with pytest.raises(DimensionError):
            parse(bomb)

    assert effort(refused) < FIVE_SECONDS / 2


def test_values_that_nearly_are_ranges_or_dates_take_no_time_either():
    def tried() -> None:
        for text in ("1-" * 40_000 + "x", "2026-01-01T" + "00:" * 30_000, "-" * 90_000, "2026-01-01-" * 8_000):
            with contextlib.suppress(DimensionError):
                parse(f"version {text}")

    assert effort(tried) < FIVE_SECONDS / 2


def test_reading_takes_time_in_proportion_to_length():
    def seconds(parts: int) -> float:
        text = " or ".join(f"(file_name a{n}% and run_number {n}-{n + 5})" for n in range(parts))
        begin = time.process_time()
        parse(text, longest=10_000_000)
        return time.process_time() - begin

    seconds(200)
    small, large = min(seconds(1_000) for _ in range(3)), min(seconds(8_000) for _ in range(3))
    assert large < small * 8 * 3


def test_names_are_asked_for_as_they_are():
    text = names(["a.root", "x y", "10-20", "and"])
    assert parse(text) == c("file_name", "a.root", "x y", "10-20", "and")
    with pytest.raises(DimensionError, match="anything"):
        names(["a%"])


def test_values_mean_runs_and_times():
    assert run("123.0074") == Run(123, 74)
    assert moment("01-Feb-2026", "x").end.isoformat() == "2026-02-01T23:59:59.999999+00:00"
    assert moment("2026-09-18T21:00:17-0500", "x").at.isoformat() == "2026-09-18T21:00:17-05:00"
    for wrong in ("2026-13-01", "01-Foo-2026", "yesterday", "20260101", "9999-99-99"):
        with pytest.raises(DimensionError):
            moment(wrong, "create_date")
    with pytest.raises(DimensionError):
        run("12a")
