"""The API's view of requests."""

from __future__ import annotations

import base64
import re
from typing import Any

from django.db.models import Prefetch, Q
from django.urls import path
from rest_framework.request import Request as HttpRequest
from rest_framework.response import Response

from approvals import checks, parameters
from approvals.composing import REPORT, leaves_open, listed
from approvals.estimate import Cost
from approvals.logic import (
    cloning,
    confirming,
    customising,
    deciding,
    discussing,
    filing,
    looking,
    merging,
    ordering,
    renewing,
    templating,
    trying,
)
from approvals.models import (
    Attachment,
    CheckLine,
    Comment,
    Confirmation,
    Decision,
    Origin,
    Request,
    Template,
    TestRun,
)
from approvals.queries import template_named, templates_for
from approvals.serializers import (
    AttachInput,
    CloneInput,
    CommentInput,
    ConfirmInput,
    DecisionInput,
    DetachInput,
    MergeInput,
    PriorityInput,
    PublishInput,
    RequestInput,
    SplitInput,
    TemplateEdit,
    TemplateInput,
    TemplateRequestInput,
    TestInput,
    UntickInput,
    UseInput,
)
from campaigns.api import KEPT_RULES, NamedView, kept_document, kept_routes
from core.errors import Problem, Refused
from experiments.models import Experiment
from experiments.viewsets import Document, ScopedViewSet, ref_path, routes


class RequestView(ScopedViewSet):
    """Requests: what somebody wants processed, and what was decided."""

    model = Request
    letter = "r"
    filters = {
        "state": "state", "production_stage": "production_stage", "campaign": "campaign_id",
        "requester": "requester__username", "title_has": "title__icontains",
    }  # fmt: skip
    launches = frozenset({"do_test"})
    rules = {
        "list": "view", "retrieve": "view", "history": "view", "cost": "view", "comments": "view",
        "attachments": "view", "partners": "view",
        "create": "file_request", "partial_update": "file_request", "do_check": "file_request",
        "do_file": "file_request", "do_withdraw": "file_request", "do_clone": "file_request",
        "do_test": "file_request", "do_confirm": "check_request", "do_return": "return_request",
        "do_approve": "decide_request", "do_reject": "decide_request", "do_merge": "decide_request",
        "do_split": "decide_request", "do_prioritise": "prioritise_request", "do_extend": "prioritise_request",
        "do_untick": "check_request", "do_comment": "view", "do_attach": "view", "do_detach": "view",
        "do_watch": "view", "do_unwatch": "view",
    }  # fmt: skip

    def rows(self) -> Any:
        """Return requests with their people, campaign, checks and decisions."""
        beside = ("experiment", "requester", "campaign__experiment", "revision")
        # Into lists: a related manager for each row and kind took most of the time of a page.
        more = (
            Prefetch("checks", CheckLine.objects.order_by("position"), "report_lines"),
            Prefetch("decisions", Decision.objects.select_related("approver").order_by("pk"), "decided"),
            Prefetch("confirmations", Confirmation.objects.select_related("by"), "ticked"),
            Prefetch("origins", Origin.objects.select_related("source__experiment"), "come_from"),
            Prefetch("test_runs", TestRun.objects.select_related("campaign__experiment").order_by("pk"), "tried"),
        )
        return self.get_queryset().select_related(*beside).prefetch_related(*more)

    def document(self, row: Any) -> Document:
        """Return the request with its last check report and its decisions."""
        return {
            "ref": row.ref, "experiment": row.experiment.name, "title": row.title, "state": row.state,
            "since": row.state_since, "requester": row.requester.username, "group": row.group,
            "production_stage": row.production_stage, "priority": row.priority,
            "campaign": row.campaign.ref if row.campaign else None,
            "campaign_state": row.campaign.state if row.campaign else None,
            "revision": row.revision.digest if row.revision else None, "definition": row.definition,
            "dataset": row.dataset, "files": listed(row.files), "query": row.query, "events": row.events,
            "repository": row.repository, "release": row.release, "configuration": row.configuration,
            "scripts": listed(row.scripts), "hours_per_file": row.hours_per_file, "memory_mb": row.memory_mb,
            "outputs": row.outputs, "special": row.special, "details": row.details, "free_text": row.free_text,
            "keep_up": row.keep_up, "valid_until": row.valid_until, "created": row.created_at, "filed": row.filed_at,
            "origins": [{"how": o.how, "of": o.source.ref} for o in row.come_from],
            "checks": [
                {"check": c.check_name, "result": c.result, "text": c.text, "hint": c.hint, "at": c.at}
                for c in row.report_lines
            ],
            "confirmed": [
                {"what": c.requirement or REPORT, "by": c.by.username, "at": c.at}
                for c in row.ticked if row.revision and c.digest == row.revision.digest
            ],
            "test_runs": [
                {"campaign": t.campaign.ref, "state": t.campaign.state, "inputs": t.size, "at": t.at,
                 "definition": t.digest}
                for t in row.tried
            ],
            "decisions": [
                {"who": d.approver.username, "verdict": d.verdict, "reason": d.reason, "at": d.at,
                 "revision": d.digest}
                for d in row.decided
            ],
        }  # fmt: skip

    def create(self, request: HttpRequest) -> Response:
        """Make a draft; one that names a template needs no definition of its own."""
        template_name = self._json().get("template") if isinstance(self._json(), dict) else None
        wanted = self.body(TemplateRequestInput if template_name else RequestInput)
        experiment = self.experiment_named(wanted.pop("experiment"))
        self.permit(experiment)
        template = template_named(experiment, wanted.pop("template")) if template_name else None

        def act() -> tuple[int, Document]:
            if template:
                made = cloning.from_template(template, experiment, by=request.user, **wanted)
            else:
                made = filing.draft(experiment, requester=request.user, **wanted)
            return 201, self.document(self.find(made.ref))

        return self.once(act)

    def partial_update(self, request: HttpRequest, ref: str) -> Response:
        """Change a draft or a returned request."""
        row = self.find_permitted(ref)
        wanted = self.body(RequestInput, partial=True)
        if "experiment" in wanted:
            hint = "clone the request into the other experiment"
            raise Refused("A request stays in its experiment.", [Problem("experiment", "cannot be changed", hint)])
        filing.edit(row, by=request.user, **wanted)
        return Response(self.document(self.find(ref)))

    def do_check(self, request: HttpRequest, ref: str) -> Response:
        """Run the check report."""
        lines = filing.check(self.find_permitted(ref))
        shown = [{"check": x.check, "result": x.result, "text": x.text, "hint": x.hint} for x in lines]
        return Response({"verdict": checks.verdict(lines), "lines": shown})

    def do_file(self, request: HttpRequest, ref: str) -> Response:
        """Put the request on the approvers' desk."""
        filing.file(self.find_permitted(ref), by=request.user, reason=self.reason())
        return Response(self.document(self.find(ref)))

    def do_withdraw(self, request: HttpRequest, ref: str) -> Response:
        """Take the request back."""
        filing.withdraw(self.find_permitted(ref), by=request.user, reason=self.reason())
        return Response(self.document(self.find(ref)))

    def do_approve(self, request: HttpRequest, ref: str) -> Response:
        """Approve the revision that the request proposes."""
        row, wanted = self.find_permitted(ref), self.body(DecisionInput)
        deciding.approve(row, by=request.user, reason=wanted["reason"] or "approved", digest=wanted["revision"])
        return Response(self.document(self.find(ref)))

    def do_return(self, request: HttpRequest, ref: str) -> Response:
        """Return the request for correction."""
        row, wanted = self.find_permitted(ref), self.body(DecisionInput)
        deciding.send_back(row, by=request.user, reason=wanted["reason"], digest=wanted["revision"])
        return Response(self.document(self.find(ref)))

    def do_reject(self, request: HttpRequest, ref: str) -> Response:
        """Turn the request down."""
        row, wanted = self.find_permitted(ref), self.body(DecisionInput)
        deciding.reject(row, by=request.user, reason=wanted["reason"], digest=wanted["revision"])
        return Response(self.document(self.find(ref)))

    def do_clone(self, request: HttpRequest, ref: str) -> Response:
        """Make a draft like this request."""
        row, wanted = self.find_permitted(ref), self.body(CloneInput, partial=True)
        wanted.pop("reason", None)

        def act() -> tuple[int, Document]:
            return 201, self.document(self.find(cloning.clone(row, by=request.user, **wanted).ref))

        return self.once(act)

    def do_test(self, request: HttpRequest, ref: str) -> Response:
        """Start a test run."""
        row, wanted = self.find_permitted(ref), self.body(TestInput)
        run = trying.test(row, by=request.user, size=wanted["size"], own_account=wanted["own_account"])
        shown = {"campaign": run.campaign.ref, "inputs": run.size, "account": run.account, "definition": run.digest}
        return Response(shown, status=202)

    def do_confirm(self, request: HttpRequest, ref: str) -> Response:
        """Confirm the check report and tick off special requirements."""
        row, wanted = self.find_permitted(ref), self.body(ConfirmInput)
        confirming.confirm(
            row, by=request.user, ticked=wanted.get("ticked"), digest=wanted["revision"], reason=wanted["reason"]
        )
        return Response(self.document(self.find(ref)))

    def do_untick(self, request: HttpRequest, ref: str) -> Response:
        """Take ticks back."""
        row, wanted = self.find_permitted(ref), self.body(UntickInput)
        confirming.untick(
            row, by=request.user, ticked=wanted["ticked"], reason=wanted["reason"], digest=wanted["revision"]
        )
        return Response(self.document(self.find(ref)))

    def do_merge(self, request: HttpRequest, ref: str) -> Response:
        """Join requests into one."""
        row, wanted = self.find_permitted(ref), self.body(MergeInput)
        others = [self.find_permitted(self._full(row, other)) for other in wanted["with"]]
        digests = [wanted["revision"], *wanted["revisions"]]
        if any(digests) and len(digests) != 1 + len(others):
            hint = "one for each of `with`, in the same order"
            raise Refused("Nothing was joined.", [Problem("revisions", f"{len(digests) - 1} for {len(others)}", hint)])
        order = {r.pk: digest for r, digest in zip((row, *others), digests, strict=False)} if any(digests) else {}
        joined = merging.merge(
            [row, *others], by=request.user, reason=wanted["reason"], digests=order, title=wanted["title"]
        )
        return Response(self.document(self.find(joined.ref)), status=201)

    def do_split(self, request: HttpRequest, ref: str) -> Response:
        """Part a request in two."""
        row, wanted = self.find_permitted(ref), self.body(SplitInput)
        parts = merging.split(row, wanted["first"], by=request.user, reason=wanted["reason"], digest=wanted["revision"])
        return Response({"parts": [self.document(self.find(part.ref)) for part in parts]}, status=201)

    def do_prioritise(self, request: HttpRequest, ref: str) -> Response:
        """Give the request another priority, and what is queued of it already."""
        row, wanted = self.find_permitted(ref), self.body(PriorityInput)
        ordering.prioritise(row, wanted["priority"], by=request.user, reason=wanted["reason"])
        return Response(self.document(self.find(ref)))

    def do_extend(self, request: HttpRequest, ref: str) -> Response:
        """Let a keep-up request go on for another week."""
        renewing.extend(self.find_permitted(ref), by=request.user, reason=self.reason())
        return Response(self.document(self.find(ref)))

    def do_comment(self, request: HttpRequest, ref: str) -> Response:
        """Add to the discussion."""
        row, wanted = self.find_permitted(ref), self.body(CommentInput)

        def act() -> tuple[int, Document]:
            return 201, _comment(discussing.say(row, wanted["text"], by=request.user))

        return self.once(act)

    def do_attach(self, request: HttpRequest, ref: str) -> Response:
        """Hang a file on the request."""
        row, wanted = self.find_permitted(ref), self.body(AttachInput)
        try:
            content = base64.b64decode(wanted["content"], validate=True)
        except ValueError as error:
            problem = Problem("content", "this is no base64", "encode the file's bytes")
            raise Refused("Nothing was attached.", [problem]) from error
        made = discussing.attach(row, wanted["name"], content, by=request.user)
        return Response(_attachment(made), status=201)

    def do_detach(self, request: HttpRequest, ref: str) -> Response:
        """Take an attachment away."""
        row, wanted = self.find_permitted(ref), self.body(DetachInput)
        discussing.detach(row, wanted["name"], by=request.user, reason=wanted["reason"])
        return Response({"name": wanted["name"], "attached": False})

    def do_watch(self, request: HttpRequest, ref: str) -> Response:
        """Follow the request."""
        discussing.watch(self.find_permitted(ref), by=request.user)
        return Response({"watching": True})

    def do_unwatch(self, request: HttpRequest, ref: str) -> Response:
        """Follow it no longer."""
        discussing.unwatch(self.find_permitted(ref), by=request.user)
        return Response({"watching": False})

    def cost(self, request: HttpRequest, ref: str) -> Response:
        """Return what the request will cost, as far as that can be known."""
        row = self.find(ref)
        return Response(cost_document(looking.cost_of(row)))

    def comments(self, request: HttpRequest, ref: str) -> Response:
        """Return the discussion, from its beginning."""
        rows = self.find(ref).comments.select_related("author").order_by("pk")
        return Response({"results": [_comment(row) for row in rows]})

    def attachments(self, request: HttpRequest, ref: str) -> Response:
        """Return what hangs on the request."""
        rows = self.find(ref).attachments.defer("content").select_related("by").order_by("pk")
        return Response({"results": [_attachment(row) for row in rows]})

    def partners(self, request: HttpRequest, ref: str) -> Response:
        """Return the requests with which this one could be joined, and what that would save."""
        found = merging.partners(self.find(ref), request.user)
        return Response({"results": [
            {"ref": other.ref, "title": other.title, "requester": other.requester.username, "inputs": told.inputs,
             "union": told.union, "saved": told.saved, "unit": told.unit}
            for other, told in found
        ]})  # fmt: skip

    @staticmethod
    def _full(row: Request, other: str) -> str:
        ref = other if "/" in other else f"{row.experiment.name}/{other}"
        if not re.fullmatch(r"[a-z][a-z0-9_-]*/r[1-9][0-9]{0,17}", ref):
            raise Refused(
                "Nothing was joined.", [Problem("with", f"no reference of a request: {other[:60]}", "demo/r1")]
            )
        return ref


class TemplateView(NamedView):
    """Templates: definitions to begin with, of the experiment or of the common library."""

    model = Template
    filters = {"name": "name"}
    rules = {**KEPT_RULES, "do_use": "file_request", "do_publish": "administer"}
    makes, edits = TemplateInput, TemplateEdit
    keep, edit = staticmethod(customising.keep_template), staticmethod(customising.change_template)

    def rows(self) -> Any:
        """Return the templates that one may read."""
        own = self.get_queryset().values("pk")
        rows = Template.objects.filter(Q(pk__in=own) | Q(common=True))
        return rows.select_related("experiment", "updated_by")

    def list(self, request: HttpRequest) -> Response:
        """Return them; of an experiment, those of the common library too."""
        asked = request.query_params.get("experiment", "")
        experiment = Experiment.objects.visible_to(request.user).filter(name=asked).first()
        if experiment is None:
            return self.page(self.rows().filter(active=True))
        offered = templates_for(experiment)
        wanted = request.query_params.get("name")
        rows = self.rows().filter(pk__in=offered.values("pk"), **({"name": wanted} if wanted else {}))
        page: Any = self.paginate_queryset(rows)
        return self.get_paginated_response(self.documents(page or []))

    def document(self, row: Template) -> Document:
        """Return a template, and what has to be filled in: its parameters, and fields of a request."""
        declared, _ = parameters.declared(row.parameters)
        return {
            "ref": str(row), "experiment": row.experiment.name, "name": row.name, "title": row.title,
            "about": row.about, "common": row.common, "production_stage": row.production_stage,
            "definition": row.definition,
            "parameters": [{"name": one.name, "default": one.default, "about": one.about} for one in declared],
            "counts_on": leaves_open(row.definition), "hours_per_file": row.hours_per_file,
            "memory_mb": row.memory_mb, **kept_document(row),
        }  # fmt: skip

    def do_publish(self, request: HttpRequest, ref: str, name: str = "") -> Response:
        """Put it into the common library, or take it out."""
        row, wanted = self.named_permitted(ref, name), self.body(PublishInput)
        customising.publish(row, wanted["common"], by=request.user, reason=wanted["reason"])
        return Response(self.document(self.named(ref, name)))

    def do_use(self, request: HttpRequest, ref: str, name: str = "") -> Response:
        """Make a draft campaign of an experiment with it."""
        template, wanted = self.named(ref, name), self.body(UseInput)
        experiment = self.experiment_named(wanted["experiment"] or template.experiment.name)
        self.permit(experiment)

        def act() -> tuple[int, Document]:
            made = templating.instantiate(
                template, experiment, by=request.user, given=wanted["parameters"], name=wanted["name"]
            )
            return 201, {"campaign": made.campaign.ref, "name": made.campaign.name, "revision": made.number}

        return self.once(act)


def cost_document(cost: Cost) -> Document:
    """Return a cost as the API shows it."""
    return {
        "files": cost.files, "events": cost.events, "jobs": cost.jobs, "core_hours": cost.core_hours,
        "core_hours_spread": cost.core_hours_spread, "bytes": cost.bytes, "missing": list(cost.missing),
        "stages": [
            {"stage": s.name, "inputs": s.inputs, "jobs": s.jobs, "core_hours": s.seconds and s.seconds / 3600,
             "bytes": s.bytes, "known_from": s.source}
            for s in cost.stages
        ],
    }  # fmt: skip


def _comment(row: Comment) -> Document:
    return {"id": row.pk, "by": row.author.username, "at": row.at, "text": row.text, "mentions": row.mentions}


def _attachment(row: Attachment) -> Document:
    return {"name": row.name, "size": row.size, "sha256": row.digest, "by": row.by.username, "at": row.at}


VERBS = ("check", "file", "withdraw", "approve", "return", "reject", "clone", "test", "confirm", "untick", "merge",
         "split", "prioritise", "extend", "comment", "attach", "detach", "watch", "unwatch")  # fmt: skip
urlpatterns = [
    *routes("requests", RequestView, *VERBS, create=True),
    *(
        path(ref_path("requests", "r", f"{word}/"), RequestView.as_view({"get": word}), name=f"requests-{word}")
        for word in ("cost", "comments", "attachments", "partners")
    ),
    *kept_routes("templates", TemplateView, ("use", "post", "do_use"), ("publish", "post", "do_publish")),
]
