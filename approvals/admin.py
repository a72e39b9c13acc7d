"""The approver's inbox: what waits, and one page for each request with all that a decision needs."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import BooleanField, Case, Q, Value, When
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.urls import reverse

from approvals import checks
from approvals.admin_forms import DecisionForm
from approvals.logic import deciding
from approvals.models import Request
from approvals.queries import obstacle, waiting_for, waits_for
from approvals.states import EDITABLE
from core import differences
from core.clock import now
from core.errors import PomsError, Refused
from experiments.admin_bulk import Act, ask_and_act
from experiments.admin_forms import said
from experiments.models import Approver, User
from experiments.queries import approvers_of
from experiments.scoped_admin import ScopedFilter, ScopedModelAdmin, needs

VERBS = {"approve": deciding.approve, "return": deciding.send_back, "reject": deciding.reject}
DONE = {"approve": "approved", "return": "returned for correction", "reject": "rejected"}


def mine(request: HttpRequest) -> Q:
    """Return the condition that a request waits for this person; asked once for a page."""
    known = request.__dict__
    if "poms_mine" not in known:
        known["poms_mine"] = waits_for(request.user)
    return known["poms_mine"]


class WaitingFilter(admin.SimpleListFilter):
    """What waits for this person, and all else."""

    title = "waiting"
    parameter_name = "waiting"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return the choice beside `all`."""
        return [("me", "For me")]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        """Return what waits for this person."""
        return queryset.filter(mine(request)) if self.value() == "me" else queryset


class StageFilter(admin.SimpleListFilter):
    """The production stages for which somebody decides; the stock filter would look through every request for them."""

    title = "production stage"
    parameter_name = "production_stage"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return the stages of the experiments that the person sees."""
        rows = Approver.objects.visible_to(request.user).order_by("production_stage")
        return [(stage, stage) for stage in rows.values_list("production_stage", flat=True).distinct()]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        """Return the requests of a stage."""
        return queryset.filter(production_stage=self.value()) if self.value() else queryset


class RequestAdmin(ScopedModelAdmin):
    """Requests: looked at by their experiment, decided on by who is registered for their production stage."""

    rules = {"view": "view", "add": "file_request", "change": "decide_request", "delete": "decide_request"}
    kind = "request"
    words = ("request", "requests")
    list_display = ("reference", "title", "production_stage", "status", "checked", "requester", "priority", "filed")
    list_filter = (WaitingFilter, ("experiment", ScopedFilter), "state", StageFilter)
    list_select_related = ("experiment", "requester", "revision")
    search_fields = ("title", "requester__username", "dataset", "release")
    actions = ("approve_chosen", "return_chosen", "reject_chosen")

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Requests are made on the pages of the experiment, not here."""
        return False

    def permit(self, request: HttpRequest, action: str, obj: Any = None) -> None:
        """Say where requests are made."""
        super().permit(request, action, obj)
        if action == "add":
            raise PermissionDenied("Requests are made on the pages of the experiment or by `poms request create`.")

    def visible(self, request: HttpRequest) -> Any:
        """Return the visible requests; those that wait for this person are marked."""
        marked = Case(When(mine(request), then=Value(True)), default=Value(False), output_field=BooleanField())
        beside = ("experiment", "requester", "revision__campaign", "campaign__experiment", "campaign__revision")
        return super().visible(request).select_related(*beside).prefetch_related("checks").annotate(mine=marked)

    def get_ordering(self, request: HttpRequest) -> Any:
        """Put first what waits for this person, the most urgent before the rest."""
        return ("-mine", "-priority", "pk")

    def get_search_results(self, request: HttpRequest, queryset: Any, search_term: str) -> tuple[Any, bool]:
        """Find requests by each word: in what they are found by, or in the name of who asks."""
        for word in search_term.split():
            people = User.objects.filter(username__icontains=word).values("pk")
            queryset = queryset.filter(Q(sought__contains=word.lower()) | Q(requester__in=people))
        return queryset, False

    # --- Columns -------------------------------------------------------------------------------------------------

    @admin.display(ordering="pk")
    def reference(self, row: Request) -> str:
        """Return the reference."""
        return row.ref

    @admin.display(description="state", ordering="state")
    def status(self, row: Any) -> str:
        """Return the state with its mark, and whether this person is waited for."""
        return render_to_string("admin/_state_cell.html", {"word": row.state, "mine": row.mine})

    @admin.display(description="checks")
    def checked(self, row: Any) -> str:
        """Return the worst result of the check report."""
        lines = list(row.checks.all())
        word = checks.verdict(lines) if lines else checks.NOT_CHECKED
        return render_to_string("admin/_state_cell.html", {"word": word})

    @admin.display(description="filed since", ordering="filed_at")
    def filed(self, row: Request) -> str:
        """Return for how long the request has been filed."""
        seconds = (now() - row.filed_at).total_seconds() if row.filed_at else None
        return render_to_string("admin/_since_cell.html", {"at": row.filed_at, "seconds": seconds})

    # --- The page for deciding -----------------------------------------------------------------------------------

    def change_view(self, request: Any, object_id: str, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        """Show a request with all that a decision needs; a POST decides."""
        row = self.get_object(request, object_id)
        if request.method != "POST":
            return self._page(
                request, row, DecisionForm(initial={"digest": row.revision.digest if row.revision else ""})
            )
        self.permit(request, "change", row)
        form = DecisionForm(request.POST)
        if not form.is_valid():
            return self._page(request, row, form, status=422)
        given = form.cleaned_data
        try:
            VERBS[given["verdict"]](row, by=request.user, reason=given["reason"], digest=given["digest"])
        except PomsError as refusal:
            form.add_error(None, [refusal.detail, *(said(problem, False) for problem in refusal.problems)])
            return self._page(request, self.get_object(request, object_id), form, status=409)
        return self._onward(request, row, given["verdict"])

    def _onward(self, request: HttpRequest, row: Request, verdict: str) -> HttpResponse:
        """Go to the next request that waits, or back to the list."""
        following = waiting_for(request.user).first()
        further = "Here is the next one." if following else "Nothing else waits for you."
        self.message_user(request, f"{row.ref} is {DONE[verdict]}. {further}", messages.SUCCESS)
        where = ("admin:approvals_request_change", [following.pk]) if following else (
            "admin:approvals_request_changelist", [])  # fmt: skip
        return HttpResponseRedirect(reverse(where[0], args=where[1], current_app=self.admin_site.name))

    def beside(self, request: HttpRequest, row: Request) -> dict[str, Any]:
        """Return what else the page shows; the site adds what comes from higher floors."""
        return {}

    def _page(self, request: Any, row: Request, form: DecisionForm, status: int = 200) -> TemplateResponse:
        lines = sorted(row.checks.all(), key=lambda line: line.position)
        # What is decided on is the revision shown now; an answer to an older one was refused, and must be read anew.
        digest = row.revision.digest if row.revision else ""
        context = {
            **self.admin_site.each_context(request), "title": row.title, "opts": self.opts, "row": row, "form": form,
            "lines": lines, "tally": _tally(lines),
            "decisions": row.decisions.select_related("approver").order_by("pk"),
            "why_not": self._why_not(request, row), "not_yet": self._not_yet(request, row),
            "digest": digest, "short": f"{digest[:4]}…{digest[-2:]}",
            "approvers": approvers_of(row.experiment, row.production_stage),
            "shown": row.definition if row.state in EDITABLE or not row.revision else row.revision.source,
            "changed": self._changed(row),
            "absolute_url": self.get_view_on_site_url(row),
            "campaign_url": f"/e/{row.experiment.name}/campaigns/c{row.campaign_id}/", **self.beside(request, row),
        }  # fmt: skip
        request.current_app = self.admin_site.name
        return TemplateResponse(request, "admin/approvals/request/change_form.html", context, status=status)

    def _changed(self, row: Request) -> tuple[int, list[str]] | None:
        """Return the number of the revision before this one and what is different, if there is one."""
        if not row.revision:
            return None
        before = row.revision.campaign.revisions.filter(number__lt=row.revision.number).order_by("-number").first()
        return (before.number, differences.between(before.source, row.revision.source)) if before else None

    def _why_not(self, request: HttpRequest, row: Request) -> str:
        if row.state != "pending_approval":
            return f"The request is {row.state.replace('_', ' ')}; there is nothing to decide."
        if not self.may(request, "change", row):
            return needs("decide_request", row.experiment.name).removesuffix(" Nothing was changed.")
        found = obstacle(row, request.user, "reject")
        return found.detail if found else ""

    def _not_yet(self, request: HttpRequest, row: Request) -> list[str]:
        """Return what keeps from approving a request that can be returned or rejected."""
        found = obstacle(row, request.user)
        return [f"{problem.message}: {problem.hint}" for problem in found.problems] if found else []

    def get_view_on_site_url(self, obj: Any = None) -> str | None:
        """Return the product's page of the request."""
        return None if obj is None else f"/e/{obj.experiment.name}/requests/r{obj.pk}/"

    # --- Several at once -----------------------------------------------------------------------------------------

    def _decide(self, request: HttpRequest, queryset: Any, verdict: str, title: str) -> Any:
        def verb(row: Request, reason: str, digest: str) -> None:
            if row.revision and not digest:
                raise Refused("It is not said which revision was read; nothing was changed.")
            VERBS[verdict](row, by=request.user, reason=reason, digest=digest)

        act = Act(
            f"{verdict}_chosen", title, f"It is {DONE[verdict]}.", verb, danger=verdict == "reject",
            note="Each is decided on as it is listed here; one that is changed meanwhile is left alone.",
        )  # fmt: skip
        return ask_and_act(self, request, queryset, act, lambda row: row.revision.digest if row.revision else "")

    @admin.action(description="Approve the chosen requests…", permissions=["change"])
    def approve_chosen(self, request: HttpRequest, queryset: Any) -> Any:
        """Approve several."""
        return self._decide(request, queryset, "approve", "Approve these requests?")

    @admin.action(description="Return the chosen requests for correction…", permissions=["change"])
    def return_chosen(self, request: HttpRequest, queryset: Any) -> Any:
        """Return several."""
        return self._decide(request, queryset, "return", "Return these requests for correction?")

    @admin.action(description="Reject the chosen requests…", permissions=["change"])
    def reject_chosen(self, request: HttpRequest, queryset: Any) -> Any:
        """Reject several."""
        return self._decide(request, queryset, "reject", "Reject these requests?")


def _tally(lines: list[Any]) -> list[tuple[str, int]]:
    """Return how many checks came out in which way, the worst first."""
    order = (checks.FAIL, checks.WARN, checks.NOT_CHECKED, checks.PASS)
    found = [(word, sum(line.result == word for line in lines)) for word in order]
    return [(word, number) for word, number in found if number]
