"""Makes stages that have no input what they were in the old POMS: launched once, with a script that knows what to make.

The texts of the field begin so: a first stage with `dataset_or_split_data=None` and no parent writes configurations,
which the next one reads. Here such a stage is a generator of a single event, and says so.
"""

from __future__ import annotations

from campaigns.definition import FROM_PARENT, changing, parse

SAYS = "Warning: stage '{}' has neither dataset nor parent: it is launched once, as a generator of one event"
ONE = {"stage_type": "generator", "events": "1", "events_per_job": "1"}


def launched_once(text: str) -> tuple[str, list[str]]:
    """Return the text with its stages without input launched once, and a warning for each."""
    found = parse(text).definition
    fed = {edge.downstream for edge in (*found.edges, *found.across) if edge.upstream != edge.downstream}
    alone = [
        stage.name
        for stage in found.stages
        if stage.type in ("regular", "test") and stage.name not in fed and stage.dataset in ("", FROM_PARENT)
    ]
    changes: dict[tuple[str, str, str], str | None] = {
        ("campaign_stage", name, key): value for name in alone for key, value in ONE.items()
    }
    return (changing.set_values(text, changes) if changes else text), [SAYS.format(name) for name in alone]
