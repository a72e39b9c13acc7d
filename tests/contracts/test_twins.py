"""What pages and API share: a verb here is a verb there under the same rule, and pages lead to the same data."""

from __future__ import annotations

import re

import pytest
from django.urls import get_resolver

from experiments.rules import rule_of
from poms_site.web.page import Page
from poms_site.web.things import NOUNS, noun_of
from poms_site.web.verbs import VERBS
from submissions.models import Output, Result
from tests.contracts import checks
from tests.contracts.world import populate


def api_verbs() -> dict[tuple[str, str], str | None]:
    """Return noun and verb of every route of the API that does something to one thing, with its rule."""
    found = {}
    for address, pattern in checks.routes(get_resolver().url_patterns):
        if match := re.fullmatch(r"api/v1/(\w+)/<(\w)_ref:ref>/(\w+)/", address):
            for method, action in checks.served(pattern.callback).items():
                if method == "POST":
                    found[match[2], match[3]] = rule_of(checks.view_class(pattern.callback), action)
    return found


def test_every_verb_of_the_api_is_a_verb_of_the_pages_under_the_same_rule():
    pages = {(verb.letter, verb.name): verb.rule for verb in VERBS}
    assert len(pages) == len(VERBS)
    assert api_verbs() == pages
    assert {letter for letter, _ in pages} == set(NOUNS)


def test_every_verb_has_its_page_and_no_other():
    addresses = {pattern.name: address for address, pattern in checks.routes(get_resolver().url_patterns)}
    for verb in VERBS:
        noun = NOUNS[verb.letter][0]
        name = f"{noun_of(verb.letter)}-{verb.name}"
        assert addresses[name] == f"e/<slug:experiment>/{noun}/<{verb.letter}_key:key>/{verb.name}/"


# --- ?format=json -----------------------------------------------------------------------------------------------

# Their rows are read in words, not by a reference in each row.
NOT_ROWS = (
    "campaign-history", "notices", "holds", "shifts", "reports", "reports-all", "shift", "shift-all", "routes", "guard",
    "reviews", "loops",
)  # fmt: skip
# Pages of the whole service, which the others of the cast do not see.
OF_ADMINISTRATORS = ("loops",)
# page -> the filters that page and API both know, as the world's objects have them.
FILTERS = {
    "requests": [{}, {"state": "draft"}, {"production_stage": "mc"}, {"requester": "experimenter"}, {"title_has": "iny"}],
    "campaigns": [{}, {"state": "running"}, {"name_has": "ird"}, {"owner": "experimenter"}, {"tag": "nosuch"}],
    "jobs": [{}, {"state": "processing"}, {"longer_than": "3600"}, {"campaign": "{c}"}, {"campaign": "demo/{c}"},
             {"batch": "{b}"}, {"submission": "{s}"}, {"stage": "gen"}, {"node": "local-01"}, {"site": "nosuch"},
             {"code": "memory"}, {"sort": "longest"}, {"exit_code": "0"}, {"memory_over": "1"}, {"wall_under": "60"},
             {"started_after": "2026-01-01T00:00Z"}, {"ended_before": "2026-01-01T00:00Z", "campaign": "{c}"},
             {"sort": "started.desc", "columns": "node,started"}],
    "batches": [{}, {"numbers": "1-2"}, {"state": "failed"}, {"campaign": "{c}"}, {"stage": "gen"}, {"stage": "sum"}],
    "submissions": [{}, {"state": "unsure"}, {"campaign": "{c}"}, {"batch": "{b}"}, {"stage": "gen"}],
    "files": [{}, {"name_has": "of-demo"}, {"campaign": "{c}"}, {"dataset": "nosuch"}],
    "schedules": [{}, {"state": "active"}, {"state": "paused"}, {"stage": "reco"}, {"campaign": "{c}"}], "schedule": [{}],
    "overview-page": [{}], "sites": [{}], "reports": [{}, {"period": "day", "on": "2026-11-30"}], "reports-all": [{}],
    "exclusion": [{}], "guard": [{}], "loops": [{}],
    "exclusions": [{}, {"state": "excluded"}, {"state": "watched"}, {"level": "node"}, {"system": "local"}, {"name": "bad"}],
    "shift": [{}], "shift-all": [{}], "services": [{}], "service": [{}], "holds": [{}, {"scope": "campaign"}],
    "shifts": [{}], "credentials": [{}], "notices": [{}, {"unread": "1"}, {"kind": "decide"}], "queue": [{}],
    "failures": [{}, {"cause": "software"}, {"cause": "node"}, {"owner": "experiment"}, {"owner": "sam"}, {"campaign": "{c}"},
                 {"campaign": "demo/{c}"}, {"site": "local"}, {"release": "v1"}, {"text": "geom"}, {"fix": "unknown"}],
    "failure": [{}], "routes": [{}],
    "request": [{}], "campaign": [{}, {"by": "events"}, {"stage": "gen"}], "campaign-history": [{}],
    "campaign-heat": [{}, {"order": "worst"}], "batch": [{}],
    "submission": [{}], "job": [{}, {"stream": "err"}], "job-compare": [{"with": "{j}"}],
    "reviews": [{}], "reproduction": [{}],
    "reproductions": [{}, {"state": "equal"}, {"batch": "{b}"}, {"campaign": "{c}"}],
}  # fmt: skip


def test_every_page_with_data_of_the_api_is_asked():
    found = set()
    for _, pattern in checks.routes(get_resolver().url_patterns):
        view = checks.view_class(pattern.callback)
        if isinstance(view, type) and issubclass(view, Page) and view.api:
            found.add(pattern.name)
    assert found == set(FILTERS)


def asked_pages() -> list[tuple[str, dict[str, str]]]:
    return [(page, asked) for page, all_asked in FILTERS.items() for asked in all_asked]


@pytest.mark.django_db
def test_every_page_leads_to_the_same_data_of_the_api(cast, client, settings, tmp_path):
    settings.LOCAL_SPOOL = tmp_path
    world = populate(cast)
    own = {
        name: world.own.ref(name).rpartition("/")[2]
        for name in (
            "draft",
            "campaign",
            "live",
            "running",
            "job",
            "schedule",
            "outside",
            "failure",
            "excluded",
            "again",
        )
    }
    made = Result.objects.create(
        experiment=world.own.experiment, submission=world.own.objects["running"], job="1.0@local"
    )
    Output.objects.create(
        experiment=world.own.experiment, stage=world.own.objects["stage"], result=made, name="file-of-demo", path="/nowhere",
        size=1,
    )  # fmt: skip
    keys = {"c": own["campaign"], "b": own["live"], "s": own["running"], "j": own["job"]}
    things = {"request": "draft", "campaign": "campaign", "campaign-history": "campaign", "campaign-heat": "campaign",
              "batch": "live",
              "submission": "running", "job": "job", "job-compare": "job", "schedule": "schedule", "service": "outside",
              "failure": "failure", "exclusion": "excluded", "reproduction": "again"}  # fmt: skip
    nouns = {"request": "requests", "campaign": "campaigns", "campaign-history": "campaigns",
             "campaign-heat": "campaigns", "batch": "batches",
             "submission": "submissions", "job": "jobs", "job-compare": "jobs", "schedule": "schedules", "service": "services",
             "failure": "failures", "exclusion": "exclusions", "reproduction": "reproductions"}  # fmt: skip
    tails = {"campaign-history": "history/", "campaign-heat": "heat/", "job-compare": "compare/"}
    for page, asked in asked_pages():
        query = {name: value.format(**keys) for name, value in asked.items()}
        client.force_login(cast.administrator if page in OF_ADMINISTRATORS else cast.experimenter)
        if page in things:
            url = f"/e/demo/{nouns[page]}/{own[things[page]]}/" + tails.get(page, "")
        else:
            url = {
                "overview-page": "/e/demo/",
                "notices": "/notices/",
                "reports-all": "/reports/",
                "shift-all": "/shift/",
                "loops": "/loops/",
            }.get(page, f"/e/demo/{page}/")
        shown = client.get(url, query)
        there = client.get(url, {**query, "format": "json", "empty": ""})
        assert (shown.status_code, there.status_code) == (200, 302), (page, query)
        answer = client.get(there["Location"])
        assert answer.status_code == 200, (page, query, there["Location"], answer.content)
        if "results" in answer.json() and page not in NOT_ROWS:
            _same_rows(page, query, shown, answer.json()["results"])
        elif page in things and page not in tails:
            assert answer.json()["ref"] == f"demo/{own[things[page]]}"


def _same_rows(page, query, shown, rows):
    """The page has a link to each row of the API's answer, and to nothing else of the kind."""
    names = [row.get("ref") or row["name"] for row in rows]
    wanted = {name.rpartition("/")[2] for name in names}
    place = "campaigns" if page == "queue" else page
    link = r"/e/demo/jobs/\?site=([^\"&]+)" if page == "sites" else rf"/e/demo/{place}/([^/\"]+)/"
    found = set(re.findall(rf'<th scope="row"><a href="{link}"', shown.content.decode()))
    assert found == wanted, (page, query)
