"""Sends one request for every operation of the API to the two experiments of the tests' world."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from django.conf import settings
from django.urls import reverse
from rest_framework.test import APIClient

from experiments.logic import tokens
from poms_site.api.describing import JSON, operation_name
from poms_site.api.examples import MOMENT, Example
from submissions.logic.reporting import report_token
from tests.contracts import test_page_access
from tests.contracts.test_access import BODIES, TABLE, _address, _filled
from tests.contracts.who import Expected, expectations
from tests.contracts.world import Corner

NOT_DESCRIBED = ("schema", "browse", "nowhere", "old-call", "old-call-page")
BESIDE = ("me", "list", "file", "made", "asked", "experiments", "overview", "events", "administered", "overseen", "selection",
          "report")  # fmt: skip
# What a question asks for in its query string.
QUERIES: dict[str, dict[str, str]] = {
    "jobs-over-time": {"experiment": "demo", "span": "day"}, "files-story": {"experiment": "demo", "name": "raw1-demo"},
    "data-show": {"experiment": "demo", "name": "raw"}, "data-read": {"experiment": "demo"},
    "outbox-list": {"experiment": "demo"},
    "data-query": {"experiment": "demo", "dimensions": "file_name raw1-demo"},
    "outcomes-list": {"selection": "00000000-0000-4000-8000-000000000000"},
    "uploads-content": {"experiment": "demo", "name": "note.txt"}, "uploads-remove": {"experiment": "demo", "name": "note.txt"},
    "jobs-export": {"experiment": "demo", "to": "csv"}, "jobs-compare": {"with": "{job}"},
    "events-list": {"experiment": "demo"}, "guards-list": {"system": "local"}, "stops-list": {}, "me": {}, "loops-list": {},
    "tokens-list": {}, "experiments-list": {}, "overview": {}, "troubles-list": {}, "audit-verify": {}, "batch-systems-list": {},
    "notices-list": {}, "notices-choices": {},
}  # fmt: skip
# What is sent where the table of access sends something that is refused, or is no good example.
SENT: dict[str, dict[str, Any]] = {
    "jobtypes-restore": {"version": 1, "reason": "as it was"},
    "setups-restore": {"version": 1, "reason": "as it was"},
    "templates-restore": {"version": 1, "reason": "as it was"},
    "requests-check": {},
    "requests-confirm": {},
    "reports-list": {"uuid": "{uuid}", "job": "1.0@local", "state": "processing", "at": 1.7e9},
}
# What is done before, so that there is something to do.
BEFORE: dict[str, tuple[str, ...]] = {
    "campaigns-unarchive": ("campaigns-archive",), "campaigns-unboost": ("campaigns-boost",),
    "services-no_downtime": ("services-downtime",), "schedules-resume": ("schedules-pause",),
    "stops-go_on": ("stops-list",), "stops-all-go_on": ("stops-all",), "uploads-content": ("uploads-list",),
    "uploads-remove": ("uploads-list",), "jobtypes-restore": ("jobtypes-detail",), "setups-restore": ("setups-detail",),
    "templates-restore": ("templates-detail",), "exclusions-exclude": ("exclusions-release",), "requests-unwatch": ("requests-watch",),
    "campaigns-unwatch": ("campaigns-watch",), "stops-list GET": ("stops-list",),
}  # fmt: skip
FILE = b"read me\n"


def described() -> dict[str, Expected]:
    """Return the lines of the table of access that the description has, by operation."""
    found = {}
    for line in expectations(TABLE).values():
        if line.route not in NOT_DESCRIBED:
            found[operation_name(line.route, line.method)] = line
    return found


@dataclass
class Asking:
    """Asks as somebody, in one corner of the world."""

    corner: Corner
    user: Any
    client: APIClient = field(default_factory=lambda: APIClient(raise_request_exception=False))

    def before(self, line: Expected) -> None:
        """Do what has to be done before an operation."""
        for route in BEFORE.get(f"{line.route} {line.method}", BEFORE.get(line.route, ())):
            if route == line.route and line.method != "GET":
                continue
            first = next(entry for entry in described().values() if entry.route == route and entry.method != "GET")
            answer, _ = self.ask(first)
            assert answer.status_code < 300, (route, answer.content)

    def ask(self, line: Expected) -> tuple[Any, Example]:
        """Send the request of an operation; return the answer, and the request as an example."""
        self.client.force_authenticate(self.user)
        query = dict(self.query(line))
        url, path = self.address(line)
        body: Any = None if line.method == "GET" else self.body(line)
        data, kind, headers = json.dumps(body).encode() if body is not None else b"", JSON, {}
        if line.route == "uploads-list" and line.method == "POST":
            query, data, kind, body = (
                {"experiment": "demo", "name": "note.txt"},
                FILE,
                "application/octet-stream",
                FILE.decode(),
            )
        if line.about == "report":
            headers["X-Poms-Submission-Token"] = report_token(str(self.corner.objects["running"].uuid))
        answer = self.client.generic(
            line.method, f"{url}?{urlencode(query)}" if query else url, data, kind, headers=headers
        )
        return answer, Example(path=path, query=query, body=body)

    def query(self, line: Expected) -> dict[str, str]:
        """Return what stands in its query string."""
        asked = QUERIES.get(line.route, {"experiment": "demo"} if line.about in ("list", "file") else {})
        if line.method != "GET" and line.route != "uploads-remove":
            return {}
        return {name: self.corner.ref("job") if value == "{job}" else value for name, value in asked.items()}

    def address(self, line: Expected) -> tuple[str, dict[str, str]]:
        """Return its address, and what fills the places in it."""
        name = line.about.partition("+")[0]
        if line.route == "tokens-revoke":
            path = {"pk": str(tokens.issue(self.user, "mine")[0].pk)}
        elif line.route == "troubles-retry":
            path = {"key": str(test_page_access.a_trouble())}
        elif name == "service":
            path = {} if line.route.endswith("-list") else {"name": "local"}
        elif name in BESIDE:
            path = {}
        else:
            url = _address(line.route, self.corner, name, missing=False)
            path = {key: str(value) for key, value in _kwargs(url).items()}
        return reverse(line.route, kwargs=path), path

    def body(self, line: Expected) -> dict[str, Any]:
        """Return what it sends."""
        made = SENT.get(line.route, BODIES.get(line.route, {"reason": "to see who may"}))
        if line.route in ("campaigns-watch", "campaigns-unwatch", "uploads-remove"):
            made = {}
        body: dict[str, Any] = json.loads(
            _filled(json.dumps(made), self.corner).replace("to see who may", "it is needed")
        )
        if "uuid" in body:
            body["uuid"] = str(self.corner.objects["running"].uuid)
        if line.about.startswith("made"):
            body["experiment"] = "demo"
        if line.route in ("requests-list", "templates-list"):
            body["definition"] = self.corner.definition
        if line.route in ("campaigns-import", "campaigns-plan", "campaigns-apply"):
            body["text"] = self.corner.definition
        return body


def _kwargs(url: str) -> dict[str, Any]:
    from django.urls import resolve

    return dict(resolve(url).kwargs)


# --- Examples that are the same every time ---------------------------------------------------------------------

_REF = re.compile(r"\b(demo|other|all)/([a-z])(\d+)\b")
_BARE = re.compile(r"^([a-z])(\d+)$")


@dataclass
class Settled:
    """Makes what differs from run to run the same: numbers of references, moments, secrets, digests."""

    seen: dict[tuple[str, str], int] = field(default_factory=dict)

    def settle(self, value: Any, name: str = "") -> Any:
        """Return a value with nothing in it that the next run would have otherwise."""
        if isinstance(value, dict):
            return {self.settle(key): self.settle(inner, str(key)) for key, inner in value.items()}
        if isinstance(value, list):
            return [self.settle(inner, name) for inner in _few(value)]
        if isinstance(value, str):
            return self._text(value)
        if name in ("id", "key", "pk", "txid", "stage_id") and isinstance(value, int):
            return 1
        return value

    def _text(self, text: str) -> str:
        text = text.replace(str(settings.BASE_DIR), "/opt/poms")
        text = re.sub(r"/tmp/[^\s\"']*/no daemon", "/var/lib/poms/batch", text)
        text = _REF.sub(lambda m: f"{m[1]}/{m[2]}{self._number(m[2], m[3])}", text)
        text = re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)", "2026-12-01T08:00:00Z", text) if not (
            text.startswith(("2999", "2036"))) else text  # fmt: skip
        text = re.sub(
            r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b",
            "6f9619ff-8b86-4d01-b42d-00cf4fc964ff",
            text,
        )
        text = re.sub(r"\b[0-9a-f]{40,64}\b", "0f" * 20, text)
        return re.sub(r"poms_[A-Za-z0-9_-]{20,}", "poms_…", text)

    def _number(self, letter: str, number: str) -> int:
        known = [n for kind, n in self.seen if kind == letter]
        if number not in known:
            self.seen[letter, number] = len(known) + 1
        return self.seen[letter, number]


def _few(values: list[Any]) -> list[Any]:
    """Return the first of many alike, and others only for fields that it has not: an example is to be read."""
    kept: list[Any] = []
    seen: set[str] = set()
    for value in values:
        if not isinstance(value, dict):
            return values[:10]
        filled = {key for key, inner in value.items() if inner not in (None, "", [], {})}
        if not kept or not filled <= seen:
            kept.append(value)
            seen |= filled
    return kept


def settled(found: Example) -> Example:
    """Return an example that is the same every time."""
    once = Settled()
    kept = found.document()
    return Example(
        **{
            name: once.settle(value) if name in ("path", "query", "body", "answer") else value
            for name, value in kept.items()
        }
    )


__all__ = ["MOMENT", "Asking", "described", "settled"]
