"""The admin of experiments and people: who there is, who belongs where, who decides on what."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest

from core.errors import Problem, Refused
from core.models import Transition
from experiments.admin_bulk import Act, ask_and_act
from experiments.admin_forms import VerbForm
from experiments.logic import membership
from experiments.models import Approver, Experiment, Membership, User
from experiments.queries import is_administrator, production_stages
from experiments.roles import EVERYWHERE
from experiments.scoped_admin import ScopedFilter, ScopedModelAdmin, held, needs

RULES = {"view": "view", "add": "administer", "change": "administer", "delete": "administer"}


class ExperimentAdmin(ScopedModelAdmin):
    """Experiments: founded and changed by administrators."""

    rules = RULES
    kind = "experiment"
    words = ("experiment", "experiments")
    lead = "Founding makes a group for each role with that role's permissions. The name is for ever."
    list_display = ("name", "title", "restricted", "active", "author_may_approve")
    list_filter = ("restricted", "active")
    search_fields = ("name", "title")

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Tell whether the person administers the whole service."""
        return is_administrator(request.user)

    def permit(self, request: HttpRequest, action: str, obj: Any = None) -> None:
        """Let only administrators of the whole service found an experiment."""
        if action == "add" and not self.has_add_permission(request):
            raise PermissionDenied(needs("administer", "the whole service"))
        super().permit(request, action, obj)

    def get_fields(self, request: Any, obj: Any = None) -> Any:
        """Ask for the name once."""
        first = ("name", "title", "restricted") if obj is None else ("name", *membership.CHANGEABLE)
        return [*first, "reason"] if obj is None or self.has_change_permission(request, obj) else [*first]

    def get_readonly_fields(self, request: Any, obj: Any = None) -> Any:
        """Keep the name of an experiment that exists: groups, files and addresses bear it."""
        return ("name",) if obj else ()

    def write(self, form: VerbForm) -> Experiment:
        """Found or change."""
        given, by = dict(form.cleaned_data), form.request.user
        if form.original is None:
            return membership.found(given.pop("name"), by=by, **given)
        return membership.change(form.original, by=by, **given)

    def ledger_of(self, obj: Any) -> Any:
        """Return what was done to the experiment and to who belongs to it."""
        kinds = ("experiment", "membership", "approver")
        return Transition.objects.filter(kind__in=kinds, experiment_id=obj.pk).order_by("-txid", "-id")


class PersonAdmin(ScopedModelAdmin):
    """People, to look them up; their roles are memberships."""

    rules = dict.fromkeys(RULES, "administer")
    words = ("person", "people")
    list_display = ("username", "first_name", "last_name", "email", "is_active", "signed_in")
    list_filter = ("is_active",)
    search_fields = ("username", "first_name", "last_name", "email")
    fields = ("username", "first_name", "last_name", "email", "is_active", "signed_in")
    ordering = ("username",)
    unchangeable = "Accounts are not changed here; roles are given as memberships."

    def permit(self, request: HttpRequest, action: str, obj: Any = None) -> None:
        """Say where accounts are made."""
        if action == "add" and held(request, "administer"):
            raise PermissionDenied("Accounts are not made here; the pages about people say how. Nothing was changed.")
        super().permit(request, action, obj)

    readonly_fields = ("signed_in",)

    @admin.display(description="last signed in")
    def signed_in(self, row: User) -> str:
        """Return when the person signed in last."""
        return f"{row.last_login:%Y-%m-%d %H:%M} UTC" if row.last_login else "never"

    def experiment_of(self, obj: Any) -> Any:
        """A person belongs to no experiment."""
        return None

    def place(self, obj: Any) -> str:
        """A person belongs to the whole service."""
        return "the whole service"

    def may(self, request: HttpRequest, action: str, obj: Any = None) -> bool:
        """Let administrators look; accounts are made where people sign in, not here."""
        return action == "view" and super().may(request, action)

    def visible(self, request: HttpRequest) -> Any:
        """Return everybody, for whoever gives out roles."""
        return User.objects.all() if self.may(request, "view") else User.objects.none()

    def get_queryset(self, request: HttpRequest) -> Any:
        """Return everybody, for whoever gives out roles."""
        return self.visible(request).order_by("username")

    def ledger_of(self, obj: Any) -> Any:
        """Return what became of the person's roles."""
        keys = Membership.objects.filter(user=obj).values("pk")
        return Transition.objects.filter(kind="membership", thing_id__in=keys).order_by("-txid", "-id")


class MembershipForm(VerbForm):
    """Who is what, and where."""

    class Meta:
        model = Membership
        fields = ("user", "role", "experiment", "active")
        labels = {"user": "Person", "active": "Holds the role"}
        help_texts = {
            "role": f"{', '.join(EVERYWHERE)} are held everywhere; the others in an experiment.",
            "active": "Take the tick away to end it; set it to give the role again.",
        }


class MembershipAdmin(ScopedModelAdmin):
    """Roles of people; those held everywhere are given by administrators of the whole service only."""

    rules = RULES
    kind = "membership"
    words = ("membership", "memberships")
    lead = "A role counts from the next request on. One that has ended stays as a record."
    form = MembershipForm
    autocomplete_fields = ("user",)
    list_display = ("person", "role", "experiment", "active", "held_since")
    empty_value_display = "everywhere"
    list_filter = (("experiment", ScopedFilter), "role", "active")
    list_select_related = ("user", "experiment")
    search_fields = ("user__username", "user__last_name")
    ordering = ("user__username", "pk")
    actions = ("end",)

    def may(self, request: HttpRequest, action: str, obj: Any = None) -> bool:
        """Keep roles that are held everywhere to administrators of the whole service."""
        if obj is not None and obj.experiment_id is None:
            return is_administrator(request.user)
        return super().may(request, action, obj)

    def place(self, obj: Any) -> str:
        """Return where the role is held."""
        return str(obj.experiment or "the whole service")

    def visible(self, request: HttpRequest) -> Any:
        """Return the roles in visible experiments, and for administrators those held everywhere."""
        rows = Membership.objects.visible_to(request.user).select_related("user", "experiment")
        everywhere = Membership.objects.filter(experiment=None).select_related("user", "experiment")
        return rows | everywhere if is_administrator(request.user) else rows

    def get_queryset(self, request: HttpRequest) -> Any:
        """Return the visible roles; the rule for looking is the one of visible_to."""
        return self.visible(request).order_by(*self.ordering)

    def get_fields(self, request: Any, obj: Any = None) -> Any:
        """Ask who, what and where once; afterwards only whether it still holds."""
        if obj is None:
            return ["user", "role", "experiment", "reason"]
        fields = ["person", "role", "experiment", "held_since", "active"]
        return [*fields, "reason"] if self.has_change_permission(request, obj) else fields

    def get_readonly_fields(self, request: Any, obj: Any = None) -> Any:
        """Keep who, what and where of a role that was given."""
        return ("person", "role", "experiment", "held_since") if obj else ()

    def person(self, row: Membership) -> str:
        """Return who it is."""
        return row.user.username

    def held_since(self, row: Membership) -> str:
        """Return since when the role is known."""
        return f"{row.since:%Y-%m-%d %H:%M} UTC"

    def write(self, form: VerbForm) -> Membership:
        """Give a role, end it, or give it again."""
        given, by, row = form.cleaned_data, form.request.user, form.original
        if row is None:
            if given["experiment"] is None and not is_administrator(by):
                raise PermissionDenied(needs("administer", "the whole service"))
            return membership.join(given["user"], given["role"], given["experiment"], by=by, reason=given["reason"])
        if given["active"]:
            return membership.join(row.user, row.role, row.experiment, by=by, reason=given["reason"])
        membership.leave(row, by=by, reason=given["reason"])
        return row

    @admin.action(description="End the chosen memberships…", permissions=["change"])
    def end(self, request: Any, queryset: Any) -> Any:
        """End several at once."""
        act = Act(
            "end", "End these memberships?", "It has ended.", danger=True,
            verb=lambda row, reason, _: membership.leave(row, by=request.user, reason=reason),
        )  # fmt: skip
        return ask_and_act(self, request, queryset, act, lambda row: "")


class ApproverForm(VerbForm):
    """Who decides on what."""

    class Meta:
        model = Approver
        fields = ("user", "experiment", "production_stage", "stands_in_for", "begins_at", "ends_at")
        labels = {"user": "Person", "begins_at": "From (UTC)", "ends_at": "To (UTC)"}
        help_texts = {
            "production_stage": "For instance mc, reco, calibration, keep-up.",
            "stands_in_for": "The approver who is away, if the person only stands in; then both dates are needed.",
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "user" in self.fields:
            self.fields["user"].required = True


class ApproverAdmin(ScopedModelAdmin):
    """Who is registered to decide on requests of which production stage (W1)."""

    rules = RULES
    kind = "approver"
    words = ("approver", "approvers")
    lead = "An approver needs both: the role approver in the experiment, and a registration for the production stage."
    form = ApproverForm
    fields = ("user", "experiment", "production_stage", "stands_in_for", "begins_at", "ends_at", "reason")
    autocomplete_fields = ("user", "stands_in_for")
    list_display = ("person", "experiment", "production_stage", "stands_in_for", "ends_at")
    list_filter = (("experiment", ScopedFilter), "production_stage")
    list_select_related = ("user", "group", "experiment", "stands_in_for")
    search_fields = ("user__username", "production_stage")
    ordering = ("experiment__name", "production_stage", "pk")
    actions = ("end_registration",)
    unchangeable = "A registration is not changed: end it in the list, and make another."

    def get_fields(self, request: Any, obj: Any = None) -> Any:
        """Show whom a registration is for, groups among them."""
        if obj is None:
            return list(self.fields)
        dates = ["stands_in_for", "begins_at", "ends_at"] if obj.stands_in_for else []
        return ["person", "experiment", "production_stage", *dates]

    def get_readonly_fields(self, request: Any, obj: Any = None) -> Any:
        """Keep what was registered."""
        return ("person", "experiment", "production_stage", "stands_in_for", "begins_at", "ends_at") if obj else ()

    def person(self, row: Approver) -> str:
        """Return who it is: a person, or everybody of a group."""
        return row.user.username if row.user else f"everybody of {row.group}"

    def write(self, form: VerbForm) -> Approver:
        """Register, or let stand in."""
        given = form.cleaned_data
        if given["stands_in_for"]:
            if missing := [name for name in ("begins_at", "ends_at") if not given[name]]:
                problems = [Problem(name, "is needed", "who stands in does so between two dates") for name in missing]
                raise Refused("Nobody stands in; nothing was changed.", problems)
            return membership.stand_in(
                given["stands_in_for"], given["user"], given["experiment"], given["production_stage"],
                begins_at=given["begins_at"], ends_at=given["ends_at"], by=form.request.user, reason=given["reason"],
            )  # fmt: skip
        return membership.register_approver(
            given["user"], given["experiment"], given["production_stage"], by=form.request.user, reason=given["reason"]
        )

    @admin.action(description="End the chosen registrations…", permissions=["change"])
    def end_registration(self, request: Any, queryset: Any) -> Any:
        """End several at once."""

        def end(row: Approver, reason: str, _: str) -> None:
            membership.end_registration(row, by=request.user, reason=reason)
            if row.production_stage not in production_stages(row.experiment):
                left = f"Nobody decides on {row.production_stage} of {row.experiment} any more."
                self.message_user(request, left, messages.WARNING)

        act = Act("end_registration", "End these registrations?", "It has ended.", end, danger=True)
        return ask_and_act(self, request, queryset, act, lambda row: "")
