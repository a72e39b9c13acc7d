"""Requests: the list, the page of one with all that a decision needs, and what hangs on it."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.urls import path

from approvals.models import Attachment, Request
from approvals.queries import obstacle
from approvals.states import AMENDABLE, EDITABLE, REQUEST
from core import ledger
from core.errors import NotVisible
from experiments.queries import approvers_of, production_stages
from integrations.tickets.desk import ticket_of
from poms_site.markdown import remark
from poms_site.overview import request_facts
from poms_site.overview.handing_over import as_file
from poms_site.overview.result import Result, of_request
from poms_site.web import live, verbs
from poms_site.web.listing import Filter, by, listed
from poms_site.web.page import Page
from poms_site.web.things import find, key_path

COST_SECONDS = 20.0
VERDICTS = ("approve", "return", "reject", "merge", "split")


class RequestsPage(Page):
    """All requests of an experiment."""

    rules = {"get": "view"}
    place = "requests"
    help = "/docs/guide/pages/#requests"
    api = "requests-list"

    def get(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        """Show a page of them."""
        rows = Request.objects.visible_to(request.user).filter(experiment=self.here)
        rows = rows.select_related("experiment", "requester", "campaign__experiment").defer("definition", "files")
        stages = [(stage, stage) for stage in production_stages(self.here)]
        filters = (
            Filter("state", "state", by("state"), REQUEST.choices()),
            Filter("production_stage", "production stage", by("production_stage"), stages),
            Filter("requester", "requester", by("requester__username")),
            Filter("title_has", "title has", by("title__icontains")),
        )
        return self.show("web/requests.html", {"list": listed(request, rows, filters)})


class RequestPage(Page):
    """One request: what is wanted, how the checks came out, what it costs, what was said and decided."""

    rules = {"get": "view"}
    place = "requests"
    help = "/docs/guide/requests/"
    api = "requests-detail"

    def get(self, request: HttpRequest, key: str) -> HttpResponse:
        """Show it."""
        self.row = find(request.user, self.here, key)
        return self.live("web/request.html", "web/_request.html", self._facts, {"row": self.row})

    def _facts(self) -> dict[str, Any]:
        row = self.row
        decisions = list(row.decisions.select_related("approver").order_by("-pk"))
        since, changed = request_facts.changed_since(row, decisions)
        comments = [(c, remark(c.text)) for c in row.comments.select_related("author").order_by("pk")]
        gates, trial = request_facts.gates_of(row), request_facts.trial_of(row)
        attachments = list(row.attachments.defer("content").select_related("by").order_by("pk"))
        return {
            "row": row, "verbs": [verb for verb in verbs.offered("r", row, self.held) if self._fits(verb.name, row)],
            "decisions": decisions, "checks": list(row.checks.order_by("position")),
            "editable": row.state in (*EDITABLE, *AMENDABLE) and self._own(row), "changed": changed,
            "changed_since": since, "history": ledger.history({"request": [row.pk]})[:30],
            "undecided": self._why_not(row), "lines": row.definition.count("\n") + 1,
            **self._expense(row, trial), "trial": trial, "result": self._result(row), "gates": gates,
            "partners": self._partners(row), "comments": comments,
            "attachments": attachments,
            "origins": list(row.origins.select_related("source__experiment")),
            "offspring": list(row.offspring.select_related("request__experiment")),
            "ticket": ticket_of(row.ref), "watching": row.watchers.filter(user_id=self.request.user.pk).exists(),
            "unticks": row.state == "pending_approval" and "check_request" in self.held and any(g.by for g in gates),
            "takes_away": "check_request" in self.held or self.request.user.pk in {file.by_id for file in attachments},
            "watchers": row.watchers.count(), "approvers": approvers_of(row.experiment, row.production_stage),
        }  # fmt: skip

    def live_key(self) -> tuple[str, ...]:
        """Who may file, correct or decide depends on the person, not only on the permissions."""
        return (f"user:{self.request.user.pk}",)

    def _expense(self, row: Request, trial: request_facts.Trial | None) -> dict[str, Any]:
        seen = (trial.run.pk, trial.run.campaign.state, trial.done) if trial else ()
        key = ("expense", row.pk, row.state_since, row.priority, hash(row.definition), seen)
        found = live.shared(key, COST_SECONDS, lambda: request_facts.expense_of(row))
        return {"cost": found and found.cost, "expected": found.expected if found else []}

    def _result(self, row: Request) -> Result | None:
        if row.campaign is None:
            return None
        key = ("result", row.pk, row.campaign.state, row.campaign.state_since)
        return live.shared(key, COST_SECONDS, lambda: of_request(row), after=live.last_act(self.request))

    def _partners(self, row: Request) -> Any:
        if row.state != "pending_approval" or "decide_request" not in self.held:
            return []
        key = ("partners", row.pk, row.state_since, self.request.user.pk)
        return live.shared(
            key, COST_SECONDS, lambda: request_facts.partners_of(row, self.request.user),
            after=live.last_act(self.request),
        )  # fmt: skip

    def _own(self, row: Request) -> bool:
        return "check_request" in self.held or (
            "file_request" in self.held and row.requester_id == self.request.user.pk
        )

    def _fits(self, verb: str, row: Request) -> bool:
        if verb in ("file", "withdraw", "test"):
            return self._own(row)
        if verb in VERDICTS:
            return obstacle(row, self.request.user, verb) is None
        return verb != "check" or self._own(row) or "decide_request" in self.held

    def _why_not(self, row: Request) -> str:
        """Return why this person, who may decide in general, does not decide on this request."""
        if row.state != "pending_approval" or "decide_request" not in self.held:
            return ""
        found = obstacle(row, self.request.user)
        return found.detail if found else ""


class AttachmentContent(Page):
    """The bytes of an attachment, handed over, never shown: whoever hung it there may have been anybody."""

    rules = {"get": "view"}

    def get(self, request: HttpRequest, key: str, name: str) -> HttpResponse:
        """Send it."""
        row = find(request.user, self.here, key)
        found = Attachment.objects.filter(request=row, name=name).first()
        if found is None:
            raise NotVisible(f"There is no attachment {name} of {row.ref}, or you may not see it.")
        return as_file(found.name, bytes(found.content))


urlpatterns = [
    path("e/<slug:experiment>/requests/", RequestsPage.as_view(), name="requests"),
    key_path("", RequestPage.as_view(), "request", "r"),
    key_path("attachments/<str:name>", AttachmentContent.as_view(), "request-attachment", "r"),
]
