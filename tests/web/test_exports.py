"""Lists as files: all rows that one may see and that fit, by page, API and command, in both forms."""

from __future__ import annotations

import csv
import io

import pyarrow.parquet
import pytest

from poms_site.overview import exporting
from submissions.models import Batch, Job, Submission
from submissions.states import JOB_RANK

pytestmark = pytest.mark.django_db


def plant(world, count, **facts):
    like = world.own.objects["job"]
    known = Job.objects.count()
    return Job.objects.bulk_create(
        Job(
            experiment=like.experiment, submission=like.submission, system=like.system, starts=1,
            external_id=f"{known + n}.7@local", state_code=JOB_RANK["failed"], event_at=like.event_at,
            state_since=like.state_since, ended_at=like.event_at, **facts,
        )
        for n in range(count)
    )  # fmt: skip


def body(answer):
    assert answer.status_code == 200, answer.content
    return b"".join(answer.streaming_content)


def read(answer):
    return pyarrow.parquet.read_table(io.BytesIO(body(answer))).to_pylist()


def rows(answer):
    return list(csv.DictReader(io.StringIO(body(answer).decode())))


def test_a_list_of_jobs_is_a_file_with_every_row_that_fits_newest_first(world, cast, as_, monkeypatch):
    monkeypatch.setattr(exporting, "PIECE", 7)
    planted = plant(world, 30, node="n1", memory_mb=300.5, exit_code=65)
    plant(world, 5, node="n2")
    client = as_(cast.experimenter)
    found = rows(client.get("/e/demo/jobs/", {"export": "csv", "node": "n1"}))
    assert [row["job"] for row in found] == [f"j{job.pk}" for job in planted[::-1]]
    assert (found[0]["memory_mb"], found[0]["exit_code"], found[0]["state"]) == ("300.5", "65", "failed")
    assert (found[0]["campaign"], found[0]["stage"]) == (world.own.ref("campaign").rpartition("/")[2], "gen")
    same = read(client.get("/e/demo/jobs/", {"export": "parquet", "node": "n1"}))
    assert [row["job"] for row in same] == [row["job"] for row in found] and {row["memory_mb"] for row in same} == {
        300.5
    }
    there = client.get("/api/v1/jobs/export/", {"to": "csv", "node": "n1", "experiment": "demo"})
    assert rows(there) == found


@pytest.mark.parametrize(("noun", "model"), [("batches", Batch), ("submissions", Submission)])
def test_batches_and_submissions_are_files_too(world, cast, as_, noun, model):
    wanted = [
        str(pk) for pk in model.objects.filter(experiment=cast.experiment).order_by("-pk").values_list("pk", flat=True)
    ]
    client = as_(cast.experimenter)
    for answer in (
        client.get(f"/e/demo/{noun}/", {"export": "csv"}),
        client.get(f"/api/v1/{noun}/export/", {"experiment": "demo"}),
    ):
        assert [next(iter(row.values()))[1:] for row in rows(answer)] == wanted
    found = read(client.get(f"/e/demo/{noun}/", {"export": "parquet", "state": "failed"}))
    assert len(found) == model.objects.filter(experiment=cast.experiment, state="failed").count()


def test_nobody_gets_a_row_that_they_may_not_see(world, cast, as_):
    theirs = world.other.ref("job").rpartition("/")[2]
    assert theirs not in {row["job"] for row in rows(as_(cast.experimenter).get("/api/v1/jobs/export/"))}
    assert as_(cast.stranger).get("/e/demo/jobs/", {"export": "csv"}).status_code == 404
    assert as_(cast.guest).get("/e/demo/jobs/", {"export": "csv"}).status_code == 403


def test_a_file_has_so_many_rows_and_goes_on_behind_its_last(world, cast, as_, monkeypatch):
    monkeypatch.setattr(exporting, "MOST", 8)
    monkeypatch.setattr(exporting, "PIECE", 3)
    plant(world, 20)
    client, found, after = as_(cast.experimenter), [], ""
    while piece := rows(client.get("/e/demo/jobs/", {"export": "csv", "after": after})):
        assert len(piece) <= 8
        found += [row["job"] for row in piece]
        after = found[-1]
    jobs = Job.objects.filter(experiment=cast.experiment).order_by("-pk")
    assert found == [f"j{pk}" for pk in jobs.values_list("pk", flat=True)]


@pytest.mark.parametrize(
    "query", [{"export": "xml"}, {"export": "csv", "after": "x"}, {"export": "csv", "state": "asleep"}]
)
def test_what_cannot_be_exported_is_refused(world, cast, as_, query):
    assert as_(cast.experimenter).get("/e/demo/jobs/", query).status_code == 422


def test_what_the_api_does_not_know_is_refused(world, cast, as_):
    client = as_(cast.experimenter)
    for query in ({"to": "xml"}, {"cursor": "1"}, {"nosuch": "1"}, {"after": "-1"}):
        assert client.get("/api/v1/jobs/export/", query).status_code == 422, query


def test_no_text_of_a_job_is_a_formula_in_a_spreadsheet(world, cast, as_):
    plant(world, 1, reason='=cmd|"/c calc"!A1', code="-1", node="@x", site="plain")
    [row] = rows(as_(cast.experimenter).get("/e/demo/jobs/", {"export": "csv", "site": "plain"}))
    assert (row["reason"], row["code"], row["node"], row["site"]) == ('\'=cmd|"/c calc"!A1', "'-1", "'@x", "plain")


def test_the_statements_of_a_file_grow_with_its_pieces_only(world, cast, as_, django_assert_num_queries, monkeypatch):
    monkeypatch.setattr(exporting, "PIECE", 10)
    plant(world, 24)
    found = exporting.exported("job", Job.objects.filter(experiment=cast.experiment), "csv")
    with django_assert_num_queries(3):
        assert len(b"".join(found).splitlines()) == 26


def test_the_page_leads_to_the_files_with_its_filters(world, cast, as_):
    plant(world, 1, node="n&1")
    shown = as_(cast.experimenter).get("/e/demo/jobs/", {"node": "n&1"}).content.decode()
    assert 'href="?node=n%261&amp;export=csv"' in shown and 'href="?node=n%261&amp;export=parquet"' in shown
