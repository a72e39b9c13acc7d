"""Service accounts and certificates: an owner, a purpose, an end; no password, no provider, no header from elsewhere."""

from __future__ import annotations

from datetime import timedelta
from urllib.parse import quote

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from rest_framework.test import APIClient

from core.clock import now, shifted
from core.errors import Conflict, NotAllowed, Refused
from core.models import Transition
from experiments.logic import arriving, service_accounts, tokens
from experiments.models import ApiToken, Certificate, Membership, ServiceAccount, User
from experiments.queries import expiring, is_working
from experiments.scoping import may
from tests import builders

pytestmark = pytest.mark.django_db
ME = "/api/v1/me/"
ADMIN = "/admin/experiments/"


def bearing(secret: str) -> APIClient:
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {secret}")
    return client


def test_a_service_account_acts_by_its_role_and_is_seen_in_the_ledger(cast):
    account = builders.service_account(cast, by=cast.administrator)
    assert may(account.user, "operate", cast.experiment)
    assert account.user.username == "nightly@demo"
    step = Transition.objects.get(kind="service")
    assert (step.actor, step.verb, step.experiment_id) == ("user:administrator", "make", cast.experiment.pk)
    _, secret = tokens.issue(account.user, "cron")
    assert bearing(secret).get(ME).json()["username"] == "nightly@demo"
    account.refresh_from_db()
    assert account.used_at is not None


def test_it_cannot_sign_in_with_a_password_or_by_a_provider(cast, client):
    account = builders.service_account(cast)
    account.user.set_password("a good password")
    account.user.save()
    assert client.post("/sign-in/", {"username": "nightly@demo", "password": "a good password"}).status_code == 422
    assert not client.login(username="nightly@demo", password="a good password")
    client.force_login(account.user)
    assert client.get("/account/").status_code == 302
    with pytest.raises(NotAllowed):
        arriving.link(account.user, "https://idp", "x", by=cast.administrator, reason="no")
    met = arriving.arrive("https://idp", {"sub": "x", "preferred_username": "nightly@demo"}, arriving.Terms())
    assert met.pk != account.user_id


@pytest.mark.parametrize("how", ["past its end", "ended", "owner switched off", "account switched off"])
def test_its_keys_stop_working(cast, how, settings):
    settings.CLIENT_CERT_HEADER = "X-SSL-Client-Cert"
    account = builders.service_account(cast)
    pem = builders.certificate()
    service_accounts.register(account, pem, by=cast.administrator, reason="for cron")
    _, secret = tokens.issue(account.user, "cron", days=90)

    def by_certificate() -> int:
        return APIClient(REMOTE_ADDR="").get(ME, headers={"X-SSL-Client-Cert": quote(pem)}).status_code

    assert (bearing(secret).get(ME).status_code, by_certificate()) == (200, 200)
    if how == "past its end":
        ServiceAccount.objects.update(expires_at=now() - timedelta(seconds=1))
    elif how == "ended":
        service_accounts.end(account, by=cast.administrator, reason="over")
    else:
        who = account.owner_id if how.startswith("owner") else account.user_id
        User.objects.filter(pk=who).update(is_active=False)
    assert (bearing(secret).get(ME).status_code, by_certificate()) == (401, 401)


def test_what_cannot_be_is_refused_with_each_thing_that_is_wrong(cast):
    with pytest.raises(Refused) as refused:
        builders.service_account(
            cast, "Not a name", role="approver", purpose=" ", expires_at=now() + timedelta(days=400)
        )
    assert {p.field for p in refused.value.problems} == {"name", "role", "purpose", "expires_at"}
    owner = builders.service_account(cast).user
    for wrong in ({"owner": owner}, {"expires_at": now()}, {"role": "administrator"}):
        with pytest.raises(Refused):
            builders.service_account(cast, "another", **wrong)
    with pytest.raises(Conflict, match="no other gets its name"):
        builders.service_account(cast)
    with pytest.raises(Refused, match="reason"):
        service_accounts.end(ServiceAccount.objects.get(), by=cast.administrator, reason=" ")
    assert ServiceAccount.objects.count() == 1


def test_renewed_handed_over_and_ended_each_with_its_line(cast):
    account = builders.service_account(cast)
    token, secret = tokens.issue(account.user, "cron")
    service_accounts.renew(account, expires_at=now() + timedelta(days=200), by=cast.administrator, reason="goes on")
    assert bearing(secret).get(ME).status_code == 200
    handed = service_accounts.hand_over(account, owner=cast.operator, by=cast.administrator, reason="ada left")
    assert handed.owner == cast.operator
    token.refresh_from_db()
    assert token.revoked_at is not None
    service_accounts.end(account, by=cast.administrator, reason="no longer needed")
    assert not Membership.objects.filter(user=account.user, active=True).exists()
    assert [s.verb for s in Transition.objects.filter(kind="service").order_by("id")] == [
        "make", "renew", "hand_over", "end"
    ]  # fmt: skip
    with pytest.raises(Conflict, match="has ended"):
        service_accounts.renew(account, expires_at=now() + timedelta(days=2), by=cast.administrator, reason="again")


def test_its_owner_makes_its_tokens_and_nobody_else(cast, call_as):
    builders.service_account(cast, owner=cast.operator)
    body = {"name": "cron", "account": "nightly@demo", "scopes": ["operate"]}
    made = call_as(cast.operator).post("/api/v1/tokens/", body)
    assert (made.status_code, made.json()["account"]) == (201, "nightly@demo")
    assert ApiToken.objects.get(name="cron").user.username == "nightly@demo"
    for who in ("administrator", "experimenter"):
        assert call_as(cast.people[who]).post("/api/v1/tokens/", body).status_code == 422
    listed = call_as(cast.operator).get("/api/v1/tokens/").json()["results"]
    assert "nightly@demo" in {row["account"] for row in listed}
    narrow = tokens.issue(cast.operator, "narrow", narrowing=tokens.narrowed(cast.operator, ["operate"]))[1]
    assert bearing(narrow).post("/api/v1/tokens/", body).status_code == 403


# --- Certificates ---------------------------------------------------------------------------------------------------


def test_a_certificate_is_read_and_registered_once(cast):
    account, pem = builders.service_account(cast), builders.certificate("cron.example.org")
    made = service_accounts.register(account, f"\n{pem}\n", by=cast.administrator, reason="for cron")
    assert (made.subject, len(made.fingerprint)) == ("CN=cron.example.org", 64)
    assert timedelta(days=199) < made.not_after - now() < timedelta(days=201)
    with pytest.raises(Conflict, match="registered already"):
        service_accounts.register(account, pem, by=cast.administrator, reason="again")
    service_accounts.end_certificate(made, by=cast.administrator, reason="lost")
    assert service_accounts.bearer(quote(pem)) is None
    again = service_accounts.register(account, pem, by=cast.administrator, reason="found")
    assert again.pk != made.pk


@pytest.mark.parametrize(("pem", "says"), [
    ("", "cannot be read"), ("hello", "cannot be read"), ("\0", "cannot be read"), ("é", "cannot be read"),
    ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----", "cannot be read"),
    ("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----", "private key"),
])  # fmt: skip
def test_what_is_no_certificate_is_refused(cast, pem, says):
    account = builders.service_account(cast)
    with pytest.raises(Refused, match=says):
        service_accounts.register(account, pem, by=cast.administrator, reason="to try")
    assert not Certificate.objects.exists()


def test_one_that_is_over_is_not_registered_and_signs_nobody_in(cast, settings):
    account = builders.service_account(cast)
    with pytest.raises(Refused, match="it ended"):
        service_accounts.register(account, builders.certificate(days=-1), by=cast.administrator, reason="old")
    pem = builders.certificate(days=2)
    service_accounts.register(account, pem, by=cast.administrator, reason="short")
    assert service_accounts.bearer(pem) == account.user
    with shifted(timedelta(days=3)):
        assert service_accounts.bearer(pem) is None


@pytest.mark.parametrize(("peer", "proxies", "status"), [
    ("", [], 200), ("10.1.2.3", ["10.1.0.0/16"], 200), ("::1", ["::1"], 200), ("10.2.0.1", ["10.1.0.0/16"], 401),
    ("127.0.0.1", [], 401), ("10.1.2.3", ["nonsense"], 401), ("somewhere", ["10.1.0.0/16"], 401),
])  # fmt: skip
def test_the_header_is_taken_from_the_proxy_only(cast, settings, peer, proxies, status):
    settings.CLIENT_CERT_HEADER, settings.TRUSTED_PROXIES = "X-SSL-Client-Cert", proxies
    pem = builders.certificate()
    made = service_accounts.register(builders.service_account(cast), pem, by=cast.administrator, reason="cron")
    client = APIClient(REMOTE_ADDR=peer)
    for presented in (quote(pem), made.fingerprint, made.fingerprint.upper(), ":".join(
            made.fingerprint[at : at + 2] for at in range(0, 64, 2))):  # fmt: skip
        answer = client.get(ME, headers={"X-SSL-Client-Cert": presented})
        assert answer.status_code == status, (presented, answer.content)
    if status == 401:
        assert "taken from the proxy only" in answer.json()["detail"]
        forwarded = client.get(ME, headers={"X-SSL-Client-Cert": quote(pem), "X-Forwarded-For": "10.1.2.3"})
        assert forwarded.status_code == 401


def test_without_the_setting_no_header_signs_in(cast):
    pem = builders.certificate()
    service_accounts.register(builders.service_account(cast), pem, by=cast.administrator, reason="cron")
    for name in ("X-SSL-Client-Cert", "X-Client-Cert", "SSL_CLIENT_CERT"):
        assert APIClient(REMOTE_ADDR="").get(ME, headers={name: quote(pem)}).status_code == 401


@pytest.mark.parametrize("presented", ["x", "0" * 64, "-----BEGIN CERTIFICATE-----", "%2D" * 50, "a" * 100_000, "é"])
def test_a_header_that_is_no_known_certificate_is_refused(cast, settings, presented):
    settings.CLIENT_CERT_HEADER = "X-SSL-Client-Cert"
    answer = APIClient(REMOTE_ADDR="").get(ME, headers={"X-SSL-Client-Cert": quote(presented)})
    assert answer.status_code == 401


def test_a_certificate_opens_no_page(cast, settings):
    settings.CLIENT_CERT_HEADER = "X-SSL-Client-Cert"
    pem = builders.certificate()
    service_accounts.register(builders.service_account(cast), pem, by=cast.administrator, reason="cron")
    answer = Client(REMOTE_ADDR="").get("/account/", headers={"X-SSL-Client-Cert": quote(pem)})
    assert answer.status_code == 302


# --- What ends soon ---------------------------------------------------------------------------------------------------


def test_what_ends_within_thirty_days_is_listed_the_next_one_first(cast):
    account = builders.service_account(cast, expires_at=now() + timedelta(days=20), owner=cast.operator)
    later = builders.service_account(cast, "later", owner=cast.operator)
    service_accounts.register(later, builders.certificate("soon", days=10), by=cast.administrator, reason="x")
    service_accounts.register(later, builders.certificate("far", days=90), by=cast.administrator, reason="x")
    tokens.issue(cast.shifter, "short", days=5)
    tokens.issue(cast.shifter, "long", days=60)
    tokens.issue(account.user, "cron", days=7)
    gone, _ = tokens.issue(cast.shifter, "gone", days=3)
    tokens.revoke(gone)
    found = [(row.kind, row.owner.username) for row in expiring()]
    assert found == [("token", "shifter"), ("token", "operator"), ("certificate", "operator"),
                     ("service account", "operator")]  # fmt: skip
    assert [row.kind for row in expiring(timedelta(days=6))] == ["token"]
    service_accounts.end(account, by=cast.administrator, reason="over")
    assert [row.kind for row in expiring()] == ["token", "certificate"]
    assert not is_working(User.objects.get(pk=account.user_id))


# --- In the admin -----------------------------------------------------------------------------------------------------


@pytest.fixture
def boss(cast) -> Client:
    client = Client()
    client.force_login(cast.administrator)
    return client


def day(days: float) -> str:
    return f"{now() + timedelta(days=days):%Y-%m-%d}"


def test_an_administrator_makes_renews_hands_over_and_ends_in_the_browser(cast, boss):
    body = {"name": "cron", "experiment": cast.experiment.pk, "role": "operator", "owner": "operator",
            "purpose": "keeps up", "until": day(30), "reason": "asked for in ticket 7"}  # fmt: skip
    answer = boss.post(f"{ADMIN}serviceaccount/add/", body)
    assert answer.status_code == 302, answer.content.decode()
    made = ServiceAccount.objects.get()
    url = f"{ADMIN}serviceaccount/{made.pk}/"
    page = boss.get(f"{url}change/").content.decode()
    assert "cron@demo" in page
    assert f'value="{day(30)}"' in page
    same = boss.post(f"{url}change/", {"owner": "operator", "until": day(30), "reason": "x"}).content.decode()
    assert "Nothing is different" in same
    assert boss.post(f"{url}change/", {"owner": "shifter", "until": day(60), "reason": "moved on"}).status_code == 302
    made.refresh_from_db()
    assert (made.owner, f"{made.expires_at:%Y-%m-%d}") == (cast.shifter, day(60))
    history = boss.get(f"{url}history/").content.decode()
    assert "asked for in ticket 7" in history
    assert "from operator to shifter" in history
    ending = {"action": "end", "_selected_action": [made.pk], "index": "0", "apply": "1", "reason": "over"}
    assert "1 of 1 done" in boss.post(f"{ADMIN}serviceaccount/", ending).content.decode()
    assert "ended" in boss.get(f"{url}change/").content.decode()
    late = boss.post(f"{url}change/", {"owner": "operator", "until": day(5), "reason": "x"}).content.decode()
    assert "has ended; nothing was changed" in late
    made.refresh_from_db()
    assert made.owner == cast.shifter


@pytest.mark.parametrize(("field", "value", "says"), [
    ("until", "2020-01-01", "lies in the past"), ("until", "2099-01-01", "more than a year"),
    ("until", "soon", "Enter a valid date"), ("role", "approver", "Select a valid choice"), ("owner", "king", "Nobody of"),
    ("purpose", "", "required"), ("name", "No Name", "valid"), ("reason", "", "required"), ("name", "é" * 99, "valid"),
])  # fmt: skip
def test_bad_input_stands_beside_its_field(cast, boss, field, value, says):
    body = {"name": "cron", "experiment": cast.experiment.pk, "role": "operator", "owner": "operator",
            "purpose": "keeps up", "until": day(30), "reason": "because", field: value}  # fmt: skip
    answer = boss.post(f"{ADMIN}serviceaccount/add/", body)
    assert answer.status_code == 200
    assert says in answer.content.decode()
    assert not ServiceAccount.objects.exists()


def test_a_certificate_is_pasted_or_uploaded_and_not_both(cast, boss):
    account, pem = builders.service_account(cast), builders.certificate("cron.example.org")
    body = {"account": account.pk, "reason": "for cron"}
    url = f"{ADMIN}certificate/add/"
    assert "is missing" in boss.post(url, body).content.decode()
    both = {**body, "pem": pem, "file": SimpleUploadedFile("cert.pem", pem.encode())}
    assert "is given twice" in boss.post(url, both).content.decode()
    assert "cannot be read" in boss.post(url, {**body, "file": SimpleUploadedFile("c", b"\xff\x00")}).content.decode()
    assert not Certificate.objects.exists()
    assert boss.post(url, {**body, "file": SimpleUploadedFile("cert.pem", pem.encode())}).status_code == 302
    made = Certificate.objects.get()
    assert made.subject == "CN=cron.example.org"
    shown = boss.get(f"{ADMIN}certificate/{made.pk}/change/").content.decode()
    assert made.fingerprint in shown
    assert "for cron" in boss.get(f"{ADMIN}certificate/{made.pk}/history/").content.decode()
    assert boss.post(url, {"account": account.pk, "pem": builders.certificate("b"), "reason": "b"}).status_code == 302
    ending = {"action": "end_certificate", "_selected_action": [made.pk], "index": "0", "apply": "1", "reason": "lost"}
    assert "1 of 1 done" in boss.post(f"{ADMIN}certificate/", ending).content.decode()
