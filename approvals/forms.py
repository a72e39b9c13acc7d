"""The form of a request: what somebody who asks for a production fills in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django import forms

from core.errors import Problem
from experiments.models import Experiment
from experiments.queries import production_stages

LARGEST_TEXT = 256 * 1024


class RequestForm(forms.Form):
    """A request; what cannot work is said at its field, with what to do, and nothing typed is lost."""

    title = forms.CharField(max_length=200, label="Title", help_text="In a few words, what is to be done.")
    production_stage = forms.ChoiceField(
        label="Production stage", help_text="It decides who approves: for each stage approvers are registered."
    )
    definition = forms.CharField(
        max_length=LARGEST_TEXT,
        strip=False,
        label="Definition",
        widget=forms.Textarea(attrs={"rows": 24, "class": "code", "spellcheck": "false", "wrap": "off"}),
        help_text="The campaign as text: stages, datasets, job types, dependencies.",
    )
    definition_file = forms.FileField(
        required=False, label="… or a file with it", help_text="Read instead of the text above, if you choose one."
    )
    dataset = forms.CharField(
        max_length=400, required=False, label="Dataset", help_text="What to process, where it is one dataset."
    )
    release = forms.CharField(max_length=100, required=False, label="Software release")
    priority = forms.IntegerField(
        min_value=0, max_value=100, required=False, initial=50, label="Priority", help_text="0 to 100; 50 is usual."
    )
    hours_per_file = forms.FloatField(
        min_value=0, max_value=1e6, required=False, label="Hours per file",
        help_text="Time of one core for one file or job; the estimate of the cost needs it.",
    )  # fmt: skip
    special = forms.CharField(
        max_length=8000, required=False, label="Special requirements", widget=forms.Textarea(attrs={"rows": 3}),
        help_text="On names of outputs, metadata, sites.",
    )  # fmt: skip
    free_text = forms.CharField(
        max_length=8000, required=False, label="Anything else", widget=forms.Textarea(attrs={"rows": 3}),
        help_text="Why it is needed and by when; the approver reads it.",
    )  # fmt: skip

    def __init__(self, experiment: Experiment, *args: Any, **kwargs: Any) -> None:
        """Offer the production stages for which somebody decides in this experiment."""
        super().__init__(*args, **kwargs)
        stages = production_stages(experiment)
        field: Any = self.fields["production_stage"]
        field.choices = [(stage, stage) for stage in stages]
        if not stages:
            field.help_text = "No approver is registered yet; ask an administrator to register one."
        self.fields["definition"].required = not self.files.get("definition_file")
        for bound in self.fields.values():
            kind = "form-select" if isinstance(bound, forms.ChoiceField) else "form-control"
            bound.widget.attrs["class"] = f"{kind} {bound.widget.attrs.get('class', '')}".strip()

    def clean(self) -> dict[str, Any]:
        """Take the text from the file where one was chosen, with the line ends of a text."""
        wanted = super().clean() or {}
        chosen = wanted.pop("definition_file", None)
        if chosen is not None:
            text = self._read(chosen)
            if text is None:
                return wanted
            wanted["definition"] = text
        if "definition" in wanted:
            wanted["definition"] = wanted["definition"].replace("\r\n", "\n")
        if chosen is not None:
            # A browser does not keep the file that was chosen: what was in it is shown, where it needs another look.
            typed: Any = self.data
            self.data = {**typed.dict(), "definition": wanted["definition"]}
            self.errors.pop("definition", None)
        return wanted

    def _read(self, chosen: Any) -> str | None:
        """Return the text of a file, or say at its field why it can be none."""
        wrong = ""
        if chosen.size > LARGEST_TEXT:
            wrong = "The file is larger than 256 KiB; a definition never is."
        else:
            try:
                text = str(chosen.read().decode())
            except UnicodeDecodeError:
                wrong = "The file is no text in UTF-8; choose the definition's .ini file."
            else:
                wrong = "The file has a NUL character; it is no text." if "\0" in text else ""
        if wrong:
            self.add_error("definition_file", wrong)
            return None
        return text

    def values(self) -> dict[str, Any]:
        """Return what the verbs of filing take."""
        given = {name: value for name, value in self.cleaned_data.items() if name != "definition_file"}
        if given["priority"] is None:
            given["priority"] = 50
        return given

    def say(self, problems: Sequence[Problem]) -> None:
        """Put what a verb refused at the fields that it is about; what has no field goes above them all."""
        for problem in problems:
            where = f"line {problem.line}: " if problem.line else ""
            field = problem.field if problem.field in self.fields else "definition" if problem.line else None
            name = f"{problem.field}: " if field != problem.field else ""
            text = f"{where}{name}{problem.message}" + (f" ({problem.hint})" if problem.hint else "")
            self.add_error(field, text)
