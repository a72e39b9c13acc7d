"""The admin of catalogues: which ones an experiment has, and how they are reached."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from django import forms
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpRequest

from experiments.admin_forms import LinesField, VerbForm
from experiments.queries import is_administrator
from experiments.scoped_admin import ScopedFilter, ScopedModelAdmin, needs
from integrations import declared, linking, registry
from integrations.models import CatalogueLink

LONGEST_SETTINGS = 16_000
_LINE = re.compile(r"\s*([a-z_]+)\s*=\s*(.*?)\s*")


class SettingsField(LinesField):
    """Settings as lines; the system's own reader says which there are."""

    widget = forms.Textarea(attrs={"rows": 8, "class": "vLargeTextField code", "spellcheck": "false"})

    def prepare_value(self, value: Any) -> str:
        """Return the settings as lines; what was typed stays as it was typed."""
        return value if isinstance(value, str) else declared.as_text(value or {})

    def clean(self, value: Any) -> Any:
        """Return the settings, or say which line is none."""
        found: dict[str, str] = {}
        for number, line in enumerate(str(super().clean(value)).split("\n"), 1):
            if not line.strip():
                continue
            match = _LINE.fullmatch(line)
            if not match or "\0" in line:
                raise ValidationError(f"Line {number} is no setting: {line[:80]} (write it as name = value)")
            if match[1] in found:
                raise ValidationError(f"Line {number} sets {match[1]} again.")
            found[match[1]] = match[2]
        return found

    def has_changed(self, initial: Any, data: Any) -> bool:
        """Compare as text."""
        return self.prepare_value(initial) != self.prepare_value(data)


class CatalogueLinkForm(VerbForm):
    """One catalogue of an experiment."""

    system = forms.ChoiceField(choices=lambda: [(key, key) for key in registry.CATALOGUES])
    settings = SettingsField(
        required=False, max_length=LONGEST_SETTINGS,
        help_text="One a line, such as url = https://sam.example.org:8483/sam/demo/api. No secret stands here.",
    )  # fmt: skip
    seen = forms.CharField(widget=forms.HiddenInput, required=False, max_length=64)

    class Meta:
        model = CatalogueLink
        fields = ("experiment", "name", "system", *CatalogueLink.EDITABLE)
        labels = {"is_default": "Default"}
        help_texts = {
            "name": "By which stages name it.",
            "credential": "The name of a secret that the workers have, never the secret itself.",
            "is_default": "Used where a stage names none. Another one that is the default is it no longer.",
            "active": "Without an active one, an experiment has the local catalogue.",
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk and "seen" in self.fields:
            self.fields["seen"].initial = self.instance.fingerprint


class CatalogueLinkAdmin(ScopedModelAdmin):
    """Links to catalogues: administrators make them; where a credential goes, those of the whole service decide."""

    rules = {"view": "view", "add": "administer", "change": "administer", "delete": "administer"}
    kind = "catalogue"
    words = ("catalogue", "catalogues")
    lead = "A change counts from the next call on, for campaigns that run as well. Put a link away by taking its tick."
    form = CatalogueLinkForm
    list_display = ("__str__", "name", "system", "is_default", "active")
    list_filter = (("experiment", ScopedFilter), "system", "active")
    list_select_related = ("experiment",)
    search_fields = ("name", "system", "experiment__name")
    ordering = ("experiment__name", "name")

    def may(self, request: HttpRequest, action: str, obj: Any = None) -> bool:
        """Keep links that a secret goes along with to administrators of the whole service."""
        if action == "change" and obj is not None and is_secret(obj.values()) and not is_administrator(request.user):
            return False
        return super().may(request, action, obj)

    def get_fields(self, request: Any, obj: Any = None) -> Any:
        """Ask for experiment, name and system once."""
        fields = ["experiment", "name", "system", *CatalogueLink.EDITABLE]
        if obj is None:
            return [*(name for name in fields if name != "active"), "reason"]
        if not self.has_change_permission(request, obj):
            return ["said" if name == "settings" else name for name in fields]
        return [*fields, "reason", "seen"]

    def get_readonly_fields(self, request: Any, obj: Any = None) -> Any:
        """Keep what definitions and snapshots count on."""
        return ("experiment", "name", "system", "said") if obj else ()

    def said(self, row: CatalogueLink) -> str:
        """Return the settings as lines."""
        return declared.as_text(row.settings)

    said.short_description = "settings"  # type: ignore[attr-defined]  # Django's own mark of a column

    def write(self, form: VerbForm) -> CatalogueLink:
        """Link, or change a link."""
        given, by, row = dict(form.cleaned_data), form.request.user, form.original
        if is_secret(given) and not is_administrator(by):
            raise PermissionDenied(needs("administer", "the whole service"))
        if row is not None:
            return linking.change(row, by=by, **given)
        experiment, name, system = (given.pop(key) for key in ("experiment", "name", "system"))
        given.pop("seen", None)
        return linking.link(experiment, name, system, by=by, **given)


def is_secret(values: Mapping[str, Any]) -> bool:
    """Tell whether a secret goes along with a link: who names both it and the address could have it sent anywhere."""
    return bool(values.get("credential") or values.get("settings", {}).get("certificate"))
