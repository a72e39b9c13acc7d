"""Verbs on selections as pages: what will be done to how many things, why; then it is done. And what came of it."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import path, reverse

from core.errors import NotAllowed, PomsError, Problem, Refused
from experiments.logic import pacing
from experiments.models import Experiment
from experiments.queries import is_administrator
from experiments.rules import SIGNED_IN
from poms_site.overview import choosing
from poms_site.overview.words import printable
from poms_site.web import errors
from poms_site.web.acting import typed
from poms_site.web.listing import Filter, by, by_key, listed
from poms_site.web.page import Page
from poms_site.web.select_verbs import WORDS
from poms_site.web.things import find, key_path
from submissions.logic import selecting, stopping
from submissions.models import Command, Submission
from submissions.models.control import TREATMENTS
from submissions.queries import standing_stops
from submissions.states import COMMAND

PLACES = {"job": "jobs", "submission": "submissions", "batch": "batches", "stage": "campaigns", "campaign": "campaigns"}
MOST_SHOWN = 500


def actor_of(request: HttpRequest) -> str:
    """Return who is asking, as the ledger names people."""
    user: Any = request.user
    return str(user.actor)


class SelectionPage(Page):
    """One verb on many things of a kind: those that were ticked, or all that fit the filters."""

    noun = ""
    verb = ""
    help = "/docs/guide/selections/"

    def enter(self, name: str, rule: str) -> None:
        """Also let in who runs analyses there: to their own they may do it."""
        try:
            super().enter(name, rule)
        except NotAllowed:
            if "define_own" not in self.held or not Submission.objects.filter(analyst=self.request.user.pk).exists():
                raise

    def get(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        """Say to how many things it will be done, and ask for the reason."""
        return self._form(request.GET)

    def post(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        """Do it; each thing is answered for."""
        asked = typed(request, "reason", "at_most")
        try:
            chosen, rows = self._chosen(request.POST)
            left = selecting.left_out(self.verb, self.noun, rows)[:MOST_SHOWN] if chosen.named else []
            if self.verb in ("retry", "launch"):
                pacing.launch(request.user)
            at_most = int(asked["at_most"]) if asked["at_most"].isdecimal() else None
            done = selecting.act(
                self.verb, self.noun, rows, actor=actor_of(request), reason=asked["reason"], at_most=at_most
            )
        except PomsError as error:
            return self._form(request.POST, error)
        found = choosing.answers(chosen, done, left)
        context = {
            "verb": self.verb, "word": WORDS[self.verb], "noun": self.noun, "plan": done.plan,
            "answers": found[:MOST_SHOWN], "more": max(0, len(found) - MOST_SHOWN),
            "refused": sum(a["outcome"].startswith("refused") for a in found),
            "commands": any("command" in answer for answer in done.answers), "selection": done.selection,
            "back": reverse(PLACES[self.noun], args=[self.here.name]),
        }  # fmt: skip
        return self.show("web/selection_done.html", context)

    def _chosen(self, asked: Any) -> tuple[choosing.Chosen, Any]:
        user = self.request.user
        if asked.get("all") == "1":
            known = choosing.FILTERS[self.noun]
            given = {name: printable(asked.get(name, "")).strip() for name in known}
            chosen = choosing.by_filter(user, self.here, self.noun, {n: v for n, v in given.items() if v})
        else:
            refs = [printable(ref) for ref in asked.getlist("ref")]
            if not refs:
                raise Refused("Nothing is chosen; go back and tick some.")
            chosen = choosing.by_refs(user, self.here, self.noun, refs)
        return chosen, selecting.permitted(user, self.verb, self.noun, self.here, chosen.rows)

    def _form(self, asked: Any, error: PomsError | None = None) -> HttpResponse:
        _, rows = self._chosen(asked)
        planned = selecting.plan(self.verb, self.noun, rows)
        kept = ["all", "ref", *choosing.FILTERS[self.noun]]
        context = {
            "verb": self.verb, "word": WORDS[self.verb], "noun": self.noun, "plan": planned,
            "danger": self.verb == "kill",
            "kept": [(name, printable(value)) for name in kept for value in asked.getlist(name) if value],
            "reason": printable(asked.get("reason", "")), "error": error and error.detail,
            "problems": error.problems if error else (), "back": reverse(PLACES[self.noun], args=[self.here.name]),
        }  # fmt: skip
        answer = self.show("web/selection.html", context, status=errors.status_of(error) if error else 200)
        return errors.told(answer, error)


COMMAND_FILTERS = (
    Filter("state", "state", by("state"), COMMAND.choices()),
    Filter("verb", "verb", by("verb"), [(v, v) for v in ("kill", "hold", "release", "priority")]),
    Filter("submission", "submission", by_key("submission_id", "s")),
    Filter("selection", "selection", lambda rows, value: rows.filter(selection=_selection(value))),
)


def _selection(value: str) -> UUID:
    try:
        return UUID(value)
    except ValueError as error:
        raise Refused("The list cannot be filtered so.", [Problem("selection", f"none: {value[:40]}")]) from error


class CommandsPage(Page):
    """What people and rules wanted done to jobs, with how many came to what."""

    rules = {"get": "view"}
    place = "jobs"
    help = "/docs/guide/selections/#what-was-done"

    def get(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        """Show a page of them."""
        rows = Command.objects.visible_to(request.user).filter(experiment=self.here).defer("chosen")
        beside = rows.select_related("experiment", "submission__experiment")
        return self.show("web/commands.html", {"list": listed(request, beside, COMMAND_FILTERS)})


class CommandPage(Page):
    """One command: what was wanted of which jobs, and what came of each."""

    rules = {"get": "view"}
    place = "jobs"
    help = "/docs/guide/selections/#what-was-done"

    def get(self, request: HttpRequest, key: str) -> HttpResponse:
        """Show it."""
        row = find(request.user, self.here, key)
        jobs = [(name, word) for word, names in sorted(row.outcomes.items()) for name in names]
        context = {"row": row, "jobs": jobs[:MOST_SHOWN], "total": len(jobs), "tally": sorted(row.tally.items())}
        return self.show("web/command.html", context)


# --- Emergency stops ---------------------------------------------------------------------------------------------


class StopPage(Page):
    """Stop an experiment: what that would meet, what becomes of its jobs, why."""

    rules = {"get": "operate", "post": "operate"}
    help = "/docs/guide/emergency-stop/"
    scope: Experiment | None = None

    def get(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        """Say what it would meet, and ask for the reason."""
        self.check()
        return self._form("hold")

    def post(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        """Stop it."""
        self.check()
        asked = typed(request, "reason", "jobs")
        try:
            stopping.stop(self.stopped, asked["jobs"], actor=actor_of(request), reason=asked["reason"])
        except PomsError as error:
            return self._form(asked["jobs"], error, asked["reason"])
        messages.success(request, f"{self.name}: stopped.")
        return HttpResponseRedirect(self.back, status=303)

    def check(self) -> None:
        """Ask for more than the rule of the route."""

    @property
    def stopped(self) -> Experiment | None:
        """Return what is stopped; None is everything."""
        return self.here

    @property
    def name(self) -> str:
        """Return what people call it."""
        return self.stopped.name if self.stopped else "all experiments"

    @property
    def back(self) -> str:
        """Return where to go then."""
        return reverse("overview-page", args=[self.here.name]) if self.stopped else reverse("home")

    def _form(self, treat: str, error: PomsError | None = None, reason: str = "") -> HttpResponse:
        planned = stopping.plan(self.stopped)
        context = {
            "name": self.name, "back": self.back, "reason": reason, "error": error and error.detail,
            "problems": error.problems if error else (), "chosen": treat if treat in TREATMENTS else "hold",
            "ways": [(word, planned.says(word)) for word in TREATMENTS],
        }  # fmt: skip
        return self.show("web/stop.html", context, status=errors.status_of(error) if error else 200)


class GoOnPage(StopPage):
    """End an emergency stop."""

    def get(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        """Ask for the reason."""
        self.check()
        return self._ask()

    def post(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        """Let it go on."""
        self.check()
        reason = typed(request, "reason")["reason"]
        try:
            stopping.go_on(self.stopped, actor=actor_of(request), reason=reason)
        except PomsError as error:
            return self._ask(error, reason)
        messages.success(request, f"{self.name}: goes on.")
        return HttpResponseRedirect(self.back, status=303)

    def _ask(self, error: PomsError | None = None, reason: str = "") -> HttpResponse:
        standing = standing_stops().filter(experiment=self.stopped).first()
        context = {
            "name": self.name, "back": self.back, "reason": reason, "error": error and error.detail,
            "problems": error.problems if error else (), "stop": standing,
        }  # fmt: skip
        return self.show("web/go_on.html", context, status=errors.status_of(error) if error else 200)


class _Everything:
    """Of everything: for administrators."""

    rules = {"get": SIGNED_IN, "post": SIGNED_IN}

    def check(self) -> None:
        """Refuse who does not administer the service."""
        if not is_administrator(self.request.user):  # type: ignore[attr-defined]  # mixed into a page
            raise NotAllowed("To stop everything, or let it go on, needs the role administrator.")

    @property
    def stopped(self) -> None:
        """Return that it is everything."""
        return


class StopAllPage(_Everything, StopPage):
    """Stop everything."""


class GoOnAllPage(_Everything, GoOnPage):
    """Let everything go on."""


def _page(noun: str, verb: str) -> Any:
    rule = selecting.RULES[verb]
    attributes = {"noun": noun, "verb": verb, "rules": {"get": rule, "post": rule}, "place": PLACES[noun]}
    return type(f"SelectionPage_{noun}_{verb}", (SelectionPage,), attributes).as_view()  # type: ignore[attr-defined]  # made from a base that has it


urlpatterns = [
    *(
        path(f"e/<slug:experiment>/select/{noun}/{verb}/", _page(noun, verb), name=f"select-page-{noun}-{verb}")
        for noun in selecting.VERBS
        for verb in selecting.VERBS[noun]
    ),
    path("e/<slug:experiment>/commands/", CommandsPage.as_view(), name="commands"),
    key_path("", CommandPage.as_view(), "command", "x"),
    path("e/<slug:experiment>/stop/", StopPage.as_view(), name="stop"),
    path("e/<slug:experiment>/go-on/", GoOnPage.as_view(), name="go-on"),
    path("stop/", StopAllPage.as_view(), name="stop-all"),
    path("go-on/", GoOnAllPage.as_view(), name="go-on-all"),
]
