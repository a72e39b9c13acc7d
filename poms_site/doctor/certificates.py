"""The TLS certificates of the https services that are configured: whether one has ended or ends soon."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from django.conf import settings

from core.clock import now
from integrations import certificates
from integrations.errors import Refused, Unavailable
from integrations.models import CatalogueLink, Service
from poms_site.doctor.finding import BROKEN, WARNING, WELL, Finding
from poms_site.overview import words

SOON = timedelta(days=14)
AT_ONCE = 8


def certificate_ends() -> Iterator[Finding]:
    """Ask each server once, several at a time: one that is silent must not keep the others waiting."""
    asked = configured()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for place, answer in zip(asked, pool.map(_ask, asked.values()), strict=True):
            yield judge_end(place, answer)


def configured() -> dict[str, tuple[str, bool]]:
    """Return by host and port an address there, and whether the installation's own settings name it."""
    ours = [settings.PUBLIC_URL, settings.OIDC_ISSUER, settings.FERRY_URL, *settings.FTS_SERVICES]
    theirs: list[object] = []  # not webhooks: those are somebody's own, and who has one is told when it fails
    for kept in (Service.objects.filter(active=True), CatalogueLink.objects.filter(active=True)):
        for given in kept.values_list("settings", flat=True):
            theirs += given.values()
    found: dict[str, tuple[str, bool]] = {}
    for url, trusted in (*((url, True) for url in ours), *((url, False) for url in theirs)):
        if isinstance(url, str) and url.startswith("https://") and (host := urlsplit(url).hostname):
            found.setdefault(f"{host}:{urlsplit(url).port or 443}", (url, trusted))
    return found


def judge_end(place: str, answer: datetime | Refused | Unavailable) -> Finding:
    """Judge what the server at a place has shown."""
    if not isinstance(answer, datetime):
        return Finding("certificates", WARNING, f"{answer}.", "See that the service runs and can be reached from here.")
    left = answer - now()
    when = f"{answer:%Y-%m-%d %H:%M} UTC"
    remedy = "Have whoever runs the service renew it."
    if left <= timedelta():
        return Finding("certificates", BROKEN, f"The certificate of {place} ended at {when}.", remedy)
    if left <= SOON:
        text = f"The certificate of {place} ends in {words.duration(left.total_seconds())}, at {when}."
        return Finding("certificates", WARNING, text, remedy)
    return Finding("certificates", WELL, f"The certificate of {place} is good until {when}.")


def _ask(what: tuple[str, bool]) -> datetime | Refused | Unavailable:
    """Return when the certificate ends, or why nobody knows; it touches no row, for it runs in a thread."""
    url, trusted = what
    try:
        return certificates.end_of(url, trusted=trusted)
    except (Refused, Unavailable) as error:
        return error
