"""Notices: one's own, how one wants to be told, and for administrators what an experiment sends and where to."""

from __future__ import annotations

from typing import Any
from zoneinfo import available_timezones

from django.conf import settings
from django.contrib import messages
from django.db.models import Prefetch, Q
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import path, reverse

from core.errors import PomsError, Problem, Refused
from experiments.rules import SIGNED_IN
from integrations.logbooks import book
from integrations.models import Desk, LogbookEntry, Notice, Ticket, Webhook
from integrations.notices import choosing, outbox
from integrations.notices.kinds import HOW, KINDS
from integrations.notices.models import FAILED, KEPT, MAIL, SENT, WEBHOOK, WITHHELD
from integrations.tickets import desk
from poms_site.overview.outgoing import messages_about, try_again
from poms_site.overview.words import count
from poms_site.web import errors
from poms_site.web.acting import typed
from poms_site.web.listing import Filter, by, listed
from poms_site.web.page import Page


class NoticesPage(Page):
    """What one was told, newest first."""

    rules = {"get": SIGNED_IN, "post": SIGNED_IN}
    place = "notices"
    help = "/docs/guide/notices/#the-inbox"
    api = "notices-list"

    def get(self, request: HttpRequest) -> HttpResponse:
        """Show a page of them."""
        rows = Notice.objects.visible_to(request.user).select_related("experiment")
        filters = (
            Filter("unread", "unread", lambda rows, _: rows.filter(read_at=None), [("1", "only unread")]),
            Filter("kind", "kind", by("kind"), [(kind.key, kind.word) for kind in KINDS]),
            Filter("experiment", "experiment", by("experiment__name")),
        )
        return self.show("web/notices.html", {"list": listed(request, rows, filters)})

    def post(self, request: HttpRequest) -> HttpResponse:
        """Mark one, or all, as read."""
        key = request.POST.get("key", "")
        outbox.mark_read(request.user, [int(key)] if key.isdecimal() and len(key) < 19 else None if not key else [])
        return HttpResponseRedirect(reverse("notices"), status=303)


class ChoicesPage(Page):
    """How one wants to be told: per kind at once, once a day, or not; where to."""

    rules = {"get": SIGNED_IN, "post": SIGNED_IN}
    place = "notices"
    help = "/docs/guide/notices/#choosing"

    def get(self, request: HttpRequest) -> HttpResponse:
        """Show the form."""
        row, hook = choosing.choices_of(request.user), choosing.webhook_of(request.user)
        given = {"zone": row.zone, "digest_hour": row.digest_hour, "webhook": hook.url if hook else ""}
        return self._form({kind.key: row.how(kind.key) for kind in KINDS}, given)

    def post(self, request: HttpRequest) -> HttpResponse:
        """Keep what was chosen; a second button asks for a test."""
        given = typed(request, "zone", "digest_hour", "webhook")
        kinds = {kind.key: value for kind in KINDS if (value := request.POST.get(f"kind-{kind.key}", ""))}
        try:
            if given["digest_hour"] and not given["digest_hour"].isdecimal():
                wrong = Problem("digest_hour", f"{given['digest_hour'][:20]} is no hour", "0 to 23")
                raise Refused("Your choices were not kept.", [wrong])
            choosing.choose(
                request.user, kinds=kinds, digest_hour=int(given["digest_hour"][:4]) if given["digest_hour"] else None,
                zone=given["zone"] or None, webhook=given["webhook"] if "webhook" in request.POST else None,
            )  # fmt: skip
        except PomsError as error:
            return self._form(kinds, given, error)
        if "test" in request.POST:
            user: Any = request.user
            outbox.enter_test(user)
            there = {"mail": user.email and settings.MAIL_HOST, "webhook": choosing.webhook_of(user)}
            ways = [word for word, has in there.items() if has]
            where = f" and goes out by {' and '.join(ways)}" if ways else ""
            messages.success(request, f"Your choices are kept. A test is in your inbox{where}.")
        else:
            messages.success(request, "Your choices are kept.")
        return HttpResponseRedirect(reverse("notice-choices"), status=303)

    def _form(self, kinds: dict[str, str], given: dict[str, Any], error: PomsError | None = None) -> HttpResponse:
        hook = choosing.webhook_of(self.request.user)
        context = {
            "kinds": [(kind, kinds.get(kind.key, kind.default)) for kind in KINDS], "ways": HOW.items(),
            "given": given, "hours": range(24), "hour": str(given["digest_hour"]),
            "zones": sorted(zone for zone in available_timezones() if "/" in zone or zone == "UTC"),
            "hook": hook, "mail_server": bool(settings.MAIL_HOST), "error": error and error.detail,
            "problems": error.problems if error else (),
        }  # fmt: skip
        return self.show("web/notice_choices.html", context, status=422 if error else 200)


class OutboxPage(Page):
    """What goes out about an experiment: webhook, service desk, logbook, and the messages that wait or failed."""

    rules = {"get": "administer", "post": "administer"}
    place = "outbox"
    help = "/docs/operate/notices/#the-outbox"

    def get(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        """Show it."""
        return self._page()

    def post(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        """Set the webhook, the service desk or the logbook, or let what failed be tried again."""
        asked = typed(
            request, "do", "reason", "url", "desk_url", "credential", "group", "book_url", "category", "system"
        )
        try:
            if asked["do"] == "webhook":
                choosing.set_webhook(self.here, asked["url"], by=request.user, reason=asked["reason"])
                said = "The webhook is set." if asked["url"] else "Notices go to no webhook any more."
            elif asked["do"] == "desk":
                desk.set_desk(
                    self.here, url=asked["desk_url"], credential=asked["credential"], group=asked["group"],
                    by=request.user, reason=asked["reason"], system=asked["system"] or "servicenow",
                )  # fmt: skip
                said = "The service desk is set." if asked["desk_url"] else "No tickets are opened any more."
            elif asked["do"] == "book":
                book.set_book(
                    self.here, url=asked["book_url"], credential=asked["credential"], category=asked["category"],
                    by=request.user, reason=asked["reason"], system=asked["system"] or "ecl",
                )  # fmt: skip
                said = "The logbook is set." if asked["book_url"] else "Entries go to no logbook any more."
            elif asked["do"] == "again":
                again = try_again(self.here, request.user)
                said = f"{count(again, 'message')} will be tried again."
            else:
                raise Refused("There is nothing to do.", [Problem("do", "is none of webhook, desk, book, again")])
        except PomsError as error:
            return self._page(asked, error)
        messages.success(request, said)
        return HttpResponseRedirect(reverse("outbox", args=[self.here.name]), status=303)

    def _page(self, asked: dict[str, str] | None = None, error: PomsError | None = None) -> HttpResponse:
        hook = Webhook.objects.filter(experiment=self.here).first()
        place = Desk.objects.filter(experiment=self.here, active=True).first()
        kept = book.book_of(self.here)
        given = asked if asked and asked["do"] in ("webhook", "desk", "book") else {}
        ways = [(MAIL, "mail"), (WEBHOOK, "webhook")]
        outcomes = [(FAILED, "failed"), (KEPT, "kept"), (SENT, "sent"), (WITHHELD, "withheld"), ("waits", "waits")]
        filters = (
            Filter("outcome", "outcome", lambda rows, v: rows.filter(outcome="" if v == "waits" else v), outcomes),
            Filter("channel", "by", by("channel"), ways),
            Filter("to", "to", by("recipient__username")),
        )
        # A digest is also about other experiments, which are not this administrator's to read.
        told = Prefetch("notices", Notice.objects.filter(Q(experiment=self.here) | Q(experiment=None)))
        rows = messages_about(self.here, self.request.user).select_related("recipient", "hook").prefetch_related(told)
        context = {
            "list": listed(self.request, rows, filters), "hook": hook, "desk": place, "asked": asked or {},
            "url": given.get("url") if given.get("do") == "webhook" else (hook.url if hook else ""),
            "desk_given": given if given.get("do") == "desk" else {
                "desk_url": place.url if place else "", "credential": place.credential if place else "",
                "group": place.group if place else "", "system": place.system if place else "",
            },
            "book_given": given if given.get("do") == "book" else {
                "book_url": kept.url if kept else "", "credential": kept.credential if kept else "",
                "category": kept.category if kept else "", "system": kept.system if kept else "",
            },
            "desks": list(desk.SYSTEMS), "books": list(book.SYSTEMS),
            "entries": LogbookEntry.objects.filter(experiment=self.here).exclude(error="").order_by("-pk")[:20],
            "tickets": Ticket.objects.filter(experiment=self.here).exclude(error="").order_by("-pk")[:20],
            "mail_server": settings.MAIL_HOST, "error": error and errors.detail_of(error),
            "problems": error.problems if error else (),
            "stuck": messages_about(self.here, self.request.user).filter(outcome__in=(FAILED, KEPT)).count(),
        }  # fmt: skip
        return self.show("web/outbox.html", context, status=errors.status_of(error) if error else 200)


urlpatterns = [
    path("notices/", NoticesPage.as_view(), name="notices"),
    path("account/notices/", ChoicesPage.as_view(), name="notice-choices"),
    path("e/<slug:experiment>/outbox/", OutboxPage.as_view(), name="outbox"),
]
