"""The form of a request: what somebody who asks for a production fills in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django import forms

from approvals.composing import listed
from approvals.models import Package
from approvals.queries import policy_of
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
    group = forms.CharField(
        max_length=100, required=False, label="For whom", help_text="The group, where it is not for you alone."
    )
    dataset = forms.CharField(max_length=400, required=False, label="Dataset", help_text="Its name in the catalogue.")
    files = forms.CharField(  # type: ignore[assignment]  # a form takes its fields away from the class
        max_length=4_000_000, required=False, label="… or files",
        widget=forms.Textarea(attrs={"rows": 3, "wrap": "off"}),
        help_text="Names, one a line.",
    )  # fmt: skip
    query = forms.CharField(
        max_length=2000, required=False, label="… or a query", help_text="In the catalogue's language."
    )
    events = forms.IntegerField(
        min_value=1, max_value=10**12, required=False, label="… or events to generate",
        help_text="Where the definition leaves their number to the request.",
    )  # fmt: skip
    repository = forms.ChoiceField(
        required=False, label="Package", help_text="The package, named as production, that holds the code."
    )
    release = forms.CharField(max_length=100, required=False, label="Release", help_text="The tag in its repository.")
    configuration = forms.CharField(
        max_length=400, required=False, label="Configuration", help_text="The file's path in the repository."
    )
    scripts = forms.CharField(
        max_length=8000, required=False, label="Scripts", widget=forms.Textarea(attrs={"rows": 2, "wrap": "off"}),
        help_text="What else must be on the launch host, one a line.",
    )  # fmt: skip
    definition = forms.CharField(
        max_length=LARGEST_TEXT,
        strip=False,
        label="Definition",
        widget=forms.Textarea(attrs={"rows": 24, "class": "code", "spellcheck": "false", "wrap": "off"}),
        help_text="The campaign as text: stages, datasets, job types, dependencies. Where it says “requested”, what"
        " this form says is filled in.",
    )
    definition_file = forms.FileField(
        required=False, label="… or a file with it", help_text="Read instead of the text above, if you choose one."
    )
    priority = forms.IntegerField(
        min_value=0, max_value=100, required=False, initial=50, label="Priority", help_text="0 to 100; 50 is usual."
    )
    hours_per_file = forms.FloatField(
        min_value=0, max_value=1e6, required=False, label="Hours per file",
        help_text="Time of one core for one file or job. A test run measures it.",
    )  # fmt: skip
    memory_mb = forms.IntegerField(
        min_value=1, max_value=10**7, required=False, label="Memory in MB",
        help_text="Of a job, where the definition leaves it to the request.",
    )  # fmt: skip
    keep_up = forms.BooleanField(
        required=False, label="Keep-up", help_text="It goes on as new data arrive, and must be extended each week."
    )
    outputs = forms.CharField(
        max_length=400, required=False, label="Names of outputs",
        help_text="Patterns, % for anything: nd_nue_%.root. No file may be called so yet.",
    )  # fmt: skip
    special = forms.CharField(
        max_length=8000, required=False, label="Special requirements", widget=forms.Textarea(attrs={"rows": 3}),
        help_text="On names of outputs, metadata, sites; one a line. An operator ticks off each.",
    )  # fmt: skip
    details = forms.CharField(
        max_length=8000, required=False, label="The experiment's own fields",
        widget=forms.Textarea(attrs={"rows": 3, "wrap": "off"}), help_text="One a line: key = value.",
    )  # fmt: skip
    free_text = forms.CharField(
        max_length=8000, required=False, label="Anything else", widget=forms.Textarea(attrs={"rows": 3}),
        help_text="Why it is needed and by when; the approver reads it.",
    )  # fmt: skip

    def __init__(self, experiment: Experiment, *args: Any, **kwargs: Any) -> None:
        """Offer the production stages for which somebody decides in this experiment."""
        super().__init__(*args, **kwargs)
        if keys := policy_of(experiment.pk).keys:
            self.fields["details"].help_text = f"One a line: key = value. Declared are {', '.join(keys)}."
        names = Package.objects.filter(experiment=experiment, active=True).order_by("name")
        packages: Any = self.fields["repository"]
        packages.choices = [("", "none"), *((row.name, row.name) for row in names)]
        if asked := self.initial.get("repository"):  # one that is no longer named as production is shown as it was
            packages.choices += [(asked, asked)] if asked not in dict(packages.choices) else []
        stages = production_stages(experiment)
        field: Any = self.fields["production_stage"]
        field.choices = [(stage, stage) for stage in stages]
        if not stages:
            field.help_text = "No approver is registered yet; ask an administrator to register one."
        chosen: Any = self.files
        self.fields["definition"].required = not chosen.get("definition_file")
        for bound in self.fields.values():
            if isinstance(bound, forms.BooleanField):
                continue
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

    def clean_details(self) -> dict[str, str]:
        """Read the lines of keys and values."""
        found: dict[str, str] = {}
        for number, line in enumerate(self.cleaned_data["details"].splitlines(), 1):
            key, equals, value = line.partition("=")
            if not line.strip():
                continue
            if not equals or not key.strip() or len(key.strip()) > 60 or len(value.strip()) > 400:
                raise forms.ValidationError(f"Line {number} is not of the form key = value: {line.strip()[:60]}")
            found[key.strip()] = value.strip()
        return found

    def clean_files(self) -> str:
        """Keep one name a line."""
        return "\n".join(listed(self.cleaned_data["files"]))

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


def as_typed(values: dict[str, Any]) -> dict[str, Any]:
    """Return fields of a request as the form shows them."""
    details = values.get("details")
    if isinstance(details, dict):
        return {**values, "details": "\n".join(f"{key} = {value}" for key, value in details.items())}
    return values
