"""Members and roles from FERRY: the difference first, then applied; no answer of it, however broken, ends everybody."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from core.errors import Refused
from core.models import Transition
from experiments.claims import BadMapping
from experiments.logic import arriving, importing, membership
from experiments.models import Identity, Membership, User
from integrations import errors
from integrations.people import ferry as backend
from tests import builders
from tests.stand_ins import ferry as stand_in

pytestmark = pytest.mark.django_db


@pytest.fixture
def ferry(settings) -> Iterator[stand_in.Ferry]:
    with stand_in.running() as found:
        settings.FERRY_URL, settings.FERRY_TOKEN = found.url, "a token"
        yield found


@pytest.fixture
def run() -> Callable[..., str]:
    def command(*args: Any, **options: Any) -> str:
        said = StringIO()
        call_command("import_people", *args, stdout=said, stderr=said, **options)
        return said.getvalue()

    return command


def held(source: str = "ferry") -> set[tuple[str, str]]:
    rows = Membership.objects.filter(source=source, active=True, experiment__name="demo").select_related("user")
    return {(row.user.username, row.role) for row in rows}


def filled(ferry: stand_in.Ferry) -> None:
    ferry.lists("demo", "Production", "ada:Ada Lovelace", "grace")
    ferry.lists("demo", "Analysis", "ada:Ada Lovelace", "emmy:Emmy Noether")
    ferry.groups_in("demo", "BatchSuperusers", "grace", "lise")


EVERYBODY = {
    ("ada", "operator"),
    ("grace", "operator"),
    ("ada", "analyser"),
    ("emmy", "analyser"),
    ("lise", "operator"),
}


def test_the_difference_is_shown_and_nothing_is_done(cast, ferry, run):
    filled(ferry)
    said = run("demo")
    for line in ("demo: + ada operator (Production)", "demo: + emmy analyser (Analysis)",
                 "demo: + lise operator (group:BatchSuperusers)", "5 roles listed, 5 to add, 0 to end", "--apply makes it so"):  # fmt: skip
        assert line in said
    assert held() == set()
    assert not User.objects.filter(username="ada").exists()


def test_applied_it_makes_people_and_roles_and_a_second_time_nothing(cast, ferry, run):
    filled(ferry)
    run("demo", apply=True)
    assert held() == EVERYBODY
    ada = User.objects.get(username="ada")
    assert (ada.first_name, ada.last_name, ada.has_usable_password()) == ("Ada", "Lovelace", False)
    steps = Transition.objects.count()
    assert "0 to add, 0 to end" in run("demo", apply=True)
    assert Transition.objects.count() == steps
    joined = Transition.objects.filter(kind="membership", verb="join").order_by("id").first()
    assert (joined.actor, "FERRY lists" in joined.reason) == ("source:ferry", True)
    call, query, token = ferry.asked[0]
    assert (call, query, token) == (
        "getAffiliationMembersRoles", {"unitname": "demo", "role": "Production"}, "Bearer a token"
    )  # fmt: skip


def test_who_is_no_longer_listed_is_ended_and_what_was_given_by_hand_stays(cast, ferry, run):
    filled(ferry)
    run("demo", apply=True)
    membership.join(User.objects.get(username="ada"), "shifter", cast.experiment)
    ferry.lists("demo", "Production", "ada")
    ferry.groups_in("demo", "BatchSuperusers", "lise")
    said = run("demo", apply=True)
    assert "demo: - grace operator" in said
    assert held() == EVERYBODY - {("grace", "operator")}
    assert held("local") >= {("ada", "shifter"), ("shifter", "shifter"), ("operator", "operator")}
    run("demo", apply=True)
    ferry.lists("demo", "Production", "ada", "grace")
    run("demo", apply=True)
    assert held() == EVERYBODY


def test_a_role_that_somebody_has_by_hand_is_not_touched(cast, ferry, run):
    ferry.lists("demo", "Production", "operator")
    run("demo", apply=True)
    assert ("operator", "operator") in held("local")
    ferry.lists("demo", "Production")
    run("demo", apply=True)
    assert ("operator", "operator") in held("local")


@pytest.mark.parametrize(("fails", "says"), [
    ("failure", "FERRY refused getAffiliationMembersRoles: the unit is locked"), ("half", "no JSON"),
    ("html", "no JSON"), ("status", "HTTP 500"), ("slow", "does not answer"), ("drip", "did not end its answer"),
    ("missing", "says nothing of demo"), ("cut", "does not answer"), ("redirect", "HTTP 302"),
])  # fmt: skip
def test_a_ferry_that_fails_ends_nobody(cast, ferry, run, monkeypatch, fails, says):
    filled(ferry)
    run("demo", apply=True)
    monkeypatch.setattr(backend, "LONGEST", 1.0)
    ferry.fails = fails
    said = StringIO()
    with pytest.raises(CommandError, match="1 of 1 experiments"):
        call_command("import_people", "demo", apply=True, force=True, stdout=said, stderr=said)
    assert says in said.getvalue()
    assert "Nothing was changed in it" in said.getvalue()
    assert held() == EVERYBODY


@pytest.mark.parametrize(("status", "kind"), [(500, errors.Unavailable), (503, errors.Unavailable),
                                              (429, errors.Unavailable), (401, errors.Refused), (404, errors.Refused)])  # fmt: skip
def test_every_failure_is_one_of_the_three_errors(ferry, status, kind):
    ferry.fails, ferry.status = "status", status
    with pytest.raises(kind):
        backend.over_http().people_of("demo")


def test_a_server_that_is_not_there_is_unavailable(settings):
    settings.FERRY_URL = "http://127.0.0.1:9"
    with pytest.raises(errors.Unavailable):
        backend.over_http().people_of("demo")
    settings.FERRY_URL = ""
    with pytest.raises(errors.Refused, match="POMS_FERRY_URL"):
        backend.over_http()


def test_an_empty_list_ends_nobody_not_even_by_force(cast, ferry, run):
    filled(ferry)
    run("demo", apply=True)
    for role in ("Production", "Analysis"):
        ferry.lists("demo", role)
    ferry.groups_in("demo", "BatchSuperusers")
    for force in (False, True):
        with pytest.raises(CommandError):
            run("demo", apply=True, force=force)
    assert held() == EVERYBODY


def test_more_than_half_ends_only_by_force(cast, ferry, run):
    filled(ferry)
    run("demo", apply=True)
    ferry.lists("demo", "Analysis")
    ferry.groups_in("demo", "BatchSuperusers")
    ferry.lists("demo", "Production", "ada")
    assert "more than half" in run("demo")
    with pytest.raises(CommandError):
        run("demo", apply=True)
    assert held() == EVERYBODY
    run("demo", apply=True, force=True)
    assert held() == {("ada", "operator")}


def test_one_experiment_that_fails_stops_no_other(cast, ferry, run):
    filled(ferry)
    ferry.groups["other", "BatchSuperusers"] = [{"fullname": "nobody at all"}]
    said = StringIO()
    with pytest.raises(CommandError, match="1 of 2"):
        call_command("import_people", apply=True, stdout=said, stderr=said)
    assert "an entry without a username" in said.getvalue()
    assert held() == EVERYBODY


@pytest.mark.parametrize("row", [
    None, 7, "ada", {}, {"username": ""}, {"username": None}, {"username": "a b"}, {"username": "a\0"},
    {"username": "a" * 200}, {"username": "../x"},
])  # fmt: skip
def test_an_entry_that_cannot_be_somebody_is_refused_with_the_whole_answer(cast, ferry, row):
    ferry.members["demo", "Production"] = [{"username": "ada"}, row]
    with pytest.raises(errors.Refused, match="without a username"):
        backend.over_http().people_of("demo")


def test_who_is_switched_off_or_no_person_gets_nothing(cast, ferry, run):
    User.objects.filter(username="nobody").update(is_active=False)
    builders.service_account(cast)
    ferry.lists("demo", "Production", "nobody", "nightly@demo", "ada")
    assert "nobody is listed, but the account is switched off" in run("demo", apply=True)
    assert held() == {("ada", "operator")}


def test_answers_in_a_file_do_as_well(cast, run, tmp_path, ferry):
    filled(ferry)
    file = tmp_path / "answer.json"
    roles = {role: ferry.answer("getAffiliationMembersRoles", {"unitname": "demo", "role": role})
             for role in ("Production", "Analysis")}  # fmt: skip
    groups = {"BatchSuperusers": ferry.answer("getGroupMembers", {"groupname": "demo", "grouptype": "BatchSuperusers"})}
    file.write_text(json.dumps({"getAffiliationMembersRoles": roles, "getGroupMembers": groups}))
    run("demo", file=file, apply=True)
    assert held() == EVERYBODY
    assert ferry.asked == []


@pytest.mark.parametrize(("text", "says"), [
    ("{", "no JSON"), ("[]", "has no answer of getAffiliationMembersRoles for Production"), ("{}", "has no answer"),
    ('{"getAffiliationMembersRoles": {"Production": {}}}', "no answer of FERRY"),
    ('{"getAffiliationMembersRoles": {"Production": {"ferry_status": "success", "ferry_output": []}}}', "says nothing of"),
])  # fmt: skip
def test_a_file_that_is_no_answer_is_named(cast, tmp_path, text, says):
    file, said = tmp_path / "answer.json", StringIO()
    file.write_text(text)
    with pytest.raises(CommandError) as refused:
        call_command("import_people", "demo", file=file, apply=True, force=True, stdout=said, stderr=said)
    assert says in said.getvalue() + str(refused.value)


def test_what_the_command_cannot_do_is_said(cast, run, tmp_path, settings):
    with pytest.raises(CommandError, match="no experiment nowhere"):
        run("nowhere")
    with pytest.raises(CommandError, match="POMS_FERRY_URL"):
        run("demo")
    with pytest.raises(CommandError, match="cannot be read"):
        run("demo", file=tmp_path / "nosuch")
    settings.FERRY_URL, settings.FERRY_ROLES = "http://127.0.0.1:9", '{"Production": "king"}'
    with pytest.raises(CommandError, match="'king' is not one of"):
        run("demo")


def test_the_mapping_is_data(cast, ferry, settings, run):
    settings.FERRY_ROLES = '{"Production": "shifter"}'
    filled(ferry)
    run("demo", apply=True)
    assert held() == {("ada", "shifter"), ("grace", "shifter")}
    for text in ("[]", "{}", "{", '{"Production": ["operator"]}'):
        with pytest.raises(BadMapping):
            backend.roles_of(text)


def test_who_was_imported_is_only_adopted_where_the_installation_says_so(cast, ferry, run):
    filled(ferry)
    run("demo", apply=True)
    claims = {"sub": "emmy-1", "preferred_username": "emmy"}
    assert arriving.arrive("https://one", claims, arriving.Terms()).username == "emmy-2"
    terms = arriving.Terms(adopts_imported=True)
    assert arriving.arrive("https://two", claims, terms).username == "emmy"
    assert arriving.arrive("https://three", {"sub": "x", "preferred_username": "emmy"}, terms).username == "emmy-3"
    assert (
        arriving.arrive("https://two", {"sub": "o", "preferred_username": "operator"}, terms).username == "operator-2"
    )
    assert ("emmy", "analyser") in held()
    assert Identity.objects.filter(user__username="emmy").count() == 2


def test_a_difference_that_is_not_believed_is_not_applied_by_the_verb_either(cast):
    membership.join(cast.nobody, "operator", cast.experiment, source="ferry", reason="listed")
    difference = importing.compare(cast.experiment, [])
    with pytest.raises(Refused, match="lists nobody"):
        importing.apply(difference, force=True)
