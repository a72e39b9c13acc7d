"""The admin of the fair share: which weight an experiment has where others want slots too (J14)."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest

from core.models import Transition
from experiments.admin_forms import VerbForm
from experiments.queries import is_administrator
from experiments.scoped_admin import ScopedFilter, ScopedModelAdmin, needs
from submissions.logic import ordering
from submissions.models import Share


class ShareForm(VerbForm):
    """Whose weight, and how much."""

    class Meta:
        model = Share
        fields = ("experiment", "weight")
        help_texts = {"weight": "1 to 1000, relative to the others; who has none has 1."}


class ShareAdmin(ScopedModelAdmin):
    """Shares are between experiments: everybody sees their own, administrators of the whole service give them."""

    rules = {"view": "view", "add": "administer", "change": "administer", "delete": "administer"}
    kind = "experiment"
    words = ("share", "shares")
    lead = "Where several experiments want slots, each gets them by its weight. What waits already goes by it at once."
    form = ShareForm
    list_display = ("experiment", "weight")
    list_filter = (("experiment", ScopedFilter),)
    list_select_related = ("experiment",)
    search_fields = ("experiment__name",)
    ordering = ("experiment__name",)

    def may(self, request: HttpRequest, action: str, obj: Any = None) -> bool:
        """Keep shares to administrators of the whole service: nobody raises their own."""
        return super().may(request, action, obj) and (action == "view" or is_administrator(request.user))

    def permit(self, request: HttpRequest, action: str, obj: Any = None) -> None:
        """Name whom it takes."""
        if action != "view" and not self.may(request, action, obj):
            raise PermissionDenied(needs("administer", "the whole service"))
        super().permit(request, action, obj)

    def get_fields(self, request: Any, obj: Any = None) -> Any:
        """Ask why, where something can be changed."""
        may = self.has_add_permission(request) if obj is None else self.has_change_permission(request, obj)
        return ["experiment", "weight", *(["reason"] if may else [])]

    def get_readonly_fields(self, request: Any, obj: Any = None) -> Any:
        """Keep whose it is."""
        return ("experiment",) if obj else ()

    def write(self, form: VerbForm) -> Share:
        """Give the weight."""
        given = form.cleaned_data
        experiment = form.original.experiment if form.original else given["experiment"]
        actor = form.request.user.actor
        return ordering.share(experiment, given["weight"], actor=actor, reason=given["reason"])

    def ledger_of(self, obj: Any) -> Any:
        """Return how the weight came about."""
        rows = Transition.objects.filter(kind="experiment", thing_id=obj.experiment_id, verb="share")
        return rows.order_by("-txid", "-id")
