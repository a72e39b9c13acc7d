"""The outbox by API: what is set there is what its page shows, and only administrators see it."""

from __future__ import annotations

import pytest

from integrations.models import Message, Webhook

pytestmark = pytest.mark.django_db
HOOK = "https://hooks.example.org/poms"


def test_a_webhook_is_set_shown_and_taken_away(cast, call_as):
    client = call_as(cast.administrator)
    body = {"experiment": "demo", "url": HOOK, "reason": "the shift reads it there"}
    assert client.put("/api/v1/outbox/webhook/", body).json()["webhook"] == {"url": HOOK}
    assert Webhook.objects.get(experiment=cast.experiment).url == HOOK
    shown = client.get("/api/v1/outbox/?experiment=demo").json()
    assert shown == {"experiment": "demo", "webhook": {"url": HOOK}, "desk": None, "logbook": None, "stuck": 0}
    assert client.put("/api/v1/outbox/webhook/", {**body, "url": ""}).json()["webhook"] is None


def test_desk_and_logbook_name_their_secret_and_never_have_it(cast, call_as):
    client = call_as(cast.administrator)
    body = {"experiment": "demo", "url": "https://desk.example.org", "group": "ops", "reason": "tickets go there"}
    refused = client.put("/api/v1/outbox/desk/", body)
    assert refused.status_code == 422 and refused.json()["errors"][0]["field"] == "credential"
    refused = client.put("/api/v1/outbox/desk/", {**body, "credential": "user:password"})
    assert refused.status_code == 422


def test_what_did_not_get_there_is_tried_again(cast, call_as):
    client = call_as(cast.administrator)
    assert client.post("/api/v1/outbox/again/", {"experiment": "demo"}).json() == {"experiment": "demo", "again": 0}
    assert not Message.objects.exists()
    assert call_as(cast.operator).get("/api/v1/outbox/?experiment=demo").status_code == 403
