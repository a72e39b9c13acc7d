"""Forms of the admin: each calls one verb, and shows the verb's refusal beside the fields, with what was typed."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.db import DataError, IntegrityError, transaction
from django.forms.models import construct_instance

from core.errors import PomsError, Problem

LONGEST_REASON = 4000


class VerbForm(forms.ModelForm):
    """A form whose saving is a verb of `logic`: the admin class behind it says which (`write`)."""

    admin: Any = None
    request: Any = None
    original: Any = None

    reason = forms.CharField(
        widget=forms.Textarea(attrs={"rows": 2}), max_length=LONGEST_REASON,
        help_text="Why? It is kept in the history, with your name.",
    )  # fmt: skip

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, field in self.fields.items():
            if field.help_text and not field.widget.is_hidden:
                field.widget.attrs["aria-describedby"] = f"id_{name}_helptext"

    def is_valid(self) -> bool:
        """Check what was typed and, if it can be read, do what it asks; a refusal becomes errors of the form."""
        if not super().is_valid():
            return False
        try:
            with transaction.atomic():
                self.instance = self.admin.write(self)
        except PomsError as refusal:
            self.explain(refusal)
        except ValidationError as error:
            self.add_error(None, error)
        except (IntegrityError, DataError):
            self.add_error(None, "It does not fit what is kept already; nothing was changed. Look again.")
        return not self.errors

    def _post_clean(self) -> None:
        """Check field by field; what does not fit together the verb says, which knows what to do about it."""
        form: Any = self  # what follows is Django's own way of doing it, which its types leave out
        self.instance = construct_instance(form, self.instance, form._meta.fields, form._meta.exclude)
        try:
            self.instance.clean_fields(exclude=form._get_validation_exclusions())
        except ValidationError as error:
            form._update_errors(error)

    def explain(self, refusal: PomsError) -> None:
        """Put a refusal where it belongs: each problem beside its field, the rest above the form."""
        self.add_error(None, refusal.detail)
        for problem in refusal.problems:
            known = problem.field in self.fields
            where = problem.field if known else NON_FIELD_ERRORS
            self.add_error(where, said(problem, known))


def said(problem: Problem, beside_field: bool) -> str:
    """Return a problem as one sentence with its hint."""
    text = problem.message if beside_field else f"{problem.field}: {problem.message}"
    return f"{text} ({problem.hint})" if problem.hint else text


class ReasonForm(forms.Form):
    """What an act on several things asks for."""

    reason = forms.CharField(
        widget=forms.Textarea(attrs={"rows": 3, "aria-describedby": "id_reason_helptext"}), max_length=LONGEST_REASON,
        help_text="Why? It is kept in the history of each of them, with your name.",
    )  # fmt: skip


class NameField(forms.ModelChoiceField):
    """One of many, typed by its name, with suggestions: a list to choose from would be too long."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs["widget"] = forms.TextInput(attrs={"class": "vTextField", "autocomplete": "off", "spellcheck": "false"})
        kwargs["error_messages"] = {"invalid_choice": "Nobody of this name is known here: %(value)s."}
        super().__init__(*args, **kwargs)

    def suggest(self, address: str) -> None:
        """Say where the suggestions come from."""
        self.widget.attrs["data-suggest"] = address


class LinesField(forms.CharField):
    """Text as it is typed, blanks included, with the line ends that scripts need instead of those of browsers."""

    widget = forms.Textarea(attrs={"rows": 14, "class": "vLargeTextField code", "spellcheck": "false"})

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(strip=False, **kwargs)

    def to_python(self, value: Any) -> str:
        """Return the text with plain line ends."""
        return str(super().to_python(value) or "").replace("\r\n", "\n").replace("\r", "\n")
