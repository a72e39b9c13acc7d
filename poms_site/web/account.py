"""Your account: who one is here, roles, tokens, service accounts, sessions; and the banner that is accepted first."""

from __future__ import annotations

from typing import Any

from django import forms
from django.conf import settings
from django.db.models import F
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import path, reverse
from django.utils.cache import add_never_cache_headers

from core.clock import now
from core.errors import NotVisible, PomsError
from experiments.logic import sessions as ledger
from experiments.logic import tokens
from experiments.models import ApiToken, Certificate, Experiment, Identity, Membership, ServiceAccount
from experiments.narrowing import GROUPS
from experiments.roles import PERMISSIONS
from experiments.rules import PUBLIC, SIGNED_IN
from poms_site.addresses import client_address
from poms_site.consent import ACCEPTED, is_wanting
from poms_site.web import errors
from poms_site.web.page import Page
from poms_site.web.sign_in import leave, onward

SHOWN = 100
SCOPE_WORDS = {
    "read": "read: look at everything that you may look at",
    "file": "file: also file and edit your requests",
    "operate": "operate: also hold, release, relaunch, kill, cancel, prioritise",
    "decide": "decide: also approve, return, reject",
    **{name: f"{name}: {text}" for name, text in PERMISSIONS.items() if name not in (*GROUPS, "view", "view_overview")},
}


class TokenForm(forms.Form):
    """What a new token is for, and how little it may do."""

    name = forms.CharField(
        max_length=60, label="What it is for", help_text="For instance: nightly keep-up on the build machine."
    )
    days = forms.IntegerField(min_value=1, max_value=tokens.LONGEST_DAYS, initial=30, label="Valid for, in days")
    account = forms.ChoiceField(required=False, label="For whom")
    scopes = forms.MultipleChoiceField(
        choices=list(SCOPE_WORDS.items()), required=False, widget=forms.CheckboxSelectMultiple, label="It may only",
        help_text="Nothing ticked: all that the account may.",
    )  # fmt: skip
    experiments = forms.MultipleChoiceField(
        required=False, widget=forms.CheckboxSelectMultiple, label="Only in", help_text="Nothing ticked: everywhere."
    )

    def __init__(self, user: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        owned = ServiceAccount.objects.filter(owner=user, ended_at=None, expires_at__gt=now()).select_related("user")
        names = [row.user.username for row in owned]
        choices: dict[str, Any] = {
            "account": [("", "me"), *((name, name) for name in names)],
            "experiments": [(name, name) for name in
                            Experiment.objects.visible_to(user).values_list("name", flat=True)],
        }  # fmt: skip
        for field, offered in choices.items():
            chosen: Any = self.fields[field]
            chosen.choices = offered
        for field in ("name", "days"):
            self.fields[field].widget.attrs["class"] = "form-control"
        self.fields["account"].widget.attrs["class"] = "form-select"


class Account(Page):
    """What shows the whole page: by itself, and as the answer to a form on it."""

    place = "account"
    help = "/docs/guide/signing-in/#your-account"

    def whole(
        self, form: TokenForm, *, secret: str = "", made: ApiToken | None = None, error: PomsError | None = None
    ) -> HttpResponse:
        """Show the page, with a form that was filled in, or with a secret, this once."""
        user: Any = self.request.user
        rows = ApiToken.objects.visible_to(user).select_related("user")
        rows = rows.order_by(F("revoked_at").desc(nulls_first=True), "-pk")
        listed = list(rows[:SHOWN])
        names = dict(Experiment.objects.values_list("pk", "name"))
        at = now()
        context = {
            "form": form, "secret": secret, "made": made, "wrong": error, "problems": error.problems if error else (),
            "roles": Membership.objects.filter(user=user, active=True).select_related("experiment").order_by("pk"),
            "identities": Identity.objects.filter(user=user).order_by("pk"),
            "tokens": [(row, [names.get(key, "?") for key in row.only_experiments or ()],
                        row.revoked_at is None and row.expires_at > at) for row in listed],
            "accounts": ServiceAccount.objects.filter(owner=user).select_related("experiment", "user").order_by("name"),
            "certificates": Certificate.objects.filter(account__owner=user, ended_at=None).select_related("account"),
            "at": at, "hours": f"{settings.SESSION_HOURS:g}", "minutes": f"{settings.SESSION_IDLE_MINUTES:g}",
        }  # fmt: skip
        status = 201 if secret else errors.status_of(error) if error else 422 if form.errors else 200
        answer = self.show("web/account.html", context, status=status)
        add_never_cache_headers(answer)  # there may be a secret on it
        return answer


class AccountPage(Account):
    """Everything that POMS knows of oneself."""

    rules = {"get": SIGNED_IN}

    def get(self, request: HttpRequest) -> HttpResponse:
        """Show it."""
        return self.whole(TokenForm(request.user))


class NewToken(Account):
    """Make a token; its secret is shown once, in this answer."""

    rules = {"post": SIGNED_IN}

    def post(self, request: HttpRequest) -> HttpResponse:
        """Make it, or say what is wrong, with what was filled in."""
        user: Any = request.user
        form = TokenForm(user, request.POST)
        if not form.is_valid():
            return self.whole(form)
        given = form.cleaned_data
        try:
            narrowing = tokens.narrowed(user, given["scopes"], given["experiments"])
            holder = tokens.holder_for(user, given["account"])
            made, secret = tokens.issue(
                holder, given["name"], days=given["days"], narrowing=narrowing, consent=ledger.accepted(user)
            )
        except PomsError as error:
            return self.whole(form, error=error)
        return self.whole(TokenForm(user), secret=secret, made=made)


class RevokeToken(Page):
    """End a token of one's own, or of one's service accounts."""

    rules = {"post": SIGNED_IN}

    def post(self, request: HttpRequest) -> HttpResponse:
        """End it."""
        key = request.POST.get("token", "")
        found = ApiToken.objects.visible_to(request.user).filter(pk=int(key)).first() if _is_key(key) else None
        if found is None:
            raise NotVisible("You have no such token.")
        tokens.revoke(found)
        return HttpResponseRedirect(f"{reverse('account')}#tokens", status=303)


class SignOutEverywhere(Page):
    """End all sessions of oneself, this one too."""

    rules = {"post": SIGNED_IN}

    def post(self, request: HttpRequest) -> HttpResponse:
        """End them; tokens stay."""
        user: Any = request.user
        ledger.sign_out_everywhere(user, address=client_address(request))
        leave(request, how="everywhere, by the person")
        return HttpResponseRedirect(f"{reverse('sign-in')}?ended=everywhere", status=303)


class ConsentPage(Page):
    """The banner: shown before anything else, accepted once a session."""

    rules = {"get": SIGNED_IN, "post": SIGNED_IN}
    help = "/docs/guide/signing-in/#the-banner"

    def get(self, request: HttpRequest) -> HttpResponse:
        """Show it; where there is none, or it is accepted, go on."""
        if not is_wanting(request):
            return HttpResponseRedirect(onward(request))
        context = {"text": settings.CONSENT_TEXT, "next": onward(request), "of_text": ledger.banner(), "bare": True}
        return self.show("web/consent.html", context)

    def post(self, request: HttpRequest) -> HttpResponse:
        """Keep that it was accepted: the text that was shown, not another that came meanwhile."""
        if is_wanting(request):
            if request.POST.get("version") != ledger.banner():
                return HttpResponseRedirect(reverse("consent"), status=303)
            user: Any = request.user
            ledger.accept(user, ledger.banner(), client_address(request))
            request.session[ACCEPTED] = ledger.banner()
        return HttpResponseRedirect(onward(request), status=303)


class SecurityText(Page):
    """Where to report a weakness (RFC 9116), if this installation says so."""

    rules = {"get": PUBLIC}

    def get(self, request: HttpRequest) -> HttpResponse:
        """Return the text."""
        if not settings.SECURITY_TXT:
            raise NotVisible("There is no security.txt here.")
        return HttpResponse(settings.SECURITY_TXT.rstrip() + "\n", content_type="text/plain; charset=utf-8")


def _is_key(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < 19


urlpatterns = [
    path("account/", AccountPage.as_view(), name="account"),
    path("account/tokens/", NewToken.as_view(), name="account-token"),
    path("account/tokens/revoke/", RevokeToken.as_view(), name="account-revoke"),
    path("account/sign-out-everywhere/", SignOutEverywhere.as_view(), name="account-sign-out"),
    path("consent/", ConsentPage.as_view(), name="consent"),
    path(".well-known/security.txt", SecurityText.as_view(), name="security-txt"),
]
