"""The base of all admin classes: rows start at visible_to(user), each action has a rule, saving calls one verb."""

from __future__ import annotations

import copy
import re
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.utils import unquote
from django.contrib.admin.views.main import PAGE_VAR
from django.contrib.admin.widgets import RelatedFieldWidgetWrapper
from django.core.exceptions import PermissionDenied
from django.core.paginator import Page, Paginator
from django.db.models import DateTimeField, ForeignKey
from django.forms import DateTimeField as Moment
from django.forms import DateTimeInput, Media
from django.http import Http404, HttpRequest
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.functional import cached_property
from django.utils.html import format_html
from django.utils.safestring import SafeString

from core import differences, ledger
from experiments.admin_forms import NameField, VerbForm
from experiments.models import Experiment
from experiments.roles import roles_with
from experiments.scoping import experiment_ids

KEY = re.compile(r"[0-9]{1,18}")
MOMENT = DateTimeInput({"type": "datetime-local"}, format="%Y-%m-%dT%H:%M")


def held(request: HttpRequest, permission: str) -> frozenset[int]:
    """Return the experiments on which the person holds a permission; asked once in a request."""
    known = request.__dict__.setdefault("poms_held", {})
    if permission not in known:
        known[permission] = frozenset(experiment_ids(request.user, permission))
    return known[permission]


def needs(permission: str, where: str) -> str:
    """Return the sentence that names who may."""
    roles = " or ".join(role.replace("_", " ") for role in roles_with(permission))
    return f"This needs the role {roles} in {where}. Nothing was changed."


class ScopedFilter(admin.RelatedFieldListFilter):
    """A filter that offers only what the person may see; the stock one lists every experiment there is."""

    def field_choices(self, field: Any, request: HttpRequest, model_admin: Any) -> Any:
        """Return the choices."""
        return [(row.pk, str(row)) for row in model_admin.choices(request, field, "view")]


class KeysFirst(Paginator):
    """Pages of long lists: first the keys of a page, sorted without what stands beside them, then its few rows whole.

    No more than MOST rows are counted: who looks for something further down, searches.
    """

    MOST = 10_000

    def _keys(self, begin: int) -> list[int]:
        rows: Any = self.object_list
        return list(rows.select_related(None).values_list("pk", flat=True)[begin : begin + self.per_page])

    @cached_property
    def _first(self) -> list[int]:
        return self._keys(0)

    @cached_property
    def count(self) -> int:
        """Return how many there are, up to the limit; what fits on one page is looked for once."""
        if len(self._first) < self.per_page:
            return len(self._first)
        rows: Any = self.object_list
        return int(rows.order_by().values("pk")[: self.MOST + 1].count())

    def page(self, number: Any) -> Any:
        """Return a page."""
        number = self.validate_number(number)
        rows: Any = self.object_list
        keys = self._first if number == 1 else self._keys((number - 1) * self.per_page)
        found = {row.pk: row for row in rows.filter(pk__in=keys).order_by()}
        return Page([found[key] for key in keys if key in found], number, self)


class ScopedModelAdmin(admin.ModelAdmin):
    """An admin class over rows of experiments. Subclasses name rules, words, and the verb behind saving."""

    rules: dict[str, str] = {}
    kind = ""  # of its rows in the ledger
    words = ("", "")  # one of them, many of them
    lead = ""  # a sentence above the form
    name_field = "username"  # by which the fields with suggestions name what they point to
    unchangeable = ""  # why one that exists is changed by nobody
    # Django's own has two fields for a moment and one label.
    formfield_overrides = {DateTimeField: {"form_class": Moment, "widget": MOMENT}}
    form = VerbForm
    list_per_page = 25
    paginator = KeysFirst
    list_max_show_all = 200
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER

    def __init__(self, model: Any, admin_site: Any) -> None:
        super().__init__(model, admin_site)
        # A copy, so that the words of the field stand in every title and message without a migration for them.
        self.opts = copy.copy(model._meta)
        self.opts.verbose_name, self.opts.verbose_name_plural = self.words

    # --- Who may -------------------------------------------------------------------------------------------------

    def experiment_of(self, obj: Any) -> Any:
        """Return the key of the experiment to which an object belongs."""
        return obj.pk if isinstance(obj, Experiment) else obj.experiment_id

    def may(self, request: HttpRequest, action: str, obj: Any = None) -> bool:
        """Tell whether the person holds the rule of an action: on the object's experiment, or on any."""
        keys = held(request, self.rules[action])
        return bool(keys) if obj is None else self.experiment_of(obj) in keys

    def permit(self, request: HttpRequest, action: str, obj: Any = None) -> None:
        """Raise PermissionDenied, naming the roles that may, unless the person may do this."""
        if not self.may(request, action, obj):
            where = "your experiment" if obj is None else self.place(obj)
            raise PermissionDenied(needs(self.rules[action], where))

    def place(self, obj: Any) -> str:
        """Return the name of the experiment to which an object belongs."""
        return str(obj if isinstance(obj, Experiment) else obj.experiment)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Tell whether the person may look."""
        return self.may(request, "view", obj)

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Tell whether the person may make one."""
        return self.may(request, "add")

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Tell whether the person may change it."""
        return self.may(request, "change", obj) and not (obj is not None and self.unchangeable)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nothing is deleted here, by nobody: what is over is ended, and stays to be read."""
        return False

    def has_module_permission(self, request: HttpRequest) -> bool:
        """Tell whether the person sees that there are such things."""
        return self.may(request, "view")

    # --- What is seen --------------------------------------------------------------------------------------------

    def visible(self, request: HttpRequest) -> Any:
        """Return the rows that exist for this person: anything else is 404."""
        return self.model.objects.visible_to(request.user)

    def get_queryset(self, request: HttpRequest) -> Any:
        """Return the rows that the person may look at here."""
        path = getattr(self.model, "EXPERIMENT_PATH", "pk")
        rows = self.visible(request).filter(**{f"{path}__in": held(request, self.rules["view"])})
        return rows.order_by(*self.get_ordering(request)) if self.get_ordering(request) else rows

    def get_object(self, request: HttpRequest, object_id: str, from_field: Any = None) -> Any:
        """Return the object; one that is not visible does not exist, one that may not be looked at is refused."""
        found = self.visible(request).filter(pk=object_id).first() if KEY.fullmatch(object_id) else None
        if found is None:
            raise Http404(f"There is no {self.words[0]} {object_id[:60]}, or you may not see it.")
        self.permit(request, "view", found)
        return found

    def choices(self, request: HttpRequest, field: Any, action: str = "add") -> Any:
        """Return what a foreign key may point to: experiments where the person may act, or rows of another admin."""
        target = field.remote_field.model
        if target is Experiment:
            return Experiment.objects.visible_to(request.user).filter(pk__in=held(request, self.rules[action]))
        if self.admin_site.is_registered(target):
            return self.admin_site.get_model_admin(target).get_queryset(request)
        return target._default_manager.none()

    def formfield_for_foreignkey(self, db_field: Any, request: Any, **kwargs: Any) -> Any:
        """Offer, and take, only what the person may use."""
        kwargs["queryset"] = self.choices(request, db_field)
        if db_field.name not in self.get_autocomplete_fields(request):
            return super().formfield_for_foreignkey(db_field, request, **kwargs)
        field = db_field.formfield(form_class=NameField, to_field_name=self.name_field, **kwargs)
        place = reverse("admin:autocomplete", current_app=self.admin_site.name)
        field.suggest(f"{place}?app_label={self.opts.app_label}&model_name={self.opts.model_name}"
                      f"&field_name={db_field.name}")  # fmt: skip
        return field

    def formfield_for_dbfield(self, db_field: Any, request: Any, **kwargs: Any) -> Any:
        """Leave out the pop-ups that make a related object in passing."""
        field: Any = super().formfield_for_dbfield(db_field, request, **kwargs)
        if field and isinstance(field.widget, RelatedFieldWidgetWrapper):
            field.widget = field.widget.widget
        if field and isinstance(db_field, ForeignKey) and not isinstance(field, NameField):
            field.empty_label = "choose one" if field.required else "none"
        return field

    def lookup_allowed(self, lookup: str, value: Any, request: Any = None) -> bool:
        """Allow the filters of the list and nothing else: any other would answer questions about hidden columns."""
        filters: Any = self.list_filter
        names = [entry if isinstance(entry, str) else entry[0] for entry in filters if not isinstance(entry, type)]
        own = {getattr(entry, "parameter_name", "") for entry in filters if isinstance(entry, type)}
        return lookup in own | {name + tail for name in names for tail in ("", "__exact", "__id__exact", "__isnull")}

    @property
    def media(self) -> Media:
        """Return the scripts of the pages: only those that they use."""
        return Media(js=["admin/js/actions.js"])

    def action_checkbox(self, obj: Any) -> SafeString:
        """Return the box that chooses a row; the stock one, a form's template for each, took a tenth of a list."""
        text = '<input type="checkbox" name="{}" value="{}" class="action-select" aria-label="Choose {}">'
        return format_html(text, ACTION_CHECKBOX_NAME, obj.pk, obj)

    # --- Changing ------------------------------------------------------------------------------------------------

    def write(self, form: VerbForm) -> Any:
        """Call the verb behind the form and return the object as it is now."""
        raise NotImplementedError

    def get_form(self, request: Any, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        """Tell the form who asks, and about what."""
        form: Any = super().get_form(request, obj, change=change, **kwargs)
        form.admin, form.request, form.original = self, request, obj
        return form

    def get_fields(self, request: Any, obj: Any = None) -> Any:
        """Leave the reason out where nothing can be changed."""
        fields = super().get_fields(request, obj)
        may = self.has_add_permission(request) if obj is None else self.has_change_permission(request, obj)
        return list(fields) if may else [name for name in fields if name not in ("reason", "seen")]

    def get_changeform_initial_data(self, request: Any) -> dict[str, Any]:
        """Begin empty: nothing from the address goes into a form unchecked."""
        return {}

    def _changeform_view(self, request: Any, object_id: str | None, form_url: str, extra_context: Any) -> Any:
        """Check the rule first, so that a refusal names the roles; `save as new` is not offered."""
        if object_id is None or "_saveasnew" in request.POST:
            self.permit(request, "add")
            object_id = None
            extra: dict[str, Any] = {"title": f"New {self.words[0]}"}
        else:
            obj = self.get_object(request, unquote(object_id))
            if request.method == "POST":
                self.permit(request, "change", obj)
                if self.unchangeable:
                    raise PermissionDenied(self.unchangeable)
            extra = {"title": str(obj), "subtitle": None, "refused_because": self._why_read_only(request, obj)}
        extra |= {"show_save_and_continue": False, "show_save_and_add_another": False, "lead": self.lead}
        return super()._changeform_view(request, object_id, form_url, extra | (extra_context or {}))  # type: ignore[misc]  # the stubs leave it out

    def _why_read_only(self, request: HttpRequest, obj: Any) -> str:
        if self.unchangeable or self.may(request, "change", obj):
            return self.unchangeable
        roles = " or ".join(role.replace("_", " ") for role in roles_with(self.rules["change"]))
        return f"You may look, but not change: that needs the role {roles} in {self.place(obj)}."

    def save_form(self, request: Any, form: Any, change: bool) -> Any:
        """Return what the verb has made already."""
        return form.instance

    def save_model(self, request: Any, obj: Any, form: Any, change: bool) -> None:
        """Do nothing: the verb has written."""

    def save_related(self, request: Any, form: Any, formsets: Any, change: bool) -> None:
        """Do nothing: there are no rows beside."""

    def construct_change_message(self, request: Any, form: Any, formsets: Any, add: bool = False) -> Any:
        """Keep no message: the ledger has one."""
        return ""

    def log_addition(self, request: Any, obj: Any, message: Any) -> Any:
        """Write no entry of the stock admin: the verb has written to the ledger."""

    def log_change(self, request: Any, obj: Any, message: Any) -> Any:
        """Write no entry of the stock admin: the verb has written to the ledger."""

    def response_action(self, request: Any, queryset: Any, *args: Any) -> Any:
        """Take only keys; anything else among the chosen is nothing that the list has shown."""
        if all(KEY.fullmatch(key) for key in request.POST.getlist(ACTION_CHECKBOX_NAME)):
            return super().response_action(request, queryset, *args)
        self.message_user(request, "What was chosen is not in the list; nothing was changed.", messages.WARNING)
        return None

    # --- Views ---------------------------------------------------------------------------------------------------

    def get_urls(self) -> list[Any]:
        """Leave out the old addresses without a verb."""
        return [entry for entry in super().get_urls() if entry.name]

    def get_changelist_instance(self, request: Any) -> Any:
        """Speak of the rows in our words."""
        found = super().get_changelist_instance(request)
        found.opts = self.opts
        return found

    def changelist_view(self, request: Any, extra_context: Any = None) -> Any:
        """List the rows; who may see none is told which roles may."""
        self.permit(request, "view")
        name = self.words[1]
        return super().changelist_view(request, {"title": name[:1].upper() + name[1:], **(extra_context or {})})

    def delete_view(self, request: Any, object_id: str, extra_context: Any = None) -> Any:
        """Refuse: nothing is deleted here."""
        self.get_object(request, unquote(object_id))
        raise PermissionDenied(f"No {self.words[0]} is ever deleted, by no role: end it, and it stays to be read.")

    def ledger_of(self, obj: Any) -> Any:
        """Return the transitions that make up an object's history."""
        return ledger.history({self.kind: [obj.pk]})

    def history_view(self, request: Any, object_id: str, extra_context: Any = None) -> Any:
        """Show the ledger: who did what to the object, when and why, with what each edit changed."""
        obj = self.get_object(request, unquote(object_id))
        page = Paginator(self.ledger_of(obj), 50).get_page(request.GET.get(PAGE_VAR, 1))
        steps = [(step, *differences.parted(step.reason)) for step in page]
        context = {
            **self.admin_site.each_context(request), "title": f"History of {obj}", "opts": self.opts, "object": obj,
            "steps": steps, "page": page, "page_var": PAGE_VAR, "absolute_url": self.get_view_on_site_url(obj),
        }  # fmt: skip
        request.current_app = self.admin_site.name
        return TemplateResponse(request, "admin/object_history.html", context)

    def get_view_on_site_url(self, obj: Any = None) -> str | None:
        """Return the product's page about the object."""
        return "/" if obj is not None else None
