"""The graph of stages: cycles, order, what lies below. Pure."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Sequence

Pair = tuple[str, str]


def find_cycle(names: Sequence[str], edges: Iterable[Pair]) -> list[str]:
    """Return the stages of one cycle in order, or nothing; an edge of a stage to itself is no cycle (T1)."""
    below = _below(edges)
    colour: dict[str, int] = {}
    for root in names:
        if root in colour:
            continue
        path: list[str] = [root]
        turns = [iter(below[root])]
        colour[root] = 1
        while turns:
            following = next(turns[-1], None)
            if following is None:
                turns.pop()
                colour[path.pop()] = 2
            elif colour.get(following) == 1:
                return [*path[path.index(following) :], following]
            elif following not in colour:
                colour[following] = 1
                path.append(following)
                turns.append(iter(below[following]))
    return []


def order(names: Sequence[str], edges: Iterable[Pair]) -> list[str]:
    """Return the stages with every parent before its children, otherwise in the given order."""
    below = _below(edges)
    waiting = dict.fromkeys(names, 0)
    for children in below.values():
        for child in children:
            waiting[child] += 1
    ready = deque(name for name in names if not waiting[name])
    result = []
    while ready:
        name = ready.popleft()
        result.append(name)
        for child in below[name]:
            waiting[child] -= 1
            if not waiting[child]:
                ready.append(child)
    return result


def _below(edges: Iterable[Pair]) -> dict[str, list[str]]:
    below: dict[str, list[str]] = defaultdict(list)
    for parent, child in edges:
        if parent != child and child not in below[parent]:
            below[parent].append(child)
    return below
