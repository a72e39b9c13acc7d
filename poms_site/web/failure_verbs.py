"""What can be done from pages to failures and to the rules that route them."""

from __future__ import annotations

from integrations.logbooks import book
from integrations.tickets import desk
from poms_site.web.verb import Ask, Verb
from submissions.logic import escalating, routing
from submissions.models import Failure


def _owners(failure: Failure) -> list[tuple[str, str]]:
    """Return to whom a failure may go: the experiment, or one of the services."""
    services = {row.name: str(row) for row in routing.services_of(failure.experiment).values()}
    return [(failure.experiment.name, f"{failure.experiment.name} itself"), *sorted(services.items())]


def _route_says(failure: Failure) -> str:
    return f"It goes to {failure.owner} now. What you say stands; rules say nothing more of this one."


FIX = Ask("fix", "What helps", "long", needed=False, begins=lambda f: f.fix,
          help="In words that a shifter can follow. Empty: nothing is known.")  # fmt: skip
OWNER = Ask("owner", "Whose it is", "one", choices=_owners, begins=lambda f: f.service.name if f.service else "")
LINK = Ask("link", "Address of the ticket", needed=False, begins=lambda f: f.ticket_link,
           help="Of one that was opened elsewhere. Empty: none.")  # fmt: skip

FAILURE_VERBS: tuple[Verb, ...] = (
    Verb("f", "fix", "Say what helps", "watch", lambda f: "Everybody who meets this failure reads it.",
         lambda f, user, reason, asked: routing.explain(f, asked.get("fix", ""), by=user, reason=reason),
         lambda f: True, main=True, reason=False, asks=(FIX,)),
    Verb("f", "route", "Route", "operate", _route_says,
         lambda f, user, reason, asked: routing.give(f, asked.get("owner", ""), by=user, reason=reason),
         lambda f: True, asks=(OWNER,)),
    Verb("f", "ticket", "Open a ticket", "watch",
         lambda f: f"A ticket about {f.ref} is opened in the service desk of {f.experiment.name}, once.",
         lambda f, user, reason, asked: escalating.open_ticket(f, by=user, reason=reason) and None,
         lambda f: desk.ticket_of(f.ref) is None and bool(desk.open_for([f.experiment_id]))),
    Verb("f", "link", "Link a ticket", "watch", lambda f: "Its address stands on the page of the failure.",
         lambda f, user, reason, asked: routing.link(f, asked.get("link", ""), by=user, reason=reason),
         lambda f: True, reason=False, asks=(LINK,)),
    Verb("f", "logbook", "Logbook entry", "watch",
         lambda f: "The reason is what stands there, with the figures of the failure and a link to it.",
         lambda f, user, reason, asked: escalating.write_entry(f, reason, by=user) and None,
         lambda f: book.book_of(f.experiment) is not None),
    Verb("o", "remove", "Remove", "administer", lambda row: f"Failures are not routed by it any more: {row}.",
         lambda row, user, reason, asked: routing.remove(row, by=user, reason=reason),
         lambda row: row.ended_at is None),
)  # fmt: skip
