"""The library of an experiment: templates, job types and launch set-ups, each with its versions; what is done there."""

from __future__ import annotations

from itertools import zip_longest
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import path, reverse

from approvals import parameters
from approvals.logic import customising, templating
from approvals.models import Template
from approvals.queries import template_named, templates_for
from campaigns.logic import editing, keeping, trying
from campaigns.models import JobType, LoginSetup
from core import differences
from core.errors import NotVisible, PomsError, Problem, Refused
from experiments.logic import pacing
from integrations.errors import OutsideError
from poms_site.overview.words import printable
from poms_site.web import errors
from poms_site.web.page import Page
from poms_site.web.things import address

# of what is kept: the word in the address, the words for one, how it is edited, and the admin's name of it
KEPT: dict[str, tuple[Any, str, Any, str]] = {
    "templates": (Template, "template", customising.change_template, "approvals_template"),
    "jobtypes": (JobType, "job type", editing.change_job_type, "campaigns_jobtype"),
    "setups": (LoginSetup, "launch set-up", editing.change_login_setup, "campaigns_loginsetup"),
}
LONGEST = 2000


class LibraryPage(Page):
    """What campaigns are made of."""

    rules = {"get": "view"}
    place = "campaigns"
    help = "/docs/guide/library/"

    def get(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        """List it."""
        job_types = JobType.objects.filter(experiment=self.here).select_related("experiment").order_by("name")
        setups = LoginSetup.objects.filter(experiment=self.here).select_related("experiment").order_by("name")
        return self.show("web/library.html", {
            "templates": templates_for(self.here).order_by("common", "title"), "job_types": job_types, "setups": setups,
        })  # fmt: skip


class Kept(Page):
    """What the pages of one template, job type or launch set-up share: the thing, and how it is shown."""

    place = "campaigns"
    help = "/docs/guide/library/"
    kind = ""

    def find(self, name: str) -> Any:
        """Return the row of this name that the experiment has."""
        model, word, _, _ = KEPT[self.kind]
        row = model.objects.filter(experiment=self.here, name=name).select_related("experiment", "updated_by").first()
        if row is None:
            raise NotVisible(f"There is no {word} {name[:100]} in {self.here.name}, or you may not see it.")
        return row

    def beside(self, row: Any) -> dict[str, Any]:
        """Return what else a page of this kind shows."""
        return {}

    def page_of(self, row: Any, error: Exception | None = None, **more: Any) -> HttpResponse:
        """Return the page, with what was refused."""
        _, word, _, admin = KEPT[self.kind]
        own = row.experiment_id == self.here.pk
        context = {
            "row": row, "word": word, "said": _said(row.values()), "versions": _versions(row) if own else (),
            "edit": reverse(f"admin:{admin}_change", args=[row.pk]) if own and "define" in self.held else "",
            "error": error and errors.detail_of(error), "problems": getattr(error, "problems", ()),
            **self.beside(row), **more,
        }  # fmt: skip
        return self.show("web/kept.html", context, status=errors.status_of(error) if error else 200)


class ReadAndRestore(Kept):
    """The page of one of them: what it says, its versions, any of which can be restored."""

    rules = {"get": "view", "post": "define"}

    def get(self, request: HttpRequest, name: str) -> HttpResponse:
        """Show it."""
        return self.page_of(self.find(name))

    def post(self, request: HttpRequest, name: str) -> HttpResponse:
        """Restore a version."""
        row, number = self.find(name), request.POST.get("restore", "")
        try:
            if not number.isdecimal() or len(number) > 9:
                raise Refused("Nothing was restored.", [Problem("version", "is none", "choose one of the list")])
            keeping.restore(row, int(number), by=request.user, reason="", edit=KEPT[self.kind][2])
        except PomsError as error:
            return self.page_of(row, error)
        messages.success(request, f"{row.name} says again what it said in version {number}.")
        return HttpResponseRedirect(request.path, status=303)


class JobTypePage(ReadAndRestore):
    """A job type."""

    kind = "jobtypes"


class Setup(Kept):
    """A launch set-up with its trials."""

    kind = "setups"

    def beside(self, row: Any) -> dict[str, Any]:
        """Return the last trials, as they are now."""
        rows = row.trials.select_related("by", "setup__experiment").order_by("-pk")[:5]
        return {"trials": [trying.looked_at(trial) for trial in rows], "tries": "define" in self.held}


class SetupPage(Setup, ReadAndRestore):
    """The page of a launch set-up."""


class SetupTrialPage(Setup):
    """The button that tries a launch set-up."""

    rules = {"post": "define"}

    def post(self, request: HttpRequest, name: str) -> HttpResponse:
        """Start a trial and go back; the page shows how it goes."""
        row = self.find(name)
        pacing.launch(request.user)
        trying.try_out(row, by=request.user)
        return HttpResponseRedirect(reverse("setup", args=[self.here.name, row.name]), status=303)


class Filled(Kept):
    """A template, of the experiment or of the common library: filled in, it makes a campaign or begins a request."""

    kind = "templates"

    def find(self, name: str) -> Any:
        """Return the template that the experiment may begin with, or one of its own that is no longer offered."""
        try:
            return template_named(self.here, name)
        except Refused:
            return super().find(name)

    def beside(self, row: Any) -> dict[str, Any]:
        """Return the parameters to be filled in."""
        declared, _ = parameters.declared(row.parameters)
        return {"parameters": [(one, self.request.POST.get(f"p-{one.name}", one.default or "")) for one in declared]}


class TemplatePage(Filled, ReadAndRestore):
    """The page of a template."""


class TemplateUsePage(Filled):
    """The button that makes a campaign with a template."""

    rules = {"post": "file_request"}

    def post(self, request: HttpRequest, name: str) -> HttpResponse:
        """Make it, or show what is missing with what was typed."""
        row = self.find(name)
        given = {key[2:]: printable(str(value))[:LONGEST] for key, value in request.POST.items() if key[:2] == "p-"}
        called = printable(request.POST.get("name", ""))[:100]
        try:
            made = templating.instantiate(row, self.here, by=request.user, given=given, name=called)
        except (PomsError, OutsideError) as error:
            return self.page_of(row, error, called=called)
        messages.success(request, f"{made.campaign.ref} is a draft. Look at it, then ask for approval.")
        return HttpResponseRedirect(address(made.campaign.ref), status=303)


class TemplatePublishPage(Filled):
    """The button that puts a template into the common library, or takes it out."""

    rules = {"post": "administer"}

    def post(self, request: HttpRequest, name: str) -> HttpResponse:
        """Do it, or say why not."""
        row, reason = self.find(name), printable(request.POST.get("reason", "")).strip()[:4000]
        try:
            customising.publish(row, not row.common, by=request.user, reason=reason)
        except PomsError as error:
            return self.page_of(row, error)
        return HttpResponseRedirect(reverse("template", args=[self.here.name, row.name]), status=303)


def _said(values: dict[str, Any]) -> list[tuple[str, str, bool]]:
    """Return what is kept as word, text, and whether the text has lines of its own."""
    told = [(name.replace("_", " "), differences.as_text(value)) for name, value in values.items() if value is not None]
    return [(word, text, "\n" in text or len(text) > 100) for word, text in told if text]


def _versions(row: Any) -> list[tuple[Any, list[str]]]:
    """Return the versions with what each changed, the newest first."""
    rows = list(keeping.versions(row)[:50])
    found = []
    for version, before in zip_longest(rows, rows[1:]):
        changed = {k: v for k, v in version.values.items() if before and before.values.get(k) != v}
        old = {key: before.values.get(key) for key in changed} if before else {}
        found.append((version, differences.parted(differences.told("", old, changed))[1] if changed else []))
    return found


urlpatterns = [
    path("e/<slug:experiment>/library/", LibraryPage.as_view(), name="library"),
    path("e/<slug:experiment>/templates/<str:name>/", TemplatePage.as_view(), name="template"),
    path("e/<slug:experiment>/templates/<str:name>/use/", TemplateUsePage.as_view(), name="template-use"),
    path("e/<slug:experiment>/templates/<str:name>/publish/", TemplatePublishPage.as_view(), name="template-publish"),
    path("e/<slug:experiment>/jobtypes/<str:name>/", JobTypePage.as_view(), name="jobtype"),
    path("e/<slug:experiment>/setups/<str:name>/", SetupPage.as_view(), name="setup"),
    path("e/<slug:experiment>/setups/<str:name>/test/", SetupTrialPage.as_view(), name="setup-test"),
]
