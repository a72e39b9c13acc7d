"""The queue over HTTP: tried and kept, refused where it is stale, and open to approvers of the production stage only."""

from __future__ import annotations

import pytest
from rest_framework.test import APIClient

from campaigns.models import Campaign
from experiments.models import Approver
from tests.submissions.test_line import campaign

pytestmark = pytest.mark.django_db


def sent(user, tail, **body):
    client = APIClient()
    client.force_authenticate(user)
    return client.post(f"/api/v1/queue/{tail}/", {"experiment": "demo", **body}, format="json")


def test_an_order_is_tried_then_kept_and_a_stale_one_is_409(cast):
    low, high = campaign(cast, "low", rank=10), campaign(cast, "high", rank=90)
    tried = sent(cast.experimenter, "preview", order=[low.ref]).json()
    assert [row["ref"] for row in tried["results"]] == [low.ref, high.ref]
    assert Campaign.objects.get(pk=low.pk).rank == 10
    read = {low.ref: 10, high.ref: 90}
    kept = sent(cast.operator, "order", ranks={low.ref: 95}, reason="urgent", read=read)
    assert (kept.status_code, kept.json()["changed"]) == (200, [low.ref])
    assert sent(cast.operator, "order", ranks={high.ref: 99}, reason="urgent", read=read).status_code == 409
    assert sent(cast.operator, "order", ranks={high.ref: 99}).status_code == 422


def test_an_approver_ranks_the_campaigns_of_the_own_production_stages_only(cast):
    row = campaign(cast, rank=10)
    assert sent(cast.approver, "order", ranks={row.ref: 20}, reason="agreed").status_code == 200
    Approver.objects.update(production_stage="reco")
    refused = sent(cast.approver, "order", ranks={row.ref: 30}, reason="agreed")
    assert refused.status_code == 403
    assert "registered for mc" in refused.json()["detail"]


def test_what_is_not_in_the_queue_is_named(cast):
    answer = sent(cast.operator, "preview", order=["demo/c999999"])
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["message"] == "not in the queue: demo/c999999"
