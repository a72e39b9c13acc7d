"""Template filters that write states, numbers, times and sizes as poms_site.overview.words says."""

from __future__ import annotations

from typing import Any

from django import template

from poms_site.overview import words

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
    """Show progress as a bar of what is done, running, failed and waiting, with the numbers beside it."""
    total = max(sum(progress[name] for name in ("done", "running", "failed", "waiting")), 1)
    parts = [
        (mark, progress[name], round(100 * progress[name] / total, 2), text)
        for mark, name, text in (
            ("done", "done", "done"),
            ("moving", "running", "running"),
            ("failed", "failed", "without result"),
            ("wait", "waiting", "waiting"),
        )
    ]
    return {"parts": [part for part in parts if part[1]], "text": ", ".join(f"{p[1]} {p[3]}" for p in parts if p[1])}
