"""What every page shares: its declared rule, the experiment of its address, the frame, and pages for refusals."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlencode

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.views import View

from core.errors import NotAllowed, NotVisible, PomsError, Problem, Refused
from core.redaction import refuse_secrets
from experiments.models import Experiment
from experiments.roles import PERMISSIONS
from experiments.rules import PUBLIC, rule_of
from experiments.scoping import held_on, read_once, require
from integrations.errors import OutsideError
from poms_site.sessions import is_poll, sign_in_address
from poms_site.web import frame, live
from poms_site.web.errors import error_page

OF_PAGES_ONLY = ("format", "after", "part", "sort", "columns", "span", "export", "week", "as")
THINGS = ("campaign", "batch", "submission")  # filters by a thing, on lists


class Page(View):
    """One page. Subclasses declare `rules` (method to rule) and answer with `show` or `live`.

    Under /e/<experiment>/ the rule is asked on that experiment before anything is looked up: an experiment that
    the person may not see does not exist (404), one where only the permission is missing is refused (403), whether
    or not the object exists.
    """

    rules: dict[str, str] = {}
    place = ""
    help = "/docs/"
    api = ""  # the API's route with the same data, for ?format=json

    experiment: Experiment | None = None
    held: frozenset[str] = frozenset()

    @classmethod
    def as_view(cls, **initkwargs: Any) -> Any:
        """Return the view; dispatch itself sends those who are not signed in to the sign-in page."""
        view = super().as_view(**initkwargs)
        view.login_required = False  # type: ignore[attr-defined]  # Django's own mark of a view
        return view

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        """Let in whom the rule lets in; turn refusals into pages."""
        try:
            return self._guarded(request, *args, **kwargs)
        except (PomsError, OutsideError, Http404, PermissionDenied) as error:
            return error_page(request, error, self)

    def _guarded(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        method = "get" if request.method == "HEAD" else str(request.method).lower()
        served = [name for name in ("get", "post") if hasattr(self, name)]
        if method not in served:
            return HttpResponseNotAllowed([name.upper() for name in served])
        if method == "get" and request.user.is_authenticated:
            read_once(request.user)
        rule = rule_of(self, method)
        if rule is None:
            raise NotAllowed("Nobody may do this: no rule is declared for it.")
        if rule != PUBLIC and not request.user.is_authenticated:
            return to_sign_in(request)
        if any("\0" in text for text in [*request.GET.keys(), *request.GET.values(), *map(str, kwargs.values())]):
            raise Refused("The address cannot be read.", [Problem("address", "has a NUL character")])
        if "experiment" in kwargs:
            self.enter(kwargs.pop("experiment"), rule)
        elif rule in PERMISSIONS:
            raise NotAllowed(f"Nobody may do this: {rule} is held on an experiment, and the address names none.")
        if method == "post" and request.user.is_authenticated:
            refuse_secrets(request.POST.items())
            answer = self.post(request, *args, **kwargs)  # type: ignore[attr-defined]  # a page has `post` where its rules name it
            if request.user.is_authenticated:  # no new session for somebody who has just signed out
                live.acted(request)
            return answer
        if method == "get" and request.GET.get("format") == "json" and self.api:
            return HttpResponseRedirect(self.api_address(**kwargs))
        return getattr(self, method)(request, *args, **kwargs)

    def enter(self, name: str, rule: str) -> None:
        """Take the experiment of the address, if the person may see it and holds the permission there."""
        found = next((row for row in frame.experiments_of(self.request) if row.name == name), None)
        if found is None:
            raise NotVisible(f"There is no experiment {name}, or you may not see it.")
        self.experiment = found
        self.held = held_on(self.request.user, found)
        if rule in PERMISSIONS and rule not in self.held:
            require(self.request.user, rule, found)
        if self.request.session.get("experiment") != name:
            self.request.session["experiment"] = name

    @property
    def here(self) -> Experiment:
        """Return the experiment of the address."""
        if self.experiment is None:
            raise LookupError(f"{type(self).__name__} has no experiment in its address")
        return self.experiment

    def api_address(self, **kwargs: Any) -> str:
        """Return where the API gives the same data: an object by its reference, a list by the page's filters."""
        query = {
            name: self._as_the_api_says(name, str(value))
            for name, value in self.request.GET.items()
            if value and name not in OF_PAGES_ONLY
        }
        if "key" in kwargs:
            return reverse(self.api, kwargs={"ref": f"{self.here.name}/{kwargs['key']}"})
        if self.experiment is not None:
            query["experiment"] = self.experiment.name
        return f"{reverse(self.api)}?{urlencode(query)}"

    def _as_the_api_says(self, name: str, value: str) -> str:
        """Return a filter's value with the whole reference of a thing, where a page takes its key alone: demo/c1."""
        found = re.fullmatch(rf"(?:[a-z][a-z0-9_-]*/)?{name[:1]}?([0-9]{{1,18}})", value)
        return f"{self.here.name}/{name[:1]}{found[1]}" if name in THINGS and found else value

    def live_key(self) -> tuple[str, ...]:
        """Return what a live part depends on beside its address: the permissions held on the experiment."""
        return tuple(sorted(self.held))

    def show(self, template: str, context: dict[str, Any], status: int = 200) -> HttpResponse:
        """Return a whole page in the frame."""
        return render(self.request, template, {**frame.context(self.request, self), **context}, status=status)

    def live(self, template: str, part: str, make: live.Make, context: dict[str, Any]) -> HttpResponse:
        """Return a page whose middle is alive: the whole page, or for a poll only the part, with its ETag.

        `make` gathers what the part shows. Its answer is shared for a moment by all who hold the same permissions,
        so that many readers of one page cost little more than one.
        """
        key = (self.request.path, urlencode(sorted(live.asked(self.request))), *self.live_key())

        def facts() -> dict[str, Any]:
            return {"page": self, "may": self.held, "experiment": self.experiment, **make()}

        piece = live.piece(key, part, facts, after=live.last_act(self.request))
        if is_poll(self.request):
            return live.answer(self.request, piece)
        return self.show(template, {**context, "live": piece.html, "poll": live.address(self.request)})


def to_sign_in(request: HttpRequest) -> HttpResponse:
    """Send somebody who is not signed in to the sign-in page, and back afterwards."""
    target = sign_in_address(request)
    if is_poll(request) or request.headers.get("HX-Request") == "true":
        return HttpResponse(status=401, headers={"HX-Redirect": target})
    return HttpResponseRedirect(target)
