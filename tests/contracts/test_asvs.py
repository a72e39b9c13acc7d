"""The ASVS list is whole, honest in its form, and names only tests that exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from django.conf import settings

HOME = Path(settings.BASE_DIR)
LIST = HOME / "docs" / "operate" / "asvs.md"
STATES = ("met", "met, no test", "partly", "not met", "not applicable")
# What applies to POMS: chapter and section, and the requirements of it.
WANTED = {
    "1.1": [2], "1.2": [1, 2, 3, 4, 5, 9, 10], "1.3": [2, 3, 6, 7, 11, 12], "2.2": [1, 2, 3], "2.3": [1, 2, 3, 4, 5], "2.4": [1],
    "3.2": [1, 2], "3.3": [1, 2, 3, 4], "3.4": [1, 2, 3, 4, 5, 6], "3.5": [1, 2, 3], "3.7": [2], "4.1": [1, 2, 3], "4.2": [1],
    "5.1": [1], "5.2": [1, 2, 3, 4], "5.3": [2], "5.4": [1, 2], "6.1": [1], "6.3": [1, 2, 3], "7.1": [1, 2, 3], "7.2": [1, 2, 3, 4],
    "7.3": [1, 2], "7.4": [1, 2, 3, 4, 5], "7.5": [1, 2], "7.6": [1, 2], "8.1": [1, 2], "8.2": [1, 2, 3], "8.3": [1, 2, 3],
    "8.4": [1], "9.1": [1, 2, 3], "10.1": [1, 2], "10.2": [1, 2], "10.5": [1, 2, 3, 4, 5], "12.1": [1, 2, 3], "12.2": [1, 2],
    "12.3": [1, 2, 3, 4], "13.1": [1, 3], "13.2": [1, 2, 4, 6], "13.3": [1, 2, 4], "13.4": [1, 2, 3, 4, 5], "14.2": [1, 2, 3, 4],
    "15.1": [1, 2, 3], "15.2": [1, 2], "15.3": [3, 4, 5, 7], "15.4": [1, 2, 3], "16.1": [1], "16.2": [1, 2, 5], "16.3": [1, 2, 3, 4],
    "16.4": [1, 2, 3], "16.5": [1, 2, 3, 4],
}  # fmt: skip


def rows_of(text: str) -> list[list[str]]:
    """Return the cells of each row that begins with a number of a requirement."""
    lines = [line.strip().strip("|").split("|") for line in text.splitlines() if re.match(r"\| \d+\.\d+\.\d+ \|", line)]
    return [[cell.strip() for cell in line] for line in lines]


def faults(text: str) -> list[str]:
    """Return a sentence for each thing that is wrong with a list."""
    found, rows = [], rows_of(text)
    for number, *rest in rows:
        if len(rest) != 3 or rest[0] not in STATES or not rest[1]:
            found.append(f"{number}: a row has a state of {', '.join(STATES)}, and says how or why")
            continue
        state, _, shown = rest
        tests = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", shown)
        if shown.replace(",", "").split() != [f"`{path}::{name}`" for path, name in tests]:
            found.append(f"{number}: tests are written `tests/file.py::test_name`, with commas")
        if state == "met" and not tests:
            found.append(f"{number}: met, and no test shows it")
        if state in ("met, no test", "not met", "not applicable") and tests:
            found.append(f"{number}: {state}, and a test is named")
        found += [f"{number}: there is no {path}::{name}" for path, name in tests if name not in functions(HOME / path)]
    numbers = [row[0] for row in rows]
    wanted = [f"{section}.{number}" for section, all_of in WANTED.items() for number in all_of]
    found += [f"{number}: is missing" for number in wanted if number not in numbers]
    return found + [
        f"{number}: stands there {numbers.count(number)} times" for number in set(numbers) if numbers.count(number) > 1
    ]


def functions(path: Path) -> set[str]:
    """Return the names of the tests of a file; none, where there is no such file."""
    tree = ast.parse(path.read_text(encoding="utf-8")) if path.is_file() else ast.Module([], [])
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def test_the_list_is_whole_and_names_tests_that_exist():
    assert faults(LIST.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [("| 1.2.4 | met |", "| 1.2.99 | met |", "1.2.4: is missing"), ("| 1.3.6 | met |", "| 1.3.6 | fine |", "1.3.6: a row has a state"),
     ("test_racing_gets_nobody_more`", "test_nosuch`", "2.4.1: there is no tests/core/test_rates.py::test_nosuch"),
     ("| 1.3.7 | not applicable |", "| 1.3.7 | met |", "1.3.7: met, and no test"),
     ("| 8.4.1 | met |", "| 8.4.1 | not met |", "8.4.1: not met, and a test"),
     ("| 8.3.1 |", "| 8.2.1 |", "8.2.1: stands there 2 times")],
)  # fmt: skip
def test_a_fault_of_the_list_is_found(old, new, said):
    text = LIST.read_text(encoding="utf-8")
    assert old in text
    assert any(fault.startswith(said) for fault in faults(text.replace(old, new, 1)))
