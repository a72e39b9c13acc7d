"""Addresses of the pages."""

from __future__ import annotations

from django.urls import include, path

from poms_site.web import (
    account,
    acting,
    campaigns,
    commands,
    credentials,
    docs,
    editor,
    failures,
    files,
    library,
    notices,
    queue,
    request_form,
    requests,
    schedules,
    search,
    selecting,
    services,
    shifts,
    sign_in,
    sites,
    taking_in,
    uploads,
    work,
)
from poms_site.web.home import HomePage, OverviewPage, StylePage

urlpatterns = [
    path("", HomePage.as_view(), name="home"),
    *sign_in.urlpatterns,
    *account.urlpatterns,
    path("style/", StylePage.as_view(), name="style"),
    path("e/<slug:experiment>/", OverviewPage.as_view(), name="overview-page"),
    *search.urlpatterns,
    *request_form.urlpatterns,
    *requests.urlpatterns,
    # Verbs, and what is no campaign, before campaigns by name, which takes any word.
    *taking_in.urlpatterns,
    *acting.urlpatterns,
    *selecting.urlpatterns,
    *work.urlpatterns,
    *commands.urlpatterns,
    *queue.urlpatterns,
    *schedules.urlpatterns,
    *editor.urlpatterns,
    *campaigns.urlpatterns,
    *credentials.urlpatterns,
    *library.urlpatterns,
    *failures.urlpatterns,
    *files.urlpatterns,
    *sites.urlpatterns,
    *services.urlpatterns,
    *shifts.urlpatterns,
    *uploads.urlpatterns,
    *notices.urlpatterns,
    path("docs/", include(docs.urlpatterns)),
]
