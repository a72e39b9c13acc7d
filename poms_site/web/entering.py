"""Forms that enter what gates launches, or change it: holds, limits, services, and from when on campaigns pause."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import path, reverse
from django.utils.timezone import is_naive, make_aware

from core.errors import NotVisible, PomsError, Problem, Refused
from integrations import registry, serving
from integrations.models import Service
from integrations.probes.kinds import BY_HAND, PROBES
from integrations.probes.models import GATES
from poms_site.overview.held import held
from poms_site.web import errors
from poms_site.web.acting import typed
from poms_site.web.exclusions import number
from poms_site.web.page import Page
from poms_site.web.things import key_path
from poms_site.web.verb import Ask
from submissions.logic import curbing, holding, limiting
from submissions.models.control import LIMITS
from submissions.wasting import LEAST, SHARE

REASON = Ask("reason", "Reason", "long", help="It is kept in the history.")
KINDS = [(BY_HAND, "nobody looks: people say how it is"), *((kind, entry[0]) for kind, entry in PROBES.items())]


class EnterPage(Page):
    """A form with a reason. Subclasses have `fields`, what stands in them at first, and what is done with them."""

    place = "services"
    help = "/docs/guide/services/"
    word: ClassVar[str] = ""
    says: ClassVar[str] = ""
    back: ClassVar[str] = "holds"
    fields: ClassVar[tuple[Ask, ...]] = ()

    def get(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        """Show the form."""
        self.begin(**kwargs)
        return self._form({ask.name: ask.begins(self) for ask in self.fields})

    def post(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        """Do it, or show the form again with what is wrong."""
        self.begin(**kwargs)
        asked = typed(request, *(ask.name for ask in self.fields))
        try:
            messages.success(request, self.keep(asked))
        except PomsError as error:
            return self._form(asked, error)
        return HttpResponseRedirect(reverse(self.back, args=[self.here.name]), status=303)

    def begin(self, **kwargs: Any) -> None:
        """Look up what the address names, where it names something."""

    def keep(self, asked: dict[str, str]) -> str:
        """Do it, and return a sentence on what was done."""
        raise NotImplementedError

    @property
    def user(self) -> Any:
        """Return who asks."""
        return self.request.user

    def _form(self, given: dict[str, Any], error: PomsError | None = None) -> HttpResponse:
        fields = [(ask, given.get(ask.name, ""), list(ask.choices(self))) for ask in self.fields]
        context = {
            "word": self.word, "says": self.says, "fields": fields, "list_name": self.place.title(),
            "back": reverse(self.back, args=[self.here.name]),
            "error": error and error.detail, "problems": error.problems if error else (),
        }  # fmt: skip
        return self.show("web/enter.html", context, status=errors.status_of(error) if error else 200)


class HoldNewPage(EnterPage):
    """Hold an experiment, a service, a campaign, a stage or a batch."""

    rules = {"get": "watch", "post": "watch"}
    help = "/docs/guide/services/#holds"
    word, says = "Hold", "Nothing more of it is launched until somebody releases it, or until the time that you say."
    scopes: ClassVar[tuple[str, ...]] = ("experiment", "service", "campaign", "stage", "batch")
    fields = (
        Ask("scope", "What", "one", choices=lambda page: [(scope, scope) for scope in HoldNewPage.scopes]),
        Ask("of", "Which", needed=False, help="Its reference, such as v1, c1, c1/gen or b1; none for the experiment."),
        Ask("until", "Until", "datetime-local", needed=False, help="In UTC; else until somebody releases it."),
        REASON,
    )

    def keep(self, asked: dict[str, str]) -> str:
        """Hold it."""
        scope = asked["scope"]
        if scope not in self.scopes:
            raise Refused("Nothing was held.", [Problem("scope", f"unknown: {scope[:40]}", ", ".join(self.scopes))])
        of = asked["of"] if asked["of"].startswith(f"{self.here.name}/") else f"{self.here.name}/{asked['of']}"
        thing = self.here if scope == "experiment" else held(self.user, scope, of)
        made = holding.hold(
            scope, thing, actor=self.user.actor, reason=asked["reason"], until=_moment("until", asked["until"])
        )
        return f"{made.ref}: {'all of ' + self.here.name if scope == 'experiment' else of} is held."


class LimitNewPage(EnterPage):
    """Set how much of an experiment may be under way at once."""

    rules = {"get": "operate", "post": "operate"}
    help = "/docs/guide/services/#limits"
    word, says = "Set a limit", "What is above it waits in its place in the queue, and goes on by itself."
    fields = (
        Ask("kind", "Of what", "one", choices=lambda page: [(kind, kind) for kind in LIMITS]),
        Ask("most", "At most", "number", least=0, help="0: none."),
        Ask("system", "In which batch system", "one", needed=False, choices=lambda page: [
            ("", "all together"), *((name, name) for name in registry.batch_systems())]),
        Ask("host", "From which launch host", needed=False, help="By name; none: from all together."),
        REASON,
    )  # fmt: skip

    def keep(self, asked: dict[str, str]) -> str:
        """Set it."""
        most = int(number("most", asked["most"]))
        made = limiting.limit(
            asked["kind"], most, experiment=self.here, system=asked["system"], host=asked["host"],
            actor=self.user.actor, reason=asked["reason"],
        )  # fmt: skip
        return f"{made.ref}: {made}."


class WasteLimitNewPage(EnterPage):
    """Say from which share of failures the campaigns of an experiment pause themselves."""

    rules = {"get": "operate", "post": "operate"}
    place = "sites"
    help = "/docs/guide/black-holes/"
    word, back = "Limit waste", "sites"
    says = "A campaign that fails above it pauses itself, unless it has a limit of its own."
    fields = (
        Ask("share", "Percent of failures", "number", least=1, most=100, begins=lambda page: SHARE, help="100: never."),
        Ask("least", "Of how many jobs of an hour, at least", "number", least=1, begins=lambda page: LEAST),
        REASON,
    )

    def keep(self, asked: dict[str, str]) -> str:
        """Say it."""
        share, least = (int(number(name, asked[name])) for name in ("share", "least"))
        curbing.set_limit(self.here, None, share, least, actor=self.user.actor, reason=asked["reason"])
        return f"Campaigns of {self.here.name} pause themselves above {share} % of {least} jobs."


def _settings(text: str) -> dict[str, str]:
    """Return the settings of a form: a line each, name = value."""
    found = {}
    for line in filter(None, map(str.strip, text.splitlines())):
        name, equals, value = line.partition("=")
        if not equals:
            raise Refused("Nothing was changed.", [Problem("settings", f"no setting: {line[:60]}", "name = value")])
        found[name.strip()] = value.strip()
    return found


# What stands in them at first is what the service has; a new one has what is usual.
SERVICE = (
    Ask("title", "What people call it", needed=False, begins=lambda page: page.row.title),
    Ask("kind", "How it is looked at", "one", choices=lambda page: KINDS, begins=lambda page: page.row.kind),
    Ask("settings", "Settings", "long", needed=False, help="A line each, such as url = https://sam.example.org",
        begins=lambda page: "\n".join(f"{name} = {value}" for name, value in sorted(page.row.settings.items()))),
    Ask("gates", "What waits while it is down", "one", choices=lambda page: GATES, begins=lambda page: page.row.gates),
    Ask("gated", "Which one", needed=False, help="By name; empty: every one.", begins=lambda page: page.row.gated),
    Ask("every_s", "Seconds between two looks", "number", least=1, most=86_400, begins=lambda page: page.row.every_s),
    Ask("downs", "Failed looks that close it", "number", least=1, most=100, begins=lambda page: page.row.downs),
    Ask("ups", "Good looks that open it again", "number", least=1, most=100, begins=lambda page: page.row.ups),
    REASON,
)  # fmt: skip


def _values(asked: dict[str, str]) -> dict[str, Any]:
    """Return what a form says of a service."""
    whole = {name: int(number(name, asked[name])) for name in ("every_s", "downs", "ups")}
    words = {name: asked[name] for name in ("title", "kind", "gates", "gated")}
    return {**words, **whole, "settings": _settings(asked["settings"])}


class ServiceNewPage(EnterPage):
    """Enter a service that launches need."""

    rules = {"get": "administer", "post": "administer"}
    word, back = "Enter a service", "services"
    says = "It is looked at from now on; while it is down, what needs it waits and goes on by itself."
    fields = (Ask("name", "Name", help="In lower case, such as sam."), *SERVICE)
    row = Service(kind=BY_HAND)

    def keep(self, asked: dict[str, str]) -> str:
        """Enter it."""
        values = _values(asked)
        made = serving.add(self.here, asked["name"], values.pop("kind"), by=self.user, reason=asked["reason"], **values)
        return f"{made.ref}: {made} is entered."


class ServiceEditPage(EnterPage):
    """Change how a service is looked at and what it gates, or put it away."""

    rules = {"get": "administer", "post": "administer"}
    word, back = "Change a service", "services"
    says = "It counts from the next look on."
    fields = (
        *SERVICE[:-1],
        Ask("active", "It is looked at", "yes", needed=False, begins=lambda page: page.row.active,
            help="Without it, it is put away: it gates nothing, and its history stays."),
        Ask("seen", kind="hidden", needed=False, begins=lambda page: page.row.fingerprint),
        REASON,
    )  # fmt: skip

    def begin(self, **kwargs: Any) -> None:
        """Look the service up."""
        key = kwargs["key"]
        mine = Service.objects.visible_to(self.user).select_related("experiment")
        row = mine.filter(experiment=self.here, pk=int(key[1:])).first()
        if row is None:
            raise NotVisible(f"There is no {self.here.name}/{key}, or you may not see it.")
        self.row = row

    def keep(self, asked: dict[str, str]) -> str:
        """Change it."""
        values = {**_values(asked), "active": bool(asked["active"])}
        serving.change(self.row, by=self.user, reason=asked["reason"], seen=asked["seen"], **values)
        return f"{self.row} is changed."


def _moment(name: str, text: str) -> datetime | None:
    """Return a time as a form sends it, in UTC; none where none was given."""
    if not text:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise Refused("Nothing was held.", [Problem(name, f"no time: {text[:40]}", "2026-12-01T06:00")]) from error
    return make_aware(found) if is_naive(found) else found


urlpatterns = [
    path("e/<slug:experiment>/holds/new/", HoldNewPage.as_view(), name="hold-new"),
    path("e/<slug:experiment>/limits/new/", LimitNewPage.as_view(), name="limit-new"),
    path("e/<slug:experiment>/waste-limits/new/", WasteLimitNewPage.as_view(), name="waste-limit-new"),
    path("e/<slug:experiment>/services/new/", ServiceNewPage.as_view(), name="service-new"),
    key_path("edit/", ServiceEditPage.as_view(), "service-edit", "v"),
]
