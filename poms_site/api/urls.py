"""Addresses of the API, joined from the floors below."""

from __future__ import annotations

from typing import Any

from django.urls import path, re_path
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerView
from rest_framework.request import Request
from rest_framework.views import APIView

from approvals.api import urlpatterns as requests
from campaigns.api import urlpatterns as set_ups
from core.errors import NotVisible
from experiments.api import urlpatterns as people
from experiments.rules import PUBLIC, SIGNED_IN
from poms_site.api.audit import urlpatterns as audit
from poms_site.api.campaigns import urlpatterns as campaigns
from poms_site.api.credentials import urlpatterns as credentials
from poms_site.api.data import urlpatterns as data
from poms_site.api.declaring import urlpatterns as declaring
from poms_site.api.definitions import urlpatterns as definitions
from poms_site.api.exports import urlpatterns as exports
from poms_site.api.failures import urlpatterns as failures
from poms_site.api.fife_launch import urlpatterns as fife_launch
from poms_site.api.hosts import urlpatterns as hosts
from poms_site.api.jobs import urlpatterns as jobs
from poms_site.api.loops import urlpatterns as loops
from poms_site.api.notices import urlpatterns as notices
from poms_site.api.outbox import urlpatterns as outbox
from poms_site.api.queue import urlpatterns as queue
from poms_site.api.recovery import urlpatterns as recovery
from poms_site.api.reports import urlpatterns as reports
from poms_site.api.reproductions import urlpatterns as reproductions
from poms_site.api.reviews import urlpatterns as reviews
from poms_site.api.schedules import urlpatterns as schedules
from poms_site.api.selecting import urlpatterns as selecting
from poms_site.api.services import urlpatterns as services
from poms_site.api.shift import urlpatterns as shift
from poms_site.api.shifts import urlpatterns as shifts
from poms_site.api.sites import urlpatterns as sites
from poms_site.api.uploads import urlpatterns as uploads
from poms_site.api.why import urlpatterns as why
from submissions.api import urlpatterns as submissions


class SchemaView(SpectacularAPIView):
    """The OpenAPI description."""

    rules = {"get": PUBLIC}


class BrowseView(SpectacularSwaggerView):
    """The description to browse and try."""

    rules = {"get": PUBLIC}


class NowhereView(APIView):
    """Every address that nothing else serves, malformed references among them: a problem document, no page."""

    rules = dict.fromkeys(("get", "post", "put", "patch", "delete"), SIGNED_IN)
    schema = None

    def get(self, request: Request) -> Any:
        """Say that there is nothing here."""
        raise NotVisible(f"There is no {request.path}, or you may not see it.")

    post = put = patch = delete = get


urlpatterns = [
    *people,
    *requests,
    *definitions,
    *failures,
    *fife_launch,
    *data,
    *declaring,
    *campaigns,
    *selecting,
    *submissions,
    *jobs,
    *exports,
    *recovery,
    *reports,
    *reproductions,
    *reviews,
    *set_ups,
    *shift,
    *shifts,
    *uploads,
    *sites,
    *credentials,
    *hosts,
    *loops,
    *notices,
    *outbox,
    *queue,
    *schedules,
    *services,
    *why,
    *audit,
    path("schema/", SchemaView.as_view(), name="schema"),
    path("browse/", BrowseView.as_view(url_name="schema"), name="browse"),
    # Only what ends in a slash, so that Django still redirects an address that lacks it.
    re_path(r"^(?:.*/)?$", NowhereView.as_view(), name="nowhere"),
]
