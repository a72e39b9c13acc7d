"""What a catalogue answers to questions about what it cannot do; one that can do more says so, and answers itself."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from integrations.catalogue.base import Attempt
from integrations.errors import Refused


class Unable:
    """The calls that a catalogue may leave out: it inherits them, and names in `can` those that it has of its own.

    `called` begins each sentence that a person reads.
    """

    called = "This catalogue"
    can: frozenset[str] = frozenset()

    def children(self, names: Sequence[str]) -> dict[str, list[str]]:
        """Refuse: it knows no LINEAGE."""
        raise Refused(f"{self.called} does not know what was made from its files.")

    def query(self, text: str) -> list[str]:
        """Refuse: it has no QUERIES."""
        raise Refused(f"{self.called} has no queries; name a dataset.")

    def matching(self, names: Sequence[str], condition: str) -> set[str]:
        """Refuse: it has no QUERIES."""
        raise Refused(f"{self.called} has no conditions; leave them out.")

    def residence(self, names: Sequence[str]) -> dict[str, str]:
        """Refuse: it knows no RESIDENCE."""
        raise Refused(f"{self.called} does not know what is on disk and what on tape.")

    def recall(self, names: Sequence[str]) -> None:
        """Refuse: it has no tape behind it."""
        raise Refused(f"{self.called} cannot bring files to disk.")

    def archived(self, names: Sequence[str]) -> set[str]:
        """Return nothing: it has no tape behind it."""
        return set()

    def bring(self, names: Sequence[str], to: str) -> set[str]:
        """Refuse: it has no TRANSFERS."""
        raise Refused(f"{self.called} brings no files to a place.")

    def place(self, path: str) -> Path | None:
        """Return nothing: the bytes of its files cannot be read from here."""
        return None

    def fates(self, attempt: Attempt) -> dict[str, str]:
        """Return nothing: it follows no CONSUMPTION, what became of inputs is told by the jobs themselves."""
        return {}
