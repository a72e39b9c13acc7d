"""What a verb on a page is: its rule, what it says it will do, what it asks, and the one call that does it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Ask:
    """One field of a verb's form beside the reason."""

    name: str
    label: str = ""
    kind: str = "text"  # text, number, long, ticks, one, file, yes or hidden
    needed: bool = True
    least: int | None = None
    most: int | None = None
    help: str = ""
    begins: Callable[[Any], Any] = lambda row: ""  # what stands in it at first
    choices: Callable[[Any], Sequence[tuple[str, str]]] = lambda row: ()  # of ticks and of one: value and text
    bulk: bool = True  # whether it can be asked once for many things


DIGEST = Ask("digest", kind="hidden", needed=False, begins=lambda row: row.revision.digest if row.revision else "")


@dataclass(frozen=True)
class Verb:
    """One verb on one kind of thing. `act` gets the thing, the person, the reason and what else was asked."""

    letter: str
    name: str
    word: str
    rule: str
    says: Callable[[Any], str]
    act: Callable[[Any, Any, str, dict[str, Any]], Any]
    offered: Callable[[Any], bool]
    danger: bool = False
    main: bool = False
    reason: bool = True  # whether one is obligatory
    wordless: bool = False  # no reason is asked at all
    asks: tuple[Ask, ...] = ()
    any_of: frozenset[str] = frozenset()  # beyond the rule: one of these, and what `ranking` says of them
    launches: bool = False  # whether it makes something run: one may say so many a minute
    listed: bool = True  # whether pages offer it among the buttons; others have a place of their own there
    # What the form shows above it by the template `shows`, as things are now; its values also fill the hidden fields.
    preview: Callable[[Any, dict[str, Any]], dict[str, Any]] | None = None
    shows: str = ""
    leads: Callable[[Any, Any], str | None] = lambda row, made: None  # the reference to go to then, if not the thing


def in_states(*states: str) -> Callable[[Any], bool]:
    """Return the condition that a thing is in one of these states."""
    return lambda row: row.state in states
