"""Lists: every row once over all pages, filters that stay in links, and refusals that say what is known."""

from __future__ import annotations

import re
from datetime import timedelta
from html import unescape

import pytest
from django.test import RequestFactory
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from campaigns.models import Campaign
from core.errors import Refused
from poms_site.web import listing
from poms_site.web.listing import Filter, by, listed
from submissions.models import Job
from submissions.states import JOB_RANK

JOBS = "/e/demo/jobs/"


def plant(world, seconds, node="n"):
    """Make a job for each number: how many seconds ago it came into its state."""
    like = world.own.objects["job"]
    count = Job.objects.count()
    return Job.objects.bulk_create(
        Job(
            experiment=like.experiment, submission=like.submission, system=like.system, index=None, starts=1,
            external_id=f"{count + n}.0@local", state_code=JOB_RANK["processing"], event_at=like.event_at,
            state_since=like.state_since - timedelta(seconds=ago), node=node,
        )
        for n, ago in enumerate(seconds)
    )  # fmt: skip


def refs(answer):
    return re.findall(r'<th scope="row"><a href="/e/demo/jobs/(j\d+)/"', answer.content.decode())


def later(answer):
    found = re.search(r'href="([^"]*)" rel="next"', answer.content.decode())
    return unescape(found[1]) if found else ""


def walk(client, address, meanwhile=lambda: None):
    """Follow the links from page to page; return all references in the order in which they were shown."""
    found, base = [], address.partition("?")[0]
    while address:
        answer = client.get(address)
        assert answer.status_code == 200
        found += refs(answer)
        meanwhile()
        address = later(answer) and base + later(answer)
    return found


@pytest.mark.django_db
@pytest.mark.parametrize("sort", ["newest", "longest"])
def test_the_pages_of_a_list_show_every_row_once(world, cast, as_, sort):
    plant(world, [n // 40 for n in range(130)])  # many are in their state since the same moment
    found = walk(as_(cast.experimenter), f"{JOBS}?sort={sort}")
    jobs = Job.objects.filter(experiment=cast.experiment).order_by(
        *(["-pk"] if sort == "newest" else ["state_since", "pk"])
    )
    assert len(found) == 131
    assert found == [f"j{pk}" for pk in jobs.values_list("pk", flat=True)]


@pytest.mark.django_db
@pytest.mark.parametrize("sort", ["newest", "longest"])
def test_rows_that_come_meanwhile_neither_repeat_nor_hide_others(world, cast, as_, sort):
    before = {f"j{job.pk}" for job in plant(world, [n // 40 for n in range(130)])}
    found = walk(as_(cast.experimenter), f"{JOBS}?sort={sort}", lambda: plant(world, [0, 1, 2, 200]))
    assert len(found) == len(set(found))
    assert before <= set(found)


@pytest.mark.django_db
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(ages=st.lists(st.integers(0, 4), max_size=12), size=st.integers(1, 5))
def test_pages_of_any_size_over_any_ties_walk_every_row_once(world, monkeypatch, ages, size):
    monkeypatch.setattr(listing, "SIZE", size)
    Job.objects.filter(node="p").delete()
    planted = [job.pk for job in plant(world, ages, node="p")]
    for order, wanted in (
        ("-pk", sorted(planted, reverse=True)),
        ("state_since", [pk for _, pk in sorted(zip((-age for age in ages), planted, strict=True))]),
    ):
        found, query = [], "?node=p"
        while query:
            page = listed(
                RequestFactory().get(f"/{query}"), Job.objects.all(), [Filter("node", "node", by("node"))], order=order
            )
            assert len(page.rows) <= size
            found += [row.pk for row in page.rows]
            query = page.next
        assert found == wanted


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("address", "said"),
    [
        (f"{JOBS}?after=nothing", "no place in this list: nothing"),
        (f"{JOBS}?after=-1", "no place in this list"),
        (f"{JOBS}?after=99999999999999999999", "no place in this list"),
        (f"{JOBS}?sort=longest&after=12", "no place in this list: 12"),
        (f"{JOBS}?sort=longest&after=2026-01-01T00:00:00%2B00:00~x", "no place in this list"),
        (f"{JOBS}?sort=longest&after=%D9%A1~%D9%A1", "no place in this list"),
        (f"{JOBS}?sort=by-size", "newest or longest"),
        (f"{JOBS}?state=asleep", "unknown: asleep"),
        (f"{JOBS}?state=asleep", "staging_in, processing"),
        (f"{JOBS}?longer_than=12", "600, 3600"),
        (f"{JOBS}?campaign=demo", "no reference: demo"),
        (f"{JOBS}?campaign=s1", "such as c1"),
        ("/e/demo/campaigns/?state=asleep", "running"),
        ("/e/demo/requests/?production_stage=nosuch", "unknown: nosuch"),
        ("/e/demo/batches/?batch=1&campaign=%00", "NUL"),
    ],
)  # fmt: skip
def test_what_a_list_cannot_do_is_refused_with_what_it_can(world, cast, as_, text, address, said):
    answer = as_(cast.experimenter).get(address)
    assert answer.status_code == 422
    assert said in text(answer)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("after", "status"),
    [
        ("2026-01-01~5", 422),
        ("2026-01-01T00:00:00~5", 422),
        ("9999-12-31T23:59:59-23:59~1", 422),
        ("0000-01-01T00:00:00+00:00~1", 422),
        ("2026-13-01T00:00:00+00:00~1", 422),
        ("2026-01-01T::::::::+00:00~1", 422),
        ("0001-01-01T00:00:00+00:00~1", 200),
        ("9999-12-31T23:59:59.999999+00:00~1", 200),
    ],
)
def test_a_place_that_nobody_gave_breaks_nothing(world, cast, as_, after, status):
    answer = as_(cast.experimenter).get(JOBS, {"sort": "longest", "after": after})
    assert answer.status_code == status


@pytest.mark.django_db
def test_filters_and_order_stay_in_the_links(world, cast, as_):
    plant(world, range(120), node="here & there")
    client = as_(cast.experimenter)
    page = client.get(JOBS, {"sort": "longest", "node": "here & there", "state": "processing", "empty": ""})
    assert "node=here+%26+there" in later(page)
    assert "sort=longest" in later(page)
    assert "state=processing" in later(page)
    assert len(walk(client, f"{JOBS}?sort=longest&node=here+%26+there&state=processing")) == 120


def test_a_chip_leads_to_the_list_without_its_filter():
    filters = [
        Filter("state", "state", by("state"), [("running", "is running")]),
        Filter("name_has", "name has", by("name")),
    ]
    request = RequestFactory().get("/", {"state": "running", "name_has": "a&b", "after": "7", "sort": "x"})
    page = listed(request, Campaign.objects.none(), filters, also=("sort",))
    assert [(chip.word, chip.value, chip.without) for chip in page.chips] == [
        ("state", "is running", "?name_has=a%26b&sort=x"), ("name has", "a&b", "?state=running&sort=x"),
    ]  # fmt: skip
    assert (page.first, page.next) == ("?state=running&name_has=a%26b&sort=x", "")


@pytest.mark.django_db
def test_jobs_are_filtered_by_the_thing_that_they_belong_to(world, cast, as_):
    client, job = as_(cast.experimenter), world.own.ref("job").rpartition("/")[2]
    campaign, batch, submission = (world.own.ref(name).rpartition("/")[2] for name in ("campaign", "live", "running"))
    for query in (f"campaign={campaign}", f"campaign=demo/{campaign}", f"campaign={campaign[1:]}", f"batch={batch}",
                  f"submission={submission}", "stage=gen", "node=local-01", "state=processing"):  # fmt: skip
        assert refs(client.get(f"{JOBS}?{query}")) == [job], query
    for query in ("campaign=c999999", "stage=sum", "node=local-02", "state=failed", "longer_than=259200"):
        answer = client.get(f"{JOBS}?{query}")
        assert (answer.status_code, refs(answer)) == (200, []), query


def test_a_value_that_nothing_can_have_is_refused_by_the_filter_itself():
    with pytest.raises(Refused) as refused:
        Filter("state", "state", by("state"), [("a", "A"), ("b", "B")]).apply(None, "c" * 100)
    assert [(p.field, p.message, p.hint) for p in refused.value.problems] == [("state", "unknown: " + "c" * 60, "a, b")]
