"""The form by which an approver decides in the admin."""

from __future__ import annotations

from typing import Any

from django import forms

from approvals.forms import LARGEST_TEXT
from approvals.models import Package, Policy, Template
from campaigns.admin_forms import KeptForm
from experiments.admin_forms import LONGEST_REASON, LinesField

APPROVED = "approved as read"


class DecisionForm(forms.Form):
    """Which way, why, and on which revision exactly."""

    verdict = forms.ChoiceField(choices=[(word, word) for word in ("approve", "return", "reject")])
    digest = forms.CharField(
        max_length=64, widget=forms.HiddenInput,
        error_messages={"required": "It is not said which revision was read. Look again, and decide anew."},
    )  # fmt: skip
    reason = forms.CharField(
        required=False, max_length=LONGEST_REASON,
        widget=forms.Textarea(attrs={"rows": 4, "aria-describedby": "id_reason_helptext"}),
    )  # fmt: skip

    def clean(self) -> dict[str, Any]:
        """Ask for a reason unless the request is approved."""
        given = super().clean() or {}
        verdict, reason = given.get("verdict"), given.get("reason", "")
        if verdict in ("return", "reject") and not reason.strip() and "reason" not in self.errors:
            self.add_error("reason", f"Say why: the requester reads it. To {verdict} needs a reason.")
        elif verdict == "approve" and not reason.strip():
            given["reason"] = APPROVED
        return given


class PolicyForm(KeptForm):
    """What an experiment asks for."""

    class Meta:
        model = Policy
        fields = ("experiment", *Policy.EDITABLE)


class PackageForm(KeptForm):
    """Where a package is."""

    class Meta:
        model = Package
        fields = ("experiment", "name", *Package.EDITABLE)
        help_texts = {"active": "Requests may name it."}


class TemplateForm(KeptForm):
    """A definition to begin with."""

    definition = LinesField(max_length=LARGEST_TEXT, help_text="With {{name}} where a parameter belongs.")
    parameters = LinesField(
        required=False, max_length=16_000, help_text="What is to be filled in, one a line: name = default | what it is."
    )

    class Meta:
        model = Template
        fields = ("experiment", "name", *Template.EDITABLE)
        help_texts = {"name": "Letters, digits and hyphens; the command line says it.", "active": "It is offered."}
