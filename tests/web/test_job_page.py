"""A job's page: its life, what it used, and the services that were down while it ran (D1)."""

from __future__ import annotations

from datetime import timedelta

import pytest

from core.clock import now
from core.models import Transition
from integrations.models import Downtime, Service, ServiceState
from poms_site.overview.charts import Window
from poms_site.overview.job_life import life_of, spans_of
from poms_site.overview.outages import services_during, watched
from submissions.logic import checking
from submissions.models import EveryJob, Job
from submissions.states import JOB_ENDED, JOB_RANK

pytestmark = pytest.mark.django_db
MINUTE = timedelta(minutes=1)
TEN = 10 * MINUTE


def job_of(world, begin, end, state="failed", **facts):
    """Make a job of the world's running submission that ran from `begin` to `end`, with its steps."""
    running = world.own.objects["running"]
    given = {"started_at": begin, "ended_at": end if state in JOB_ENDED else None, **facts}
    job = Job.objects.create(
        experiment=world.own.experiment, submission=running, system=world.own.objects["system"], index=1,
        external_id=f"{Job.objects.count() + 10}.0@local", state_code=JOB_RANK[state], starts=1, event_at=end,
        state_since=end, **given,
    )  # fmt: skip
    steps(job, ("", "idle", begin - MINUTE), ("idle", "processing", begin), ("processing", state, end))
    return job


def steps(job, *wanted):
    for source, target, at in wanted:
        Transition.objects.create(
            kind="job", thing_id=job.pk, experiment_id=job.experiment_id, source=source, target=target, verb="observe",
            at=at, actor="test", txid=1, reason=f"now {target}",
        )  # fmt: skip


def service(world, name="catalogue", **values):
    given = {"kind": "http", "every_s": 30, "downs": 1, **values}
    return Service.objects.create(experiment=world.own.experiment, name=name, title=name.title(), **given)


def was(row, *changes):
    """Write a service's history: (state, since) in order."""
    for number, (target, at) in enumerate(changes):
        until = changes[number + 1][1] if number + 1 < len(changes) else None
        ServiceState.objects.create(
            service=row, source="unknown", target=target, reason=f"it is {target}", at=at, until=until
        )


def seen_by(user, world):
    """Return the services of the world's own experiment, and those of all, as somebody sees them."""
    return watched(world.own.experiment, Service.objects.visible_to(user))


# --- Its life --------------------------------------------------------------------------------------------------


def test_a_life_of_two_starts_has_every_stay_once_and_nothing_between(world):
    begin = now() - timedelta(hours=1)
    job = world.own.objects["job"]
    at = [begin + n * MINUTE for n in range(10)]
    told = ["idle", "staging_in", "processing", "held", "idle", "staging_in", "processing", "suspended", "processing"]
    steps(job, *[("", state, when) for state, when in zip(told, at, strict=False)], ("processing", "succeeded", at[9]))
    found = list(Transition.objects.filter(kind="job", thing_id=job.pk))
    window, spans = spans_of(job, found[::-1], at[9])
    assert [span.state for span in spans] == told
    assert [span.start for span in spans] == [0, 1, 1, 1, 1, 2, 2, 2, 2]
    assert all(one.end == next_.begin for one, next_ in zip(spans, spans[1:], strict=False))
    assert (window.begin, window.end) == (at[0], at[9])
    assert sum(span.seconds for span in spans) == 9 * 60
    assert round(sum(span.width for span in spans)) == 100


def test_steps_that_were_told_late_stand_where_they_belong(world):
    begin = now() - timedelta(hours=1)
    job = world.own.objects["job"]
    steps(job, ("", "processing", begin + MINUTE), ("processing", "succeeded", begin + 3 * MINUTE), ("", "idle", begin))
    _, spans = spans_of(job, list(Transition.objects.filter(kind="job", thing_id=job.pk)), begin + 3 * MINUTE)
    assert [(span.state, span.seconds) for span in spans] == [("idle", 60), ("processing", 120)]


def test_a_job_whose_steps_are_gone_has_its_last_state(world, cast):
    job = world.own.objects["job"]
    life = life_of(EveryJob.objects.select_related("experiment").get(pk=job.pk), cast.experimenter)
    assert [state for state, *_ in life.stays] == ["processing"]


# --- An outage --------------------------------------------------------------------------------------------------


def test_jobs_that_failed_in_an_outage_of_ten_minutes_show_it_and_others_do_not(world, cast, as_, text):
    begin = now() - timedelta(hours=2)
    end = begin + TEN
    row = service(world)
    was(row, ("up", begin - timedelta(hours=5)), ("down", begin), ("up", end))
    well = service(world, "disk")
    was(well, ("up", begin - timedelta(hours=5)))
    hour = timedelta(hours=1)
    inside = [begin + timedelta(seconds=seconds) for seconds in (1, 60, 300, 599)]
    hit = [job_of(world, begin - hour, at) for at in inside]
    hit += [job_of(world, begin + MINUTE, begin + 2 * MINUTE)]
    missed = [
        job_of(world, begin - 2 * hour, begin - hour), job_of(world, end + MINUTE, end + hour),
        job_of(world, begin - hour, begin - 2 * MINUTE),
    ]  # fmt: skip
    client = as_(cast.experimenter)
    for job in hit:
        shown = client.get(f"/e/demo/jobs/j{job.pk}/")
        assert f'id="outage-v{row.pk}"' in shown.content.decode(), job.ended_at
        assert "Catalogue was down for" in text(shown) and "and when it ended" in text(shown)
        assert f'id="outage-v{well.pk}"' not in shown.content.decode()
        told = client.get(f"/api/v1/jobs/demo/j{job.pk}/life/").json()["outages"]
        assert [(entry["name"], entry["ended_in"]) for entry in told] == [("catalogue", True)]
    for job in missed:
        shown = client.get(f"/e/demo/jobs/j{job.pk}/")
        assert "outage-v" not in shown.content.decode(), (job.started_at, job.ended_at)
        assert client.get(f"/api/v1/jobs/demo/j{job.pk}/life/").json()["outages"] == []


def test_a_job_that_ran_through_an_outage_tells_how_long_it_was_and_that_it_did_not_end_in_it(world, cast, as_, text):
    begin = now() - timedelta(hours=2)
    was(service(world), ("down", begin), ("up", begin + TEN))
    job = job_of(world, begin - TEN, begin + 2 * TEN)
    shown = text(as_(cast.experimenter).get(f"/e/demo/jobs/j{job.pk}/"))
    assert "Catalogue was down for 10 min while it ran" in shown and "and when it ended" not in shown


def test_a_job_that_failed_before_the_look_that_found_the_outage_says_so(world, cast, as_, text):
    begin = now() - timedelta(hours=2)
    was(service(world, every_s=60), ("down", begin), ("up", begin + TEN))
    job = job_of(world, begin - TEN, begin - timedelta(seconds=40))
    shown = text(as_(cast.experimenter).get(f"/e/demo/jobs/j{job.pk}/"))
    assert "Catalogue was found down 40 s after it ended" in shown
    early = job_of(world, begin - TEN, begin - timedelta(seconds=90))
    assert "found down" not in text(as_(cast.experimenter).get(f"/e/demo/jobs/j{early.pk}/"))


def test_what_people_say_and_what_is_planned_are_outages_too(world, cast):
    at = now()
    said, planned = service(world, "said", kind="none"), service(world, "planned")
    checking.override(said, "down", by="user:shifter", reason="it smokes")
    Downtime.objects.create(
        service=planned, begins_at=at - TEN, ends_at=at + TEN, reason="upgrade", actor="user:operator"
    )
    taken_back = service(world, "back")
    Downtime.objects.create(
        service=taken_back, begins_at=at - TEN, ends_at=at + TEN, ended_at=at - 2 * TEN, reason="no", actor="user:operator"
    )  # fmt: skip
    found = {
        during.service.name: during
        for during in services_during(seen_by(cast.experimenter, world), Window(at - TEN, now() + MINUTE))
    }
    assert [(o.how, o.reason, o.end) for o in found["said"].outages] == [("said by shifter", "it smokes", None)]
    assert [o.how for o in found["planned"].outages] == ["planned"]
    assert not found["back"].outages
    checking.override(said, "", by="user:shifter", reason="it was steam")
    again = services_during(seen_by(cast.experimenter, world), Window(at - TEN, now() + MINUTE))
    assert next(d for d in again if d.service.name == "said").outages[0].end is not None


def test_services_of_another_experiment_are_not_told(world, cast):
    at = now()
    row = Service.objects.create(experiment=world.other.experiment, name="secret", kind="none")
    was(row, ("down", at - TEN))
    found = services_during(seen_by(cast.experimenter, world), Window(at - TEN, at))
    assert "secret" not in {during.service.name for during in found}


# --- What it used, and its records -----------------------------------------------------------------------------


def test_what_it_used_stands_against_what_it_asked_for(world, cast, as_, text):
    at = now()
    job = job_of(world, at - TEN, at, memory_mb=300, wall_s=30.0, cpu_s=15.0, cpus=1)
    shown = text(as_(cast.experimenter).get(f"/e/demo/jobs/j{job.pk}/"))
    assert "300 MB of 200 MB, 150.0" in shown  # the tiny campaign asks for 200 MB and 60 s
    assert "30 s of 1 min, 50.0" in shown
    assert "15 s of 1 × wall time, 50.0" in shown


def test_the_catalogue_is_asked_only_when_somebody_wants_to_know(world, cast, as_, text):
    job = world.own.ref("job").rpartition("/")[2]
    client = as_(cast.experimenter)
    assert "Ask the catalogue" in text(client.get(f"/e/demo/jobs/{job}/"))
    assert "keeps no record" in text(client.get(f"/e/demo/jobs/{job}/", {"records": "1"}))
    assert client.get(f"/api/v1/jobs/demo/{job}/records/").json()["inputs"] == []
