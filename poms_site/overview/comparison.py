"""Two definitions beside each other: what is different stage by stage, line by line, and drawn as one graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from campaigns import definition
from campaigns.definition import comparing
from campaigns.layout import layered
from core import differences
from poms_site.overview.words import shortened

LETTER = 9.0  # how wide a letter of a stage's name is, about
CARD, GAP = (180.0, 54.0), (64.0, 16.0)
SIGNS = {"added": "+", "removed": "−", "changed": "~"}


@dataclass(frozen=True)
class Compared:
    """What is different: the changes, the lines as sign and text, and the drawing (None where it cannot be drawn)."""

    changes: Sequence[comparing.Change]
    lines: Sequence[tuple[str, str]]
    graph: dict[str, Any] | None


def compared(old: str, new: str, beneath: Mapping[str, str]) -> Compared:
    """Compare two texts of a campaign; `beneath` are the experiment's defaults, on which both stand."""
    before, after = (definition.parse(text, beneath).definition for text in (old, new))
    changes = comparing.compare(before, after)
    lines = [(line[:1], line[1:]) for line in differences.between(old, new)]
    return Compared(changes, lines, _drawn(before, after, changes))


def _drawn(
    before: definition.Definition, after: definition.Definition, changes: Sequence[comparing.Change]
) -> dict[str, Any] | None:
    """Return both graphs as one: what came, went and stayed."""
    names = list(dict.fromkeys(stage.name for stage in (*after.stages, *before.stages)))
    how = {change.name: change.how for change in changes if change.what == "stage"}
    old, new = ({(e.upstream, e.downstream) for e in one.edges} for one in (before, after))
    pairs = [pair for pair in dict.fromkeys((*sorted(new), *sorted(old))) if set(pair) <= set(names)]
    try:
        drawing = layered(names, pairs, card=CARD, gap=GAP)
    except ValueError:
        return None  # together they may go in a circle; the words say what is different
    return {
        "view": f"-2 -2 {drawing.width + 4:g} {drawing.height + 4:g}", "width": round(drawing.width + 4),
        "cards": [
            (card, shortened(card.name, int((CARD[0] - 44) / LETTER)), how.get(card.name, ""),
             SIGNS.get(how.get(card.name, ""), ""))
            for card in drawing.cards
        ],
        "lines": [
            (line, "" if pair in old and pair in new else "added" if pair in new else "removed")
            for line in drawing.lines
            for pair in [pairs[line.edge]]
        ],
    }  # fmt: skip
