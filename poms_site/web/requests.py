"""Requests: the list, the form, and the page with check report, definition and decisions."""

from __future__ import annotations

import difflib
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import path

from approvals.forms import RequestForm
from approvals.logic import filing
from approvals.models import Request
from approvals.queries import obstacle
from approvals.states import EDITABLE, REQUEST
from core import ledger
from core.errors import Conflict, Refused
from experiments.queries import production_stages
from experiments.scoping import require
from integrations.errors import OutsideError
from poms_site.seeding import EXAMPLE
from poms_site.web import errors, verbs
from poms_site.web.listing import Filter, by, listed
from poms_site.web.page import Page
from poms_site.web.things import address, find, key_path

SHOWN = ("title", "production_stage", "definition", "dataset", "release", "priority", "hours_per_file", "special",
         "free_text")  # fmt: skip


class RequestsPage(Page):
    """All requests of an experiment."""

    rules = {"get": "view"}
    place = "requests"
    help = "/docs/guide/pages/#requests"
    api = "requests-list"

    def get(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        """Show a page of them."""
        rows = Request.objects.visible_to(request.user).filter(experiment=self.here)
        rows = rows.select_related("experiment", "requester", "campaign__experiment")
        stages = [(stage, stage) for stage in production_stages(self.here)]
        filters = (
            Filter("state", "state", by("state"), REQUEST.choices()),
            Filter("production_stage", "production stage", by("production_stage"), stages),
            Filter("requester", "requester", by("requester__username")),
            Filter("title_has", "title has", by("title__icontains")),
        )
        return self.show("web/requests.html", {"list": listed(request, rows, filters)})


class RequestPage(Page):
    """One request: what is wanted, how the checks came out, what was decided."""

    rules = {"get": "view"}
    place = "requests"
    help = "/docs/guide/pages/#a-request"
    api = "requests-detail"

    def get(self, request: HttpRequest, key: str) -> HttpResponse:
        """Show it."""
        self.row = find(request.user, self.here, key)
        return self.live("web/request.html", "web/_request.html", self._facts, {"row": self.row})

    def _facts(self) -> dict[str, Any]:
        row = self.row
        decisions = list(row.decisions.select_related("approver").order_by("-pk"))
        return {
            "row": row, "verbs": [verb for verb in verbs.offered("r", row, self.held) if self._fits(verb.name, row)],
            "decisions": decisions, "checks": list(row.checks.order_by("position")),
            "editable": row.state in EDITABLE and self._own(row), "changed": changed_since(row, decisions),
            "history": ledger.history({"request": [row.pk]})[:30],
            "undecided": self._why_not(row), "lines": row.definition.count("\n") + 1,
        }  # fmt: skip

    def live_key(self) -> tuple[str, ...]:
        """Who may file, correct or decide depends on the person, not only on the permissions."""
        return (f"user:{self.request.user.pk}",)

    def _own(self, row: Request) -> bool:
        return "check_request" in self.held or (
            "file_request" in self.held and row.requester_id == self.request.user.pk
        )

    def _fits(self, verb: str, row: Request) -> bool:
        if verb in ("file", "withdraw"):
            return self._own(row)
        if verb in ("approve", "return", "reject"):
            return not self._why_not(row)
        return verb != "check" or self._own(row) or "decide_request" in self.held

    def _why_not(self, row: Request) -> str:
        """Return why this person, who may decide in general, does not decide on this request."""
        if row.state != "pending_approval" or "decide_request" not in self.held:
            return ""
        found = obstacle(row, self.request.user)
        return found.detail if found else ""


def changed_since(row: Request, decisions: list[Any]) -> list[tuple[str, str]]:
    """Return what the text changed since it was last decided on: (+, - or blank, line); nothing if it never was."""
    if not decisions or row.campaign is None or row.revision is None:
        return []
    before = row.campaign.revisions.filter(digest=decisions[0].digest).order_by("-number").first()
    if before is None or before.source == row.definition:
        return []
    lines = difflib.unified_diff(before.source.splitlines(), row.definition.splitlines(), lineterm="", n=2)
    return [(line[:1], line[1:]) for line in list(lines)[2:400]]


class RequestForms(Page):
    """What new and edit share: the form, with what was refused at its fields."""

    rules = {"get": "file_request", "post": "file_request"}
    place = "requests"
    help = "/docs/guide/pages/#filing-a-request"

    def form(self, form: RequestForm, row: Request | None, status: int = 200, detail: str = "") -> HttpResponse:
        """Show the form."""
        return self.show("web/request_form.html", {"form": form, "row": row, "detail": detail}, status=status)

    def keep(self, form: RequestForm, row: Request | None) -> HttpResponse:
        """Make or change the request, or show the form again with what is wrong."""
        if not form.is_valid():
            return self.form(form, row, 422)
        try:
            if row is None:
                kept = filing.draft(self.here, requester=self.request.user, **form.values())
            else:
                kept = filing.edit(row, by=self.request.user, **form.values())
        except (Refused, Conflict, OutsideError) as refusal:
            form.say(getattr(refusal, "problems", ()))
            return self.form(form, row, errors.status_of(refusal), errors.detail_of(refusal))
        try:
            filing.check(kept)
        except OutsideError as error:
            messages.warning(self.request, f"{kept.ref} is kept, but its checks could not run: {error}")
        else:
            messages.success(self.request, f"{kept.ref} is kept as a {kept.state}. Read its checks, then file it.")
        return HttpResponseRedirect(address(kept.ref), status=303)


class NewRequestPage(RequestForms):
    """A new request."""

    def get(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        """Show an empty form, or one that begins as another request or as the example."""
        given: dict[str, Any] = {}
        if (ref := request.GET.get("from", "")) == "example":
            given = {"definition": EXAMPLE.read_text(), "title": "", "hours_per_file": 0.001}
        elif ref:
            like = find(request.user, self.here, _request_key(ref))
            given = {name: getattr(like, name) for name in SHOWN}
        return self.form(RequestForm(self.here, initial=given), None)

    def post(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        """Make it."""
        return self.keep(RequestForm(self.here, request.POST, request.FILES), None)


class EditRequestPage(RequestForms):
    """A draft or returned request is corrected."""

    def get(self, request: HttpRequest, key: str) -> HttpResponse:
        """Show it as a form, to those who may keep it too."""
        row = find(request.user, self.here, key)
        if row.requester_id != request.user.pk:
            require(request.user, "check_request", self.here)
        if row.state not in EDITABLE:
            raise Conflict(f"{row.ref} is {row.state.replace('_', ' ')}; only a draft or returned one can be changed.")
        return self.form(RequestForm(self.here, initial={name: getattr(row, name) for name in SHOWN}), row)

    def post(self, request: HttpRequest, key: str) -> HttpResponse:
        """Keep the changes."""
        return self.keep(RequestForm(self.here, request.POST, request.FILES), find(request.user, self.here, key))


def _request_key(ref: str) -> str:
    key = ref.rpartition("/")[2]
    if not (key[:1] == "r" and key[1:].isdecimal() and len(key) < 19):
        raise Refused(f"{ref[:60]} is no reference of a request; one is written like r1.")
    return key


urlpatterns = [
    path("e/<slug:experiment>/requests/", RequestsPage.as_view(), name="requests"),
    path("e/<slug:experiment>/requests/new/", NewRequestPage.as_view(), name="request-new"),
    key_path("", RequestPage.as_view(), "request", "r"),
    key_path("edit/", EditRequestPage.as_view(), "request-edit", "r"),
]
