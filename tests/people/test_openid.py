"""Sign-in by OpenID Connect against a real provider: the whole way, who is who, which roles, and who is refused."""

from __future__ import annotations

import json
import time
from typing import Any

import jwt
import pytest
import requests
from cryptography.hazmat.primitives.asymmetric import rsa
from django.core.exceptions import SuspiciousOperation
from django.test import RequestFactory

from core.errors import NotAllowed
from core.models import Transition
from experiments.claims import BadMapping, held_by, rules_of, step_ups_of, username_in
from experiments.logic import arriving, membership
from experiments.models import Identity, Membership, User
from integrations.people import openid


def roles(username: str) -> set[tuple[str | None, str, str]]:
    rows = Membership.objects.filter(user__username=username, active=True).select_related("experiment")
    return {(row.experiment and row.experiment.name, row.role, row.source) for row in rows}


# --- The whole way --------------------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_the_first_sign_in_makes_the_person_with_name_mail_and_roles(real_cast, sso, surf):
    sso.knows("ada-1", preferred_username="ada", name="Ada Lovelace", email="ada@example.org",
              groups=["/demo", "/demo/production", "/nowhere/shift", "/unheard"])  # fmt: skip
    browser = surf()
    page = browser.sign_in("ada-1", "/e/demo/jobs/?state=failed")
    assert (page.status_code, page.url) == (200, f"{browser.site}/e/demo/jobs/?state=failed")
    ada = User.objects.get(username="ada")
    assert (ada.first_name, ada.last_name, ada.email) == ("Ada", "Lovelace", "ada@example.org")
    assert not ada.has_usable_password()
    assert Identity.objects.filter(user=ada, issuer=sso.url, subject="ada-1").exists()
    assert roles("ada") == {("demo", "experimenter", "oidc"), ("demo", "operator", "oidc")}
    steps = {(s.kind, s.verb, s.actor) for s in Transition.objects.filter(kind__in=("membership", "person", "session"))}
    assert steps == {
        ("person", "arrive", "source:oidc"), ("person", "change", "source:oidc"),
        ("membership", "join", "source:oidc"), ("session", "sign_in", "user:ada"),
    }  # fmt: skip
    given = Transition.objects.filter(kind="membership").order_by("id").first()
    assert f"group /demo of {sso.url}" in given.reason
    account = browser.get(f"{browser.site}/account/").text
    assert "Ada Lovelace" in account
    assert "sign-in" in account  # who gave the roles


@pytest.mark.django_db(transaction=True)
def test_state_nonce_and_the_challenge_go_along_and_nothing_is_taken_twice(real_cast, sso, surf):
    sso.knows("ada-1", preferred_username="ada")
    browser = surf()
    form = browser.get(f"{browser.site}/sign-in/provider/")
    for name in ("state=", "nonce=", "code_challenge=", "code_challenge_method=S256"):
        assert name in form.url
    browser.confirm(form, "ada-1")
    back = next(url for url in browser.way if "/sign-in/back/" in url)
    again = browser.get(back)
    assert again.status_code == 422
    assert "not begun in this browser" in again.text
    other = surf().get(back)
    assert other.status_code == 422
    assert User.objects.filter(username="ada").count() == 1


@pytest.mark.django_db(transaction=True)
def test_groups_that_change_change_roles_and_what_was_given_by_hand_stays(real_cast, sso, surf):
    sso.knows("ada-1", preferred_username="ada", groups=["/demo", "/demo/production"])
    surf().sign_in("ada-1")
    ada = User.objects.get(username="ada")
    membership.join(ada, "reviewer", real_cast.experiment, by=real_cast.administrator, reason="knows the data")
    sso.knows("ada-1", preferred_username="ada", groups=["/demo", "/demo/shift", "/other/shift"])
    assert surf().sign_in("ada-1").status_code == 200
    assert roles("ada") == {
        ("demo", "experimenter", "oidc"), ("demo", "shifter", "oidc"), ("other", "shifter", "oidc"),
        ("demo", "reviewer", "local"),
    }  # fmt: skip
    ended = Transition.objects.get(kind="membership", target="ended")
    assert (ended.actor, "no group of" in ended.reason) == ("source:oidc", True)
    sso.knows("ada-1", preferred_username="ada", groups=[])
    surf().sign_in("ada-1")
    assert roles("ada") == {("demo", "reviewer", "local")}


@pytest.mark.django_db(transaction=True)
def test_a_local_account_of_the_same_name_is_never_taken_over(real_cast, sso, surf):
    sso.knows("evil-1", preferred_username="Administrator")
    surf().sign_in("evil-1")
    assert roles("administrator") == {(None, "administrator", "local")}
    assert User.objects.get(identities__subject="evil-1").username == "Administrator-2"
    assert roles("Administrator-2") == set()


@pytest.mark.django_db(transaction=True)
def test_a_new_name_at_the_provider_is_the_same_person_here(real_cast, sso, surf):
    sso.knows("ada-1", preferred_username="ada")
    surf().sign_in("ada-1")
    sso.knows("ada-1", preferred_username="adaline", email="new@example.org")
    surf().sign_in("ada-1")
    assert User.objects.get(identities__subject="ada-1").username == "ada"
    assert User.objects.get(username="ada").email == "new@example.org"
    assert not User.objects.filter(username="adaline").exists()


@pytest.mark.django_db(transaction=True)
def test_an_account_that_is_switched_off_stays_out_and_the_ledger_says_so(real_cast, sso, surf):
    sso.knows("ada-1", preferred_username="ada", groups=["/demo"])
    inside = surf()
    inside.sign_in("ada-1")
    User.objects.filter(username="ada").update(is_active=False)
    assert "/sign-in/" in inside.get(f"{inside.site}/account/").url
    refused = surf().sign_in("ada-1")
    assert refused.status_code == 403
    assert "The account ada is switched off" in refused.text
    step = Transition.objects.filter(kind="session").latest("id")
    assert (step.verb, "switched off" in step.reason) == ("refuse", True)


@pytest.mark.django_db(transaction=True)
def test_a_role_that_needs_a_second_factor_is_not_used_without(real_cast, sso, surf, settings):
    settings.OIDC_STEP_UP = ["operator:amr=mfa"]
    sso.knows("ada-1", preferred_username="ada", groups=["/demo/production"], amr=["pwd"])
    refused = surf().sign_in("ada-1")
    assert refused.status_code == 403
    assert "Your role operator needs a sign-in with amr=mfa" in refused.text
    sso.knows("ada-1", preferred_username="ada", groups=["/demo/production"], amr=["pwd", "mfa"])
    assert surf().sign_in("ada-1").status_code == 200


@pytest.mark.django_db(transaction=True)
def test_who_says_no_at_the_provider_is_told_and_not_signed_in(real_cast, sso, surf):
    browser = surf()
    form = browser.get(f"{browser.site}/sign-in/provider/")
    page = browser.post(form.url, data={"sub": "ada-1", "action": "deny"})
    assert page.status_code == 422
    assert "The provider did not sign you in" in page.text


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("evil", ["https://evil.example/", "//evil.example/", "/\\evil.example", "javascript:alert(1)"])
def test_next_leads_nowhere_else(real_cast, sso, surf, evil):
    sso.knows("ada-1", preferred_username="ada")
    browser = surf()
    form = browser.get(f"{browser.site}/sign-in/provider/", params={"next": evil})
    page = browser.confirm(form, "ada-1")
    assert (page.status_code, page.url) == (200, f"{browser.site}/")


@pytest.mark.django_db(transaction=True)
def test_a_provider_that_is_away_is_said_and_is_no_error_of_ours(real_cast, sso, surf, settings):
    settings.OIDC_ISSUER = "http://127.0.0.1:9"
    page = surf().get(f"{surf().site}/sign-in/provider/")
    assert page.status_code == 503
    assert "does not answer now" in page.text


@pytest.mark.django_db(transaction=True)
def test_signing_out_ends_the_session_at_the_provider_too_where_that_is_wanted(real_cast, sso, surf, settings):
    settings.OIDC_STORE_ID_TOKEN = True
    sso.knows("ada-1", preferred_username="ada")
    browser = surf()
    page = browser.sign_in("ada-1")
    token = page.text.partition('name="csrfmiddlewaretoken" value="')[2].partition('"')[0]
    out = browser.post(f"{browser.site}/sign-out/", data={"csrfmiddlewaretoken": token})
    assert out.status_code == 200
    assert f"{sso.url}/oauth2/end_session?id_token_hint=" in out.text.replace("&amp;", "&")
    assert "/sign-in/" in browser.get(f"{browser.site}/account/").url


@pytest.mark.django_db
def test_with_a_provider_passwords_do_not_sign_in(cast, client, sso):
    page = client.get("/sign-in/").content.decode()
    assert "Sign in with single sign-on" in page
    assert "id_password" not in page
    answer = client.post("/sign-in/", {"username": "operator", "password": "x"})
    assert (answer.status_code, "Passwords do not sign in here" in answer.content.decode()) == (403, True)
    assert not client.login(username="operator", password="x")


@pytest.mark.django_db
def test_where_nobody_can_sign_in_the_page_and_the_check_say_so(client, settings):
    from poms_site.checks import people_can_sign_in

    settings.LOCAL_PASSWORDS = False
    assert "Nobody can sign in" in client.get("/sign-in/").content.decode()
    assert [found.id for found in people_can_sign_in(None)] == ["poms.W004"]
    assert client.get("/sign-in/provider/").status_code == 404


def test_the_check_names_each_thing_that_is_configured_wrongly(settings):
    from poms_site.checks import people_can_sign_in

    settings.OIDC_ISSUER, settings.OIDC_RP_CLIENT_ID, settings.OIDC_RP_SIGN_ALGO = "https://idp", "poms", "none"
    settings.OIDC_ROLES, settings.OIDC_STEP_UP = '{"/a": "demo/king"}', ["operator"]
    settings.FERRY_ROLES, settings.TRUSTED_PROXIES = '{"Production": "guest"}', ["not an address"]
    said = " ".join(found.msg for found in people_can_sign_in(None))
    for word in ("CLIENT_SECRET is empty", "none is not one of", "there is no role 'king'", "'operator' is not of the form",
                 "'guest' is not one of", "'not an address' is no address"):  # fmt: skip
        assert word in said


@pytest.mark.django_db
def test_a_password_request_cannot_smuggle_in_a_code(cast, client, sso):
    """The way back needs nonce and verifier of its own session; the password form has none."""
    request = RequestFactory().post("/sign-in/?code=x&state=y")
    assert openid.Backend().authenticate(request, username="operator", password="x") is None


# --- Tokens that are not to be believed -----------------------------------------------------------------------------

KEY, FOREIGN = (rsa.generate_private_key(public_exponent=65537, key_size=2048) for _ in range(2))
SECRET = "a secret of the client, long enough for any algorithm 0123456789"


def claims(**other: Any) -> dict[str, Any]:
    at = int(time.time())
    given = {"iss": "https://idp.example", "aud": "poms", "sub": "ada-1", "iat": at, "exp": at + 300, "nonce": "n"}
    return {name: value for name, value in {**given, **other}.items() if value is not None}


BAD = {
    "another issuer": (claims(iss="https://evil.example"), KEY, "RS256"),
    "no issuer": (claims(iss=None), KEY, "RS256"),
    "another audience": (claims(aud="another service"), KEY, "RS256"),
    "no audience": (claims(aud=None), KEY, "RS256"),
    "several audiences without azp": (claims(aud=["poms", "other"]), KEY, "RS256"),
    "made for another party": (claims(azp="another service"), KEY, "RS256"),
    "expired": (claims(exp=int(time.time()) - 3600), KEY, "RS256"),
    "without an end": (claims(exp=None), KEY, "RS256"),
    "issued in the future": (claims(iat=int(time.time()) + 7200), KEY, "RS256"),
    "not valid yet": (claims(nbf=int(time.time()) + 7200), KEY, "RS256"),
    "another nonce": (claims(nonce="another"), KEY, "RS256"),
    "no nonce": (claims(nonce=None), KEY, "RS256"),
    "nobody": (claims(sub=None), KEY, "RS256"),
    "a foreign key": (claims(), FOREIGN, "RS256"),
    "not signed": (claims(), None, "none"),
    "another algorithm": (claims(), KEY, "RS512"),
    "signed with the client's secret": (claims(), SECRET, "HS256"),
}


@pytest.fixture
def backend(settings, monkeypatch) -> openid.Backend:
    settings.OIDC_ISSUER, settings.OIDC_RP_CLIENT_ID, settings.OIDC_RP_CLIENT_SECRET = (
        "https://idp.example",
        "poms",
        SECRET,
    )
    settings.OIDC_OP_TOKEN_ENDPOINT = settings.OIDC_OP_USER_ENDPOINT = "https://idp.example/x"
    settings.OIDC_OP_JWKS_ENDPOINT = "https://idp.example/jwks"
    found = openid.Backend()
    super(openid.Backend, found).__init__()
    public = jwt.PyJWK(json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(KEY.public_key())), algorithm="RS256")
    monkeypatch.setattr(openid.Backend, "retrieve_matching_jwk", lambda self, token: public)
    return found


def test_a_good_token_is_believed(backend):
    token = jwt.encode(claims(), KEY, "RS256")
    assert backend.verify_token(token, nonce="n")["sub"] == "ada-1"
    several = jwt.encode(claims(aud=["poms", "other"], azp="poms"), KEY, "RS256")
    assert backend.verify_token(several, nonce="n")["sub"] == "ada-1"


@pytest.mark.parametrize("what", BAD)
def test_a_bad_token_is_not_believed(backend, what):
    said, key, algorithm = BAD[what]
    with pytest.raises(SuspiciousOperation):
        backend.verify_token(jwt.encode(said, key, algorithm), nonce="n")


@pytest.mark.parametrize("token", ["", "a.b", "a.b.c", None, 7, "..", "e30.e30.", "é.é.é"])
def test_what_is_no_token_is_refused(backend, token):
    with pytest.raises(SuspiciousOperation):
        backend.verify_token(token, nonce="n")


def test_no_setting_of_the_library_lets_an_unsigned_token_in(backend, settings):
    settings.OIDC_ALLOW_UNSECURED_JWT = True
    with pytest.raises(SuspiciousOperation):
        backend.verify_token(jwt.encode(claims(), None, "none"), nonce="n")


# --- Claims, as data --------------------------------------------------------------------------------------------------


def test_a_mapping_speaks_of_groups_and_of_families_of_groups():
    rules = rules_of(
        '{"/{experiment}/production": "{experiment}/operator", "/poms": ["administrator", "demo/shifter"]}'
    )
    assert set(held_by(["/dune/production", "/poms", "/dune", "x/dune/production", "/DUNE/production"], rules)) == {
        ("dune", "operator"), (None, "administrator"), ("demo", "shifter")
    }  # fmt: skip


@pytest.mark.parametrize(("text", "says"), [
    ("[]", "no object"), ("{", "no JSON"), ('{"/a": 7}', "is no role"), ('{"/a": "demo/king"}', "no role 'king'"),
    ('{"/a": "operator"}', "held in an experiment"), ('{"/a": "demo/guest"}', "held everywhere"),
    ('{"/a": "{experiment}/operator"}', "but not in the group"), ('{"/a": "De Mo/operator"}', "no name of an experiment"),
    ('{"": "demo/operator"}', "a group has a name"),
])  # fmt: skip
def test_nonsense_in_a_mapping_is_named(text, says):
    with pytest.raises(BadMapping, match=says):
        rules_of(text)


def test_a_step_up_that_is_none_is_named():
    with pytest.raises(BadMapping, match="role:claim=value"):
        step_ups_of(["administrator:amr=mfa", "king:amr=mfa"])
    assert not step_ups_of(["operator:acr=2"])[0].is_met({"acr": "1"})


@pytest.mark.parametrize(("said", "name"), [
    ({"preferred_username": "ada"}, "ada"), ({"preferred_username": "Ada Lovelace"}, "AdaLovelace"),
    ({"preferred_username": "../etc/passwd"}, "etcpasswd"), ({"preferred_username": "\u0430da", "sub": "s"}, "da"),
    ({"preferred_username": "<b>", "sub": "s-1"}, "b"), ({"preferred_username": "\u2028", "sub": "s-1"}, "s-1"),
    ({"sub": "\0"}, "person"), ({"preferred_username": "a" * 400}, "a" * 140), ({"preferred_username": "Zoë"}, "Zoe"),
])  # fmt: skip
def test_a_name_is_made_plain(said, name):
    assert username_in(said, "preferred_username") == name


@pytest.mark.django_db
def test_claims_of_any_shape_give_no_role_and_no_error(cast):
    terms = arriving.Terms(rules=rules_of('{"/demo": "demo/experimenter"}'))
    for number, groups in enumerate([None, 7, {"a": 1}, [None, 7, {}], "/nowhere", ["\0"]]):
        user = arriving.arrive(
            "https://idp", {"sub": f"s{number}", "groups": groups, "email": "no mail", "name": 3}, terms
        )
        assert roles(user.username) == set()
        assert user.email == ""
    single = arriving.arrive("https://idp", {"sub": "one", "groups": "/demo"}, terms)
    assert roles(single.username) == {("demo", "experimenter", "oidc")}


@pytest.mark.django_db
def test_the_same_subject_of_another_issuer_is_somebody_else(cast):
    first = arriving.arrive("https://one", {"sub": "ada", "preferred_username": "ada"}, arriving.Terms())
    second = arriving.arrive("https://two", {"sub": "ada", "preferred_username": "ada"}, arriving.Terms())
    assert (first.username, second.username) == ("ada", "ada-2")


@pytest.mark.django_db
def test_an_account_is_linked_on_purpose_and_the_ledger_keeps_it(cast):
    arriving.link(cast.operator, "https://idp", "op-1", by=cast.administrator, reason="the same person")
    assert arriving.arrive("https://idp", {"sub": "op-1"}, arriving.Terms()) == cast.operator
    assert Transition.objects.filter(kind="person", verb="link", actor="user:administrator").count() == 1
    with pytest.raises(Exception, match="is somebody already"):
        arriving.link(cast.nobody, "https://idp", "op-1", by=cast.administrator, reason="again")


@pytest.mark.django_db
def test_the_last_administrator_by_claim_is_ended_when_the_claim_is_gone(cast):
    terms = arriving.Terms(rules=rules_of('{"/admin": "administrator"}'))
    Membership.objects.filter(role="administrator").update(active=False)
    person = arriving.arrive("https://idp", {"sub": "a", "groups": ["/admin"]}, terms)
    arriving.arrive("https://idp", {"sub": "a", "groups": []}, terms)
    assert roles(person.username) == set()


@pytest.mark.django_db
def test_a_mapping_that_cannot_be_read_lets_nobody_in(cast, settings):
    settings.OIDC_ROLES = '{"/a": "demo/king"}'
    with pytest.raises(Exception, match="set up wrongly"):
        openid.terms()


@pytest.mark.django_db
def test_a_step_up_counts_for_roles_that_were_given_by_hand_too(cast):
    arriving.link(cast.administrator, "https://idp", "adm", by=cast.administrator, reason="me")
    with pytest.raises(NotAllowed, match="acr=2"):
        arriving.arrive("https://idp", {"sub": "adm"}, arriving.Terms(step_ups=step_ups_of(["administrator:acr=2"])))


def test_the_real_provider_has_what_the_flow_needs(provider):
    told = requests.get(f"{provider.url}/.well-known/openid-configuration", timeout=10).json()
    assert {"authorization_endpoint", "token_endpoint", "jwks_uri", "userinfo_endpoint", "end_session_endpoint"} <= set(
        told
    )
