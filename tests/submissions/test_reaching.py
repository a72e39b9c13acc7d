"""Launch hosts that do not answer stand in nobody's way: real ssh, a real sshd, lines that go wrong before it (T10)."""

from __future__ import annotations

import os
import pwd
import tempfile
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from django.db import connections
from django.db.models import F

from campaigns.models import Campaign
from core.clock import now, shifted
from integrations.launcher import ssh
from integrations.models import LaunchHost
from submissions.logic import launching, planning
from submissions.models import Submission
from tests import builders, processes
from tests.cast import Cast
from tests.servers import sshd
from tests.stand_ins.ssh_lines import FAULTS, Fault, Line

pytestmark = [pytest.mark.live, pytest.mark.django_db(transaction=True)]


@pytest.fixture(scope="module")
def server() -> Iterator[sshd.Sshd]:
    with tempfile.TemporaryDirectory(prefix="poms sshd ") as name, sshd.running(Path(name)) as found:
        yield found


class Hosts:
    """Launch hosts of the experiment, all the same sshd behind lines of their own."""

    def __init__(self, cast: Cast, server: sshd.Sshd, place: Path) -> None:
        self.cast, self.server, self.place = cast, server, place
        self.lines: dict[str, Line] = {}

    def add(self, name: str) -> LaunchHost:
        """Enter a host that answers, and a login set-up of the same name that goes there."""
        line = self.lines[name] = Line(self.server.port)
        key = self.server.known_hosts.read_text().split(" ", 1)[1]
        made = LaunchHost.objects.create(
            experiment=self.cast.experiment, name=name, address="127.0.0.1", port=line.port, account=_account(),
            home=str(self.place / name), credential="host-key", known_hosts=f"[127.0.0.1]:{line.port} {key}",
        )  # fmt: skip
        builders.login_setup(self.cast, name, launcher="ssh", host=name)
        return made

    def campaign(self, name: str, batches: int) -> Campaign:
        """Make a running campaign whose scripts go to the host of its name."""
        text = builders.definition(
            campaign=name, stages=f"[campaign_stage gen]\nstage_type=generator\nevents={batches}\nevents_per_job=1\n"
            f"cs_split_type=nevents(1)\nlogin_setup={name}\n",
        )  # fmt: skip
        made = builders.approved_campaign(self.cast, text)
        while planning.plan_some():
            pass
        return made


@pytest.fixture
def hosts(real_cast: Cast, local, server: sshd.Sshd, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hosts]:
    monkeypatch.setenv("POMS_CREDENTIAL_HOST_KEY_FILE", str(server.key))
    with tempfile.TemporaryDirectory(prefix="poms hosts ") as name:
        found = Hosts(real_cast, server, Path(name))
        yield found
        for line in found.lines.values():
            line.close()
        # What was started over there goes on without a line, and writes until it has ended.
        while processes.that_name(name):
            time.sleep(0.1)


def _account() -> str:
    return pwd.getpwuid(os.geteuid()).pw_name


def states(campaign: Campaign) -> list[str]:
    return sorted(Submission.objects.filter(campaign=campaign).values_list("state", flat=True))


def test_launches_go_through_ssh_to_their_host(hosts: Hosts) -> None:
    hosts.add("good")
    campaign = hosts.campaign("good", 3)
    assert launching.start_some() == 3
    for _ in range(600):
        Submission.objects.filter(state="launching").update(look_at=now())
        launching.look_some()
        if "launching" not in states(campaign):
            break
    assert states(campaign) == ["submitted"] * 3
    assert {(s.launcher, s.host) for s in Submission.objects.filter(campaign=campaign)} == {("ssh", "good")}


def test_while_one_worker_waits_for_a_dead_host_another_launches_elsewhere(hosts: Hosts, monkeypatch) -> None:
    monkeypatch.setattr(ssh, "CONNECT_S", 45.0)
    monkeypatch.setattr(ssh, "CALL_S", 60.0)
    hosts.add("dead")
    hosts.add("good")
    dead = hosts.campaign("dead", 3)
    good = hosts.campaign("good", 3)
    Campaign.objects.filter(pk=dead.pk).update(rank=F("rank") + 50)  # it stands before the other in the line
    line = hosts.lines["dead"]
    line.fault, calls = FAULTS[0], line.calls
    waiting = threading.Thread(target=_start_some)
    waiting.start()
    while line.calls == calls:
        assert waiting.is_alive(), "the dead host was not even called"
        time.sleep(0.01)
    assert launching.start_some() == 3
    assert states(good) == ["launching"] * 3
    assert launching.start_some() == 0, "two workers wait for the same dead host"
    assert waiting.is_alive(), "the dead host was given up before the others had been launched: this proves nothing"
    line.close()
    waiting.join()
    assert states(dead) == ["launching"] * 3


def _start_some() -> None:
    try:
        launching.start_some()
    finally:
        connections.close_all()


def test_a_silent_host_is_left_alone_then_asked_for_one_and_goes_on_by_itself(hosts: Hosts) -> None:
    row = hosts.add("host")
    campaign = hosts.campaign("host", 4)
    line = hosts.lines["host"]
    line.fault = FAULTS[2]
    Submission.objects.filter(pk__in=Submission.objects.values("pk")[2:]).update(look_at=now() + timedelta(hours=1))
    assert launching.start_some() == 2
    row.refresh_from_db()
    assert row.failures == 1
    assert row.silent_since is not None
    assert "127.0.0.1" in row.error
    Submission.objects.filter(state="pending").update(look_at=now())
    calls = line.calls
    assert launching.start_some() == 0
    launching.look_some()
    assert line.calls == calls, "a host that rests was called"
    _rested()
    launching.start_some()
    assert states(campaign).count("pending") == 1, "more than one launch at a time was tried on a silent host"
    row.refresh_from_db()
    assert row.failures == 2
    with shifted(timedelta(hours=2)):
        _rested()
        launching.look_some()
    assert "unsure" not in states(campaign), "launches of a silent host need a person after hours"
    line.fault = None
    for _ in range(600):
        _rested()
        launching.launch_some()
        if set(states(campaign)) == {"submitted"}:
            break
    assert states(campaign) == ["submitted"] * 4
    row.refresh_from_db()
    assert (row.failures, row.error, row.silent_since) == (0, "", None)


def _rested() -> None:
    """Let the time pass for which the host is left alone, and until launches are looked at."""
    LaunchHost.objects.update(retry_at=now() - timedelta(seconds=1))
    Submission.objects.filter(state="launching").update(look_at=now() - timedelta(seconds=1))


@pytest.mark.parametrize("fault", FAULTS, ids=[fault.name for fault in FAULTS])
def test_whatever_a_line_does_no_launch_is_lost_or_made_twice(hosts: Hosts, fault: Fault, monkeypatch) -> None:
    monkeypatch.setattr(ssh, "CONNECT_S", 2)
    monkeypatch.setattr(ssh, "CALL_S", 4.0)
    hosts.add("host")
    campaign = hosts.campaign("host", 2)
    hosts.lines["host"].fault = fault
    launching.start_some()
    assert LaunchHost.objects.get(name="host").failures == 1
    hosts.lines["host"].fault = None
    for _ in range(600):
        _rested()
        launching.launch_some()
        if set(states(campaign)) == {"submitted"}:
            break
    assert states(campaign) == ["submitted"] * 2
    clusters = list(Submission.objects.filter(campaign=campaign).values_list("job_ids", flat=True))
    from integrations import registry

    found = registry.batch("local").find([str(u) for u in Submission.objects.values_list("uuid", flat=True)])
    assert sorted(map(sorted, found.values())) == sorted(map(sorted, clusters)), "jobs of which nobody knows"
    assert all(len(ids) == 1 for ids in clusters)
