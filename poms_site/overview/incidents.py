"""What a shifter is told: incidents in groups, and groups folded until they fit one screen; none is left out. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

BROKEN, STUCK, ENDING, YOURS, RULES = SECTIONS = ("broken", "stuck", "ending", "yours", "rules")
HEADS = {
    BROKEN: "What broke", STUCK: "What is stuck", ENDING: "Credentials that end", YOURS: "What waits for you",
    RULES: "What rules did",
}  # fmt: skip
MOST = 10
MOST_NAMED = 50


@dataclass(frozen=True)
class Help:
    """The one verb that helps, and where it is."""

    word: str
    address: str


@dataclass(frozen=True)
class Item:
    """A group of incidents alike: what they are, how many, the last one, and what helps.

    `urgent` says that somebody must act. `folded` names the groups that one line stands for, where there are too many.
    """

    section: str
    state: str  # by whose mark it is shown
    title: str
    text: str
    n: int
    last: datetime
    urgent: bool = False
    help: Help | None = None
    folded: tuple[str, ...] = ()


def fold(items: Iterable[Item], most: int = MOST) -> list[Item]:
    """Return at most so many items that stand for all: of each section the weightiest, the rest as one line.

    The sum of the incidents stays what it was, and what must be acted upon goes before what need not. `most` is at
    least the number of sections.
    """
    by_section = {section: _ordered(item for item in items_of) for section, items_of in _parted(items).items()}
    rooms = _rooms({section: len(found) for section, found in by_section.items()}, most)
    return [item for section in SECTIONS if section in by_section for item in _cut(by_section[section], rooms[section])]


def _parted(items: Iterable[Item]) -> dict[str, list[Item]]:
    found: dict[str, list[Item]] = {}
    for item in items:
        found.setdefault(item.section, []).append(item)
    return found


def _ordered(items: Iterable[Item]) -> list[Item]:
    return sorted(items, key=lambda item: (not item.urgent, -item.n, item.title))


def _rooms(sizes: dict[str, int], most: int) -> dict[str, int]:
    """Return how many lines each section gets: one at least, the others in turn, as long as it has use for them."""
    rooms = dict.fromkeys(sizes, 1)
    left = most - len(rooms)
    while left > 0 and (hungry := [section for section in SECTIONS if rooms.get(section, 0) < sizes.get(section, 0)]):
        for section in hungry[:left]:
            rooms[section] += 1
        left -= len(hungry[:left])
    return rooms


def _cut(items: Sequence[Item], room: int) -> list[Item]:
    if len(items) <= room:
        return list(items)
    kept, rest = list(items[: room - 1]), items[room - 1 :]
    number, first = sum(item.n for item in rest), rest[0]
    titles = tuple(f"{item.title}: {item.text}" if item.text else item.title for item in rest[:MOST_NAMED])
    if len(rest) > MOST_NAMED:
        titles += (f"and {len(rest) - MOST_NAMED} groups more",)
    title = f"{len(rest)} groups{' more' if kept else ''}"
    last, urgent = max(item.last for item in rest), any(item.urgent for item in rest)
    text = f"{number} incidents in them"
    folded = Item(first.section, first.state, title, text, number, last, urgent, first.help, titles)
    return [*kept, folded]


def needs_somebody(items: Iterable[Item]) -> bool:
    """Tell whether somebody must act."""
    return any(item.urgent for item in items)
