"""The admin of accounts that are no persons: service accounts, and the certificates that sign them in."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest

from core import ledger
from core.clock import now
from core.errors import Conflict, Problem, Refused
from experiments.admin_bulk import Act, ask_and_act
from experiments.admin_forms import VerbForm
from experiments.logic import service_accounts
from experiments.models import Certificate, ServiceAccount
from experiments.scoped_admin import ScopedFilter, ScopedModelAdmin

RULES = {"view": "administer", "add": "administer", "change": "administer", "delete": "administer"}
MOST_BYTES = 20_000


def day(at: Any) -> str:
    """Return a moment as its day."""
    return f"{at:%Y-%m-%d}" if at else "never"


class ServiceAccountForm(VerbForm):
    """What it is for, who answers for it, and until when."""

    until = forms.DateField(
        widget=forms.DateInput(attrs={"type": "date"}), label="Works until",
        help_text="The end of this day (UTC), at most a year from now.",
    )  # fmt: skip
    role = forms.ChoiceField(
        choices=[(role, role.replace("_", " ")) for role in service_accounts.OFFERED],
        help_text="Decisions are people's, so it is neither approver nor reviewer.",
    )

    class Meta:
        model = ServiceAccount
        fields = ("name", "experiment", "role", "owner", "purpose")
        help_texts = {
            "name": "Lower case; the account is then called name@experiment.",
            "owner": "The person who answers for it; it stops when their account is switched off.",
            "purpose": "What it does, in a sentence.",
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.original is not None and "until" in self.fields:
            self.fields["until"].initial = self.original.expires_at.astimezone(UTC).date()
            self.initial["owner"] = self.original.owner.username


class ServiceAccountAdmin(ScopedModelAdmin):
    """Service accounts: made, renewed, handed over and ended by administrators."""

    rules = RULES
    kind = "service"
    words = ("service account", "service accounts")
    lead = "It has no password: only tokens and certificates sign it in, and only until its end."
    form = ServiceAccountForm
    autocomplete_fields = ("owner",)
    list_display = ("account", "role", "owner", "purpose", "ends", "last_use")
    list_filter = (("experiment", ScopedFilter), "role")
    list_select_related = ("user", "owner", "experiment")
    search_fields = ("name", "purpose", "owner__username")
    ordering = ("experiment__name", "name")
    actions = ("end",)

    def get_fields(self, request: Any, obj: Any = None) -> Any:
        """Ask for everything once; afterwards only who answers for it and until when."""
        if obj is None:
            return ["name", "experiment", "role", "owner", "purpose", "until", "reason"]
        fields = ["account", "role", "purpose", "last_use", "owner", "until"]
        if obj.ended_at is not None or not self.has_change_permission(request, obj):
            return ["account", "role", "purpose", "last_use", "owner", "ends"]
        return [*fields, "reason"]

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Tell whether the person may change it; what has ended is only read, and a form that comes late is told so."""
        over = obj is not None and obj.ended_at is not None and request.method != "POST"
        return super().has_change_permission(request, obj) and not over

    def get_readonly_fields(self, request: Any, obj: Any = None) -> Any:
        """Keep what it is."""
        if obj is None:
            return ()
        return ("account", "role", "purpose", "last_use", "ends", *(() if obj.ended_at is None else ("owner",)))

    def account(self, row: ServiceAccount) -> str:
        """Return its name."""
        return row.user.username

    def ends(self, row: ServiceAccount) -> str:
        """Return when it ends, or that it has."""
        if row.ended_at is not None:
            return f"ended {day(row.ended_at)}"
        return f"past its end {day(row.expires_at)}" if row.expires_at <= now() else day(row.expires_at)

    @admin.display(description="last use")
    def last_use(self, row: ServiceAccount) -> str:
        """Return when a key of it was used last."""
        return day(row.used_at)

    def write(self, form: VerbForm) -> ServiceAccount:
        """Make it; or renew it, hand it over, or both."""
        given, by, row = form.cleaned_data, form.request.user, form.original
        if row is not None and row.ended_at is not None:
            raise Conflict(f"{row} has ended; nothing was changed. Make another.")
        until = datetime.combine(given["until"], time.max, UTC)
        if row is None:
            return service_accounts.make(
                given["name"], given["experiment"], given["role"], owner=given["owner"], purpose=given["purpose"],
                expires_at=until, by=by, reason=given["reason"],
            )  # fmt: skip
        kept = ServiceAccount.objects.get(pk=row.pk)
        if _day_of(kept) == given["until"] and kept.owner_id == given["owner"].pk:
            raise Refused("Nothing is different; nothing was changed.")
        if kept.owner_id != given["owner"].pk:
            kept = service_accounts.hand_over(kept, owner=given["owner"], by=by, reason=given["reason"])
        if _day_of(kept) != given["until"]:
            kept = service_accounts.renew(kept, expires_at=until, by=by, reason=given["reason"])
        return kept

    @admin.action(description="End the chosen service accounts…", permissions=["change"])
    def end(self, request: Any, queryset: Any) -> Any:
        """End several at once."""
        act = Act(
            "end", "End these service accounts?", "It has ended, with its tokens and certificates.", danger=True,
            verb=lambda row, reason, _: service_accounts.end(row, by=request.user, reason=reason),
        )  # fmt: skip
        return ask_and_act(self, request, queryset, act, lambda row: "")


def _day_of(account: ServiceAccount) -> date:
    return account.expires_at.astimezone(UTC).date()


class CertificateForm(VerbForm):
    """A certificate, pasted or as a file."""

    pem = forms.CharField(
        required=False, max_length=MOST_BYTES, label="Certificate",
        widget=forms.Textarea(attrs={"rows": 8, "class": "vLargeTextField code", "spellcheck": "false"}),
        help_text="From BEGIN CERTIFICATE to END CERTIFICATE. Never the key.",
    )  # fmt: skip
    file = forms.FileField(required=False, label="or a file", help_text="PEM, for instance usercert.pem.")

    class Meta:
        model = Certificate
        fields = ("account",)
        labels = {"account": "Service account"}

    def text(self) -> str:
        """Return what was pasted, or what the file has."""
        given: str = self.cleaned_data["pem"].strip()
        file = self.cleaned_data["file"]
        if bool(given) == bool(file):
            what = "is given twice, here and as a file" if given else "is missing"
            raise Refused("Nothing was registered.", [Problem("pem", what, "paste it, or choose a file")])
        return given or file.read(MOST_BYTES).decode("ascii", errors="replace")


class CertificateAdmin(ScopedModelAdmin):
    """Certificates of service accounts: registered and ended by administrators."""

    rules = RULES
    words = ("certificate", "certificates")
    lead = "It signs the service account in behind a proxy that checks it, where POMS_CLIENT_CERT_HEADER is set."
    form = CertificateForm
    list_display = ("subject", "account", "owner", "ends", "last_use")
    list_filter = (("account__experiment", ScopedFilter),)
    list_select_related = ("account__owner", "account__experiment")
    search_fields = ("subject", "fingerprint", "account__name")
    ordering = ("not_after", "pk")
    actions = ("end_certificate",)
    unchangeable = "A certificate is not changed: end it in the list, and register another."

    def experiment_of(self, obj: Any) -> Any:
        """Return the key of the experiment of its service account."""
        return obj.account.experiment_id

    def place(self, obj: Any) -> str:
        """Return the name of the experiment of its service account."""
        return str(obj.account.experiment)

    def get_fields(self, request: Any, obj: Any = None) -> Any:
        """Ask for the certificate; of one that is registered, show what it says."""
        if obj is None:
            return ["account", "pem", "file", "reason"]
        return ["account", "subject", "fingerprint", "ends", "owner", "registered_by", "last_use"]

    def get_readonly_fields(self, request: Any, obj: Any = None) -> Any:
        """Keep what was registered."""
        return tuple(self.get_fields(request, obj)) if obj else ()

    def owner(self, row: Certificate) -> str:
        """Return who answers for it."""
        return row.account.owner.username

    def ends(self, row: Certificate) -> str:
        """Return when it ends, or that it was ended."""
        return f"ended {day(row.ended_at)}" if row.ended_at is not None else day(row.not_after)

    @admin.display(description="last use")
    def last_use(self, row: Certificate) -> str:
        """Return when it signed somebody in last."""
        return day(row.used_at)

    def write(self, form: VerbForm) -> Certificate:
        """Register."""
        given: Any = form
        return service_accounts.register(
            given.cleaned_data["account"], given.text(), by=form.request.user, reason=given.cleaned_data["reason"]
        )

    def ledger_of(self, obj: Any) -> Any:
        """Return what became of its service account."""
        return ledger.history({"service": [obj.account_id]})

    @admin.action(description="End the chosen certificates…", permissions=["change"])
    def end_certificate(self, request: Any, queryset: Any) -> Any:
        """End several at once."""
        act = Act(
            "end_certificate", "End these certificates?", "It has ended.", danger=True,
            verb=lambda row, reason, _: service_accounts.end_certificate(row, by=request.user, reason=reason),
        )  # fmt: skip
        return ask_and_act(self, request, queryset, act, lambda row: "")
