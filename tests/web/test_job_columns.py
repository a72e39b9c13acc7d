"""The list of jobs by any column: sorted both ways, walked once, within its window; the columns that are chosen."""

from __future__ import annotations

from datetime import timedelta

import pytest

from poms_site.overview import choosing
from poms_site.web import job_columns
from poms_site.web.job_columns import COLUMNS
from submissions import queries
from submissions.models import Job
from submissions.states import JOB_RANK
from tests.web.test_listing import JOBS, later, refs, walk

pytestmark = pytest.mark.django_db


def plant(world, count, **facts):
    """Make jobs; a fact may be a function of the number of the job."""
    like = world.own.objects["job"]
    known = Job.objects.count()
    return Job.objects.bulk_create(
        Job(
            experiment=like.experiment, submission=like.submission, system=like.system, starts=1,
            external_id=f"{known + n}.7@local", state_code=JOB_RANK["succeeded"], event_at=like.event_at,
            state_since=like.state_since, ended_at=like.event_at,
            **{name: fact(n) if callable(fact) else fact for name, fact in facts.items()},
        )
        for n in range(count)
    )  # fmt: skip


SORTED = [(column, way) for column in COLUMNS if column.sort for way in ("asc", "desc")]


@pytest.mark.parametrize(("column", "way"), SORTED, ids=lambda given: getattr(given, "key", given))
def test_every_column_that_sorts_walks_every_row_that_has_it_once_in_order(world, cast, as_, column, way):
    like = world.own.objects["job"]
    values = {
        "node": lambda n: f"n~{n // 30}", "site": lambda n: f"s{n // 30}", "slot_type": lambda n: f"t{n // 30}",
        "code": lambda n: f"c{n // 30}", "memory_mb": lambda n: n // 30 + 0.1, "wall_s": lambda n: n / 7,
        "cpu_s": lambda n: n / 3, "cpus": lambda n: n // 30, "exit_code": lambda n: n // 30 - 1,
        "started_at": lambda n: like.event_at - timedelta(seconds=n // 30),
    }  # fmt: skip
    plant(world, 70, **values)
    plant(world, 3)  # those of which most is not known
    found = walk(as_(cast.experimenter), f"{JOBS}?sort={column.key}.{way}")
    sign = "-" if way == "desc" else ""
    rows = Job.objects.filter(experiment=cast.experiment, **{f"{column.sort}__isnull": False})
    assert found == [f"j{pk}" for pk in rows.order_by(f"{sign}{column.sort}", f"{sign}pk").values_list("pk", flat=True)]
    assert len(found) >= 70


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("sort=memory", 422), ("sort=memory.up", 422), ("sort=campaign.asc", 422), ("sort=.asc", 422),
        ("sort=memory.desc&after=nan~1", 422), ("sort=memory.desc&after=x~1", 422), ("sort=memory.desc&after=3", 422),
        ("sort=exit_code.asc&after=1.5~1", 422), ("sort=started.asc&after=2026~1", 422),
        ("sort=exit_code.asc&after=99999999999999999999~1", 200), ("sort=node.asc&after=a~b~1", 200),
        ("columns=nosuch", 422), ("column=nosuch", 422), ("memory_over=lots", 422), ("started_after=2026-01-01", 422),
        ("exit_code=1e3", 422), ("efficiency_below=-1", 422), ("exit_code=-9", 200), ("efficiency_below=30", 200),
    ],
)  # fmt: skip
def test_addresses_that_say_what_no_list_has_are_refused(world, cast, as_, query, status):
    assert as_(cast.experimenter).get(f"{JOBS}?{query}").status_code == status


def test_columns_that_are_chosen_are_kept_in_every_link(world, cast, as_, text):
    plant(world, 60, node="n", memory_mb=300.0)
    client = as_(cast.experimenter)
    chosen = client.get(JOBS, {"column": ["wall", "node"], "node": "n"})
    assert (chosen.status_code, chosen["Location"]) == (302, "?node=n&columns=node%2Cwall")
    shown = client.get(f"{JOBS}{chosen['Location']}")
    assert "300 MB" not in text(shown) and 'data-th="wall time"' in shown.content.decode()
    assert "columns=node%2Cwall" in later(shown)
    assert "columns=node%2Cwall&amp;sort=wall.desc" in shown.content.decode()
    assert len(refs(shown)) == 50


def test_what_a_job_used_narrows_the_list_the_api_and_a_selection_alike(world, cast, as_):
    plant(world, 3, memory_mb=100.0)
    heavy = plant(world, 2, memory_mb=900.0, wall_s=100.0, cpu_s=10.0, exit_code=65)
    client, wanted = as_(cast.experimenter), {f"j{job.pk}" for job in heavy}
    for query in (
        {"memory_over": "500"}, {"exit_code": "65"}, {"efficiency_below": "30"}, {"wall_over": "99.5"},
    ):  # fmt: skip
        assert set(refs(client.get(JOBS, query))) == wanted, query
        there = client.get("/api/v1/jobs/", {**query, "experiment": "demo"}).json()["results"]
        assert {row["ref"].partition("/")[2] for row in there} == wanted, query
        chosen = choosing.by_filter(cast.operator, cast.experiment, "job", query)
        assert {f"j{pk}" for pk in chosen.rows.values_list("pk", flat=True)} == wanted, query


def test_the_window_is_of_the_latest_jobs_of_what_the_list_is_about(world, cast, as_, text, monkeypatch):
    monkeypatch.setattr(job_columns, "WINDOW", 5)
    old = plant(world, 3, memory_mb=900.0)
    new = plant(world, 5, memory_mb=lambda n: 100.0 + n)
    shown = as_(cast.experimenter).get(f"{JOBS}?sort=memory.desc")
    assert refs(shown) == [f"j{job.pk}" for job in new[::-1]]
    assert "Among the latest 5 jobs of this experiment" in text(shown) and "largest first" in text(shown)
    running = world.own.ref("running").rpartition("/")[2]
    assert "of this submission" in text(as_(cast.experimenter).get(f"{JOBS}?sort=memory.asc&submission={running}"))
    assert old[0].pk not in Job.objects.filter(
        pk__in=queries.latest_jobs("experiment", cast.experiment.pk, 5)
    ).values_list("pk", flat=True)


def test_a_stranger_sees_no_job_in_any_order(world, cast, as_):
    plant(world, 2, memory_mb=1.0)
    assert as_(cast.stranger).get(f"{JOBS}?sort=memory.desc").status_code == 404
