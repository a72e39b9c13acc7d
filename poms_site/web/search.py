"""The search box: a reference goes to its page, "hold demo/c1" to the verb, a word to what has it in its name."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import path, reverse

from approvals.models import Request
from campaigns.models import Campaign
from experiments.rules import SIGNED_IN
from integrations.models import BatchSystem, File
from poms_site.web import frame
from poms_site.web.page import Page
from poms_site.web.things import NOUNS, address, noun_of
from poms_site.web.verbs import BY_NAME
from submissions.models import EveryJob

MOST = 20
_STAGE = re.compile(r"(?:([A-Za-z][A-Za-z0-9_-]*)/)?c([1-9][0-9]{0,17})/(\S.*)")
_VERB = re.compile(r"([a-z][a-z ]*[a-z]) (?:([a-z][a-z0-9_-]*)/)?([a-z])([1-9][0-9]{0,17})")
_REF = re.compile(r"(?:([a-z][a-z0-9_-]*)/)?([a-z])([1-9][0-9]{0,17})")


@dataclass(frozen=True)
class Hit:
    """One thing that was found."""

    kind: str
    address: str
    title: str
    ref: str
    state: str = ""


class SearchPage(Page):
    """What was found, or straight to the one thing that was meant."""

    rules = {"get": SIGNED_IN}
    help = "/docs/guide/pages/#search-and-keys"

    def get(self, request: HttpRequest) -> HttpResponse:
        """Go to a reference or a place, or show what has the words."""
        query = request.GET.get("q", "").strip()[:200]
        if target := self._meant(query):
            return HttpResponseRedirect(target)
        return self.show("web/search.html", {"query": query, "hits": self._hits(query) if query else []})

    def _meant(self, query: str) -> str:
        """Return the page of a reference that exists, of a verb on one (hold demo/c1) or of a place; else nothing."""
        here = frame.current_experiment(self.request, self)
        if found := _REF.fullmatch(query.lower()):
            name, letter, number = found[1] or (here.name if here else ""), found[2], found[3]
            if letter != "h" and self._exists(name, letter, number):
                return address(f"{name}/{letter}{number}")
        if found := _STAGE.fullmatch(query):
            name = found[1].lower() if found[1] else here.name if here else ""
            if self._exists(name, "c", found[2]):
                return f"{address(f'{name}/c{found[2]}')}?{urlencode({'stage': found[3]})}"
        if found := _VERB.fullmatch(query.lower()):
            verb, letter, number = found[1].replace(" ", "_"), found[3], found[4]
            name = found[2] or (here.name if here else "")
            if (letter, verb) in BY_NAME and self._exists(name, letter, number):
                return reverse(f"{noun_of(letter)}-{verb}", args=[name, f"{letter}{number}"])
        if here is not None:
            for entry in frame.context(self.request, self)["places"]:
                if query.lower() == entry.word.lower():
                    return entry.address
        return ""

    def _exists(self, name: str, letter: str, number: str) -> bool:
        if letter not in NOUNS:
            return False
        model: Any = NOUNS[letter][1]
        return bool(model.objects.visible_to(self.request.user).filter(experiment__name=name, pk=int(number)).exists())

    def _hits(self, query: str) -> list[Hit]:
        user = self.request.user
        campaigns = Campaign.objects.visible_to(user).filter(name__icontains=query).select_related("experiment")
        requests = Request.objects.visible_to(user).filter(title__icontains=query).select_related("experiment")
        # The index of jobs' ids begins with the system.
        systems = list(BatchSystem.objects.values_list("pk", flat=True))
        jobs = (
            EveryJob.objects.visible_to(user).filter(system__in=systems, external_id=query).select_related("experiment")
        )
        files = File.objects.visible_to(user).filter(name__icontains=query).select_related("experiment")
        return [
            *(Hit("campaign", address(c.ref), c.name, c.ref, c.state) for c in campaigns.order_by("-pk")[:MOST]),
            *(Hit("request", address(r.ref), r.title, r.ref, r.state) for r in requests.order_by("-pk")[:MOST]),
            *(Hit("job", address(j.ref), j.external_id, j.ref, j.state) for j in jobs.order_by("-pk")[:MOST]),
            *(
                Hit("file", reverse("file", args=[f.experiment.name, f.name]), f.name, f.experiment.name)
                for f in files.order_by("-pk")[:MOST]
            ),
        ]


urlpatterns = [path("search/", SearchPage.as_view(), name="search")]
