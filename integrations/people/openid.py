"""Sign-in by OpenID Connect: the code flow of mozilla-django-oidc, with every check of the token that it leaves out."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import jwt
import requests
from django.conf import settings
from django.core.exceptions import SuspiciousOperation
from django.http import HttpRequest, HttpResponse
from django.shortcuts import resolve_url
from mozilla_django_oidc.auth import OIDCAuthenticationBackend
from mozilla_django_oidc.views import OIDCAuthenticationCallbackView, OIDCAuthenticationRequestView

from core.errors import NotAvailable, Problem, Refused
from experiments.claims import BadMapping, rules_of, step_ups_of
from experiments.logic import arriving
from experiments.models import User
from integrations.errors import Unavailable

WELL_KNOWN = "/.well-known/openid-configuration"
KEPT_SECONDS = 3600.0
LEEWAY_SECONDS = 60
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512")
# What a token must say of itself to be believed at all.
REQUIRED = ["iss", "sub", "aud", "exp", "iat"]
_ENDPOINTS = {
    "OIDC_OP_AUTHORIZATION_ENDPOINT": "authorization_endpoint",
    "OIDC_OP_TOKEN_ENDPOINT": "token_endpoint",
    "OIDC_OP_USER_ENDPOINT": "userinfo_endpoint",
    "OIDC_OP_JWKS_ENDPOINT": "jwks_uri",
    "OIDC_OP_END_SESSION_ENDPOINT": "end_session_endpoint",
}
_discovered: dict[str, tuple[float, dict[str, Any]]] = {}


class NotBegun(Refused):
    """Somebody came to the way back without a sign-in of this browser, or the provider itself said no."""


@dataclass(frozen=True)
class Arrived:
    """Somebody whom the provider has sent back: who it is, and where they wanted to go."""

    user: User
    onward: str


def is_set_up() -> bool:
    """Tell whether this installation has a provider."""
    return bool(settings.OIDC_ISSUER and settings.OIDC_RP_CLIENT_ID)


def begin(request: HttpRequest) -> HttpResponse:
    """Send a person to the provider, with state, nonce and PKCE challenge kept in the session."""
    return _Begin.as_view()(request)


def returned(request: HttpRequest) -> Arrived:
    """Return who has come back from the provider.

    Raises NotBegun for a way back without a way there, NotAllowed for whoever is not let in, Refused for an answer that
    cannot be believed, Unavailable if the provider does not answer.
    """
    if "error" in request.GET:
        _forget_state(request)
        said = request.GET.get("error_description") or request.GET["error"]
        raise NotBegun(f"The provider did not sign you in: {said[:200]}")
    if request.GET.get("state", "") not in request.session.get("oidc_states", {}):
        raise NotBegun("This sign-in was not begun in this browser, or it is over. Begin again.")
    view = _Back()
    view.setup(request)
    try:
        view.get(request)
    except SuspiciousOperation as error:
        raise Refused(f"The provider's answer was not taken: {error}") from error
    except requests.HTTPError as error:
        code = error.response.status_code if error.response is not None else 0
        if code >= 500:
            raise Unavailable("The provider does not answer now; nothing was changed. Try again.") from error
        raise Refused("The provider did not confirm the sign-in; it may have been used before. Begin again.") from error
    except (requests.RequestException, ValueError) as error:
        raise Unavailable("The provider does not answer now; nothing was changed. Try again.") from error
    if view.arrived is None:
        raise Refused("The provider's answer is not complete. Begin again.")
    return view.arrived


def end_session(request: HttpRequest, back: str) -> str | None:
    """Return where the provider ends its own session, if this installation wants that and the provider can."""
    hint = request.session.get("oidc_id_token")
    if not settings.OIDC_STORE_ID_TOKEN or not hint:
        return None
    address = setting("OIDC_OP_END_SESSION_ENDPOINT", "")
    if not address:
        return None
    asked = {"id_token_hint": hint, "client_id": settings.OIDC_RP_CLIENT_ID, "post_logout_redirect_uri": back}
    return f"{address}?{urlencode(asked)}"


def terms() -> arriving.Terms:
    """Return how claims are read, from the settings; what cannot be read lets nobody in."""
    try:
        return arriving.Terms(
            username_claim=settings.OIDC_USERNAME_CLAIM, groups_claim=settings.OIDC_GROUPS_CLAIM,
            rules=rules_of(settings.OIDC_ROLES), step_ups=step_ups_of(settings.OIDC_STEP_UP),
            adopts_imported=settings.OIDC_ADOPT_IMPORTED,
        )  # fmt: skip
    except BadMapping as error:
        problems = [Problem("POMS_OIDC_ROLES", line) for line in error.wrong]
        raise NotAvailable("Sign-in is set up wrongly; tell whoever administers POMS.", problems) from error


def setting(name: str, *default: Any) -> Any:
    """Return a setting of the library: endpoints as configured, else as the provider's own description says."""
    if name in _ENDPOINTS:
        return getattr(settings, name, "") or _description().get(_ENDPOINTS[name]) or (default[0] if default else "")
    return getattr(settings, name, *default)


def forget() -> None:
    """Drop what is known of providers, for tests."""
    _discovered.clear()


def _description() -> dict[str, Any]:
    """Return the provider's description of itself (OpenID Connect Discovery), asked once an hour."""
    issuer = settings.OIDC_ISSUER
    known = _discovered.get(issuer)
    if known is not None and known[0] > time.monotonic() - KEPT_SECONDS:
        return known[1]
    address = f"{issuer.rstrip('/')}{WELL_KNOWN}"
    try:
        found = _ask("GET", address).json()
    except (requests.RequestException, ValueError) as error:
        raise Unavailable("The provider of sign-in does not answer now. Try again.") from error
    if not isinstance(found, dict) or found.get("issuer") != issuer:
        raise Refused("The provider of sign-in is another than the one that is configured.")
    _discovered[issuer] = (time.monotonic(), found)
    return found


def _ask(method: str, address: str, **more: Any) -> requests.Response:
    """Call the provider and no one else: a redirect counts as a refusal, or it might lead secrets elsewhere."""
    answer = requests.request(method, address, timeout=settings.OIDC_TIMEOUT, allow_redirects=False, **more)
    if not answer.ok or answer.is_redirect:
        raise requests.HTTPError(f"{address} answered with status {answer.status_code}", response=answer)
    return answer


def _forget_state(request: HttpRequest) -> None:
    states = request.session.get("oidc_states", {})
    if states.pop(request.GET.get("state", ""), None) is not None:
        request.session["oidc_states"] = states


class Backend(OIDCAuthenticationBackend):
    """Believes a token only if its signature, algorithm, issuer, audience, times and nonce are all right."""

    get_settings = staticmethod(setting)

    def __init__(self) -> None:
        """Leave out what the library looks up at every request: most requests only ask who is signed in."""
        self.UserModel = User

    def authenticate(self, request: HttpRequest | None, **kwargs: Any) -> User | None:
        """Take only the way back of a sign-in that was begun here: nonce and verifier come from its session."""
        if request is None or not kwargs.get("nonce") or not kwargs.get("code_verifier"):
            return None
        super().__init__()
        found: User | None = super().authenticate(request, **kwargs)
        return found

    def verify_token(self, token: Any, **kwargs: Any) -> dict[str, Any]:
        """Return the claims of a token; raise SuspiciousOperation for one that is not to be believed."""
        if not isinstance(token, str):
            raise SuspiciousOperation("It has no token in it.")
        try:
            found: dict[str, Any] = super().verify_token(token, **kwargs)
        except (jwt.PyJWTError, KeyError, TypeError, ValueError) as error:
            raise SuspiciousOperation("Its token cannot be read.") from error
        return found

    def retrieve_matching_jwk(self, token: str) -> Any:
        """Return the provider's key for a token: the one it names, or the only one there is."""
        answer = _ask("GET", self.OIDC_OP_JWKS_ENDPOINT)
        named = jwt.get_unverified_header(token).get("kid")
        keys = [
            key for key in answer.json()["keys"]
            if key.get("use", "sig") == "sig" and key.get("alg", self.OIDC_RP_SIGN_ALGO) == self.OIDC_RP_SIGN_ALGO
        ]  # fmt: skip
        fitting = [key for key in keys if key.get("kid") == named] if named else keys
        if len(fitting) != 1:
            raise SuspiciousOperation("The provider has no key that fits its token.")
        return jwt.PyJWK(fitting[0], algorithm=self.OIDC_RP_SIGN_ALGO)

    def _verify_jws(self, payload: str, key: Any) -> dict[str, Any]:
        """Check signature and claims with the one algorithm that is configured, whatever the header says."""
        algorithm = self.OIDC_RP_SIGN_ALGO
        if algorithm not in ALGORITHMS or jwt.get_unverified_header(payload).get("alg") != algorithm:
            raise SuspiciousOperation(f"Its token is not signed with {algorithm}.")
        client = self.OIDC_RP_CLIENT_ID
        try:
            claims: dict[str, Any] = jwt.decode(
                payload, key, algorithms=[algorithm], audience=client, issuer=settings.OIDC_ISSUER,
                leeway=LEEWAY_SECONDS, options={"require": REQUIRED},
            )  # fmt: skip
        except jwt.PyJWTError as error:
            raise SuspiciousOperation(f"Its token does not hold: {error}.") from error
        if claims.get("azp", client) != client or (isinstance(claims["aud"], list) and len(claims["aud"]) > 1
                                                   and "azp" not in claims):  # fmt: skip
            raise SuspiciousOperation("Its token was made for another service.")
        return claims

    def get_token(self, payload: dict[str, Any]) -> Any:
        """Return the provider's tokens for a code; the library's own way follows redirects."""
        return _ask("POST", self.OIDC_OP_TOKEN_ENDPOINT, data=payload).json()

    def get_userinfo(self, access_token: str, id_token: str, payload: Mapping[str, Any]) -> Any:
        """Return what the provider adds of the person, signed or plain; the library's own way follows redirects."""
        answer = _ask("GET", self.OIDC_OP_USER_ENDPOINT, headers={"Authorization": f"Bearer {access_token}"})
        if answer.headers.get("Content-Type", "").lower().startswith("application/jwt"):
            return self.verify_token(answer.text)
        return answer.json()

    def get_payload_data(self, token: str, key: Any) -> dict[str, Any]:
        """Verify, always: no setting lets an unsigned token in."""
        return self._verify_jws(token, key)

    def get_or_create_user(self, access_token: str, id_token: str, payload: Mapping[str, Any]) -> User:
        """Return the person; what the signed token says goes before what the provider's other answer adds."""
        more: Any = {}
        if self.OIDC_OP_USER_ENDPOINT:
            more = self.get_userinfo(access_token, id_token, payload)
            if not isinstance(more, dict) or more.get("sub") != payload["sub"]:
                raise Refused("The provider's answers speak of two people; nobody was signed in.")
        return arriving.arrive(settings.OIDC_ISSUER, {**more, **payload}, terms())

    def get_user(self, user_id: Any) -> User | None:
        """Return the person of a session, while the account is switched on."""
        return User.objects.filter(pk=user_id, is_active=True, service=None).first()


class _Begin(OIDCAuthenticationRequestView):
    get_settings = staticmethod(setting)


class _Back(OIDCAuthenticationCallbackView):
    get_settings = staticmethod(setting)
    arrived: Arrived | None = None

    def login_success(self) -> HttpResponse:
        """Hand over who it is; the page signs in, as it does for everybody."""
        onward = self.request.session.pop("oidc_login_next", None)
        self.arrived = Arrived(self.user, onward or resolve_url(settings.LOGIN_REDIRECT_URL))
        return HttpResponse(status=204)

    def login_failure(self) -> HttpResponse:
        """Leave it to the page to say so."""
        return HttpResponse(status=403)
