"""Kerberos tickets: a cache in a file, filled from a keytab or by a person."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from integrations.catalogue.declared import Setting
from integrations.credentials.base import Life, moment


class Kerberos:
    """Kind `kerberos`. Without a keytab in the settings, POMS only looks at the cache."""

    word = "ticket"
    reads = "tickets"
    settings: Mapping[str, Setting] = {
        "keytab": Setting("the keytab from which kinit fills the cache"),
        "principal": Setting("whose ticket it is, such as demo/host.example.org@EXAMPLE.ORG"),
    }

    def life(self, found: Mapping[str, Any]) -> Life:
        """Return the life of the ticket by which others are got; without one, of the ticket that lasts longest."""
        tickets = found["tickets"]
        granting = [one for one in tickets if one["server"].startswith("krbtgt/")]
        own = [one for one in granting if one["server"] == f"krbtgt/{one['realm']}@{one['realm']}"]
        best = max(own or granting or tickets, key=lambda one: one["end"], default=None)
        if best is None:
            return Life(unusable="there is no ticket in it")
        return Life(moment(best["end"]), moment(best["start"]))

    def environment(self, path: str, settings: Mapping[str, str]) -> dict[str, str]:
        """Return where the cache is."""
        return {"KRB5CCNAME": f"FILE:{path}"}

    def renewal(self, path: str, settings: Mapping[str, str]) -> list[str]:
        """Return kinit with the keytab."""
        if not settings.get("keytab") or not settings.get("principal"):
            return []
        return ["kinit", "-k", "-t", settings["keytab"], "-c", f"FILE:{path}", settings["principal"]]
