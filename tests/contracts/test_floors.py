"""The drawings of the floors on the architecture page are those that the import contracts hold."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from pathlib import Path

import pytest
from django.conf import settings
from markdown_it import MarkdownIt

HOME = Path(settings.BASE_DIR)
PAGE = (HOME / "docs/develop/architecture.md").read_text(encoding="utf-8")
RULES = (HOME / "CONTRIBUTING.md").read_text(encoding="utf-8")
PHONE = 46  # so many letters of code are beside each other on a page of 390 pixels
Floors = list[set[str]]


def contract(name: str) -> Floors:
    """Return the floors of a contract of layers, from the highest down; those beside each other are one."""
    contracts = tomllib.loads((HOME / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (found,) = [entry["layers"] for entry in contracts if entry["type"] == "layers" and entry["name"].startswith(name)]
    return [{part.strip(" ()") for part in layer.split("|")} for layer in found]


def drawings(text: str) -> list[str]:
    """Return the blocks of code of a page that are a drawing of floors: one box upon the other."""
    blocks = [token.content for token in MarkdownIt().parse(text) if token.type == "fence"]
    return [block for block in blocks if re.fullmatch(r"┌─+┐\n(?:[│├][^\n]*\n)+└─+┘\n", block)]


def drawn(block: str) -> Floors:
    """Return the floors of a drawing, from the highest down."""
    floors: Floors = [set()]
    for line in block.splitlines()[1:-1]:
        if re.fullmatch(r"├─+┤", line):
            floors.append(set())
        else:
            floors[-1].add(line.strip("│ "))
    return floors


def differences(block: str, floors: Sequence[set[str]]) -> list[str]:
    """Return a sentence for each floor that is drawn otherwise than the contract has it."""
    shown = drawn(block)
    wrong = [f"floor {n}: drawn {sorted(one)}, held {sorted(other)}"
             for n, (one, other) in enumerate(zip(shown, floors, strict=False), 1) if one != other]  # fmt: skip
    return wrong if len(shown) == len(floors) else [*wrong, f"{len(shown)} floors are drawn, {len(floors)} are held"]


@pytest.mark.parametrize(("at", "name"), [(0, "floors:"), (1, "inside an app:")])
def test_the_drawing_is_the_contract(at, name):
    assert differences(drawings(PAGE)[at], contract(name)) == []


def test_a_drawing_that_is_not_true_is_found():
    block, floors = drawings(PAGE)[0], contract("floors:")
    swapped = block.replace("approvals  ", "?").replace("submissions", "approvals  ").replace("?", "submissions")
    assert len(differences(swapped, floors)) == 2
    joined = re.sub(r"├─+┤\n(?=│ campaigns)", "", block)
    assert differences(joined, floors)[-1] == f"{len(floors) - 1} floors are drawn, {len(floors)} are held"
    assert differences(block.replace("experiments", "people     "), floors)
    assert drawings(PAGE.replace("└", "x")) == []


def test_the_drawings_fit_on_a_phone_and_their_boxes_close():
    for block in drawings(PAGE):
        widths = {len(line) for line in block.splitlines()}
        assert len(widths) == 1 and max(widths) <= PHONE


def test_each_floor_is_said_in_words():
    rows = re.findall(r"(?m)^\| `([\w.]+)` \|", PAGE.partition("| floor |")[2].partition("\n\n")[0])
    held = contract("floors:")
    assert [floor for floor in rows if not any(floor in floors for floors in held)] == []
    for floors in held:
        assert set(rows[: len(floors)]) == floors, "the table goes down the house as the drawing does"
        rows = rows[len(floors) :]


def test_who_contributes_reads_the_same_order():
    (line,) = [line for line in RULES.splitlines() if line.startswith("urls  >")]
    assert [{part.strip() for part in floor.split("|")} for floor in line.split(">")] == contract("inside an app:")
