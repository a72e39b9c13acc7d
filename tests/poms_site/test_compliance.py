"""The compliance report: each section from the running system, as text and JSON, without a secret."""

from __future__ import annotations

import json
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from experiments.logic import sessions, tokens
from poms_site.compliance.section import Section, facts
from tests import builders

pytestmark = pytest.mark.django_db
NAMES = ["sign-on", "consent", "sessions", "roles", "service-accounts", "tokens", "certificates", "acts", "ledger", "retention",
         "backup", "clock", "contact", "outgoing", "software", "asvs"]  # fmt: skip


def report(**options: Any) -> dict[str, Any]:
    out = StringIO()
    call_command("compliance-report", json=True, stdout=out, **options)
    return {one["name"]: one for one in json.loads(out.getvalue())["sections"]}


def told(section: dict[str, Any]) -> dict[str, str]:
    return {row["what"]: row["is"] for row in section["rows"]}


def test_every_section_is_told_from_the_running_system(cast, settings):
    settings.CONSENT_TEXT, settings.SESSION_HOURS, settings.KEEP_JOBS_DAYS = "You consent.", 7.0, 45
    settings.INCIDENT_CONTACT, settings.SECURITY_TXT = "soc@example.org", "Contact: mailto:soc@example.org"
    settings.OUTGOING_HOSTS = ["hooks.example.org"]
    account = builders.service_account(cast, by=cast.administrator)
    _, secret = tokens.issue(cast.operator, "nightly script")
    for _ in range(2):
        sessions.accept(cast.shifter, sessions.banner(), "192.0.2.1")
    sessions.signed_in(cast.shifter, how="by the provider", address="192.0.2.1")
    found = report()
    assert list(found) == NAMES
    assert "You consent." in found["consent"]["about"]
    (accepted,) = found["consent"]["rows"]
    assert (accepted["who"], accepted["times"], accepted["present"]) == ("shifter", 2, "yes")
    assert told(found["sessions"])["longest"] == "7 h"
    (service,) = found["service-accounts"]["rows"]
    assert (service["name"], service["owner"], service["purpose"]) == (
        account.user.username,
        "experimenter",
        "keeps up",
    )
    assert (service["last use"], service["state"]) == ("never", "works")
    (token,) = found["tokens"]["rows"]
    assert (token["owner"], token["purpose"], token["may"]) == (
        "operator",
        "nightly script",
        "everything of its account",
    )
    assert {"who": "user:shifter", "of": "session", "did": "sign_in", "times": 1} in [
        {key: row[key] for key in ("who", "of", "did", "times")} for row in found["acts"]["rows"]
    ]
    assert told(found["retention"])["jobs"] == "45 days from their end"
    assert told(found["backup"])["archiving"] in ("on", "off", "always")
    assert told(found["clock"])["zone"] == "UTC"
    assert told(found["contact"])["incidents"] == "soc@example.org"
    assert told(found["contact"])["security txt"] == "Contact: mailto:soc@example.org"
    assert told(found["outgoing"])["hosts that people may name"] == "hooks.example.org"
    software = {row["name"].lower(): row for row in found["software"]["rows"]}
    assert {"poms", "python", "postgresql", "django", "requests"} <= set(software)
    assert software["django"]["version"].startswith("5.")
    assert len(found["asvs"]["rows"]) > 100
    assert secret not in json.dumps(found)
    assert settings.SECRET_KEY not in json.dumps(found)


def test_what_has_ended_is_no_token_that_works(cast):
    token, _ = tokens.issue(cast.operator, "old")
    tokens.revoke(token)
    assert report()["tokens"]["rows"] == []


def test_as_text_it_is_the_same_in_tables(cast):
    tokens.issue(cast.operator, "nightly \x1b[31mscript")
    out = StringIO()
    call_command("compliance-report", days=7, stdout=out)
    text = out.getvalue()
    assert text.count("\n## ") == len(NAMES)
    assert "nightly  [31mscript" in text
    assert "\x1b" not in text


@pytest.mark.parametrize("days", [0, -1, 100_000])
def test_days_that_are_none_are_refused(cast, days):
    with pytest.raises(CommandError, match="say 1 to"):
        call_command("compliance-report", days=days)


def test_a_table_is_as_wide_as_its_words():
    lines = list(Section("x", "X", facts(a_b=True, c=[], d=["e", "f"], longer_name="")).lines())
    assert lines == [
        "## X",
        "what         is",
        "a b          yes",
        "c            none",
        "d            e, f",
        "longer name  none",
    ]
    assert list(Section("x", "X", [], "why").lines()) == ["## X", "why", "(none)"]
