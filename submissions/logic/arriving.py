"""New files of a dataset become inputs of the stage that keeps up with it (T7)."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction

from campaigns import keepup, queries, splitting
from campaigns.models import Schedule
from core.crashpoints import crashpoint
from core.errors import Conflict
from integrations import registry
from submissions.logic import feeding, freezing, planning, ticking

WANTS = frozenset({"path", "events", "size", "taken_at"})


def arrive(schedule: Schedule, tick: datetime) -> int | None:
    """Look for files that the stage's dataset has gained, and make them its inputs; return how many.

    The catalogue is asked outside of any transaction. Then inputs, counters, the mark up to which the dataset is
    known, and the outcome of this tick are written together, so that no file is left out or taken twice whatever
    happens in between. Returns None if another worker has written the outcome meanwhile.

    Raises integrations.errors.OutsideError where the catalogue does not answer: then nothing is written.
    """
    version = queries.running_version(schedule.stage_id)
    if version is None:
        raise Conflict(f"The stage {schedule.stage.ref} is not part of what runs any more.")
    experiment = version.revision.campaign.experiment
    split = splitting.parse(version.split)
    catalogue = registry.catalogue(experiment, version.catalogue)
    found = catalogue.news(version.dataset, schedule.mark, WANTS | split.wants)
    traits = [freezing.traits_of(split, seen) for seen in found.files]
    crashpoint("schedule.after_news")
    with transaction.atomic():
        row = ticking.locked(schedule)
        if not ticking.is_open(row, tick):
            return None
        fresh = feeding.take_in(version, found.files, traits, since=row.since)
        outcome = keepup.RAN if fresh else keepup.NOTHING_NEW
        ticking.close(row, tick, outcome, inputs=fresh, mark=found.mark)
        if fresh:
            planning.note([row.stage_id])
        crashpoint("schedule.before_commit")
    crashpoint("schedule.after_commit")
    return fresh
