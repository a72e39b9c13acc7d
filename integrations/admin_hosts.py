"""The admin of launch hosts and batch systems: where scripts and jobs may go, how they are reached, who is silent."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponseRedirect
from django.urls import reverse

from core.errors import NotAllowed
from experiments.admin_forms import LinesField, VerbForm
from experiments.queries import is_administrator
from experiments.scoped_admin import ScopedFilter, ScopedModelAdmin, needs
from integrations import hosting, registry
from integrations.admin import LONGEST_SETTINGS, SettingsField
from integrations.models import BatchSystem, LaunchHost

RULES = {"view": "view", "add": "administer", "change": "administer", "delete": "administer"}
LONGEST_KEYS = 64_000
MOST_TRIED = 10
MOMENT = "%Y-%m-%d %H:%M:%S UTC"


class TriableForm(VerbForm):
    """What both have: the mark of what the person had before them, by which an edit in between is noticed."""

    seen = forms.CharField(widget=forms.HiddenInput, required=False, max_length=64)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk and "seen" in self.fields:
            self.fields["seen"].initial = self.instance.fingerprint


class TriableAdmin(ScopedModelAdmin):
    """What can be tried: one call, and a sentence on what came of it."""

    change_form_template = "admin/integrations/triable_change_form.html"
    actions = ("try_chosen",)

    def attempt(self, row: Any, by: Any) -> hosting.Tried:
        """Make the call."""
        raise NotImplementedError

    def permit(self, request: HttpRequest, action: str, obj: Any = None) -> None:
        """Name whom it takes to enter one."""
        if action == "add" and not self.may(request, action):
            raise PermissionDenied(needs("administer", "the whole service"))
        super().permit(request, action, obj)

    @admin.action(description="Try the chosen ones", permissions=["change"])
    def try_chosen(self, request: Any, queryset: Any) -> None:
        """Try several, one after the other."""
        rows = list(queryset[: MOST_TRIED + 1])
        for row in rows[:MOST_TRIED]:
            self._try(request, row)
        if len(rows) > MOST_TRIED:
            self.message_user(request, f"The first {MOST_TRIED} were tried; choose fewer.", messages.WARNING)

    def _try(self, request: Any, row: Any) -> None:
        self.permit(request, "change", row)
        tried = self.attempt(row, request.user)
        level = messages.SUCCESS if tried.answered else messages.ERROR
        self.message_user(request, f"{row}: {tried.text}", level)

    def _changeform_view(self, request: Any, object_id: str | None, form_url: str, extra_context: Any) -> Any:
        """Try it where the button asks for that; nothing of the form is saved then."""
        if object_id is not None and request.method == "POST" and "_try" in request.POST:
            row = self.get_object(request, object_id)
            self._try(request, row)
            name = f"admin:{self.opts.app_label}_{self.opts.model_name}_change"
            return HttpResponseRedirect(reverse(name, args=[row.pk], current_app=self.admin_site.name))
        return super()._changeform_view(request, object_id, form_url, extra_context)

    def write(self, form: VerbForm) -> Any:
        """Enter, or change; who may not is told so by a page, not by a form that could be sent again."""
        given = dict(form.cleaned_data)
        try:
            return self.enter_or_change(form.original, given, form.request.user)
        except NotAllowed as refusal:
            raise PermissionDenied(str(refusal)) from refusal

    def enter_or_change(self, row: Any, given: dict[str, Any], by: Any) -> Any:
        """Call the verb."""
        raise NotImplementedError


class LaunchHostForm(TriableForm):
    """One account on one launch host."""

    known_hosts = LinesField(
        label="Public keys of the host", max_length=LONGEST_KEYS,
        widget=forms.Textarea(attrs={"rows": 5, "class": "vLargeTextField code", "spellcheck": "false"}),
        help_text="As ssh-keyscan prints them. Compare them with what the host's keepers say.",
    )  # fmt: skip

    class Meta:
        model = LaunchHost
        fields = ("experiment", "name", "account", *LaunchHost.EDITABLE)
        help_texts = {
            "name": "What launch set-ups call it, as a rule its address.",
            "account": "Scripts run under it.",
            "home": "A folder on a disk of the host itself, not on one that several hosts share.",
            "python": "3.6 or later: a name or a path.",
            "credential": "The name of a key that the workers have, never the key itself. Empty: the agent or the"
            " Kerberos ticket of the workers.",
            "for_analysis": "Campaigns of analysis users go there, no others.",
            "most_at_once": "Scripts that run there at once.",
            "active": "Launches go there. Without the tick, none does, and set-ups cannot name it.",
        }


class LaunchHostAdmin(TriableAdmin):
    """Launch hosts: seen by the experiment; how they are reached, administrators of the whole service say."""

    rules = RULES
    kind = "launch_host"
    words = ("launch host", "launch hosts")
    lead = "A change counts from the next call on, for what runs there as well. Put a host away by taking its tick."
    form = LaunchHostForm
    list_display = ("__str__", "address", "answers", "for_analysis", "most_at_once", "active")
    list_filter = (("experiment", ScopedFilter), "active", "for_analysis")
    list_select_related = ("experiment",)
    search_fields = ("name", "address", "account", "experiment__name")
    ordering = ("experiment__name", "name", "account")

    def may(self, request: HttpRequest, action: str, obj: Any = None) -> bool:
        """Keep entering to administrators of the whole service: what the workers open hosts with opens many."""
        return super().may(request, action, obj) and (action != "add" or is_administrator(request.user))

    def get_fields(self, request: Any, obj: Any = None) -> Any:
        """Ask for experiment, name and account once."""
        fields = ["experiment", "name", "account", *LaunchHost.EDITABLE]
        if obj is None:
            return [*(name for name in fields if name != "active"), "reason"]
        if not self.has_change_permission(request, obj):
            return [*fields, *self._state(obj)]
        return [*fields, *self._state(obj), "reason", "seen"]

    def get_readonly_fields(self, request: Any, obj: Any = None) -> Any:
        """Keep by what set-ups name it, and how it is reached where that is not for the person to say."""
        if obj is None:
            return ()
        reach = () if is_administrator(request.user) else hosting.REACH
        return ("experiment", "name", "account", *reach, *self._state(obj))

    def _state(self, obj: LaunchHost) -> tuple[str, ...]:
        return ("answers", "error", "next_try") if obj.failures else ("answers",)

    @admin.display(description="answers")
    def answers(self, row: LaunchHost) -> str:
        """Return whether the last call was answered, and since when none was."""
        if not row.failures or row.silent_since is None:
            return "yes"
        calls = f"{row.failures} call{'s' if row.failures > 1 else ''}"
        return f"silent since {row.silent_since:{MOMENT}}, {calls}"

    @admin.display(description="next try")
    def next_try(self, row: LaunchHost) -> str:
        """Return until when it is left alone."""
        return f"{row.retry_at:{MOMENT}}"

    def attempt(self, row: LaunchHost, by: Any) -> hosting.Tried:
        """Call its shim."""
        return hosting.try_host(row, by=by)

    def enter_or_change(self, row: LaunchHost | None, given: dict[str, Any], by: Any) -> LaunchHost:
        """Enter a host, or change one."""
        if row is not None:
            return hosting.change_host(row, by=by, **given)
        experiment, name, account = (given.pop(key) for key in ("experiment", "name", "account"))
        given.pop("seen", None)
        return hosting.enter_host(experiment, name, account, by=by, **given)


class BatchSystemForm(TriableForm):
    """One batch system of the whole service."""

    backend = forms.ChoiceField(choices=lambda: [(key, key) for key in registry.BACKENDS])
    settings = SettingsField(
        required=False, max_length=LONGEST_SETTINGS,
        help_text="One a line: name = value. Lists have blanks between, tables are JSON. No secret stands here.",
    )  # fmt: skip

    class Meta:
        model = BatchSystem
        fields = ("name", "backend", *BatchSystem.EDITABLE)
        help_texts = {
            "name": "By which launch set-ups name it.",
            "active": "Set-ups may name it. Without the tick nothing new goes there; what is there is watched.",
        }


class BatchSystemAdmin(TriableAdmin):
    """Batch systems are the whole service's: its administrators look at them, enter, change and try them."""

    rules = dict.fromkeys(RULES, "administer")
    kind = "batch_system"
    words = ("batch system", "batch systems")
    lead = "A change counts from the next look on. Put a system away by taking its tick; another pool is another one."
    form = BatchSystemForm
    list_display = ("name", "backend", "looked", "trouble", "active")
    list_filter = ("backend", "active")
    search_fields = ("name", "backend")
    ordering = ("name",)

    def experiment_of(self, obj: Any) -> Any:
        """A batch system belongs to no experiment."""
        return None

    def place(self, obj: Any) -> str:
        """A batch system belongs to the whole service."""
        return "the whole service"

    def may(self, request: HttpRequest, action: str, obj: Any = None) -> bool:
        """Keep them to administrators of the whole service: what is there serves every experiment."""
        known = request.__dict__
        if "poms_whole" not in known:
            known["poms_whole"] = is_administrator(request.user)
        return bool(known["poms_whole"])

    def visible(self, request: HttpRequest) -> Any:
        """Return all of them, for whoever may."""
        return BatchSystem.objects.all() if self.may(request, "view") else BatchSystem.objects.none()

    def get_queryset(self, request: HttpRequest) -> Any:
        """Return all of them, for whoever may."""
        return self.visible(request).order_by("name")

    def get_fields(self, request: Any, obj: Any = None) -> Any:
        """Ask for name and backend once."""
        if obj is None:
            return ["name", "backend", "settings", "reason"]
        return ["name", "backend", *BatchSystem.EDITABLE, "looked", "trouble", "reason", "seen"]

    def get_readonly_fields(self, request: Any, obj: Any = None) -> Any:
        """Keep by what jobs know it."""
        return ("name", "backend", "looked", "trouble") if obj else ()

    @admin.display(description="looked at")
    def looked(self, row: BatchSystem) -> str:
        """Return when it was asked last what changed."""
        return f"{row.looked_at:{MOMENT}}" if row.looked_at else "not yet"

    @admin.display(description="trouble")
    def trouble(self, row: BatchSystem) -> str:
        """Return what it said the last time instead of an answer."""
        return row.error or "none"

    def attempt(self, row: BatchSystem, by: Any) -> hosting.Tried:
        """Ask how deep its queues are."""
        return hosting.try_system(row, by=by)

    def enter_or_change(self, row: BatchSystem | None, given: dict[str, Any], by: Any) -> BatchSystem:
        """Enter a system, or change one."""
        if row is not None:
            return hosting.change_system(row, by=by, **given)
        name, backend = given.pop("name"), given.pop("backend")
        given.pop("seen", None)
        return hosting.enter_system(name, backend, by=by, **given)
