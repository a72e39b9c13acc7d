"""Signing in and out; a laptop's installation shows its demo accounts."""

from __future__ import annotations

import json
from typing import Any

from django.conf import settings
from django.contrib.auth import login, logout
from django.contrib.auth.forms import AuthenticationForm
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.decorators import method_decorator
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters

from experiments.rules import PUBLIC, SIGNED_IN
from poms_site.web.page import Page


@method_decorator([never_cache, sensitive_post_parameters("password")], name="dispatch")
class SignInPage(Page):
    """Name and password; then back to where one came from."""

    rules = {"get": PUBLIC, "post": PUBLIC}
    help = "/docs/guide/pages/#signing-in"

    def get(self, request: HttpRequest) -> HttpResponse:
        """Show the form; somebody who is signed in goes on."""
        if request.user.is_authenticated:
            return HttpResponseRedirect(onward(request))
        return self._form(AuthenticationForm(request))

    def post(self, request: HttpRequest) -> HttpResponse:
        """Sign in, or say what was wrong."""
        form = AuthenticationForm(request, data=request.POST)
        if not form.is_valid():
            return self._form(form, status=422)
        login(request, form.get_user())
        return HttpResponseRedirect(onward(request), status=303)

    def _form(self, form: AuthenticationForm, status: int = 200) -> HttpResponse:
        context = {"form": form, "next": onward(self.request), "accounts": demo_accounts()}
        return self.show("web/sign_in.html", context, status=status)


class SignOut(Page):
    """End the session."""

    rules = {"post": PUBLIC}

    def post(self, request: HttpRequest) -> HttpResponse:
        """Sign out and return to the sign-in page."""
        logout(request)
        return HttpResponseRedirect(reverse("sign-in"), status=303)


class SwitchPage(Page):
    """Look at another experiment."""

    rules = {"get": SIGNED_IN}

    def get(self, request: HttpRequest, name: str) -> HttpResponse:
        """Remember the experiment and go to its overview."""
        self.enter(name, SIGNED_IN)
        return HttpResponseRedirect(reverse("overview-page", args=[name]))


def onward(request: HttpRequest) -> str:
    """Return where to go after signing in: a page of this site, or home."""
    wanted = request.POST.get("next") or request.GET.get("next") or ""
    safe = url_has_allowed_host_and_scheme(
        wanted, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    )
    return wanted if safe else reverse("home")


def demo_accounts() -> list[dict[str, Any]]:
    """Return the accounts that `make run` made, if this is such an installation: it says so itself by a file."""
    path = settings.DEMO_ACCOUNTS
    if path is None or not path.is_file():
        return []
    users = json.loads(path.read_text())["users"]
    return [{"role": role, **account} for role, account in users.items()]
