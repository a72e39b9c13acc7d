"""A new campaign from a text, typed or in a file: what it would be is shown first; and what a revision would do."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import path, reverse

from approvals.logic.foreseeing import foresee
from campaigns.definition import LONGEST_TEXT
from campaigns.logic import drafting
from campaigns.queries import job_types, login_setups, newest
from core.errors import Conflict, NotVisible, Problem, Refused
from poms_site.overview.words import printable
from poms_site.web import errors
from poms_site.web.page import Page
from poms_site.web.things import find, key_path

EMPTY = """[campaign]
experiment={experiment}
name=

[campaign_defaults]
login_setup={setup}

[campaign_stage first]
job_type={job_type}
"""


class NewCampaignPage(Page):
    """A campaign that nobody is asked for yet: written here or taken from a file, looked at, then kept as a draft."""

    rules = {"get": "file_request", "post": "file_request"}
    place = "campaigns"
    help = "/docs/guide/library/#a-new-campaign"

    def get(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        """Show the form, with the bones of a definition."""
        return self._form({"text": self._bones(), "format": "ini"})

    def post(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        """Show what the text would be; pressed again, keep it."""
        given = {name: printable(request.POST.get(name, "")) for name in ("name", "note", "format")}
        given["text"] = request.POST.get("text", "").replace("\r\n", "\n")
        try:
            if chosen := request.FILES.get("file"):
                given["text"], given["format"] = _read(chosen)
            looked = drafting.look(
                self.here, given["text"], by=request.user, form=given["format"] or "ini", name=given["name"].strip()
            )
            if "keep" not in request.POST:
                return self._form(given, looked=looked)
            kept = drafting.import_text(self.here, looked, by=request.user, note=given["note"])
        except (Refused, Conflict) as error:
            return self._form(given, error)
        messages.success(request, f"{kept.campaign.ref} is kept as a draft, revision {kept.number}.")
        key = kept.campaign.ref.rpartition("/")[2]
        return HttpResponseRedirect(reverse("campaign-editor", args=[self.here.name, key]), status=303)

    def _bones(self) -> str:
        setups, kinds = login_setups(self.here), job_types(self.here)
        return EMPTY.format(
            experiment=self.here.name, setup=setups[0].name if setups else "", job_type=kinds[0].name if kinds else ""
        )

    def _form(self, given: dict[str, str], error: Exception | None = None, **more: Any) -> HttpResponse:
        context = {
            "given": given, "error": error and errors.detail_of(error), "problems": getattr(error, "problems", ()),
            "forms": drafting.FORMS, **more,
        }  # fmt: skip
        return self.show("web/campaign_new.html", context, status=errors.status_of(error) if error else 200)


class PlanPage(Page):
    """What a revision would do if it ran: batches, commands, cost, and what is different to what runs."""

    rules = {"get": "view"}
    place = "campaigns"
    help = "/docs/guide/editor/#what-it-would-do"

    def get(self, request: HttpRequest, key: str) -> HttpResponse:
        """Show it for the newest revision, or the one that is asked for by number."""
        row = find(request.user, self.here, key)
        wanted = request.GET.get("revision", "")
        found = row.revisions.filter(number=int(wanted)) if wanted.isdecimal() and len(wanted) < 9 else None
        revision = found.first() if found is not None else None if wanted else newest(row)
        if revision is None:
            raise NotVisible(f"{row.ref} has no revision {wanted[:20]}." if wanted else f"{row.ref} has no definition.")
        plan = foresee(self.here, revision.source, by=request.user)
        return self.show("web/plan.html", {"row": row, "revision": revision, "plan": plan})


def _read(chosen: Any) -> tuple[str, str]:
    """Return the text of a file and its form; what can be none is refused before it is read."""
    if chosen.size > LONGEST_TEXT:
        raise Refused("The file cannot be a definition.", [Problem("file", "is larger than 256 KiB")])
    try:
        text = chosen.read().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        problem = Problem("file", "is no text in UTF-8", "choose the .ini or YAML file of a definition")
        raise Refused("The file cannot be read.", [problem]) from error
    if "\0" in text:
        raise Refused("The file cannot be read.", [Problem("file", "has a NUL character; it is no text")])
    return text, "yaml" if chosen.name.endswith((".yaml", ".yml")) else "ini"


urlpatterns = [
    path("e/<slug:experiment>/campaigns/new/", NewCampaignPage.as_view(), name="campaign-new"),
    key_path("plan/", PlanPage.as_view(), "campaign-plan", "c"),
]
