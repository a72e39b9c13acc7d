"""The id of a request, or of a loop's run: in its answer, on the page of an error, and in every line of its log."""

from __future__ import annotations

import json
import logging

import pytest
import structlog
from django.test import Client

from core import loops
from poms_site import readiness, telemetry
from poms_site.web import errors
from poms_site.web.home import StylePage

pytestmark = pytest.mark.django_db
log = structlog.get_logger()


@pytest.fixture
def lines(settings):
    """Return the lines that were logged, as they stand in the file."""
    found: list[str] = []

    class Keep(logging.Handler):
        def emit(self, record):
            found.append(self.format(record))

    keep, root = Keep(), logging.getLogger()
    formatter = structlog.stdlib.ProcessorFormatter(
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta, structlog.processors.JSONRenderer(default=str),
        ],
        foreign_pre_chain=telemetry._SHARED,
    )  # fmt: skip
    keep.setFormatter(formatter)
    root.addHandler(keep)
    yield lambda: [json.loads(line) for line in found]
    root.removeHandler(keep)


@pytest.mark.parametrize("given", ["a", "7c1e4b0f.of-proxy_1", "x" * 64])
def test_a_well_formed_id_is_taken(given):
    assert Client().get("/style/", headers={"X-Request-Id": given})["X-Request-Id"] == given


@pytest.mark.parametrize("given", ["", "x" * 65, "two words", "<b>", "é", "a\tb", "a/b"])
def test_any_other_is_replaced(given):
    made = Client().get("/style/", headers={"X-Request-Id": given})["X-Request-Id"]
    assert made != given
    assert len(made) == 32


def test_every_line_of_a_request_bears_its_id_and_no_other_line_does(monkeypatch, lines):
    def get(self, request):
        log.warning("trial.ours")
        logging.getLogger("trial").warning("of a library")
        raise ValueError("no")

    monkeypatch.setattr(StylePage, "get", get)
    answer = Client(raise_request_exception=False).get("/style/", headers={"X-Request-Id": "q1"})
    assert answer.status_code == 500
    assert b"Request <code>q1</code>" in answer.content
    log.warning("trial.after")
    found = {line["event"]: line.get("request_id") for line in lines()}
    assert found["trial.ours"] == found["of a library"] == "q1"
    assert next(number for event, number in found.items() if event.startswith("Internal Server Error")) == "q1"
    assert found["trial.after"] is None


def test_the_line_that_is_written_of_a_refusal_after_all_bears_it_too(lines, monkeypatch):
    monkeypatch.setattr(readiness, "_look", lambda: "It is not ready.")
    logging.getLogger("django.request").setLevel("WARNING")
    try:
        for number, address in enumerate(("/readyz", "/nowhere/")):
            Client().get(address, headers={"X-Request-Id": f"r{number}"})
    finally:
        logging.getLogger("django.request").setLevel("ERROR")
    found = [(line["event"], line.get("request_id")) for line in lines() if line["logger"] == "django.request"]
    assert found == [("Service Unavailable: /readyz", "r0"), ("Not Found: /nowhere/", "r1")]
    log.warning("trial.after")
    assert "request_id" not in lines()[-1]


def test_the_api_names_the_request_where_it_is_our_mistake(rf):
    request = rf.get("/api/v1/me/")
    request.request_id = "q2"
    try:
        raise ValueError("no")
    except ValueError:
        answer = errors.broken(request)
    assert json.loads(answer.content)["detail"].endswith("Request q2.")


def turn() -> int:
    """Pass once, and say so."""
    log.warning("trial.turn")
    return 0


def test_every_line_of_a_loops_run_bears_its_loop_and_an_id_of_the_run(lines):
    loops.register("trial", f"{__name__}.turn", period=1)
    try:
        loops.run("trial")
        loops.run("trial")
    finally:
        del loops._loops["trial"]
    first, second = (line for line in lines() if line["event"] == "trial.turn")
    assert first["in_loop"] == second["in_loop"] == "trial"
    assert len(first["task_id"]) == 32
    assert first["task_id"] != second["task_id"]
