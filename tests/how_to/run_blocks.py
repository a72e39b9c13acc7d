"""Split `byruns(100)`: one batch for each block of so many runs."""

from __future__ import annotations

from collections.abc import Callable

from campaigns.splitting import Input, Kind, Split, arguments
from campaigns.splitting.kinds import Group


def by_blocks(split: Split) -> Callable[[Input], Group]:
    """Return what gives each input the block that its run is in: 700 to 799."""
    runs = split.given["runs"]

    def block(entry: Input) -> Group:
        if entry.run is None:
            return "has no run number"
        first = entry.run // runs * runs
        return first, f"{first} to {first + runs - 1}"

    return block


ROW = {
    "byruns": Kind(
        "one batch for so many runs, such as 700 to 799", {"runs": arguments.number(1, arguments.LATEST_RUN)},
        ("runs",), groups="run", grouping=by_blocks, such_as="byruns(100)",
    ),
}  # fmt: skip
