"""Samples of jobs by state: what the counters say each minute, one zero at the end, thinned with time."""

from __future__ import annotations

from datetime import timedelta

import pytest

from core.clock import now
from integrations.models import Service, ServiceState
from poms_site.overview.jobs_over_time import BUCKETS, over_time
from poms_site.overview.outages import watched
from submissions.logic import sampling
from submissions.models import JobCount, JobSample
from submissions.states import JOB_RANK

pytestmark = pytest.mark.django_db


def counts(world, **states):
    running = world.own.objects["running"]
    JobCount.objects.filter(submission=running).delete()
    for state, number in states.items():
        JobCount.objects.create(submission=running, state_code=JOB_RANK[state], n=number)


def earlier(**span):
    """Let the samples that there are be older."""
    for row in JobSample.objects.order_by("at"):
        JobSample.objects.filter(pk=row.pk).update(at=row.at - timedelta(**span))


def told(experiment):
    return list(
        JobSample.objects.filter(experiment=experiment)
        .order_by("at")
        .values_list("idle", "staging", "processing", "held")
    )


def test_a_sample_says_what_the_counters_say_and_there_is_one_a_minute(world, cast):
    counts(world, idle=5, staging_in=2, staging_out=1, processing=7, held=3, suspended=1, succeeded=99, failed=4)
    sampling.sample_some()
    sampling.sample_some()
    rows = told(cast.experiment)
    assert set(rows) == {(5, 3, 7, 4)} and len(rows) in (1, 2)  # two where a minute began in between


def test_who_has_no_jobs_any_more_gets_one_sample_that_says_so(world, cast):
    counts(world, processing=2)
    sampling.sample_some()
    counts(world, succeeded=2)
    for _ in range(3):
        earlier(minutes=2)
        sampling.sample_some()
    assert told(cast.experiment) == [(0, 0, 2, 0), (0, 0, 0, 0)]


def test_old_samples_are_kept_for_full_hours_and_at_last_not_at_all(world, cast):
    at = now().replace(minute=0, second=0, microsecond=0)
    ages = {1: True, 3: False, 400: False, sampling.HOURLY_DAYS + 1: False}
    for days in ages:
        for minute in (0, 1):
            when = at - timedelta(days=days) + timedelta(minutes=minute)
            JobSample.objects.create(experiment=cast.experiment, at=when, hourly=minute == 0, idle=days)
    sampling.sample_some()
    kept = list(
        JobSample.objects.filter(experiment=cast.experiment, idle__gt=0)
        .order_by("idle", "hourly")
        .values_list("idle", "hourly")
    )
    assert kept == [(1, False), (1, True), (3, True), (400, True)]


def test_the_picture_has_the_last_sample_of_each_step_and_goes_on_where_there_is_none(world, cast):
    at = now()
    for hours, idle in ((30, 9), (12.05, 4), (12.01, 6), (2, 0)):
        JobSample.objects.create(experiment=cast.experiment, at=at - timedelta(hours=hours), hourly=False, idle=idle)
    found = over_time(cast.experiment, "day", watched(cast.experiment))
    values = [sample["idle"] for _, sample in found.samples]
    assert len(values) == BUCKETS
    assert (values[0], values[118], values[125], values[-1]) == (9, 9, 6, 0)
    assert (found.bands[-1].most, found.bands[-1].last) == (9, 0)


def test_another_experiment_is_not_in_it(world, cast):
    JobSample.objects.create(experiment=cast.other, at=now() - timedelta(hours=1), hourly=False, idle=5)
    found = over_time(cast.experiment, "day", watched(cast.experiment))
    assert not any(sample["idle"] for _, sample in found.samples)


def test_outages_are_shaded_where_they_were(world, cast):
    at = now()
    row = Service.objects.create(experiment=cast.experiment, name="samweb", kind="http", title="SAM")
    ServiceState.objects.create(
        service=row,
        source="up",
        target="down",
        reason="503",
        at=at - timedelta(hours=12),
        until=at - timedelta(hours=6),
    )
    [shade] = over_time(cast.experiment, "day", watched(cast.experiment)).shades
    assert (round(shade.x), round(shade.width)) == (50, 25) and "SAM down" in shade.text
