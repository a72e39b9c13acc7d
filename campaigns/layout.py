"""Positions for drawing a graph of stages: layers from left to right, few crossings, no overlap. Pure."""

from __future__ import annotations

from bisect import bisect_right, insort
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from campaigns import graph
from campaigns.graph import Pair

Point = tuple[float, float]
# A stage by its name, or where an edge (by its number) crosses a layer that it has no stage in.
_Node = str | tuple[int, int]

_SWEEPS = 12
_BEND_HEIGHT = 12.0
_PORT_GAP = 14.0


@dataclass(frozen=True)
class Card:
    """Where a stage is drawn: its layer, and the upper left corner and size of its card."""

    name: str
    layer: int
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class Line:
    """How an edge is drawn: `edge` is its place among the given edges, `points` go in pairs, one curve each."""

    edge: int
    upstream: str
    downstream: str
    points: tuple[Point, ...]
    label: Point

    @property
    def path(self) -> str:
        """Return the line as the `d` of an SVG path: curves between layers, straight across a layer."""
        parts = [f"M{_text(self.points[0])}"]
        for place, (before, after) in enumerate(pairwise(self.points)):
            if place % 2:
                parts.append(f"L{_text(after)}")
            else:
                middle = (before[0] + after[0]) / 2
                parts.append(f"C{_text((middle, before[1]))} {_text((middle, after[1]))} {_text(after)}")
        return " ".join(parts)


@dataclass(frozen=True)
class Drawing:
    """A whole graph; `loops` names the stages that feed themselves, which have no line."""

    width: float
    height: float
    cards: tuple[Card, ...]
    lines: tuple[Line, ...]
    loops: tuple[str, ...]


def layered(names: Sequence[str], edges: Sequence[Pair], *, card: Point = (190, 84), gap: Point = (84, 22)) -> Drawing:
    """Return a drawing in which every edge goes from left to right and no two cards overlap.

    `card` is width and height of a card, `gap` the least distance between layers and between cards of a layer.
    The same graph always gives the same drawing. Raises ValueError for an edge of an unknown stage, and for a
    cycle other than a stage's edge to itself.
    """
    unknown = sorted({end for edge in edges for end in edge} - set(names))
    if unknown:
        raise ValueError(f"an edge names stages that are not there: {', '.join(unknown)}")
    if cycle := graph.find_cycle(names, edges):
        raise ValueError(f"the graph has a cycle: {' → '.join(cycle)}")
    layer = _layers(names, edges)
    columns, above, below = _columns(names, edges, layer)
    columns = _uncross(columns, above, below)
    centre = _centres(columns, above, below, card[1], gap[1])
    cards = {
        name: Card(name, layer[name], layer[name] * (card[0] + gap[0]), centre[name] - card[1] / 2, *card)
        for name in names
    }
    return Drawing(
        width=len(columns) * (card[0] + gap[0]) - gap[0] if columns else 0.0,
        height=max((_size(node, card[1]) / 2 + middle for node, middle in centre.items()), default=0.0),
        cards=tuple(cards.values()),
        lines=tuple(_lines(edges, cards, centre, gap[0])),
        loops=tuple(dict.fromkeys(parent for parent, child in edges if parent == child)),
    )


def _layers(names: Sequence[str], edges: Sequence[Pair]) -> dict[str, int]:
    """Put each stage behind its last parent, and one that has no parent right before its first child."""
    layer = dict.fromkeys(names, 0)
    children, parents = defaultdict(list), set()
    for parent, child in edges:
        if parent != child:
            children[parent].append(child)
            parents.add(child)
    for name in graph.order(names, edges):
        for child in children[name]:
            layer[child] = max(layer[child], layer[name] + 1)
    for name in names:
        if name not in parents and children[name]:
            layer[name] = min(layer[child] for child in children[name]) - 1
    return layer


_Links = Mapping[_Node, Sequence[_Node]]


def _columns(
    names: Sequence[str], edges: Sequence[Pair], layer: Mapping[str, int]
) -> tuple[list[list[_Node]], _Links, _Links]:
    """Return the nodes of each layer, and for each node its neighbours one layer before and one behind."""
    columns: list[list[_Node]] = [[] for _ in range(max(layer.values(), default=-1) + 1)]
    for name in names:
        columns[layer[name]].append(name)
    above, below = defaultdict(list), defaultdict(list)
    for number, (parent, child) in enumerate(edges):
        if parent == child:
            continue
        bends: list[_Node] = [(number, place) for place in range(layer[parent] + 1, layer[child])]
        for place, bend in enumerate(bends, layer[parent] + 1):
            columns[place].append(bend)
        chain: list[_Node] = [parent, *bends, child]
        for before, after in pairwise(chain):
            above[after].append(before)
            below[before].append(after)
    return columns, above, below


def _uncross(columns: list[list[_Node]], above: _Links, below: _Links) -> list[list[_Node]]:
    """Order each layer by the mean place of its neighbours, to and fro; keep the order with fewest crossings."""
    best, fewest = columns, _crossings(columns, below)
    current = columns
    for sweep in range(_SWEEPS):
        if not fewest:
            break
        forth = sweep % 2 == 0
        current = [list(column) for column in current]
        places = range(1, len(current)) if forth else range(len(current) - 2, -1, -1)
        for place in places:
            fixed = {node: row for row, node in enumerate(current[place - 1 if forth else place + 1])}
            links = above if forth else below
            rows = {
                node: _mean([fixed[other] for other in links.get(node, ())], otherwise=row)
                for row, node in enumerate(current[place])
            }
            current[place].sort(key=rows.__getitem__)
        crossings = _crossings(current, below)
        if crossings < fewest:
            best, fewest = current, crossings
    return best


def _crossings(columns: Sequence[Sequence[_Node]], below: _Links) -> int:
    """Count the pairs of edges that cross between neighbouring layers."""
    found = 0
    for column, following in pairwise(columns):
        row = {node: place for place, node in enumerate(following)}
        passed: list[int] = []
        for node in column:
            ends = sorted(row[other] for other in below.get(node, ()))
            found += sum(len(passed) - bisect_right(passed, end) for end in ends)
            for end in ends:
                insort(passed, end)
    return found


def _centres(
    columns: Sequence[Sequence[_Node]], above: _Links, below: _Links, height: float, gap: float
) -> dict[_Node, float]:
    """Return each node's middle: near its neighbours' middles, in the layer's order, no nearer than the gap."""
    size = {node: _size(node, height) for column in columns for node in column}
    centre: dict[_Node, float] = {}
    for column in columns:
        settled = _settle([0.0] * len(column), [size[node] for node in column], gap)
        centre.update(zip(column, settled, strict=True))
    for sweep in range(2 * _SWEEPS):
        for column in columns if sweep % 2 == 0 else reversed(columns):
            wanted = [
                _mean([centre[other] for other in (*above.get(n, ()), *below.get(n, ()))], otherwise=centre[n])
                for n in column
            ]
            settled = _settle(wanted, [size[node] for node in column], gap)
            centre.update(zip(column, settled, strict=True))
    top = min((centre[node] - size[node] / 2 for node in centre), default=0.0)
    return {node: round(middle - top, 2) for node, middle in centre.items()}


def _size(node: _Node, height: float) -> float:
    return height if isinstance(node, str) else _BEND_HEIGHT


def _settle(wanted: Sequence[float], sizes: Sequence[float], gap: float) -> list[float]:
    """Return the middles nearest to the wanted ones (least squares) that keep order and distance.

    With the distances taken out, this is a regression to a sequence that never falls: neighbours that would
    overlap are pooled at their mean.
    """
    offsets, total = [], 0.0
    for place, size in enumerate(sizes):
        total += (sizes[place - 1] + size) / 2 + gap if place else 0.0
        offsets.append(total)
    pools: list[tuple[float, int]] = []
    for want, offset in zip(wanted, offsets, strict=True):
        mean, weight = want - offset, 1
        while pools and pools[-1][0] > mean:
            before, heavy = pools.pop()
            mean, weight = (before * heavy + mean * weight) / (heavy + weight), heavy + weight
        pools.append((mean, weight))
    levels = [mean for mean, weight in pools for _ in range(weight)]
    return [level + offset for level, offset in zip(levels, offsets, strict=True)]


def _lines(
    edges: Sequence[Pair], cards: Mapping[str, Card], centre: Mapping[_Node, float], gap: float
) -> Iterable[Line]:
    chains: dict[int, list[float]] = {}
    leaving, entering = defaultdict(list), defaultdict(list)
    for number, (parent, child) in enumerate(edges):
        if parent == child:
            continue
        bends = [centre[number, place] for place in range(cards[parent].layer + 1, cards[child].layer)]
        chain = [centre[parent], *bends, centre[child]]
        chains[number] = chain
        leaving[parent].append((chain[1], number))
        entering[child].append((chain[-2], number))
    starts = {number: y for name, ends in leaving.items() for number, y in _ports(centre[name], cards[name], ends)}
    stops = {number: y for name, ends in entering.items() for number, y in _ports(centre[name], cards[name], ends)}
    for number, chain in chains.items():
        parent, child = edges[number]
        width = cards[parent].width
        points = [(cards[parent].x + width, starts[number])]
        for step, middle in enumerate(chain[1:-1], 1):
            left = cards[parent].x + step * (width + gap)
            points += [(left, middle), (left + width, middle)]
        points.append((cards[child].x, stops[number]))
        (x0, y0), (x1, y1) = points[0], points[1]
        yield Line(number, parent, child, tuple(points), ((x0 + x1) / 2, (y0 + y1) / 2))


def _ports(middle: float, card: Card, ends: Sequence[tuple[float, int]]) -> Iterable[tuple[int, float]]:
    """Yield where on a card's side each of its edges begins or ends: spread, in the order of the other ends."""
    step = min(_PORT_GAP, card.height / (len(ends) + 1))
    for place, (_, number) in enumerate(sorted(ends)):
        yield number, round(middle + (place - (len(ends) - 1) / 2) * step, 2)


def _mean(values: Sequence[float], *, otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise


def _text(point: Point) -> str:
    return f"{round(point[0], 1):g},{round(point[1], 1):g}"
