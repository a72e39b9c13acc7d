"""Addresses of the pages."""

from __future__ import annotations

from django.urls import include, path

from poms_site.web import acting, campaigns, docs, files, queue, requests, search, sites, work
from poms_site.web.home import HomePage, OverviewPage, StylePage
from poms_site.web.sign_in import SignInPage, SignOut, SwitchPage

urlpatterns = [
    path("", HomePage.as_view(), name="home"),
    path("sign-in/", SignInPage.as_view(), name="sign-in"),
    path("sign-out/", SignOut.as_view(), name="sign-out"),
    path("switch/<slug:name>/", SwitchPage.as_view(), name="switch"),
    path("style/", StylePage.as_view(), name="style"),
    path("e/<slug:experiment>/", OverviewPage.as_view(), name="overview-page"),
    *search.urlpatterns,
    *requests.urlpatterns,
    # Verbs before campaigns by name, which takes any word.
    *acting.urlpatterns,
    *work.urlpatterns,
    *queue.urlpatterns,
    *campaigns.urlpatterns,
    *files.urlpatterns,
    *sites.urlpatterns,
    path("docs/", include(docs.urlpatterns)),
]
