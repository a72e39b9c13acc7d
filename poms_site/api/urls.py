"""Addresses of the API, joined from the floors below."""

from __future__ import annotations

from django.urls import path
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerView

from approvals.api import urlpatterns as requests
from campaigns.api import urlpatterns as set_ups
from experiments.api import urlpatterns as people
from experiments.rules import PUBLIC
from integrations.api import urlpatterns as files
from poms_site.api.campaigns import urlpatterns as campaigns
from submissions.api import urlpatterns as submissions


class SchemaView(SpectacularAPIView):
    """The OpenAPI description."""

    rules = {"get": PUBLIC}


class BrowseView(SpectacularSwaggerView):
    """The description to browse and try."""

    rules = {"get": PUBLIC}


urlpatterns = [
    *people,
    *requests,
    *campaigns,
    *submissions,
    *set_ups,
    *files,
    path("schema/", SchemaView.as_view(), name="schema"),
    path("browse/", BrowseView.as_view(url_name="schema"), name="browse"),
]
