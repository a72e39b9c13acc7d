"""/metrics: what Prometheus scrapes, behind a token of its own. The only module that knows its library."""

from __future__ import annotations

import hmac
from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.urls import path
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest

from core.errors import NotVisible
from experiments.rules import PUBLIC
from poms_site.overview.measurements import Measurement, measure
from poms_site.web import live
from poms_site.web.page import Page

FRESH_SECONDS = 10.0
_FAMILIES: dict[str, Any] = {"gauge": GaugeMetricFamily, "counter": CounterMetricFamily}


class MetricsPage(Page):
    """The figures as text; for who does not show the token there is nothing here."""

    rules = {"get": PUBLIC}

    def get(self, request: HttpRequest) -> HttpResponse:
        """Send them, no older than ten seconds."""
        if not _may_read(request):
            raise NotVisible("There is nothing at this address.")
        text = live.shared("metrics", FRESH_SECONDS, _text)
        return HttpResponse(text, content_type=CONTENT_TYPE_PLAIN_0_0_4)


def _may_read(request: HttpRequest) -> bool:
    """Tell whether this installation is open, or the request bears its token."""
    if settings.METRICS_OPEN:
        return True
    kind, _, given = request.headers.get("Authorization", "").partition(" ")
    wanted = settings.METRICS_TOKEN
    return bool(wanted) and kind.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), wanted.encode())


class _Collector:
    """What the library asks for families, made anew for each text: nothing is kept in this process."""

    def __init__(self, measured: list[Measurement]) -> None:
        self._measured = measured

    def collect(self) -> Iterator[Any]:
        for one in self._measured:
            family = _FAMILIES[one.kind](one.name, one.help, labels=one.labels)
            for labels, value in one.values:
                family.add_metric(labels, value)
            yield family


def _text() -> bytes:
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(measure()))
    return generate_latest(registry)


urlpatterns = [path("metrics", MetricsPage.as_view(), name="metrics")]
