"""The Python client is complete and typed: a method for each operation of the description, which sends just that.

`POMS_KEEP_CLIENT=1 pytest tests/contracts/test_client_methods.py` writes client/poms_client/operations.py anew.
"""

from __future__ import annotations

import inspect
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import pytest
import requests
from django.conf import settings
from django.urls import resolve
from poms_client import Client
from poms_client.operations import Operations
from requests.adapters import BaseAdapter

from poms_site.api.describing import operation_name
from poms_site.api.examples import examples
from tests.contracts import client_writing
from tests.contracts.test_openapi import description, operations


def test_the_methods_are_those_of_the_description():
    wanted = client_writing.written(description())
    if os.environ.get("POMS_KEEP_CLIENT"):
        client_writing.HOME.write_text(wanted)
        pytest.skip("the methods are written anew: look at them, and say the test once more")
    assert client_writing.HOME.read_text() == wanted, (
        "the API is another one: say POMS_KEEP_CLIENT=1 pytest tests/contracts/test_client_methods.py, and look at what changed"
    )


def test_every_operation_is_a_method_and_every_method_an_operation():
    methods = {name for name, _ in inspect.getmembers(Operations, inspect.isfunction) if not name.startswith("_")}
    assert methods == set(operations())
    assert methods <= {name for name, _ in inspect.getmembers(Client, inspect.isfunction)}
    hidden = methods & set(vars(Client))
    assert not hidden, f"the client has something else of that name: {hidden}"


class Echo(BaseAdapter):
    """Keeps what was sent, and answers an empty page."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[requests.PreparedRequest] = []

    def send(self, request: requests.PreparedRequest, **_: Any) -> requests.Response:
        self.sent.append(request)
        answer = requests.Response()
        answer.status_code, answer.raw = 200, io.BytesIO(b'{"results": [], "next": null}')
        return answer

    def close(self) -> None:
        """Nothing is open."""


@pytest.mark.parametrize("name", sorted(examples()))
def test_a_method_sends_its_operation(name, monkeypatch):
    """Said with the values of its example, it sends the request of its example."""
    echo, kept = Echo(), examples()[name]
    monkeypatch.setattr("requests.sessions.Session.get_adapter", lambda session, url: echo)
    given = {client_writing.word(key): value for key, value in {**kept.path, **kept.query}.items()}
    if name == "uploads_create":
        given["content"] = kept.body.encode()
    else:
        given |= {client_writing.word(key, kept.path): value for key, value in (kept.body or {}).items()}
    answer = getattr(Client("https://poms.example.org", "poms_x", patience=0), name)(**given)
    if inspect.isgenerator(answer):
        assert list(answer) == []
    [sent] = echo.sent
    url = urlsplit(str(sent.url))
    assert operation_name(str(resolve(unquote(url.path)).url_name), str(sent.method)) == name
    query = dict(parse_qsl(url.query))
    query.pop("limit", None)
    assert query == kept.query
    if name == "uploads_create":
        assert sent.body == kept.body.encode()
    elif sent.body:
        assert json.loads(sent.body) == {key: value for key, value in (kept.body or {}).items() if value is not None}
    else:
        assert not kept.body


def test_what_is_not_given_is_not_sent(monkeypatch):
    echo = Echo()
    monkeypatch.setattr("requests.sessions.Session.get_adapter", lambda session, url: echo)
    client = Client("https://poms.example.org", "poms_x", patience=0)
    client.campaigns_boost("demo/c1", hours=4)
    assert json.loads(echo.sent[-1].body or b"") == {"hours": 4}
    assert list(client.jobs_list(state="held")) == []
    assert dict(parse_qsl(urlsplit(str(echo.sent[-1].url)).query)) == {"state": "held", "limit": "500"}
    client.holds_create(scope="everything", reason="the hall is on fire", key="once")
    assert echo.sent[-1].headers["Idempotency-Key"] == "once"


def test_the_client_is_typed():
    """A script that is checked by mypy hears of a wrong word before it runs; the client itself is strict."""
    home = Path(settings.BASE_DIR) / "client"
    assert (home / "poms_client" / "py.typed").exists()
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file", os.devnull, "--python-version", "3.10",
               "--cache-dir", str(Path(settings.BASE_DIR) / ".mypy_cache" / "client"), "poms_client"]  # fmt: skip
    told = subprocess.run(command, cwd=home, capture_output=True, text=True, timeout=300)
    assert told.returncode == 0, told.stdout[-3000:] + told.stderr[-1000:]
