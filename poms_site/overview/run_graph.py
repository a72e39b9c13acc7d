"""The graph of a campaign's stages as pages and the run report draw it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from campaigns.layout import Drawing, layered
from poms_site.overview.charts import shares
from poms_site.overview.run_facts import StageFacts
from poms_site.overview.words import shortened

LETTER = 10.4  # how wide a letter of a stage's name is, about


def graph_of(stages: Sequence[StageFacts], room_wide: float) -> dict[str, Any]:
    """Return the drawing of the stages in a room so many pixels wide: cards with facts, lines with their files."""
    names = [stage.name for stage in stages]
    # What another campaign feeds stands in the list of stages; here is only this one.
    feeds = [feed for stage in stages for feed in stage.feeds if feed.upstream in names]
    pairs = [(feed.upstream, feed.downstream) for feed in feeds]
    by_name = {stage.name: stage for stage in stages}
    drawing = _fitted(names, pairs, room_wide)
    room = drawing.cards[0].width - 52 if drawing.cards else 0
    return {
        "drawing": drawing,
        "view": f"-2 -2 {drawing.width + 4:g} {drawing.height + 4:g}",
        "width": round(drawing.width + 4),
        "wide": drawing.width > room_wide * 1.1,
        "room": room,
        "cards": [
            (
                card,
                by_name[card.name],
                shortened(card.name, int(room / LETTER)),
                card.name in drawing.loops,
                shares(by_name[card.name].progress),
            )
            for card in drawing.cards
        ],
        "lines": [(line, feeds[line.edge]) for line in drawing.lines],
    }


def _fitted(names: Sequence[str], pairs: Sequence[tuple[str, str]], room: float) -> Drawing:
    """Return the drawing with cards and gaps as wide as the page allows."""
    layers = max((card.layer for card in layered(names, pairs).cards), default=0) + 1
    card = 216 if layers <= 4 else 180 if layers == 5 else 160
    gap = (room - layers * card) / (layers - 1) if layers > 1 else 0
    return layered(names, pairs, card=(card, 96), gap=(min(max(gap, 56), 150), 20))
