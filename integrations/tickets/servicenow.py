"""ServiceNow: tickets as incidents of its Table API (protocols 10.3)."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from core.errors import Problem
from integrations import http
from integrations.credentials import authorization
from integrations.errors import Refused, Unavailable, Unsure
from integrations.notices.choosing import address_problems
from integrations.tickets.base import TicketSeen

FIELDS = "sys_id,number,state"
RESOLVED, CLOSED = "6", "7"
STATES = {"1": "new", "2": "in progress", "3": "on hold", RESOLVED: "resolved", CLOSED: "closed", "8": "cancelled"}
_SAFE = re.compile(r"[A-Za-z0-9._-]+")  # `^` and `=` would be another query


class ServiceNow:
    """One instance, as one account."""

    # What an administrator sets; of the credential only the name.
    SETTINGS: Mapping[str, str] = {
        "url": "the instance, such as https://lab.service-now.com",
        "credential": "name of the credential: user:password, or a token",
        "group": "assignment group of new tickets",
    }
    SECRET = ("credential",)

    def __init__(self, url: str, credential: str, group: str = "") -> None:
        """Take where it is, the name of the credential, and who gets the tickets."""
        self.url = url.rstrip("/")
        self.credential = credential
        self.group = group

    @staticmethod
    def problems(url: str, credential: str, group: str) -> list[Problem]:
        """Return what is wrong with an address that nobody calls, or no credential."""
        found = address_problems("desk_url", url)
        if not credential:
            found.append(Problem("credential", "is empty", "the name of a credential, not the secret itself"))
        return found

    def open(self, correlation_id: str, short_description: str, description: str) -> TicketSeen:
        """Return the ticket of this correlation id; look for it first, so that a lost answer makes no second one."""
        if not _SAFE.fullmatch(correlation_id):
            raise Refused(f"{correlation_id!r} cannot be a correlation id.")
        query = {"sysparm_query": f"correlation_id={correlation_id}", "sysparm_fields": FIELDS, "sysparm_limit": "1"}
        found = self._ask("GET", "", query=query)
        if not isinstance(found, list):
            raise Unsure(f"{self.url} answered a search with something else than a list.")
        if found:
            return self._seen(found[0])
        wanted = {
            "correlation_id": correlation_id, "short_description": short_description[:160], "description": description,
            "urgency": "3", "impact": "3",
        }  # fmt: skip
        return self._seen(self._ask("POST", "", {**wanted, **({"assignment_group": self.group} if self.group else {})}))

    def note(self, sys_id: str, text: str, *, mark: str, again: bool = False) -> None:
        """Add a work note that bears a mark; when it is tried again, look first whether it stands there already."""
        if again:
            query = {"sysparm_fields": "work_notes", "sysparm_display_value": "true"}
            if mark in str(self._one(sys_id, query).get("work_notes", "")):
                return
        self._ask("PATCH", sys_id, {"work_notes": f"{text}\n[{mark}]"})

    def close(self, sys_id: str, text: str) -> TicketSeen:
        """Resolve a ticket with a closing note; one that is resolved or closed stays as it is."""
        before = self._one(sys_id, {"sysparm_fields": FIELDS})
        if str(before.get("state")) in (RESOLVED, CLOSED):
            return self._seen(before)
        wanted = {"state": RESOLVED, "close_code": "Solved (Permanently)", "close_notes": text}
        return self._seen(self._ask("PATCH", sys_id, wanted))

    def read(self, sys_id: str) -> TicketSeen | None:
        """Return a ticket, or None where there is none."""
        try:
            return self._seen(self._one(sys_id, {"sysparm_fields": FIELDS}))
        except _NotThere:
            return None

    def _one(self, sys_id: str, query: dict[str, str]) -> dict[str, Any]:
        found = self._ask("GET", sys_id, query=query)
        if not isinstance(found, dict):
            raise Unsure(f"{self.url} answered for a ticket with something else.")
        return found

    def _ask(
        self, method: str, sys_id: str, body: dict[str, str] | None = None, *, query: dict[str, str] | None = None
    ) -> Any:
        url = f"{self.url}/api/now/table/incident" + (f"/{quote(sys_id, safe='')}" if sys_id else "")
        headers = {
            "Accept": "application/json", "Content-Type": "application/json",
            "Authorization": authorization(self.credential),
        }  # fmt: skip
        data = None if body is None else json.dumps(body).encode()
        answer = http.call(method, url, body=data, headers=headers, query=query)
        said = f"{self.url} answered {answer.status}"
        if answer.status in (401, 403):  # an administrator mends it, and nothing was done
            raise Unavailable(f"{said}: the credential {self.credential} is not accepted.", 300)
        if answer.status == 404 and sys_id:
            raise _NotThere(f"{said}: there is no such ticket.")
        if answer.status in {429, 503}:
            raise Unavailable(f"{said}.", answer.retry_after)
        if answer.status >= 500:
            raise Unsure(f"{said}: nobody knows what was done.")
        if not 200 <= answer.status < 300:
            raise Refused(f"{said}: {_words(answer)}")
        document = answer.json()
        if not isinstance(document, dict) or "result" not in document:
            raise Unsure(f"{said}, but without a result.")
        return document["result"]

    def _seen(self, row: Any) -> TicketSeen:
        if not isinstance(row, dict) or not row.get("sys_id") or not row.get("number"):
            raise Unsure(f"{self.url} answered with a ticket without key or number.")
        key, state = str(row["sys_id"]), str(row.get("state", ""))
        link = f"{self.url}/nav_to.do?uri=incident.do?sys_id={quote(key, safe='')}"
        return TicketSeen(key, str(row["number"]), STATES.get(state, state), link)


class _NotThere(Refused):
    """The desk has no such ticket."""


def _words(answer: http.Answer) -> str:
    try:
        error = answer.json()["error"]
        return f"{error['message']}: {error.get('detail') or ''}"[:400]
    except (Unsure, KeyError, TypeError, AttributeError):
        return answer.body[:200].decode(errors="replace")
