"""Services: looked at for real, a gate that closes and opens by itself, downtimes, a person's word, holds that end."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from django.db import connections

from core import ledger
from core.clock import now
from core.errors import Conflict, Refused
from integrations import serving
from integrations.models import BatchSystem, Service, ServiceState
from integrations.probes import known
from integrations.probes.base import DOWN, UNKNOWN, UP, Look
from submissions.logic import checking, holding
from submissions.models import Hold, Submission
from submissions.queries import gates
from tests.submissions.test_line import _claimed, campaign

REASON = "to see what becomes of it"


class Outside:
    """A little server that can be told how to answer; it counts what it was asked."""

    def __init__(self) -> None:
        self.status, self.text, self.asked, self.ended = 200, "all is well", 0, False
        outside = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outside.asked += 1
                self.send_response(outside.status)
                self.send_header("Content-Length", str(len(outside.text)))
                self.end_headers()
                self.wfile.write(outside.text.encode())

            def log_message(self, *args: object) -> None:
                """Keep quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/status"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        """End it; once is enough."""
        if not self.ended:
            self.ended = True
            self.server.shutdown()
            self.server.server_close()


@pytest.fixture
def outside(settings) -> Iterator[Outside]:
    settings.HTTP_ALLOW = ["127.0.0.1"]
    server = Outside()
    yield server
    server.close()


def watched(cast, url="", **values) -> Service:
    """Enter a service as an administrator does."""
    given = {"kind": "http", "settings": {"url": url}, "gates": "everything", **values}
    return serving.add(cast.experiment, "sam", given.pop("kind"), by=cast.operator, reason=REASON, **given)


def by_hand(cast, **values) -> Service:
    return watched(cast, **{"kind": "none", "settings": {}, **values})


def tick() -> int:
    """Let a second pass, and the loop with it."""
    Service.objects.update(look_at=now() - timedelta(seconds=1))
    return checking.check_some()


def again(service: Service) -> Service:
    return Service.objects.select_related("experiment").get(pk=service.pk)


def standing() -> list[Hold]:
    return list(Hold.objects.filter(released_at=None))


@pytest.mark.django_db
def test_a_service_that_goes_down_stops_50_launches_in_one_tick_and_lets_them_go_unaided(cast, outside):
    row = campaign(cast, batches=50)
    service = watched(cast, outside.url)
    assert tick() == 1 and again(service).state == "up" and standing() == []
    outside.status = 503
    tick()
    assert again(service).state == "down" and outside.asked == 2
    (hold,) = standing()
    assert hold.actor == "rule:service" and "it answers with status 503" in hold.reason
    assert _claimed() == []
    told = [gate for gate in gates(row) if gate["gate"] == "hold"]
    assert [gate["ref"] for gate in told] == [hold.ref] and "503" in told[0]["text"]
    outside.status = 200
    tick()
    assert again(service).state == "down" and _claimed() == []  # one good look is not enough
    tick()
    assert again(service).state == "up" and standing() == []
    assert len(_claimed()) == 50
    steps = [(step.verb, step.actor) for step in ledger.history({"hold": [hold.pk]})]
    assert steps == [("release", "rule:service"), ("hold", "rule:service")]
    assert [(s.source, s.target) for s in ServiceState.objects.order_by("pk")] == [
        ("unknown", "up"), ("up", "down"), ("down", "up"),
    ]  # fmt: skip


@pytest.mark.django_db
def test_an_outage_can_be_found_by_its_time(cast, outside):
    service = watched(cast, outside.url)
    tick()
    outside.status = 500
    tick()
    outside.status = 200
    tick()
    tick()
    outage = ServiceState.objects.get(target="down")
    assert outage.until is not None and outage.until > outage.at
    middle = outage.at + (outage.until - outage.at) / 2
    found = ServiceState.objects.filter(service=service).between(middle, middle + timedelta(microseconds=1))
    assert [row.target for row in found] == ["down"]


@pytest.mark.django_db
def test_looks_between_are_degraded_and_the_gate_waits_for_so_many(cast, outside):
    service = watched(cast, outside.url, downs=3, ups=1)
    tick()
    outside.status = 404
    tick()
    assert again(service).state == "degraded" and standing() == []
    tick()
    assert standing() == []
    tick()
    assert again(service).state == "down" and len(standing()) == 1


@pytest.mark.django_db
def test_what_cannot_be_looked_at_opens_nothing_and_closes_nothing(cast, outside):
    service = watched(cast, outside.url, ups=1)
    tick()
    outside.status = 500
    tick()
    assert len(standing()) == 1
    # The address becomes one that we never call: nothing is found out any more.
    Service.objects.update(settings={"url": "http://10.0.0.1/"})
    for _ in range(checking.BLIND_AFTER):
        tick()
    assert again(service).state == "unknown" and "could not be looked at" in again(service).said
    assert len(standing()) == 1
    Service.objects.update(settings={"url": outside.url})
    outside.status = 200
    tick()
    assert again(service).state == "up" and standing() == []


@pytest.mark.django_db
def test_a_server_that_is_gone_is_down_and_a_text_that_is_missing_too(cast, outside):
    service = watched(cast, outside.url, settings={"url": outside.url, "text": "well"})
    tick()
    assert again(service).state == "up"
    outside.text = "not at all"
    tick()
    assert again(service).state == "down" and "'well' does not stand" in again(service).said
    outside.close()
    tick()
    assert again(service).state == "down" and "reached" in again(service).said


@pytest.mark.django_db
def test_a_persons_word_goes_before_the_looks_until_its_time_is_over(cast, outside):
    service = watched(cast, outside.url)
    tick()
    checking.override(service, DOWN, by="user:shifter", reason="it answers rubbish", until=now() + timedelta(hours=1))
    (hold,) = standing()
    assert "it answers rubbish" in hold.reason and hold.until is not None
    tick()
    assert len(standing()) == 1
    Service.objects.update(forced_until=now() - timedelta(seconds=1))
    Hold.objects.update(until=now() - timedelta(seconds=1))
    tick()
    assert standing() == [] and not again(service).forced
    outside.status = 500
    tick()
    assert len(standing()) == 1
    checking.override(again(service), UP, by="user:shifter", reason="the probe is wrong")
    assert standing() == []
    tick()
    assert again(service).state == "down" and standing() == []
    checking.override(again(service), "", by="user:shifter", reason="it was right")
    assert len(standing()) == 1


@pytest.mark.django_db
def test_a_downtime_closes_at_its_beginning_and_opens_at_its_end(cast):
    service = by_hand(cast)
    tick()
    assert standing() == []
    at = now()
    checking.plan_downtime(service, at - timedelta(seconds=1), at + timedelta(hours=2), by="user:p", reason="upgrade")
    (hold,) = standing()
    assert "by plan until" in hold.reason and "upgrade" in hold.reason
    checking.end_downtime(again(service), by="user:p", reason="it was quick")
    assert standing() == []
    checking.plan_downtime(service, at + timedelta(hours=1), at + timedelta(hours=2), by="user:p", reason="upgrade")
    assert standing() == []
    assert again(service).look_at <= at + timedelta(hours=1, seconds=5)


@pytest.mark.django_db
def test_a_hold_with_an_end_is_released_in_the_ledger(cast):
    row = campaign(cast, batches=2)
    hold = holding.hold("campaign", row, actor="user:shifter", reason=REASON, until=now() + timedelta(hours=1))
    assert _claimed() == []
    assert holding.expire() == 0
    Hold.objects.update(until=now() - timedelta(seconds=1))
    assert len(_claimed()) == 2  # the launcher waits for no loop
    assert checking.check_some() == 1
    step = ledger.history({"hold": [hold.pk]}).first()
    assert (step.verb, step.actor) == ("release", "loop:check")


@pytest.mark.django_db
def test_a_queue_that_is_too_long_closes_and_opens_with_hysteresis(cast, monkeypatch):
    depth = {"idle": 50}

    class Batch:
        def depth(self) -> dict[str, int]:
            return depth

    monkeypatch.setattr(known.registry, "batch", lambda name: Batch())
    given = {"system": "local", "most_idle": "100", "reopen_idle": "20"}
    service = watched(cast, kind="queue", settings=given, gates="batch", gated="local", ups=1)
    for idle, state in ((50, "up"), (101, "down"), (50, "down"), (21, "down"), (20, "up"), (100, "up")):
        depth["idle"] = idle
        tick()
        assert again(service).state == state, idle
        assert len(standing()) == (state == "down")


@pytest.mark.django_db
def test_our_own_count_of_idle_jobs_is_a_probe_too(cast):
    given = {"system": "local", "most_idle": "1", "counted": "poms"}
    service = watched(cast, kind="queue", settings=given, gates="batch", gated="local")
    campaign(cast, batches=3)
    tick()
    assert again(service).state == "up"
    assert len(_claimed()) == 3
    tick()
    assert again(service).state == "down" and again(service).figures["idle"] == 3


@pytest.mark.django_db
def test_a_disk_that_is_nearly_full_holds_and_a_path_that_is_gone_too(cast, tmp_path):
    full = watched(cast, kind="disk", settings={"path": str(tmp_path), "least_mb": str(10**9)})
    tick()
    assert again(full).state == "down" and again(full).figures["free_mb"] > 0
    assert "MB are free" in standing()[0].reason
    serving.change(again(full), by=cast.operator, reason=REASON, settings={"path": str(tmp_path), "least_mb": "0"})
    tick()
    tick()
    assert again(full).state == "up" and standing() == []
    (tmp_path / "setup.sh").write_text("export A=1")
    script = {"path": str(tmp_path / "setup.sh")}
    serving.change(again(full), by=cast.operator, reason=REASON, kind="path", settings=script)
    tick()
    assert again(full).state == "up"
    (tmp_path / "setup.sh").unlink()
    tick()
    assert again(full).state == "down"


@pytest.mark.django_db
def test_a_catalogue_and_a_credential_are_asked_of_whoever_knows_them(cast, monkeypatch):
    service = watched(cast, kind="catalogue", settings={}, gates="catalogue")
    tick()
    assert again(service).state == "up"
    serving.change(again(service), by=cast.operator, reason=REASON, kind="credential", settings={"name": "proxy"})
    tick()
    assert again(service).state == "up" and "nobody here can say" in again(service).said
    monkeypatch.setattr(known, "credentials", [lambda experiment, name: Look(DOWN, f"{name} ended an hour ago")])
    tick()
    assert again(service).state == "down" and "proxy ended" in standing()[0].reason


@pytest.mark.django_db
def test_put_away_it_gates_nothing_any_more(cast, outside):
    service = watched(cast, outside.url)
    outside.status = 500
    tick()
    assert len(standing()) == 1
    serving.change(again(service), by=cast.operator, reason="it is gone for good", active=False)
    checking.check_some()
    assert standing() == []


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("values", "field"),
    [({"settings": {}}, "settings.url"), ({"settings": {"url": "https://x.org", "colour": "red"}}, "settings.colour"),
     ({"settings": {"url": "ftp://x.org"}}, "settings"), ({"settings": {"url": "https://x.org", "status": "ok"}}, "settings.status"),
     ({"kind": "crystal ball"}, "kind"), ({"gates": "the sea"}, "gates"), ({"gated": "local"}, "gated"), ({"every_s": 0}, "every_s")],
)  # fmt: skip
def test_a_service_that_could_not_be_looked_at_is_refused(cast, values, field):
    with pytest.raises(Refused) as refusal:
        watched(cast, "https://example.org", **values)
    assert field in [problem.field for problem in refusal.value.problems]
    assert not Service.objects.exists()


@pytest.mark.django_db
def test_an_edit_that_did_not_see_the_last_one_is_refused(cast):
    service = by_hand(cast)
    seen = service.fingerprint
    serving.change(service, by=cast.operator, reason=REASON, title="SAM", seen=seen)
    with pytest.raises(Conflict):
        serving.change(service, by=cast.operator, reason=REASON, title="Sam", seen=seen)
    with pytest.raises(Conflict):
        by_hand(cast)


@pytest.mark.django_db(transaction=True)
def test_many_workers_look_once_and_make_one_hold(real_cast, outside):
    service = watched(real_cast, outside.url)
    tick()
    outside.status, asked = 500, outside.asked
    Service.objects.update(look_at=now() - timedelta(seconds=1))
    barrier = threading.Barrier(6)

    def work() -> None:
        try:
            barrier.wait(60)
            checking.check_some()
        finally:
            connections.close_all()

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outside.asked == asked + 1
    assert len(standing()) == 1 and again(service).state == "down"


@pytest.mark.django_db
def test_looks_that_find_nothing_out_are_not_counted_as_either(cast):
    service = Service(experiment=cast.experiment, name="x", kind="none", state=UP, downs=2)
    for status, state in ((DOWN, "degraded"), (UNKNOWN, UP), (UP, UP)):
        service.down_count = 1 if status == DOWN else 0
        assert checking._state(service, status) == state
    assert Submission.objects.count() == 0 and not BatchSystem.objects.filter(name="x").exists()
