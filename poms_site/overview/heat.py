"""A campaign's batches at a glance: one cell each, coloured by state; where there are many, one cell for a group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from django.db import connection

from campaigns.models import Campaign, Stage
from poms_site.overview.words import Look, count, look, words

MOST_CELLS = 1000
ORDERS = ("number", "worst")
# The worst first: a group is as its worst batch.
RANK = ("failed", "cancelled", "pending", "jobs_completed", "submitted", "project_running", "completed")

_GROUPED = """
SELECT stage_id, (n - 1) / %(size)s AS cell, state, count(*), min(number), max(number), min(id), sum(done), sum(n_units)
FROM (SELECT b.*, row_number() OVER (PARTITION BY stage_id ORDER BY pass_number, number) AS n
      FROM submissions_batch b WHERE stage_id = %(stage)s) b
GROUP BY 1, 2, 3
"""


@dataclass(frozen=True)
class Cell:
    """One batch, or several in a row: how it looks, what it says, and where it leads."""

    key: str  # of the batch, where it is one
    first: int
    last: int
    states: Mapping[str, int]
    state: str
    look: Look
    text: str

    @property
    def rank(self) -> int:
        """Return how bad it is; 0 is the worst."""
        return RANK.index(self.state)


@dataclass(frozen=True)
class Heat:
    """The batches of one stage; `size` of them share a cell."""

    stage: str
    total: int
    size: int
    cells: Sequence[Cell]


def heat_of(campaign: Campaign, order: str = "number", stage: str = "") -> list[Heat]:
    """Return the map of each stage, or of one: at most MOST_CELLS cells a stage, by number or the worst first."""
    stages = Stage.objects.filter(campaign=campaign).order_by("pk")
    found = []
    for row in stages.filter(name=stage) if stage else stages:
        total, size, cells = _cells(row)
        if total:
            ordered = sorted(cells, key=lambda cell: (cell.rank, cell.first)) if order == "worst" else cells
            found.append(Heat(row.name, total, size, ordered))
    return found


def _cells(stage: Stage) -> tuple[int, int, list[Cell]]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM submissions_batch WHERE stage_id = %s", [stage.pk])
        total = int(cursor.fetchone()[0])
        size = -(-total // MOST_CELLS) or 1
        cursor.execute(_GROUPED, {"stage": stage.pk, "size": size})
        rows = cursor.fetchall()
    groups: dict[int, list[tuple[str, int, int, int, int, int, int]]] = {}
    for _, cell, *facts in rows:
        groups.setdefault(int(cell), []).append(tuple(facts))
    return total, size, [_cell(stage.name, groups[cell]) for cell in sorted(groups)]


def _cell(stage: str, facts: Sequence[tuple[str, int, int, int, int, int, int]]) -> Cell:
    states = {state: number for state, number, *_ in sorted(facts, key=lambda one: RANK.index(one[0]))}
    worst = next(iter(states))
    first, last = min(one[2] for one in facts), max(one[3] for one in facts)
    done, units = sum(one[5] for one in facts), sum(one[6] for one in facts)
    if sum(states.values()) == 1:
        text = f"batch {first} of {stage}: {words(worst)}, {done} of {units} inputs done"
        return Cell(f"b{facts[0][4]}", first, last, states, worst, look(worst), text)
    told = ", ".join(f"{number} {words(state)}" for state, number in states.items())
    text = (
        f"{count(sum(states.values()), 'batch')} of {stage}, {first} to {last}: {told}; {done} of {units} inputs done"
    )
    return Cell("", first, last, states, worst, look(worst), text)
