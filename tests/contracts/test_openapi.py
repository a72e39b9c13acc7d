"""The description of the API: it is valid, complete, true, and every example in it is sent and answered so.

`POMS_KEEP_EXAMPLES=1 pytest tests/contracts/test_openapi.py` writes poms_site/api/examples.json anew; look at what changed.
"""

from __future__ import annotations

import os
import re
from functools import cache
from typing import Any

import pytest
from django.db import transaction
from django.urls import get_resolver
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.validation import validate_schema
from jsonschema import Draft202012Validator

from experiments.viewsets import ScopedViewSet
from integrations.batch.local import LocalBatch
from poms_site.api.describing import JSON, names, operation_name
from poms_site.api.examples import HOME, Example, examples, keep
from poms_site.api.taking import taken
from tests.contracts import checks
from tests.contracts.asking import NOT_DESCRIBED, Asking, described, settled
from tests.contracts.captain import appoint
from tests.contracts.world import populate

ANEW = "say POMS_KEEP_EXAMPLES=1 pytest tests/contracts/test_openapi.py, and look at poms_site/api/examples.json"


@cache
def description() -> dict[str, Any]:
    return SchemaGenerator().get_schema(public=True)  # type: ignore[no-untyped-call]


def operations() -> dict[str, dict[str, Any]]:
    """Return the operations of the description by name."""
    return {
        operation["operationId"]: operation
        for methods in description()["paths"].values()
        for method, operation in methods.items()
        if method in ("get", "post", "put", "patch", "delete")
    }


def schema_of(operation: dict[str, Any], status: int, kind: str) -> dict[str, Any]:
    """Return the schema of an answer; the statuses that are not told apart have the schema of a problem document."""
    answers = operation["responses"]
    content = answers.get(str(status), answers["default"])["content"]
    assert kind in content, (
        f"{operation['operationId']} answers {status} as {kind}; its description has {', '.join(content)}"
    )
    return {**content[kind]["schema"], "components": description()["components"]}


def off_schema(schema: dict[str, Any], value: Any) -> list[str]:
    """Return a sentence for each place in which a value is not as its schema says."""
    return [f"{error.json_path}: {error.message[:200]}" for error in Draft202012Validator(schema).iter_errors(value)]


def test_the_description_is_valid():
    validate_schema(description())  # type: ignore[no-untyped-call]


def test_the_description_has_every_operation():
    served = {
        operation_name(str(pattern.name), method)
        for address, pattern in checks.routes(get_resolver().url_patterns)
        if address.startswith("api/") and pattern.name not in NOT_DESCRIBED
        for method in checks.served(pattern.callback)
    }
    assert set(operations()) == served == set(described())


@pytest.fixture
def asking(cast, settings, tmp_path, monkeypatch, db):
    settings.LOCAL_SPOOL, settings.LOCAL_LAUNCHES = tmp_path / "no daemon", tmp_path / "launches"
    settings.STATE_DIR, settings.LOCAL_SHARED_ACCOUNT = tmp_path, True
    settings.PUBLIC_URL = "https://poms.example.org"
    # No daemon runs here, and examples are of a batch system that answers.
    monkeypatch.setattr(LocalBatch, "log", lambda system, *asked: {"text": "event 1\n", "total": 8})
    monkeypatch.setattr(LocalBatch, "find", lambda system, uuids: {uuid: ["1.0@local"] for uuid in uuids})
    return Asking(populate(cast).own, appoint(cast))


def test_every_example_is_sent_and_answered_as_described(asking, monkeypatch):
    """The request fits its schema, status and body are those of the example, and what is read is what is described."""
    found: dict[str, Example] = {}
    told: dict[str, tuple[Any, list[Any]]] = {}
    read: list[Any] = []
    body = ScopedViewSet.body
    monkeypatch.setattr(
        ScopedViewSet, "body", lambda view, form, **more: (read.append(form), body(view, form, **more))[1]
    )
    for name, line in described().items():
        with transaction.atomic():
            asking.before(line)
            read.clear()
            answer, sent = asking.ask(line)
            kind = answer.headers["Content-Type"].partition(";")[0]
            content = b"".join(answer.streaming_content) if answer.streaming else answer.content
            transaction.set_rollback(True)
        json_ = kind.endswith("json")
        text = answer.json() if json_ else content.decode() if kind.startswith("text/") else None
        found[name] = settled(
            Example(path=sent.path, query=sent.query, body=sent.body, status=answer.status_code, type=kind, answer=text)
        )
        told[name] = (text, list(read))
    if os.environ.get("POMS_KEEP_EXAMPLES"):
        keep(found)
        pytest.skip("the examples are written anew: look at them, and say the test once more")
    assert set(examples()) == set(found), f"examples.json has other operations; {ANEW}"
    wrong = [
        f"{name}: {sentence}"
        for name, line in described().items()
        for sentence in judged(name, line, found[name], *told[name])
    ]
    assert not wrong, "\n".join(wrong)


def judged(name: str, line: Any, got: Example, answer: Any, read: list[Any]) -> list[str]:
    """Return what is not as the description says of one request and its answer."""
    operation, kept = operations()[name], examples().get(name, Example())
    wrong = []
    if (got.status, got.type) != (kept.status, kept.type):
        return [
            f"answered {got.status} {got.type}, its example has {kept.status} {kept.type}: {str(answer)[:300]}; {ANEW}"
        ]
    if got.status >= 500:
        return [f"answered {got.status}: {str(answer)[:300]}"]
    if isinstance(answer, dict):
        wrong += off_schema(schema_of(operation, got.status, got.type), answer)
        if set(got.answer) != set(kept.answer):
            wrong.append(f"has {sorted(set(got.answer) ^ set(kept.answer))} otherwise than its example; {ANEW}")
    if "requestBody" in operation and JSON in operation["requestBody"]["content"]:
        wanted = {**operation["requestBody"]["content"][JSON]["schema"], "components": description()["components"]}
        wrong += [f"request: {sentence}" for sentence in off_schema(wanted, kept.body or {})]
    elif kept.body and name != "uploads_create":
        wrong.append("sends a body, and the description has none")
    known = {parameter["name"] for parameter in operation.get("parameters", ())}
    if missing := {*kept.path, *kept.query} - known:
        wrong.append(f"sends {', '.join(sorted(missing))}, which is not described")
    view = checks.view_class(_pattern(line.route).callback)
    action = checks.served(_pattern(line.route).callback)[line.method]
    told = taken(view, action).forms
    if extra := [form.__name__ for form in read if form not in told and form.__name__ != "Serializer"]:
        wrong.append(f"reads {', '.join(extra)}, and the description has {[form.__name__ for form in told]}")
    return wrong


@cache
def _patterns() -> dict[str, Any]:
    return {str(pattern.name): pattern for _, pattern in checks.routes(get_resolver().url_patterns)}


def _pattern(route: str) -> Any:
    return _patterns()[route]


def test_what_a_name_is_made_of():
    assert operation_name("campaigns-list", "GET") == "campaigns_list"
    assert operation_name("holds-list", "POST") == "holds_create"
    assert operation_name("notices-choices", "PUT") == "notices_choices_set"
    assert names()["/api/v1/campaigns/{ref}/hold/"] == "campaigns-hold"


def test_answers_off_the_schema_are_found():
    operation = operations()["campaigns_show"]
    kept = examples()["campaigns_show"].answer
    schema = schema_of(operation, 200, JSON)
    assert off_schema(schema, kept) == []
    assert off_schema(schema, {**kept, "rank": "fifty"})
    assert off_schema(schema, {key: value for key, value in kept.items() if key != "state"})
    assert off_schema(schema_of(operation, 422, "application/problem+json"), {"title": "no"})


def test_no_example_names_this_machine_or_has_a_secret():
    text = HOME.read_text()
    assert not re.findall(r"/tmp/|/home/|/work/|pytest-of", text)
    assert not re.findall(r"poms_[A-Za-z0-9_-]{20,}", text)
