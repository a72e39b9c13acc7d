"""Template filters that write states, numbers, times and sizes as poms_site.overview.words says."""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache
from typing import Any

from django import template
from django.template.loader import render_to_string
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from core import differences
from core.clock import now
from poms_site.overview import charts, words

register = template.Library()

register.filter("number", words.number)
register.filter("count", words.count)
register.filter("percent", words.percent)
register.filter("duration", words.duration)
register.filter("moment", words.moment)
register.filter("clock", words.clock)
register.filter("memory", words.memory)
register.filter("slots", words.slots)
register.filter("words", words.words)
register.filter("shortened", words.shortened)
register.filter("size", words.size)
register.filter("printable", words.printable)


register.filter("rough", words.rough)


@register.filter
def mark(state: str) -> str:
    """Return the name of a state's mark and colour."""
    return words.look(state).mark


ORIGINS = {"clone": "cloned from", "merge": "joined from", "split": "a part of"}
OFFSPRING = {"clone": "cloned as", "merge": "joined in", "split": "split into"}


@register.filter
def origin_word(how: str) -> str:
    """Say how a request came from another."""
    return ORIGINS[how]


@register.filter
def offspring_word(how: str) -> str:
    """Say what became of a request."""
    return OFFSPRING[how]


@register.filter
def lines(text: str) -> int:
    """Count the lines of a text."""
    return len(text.splitlines())


@register.filter
def parted(reason: str) -> tuple[str, list[str]]:
    """Part a reason in the ledger from the difference that stands behind it."""
    return differences.parted(reason)


@register.filter
def ago(at: datetime | None) -> SafeString | str:
    """Show a moment relative to now, with the exact one and its zone on hover and for machines."""
    if at is None:
        return ""
    text = words.ago((now() - at).total_seconds())
    return format_html('<time datetime="{}" title="{}">{}</time>', at.isoformat(), words.moment(at), text)


@register.filter
def since(at: datetime | None) -> SafeString | str:
    """Show for how long something has been so, with the exact beginning on hover."""
    if at is None:
        return ""
    text = words.span(max(0, int((now() - at).total_seconds())))
    return format_html('<time datetime="{}" title="since {}">{}</time>', at.isoformat(), words.moment(at), text)


@register.filter
def local_clock(at: datetime) -> str:
    """Show a moment with the clock of its own zone, and by how much that is before UTC: 11-22 06:40 -0600."""
    return f"{at:%m-%d %H:%M %z}"


@register.filter
def took(thing: Any) -> str:
    """Show how long something ran that has started and ended."""
    begun = getattr(thing, "started_at", None) or getattr(thing, "launched_at", None) or thing.created_at
    return words.duration(int((thing.ended_at - begun).total_seconds())) if thing.ended_at else ""


@register.filter
def ending(job: Any) -> str:
    """Show how a job ended, in words: over its memory limit, exit code 65, SIGSEGV (signal 11)."""
    return words.ending(job.state, job.code, job.exit_code, job.signal)


@register.filter
def who(actor: str) -> str:
    """Show who did something: a person by name, POMS with its loop or rule."""
    kind, _, name = actor.partition(":")
    return name if kind == "user" else f"POMS, {kind} {name}" if kind in ("loop", "rule") else actor


@register.filter
def key(thing: Any) -> str:
    """Return the last part of a thing's reference, which its address ends in: c1 of demo/c1."""
    return str(getattr(thing, "ref", thing)).rpartition("/")[2]


@register.simple_tag
def page_of(ref: str) -> str:
    """Return the address of the page of a thing by its reference, such as demo/c1."""
    from poms_site.web.things import address  # noqa: PLC0415 - the run report uses these tags without any page

    return address(str(ref))


@register.simple_tag
def verb_address(verb: Any, row: Any) -> str:
    """Return the address of a verb on a thing."""
    from poms_site.web.things import verb_page  # noqa: PLC0415 - as above

    return verb_page(verb, row)


@register.simple_tag
@lru_cache(maxsize=1024)
def state(word: str, text: str = "") -> SafeString:
    """Show a state as mark, word and colour; `text` instead of the state's own word."""
    # Drawn once: there are few states, and a page shows hundreds of them.
    return render_to_string("overview/_state.html", {"look": words.look(word), "word": text or words.words(word)})


@register.simple_tag
def progress_bar(progress: dict[str, int]) -> SafeString:
    """Show progress as a bar of what is done, running, recovering, without result and waiting."""
    return _bar(**{name: progress.get(name, 0) for name in ("done", "running", "recovering", "failed", "waiting")})


@lru_cache(maxsize=4096)
def _bar(**progress: int) -> SafeString:
    # Written here and not in a template, and drawn once: a list shows fifty of them, and most have come to their end.
    pieces = charts.shares(progress)
    text = ", ".join(f"{words.number(piece.number)} {piece.word}" for piece in pieces) or "nothing yet"
    drawn = format_html_join(
        "",
        '<rect class="b-{}" x="{}%" width="{}%" height="100%" />',
        ((piece.mark, piece.at, piece.width) for piece in pieces),
    )
    return format_html('<svg class="bar" role="img" aria-label="{}"><title>{}</title>{}</svg>', text, text, drawn)
