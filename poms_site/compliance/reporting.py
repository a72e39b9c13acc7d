"""The compliance report: every section in order, from the running system."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from core.clock import now
from poms_site.compliance import people, running
from poms_site.compliance.section import Section


def report(days: int) -> Iterator[Section]:
    """Give the sections; `days` is how far back acts and acceptances are told."""
    since = now() - timedelta(days=days)
    yield people.sign_on()
    yield people.consent(since)
    yield people.sessions()
    yield people.roles()
    yield people.service_accounts()
    yield people.tokens()
    yield people.certificates()
    yield running.acts(since)
    yield running.ledger()
    yield running.retention()
    yield running.backup()
    yield running.clock()
    yield running.contact()
    yield running.outgoing()
    yield running.software()
    yield running.checklist()
