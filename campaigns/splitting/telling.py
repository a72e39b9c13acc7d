"""What a split would do, in words for those who are about to decide (T4). Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from campaigns.splitting.cutting import Cut, Slice
from campaigns.splitting.kinds import Split

FIRST = 3
SHOWN = 2


def preview(split: Split, found: Cut, name_of: Callable[[int], str]) -> str:
    """Return "37 slices of at most 100 files, the last has 12; the first three are …", and what is left out."""
    number = len(found.slices)
    if not number:
        text = "no slice: there is nothing to cut"
    else:
        largest = max(len(part.members) for part in found.slices)
        text = f"{_several(number, 'slice')} of at most {_several(largest, 'file')}"
        last = len(found.slices[-1].members)
        text += f", the last has {last}" if number > 1 and last != largest else ""
        shown = found.slices[:FIRST]
        which = "it is" if number == 1 else f"the first {_count(len(shown))} are" if number > len(shown) else "they are"
        text += f"; {which} " + "; ".join(_slice(part, name_of) for part in shown)
    for why, times in sorted(found.left_out.items()):
        text += f". {_several(times, 'file')} left out: {'each ' if times > 1 else ''}{why}"
    if found.waiting:
        text += f". {_several(found.waiting, 'file')} wait{'s' if found.waiting == 1 else ''} for more to come"
    return text


def _slice(part: Slice, name_of: Callable[[int], str]) -> str:
    names = [name_of(place) for place in _ends(part.members)]
    middle = " … " if len(part.members) > SHOWN else ", "
    text = middle.join(names)
    return f"{part.label}: {text}" if part.label else text


def _ends(members: Sequence[int]) -> list[int]:
    return list(members) if len(members) <= SHOWN else [members[0], members[-1]]


def _several(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"


def _count(number: int) -> str:
    return {1: "one", 2: "two", 3: "three"}[number]
