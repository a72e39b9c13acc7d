"""All addresses of the service."""

from __future__ import annotations

from django.urls import include, path

from poms_site.admin_site import site
from poms_site.old_calls.view import urlpatterns as old_calls

urlpatterns = [
    path("api/v1/", include("poms_site.api.urls")),
    path("admin/", site.urls),
    *old_calls,
    path("", include("poms_site.web.urls")),
]
handler403 = "poms_site.web.errors.forbidden"
handler404 = "poms_site.web.errors.nothing_here"
handler500 = "poms_site.web.errors.broken"
