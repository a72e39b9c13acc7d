"""The form of a request: begun from a template, another request, a campaign or nothing; saved while one types."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import path, reverse

from approvals import checks
from approvals.forms import RequestForm, as_typed
from approvals.logic import cloning, filing, looking, reading, sketching, templating
from approvals.models import Origin, Request
from approvals.queries import templates_for
from approvals.states import AMENDABLE, EDITABLE
from core.errors import Conflict, NotVisible, PomsError, Refused
from experiments.scoping import require
from integrations.errors import OutsideError
from poms_site.seeding import EXAMPLE
from poms_site.web import errors
from poms_site.web.page import Page
from poms_site.web.things import address, find, key_path

MISSING_FIRST = (checks.FAIL, checks.WARN, checks.NOT_CHECKED)


class RequestForms(Page):
    """What new and edit share: the form, with what was refused at its fields."""

    rules = {"get": "file_request", "post": "file_request"}
    place = "requests"
    help = "/docs/guide/requests/#filing-a-request"

    def form(self, form: RequestForm, row: Request | None, status: int = 200, **more: Any) -> HttpResponse:
        """Show the form."""
        amends = row is not None and row.state in AMENDABLE
        asked = self.request.POST.get("sketch", "")
        context = {"form": form, "row": row, "amends": amends, "sketch": asked, **more}
        return self.show("web/request_form.html", context, status=status)

    def keep(self, form: RequestForm, row: Request | None) -> HttpResponse:
        """Make or change the request, or show the form again with what is wrong."""
        if not form.is_valid():
            return self.form(form, row, 422)
        try:
            kept = self.act(row, form.values())
        except (Refused, Conflict, OutsideError) as refusal:
            form.say(getattr(refusal, "problems", ()))
            return self.form(form, row, errors.status_of(refusal), detail=errors.detail_of(refusal))
        sketch = self.request.POST.get("sketch", "")
        if sketch.isdecimal() and len(sketch) < 19:
            sketching.drop(self.here, self.request.user, int(sketch))
        try:
            filing.check(kept)
        except OutsideError as error:
            messages.warning(self.request, f"{kept.ref} is kept, but its checks could not run: {error}")
        else:
            kind = (
                f"kept as a {kept.state}"
                if kept.state in EDITABLE
                else "on the approvers' desk with its new definition"
            )
            further = "Read its checks, then file it." if kept.state in EDITABLE else "They read it anew."
            messages.success(self.request, f"{kept.ref} is {kind}. {further}")
        return HttpResponseRedirect(address(kept.ref), status=303)

    def act(self, row: Request | None, values: dict[str, Any]) -> Request:
        """Make or change the request."""
        if row is None:
            return filing.draft(self.here, requester=self.request.user, **values)
        if row.state in AMENDABLE:
            return filing.amend(row, by=self.request.user, definition=values["definition"])
        return filing.edit(row, by=self.request.user, **values)


class NewRequestPage(RequestForms):
    """A new request."""

    def get(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        """Show an empty form, or one that begins as something else; and what there is to begin with."""
        given, begun = self._begin()
        more: dict[str, Any] = {
            "begun": begun, "templates": templates_for(self.here).order_by("common", "title"),
            "sketches": sketching.unfinished(self.here, request.user), "sketch": request.GET.get("sketch", ""),
            "like": request.GET.get("from", ""),
        }  # fmt: skip
        return self.form(RequestForm(self.here, initial=as_typed(given)), None, **more)

    def post(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        """Make it."""
        return self.keep(RequestForm(self.here, request.POST, request.FILES), None)

    def act(self, row: Request | None, values: dict[str, Any]) -> Request:
        """Make it; one that began as another request knows where it comes from."""
        made = super().act(row, values)
        like = self.request.POST.get("like", "")
        if like.rpartition("/")[2][:1] == "r":
            source = find(self.request.user, self.here, _key(like))
            Origin.objects.get_or_create(request=made, source=source, defaults={"how": "clone"})
        return made

    def _begin(self) -> tuple[dict[str, Any], str]:
        """Return what the form begins with, and what that is."""
        asked = self.request.GET
        if ref := asked.get("from", ""):
            if ref == "example":
                return {"definition": EXAMPLE.read_text(), "hours_per_file": 0.001}, "the example"
            source = find(self.request.user, self.here, _key(ref))
            return cloning.fields_of(source), source.ref
        if name := asked.get("template", ""):
            template = templates_for(self.here).filter(name=name).order_by("common").first()
            if template is None:
                raise NotVisible(f"There is no template {name[:60]} in {self.here.name}.")
            text = templating.text_of(template, self.here, {})
            return {**cloning.fields_of(template), "definition": text}, f"the template {template.title}"
        if (key := asked.get("sketch", "")).isdecimal() and len(key) < 19:
            sketch = sketching.of(self.here, self.request.user, int(key))
            if sketch is None:
                raise NotVisible("What you had begun is no longer there; perhaps you kept it as a draft.")
            return sketch.fields, "what you had begun"
        return {}, ""


class EditRequestPage(RequestForms):
    """A draft or returned request is corrected; of one that was filed, another definition is proposed."""

    def get(self, request: HttpRequest, key: str) -> HttpResponse:
        """Show it as a form, to those who may keep it too."""
        row = find(request.user, self.here, key)
        if row.requester_id != request.user.pk:
            require(request.user, "check_request", self.here)
        if row.state not in (*EDITABLE, *AMENDABLE):
            raise Conflict(
                f"{row.ref} is {row.state.replace('_', ' ')}; nothing of it can be changed. Clone it instead."
            )
        given = as_typed({name: getattr(row, name) for name in filing.FIELDS})
        return self.form(RequestForm(self.here, initial=given), row)

    def post(self, request: HttpRequest, key: str) -> HttpResponse:
        """Keep the changes."""
        row = find(request.user, self.here, key)
        data: Any = request.POST
        if row.state in AMENDABLE and data.get("opened") != "filed":
            word = row.state.replace("_", " ")
            detail = (
                f"{row.ref} is {word} meanwhile, and of it only the definition can be changed. Nothing was changed;"
                " what you typed stands here. Open it again to propose another definition."
            )
            return self.form(RequestForm(self.here, data, request.FILES), row, 409, detail=detail, amends=False)
        if row.state in AMENDABLE:  # only the definition is asked then; the rest stays as it was filed
            given = as_typed({name: getattr(row, name) for name in filing.FIELDS})
            data = data.copy()
            for name, value in given.items():
                if name != "definition":
                    data[name] = "" if value in (None, False) else value
        return self.keep(RequestForm(self.here, data, request.FILES), row)


class LookAtRequest(Page):
    """What is missing and what it will cost, of a form that is being filled in; it is saved on the way."""

    rules = {"post": "file_request"}

    def post(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        """Save what was typed and answer with what it comes to; nothing outside but the catalogue is asked."""
        form = RequestForm(self.here, request.POST)
        sketch = request.POST.get("sketch", "")
        row = request.POST.get("request", "")
        about = find(request.user, self.here, _key(row)) if row else None
        fields = {name: request.POST.get(name, "") for name in form.fields if name != "definition_file"}
        number = int(sketch) if sketch.isdecimal() and len(sketch) < 19 else None
        if request.POST.get("peek"):  # the form was only opened: nothing was typed yet
            kept = sketching.of(self.here, request.user, number) if number else None
        else:
            kept = sketching.keep(self.here, request.user, fields, sketch=number, request=about)
        form.is_valid()
        given = {**getattr(form, "cleaned_data", {})}
        given.pop("definition_file", None)
        requester: Any = about.requester if about else request.user
        asked = Request(experiment=self.here, requester=requester, **_bare(given))
        context: dict[str, Any] = {"form": form, "kept": kept, "facts": None, "lines": ()}
        try:
            facts = looking.look(asked, reading.attempt(asked, request.user), brief=True)
            lines = [line for line in checks.report(facts) if line.result in MISSING_FIRST]
            context |= {"facts": facts, "lines": [line for line in lines if line.result != checks.NOT_CHECKED]}
        except (PomsError, OutsideError) as error:
            context["trouble"] = errors.detail_of(error)
        return render(request, "web/_request_look.html", context)


class DropSketch(Page):
    """Throw away what one had begun."""

    rules = {"post": "file_request"}

    def post(self, request: HttpRequest, sketch: int, **kwargs: Any) -> HttpResponse:
        """Drop it."""
        sketching.drop(self.here, request.user, sketch)
        messages.success(request, "It is thrown away.")
        return HttpResponseRedirect(reverse("request-new", args=[self.here.name]), status=303)


def _bare(given: dict[str, Any]) -> dict[str, Any]:
    """Return fields for a request that is only looked at: what could not be read is left out."""
    return {name: value for name, value in given.items() if value not in (None, "")}


def _key(ref: str) -> str:
    key = ref.rpartition("/")[2]
    if not (key[:1] in ("r", "c") and key[1:].isdecimal() and len(key) < 19):
        raise Refused(f"{ref[:60]} is no reference of a request or campaign; they are written like r1 and c1.")
    return key


urlpatterns = [
    path("e/<slug:experiment>/requests/new/", NewRequestPage.as_view(), name="request-new"),
    path("e/<slug:experiment>/requests/look/", LookAtRequest.as_view(), name="request-look"),
    path("e/<slug:experiment>/requests/sketches/<int:sketch>/drop/", DropSketch.as_view(), name="request-sketch-drop"),
    key_path("edit/", EditRequestPage.as_view(), "request-edit", "r"),
]
