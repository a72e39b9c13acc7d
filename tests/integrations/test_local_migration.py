"""The migration of the local catalogue on a database that is full of data."""

from __future__ import annotations

from importlib import import_module

import pytest
from django.db import connection

from integrations.catalogue.base import FileSeen
from integrations.catalogue.local import LocalCatalogue
from integrations.catalogue.metadata import runs_of
from integrations.models import File, FileRun
from tests.cast import Cast

FILL = import_module("integrations.migrations.0004_local_catalogue").FILL
METADATA = {
    "plain": {},
    "whole": {"runs": [[713, 74, "physics"], [712, 1, "cosmic"], [713, 74, "physics"]],
              "start_time": "2026-03-31T20:06:55+00:00", "end_time": "2026-04-01"},
    "bare": {"runs": [5, "7"], "start_time": "2026-03-31 20:06:55.5", "end_time": "2026-04-01T01:00:00-0500"},
    "wild": {"runs": ["x", None, {}, [], [None, 1], [-1], [10**30], 1.5, True], "start_time": "now", "end_time": 17},
    "impossible": {"runs": "none", "start_time": "2026-02-30", "end_time": "2026-01-01T25:00:00"},
    "nothing": {"runs": None, "start_time": None},
}  # fmt: skip


SEEN = [FileSeen(name, "" if name == "plain" else f"/{name}", 1, metadata=data) for name, data in METADATA.items()]


@pytest.mark.django_db
def test_what_was_there_gets_the_runs_and_times_that_a_declaration_would_give_it(cast: Cast):
    catalogue = LocalCatalogue(cast.experiment)
    rows = [catalogue._row(seen) for seen in SEEN]
    File.objects.bulk_create(rows)
    wanted = facts()
    declared_runs = sorted((row.name, run.run, run.subrun, run.type) for row in rows for run in runs_of(row.metadata))
    with connection.cursor() as cursor:
        cursor.execute("UPDATE integrations_file SET run = NULL, start_time = NULL, end_time = NULL, medium = 'disk'")
        cursor.execute(FILL)
    assert facts() == wanted
    found = FileRun.objects.values_list("file__name", "run", "subrun", "type")
    assert sorted(found) == declared_runs
    assert declared_runs == [
        ("bare", 5, 0, ""), ("bare", 7, 0, ""), ("whole", 712, 1, "cosmic"), ("whole", 713, 74, "physics"),
    ]  # fmt: skip


def facts() -> dict[str, tuple[object, ...]]:
    rows = File.objects.order_by("name").values_list("name", "run", "start_time", "end_time", "medium")
    return {name: rest for name, *rest in rows}
