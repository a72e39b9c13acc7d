"""The shift page and its command: fine or needs somebody, marked as read, and one entry in a real logbook's stand-in."""

from __future__ import annotations

import json

import pytest
from django.db import transaction

from core.clock import now
from core.models import Transition
from experiments.models import LastLook
from integrations.batch.base import JobSeen
from integrations.logbooks import book
from integrations.models import BatchSystem
from poms_site.web import live
from submissions.logic import merging, planning
from submissions.models import Submission
from tests import builders
from tests.api.test_command_line import poms
from tests.stand_ins.ecl import PASSWORD, USER, ECLServer


def break_things(cast) -> Submission:
    """Let twelve jobs of a campaign run out of memory."""
    builders.approved_campaign(cast)
    planning.plan_some()
    row = Submission.objects.order_by("pk").first()
    system, _ = BatchSystem.objects.get_or_create(name="local", backend="local")
    at = now().timestamp()
    seen = [JobSeen(f"{n}.0@x", str(row.uuid), "failed", 1, at, code="memory", wall_s=3600.0) for n in range(12)]
    with transaction.atomic():
        merging.merge(system.pk, seen, source="test")
    live.forget()
    return row


@pytest.mark.django_db
def test_one_line_says_whether_somebody_must_act_and_offers_the_verb(cast, client):
    client.force_login(cast.supervisor)
    assert "Nobody needs to act" in client.get("/shift/").content.decode()
    row = break_things(cast)
    text = client.get("/shift/").content.decode()
    assert "tiny: 12 jobs over its memory limit" in text and "12.0 core-hours" in text
    assert f"/e/demo/jobs/?campaign=c{row.campaign_id}&amp;state=failed" in text
    assert text.index("Demo</b>") < text.index("Other</b>"), "what needs somebody stands first"
    own = client.get("/e/demo/shift/").content.decode()
    assert "Needs somebody" in own and "What broke" in own


@pytest.mark.django_db
def test_what_is_marked_as_read_is_read_for_oneself_alone(cast, client):
    break_things(cast)
    client.force_login(cast.shifter)
    assert client.post("/e/demo/shift/", {"at": now().isoformat()}).status_code == 303
    assert LastLook.objects.get().user == cast.shifter
    live.forget()
    assert "Nothing broke" in client.get("/e/demo/shift/").content.decode()
    client.force_login(cast.operator)
    assert "over its memory limit" in client.get("/e/demo/shift/").content.decode()


@pytest.mark.django_db
def test_a_stranger_reads_of_no_other_experiment(cast, client):
    break_things(cast)
    client.force_login(cast.stranger)
    assert "memory limit" not in client.get("/shift/").content.decode()
    assert client.get("/e/demo/shift/").status_code == 404
    assert client.post("/e/demo/shift/").status_code == 404


@pytest.mark.django_db(transaction=True)
def test_the_logbook_gets_one_entry_by_page_and_command(real_cast, client, live_server, settings, monkeypatch):
    settings.HTTP_ALLOW, settings.PUBLIC_URL = ["127.0.0.1"], "https://poms.example.org"
    monkeypatch.setenv("POMS_CREDENTIAL_ECL", f"{USER}:{PASSWORD}")
    server = ECLServer()
    try:
        given = {"url": server.book, "credential": "ecl", "category": "POMS"}
        book.set_book(real_cast.experiment, **given, by=real_cast.administrator, reason="we use it")
        break_things(real_cast)
        client.force_login(real_cast.shifter)
        client.post("/e/demo/shift/", {"at": (now()).isoformat(), "do": "log"})
        for _ in range(2):
            said = poms(live_server, real_cast.shifter, "shift", "log", "-e", "demo")
            assert said.returncode == 0, said.stderr
        while book.bring_up_to_date():
            pass
        entry = server.only()
        text = server.text(next(iter(server.entries)))
        assert entry.get("category") == "POMS"
        assert "tiny: 12 jobs over its memory limit" in text and "https://poms.example.org/e/demo/shift/" in text
        assert Transition.objects.filter(verb="log_shift").count() == 1
        refused = poms(live_server, real_cast.experimenter, "shift", "log", "-e", "demo")
        assert refused.returncode == 3 and "shifter" in refused.stderr
    finally:
        server.stop()


@pytest.mark.django_db(transaction=True)
def test_the_command_says_what_the_page_says(real_cast, live_server):
    fine = poms(live_server, real_cast.shifter, "shift", "show", "--quiet")
    assert (fine.returncode, fine.stdout) == (0, "")
    break_things(real_cast)
    told = poms(live_server, real_cast.shifter, "shift", "show")
    assert told.returncode == 0 and "tiny: 12 jobs over its memory limit" in told.stdout, told.stderr
    assert poms(live_server, real_cast.shifter, "shift", "show", "-q").stdout == "demo\n"
    assert poms(live_server, real_cast.shifter, "shift", "show", "-q").returncode == 1
    read = poms(live_server, real_cast.shifter, "shift", "read", "-e", "demo", "--json")
    assert json.loads(read.stdout)["items"] == []
    day = now().date().isoformat()
    words = ("report", "show", "--period", "day", "--on", day, "-e", "demo")
    shown = poms(live_server, real_cast.supervisor, *words)
    assert "Jobs failed\t12\t0" in shown.stdout, shown.stdout + shown.stderr
    table = poms(live_server, real_cast.supervisor, *words, "--format", "csv")
    assert f"day,{day},{day}" in table.stdout and ",failed,12,0,,Jobs failed" in table.stdout
    assert json.loads(poms(live_server, real_cast.supervisor, *words, "--json").stdout)["total"]["now"]["failed"] == 12
    listed = poms(live_server, real_cast.supervisor, "report", "list", "--period", "day")
    assert [line.split("\t")[0] for line in listed.stdout.splitlines()] == ["experiment", "demo", "other"]
    assert poms(live_server, real_cast.supervisor, "report", "show", "--period", "month").returncode == 1
    assert poms(live_server, real_cast.supervisor, "report", "show", "--format", "xls").returncode == 64
