"""Addresses of the pages."""

from __future__ import annotations

from django.urls import include, path

from poms_site.web import (
    account,
    acting,
    campaigns,
    docs,
    editor,
    files,
    notices,
    queue,
    request_form,
    requests,
    search,
    sign_in,
    sites,
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
    # Verbs before campaigns by name, which takes any word.
    *acting.urlpatterns,
    *work.urlpatterns,
    *queue.urlpatterns,
    *editor.urlpatterns,
    *campaigns.urlpatterns,
    *files.urlpatterns,
    *sites.urlpatterns,
    *notices.urlpatterns,
    path("docs/", include(docs.urlpatterns)),
]
