"""Verbs as pages: what will happen, to how many things, why; then it is done once. On a list, to each thing in turn."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import path, reverse

from campaigns.models import Campaign
from core.errors import PomsError, Problem, Refused
from experiments.logic import pacing
from integrations.errors import OutsideError
from poms_site.overview.ranking import require_ranker
from poms_site.overview.words import count, printable, words
from poms_site.web import errors
from poms_site.web.campaigns import FILTERS
from poms_site.web.page import Page
from poms_site.web.things import NOUNS, address, find, key_path, noun_of
from poms_site.web.verbs import BULK, BY_NAME, VERBS, Verb

MOST_AT_ONCE = 500


class VerbPage(Page):
    """One verb on one thing: GET says what it will do and asks why, POST does it."""

    verb: Verb
    help = "/docs/guide/pages/#verbs"

    def get(self, request: HttpRequest, key: str) -> HttpResponse:
        """Say what will happen and ask for the reason."""
        row = self._find(key)
        # The form names the revision that it speaks of, so that no other one is approved by it.
        given = {ask.name: request.GET.get(ask.name, "") or ask.begins(row) for ask in self.verb.asks}
        return self._form(row, given)

    def post(self, request: HttpRequest, key: str) -> HttpResponse:
        """Do it; what is refused is said on the same form, with what was typed."""
        row = self._find(key)
        named, asked = row.ref, self._typed(request)
        try:
            if self.verb.reason and not asked["reason"]:
                raise Refused("This needs a reason.", [Problem("reason", "is empty", "say why; it is kept")])
            if self.verb.launches:
                pacing.launch(request.user)
            made = self.verb.act(row, request.user, asked["reason"], asked)
        except (PomsError, OutsideError) as error:
            return self._form(row, asked, error)
        ref = self.verb.leads(row, made)
        messages.success(request, f"{named}: {self.verb.word.lower()} – done{f', see {ref}' if ref else ''}.")
        return self._back(address(ref) if ref else self._page_of(row))

    def _typed(self, request: HttpRequest) -> dict[str, Any]:
        asked: dict[str, Any] = dict(typed(request, "reason", *(ask.name for ask in self.verb.asks)))
        for ask in self.verb.asks:
            if ask.kind == "ticks":
                asked[ask.name] = [printable(value) for value in request.POST.getlist(ask.name)]
            elif ask.kind == "long":
                asked[ask.name] = printable(request.POST.get(ask.name, "").replace("\r\n", "\n"))
            elif ask.kind == "file":
                asked[ask.name] = request.FILES.get(ask.name)
        return asked

    def _find(self, key: str) -> Any:
        row = find(self.request.user, self.here, key)
        if self.verb.any_of:
            require_ranker(self.request.user, self.here, [row])
        return row

    def _form(self, row: Any, asked: dict[str, Any], error: Exception | None = None) -> HttpResponse:
        bare = self.request.headers.get("HX-Request") == "true"
        shown = self.verb.preview(row, asked) if self.verb.preview else {}
        asked |= {ask.name: shown[ask.name] for ask in self.verb.asks if ask.name in shown}
        context = {
            "frame": "web/_bare.html" if bare else "base.html", "row": row, "verb": self.verb, "asked": asked,
            "shown": shown,
            "fields": [(ask, asked.get(ask.name, ""), ask.choices(row)) for ask in self.verb.asks],
            "says": self.verb.says(row), "back": self._page_of(row), "error": error and errors.detail_of(error),
            "problems": getattr(error, "problems", ()), "open": self.verb.offered(row) or shown.get("open", False),
        }  # fmt: skip
        return errors.told(self.show("web/verb.html", context, status=errors.status_of(error) if error else 200), error)

    def _back(self, target: str) -> HttpResponse:
        if self.request.headers.get("HX-Request") == "true":
            return HttpResponse(status=200, headers={"HX-Redirect": target})
        return HttpResponseRedirect(target, status=303)

    def _page_of(self, row: Any) -> str:
        if row.pk is None:  # deleted
            return reverse(NOUNS[self.verb.letter][0], args=[self.here.name])
        held = getattr(row, "campaign", None) if self.verb.letter == "h" else row
        return address(held.ref) if held is not None else reverse("holds", args=[self.here.name])


class BulkPage(Page):
    """One verb on many campaigns: those that were ticked, or all that fit the filters; each is answered for."""

    verb: Verb
    place = "campaigns"
    help = "/docs/guide/pages/#verbs"

    def get(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        """Say to how many campaigns it will be done, and ask for the reason."""
        return self._form(self._chosen(request.GET), {})

    def post(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        """Do it to each; one that is refused stops no other."""
        rows = self._chosen(request.POST)
        asked = typed(request, "reason", *(ask.name for ask in self.verb.asks))
        if self.verb.reason and not asked["reason"]:
            problem = Problem("reason", "is empty", "say why; it is kept with each campaign")
            return self._form(rows, asked, Refused("This needs a reason; nothing was changed.", [problem]))
        answers = [(row, *self._do(row, asked)) for row in rows]
        done = sum(1 for _, ok, _ in answers if ok)
        context = {"verb": self.verb, "answers": answers, "done": done, "refused": len(answers) - done}
        return self.show("web/bulk_done.html", context)

    def _do(self, row: Campaign, asked: dict[str, Any]) -> tuple[bool, str]:
        if not self.verb.offered(row):
            return False, f"It is {words(row.state)}; there is nothing to {self.verb.name} here."
        try:
            if self.verb.any_of:
                require_ranker(self.request.user, self.here, [row])
            if self.verb.launches:
                pacing.launch(self.request.user)
            self.verb.act(row, self.request.user, asked["reason"], asked)
        except (PomsError, OutsideError) as error:
            return False, errors.detail_of(error)
        return True, "done"

    def _chosen(self, asked: Any) -> list[Campaign]:
        if self.verb.any_of:
            require_ranker(self.request.user, self.here, [])
        rows = Campaign.objects.visible_to(self.request.user).filter(experiment=self.here).select_related("experiment")
        if asked.get("all") == "1":
            for entry in FILTERS:
                if (value := printable(asked.get(entry.name, "")).strip()) or entry.always:
                    rows = entry.apply(rows, value)
        else:
            keys = [ref[1:] for ref in asked.getlist("ref") if ref[:1] == "c" and ref[1:].isdecimal() and len(ref) < 19]
            rows = rows.filter(pk__in=keys)
        found = list(rows.order_by("pk")[: MOST_AT_ONCE + 1])
        if not found:
            raise Refused("No campaign is chosen; go back and tick some.")
        if len(found) > MOST_AT_ONCE:
            raise Refused(f"More than {MOST_AT_ONCE} campaigns fit; narrow the list first. Nothing was changed.")
        return found

    def _form(self, rows: list[Campaign], asked: dict[str, str], error: Refused | None = None) -> HttpResponse:
        able = [(row, self.verb.offered(row)) for row in rows]
        will = sum(1 for _, can in able if can)
        context = {
            "fields": [(ask, asked.get(ask.name, ""), ()) for ask in self.verb.asks],
            "verb": self.verb, "rows": able, "will": will, "will_not": len(rows) - will, "asked": asked,
            "error": error and error.detail, "problems": error.problems if error else (),
            "how_many": count(will, "campaign"),
        }  # fmt: skip
        return self.show("web/bulk.html", context, status=422 if error else 200)


def typed(request: HttpRequest, *names: str) -> dict[str, str]:
    """Return what was typed into the fields, as no field of the database refuses it."""
    return {name: printable(request.POST.get(name, "").replace("\r\n", "\n")).strip()[:4000] for name in names}


def _page(kind: type[Page], verb: Verb) -> Any:
    """Return a page class of one verb, with the verb's rule for both methods."""
    attributes = {"verb": verb, "rules": {"get": verb.rule, "post": verb.rule}, "place": NOUNS[verb.letter][0]}
    return type(f"{kind.__name__}_{verb.letter}_{verb.name}", (kind,), attributes).as_view()  # type: ignore[attr-defined]  # made from a base that has it


urlpatterns = [
    *(
        key_path(f"{verb.name}/", _page(VerbPage, verb), f"{noun_of(verb.letter)}-{verb.name}", verb.letter)
        for verb in VERBS
    ),
    *(
        path(f"e/<slug:experiment>/campaigns/bulk/{name}/", _page(BulkPage, BY_NAME["c", name]), name=f"bulk-{name}")
        for name in BULK
    ),
]
