"""Services, holds, limits and why: by the real command, and by the API where who may is finer than a role."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from core.clock import now
from integrations import serving
from integrations.models import Service
from submissions.models import Hold, Limit, Submission
from tests.api.test_command_line import poms
from tests.submissions.test_line import campaign

REASON = "to see what becomes of it"


@pytest.mark.django_db(transaction=True)
def test_the_command_enters_looks_overrides_plans_and_says_why(real_cast, live_server):
    row = campaign(real_cast, batches=2)
    admin, shifter, operator = real_cast.administrator, real_cast.shifter, real_cast.operator

    def said(user, *words, code=0):
        answer = poms(live_server, user, *words)
        assert answer.returncode == code, (words, answer.stdout, answer.stderr)
        return answer.stdout or answer.stderr

    words = ("service", "add", "sam", "-e", "demo", "--kind", "none", "--gates", "everything", "-r", REASON, "--json")
    ref = json.loads(said(admin, *words))["ref"]
    assert "sam" in said(shifter, "service", "list", "-e", "demo")
    assert "administrator" in said(shifter, *words[:2], "x", *words[3:], code=3)
    bad = said(admin, "service", "add", "x", "-e", "demo", "--kind", "http", "--set", "addres=1", "-r", REASON, code=1)
    assert "settings.url" in bad and "settings.addres" in bad
    said(admin, "service", "change", ref, "--title", "SAM", "--every", "30", "-r", REASON)
    assert json.loads(said(shifter, "service", "show", ref, "--json"))["every_s"] == 30
    said(shifter, "service", "check", ref)
    said(shifter, "service", "override", ref, "down", "-r", "it answers rubbish")
    hold = Hold.objects.get(released_at=None)
    assert "it answers rubbish" in said(shifter, "hold", "list", "-e", "demo")
    assert hold.ref in said(shifter, "why", row.ref)
    waiting = Submission.objects.filter(campaign=row).first()
    assert hold.ref in said(shifter, "why", waiting.ref) and "waits" in said(shifter, "why", f"{row.ref}/gen")
    said(shifter, "service", "override", ref, "none", "-r", "it is well")
    assert not Hold.objects.filter(released_at=None).exists()
    said(shifter, "service", "downtime", ref, "--until", "2999-01-01T00:00Z", "-r", "upgrade")
    assert Hold.objects.filter(released_at=None).count() == 1
    said(shifter, "service", "downtime", ref, "--end", "-r", "it was quick")
    said(shifter, "service", "states", ref)
    limit = json.loads(said(operator, "limit", "add", "launches", "0", "-e", "demo", "-r", REASON, "--json"))["ref"]
    assert limit in said(shifter, "why", waiting.ref)
    said(shifter, "limit", "remove", limit, "-r", REASON, code=3)
    said(operator, "limit", "remove", limit, "-r", REASON)
    assert not Limit.objects.filter(ended_at=None).exists()
    held = json.loads(said(shifter, "hold", "add", "stage", f"{row.ref}/gen", "-r", REASON, "--json"))["ref"]
    assert "needs an administrator" in said(shifter, "hold", "add", "everything", "-r", REASON, code=3)
    said(shifter, "hold", "release", held, "-r", REASON)
    assert "nothing is in its way" in said(shifter, "why", waiting.ref)
    said(admin, "service", "remove", ref, "-r", "it is gone")
    assert not Service.objects.get().active
    assert "nothing of which one can ask why" in said(shifter, "why", "demo/k1", code=64)


@pytest.mark.django_db
def test_who_provides_a_service_says_how_it_is_and_nothing_else(cast, call_as):
    row = serving.add(cast.experiment, "sam", "none", by=cast.administrator, reason=REASON, gates="everything")
    provider = call_as(cast.service_provider)
    assert provider.get(f"/api/v1/services/{row.ref}/").status_code == 404
    patched = call_as(cast.administrator).patch(
        f"/api/v1/services/{row.ref}/", {"providers": [cast.service_provider.username], "reason": REASON}, format="json"
    )
    assert patched.status_code == 200 and patched.json()["providers"] == [cast.service_provider.username]
    assert provider.get(f"/api/v1/services/{row.ref}/").json()["name"] == "sam"
    until = (now() + timedelta(hours=2)).isoformat()
    planned = provider.post(
        f"/api/v1/services/{row.ref}/downtime/", {"until": until, "reason": "upgrade"}, format="json"
    )
    assert planned.status_code == 200 and len(planned.json()["holds"]) == 1
    changed = provider.patch(f"/api/v1/services/{row.ref}/", {"gates": "nothing", "reason": REASON}, format="json")
    assert changed.status_code == 403


@pytest.mark.django_db
def test_what_is_of_all_experiments_everybody_sees_and_administrators_of_the_service_change(cast, call_as):
    row = serving.add(None, "pool", "none", by=cast.administrator, reason=REASON)
    assert row.ref.startswith("all/")
    for user in (cast.shifter, cast.stranger):
        assert call_as(user).get(f"/api/v1/services/{row.ref}/").status_code == 200
        down = call_as(user).post(
            f"/api/v1/services/{row.ref}/override/", {"state": "down", "reason": "x"}, format="json"
        )
        assert down.status_code == 403
    assert call_as(cast.nobody).get(f"/api/v1/services/{row.ref}/").status_code == 404
    down = call_as(cast.administrator).post(
        f"/api/v1/services/{row.ref}/override/", {"state": "down", "reason": "x"}, format="json"
    )
    assert down.status_code == 200 and down.json()["override"]["state"] == "down"
    assert call_as(cast.shifter).get("/api/v1/holds/?standing=maybe").status_code == 422
    unknown = call_as(cast.shifter).post(
        "/api/v1/holds/", {"scope": "batch", "of": "demo/j1", "reason": "x"}, format="json"
    )
    assert unknown.status_code == 422 and unknown.json()["errors"][0]["field"] == "of"


@pytest.mark.django_db
def test_an_edit_of_what_was_changed_meanwhile_is_409(cast, call_as):
    row = serving.add(cast.experiment, "sam", "none", by=cast.administrator, reason=REASON)
    admin, seen = call_as(cast.administrator), row.fingerprint
    for title, status in (("SAM", 200), ("Sam", 409)):
        body = {"title": title, "seen": seen, "reason": REASON}
        assert admin.patch(f"/api/v1/services/{row.ref}/", body, format="json").status_code == status
