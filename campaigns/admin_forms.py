"""Forms of job types and launch set-ups."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from campaigns.models import Defaults, JobType, LoginSetup
from core import differences
from experiments.admin_forms import LinesField, VerbForm
from integrations import registry
from integrations.models import LaunchHost

LONGEST_SCRIPT = 8000
LONGEST_SETUP = 64_000


class PairsField(LinesField):
    """Parameters of a script: one JSON pair a line, in their order, so that blanks and signs stay as they are."""

    widget = forms.Textarea(attrs={"rows": 6, "class": "vLargeTextField code", "spellcheck": "false"})

    def prepare_value(self, value: Any) -> str:
        """Return the pairs as lines; what was typed stays as it was typed."""
        return value if isinstance(value, str) else differences.as_text(value or [])

    def clean(self, value: Any) -> Any:
        """Return the pairs, or say which line is none."""
        lines = [line for line in str(super().clean(value)).split("\n") if line.strip()]
        return [self._pair(number, line) for number, line in enumerate(lines, start=1)]

    def has_changed(self, initial: Any, data: Any) -> bool:
        """Compare as text."""
        return self.prepare_value(initial) != self.prepare_value(data)

    def _pair(self, number: int, line: str) -> list[str]:
        try:
            pair = json.loads(line)
        except (ValueError, RecursionError):
            pair = None
        if not (isinstance(pair, list) and len(pair) == 2 and all(_is_plain(part) for part in pair)):
            raise ValidationError(f'Line {number} is no pair: {line[:80]} (write it as ["key", "value"])')
        return pair


def _is_plain(part: Any) -> bool:
    """Tell whether a part is text that the database can hold: no NUL, no half characters."""
    if not isinstance(part, str) or "\0" in part:
        return False
    return not any("\ud800" <= sign <= "\udfff" for sign in part)


class KeptForm(VerbForm):
    """What both have: the mark of what the person had before them, by which an edit in between is noticed."""

    seen = forms.CharField(widget=forms.HiddenInput, required=False, max_length=64)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk and "seen" in self.fields:
            self.fields["seen"].initial = self.instance.fingerprint


class DefaultsForm(KeptForm):
    """Keys and values for every stage of the experiment's campaigns."""

    text = LinesField(required=False, max_length=LONGEST_SETUP, help_text="One a line: memory_mb=3000.")

    class Meta:
        model = Defaults
        fields = ("experiment", "text")


class JobTypeForm(KeptForm):
    """How a kind of job is run."""

    launch_script = LinesField(max_length=LONGEST_SCRIPT, help_text="The program that launches one batch, as written.")
    parameters = PairsField(
        required=False, max_length=LONGEST_SETUP,
        help_text='One pair a line, in their order: ["-Oglobal.tune=", "G18_10a"]',
    )  # fmt: skip

    class Meta:
        model = JobType
        fields = ("experiment", "name", *JobType.EDITABLE)
        help_texts = {
            "output_file_patterns": "Which files are outputs, for instance %.root",
            "active": "Definitions may name it.",
        }


class Offering(forms.TextInput):
    """A field of text that offers what there is; anything else may be typed, and the verb says what it thinks of it."""

    offers: Sequence[tuple[str, str]] = ()  # what is offered, and what it is

    def render(self, name: str, value: Any, attrs: Any = None, renderer: Any = None) -> SafeString:
        """Return the field with its list."""
        field = super().render(name, value, {**(attrs or {}), "list": f"offers_{name}"}, renderer)
        options = format_html_join("", '<option value="{}">{}</option>', self.offers)
        return format_html('{}<datalist id="offers_{}">{}</datalist>', field, name, options)


class LoginSetupForm(KeptForm):
    """Where and how scripts are started."""

    setup = LinesField(
        label="Set-up", required=False, max_length=LONGEST_SETUP,
        help_text="Shell text, run as written before the script, with the experiment's credentials.",
    )  # fmt: skip
    launcher = forms.ChoiceField(choices=[(key, key) for key in registry.LAUNCHERS])
    batch = forms.ChoiceField(choices=lambda: [(key, key) for key in registry.batch_systems()], label="Batch system")

    class Meta:
        model = LoginSetup
        fields = ("experiment", "name", *LoginSetup.EDITABLE)
        widgets = {
            "host": Offering({"class": "vTextField", "autocomplete": "off"}),
            "account": Offering({"class": "vTextField", "autocomplete": "off"}),
        }
        help_texts = {
            "host": "Where the script is started. By ssh: a launch host that is entered for the experiment.",
            "account": "As whom. By ssh: one that is entered with the host; empty: the only one there."
            " Without ssh: as the workers themselves.",
            "active": "Definitions may name it.",
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "host" not in self.fields:
            return
        row = self.instance
        among = [row.experiment] if row.pk else getattr(self.fields.get("experiment"), "queryset", ())
        hosts = LaunchHost.objects.filter(experiment__in=among, active=True).select_related("experiment")
        found = list(hosts.order_by("name", "account"))
        self.fields["host"].widget.offers = [(host.name, str(host)) for host in found]
        self.fields["account"].widget.offers = [(host.account, str(host)) for host in found]
