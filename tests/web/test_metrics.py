"""/metrics: closed without its token, and true when it is open."""

from __future__ import annotations

import pytest
from prometheus_client.parser import text_string_to_metric_families

from core import loops
from poms_site.web import live
from submissions.logic import tallying
from submissions.models import JobCount

pytestmark = pytest.mark.django_db


def scraped(client, **headers) -> dict[tuple[str, tuple[str, ...]], float]:
    live.forget()
    answer = client.get("/metrics", headers=headers)
    assert answer.status_code == 200 and answer["Content-Type"].startswith("text/plain; version=0.0.4")
    return {
        (sample.name, tuple(sorted(sample.labels.values()))): sample.value
        for family in text_string_to_metric_families(answer.content.decode())
        for sample in family.samples
    }


def test_nobody_reads_them_without_the_token(client, settings, cast):
    client.force_login(cast.administrator)
    assert client.get("/metrics").status_code == 404
    settings.METRICS_TOKEN = "let me in"
    for given in ("", "Bearer", "Bearer ", "Bearer let", "Basic let me in"):
        assert client.get("/metrics", headers={"Authorization": given}).status_code == 404
    assert client.get("/metrics", headers={"Authorization": "Bearer let me in"}).status_code == 200


def test_they_say_how_much_there_is_of_what(client, settings, world):
    settings.METRICS_OPEN = True
    running = world.own.objects["running"]
    JobCount.objects.create(submission=running, state_code=1, n=41)
    loops.run("sweep")
    while tallying.tally_some():
        pass
    found = scraped(client)
    assert found["poms_jobs", ("demo", "idle", "local")] == 41
    assert found["poms_jobs", ("demo", "local", "processing")] == 1
    assert found["poms_submissions", ("demo", "unsure")] == 1
    assert found["poms_campaigns", ("demo", "running")] >= 1
    assert found["poms_holds", ("campaign",)] == 2, "one in each experiment"
    assert found["poms_requests_waiting", ("demo",)] >= 2
    assert found["poms_oldest_in_state_seconds", ("submission", "unsure")] > 0
    assert found["poms_inbox_reports", ()] == 0
    assert found["poms_loop_period_seconds", ("observe",)] == 1
    assert found["poms_loop_beat_seconds_ago", ("sweep",)] >= 0
    assert found["poms_loop_errors_total", ("sweep",)] == 0
    assert ("poms_messages_waiting", ("mail",)) not in found


def test_many_scrapes_ask_the_database_once_in_ten_seconds(client, settings, cast, django_assert_num_queries):
    settings.METRICS_OPEN = True
    live.forget()
    client.get("/metrics")
    with django_assert_num_queries(0):
        client.get("/metrics")
