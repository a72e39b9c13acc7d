"""All addresses of the service."""

from __future__ import annotations

from django.urls import include, path

urlpatterns = [path("api/v1/", include("poms_site.api.urls"))]
