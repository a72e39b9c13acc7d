"""The admin of job types and launch set-ups: the experiment sees them, production edits them, every edit is kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from campaigns.admin_forms import DefaultsForm, JobTypeForm, LoginSetupForm
from campaigns.logic import editing
from experiments.admin_forms import VerbForm
from experiments.scoped_admin import ScopedFilter, ScopedModelAdmin

RULES = {"view": "view", "add": "define", "change": "define", "delete": "define"}
COPIES = (
    "A campaign that runs is not touched by an edit: its revision holds a copy. What counts is the next revision that"
    " is filed. Every edit is kept in the history, and shown."
)


class KeptAdmin(ScopedModelAdmin):
    """What job types and launch set-ups have in common."""

    rules = RULES
    lead = COPIES
    keep: Callable[..., Any]
    edit: Callable[..., Any]
    list_filter = (("experiment", ScopedFilter), "active")
    list_select_related = ("experiment", "updated_by")
    ordering = ("experiment__name", "name")

    def get_fields(self, request: Any, obj: Any = None) -> Any:
        """Ask for experiment and name once: definitions name it by them."""
        first = [] if obj is None else ["last_edit"]
        editable = self.model.EDITABLE if obj else [name for name in self.model.EDITABLE if name != "active"]
        if obj is not None and not self.has_change_permission(request, obj):
            return ["experiment", "name", *first, *editable]
        return ["experiment", "name", *first, *editable, "reason", *(["seen"] if obj else [])]

    def get_readonly_fields(self, request: Any, obj: Any = None) -> Any:
        """Keep the name of one that exists."""
        return ("experiment", "name", "last_edit") if obj else ()

    def last_edit(self, row: Any) -> str:
        """Return who edited it last and when."""
        return f"{row.updated_by.username if row.updated_by else 'set up'}, {row.updated_at:%Y-%m-%d %H:%M:%S} UTC"

    def write(self, form: VerbForm) -> Any:
        """Make or change."""
        given, by = dict(form.cleaned_data), form.request.user
        if form.original is None:
            return type(self).keep(given.pop("experiment"), given.pop("name"), by=by, **given)
        return type(self).edit(form.original, by=by, **given)


class OneEachAdmin(KeptAdmin):
    """What an experiment has one of: it has no name of its own."""

    def get_fields(self, request: Any, obj: Any = None) -> Any:
        """Leave the name out."""
        return [name for name in super().get_fields(request, obj) if name != "name"]

    def get_readonly_fields(self, request: Any, obj: Any = None) -> Any:
        """Keep the experiment of what exists."""
        return [name for name in super().get_readonly_fields(request, obj) if name != "name"]

    def write(self, form: VerbForm) -> Any:
        """Make or change."""
        if form.original is not None:
            return super().write(form)
        given = form.cleaned_data
        values = {name: given[name] for name in (*self.model.EDITABLE, "reason") if name in given}
        return type(self).keep(given["experiment"], by=form.request.user, **values)


class JobTypeAdmin(KeptAdmin):
    """Job types: how one kind of job is run."""

    kind = "job_type"
    words = ("job type", "job types")
    form = JobTypeForm
    keep = staticmethod(editing.keep_job_type)
    edit = staticmethod(editing.change_job_type)
    list_display = ("__str__", "output_file_patterns", "active", "last_edit")
    search_fields = ("name", "launch_script")


class DefaultsAdmin(OneEachAdmin):
    """What every campaign of an experiment begins with."""

    kind = "defaults"
    words = ("defaults", "defaults")
    lead = "Keys of a stage. What a campaign says, or one of its stages, goes over them."
    form = DefaultsForm
    keep = staticmethod(editing.keep_defaults)
    edit = staticmethod(editing.change_defaults)
    list_display = ("__str__", "last_edit")
    search_fields = ("experiment__name",)


class LoginSetupAdmin(KeptAdmin):
    """Launch set-ups: code that runs with the experiment's credentials (design 9)."""

    kind = "login_setup"
    words = ("launch set-up", "launch set-ups")
    form = LoginSetupForm
    keep = staticmethod(editing.keep_login_setup)
    edit = staticmethod(editing.change_login_setup)
    list_display = ("__str__", "host", "account", "launcher", "batch", "active", "last_edit")
    search_fields = ("name", "host", "account")
