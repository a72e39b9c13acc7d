"""Credentials are entered, changed, put away and renewed by who may, with a reason; what could not work is refused."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from rest_framework.test import APIClient

from core import loops
from core.models import Transition
from experiments.models import User
from integrations.models import Credential, LaunchHost, Notice
from submissions.models import Hold
from tests.admin.test_scoping import grant
from tests.cast import Cast
from tests.credentials.making import entered, later, token_file

pytestmark = pytest.mark.django_db
ADMIN = "/admin/integrations/credential/"


@pytest.fixture
def api(cast: Cast) -> Any:
    """Somebody's client."""

    def signed_in(user: User) -> APIClient:
        client = APIClient()
        client.force_authenticate(user)
        return client

    return signed_in


@pytest.fixture
def host(cast: Cast) -> LaunchHost:
    """A launch host of the experiment."""
    return LaunchHost.objects.create(
        experiment=cast.experiment,
        name="gpvm01",
        address="gpvm01.example.org",
        account="demopro",
        home="/var/poms",
        known_hosts="k",
    )


def body(**values: Any) -> dict[str, Any]:
    return {
        "experiment": "demo", "name": "production", "kind": "scitoken", "launcher": "ssh", "host": "gpvm01",
        "account": "demopro", "path": "/opt/demopro/demopro.token", "reason": "launches need it", **values,
    }  # fmt: skip


def test_a_credential_is_entered_changed_and_put_away(cast, api, host):
    client = api(cast.administrator)
    made = client.post("/api/v1/credentials/", body(settings={"vault": "v", "issuer": "demo"}), format="json")
    assert made.status_code == 201, made.content
    assert (made.json()["state"], made.json()["ref"]) == ("unknown", "demo/production")
    assert made.json()["renewal"] == [
        "htgettoken",
        "-a",
        "v",
        "-i",
        "demo",
        "--nooidc",
        "-o",
        "/opt/demopro/demopro.token",
    ]
    place, seen = "/api/v1/credentials/demo/production/", made.json()["fingerprint"]
    again = client.patch(place, {"path": "/opt/moved", "reason": "it moved", "seen": seen}, format="json")
    assert (again.status_code, again.json()["path"]) == (200, "/opt/moved")
    late = client.patch(place, {"path": "/opt/other", "reason": "too", "seen": seen}, format="json")
    assert (late.status_code, "was changed after you opened it" in late.content.decode()) == (409, True)
    away = client.patch(place, {"active": False, "reason": "no longer needed"}, format="json")
    assert away.json()["state"] == "put_away"
    assert api(cast.operator).post(f"{place}check/", {}, format="json").status_code == 422
    assert [row["ref"] for row in client.get("/api/v1/credentials/?state=put_away").json()["results"]] == [
        "demo/production"
    ]
    verbs = [step["verb"] for step in client.get(f"{place}history/").json()["results"]]
    assert verbs == ["edit", "edit", "create"]
    assert "+/opt/moved" in Transition.objects.filter(kind="credential", verb="edit").order_by("id")[0].reason


@pytest.mark.parametrize(
    ("values", "field", "said"),
    [
        ({"path": "relative"}, "path", "no path from the root"), ({"path": "/a/../b"}, "path", "no path from the root"),
        ({"host": "elsewhere"}, "host", "no launch host"), ({"launcher": ""}, "host", "lies with the worker"),
        ({"settings": {"valut": "x"}}, "settings", "valut is not one of its settings"),
        ({"settings": {"vault": "a b"}}, "settings", "one word"), ({"renewal": ["a", "b\n"]}, "renewal", "unprintable"),
        ({"role": "analysis", "account": ""}, "account", "is empty"),
        ({"needs_seconds": 7200}, "renew_seconds", "less than a launch needs"),
        ({"renewal_seconds": 3}, "renewal_seconds", "not within"), ({"kind": "password"}, "kind", "not a valid choice"),
        ({"reason": " "}, "reason", "is empty"), ({"name": "a b"}, "name", "slug"),
        ({"renewal": ["sh", "-c", "curl https://me:hunter2hunter2@vault/"]}, "renewal", "a password in an address"),
    ],
)  # fmt: skip
def test_what_could_not_work_is_refused_in_words(cast, api, host, values, field, said):
    answer = api(cast.administrator).post("/api/v1/credentials/", body(**values), format="json")
    assert answer.status_code == 422, answer.content
    found = {problem["field"].partition(".")[0]: problem["message"] for problem in answer.json()["errors"]}
    assert said in found[field]
    assert not Credential.objects.exists()


def test_of_two_of_a_kind_at_a_place_scripts_would_not_know_which(cast, api, host):
    client = api(cast.administrator)
    assert client.post("/api/v1/credentials/", body(), format="json").status_code == 201
    second = client.post("/api/v1/credentials/", body(name="other"), format="json")
    assert (second.status_code, "which of two" in second.content.decode()) == (409, True)
    assert client.post("/api/v1/credentials/", body(kind="voms"), format="json").status_code == 409
    assert client.post("/api/v1/credentials/", body(name="other", kind="voms"), format="json").status_code == 201


def test_what_lies_with_the_worker_is_for_administrators_of_the_whole_service(cast, api, host):
    grant(cast.shifter, cast.experiment)
    client = api(cast.shifter)
    with_worker = body(launcher="", host="", account="", path="/etc/shadow")
    assert client.post("/api/v1/credentials/", with_worker, format="json").status_code == 403
    assert client.post("/api/v1/credentials/", body(), format="json").status_code == 201
    assert (
        api(cast.administrator).post("/api/v1/credentials/", {**with_worker, "name": "w"}, format="json").status_code
        == 201
    )
    patched = client.patch("/api/v1/credentials/demo/w/", {"renewal": ["id"], "reason": "mine"}, format="json")
    assert patched.status_code == 403


def test_operators_have_it_renewed_and_others_do_not(cast, api, host):
    entered(cast, "/opt/token", name="t", launcher="ssh", host="gpvm01", account="demopro")
    place = "/api/v1/credentials/demo/t/"
    refused = api(cast.operator).post(f"{place}renew/", {"reason": "it ends"}, format="json")
    assert "POMS has no command that renews" in refused.content.decode()
    Credential.objects.update(renewal=["get-token"])
    assert api(cast.shifter).post(f"{place}renew/", {"reason": "it ends"}, format="json").status_code == 403
    assert api(cast.operator).post(f"{place}renew/", {}, format="json").status_code == 422
    assert api(cast.operator).post(f"{place}renew/", {"reason": "it ends"}, format="json").status_code == 202
    assert Credential.objects.get().asked_by == "user:operator"
    assert Transition.objects.get(kind="credential").verb == "ask_renewal"


def test_the_admin_enters_and_changes_one(cast, host):
    browser = Client()
    browser.force_login(cast.administrator)
    form = {
        **body(), "experiment": cast.experiment.pk, "role": "production", "settings": "vault = v\r\nissuer=demo\r\n",
        "renewal": "get-token\r\n--file\r\n/opt/a b\r\n", "renewal_seconds": "60", "needs_seconds": "600",
        "renew_seconds": "3600", "renewers": "the token desk",
    }  # fmt: skip
    answer = browser.post(f"{ADMIN}add/", form)
    assert answer.status_code == 302, answer.content.decode()
    row = Credential.objects.get()
    assert (row.settings, row.renewal) == ({"vault": "v", "issuer": "demo"}, ["get-token", "--file", "/opt/a b"])
    shown = browser.get(f"{ADMIN}{row.pk}/change/").content.decode()
    assert "the token desk" in shown
    wrong = browser.post(f"{ADMIN}{row.pk}/change/", {**form, "seen": row.fingerprint, "active": "on", "path": "x"})
    assert "is no path from the root" in wrong.content.decode()


def test_pages_show_the_life_and_let_operators_do_something(cast, tmp_path):
    row = entered(
        cast, token_file(tmp_path / "token", later(hours=2)), renewal=["get-token"], renewers="the token desk"
    )
    loops.run("credentials")
    browser = Client()
    browser.force_login(cast.operator)
    listed = browser.get("/e/demo/credentials/").content.decode()
    for said in ("live", "1 h 59 min left", "the token desk", "% of its life is left"):
        assert said in listed, said
    one = browser.get("/e/demo/credentials/token/").content.decode()
    for said in ("BEARER_TOKEN_FILE", "get-token", "Renew it now", str(tmp_path)):
        assert said in one, said
    assert browser.post("/e/demo/credentials/token/", {"do": "renew", "reason": ""}).status_code == 422
    assert browser.post("/e/demo/credentials/token/", {"do": "check"}).status_code == 303
    assert browser.get("/e/demo/credentials/nosuch/").status_code == 404
    browser.force_login(cast.shifter)
    assert "Renew it now" not in browser.get("/e/demo/credentials/token/").content.decode()
    Credential.objects.filter(pk=row.pk).delete()
    assert "No credential has been entered" in browser.get("/e/demo/credentials/").content.decode()


def test_operators_are_told_of_an_end(cast, tmp_path, settings):
    settings.NOTICE_QUIET_SECONDS = 0
    entered(cast, tmp_path / "none")
    loops.run("notify")
    loops.run("credentials")
    hold = Hold.objects.get()
    assert hold.credential is not None
    from poms_site.overview.notices import RULES, SOURCES

    event = Transition.objects.get(kind="credential", verb="end")
    (rule,) = [rule for rule in RULES if rule.hears(event)]
    (row,) = SOURCES["credential"].find([event.thing_id]).values()
    assert [user.username for user in rule.told(row, event)] == ["operator"]
    assert SOURCES["credential"].link(row) == "/e/demo/credentials/token/"
    assert Notice.objects.filter(kind="credential").count() in (0, 1, 2)  # told when its transaction is over
