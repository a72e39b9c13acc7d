"""What cannot work is answered with what is wrong and where, and changes nothing (issue 2, T15, T22)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import pytest
from django.apps import apps
from django.db import connection, transaction
from django.urls import get_resolver, reverse
from rest_framework.test import APIClient

from core.clock import shifted
from core.idempotency import once
from experiments.logic import tokens
from experiments.models import ApiToken
from submissions.logic import selecting
from submissions.models import Command
from tests import builders
from tests.cast import Cast, assemble
from tests.contracts import checks
from tests.contracts.test_access import BODIES as SENT
from tests.contracts.test_access import _address, _filled
from tests.contracts.world import MISSING, World, populate
from tests.turns import its_turn

REQUESTS = "/api/v1/requests/"
PROBLEM = "application/problem+json"


def picture() -> dict[str, tuple[int, str]]:
    """Return count and digest of every table of ours, but for when tokens were last used."""
    digests = []
    for name in checks.APPS:
        for model in apps.get_app_config(name).get_models(include_auto_created=True):
            columns = ", ".join(f'"{f.column}"' for f in model._meta.local_fields if f.column != "used_at")
            digests.append(
                f"SELECT '{model._meta.db_table}', count(*), md5(string_agg(r::text, ';' ORDER BY r::text)) "
                f"FROM (SELECT {columns} FROM {model._meta.db_table}) r"
            )
    with connection.cursor() as cursor:
        cursor.execute(" UNION ALL ".join(digests))
        found = {table: (count, digest) for table, count, digest in cursor.fetchall()}
    assert "core_transition" in found
    assert len(found) > 30
    return found


@pytest.fixture(scope="module")
def cast(django_db_setup, django_db_blocker) -> Iterator[Cast]:
    """Everybody, in a transaction around all tests of this file: what is refused changes nothing for the next one."""
    with django_db_blocker.unblock(), transaction.atomic():
        yield assemble()
        transaction.set_rollback(True)


@pytest.fixture
def client(cast, db, call_as) -> APIClient:
    builders.login_setup(cast)
    return call_as(cast.experimenter)


@pytest.fixture
def refused():
    """Check that a call is answered with a problem document, without any change; return the document."""

    def check(call: Any, status: int) -> dict[str, Any]:
        before = picture()
        answer = call()
        text = answer.content.decode()
        assert answer.status_code == status, text[:500]
        assert answer.headers["Content-Type"] == PROBLEM, text[:500]
        said = answer.json()
        assert set(said) == {"type", "title", "status", "detail", "errors"}
        assert said["status"] == status
        assert said["detail"]
        assert picture() == before
        return said

    return check


def body(definition: str = "", **values: Any) -> dict[str, Any]:
    return {
        "experiment": "demo", "title": "tiny", "production_stage": "mc",
        "definition": definition or builders.definition(), **values,
    }  # fmt: skip


# --- Definitions ----------------------------------------------------------------------------------------------


def line_of(text: str, part: str) -> int:
    return next(n for n, line in enumerate(text.splitlines(), 1) if part in line)


STAGES = (
    "[campaign_stage a]\ndataset_or_split_data=from_parent\n[campaign_stage b]\ndataset_or_split_data=from_parent\n"
)
CIRCLE = "[dependencies a]\ncampaign_stage_1=b\n[dependencies b]\ncampaign_stage_1=a\n"
GENERATOR = "[campaign_stage gen]\nstage_type=generator\nevents=4\n"

# What the text has, the marked line, and what the complaint says: field, message, hint.
DEFINITIONS = {
    "a circle of stages": (STAGES + CIRCLE, "campaign_stage_1=a", "dependencies", "a → b → a", "remove one"),
    "an unknown job type": (
        GENERATOR + "job_type=tinny\n", "[campaign_stage gen]", "[campaign_stage gen] job_type", "no job type tinny",
        "did you mean tiny?",
    ),
    "a slice of size 0": (
        GENERATOR + "cs_split_type=nevents(0)\n", "nevents(0)", "[campaign_stage gen] cs_split_type",
        "the size of nevents is 0; it must be at least 1", "",
    ),
    "a slice of a negative size": (
        GENERATOR + "cs_split_type=nfiles(-3)\n", "nfiles(-3)", "[campaign_stage gen] cs_split_type", "at least 1", "",
    ),
    "an unknown split": (
        GENERATOR + "cs_split_type=byfoot(3)\n", "byfoot", "[campaign_stage gen] cs_split_type",
        "there are nfiles, nevents, bysize", "",
    ),
    "an unknown stage": (
        GENERATOR + "[campaign_stage b]\n[dependencies b]\ncampaign_stage_1=gne\n", "campaign_stage_1",
        "[dependencies b]", "there is no stage gne", "did you mean gen?",
    ),
    "an unknown launch set-up": (
        GENERATOR + "login_setup=lokal\n", "[campaign_stage gen]", "[campaign_stage gen] login_setup",
        "no launch set-up lokal", "choose a known one",
    ),
    "no number": (
        GENERATOR + "memory_mb=lots\n", "memory_mb=lots", "[campaign_stage gen] memory_mb",
        "expected a whole number, not lots", "",
    ),
    "a word that means nothing": (
        GENERATOR + 'param_overrides=[["--x ", "%(nonsense)s"]]\n', "[campaign_stage gen]", "[campaign_stage gen]",
        "%(nonsense)s refers to nothing", "campaign_keywords",
    ),
    "no JSON where JSON belongs": (
        GENERATOR + "param_overrides=[[\n", "param_overrides", "[campaign_stage gen] param_overrides",
        "this is not JSON", "for instance",
    ),
}  # fmt: skip


@pytest.mark.django_db
@pytest.mark.parametrize("case", DEFINITIONS)
def test_a_definition_that_cannot_work_is_refused_with_its_line(client, refused, case):
    stages, mark, field, message, hint = DEFINITIONS[case]
    text = builders.definition(stages=stages)
    said = refused(lambda: client.post(REQUESTS, body(text)), 422)
    found = next(e for e in said["errors"] if e["field"] == field)
    assert message in found["message"]
    assert hint in found["hint"]
    assert found["line"] == line_of(text, mark)


@pytest.mark.django_db
def test_a_stage_that_feeds_itself_is_no_circle(client):
    text = builders.definition(extra="[dependencies gen]\ncampaign_stage_1=gen\n")
    assert client.post(REQUESTS, body(text)).status_code == 201


@pytest.mark.django_db
def test_every_complaint_about_a_definition_comes_at_once(client, refused):
    text = builders.definition(stages=GENERATOR + "memory_mb=lots\nwall_s=-1\ncompletion_pct=200\n")
    said = refused(lambda: client.post(REQUESTS, body(text)), 422)
    assert [e["line"] for e in said["errors"]] == [line_of(text, key) for key in ("memory_mb=l", "wall_s=-", "pct=200")]


@pytest.mark.django_db
@pytest.mark.parametrize(
    "text", ["no definition", "[campaign]\n", "[campaign\nname=x", "=", "[campaign]\nname=a\nname=b"]
)
def test_a_text_that_is_no_definition_is_refused(client, refused, text):
    said = refused(lambda: client.post(REQUESTS, body(text)), 422)
    assert said["errors"][0]["field"]
    assert said["errors"][0]["message"]


@pytest.mark.django_db
def test_a_dataset_that_does_not_exist_is_refused(client, refused):
    in_request = refused(lambda: client.post(REQUESTS, body(dataset="no-such-set")), 422)
    text = builders.definition(stages="[campaign_stage a]\ndataset_or_split_data=no-such-set\n")
    in_stage = refused(lambda: client.post(REQUESTS, body(text)), 422)
    for said in (in_request, in_stage):
        assert {e["field"]: e["message"] for e in said["errors"]} == {"dataset": "there is no dataset no-such-set"}
        assert "poms file list" in said["errors"][0]["hint"]


@pytest.mark.django_db
def test_a_change_to_something_that_cannot_work_changes_nothing(cast, client, refused):
    request = builders.request(cast)
    for wrong in ({"definition": "[campaign]\n"}, {"dataset": "no-such-set"}, {"production_stage": "cooking"}):
        refused(lambda wrong=wrong: client.patch(f"{REQUESTS}{request.ref}/", wrong), 422)
    said = refused(lambda: client.patch(f"{REQUESTS}{request.ref}/", {"experiment": "other"}), 422)
    assert said["errors"][0] == {
        "field": "experiment", "message": "cannot be changed", "hint": "clone the request into the other experiment",
    }  # fmt: skip


@pytest.mark.django_db
def test_an_experimenter_brings_no_launch_set_up(client, refused):
    text = builders.definition(extra="[login_setup mine]\nhost=elsewhere\n").replace(
        "login_setup=local", "login_setup=mine"
    )
    said = refused(lambda: client.post(REQUESTS, body(text)), 422)
    assert said["errors"][0]["message"] == "only production may define launch set-ups"
    assert said["errors"][0]["line"] == line_of(text, "[login_setup mine]")


# --- Bodies --------------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_an_upload_of_50_mb_is_refused_unread(client, refused):
    said = refused(lambda: client.post(REQUESTS, b"x" * 50_000_000, content_type="application/json"), 413)
    assert "50.0 MB" in said["detail"]
    assert "at most 2.1 MB" in said["detail"]


@pytest.mark.django_db
def test_an_upload_of_50_mb_is_refused_to_anonymous_callers_too(refused):
    anonymous = APIClient()
    refused(lambda: anonymous.post(REQUESTS, b"x" * 50_000_000, content_type="application/json"), 413)


@pytest.mark.django_db
@pytest.mark.parametrize("length", ["-1", "1e9", "99999999999999999999"])
def test_an_announced_length_that_is_none_is_refused(client, refused, length):
    refused(lambda: client.generic("POST", REQUESTS, b"{}", "application/json", CONTENT_LENGTH=length), 413)


@pytest.mark.django_db
def test_a_body_without_an_announced_length_is_refused(client, refused):
    def call() -> Any:
        return client.generic("POST", REQUESTS, b"", "application/json", HTTP_TRANSFER_ENCODING="chunked")

    refused(call, 411)


@pytest.mark.django_db
def test_a_definition_that_is_too_long_is_refused(client, refused):
    said = refused(lambda: client.post(REQUESTS, body("#" * (256 * 1024 + 1))), 422)
    assert said["errors"][0]["field"] == "definition"
    said = refused(lambda: client.post(REQUESTS, body("[campaign]\nname=" + "x" * 40_000)), 422)
    assert "32768 characters" in said["errors"][0]["hint"]


# What is sent as a body, and the status that it gets on every route that takes one.
BODIES: dict[str, tuple[bytes, str, int]] = {
    "no JSON": (b"title=tiny", "application/json", 400),
    "half of a JSON object": (b'{"title": "ti', "application/json", 400),
    "no UTF-8": (b'{"title": "\xff\xfe"}', "application/json", 400),
    "a number that JSON has not": (b'{"priority": NaN}', "application/json", 400),
    "a number of 5,000 digits": (b'{"priority": ' + b"9" * 5000 + b"}", "application/json", 400),
    "a list": (b'[{"title": "tiny"}]', "application/json", 422),
    "a word": (b'"tiny"', "application/json", 422),
    "nothing at all in JSON": (b"null", "application/json", 422),
    "100,000 brackets": (b'{"title": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "application/json", 422),
    "half a character in a value": (b'{"reason": "\\ud800"}', "application/json", 422),
    "half a character in a name": (b'{"\\ud800": 1}', "application/json", 422),
    "an unknown field": (b'{"title": "tiny", "reason": "x", "colour": "red"}', "application/json", 422),
    "a form": (b"title=tiny", "application/x-www-form-urlencoded", 415),
    "a file": (b"--x\r\n\r\n--x--", "multipart/form-data; boundary=x", 415),
    "XML": (b"<title>tiny</title>", "text/xml", 415),
}


def api_routes() -> list[tuple[str, Any]]:
    """Return every route of the API with its address; pages and admin have tests of their own."""
    found = checks.routes(get_resolver().url_patterns)
    return [(address, pattern) for address, pattern in found if address.startswith("api/")]


def writing_routes() -> list[tuple[str, str]]:
    """Return every route and method that takes a body."""
    return sorted(
        (str(pattern.name), method)
        for _, pattern in api_routes()
        for method in checks.served(pattern.callback)
        if method in ("POST", "PATCH", "PUT") and pattern.name != "nowhere"
    )


# Which thing of the world each route acts on, and who may; reports and tokens have tests of their own below.
ACTS_ON = {
    "requests-detail": ("draft", "experimenter"), "requests-check": ("draft", "experimenter"),
    "requests-file": ("draft", "experimenter"), "requests-withdraw": ("draft", "experimenter"),
    "requests-approve": ("pending", "approver"), "requests-return": ("pending", "approver"),
    "requests-reject": ("pending", "approver"), "requests-merge": ("pending", "approver"),
    "requests-split": ("reading", "approver"), "requests-prioritise": ("pending", "approver"),
    "requests-extend": ("keepup", "approver"), "requests-confirm": ("pending", "operator"),
    "requests-test": ("draft", "operator"), "requests-clone": ("draft", "experimenter"),
    "campaigns-boost": ("campaign", "operator"), "campaigns-unboost": ("campaign", "operator"),
    "campaigns-sign_off": ("signing", "reviewer"), "campaigns-accept": ("signing", "operator"),
    "campaigns-process_again": ("campaign", "operator"),
    "splits-preview": ("", "experimenter"), "files-declare": ("", "operator"), "queue-preview": ("", "operator"), "queue-order": ("", "operator"), "notices-choices": ("", "operator"),
    "requests-comment": ("draft", "experimenter"), "requests-attach": ("draft", "experimenter"),
    "requests-untick": ("pending", "operator"), "requests-detach": ("draft", "experimenter"),
    "campaigns-import": ("", "experimenter"), "campaigns-plan": ("", "experimenter"), "campaigns-fife": ("", "experimenter"),
    "campaigns-definition": ("campaign", "operator"),
    "campaigns-hold": ("campaign", "operator"),
    "campaigns-release": ("campaign", "operator"), "campaigns-relaunch": ("campaign", "operator"),
    "campaigns-cancel": ("campaign", "operator"), "campaigns-prioritise": ("campaign", "operator"),
    "campaigns-recover": ("campaign", "operator"), "stages-recover": ("stage", "operator"),
    "holds-release": ("hold", "operator"), "batches-relaunch": ("broken", "operator"),
    "batches-recover": ("broken", "operator"), "submissions-kill": ("running", "operator"),
    "submissions-hold": ("running", "operator"), "submissions-release": ("running", "operator"),
    "submissions-adopt": ("unsure", "operator"), "submissions-give_up": ("unsure", "operator"),
    "jobs-kill": ("job", "operator"), "jobs-hold": ("job", "operator"), "jobs-release": ("job", "operator"),
    "schedules-pause": ("schedule", "operator"), "schedules-resume": ("schedule", "operator"),
    "schedules-run": ("schedule", "operator"),
    "requests-list": ("", "experimenter"), "jobtypes-list": ("", "operator"), "setups-list": ("", "operator"),
    "reports-list": ("", "operator"), "tokens-list": ("", "operator"),
    "campaigns-apply": ("", "experimenter"), "campaigns-clone": ("unasked", "experimenter"),
    "campaigns-tag": ("unasked", "experimenter"), "campaigns-untag": ("unasked", "experimenter"),
    "campaigns-archive": ("unasked", "experimenter"), "campaigns-unarchive": ("unasked", "experimenter"),
    "campaigns-delete": ("unasked", "experimenter"), "campaigns-template": ("unasked", "operator"),
    "jobtypes-detail": ("jobtype", "operator"), "jobtypes-restore": ("jobtype", "operator"),
    "setups-detail": ("setup", "operator"), "setups-restore": ("setup", "operator"), "setups-test": ("setup", "operator"),
    "templates-list": ("", "operator"), "templates-detail": ("template", "operator"),
    "templates-restore": ("template", "operator"), "templates-use": ("template", "experimenter"),
    "templates-publish": ("template", "administrator"),
    "batches-launch_with": ("broken", "operator"), "stages-register": ("stage", "operator"),
    "credentials-list": ("", "administrator"), "credentials-detail": ("credential", "administrator"),
    "credentials-renew": ("credential", "operator"),
    "launch-hosts-list": ("", "administrator"), "launch-hosts-detail": ("host", "administrator"),
    "launch-hosts-put_away": ("host", "administrator"),
    "batch-systems-list": ("", "administrator"), "batch-systems-detail": ("system", "administrator"),
    "batch-systems-put_away": ("system", "administrator"), "troubles-retry": ("trouble", "administrator"),
    "holds-list": ("", "operator"), "services-list": ("", "administrator"), "services-detail": ("outside", "administrator"),
    "services-override": ("outside", "operator"),
    "services-downtime": ("outside", "operator"), "services-no_downtime": ("outside", "operator"),
    "limits-list": ("", "operator"), "limits-remove": ("limit", "operator"),
    "shift-read": ("", "operator"), "shift-log": ("", "operator"), "shifts-list": ("", "operator"), "shifts-remove": ("shift", "operator"),
    "failures-fix": ("failure", "operator"), "failures-route": ("failure", "operator"),
    "failures-ticket": ("failure", "operator"), "failures-link": ("failure", "operator"),
    "failures-logbook": ("failure", "operator"), "routes-list": ("", "administrator"),
    "routes-remove": ("route", "administrator"),
    "batches-reproduce": ("live", "operator"), "reproductions-sign_off": ("again", "reviewer"),
    "campaigns-limit_waste": ("campaign", "operator"), "campaigns-verdict": ("campaign", "reviewer"),
    "campaigns-watch": ("campaign", "experimenter"), "campaigns-unwatch": ("campaign", "experimenter"),
    "exclusions-list": ("", "operator"), "exclusions-release": ("excluded", "operator"),
    "exclusions-extend": ("excluded", "operator"), "exclusions-exclude": ("excluded", "operator"),
    "waste-limits-list": ("", "operator"), "guards-detail": ("system", "administrator"),
    **{f"outbox-{word}": ("", "administrator") for word in ("webhook", "desk", "logbook", "again")},
    "stops-list": ("", "operator"), "stops-go_on": ("", "operator"),
    "stops-all": ("", "administrator"), "stops-all-go_on": ("", "administrator"),
    **{f"select-{noun}-{verb}": ("", "operator") for noun, verbs in selecting.VERBS.items() for verb in verbs},
}  # fmt: skip
# These take no body, or may come without a reason. What an upload sends is a file, in which all bytes are good; where it
# belongs stands in the address.
NO_BODY = {
    "notices-read", "notices-test", "requests-check", "requests-watch", "requests-unwatch", "campaigns-watch", "campaigns-unwatch", "tokens-revoke", "setups-test",
    "launch-hosts-try", "batch-systems-try", "credentials-check", "services-check", "uploads-list", "uploads-remove",
}  # fmt: skip
NO_REASON = {
    "requests-check", "requests-file", "requests-approve", "requests-extend", "requests-confirm", "requests-test",
    "requests-clone", "requests-comment", "requests-attach", "campaigns-definition", "campaigns-release", "holds-release", "requests-detail",
    "campaigns-clone", "campaigns-tag", "campaigns-untag", "campaigns-archive", "campaigns-unarchive",
    "campaigns-template", "jobtypes-restore", "setups-restore", "templates-restore", "templates-use",
    "outbox-again", "stages-register", "shifts-remove", "failures-fix", "failures-link",
}  # fmt: skip
# Their bodies name no experiment.
OF_ALL = {"stops-all", "stops-all-go_on", "batch-systems-list"}


def test_every_route_that_takes_a_body_is_tried():
    assert {route for route, _ in writing_routes()} - NO_BODY == set(ACTS_ON) - NO_BODY


@pytest.fixture(scope="module")
def world(cast) -> World:
    return populate(cast)


def address(world: World, route: str) -> str:
    name = ACTS_ON[route][0]
    if name == "system":  # of the whole service
        return reverse(route, kwargs={"name": world.own.ref(name)})
    if name == "trouble":  # what is wrong with the body is said before the row is looked for
        return reverse(route, kwargs={"key": 1})
    return _address(route, world.own, name, missing=False) if name else reverse(route)


@pytest.mark.django_db
def test_a_body_that_cannot_be_used_is_refused_on_every_route(cast, world, call_as):
    people = {
        name: call_as(cast.people[name])
        for name in ("experimenter", "approver", "operator", "reviewer", "administrator")
    }
    before, wrong = picture(), []
    for route, method in writing_routes():
        if route in NO_BODY:
            continue
        url = address(world, route)
        for name, (data, content_type, status) in BODIES.items():
            if not its_turn(6, route, name):
                continue
            answer = people[ACTS_ON[route][1]].generic(method, url, data, content_type)
            if answer.status_code != status or answer.headers["Content-Type"] != PROBLEM:
                wrong.append(f"{route}: {name}: {answer.status_code}, not {status}: {answer.content[:200]!r}")
    assert not wrong, "\n".join(wrong)
    assert picture() == before


@pytest.mark.django_db
def test_a_verb_without_its_reason_is_refused(cast, world, call_as):
    people = {
        name: call_as(cast.people[name])
        for name in ("experimenter", "approver", "operator", "reviewer", "administrator")
    }
    before, wrong, tried = picture(), [], set()
    for route, method in writing_routes():
        if route in NO_REASON | NO_BODY:
            continue
        verb = {"reason": "x"} if ACTS_ON[route][0] else {}
        sent = json.loads(_filled(json.dumps(SENT.get(route, verb)), world.own))
        if "reason" not in sent:
            continue
        tried.add(route)
        beside = {key: value for key, value in sent.items() if key != "reason"}
        if not ACTS_ON[route][0] and route not in OF_ALL:
            beside["experiment"] = "demo"
        for missing in ({}, {"reason": ""}, {"reason": " \t "}):
            answer = people[ACTS_ON[route][1]].generic(
                method, address(world, route), json.dumps({**beside, **missing}), "application/json"
            )
            fields = [e["field"] for e in answer.json().get("errors", [])]
            if answer.status_code != 422 or fields != ["reason"]:
                wrong.append(f"{route} {missing}: {answer.status_code} {fields}")
    assert not wrong, "\n".join(wrong)
    assert tried >= {route for route, (about, _) in ACTS_ON.items() if about} - NO_REASON - NO_BODY
    assert {"holds-list", "stops-list", "stops-all", "limits-list", "select-job-kill"} <= tried
    assert picture() == before


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"title": ""}, "title"), ({"title": "  "}, "title"), ({"title": "x" * 201}, "title"),
        ({"title": None}, "title"), ({"title": ["a"]}, "title"), ({"title": "a\0b"}, "title"),
        ({"free_text": "a\0b"}, "free_text"), ({"definition": builders.definition() + "\0"}, "definition"),
        ({"priority": 101}, "priority"), ({"priority": -1}, "priority"), ({"priority": 10**30}, "priority"),
        ({"priority": "high"}, "priority"), ({"priority": 1.5}, "priority"),
        ({"hours_per_file": "nan"}, "hours_per_file"), ({"hours_per_file": "inf"}, "hours_per_file"),
        ({"hours_per_file": 10**400}, "hours_per_file"), ({"hours_per_file": -1}, "hours_per_file"),
        ({"production_stage": "cooking"}, "production_stage"), ({"production_stage": ""}, "production_stage"),
        ({"experiment": "nowhere"}, "experiment"), ({"experiment": "other"}, "experiment"),
        ({"experiment": ""}, "experiment"), ({"experiment": "demo\0"}, "experiment"),
        ({"experiment": {"name": "demo"}}, "experiment"), ({"release": "x" * 101}, "release"),
    ],
)  # fmt: skip
def test_a_field_that_cannot_work_is_named(client, refused, values, field):
    said = refused(lambda: client.post(REQUESTS, body(**values)), 422)
    assert [e["field"] for e in said["errors"]] == [field]
    assert said["errors"][0]["message"]


@pytest.mark.django_db
def test_text_of_all_the_world_is_kept_as_it_came(client):
    text = "Zerfälle Z → μμ, 日本, \U0001f4a5, \u202eright to left, e\u0301"
    made = client.post(REQUESTS, body(title=text, free_text=text + "\r\n\t'; DROP TABLE x; --")).json()
    kept = client.get(f"{REQUESTS}{made['ref']}/").json()
    assert kept["title"] == text
    assert kept["free_text"] == text + "\r\n\t'; DROP TABLE x; --"


@pytest.mark.django_db
def test_an_unknown_field_is_named_with_those_that_are_known(client, refused):
    said = refused(lambda: client.post(REQUESTS, body(priorty=3)), 422)
    assert said["errors"][0]["field"] == "priorty"
    assert "priority" in said["errors"][0]["hint"]


@pytest.mark.django_db
def test_a_name_that_fits_no_column_is_refused_and_not_an_error_of_ours(client):
    long = "x" * 300
    text = builders.definition(stages=f"[campaign_stage {long}]\nstage_type=generator\nevents=4\n")
    made = client.post(REQUESTS, body(text))
    if made.status_code == 201:
        answer = client.post(f"{REQUESTS}{made.json()['ref']}/file/")
        assert answer.status_code == 422, answer.content
    else:
        assert made.status_code == 422


# --- Addresses ---------------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_another_experiments_object_reads_like_a_missing_one(cast, world, client, refused):
    for route in ("requests-detail", "campaigns-detail", "batches-detail", "submissions-detail", "jobs-detail"):
        noun = route.partition("-")[0]
        name = {"requests": "draft", "campaigns": "campaign", "batches": "live", "submissions": "running"}.get(
            noun, "job"
        )
        theirs = world.other.ref(name)
        missing = theirs.rstrip("0123456789") + str(MISSING)
        urls = [f"/api/v1/{noun}/{ref}/" for ref in (theirs, missing)]
        answers = [refused(lambda url=url: client.get(url), 404) for url in urls]
        assert answers[0]["detail"].replace(theirs, "X") == answers[1]["detail"].replace(missing, "X")
        assert {**answers[0], "detail": ""} == {**answers[1], "detail": ""}


@pytest.mark.django_db
def test_an_object_under_the_wrong_experiment_does_not_exist(cast, world, client, refused):
    for name, noun in (("draft", "requests"), ("campaign", "campaigns"), ("job", "jobs")):
        theirs = world.other.ref(name).replace("other/", "demo/")
        refused(lambda noun=noun, theirs=theirs: client.get(f"/api/v1/{noun}/{theirs}/"), 404)


@pytest.mark.django_db
@pytest.mark.parametrize(
    "ref",
    [
        "demo/r0", "demo/r-1", "demo/r01", "demo/r1.5", "demo/r" + "9" * 18, "demo/r" + "9" * 19, "demo/r" + "9" * 500,
        "Demo/r1", "demo/R1", "demo/c1", "demo/r", "/r1", "demo//r1", "demo/r１", "demo/r²", "demo/r1\0", "demo\0/r1",
        "../r1", "demo/../../r1", "demo/r1;drop", "demo/r1 ", "a" * 5000 + "/r1", "demo%2Fr1", "\ud800",
    ],
)  # fmt: skip
def test_a_reference_that_names_nothing_is_not_found(client, refused, ref):
    path = quote(ref.encode("utf-8", "surrogatepass"), safe="/")
    refused(lambda: client.get(f"{REQUESTS}{path}/"), 404)
    refused(lambda: client.post(f"{REQUESTS}{path}/approve/", {"reason": "x"}), 404)


@pytest.mark.django_db
def test_a_stage_with_a_strange_name_is_not_found(world, client):
    campaign = world.own.ref("campaign")
    for name in ("nosuch", "a\0b", "x" * 3000, "日本", "' OR 1=1 --"):
        answer = client.get(f"/api/v1/stages/{campaign}/{quote(name)}/")
        assert answer.status_code in (404, 422), name
        assert answer.headers["Content-Type"] == PROBLEM


@pytest.mark.django_db
def test_an_address_without_its_slash_is_shown_the_way(client):
    answer = client.get("/api/v1/campaigns")
    assert (answer.status_code, answer.headers["Location"]) == (301, "/api/v1/campaigns/")
    assert client.head("/api/v1/campaigns/").status_code == 200


@pytest.mark.django_db
def test_a_method_that_a_route_does_not_serve_is_called_so(client, refused):
    for method, url in (
        ("DELETE", REQUESTS),
        ("PUT", "/api/v1/campaigns/"),
        ("POST", "/api/v1/jobs/"),
        ("OPTIONS", "/api/v1/jobs/"),
    ):
        said = refused(lambda method=method, url=url: client.generic(method, url), 405)
        assert method in said["detail"]


STRANGE = ("a\0b", "²", "9" * 40, "-1", "", "demo/c1/x", "\U0001f600' OR 1=1 --")


@pytest.mark.django_db
def test_no_filter_value_breaks_a_list(cast, world, call_as):
    operator, administrator, wrong, tried = call_as(cast.operator), call_as(cast.administrator), [], 0
    selection = str(uuid4())
    Command.objects.filter(pk=world.own.objects["command"].pk).update(selection=selection)
    needed = {"outcomes-list": {"selection": selection}}  # it lists what came of one selection, never of all
    for _, pattern in api_routes():
        if checks.served(pattern.callback).get("GET") != "list":
            continue
        view = checks.view_class(pattern.callback)
        more = ["after"] if pattern.name == "events-list" else view.more_filters
        beside = needed.get(pattern.name, {})
        client = administrator if pattern.name in ("loops-list", "restorations-list", "troubles-list") else operator
        for name in {"experiment", "cursor", "limit", *view.filters, *more, *beside}:
            for value in STRANGE:
                if not its_turn(6, str(pattern.name), name, ascii(value)):
                    continue
                answer = client.get(reverse(pattern.name), {**beside, name: value})
                tried += 1
                if answer.status_code == 422 and answer.headers["Content-Type"] == PROBLEM:
                    good = [e["field"] for e in answer.json()["errors"]] == [name]
                else:
                    good = answer.status_code == 200
                if not good:
                    wrong.append(f"{pattern.name}?{name}={value[:20]!a}: {answer.status_code} {answer.content[:150]!r}")
    assert not wrong, "\n".join(wrong)
    assert tried > 150


@pytest.mark.django_db
@pytest.mark.parametrize(
    "cursor", ["x", "%%%", "cD1hYmM=", "cD05OTk5OTk5OTk5OTk5OTk5OTk5OTk5OTk5", "cj14", "bz0tMQ==", "cD0=", "AAAA", "é"]
)
def test_a_cursor_that_no_answer_gave_is_refused_or_empty(client, cursor):
    for url in (REQUESTS, "/api/v1/jobs/"):
        answer = client.get(url, {"cursor": cursor})
        assert answer.status_code in (200, 422), answer.content
        if answer.status_code == 422:
            assert answer.json()["errors"][0]["field"] == "cursor"


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"campaign": "c1"}, "campaign"), ({"campaign": "demo/b1"}, "campaign"), ({"state": "asleep"}, "state"),
        ({"batch": "demo/b"}, "batch"), ({"cursor": "x"}, "cursor"), ({"limit": "0"}, "limit"),
        ({"limit": "many"}, "limit"),
    ],
)  # fmt: skip
def test_a_filter_that_means_nothing_is_named(client, refused, query, field):
    said = refused(lambda: client.get("/api/v1/submissions/", query), 422)
    assert [e["field"] for e in said["errors"]] == [field]


@pytest.mark.django_db
@pytest.mark.parametrize("after", ["x", "1", "1-", "-1", "²-²", "1-" + "9" * 30])
def test_a_feed_cursor_that_no_answer_gave_is_refused(client, refused, after):
    said = refused(lambda: client.get("/api/v1/events/", {"after": after}), 422)
    assert said["errors"][0]["field"] == "after"


@pytest.mark.django_db
@pytest.mark.parametrize(
    "query", [{"offset": "-1"}, {"offset": "²"}, {"length": "x"}, {"offset": "9" * 30}, {"stream": "both"}]
)
def test_a_window_into_a_log_that_is_none_is_refused(world, client, refused, query):
    said = refused(lambda: client.get(f"/api/v1/jobs/{world.own.ref('job')}/log/", query), 422)
    assert [e["field"] for e in said["errors"]] == list(query)


# --- Tokens and reports ---------------------------------------------------------------------------------------------


@pytest.mark.django_db
@pytest.mark.parametrize(
    "header", ["Bearer", "Bearer ", "Bearer poms_nonsense", "Bearer poms_\x00", "Bearer " + "x" * 10_000, "bearer é"]
)
def test_a_token_that_is_none_is_refused(refused, header):
    said = refused(lambda: APIClient().get(REQUESTS, headers={"Authorization": header}), 401)
    assert "make a new one" in said["detail"]


@pytest.mark.django_db
@pytest.mark.parametrize("header", ["", "Basic Og==", "poms_nonsense", "Token x"])
def test_no_token_at_all_asks_for_one(refused, header):
    anonymous = APIClient()
    said = refused(lambda: anonymous.get(REQUESTS, headers={"Authorization": header}), 401)
    assert "Bearer" in said["detail"]
    assert anonymous.get(REQUESTS).headers["WWW-Authenticate"] == 'Bearer realm="poms"'


@pytest.mark.django_db
def test_a_token_that_has_ended_is_refused(cast, refused):
    from datetime import timedelta

    token, secret = tokens.issue(cast.operator, "short", days=1)
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {secret}")
    assert client.get(REQUESTS).status_code == 200
    with shifted(timedelta(days=1, seconds=1)):
        refused(lambda: client.get(REQUESTS), 401)
    tokens.revoke(token)
    refused(lambda: client.get(REQUESTS), 401)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"days": 0}, "days"), ({"days": 91}, "days"), ({"days": -1}, "days"), ({"days": 10**30}, "days"),
        ({"days": "x"}, "days"), ({"name": ""}, "name"), ({"name": "x" * 61}, "name"), ({"name": "a\0b"}, "name"),
        ({"user": "administrator"}, "user"),
    ],
)  # fmt: skip
def test_a_token_that_cannot_be_made_is_refused(client, refused, values, field):
    said = refused(lambda: client.post("/api/v1/tokens/", {"name": "mine", **values}), 422)
    assert [e["field"] for e in said["errors"]] == [field]
    assert ApiToken.objects.count() == 1


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"at": "nan"}, "at"), ({"at": 1e300}, "at"), ({"at": -1}, "at"), ({"memory_mb": "inf"}, "memory_mb"),
        ({"memory_mb": "nan"}, "memory_mb"), ({"state": "lost"}, "state"), ({"state": "asleep"}, "state"),
        ({"starts": -1}, "starts"), ({"exit_code": 2**31}, "exit_code"), ({"uuid": "x"}, "uuid"),
        ({"node": "a\0b"}, "node"), ({"job": ""}, "job"),
    ],
)  # fmt: skip
def test_a_report_that_cannot_be_merged_is_refused(world, refused, values, field):
    from submissions.logic.reporting import report_token

    uuid = str(world.own.objects["running"].uuid)
    said = {"uuid": uuid, "job": "1.0@local", "state": "processing", "at": 1.7e9, **values}
    headers = {"X-Poms-Submission-Token": report_token(uuid)}
    answer = refused(lambda: APIClient().post("/api/v1/reports/", said, headers=headers), 422)
    assert [e["field"] for e in answer["errors"]] == [field]


@pytest.mark.django_db
def test_a_report_to_a_system_that_nobody_watches_is_asked_to_come_again(world, refused):
    from integrations.models import BatchSystem
    from submissions.logic.reporting import report_token

    uuid = str(world.own.objects["running"].uuid)
    BatchSystem.objects.filter(name="local").update(name="another")
    said = {"uuid": uuid, "job": "1.0@local", "state": "processing", "at": 1.7e9}
    refused(
        lambda: APIClient().post("/api/v1/reports/", said, headers={"X-Poms-Submission-Token": report_token(uuid)}), 503
    )


@pytest.mark.django_db
def test_only_an_unsure_launch_is_adopted_or_given_up(world, cast, call_as, refused):
    from submissions.models import Submission

    client = call_as(cast.operator)
    running = world.own.objects["running"]
    for state in ("launching", "running", "completed"):
        Submission.objects.filter(pk=running.pk).update(**{"state": state})
        for verb in ("adopt", "give_up"):
            url = f"/api/v1/submissions/{running.ref}/{verb}/"
            refused(lambda url=url: client.post(url, {"reason": "I know"}), 409)


def test_the_picture_sees_a_change(cast):
    before = picture()
    once(cast.operator, "k", "r", b"", lambda: (200, {}))
    assert picture() != before
