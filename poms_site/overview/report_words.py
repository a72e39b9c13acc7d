"""How the figures of a report are written for people: values with their units, and what has changed. Pure."""

from __future__ import annotations

from poms_site.overview import words
from poms_site.overview.report_figures import Figure, Value

NOTHING = "–"


def told(figure: Figure, value: Value) -> str:
    """Return a value with its unit: 1 234, 3.2 %, 12.5 core-h, 2 d 4 h."""
    if value is None:
        return NOTHING
    if figure.unit == "s":
        return words.duration(int(value))
    if figure.unit == "%":
        return f"{value:.1f} %"
    if figure.unit:
        return f"{words.number(round(value, 1)) if value < 100 else words.number(round(value))} {figure.unit}"
    return words.number(int(value))


def change(figure: Figure, value: Value, before: Value) -> str:
    """Return how a value has changed: +12 %, −3.1 points; nothing where there is nothing to compare with."""
    if value is None or before is None:
        return ""
    if value == before:
        return "the same" if value else ""
    if figure.unit == "%":
        return f"{value - before:+.1f} points".replace("-", "−")
    if before == 0:
        return "new"
    share = 100 * (value - before) / before
    return f"{share:+.0f} %".replace("-", "−") if abs(share) < 1000 else f"{value / before:.0f} times as much"


def verdict(figure: Figure, value: Value, before: Value) -> str:
    """Return whether a change is better or worse; an empty text where it is neither."""
    if value is None or before is None or value == before or not figure.good:
        return ""
    return "better" if (value > before) == (figure.good > 0) else "worse"
