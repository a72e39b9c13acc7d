"""Signing in and out: by the provider, or with a password where that is set; a laptop's page shows its accounts."""

from __future__ import annotations

import json
from typing import Any

from django.conf import settings
from django.contrib.auth import logout
from django.contrib.auth.forms import AuthenticationForm
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import path, reverse
from django.utils.decorators import method_decorator
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters

from core.errors import NotVisible, PomsError
from experiments.logic import sessions as ledger
from experiments.models import User
from experiments.rules import PUBLIC, SIGNED_IN
from integrations.errors import OutsideError
from integrations.people import openid
from poms_site import sessions
from poms_site.addresses import client_address
from poms_site.web import errors
from poms_site.web.page import Page


@method_decorator([never_cache, sensitive_post_parameters("password")], name="dispatch")
class SignInPage(Page):
    """The provider's button, or name and password; then back to where one came from."""

    rules = {"get": PUBLIC, "post": PUBLIC}
    help = "/docs/guide/signing-in/"

    def get(self, request: HttpRequest) -> HttpResponse:
        """Show the ways in; somebody who is signed in goes on."""
        if request.user.is_authenticated:
            return HttpResponseRedirect(onward(request))
        return self.ask(AuthenticationForm(request))

    def post(self, request: HttpRequest) -> HttpResponse:
        """Sign in, or say what was wrong; after too many tries, nothing is looked at for a while."""
        form = AuthenticationForm(request, data=request.POST)
        if not settings.LOCAL_PASSWORDS:
            return self.ask(form, "Passwords do not sign in here.", status=403)
        name, address = request.POST.get("username", "")[:150], client_address(request)
        if wait := ledger.count_try(name, address):
            ledger.not_looked_at(_known(name), address=address)
            minutes = max(1, round(wait / 60))
            answer = self.ask(form, f"Too many tries. Wait {minutes} min, then try again.", status=429)
            answer["Retry-After"] = str(round(wait))
            return answer
        if not form.is_valid():
            ledger.refused(_known(name), how="wrong password", address=address)
            return self.ask(form, status=422)
        user: Any = form.get_user()
        ledger.forgive(name, address)
        sessions.begin(request, user, how="with a password")
        return HttpResponseRedirect(onward(request), status=303)

    def ask(self, form: AuthenticationForm, said: str = "", status: int = 200) -> HttpResponse:
        """Show the ways in, with what went wrong before."""
        wrong = said or (form.non_field_errors()[0] if form.is_bound and form.non_field_errors() else "")
        context = {
            "form": form, "next": onward(self.request), "wrong": wrong, "provider": openid.is_set_up(),
            "provider_name": settings.OIDC_PROVIDER_NAME, "passwords": settings.LOCAL_PASSWORDS,
            "over": sessions.told(self.request.GET.get("ended", "")), "accounts": demo_accounts(),
            "keeps": sessions.KEPT in self.request.session,
        }  # fmt: skip
        return self.show("web/sign_in.html", context, status=status)


class ToProvider(Page):
    """Go to the provider."""

    rules = {"get": PUBLIC}
    help = "/docs/guide/signing-in/"

    def get(self, request: HttpRequest) -> HttpResponse:
        """Send the person there; `next` is checked before it is kept."""
        if not openid.is_set_up():
            raise NotVisible("There is no provider of sign-in here, or you may not see it.")
        return openid.begin(request)


@method_decorator(never_cache, name="dispatch")
class FromProvider(Page):
    """Come back from the provider."""

    rules = {"get": PUBLIC}
    help = "/docs/guide/signing-in/"

    def get(self, request: HttpRequest) -> HttpResponse:
        """Sign in whom the provider vouches for; anybody else is told why not."""
        if not openid.is_set_up():
            raise NotVisible("There is no provider of sign-in here, or you may not see it.")
        try:
            arrived = openid.returned(request)
        except openid.NotBegun:
            ledger.not_looked_at(None, address=client_address(request))
            raise
        except (PomsError, OutsideError) as error:
            ledger.refused(None, how=f"provider: {errors.detail_of(error)[:300]}", address=client_address(request))
            raise
        sessions.begin(request, arrived.user, how=f"by {settings.OIDC_ISSUER}")
        return HttpResponseRedirect(_first(request, arrived.onward))


class SignOut(Page):
    """End the session."""

    rules = {"post": PUBLIC}

    def post(self, request: HttpRequest) -> HttpResponse:
        """Sign out and return to the sign-in page, or lead on to the provider to end its session too."""
        there = openid.end_session(request, request.build_absolute_uri(reverse("sign-in")))
        leave(request, how="by the person")
        if there:
            return self.show("web/signed_out.html", {"there": there, "provider_name": settings.OIDC_PROVIDER_NAME})
        return HttpResponseRedirect(reverse("sign-in"), status=303)


class SwitchPage(Page):
    """Look at another experiment."""

    rules = {"get": SIGNED_IN}

    def get(self, request: HttpRequest, name: str) -> HttpResponse:
        """Remember the experiment and go to its overview."""
        self.enter(name, SIGNED_IN)
        return HttpResponseRedirect(reverse("overview-page", args=[name]))


class KeptFormPage(Page):
    """What was sent after a session's end: look at it, then send it again or leave it."""

    rules = {"get": SIGNED_IN, "post": SIGNED_IN}
    help = "/docs/guide/signing-in/"

    def get(self, request: HttpRequest) -> HttpResponse:
        """Show what was typed, as a form that goes where it was meant to go."""
        return self.show("web/kept_form.html", {"kept": sessions.kept(request)})

    def post(self, request: HttpRequest) -> HttpResponse:
        """Leave it."""
        sessions.drop_kept(request)
        return HttpResponseRedirect(reverse("home"), status=303)


def leave(request: HttpRequest, how: str) -> None:
    """Sign out, with a line in the ledger for whoever was signed in."""
    user: Any = request.user
    if user.is_authenticated:
        ledger.signed_out(user, how=how, address=client_address(request))
    logout(request)


def onward(request: HttpRequest) -> str:
    """Return where to go after signing in: a page of this site, or home; a form that waits comes first."""
    wanted = request.POST.get("next") or request.GET.get("next") or ""
    safe = url_has_allowed_host_and_scheme(
        wanted, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    )
    return _first(request, wanted if safe else reverse("home"))


def _first(request: HttpRequest, wanted: str) -> str:
    return reverse("kept-form") if request.user.is_authenticated and sessions.kept(request) else wanted


def _known(name: str) -> User | None:
    return User.objects.filter(username=name).first() if "\0" not in name else None


def demo_accounts() -> list[dict[str, Any]]:
    """Return the accounts that `make run` made, if this is such an installation: it says so itself by a file."""
    path = settings.DEMO_ACCOUNTS
    if path is None or not path.is_file():
        return []
    users = json.loads(path.read_text())["users"]
    return [{"role": role, **account} for role, account in users.items()]


urlpatterns = [
    path("sign-in/", SignInPage.as_view(), name="sign-in"),
    path("sign-in/provider/", ToProvider.as_view(), name="sign-in-provider"),
    path("sign-in/back/", FromProvider.as_view(), name="sign-in-back"),
    path("sign-out/", SignOut.as_view(), name="sign-out"),
    path("switch/<slug:name>/", SwitchPage.as_view(), name="switch"),
    path("continue/", KeptFormPage.as_view(), name="kept-form"),
]
