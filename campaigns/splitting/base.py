"""How inputs are cut into batches: which splits there are and what each weighs. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from campaigns.splitting import by_events, by_files, whole

Cut = Callable[[Sequence[int], int, bool], list[int]]

# name -> (what one input weighs, how to cut)
SPLITS: dict[str, tuple[str, Cut]] = {
    "nfiles": ("file", by_files.cut),
    "nevents": ("events", by_events.cut),
    "whole": ("file", whole.cut),
}
LARGEST = 10_000_000_000
# What POMS cuts by and we do not yet: a definition may name them, and is not run.
LATER = (
    "list", "multiparam", "mod", "drainingn", "draining", "limitn", "stagedfiles", "byrun", "byexistingruns", "new",
)  # fmt: skip


@dataclass(frozen=True)
class Split:
    """A split and its size: at most so many files, or events, a batch."""

    kind: str
    size: int

    def __str__(self) -> str:
        return self.kind if self.kind == "whole" else f"{self.kind}({self.size})"

    @property
    def weighs(self) -> str:
        """Return what an input is counted by: "file" or "events"."""
        return SPLITS[self.kind][0]

    def cut(self, weights: Sequence[int], *, closed: bool) -> list[int]:
        """Return how many of the inputs, taken in order, go into each batch.

        While more inputs may come (`closed` is false) a last batch that is not full is left for later. The
        batches are a partition: no input twice, and with `closed` none left out (T4).
        """
        return SPLITS[self.kind][1](weights, self.size, closed)


def parse(text: str) -> Split:
    """Read a split as the text form writes it, for instance `nfiles(10)`; raise ValueError with a sentence."""
    bare = text.strip()
    if bare in ("", "None", "whole"):
        return Split("whole", 0)
    match = re.fullmatch(r"(\w+)\(\s*(-?\d+)\s*\)", bare)
    if match is None:
        raise ValueError(f"a split looks like nfiles(10) or nevents(5000), not {bare}")
    kind, size = match[1], int(match[2])
    if kind not in SPLITS or kind == "whole":
        raise ValueError(f"there is no split {kind}; there are nfiles(n), nevents(n) and None")
    if not 1 <= size <= LARGEST:
        raise ValueError(f"the size of {kind} is {size}; it must be at least 1")
    return Split(kind, size)
