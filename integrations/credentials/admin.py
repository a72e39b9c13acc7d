"""The admin of credentials: where an experiment's launches find them, and how they are renewed."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.http import HttpRequest

from experiments.admin_forms import LinesField, VerbForm
from experiments.queries import is_administrator
from experiments.scoped_admin import ScopedFilter, ScopedModelAdmin
from integrations import registry
from integrations.admin import LONGEST_SETTINGS, SettingsField
from integrations.credentials import keeping
from integrations.credentials.kinds import KINDS
from integrations.declared import as_text
from integrations.models import Credential

_PLACE = ("role", "launcher", "host", "account")


class WordsField(LinesField):
    """A command as its words, one a line: nothing is parted or quoted by anybody."""

    widget = forms.Textarea(attrs={"rows": 6, "class": "vLargeTextField code", "spellcheck": "false"})

    def prepare_value(self, value: Any) -> str:
        """Return the words as lines; what was typed stays as it was typed."""
        return value if isinstance(value, str) else "\n".join(value or ())

    def clean(self, value: Any) -> Any:
        """Return the words."""
        words = [line for line in str(super().clean(value)).split("\n") if line]
        if long := next((word for word in words if len(word) > 400), ""):
            raise ValidationError(f"A word has at most 400 characters: {long[:40]}…")
        return words

    def has_changed(self, initial: Any, data: Any) -> bool:
        """Compare as text."""
        return self.prepare_value(initial) != self.prepare_value(data)


class CredentialForm(VerbForm):
    """One credential of an experiment."""

    kind = forms.ChoiceField(choices=[(key, f"{key}: a {kind.word}") for key, kind in KINDS.items()])
    launcher = forms.ChoiceField(
        required=False, choices=[("", "with the worker: every launch needs it"), *((k, k) for k in registry.LAUNCHERS)]
    )
    settings = SettingsField(
        required=False, max_length=LONGEST_SETTINGS,
        help_text="One a line, such as vault = htvault.example.org. No secret stands here.",
    )  # fmt: skip
    renewal = WordsField(
        required=False, max_length=LONGEST_SETTINGS, label="Command",
        help_text="It renews the credential where it lies: one word a line, no shell. Empty: as the settings say.",
    )  # fmt: skip
    seen = forms.CharField(widget=forms.HiddenInput, required=False, max_length=64)

    class Meta:
        model = Credential
        fields = ("experiment", "name", "kind", *_PLACE, *Credential.EDITABLE)
        labels = {
            "renewal_seconds": "Command may take (s)", "needs_seconds": "A launch needs (s)",
            "renew_seconds": "Renew before its end (s)", "renewers": "Who can renew it",
        }  # fmt: skip
        help_texts = {
            "host": "As login set-ups call it.",
            "renewers": "Said wherever launches wait for it, such as: the token desk, token-desk@example.org.",
            "needs_seconds": "One that ends sooner stops launches.",
            "active": "Put away, launches go without it.",
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk and "seen" in self.fields:
            self.fields["seen"].initial = self.instance.fingerprint


class CredentialAdmin(ScopedModelAdmin):
    """Credentials: administrators enter them; what lies with the worker, those of the whole service."""

    rules = {"view": "view", "add": "administer", "change": "administer", "delete": "administer"}
    kind = "credential"
    words = ("credential", "credentials")
    lead = "Only where it lies is kept, never what is in it. Put one away by taking its tick."
    form = CredentialForm
    list_display = ("__str__", "kind", "role", "host", "account", "stands", "ends_at", "active")
    list_filter = (("experiment", ScopedFilter), "kind", "role", "active")
    list_select_related = ("experiment",)
    search_fields = ("name", "host", "account", "experiment__name")
    ordering = ("experiment__name", "name")

    def may(self, request: HttpRequest, action: str, obj: Any = None) -> bool:
        """Keep what lies with the worker to administrators of the whole service."""
        whole = action == "change" and obj is not None and keeping.needs_whole_service(obj)
        return not (whole and not is_administrator(request.user)) and super().may(request, action, obj)

    def get_fields(self, request: Any, obj: Any = None) -> Any:
        """Ask for what it is, and where it lies, once."""
        fields = ["experiment", "name", "kind", *_PLACE, *Credential.EDITABLE]
        if obj is None:
            return [*(name for name in fields if name != "active"), "reason"]
        if not self.has_change_permission(request, obj):
            return [{"settings": "said", "renewal": "command_line"}.get(name, name) for name in fields]
        return [*fields, "reason", "seen"]

    def get_readonly_fields(self, request: Any, obj: Any = None) -> Any:
        """Keep what launches and holds count on."""
        return ("experiment", "name", "kind", *_PLACE, "said", "command_line") if obj else ()

    def stands(self, row: Credential) -> str:
        """Return how it stands."""
        return row.condition().replace("_", " ")

    def said(self, row: Credential) -> str:
        """Return the settings as lines."""
        return as_text(row.settings)

    said.short_description = "settings"  # type: ignore[attr-defined]  # Django's own mark of a column

    def command_line(self, row: Credential) -> str:
        """Return the command."""
        return " ".join(row.command)

    command_line.short_description = "command"  # type: ignore[attr-defined]  # as above

    def write(self, form: VerbForm) -> Credential:
        """Enter a credential, or change one."""
        given, by, row = dict(form.cleaned_data), form.request.user, form.original
        if row is not None:
            return keeping.change(row, by=by, **given)
        given.pop("seen", None)
        experiment, name, kind = (given.pop(key) for key in ("experiment", "name", "kind"))
        return keeping.enter(experiment, name, kind, by=by, **given)
