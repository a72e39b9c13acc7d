"""How an installation is configured: its settings, as others will meet them."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from django.conf import settings
from django.core.checks import ERROR, run_checks
from django.core.checks import WARNING as WORTH_A_WARNING
from django.http.request import validate_host

from poms_site.doctor.finding import BROKEN, WARNING, WELL, Finding
from poms_site.secret import made_up

LEAST_SECRET = 50
LOCAL_NAMES = {"127.0.0.1", "localhost", "[::1]", "testserver"}


def configuration() -> Iterator[Finding]:
    """Say what of the settings is unsafe or cannot work; behind TLS others reach it, so more is asked there."""
    found = [*_secret(), *_debugging(), *_names(), *_system_checks()]
    yield from found
    if not found:
        yield Finding("settings", WELL, "The settings are safe for those who reach the site.")


def _secret() -> Iterator[Finding]:
    grave = BROKEN if settings.SECURE_SSL_REDIRECT else WARNING
    if made_up(settings.STATE_DIR) == settings.SECRET_KEY:
        if settings.SECURE_SSL_REDIRECT:  # on one laptop it is what is meant to be
            yield Finding(
                "settings", BROKEN, "POMS_SECRET_KEY is not set, so each host makes up a key of its own.",
                "Put 50 random characters into a file that POMS_SECRET_KEY_FILE names, the same on all hosts.",
            )  # fmt: skip
    elif len(settings.SECRET_KEY) < LEAST_SECRET:
        text = f"POMS_SECRET_KEY has {len(settings.SECRET_KEY)} characters, which can be guessed."
        yield Finding("settings", grave, text, f"Make one of {LEAST_SECRET} or more random characters.")


def _debugging() -> Iterator[Finding]:
    grave = BROKEN if settings.SECURE_SSL_REDIRECT else WARNING
    if settings.DEBUG:
        text = "POMS_DEBUG is on: pages of errors show settings and data to whoever makes one."
        yield Finding("settings", grave, text, "Leave POMS_DEBUG unset.")
    if settings.DEMO_ACCOUNTS is not None and settings.SECURE_SSL_REDIRECT:
        text = "POMS_DEMO_ACCOUNTS is set: the sign-in page shows accounts with their passwords."
        yield Finding("settings", BROKEN, text, "Leave POMS_DEMO_ACCOUNTS unset, and end those accounts.")


def _names() -> Iterator[Finding]:
    names = set(settings.ALLOWED_HOSTS)
    if "*" in names:
        text = "POMS_HOSTS allows any name, so that links in mails may lead to where a caller wants."
        yield Finding("settings", WARNING, text, "Set POMS_HOSTS to the names of the site.")
    elif settings.SECURE_SSL_REDIRECT and names <= LOCAL_NAMES:
        text = "POMS_HTTPS is on, but the site answers under no name that others know."
        yield Finding("settings", BROKEN, text, "Set POMS_HOSTS to the names of the site.")
    elif names - LOCAL_NAMES and not settings.SECURE_SSL_REDIRECT:
        text = "POMS_HTTPS is off, so cookies and tokens go to others in the clear."
        yield Finding("settings", WARNING, text, "Put a proxy with TLS in front, and set POMS_HTTPS=1.")
    host = urlsplit(settings.PUBLIC_URL).hostname or ""
    if settings.PUBLIC_URL and not validate_host(host, settings.ALLOWED_HOSTS):
        text = f"POMS_PUBLIC_URL leads to {host or 'no host'}, a name under which the site does not answer."
        yield Finding("settings", BROKEN, text, "Add the name to POMS_HOSTS, or mend POMS_PUBLIC_URL.")


def _system_checks() -> Iterator[Finding]:
    for message in run_checks():
        if message.level >= WORTH_A_WARNING and not message.is_silenced():
            level = BROKEN if message.level >= ERROR else WARNING
            yield Finding("settings", level, message.msg, message.hint or "See `manage.py check`.")
