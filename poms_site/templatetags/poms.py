"""Template filters that write states, numbers, times and sizes as poms_site.overview.words says."""

from __future__ import annotations

from typing import Any

from django import template

from poms_site.overview import charts, words

register = template.Library()

register.filter("number", words.number)
register.filter("count", words.count)
register.filter("duration", words.duration)
register.filter("moment", words.moment)
register.filter("memory", words.memory)
register.filter("words", words.words)
register.filter("shortened", words.shortened)


@register.inclusion_tag("overview/_state.html")
def state(word: str, text: str = "") -> dict[str, Any]:
    """Show a state as mark, word and colour; `text` instead of the state's own word."""
    return {"look": words.look(word), "word": text or words.words(word)}


@register.inclusion_tag("overview/_bar.html")
def progress_bar(progress: dict[str, int]) -> dict[str, Any]:
    """Show progress as a bar of what is done, running, without result and waiting."""
    pieces = charts.shares(progress)
    text = ", ".join(f"{words.number(piece.number)} {piece.word}" for piece in pieces)
    return {"pieces": pieces, "text": text or "nothing yet"}
