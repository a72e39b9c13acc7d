"""The board is played once for many readers, and never shown in an order that somebody has changed."""

from __future__ import annotations

import re

import pytest

from campaigns.models import Campaign
from poms_site.web import queue
from submissions.logic import ordering
from tests.submissions.test_line import campaign

pytestmark = pytest.mark.django_db


def order(answer):
    return re.findall(r'data-key="c(\d+)"', answer.content.decode())


def test_it_is_played_once_until_somebody_changes_the_order(cast, as_, monkeypatch):
    low, high = campaign(cast, "low", rank=10), campaign(cast, "high", rank=90)
    played = []
    monkeypatch.setattr(queue, "queue_of", lambda here, real=queue.queue_of: played.append(here) or real(here))
    reader, other = as_(cast.experimenter), as_(cast.operator)
    for browser in (reader, other, reader):
        assert order(browser.get("/e/demo/queue/")) == [str(high.pk), str(low.pk)]
    assert len(played) == 1
    ordering.reorder({low.pk: 95}, actor=cast.operator.actor, reason="urgent", read={low.pk: 10, high.pk: 90})
    for browser in (reader, other):
        assert order(browser.get("/e/demo/queue/")) == [str(low.pk), str(high.pk)]
    assert len(played) == 2
    Campaign.objects.filter(pk=low.pk).update(state="cancelled")
    assert order(reader.get("/e/demo/queue/")) == [str(high.pk)]
