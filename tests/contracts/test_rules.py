"""Every route, page and admin model declares a rule that is also enforced; each check is shown planted faults."""

from __future__ import annotations

import pytest
from django.apps import apps
from django.contrib.auth.models import AnonymousUser
from django.contrib.sessions.backends.signed_cookies import SessionStore
from django.http import HttpResponse
from django.urls import get_resolver, path
from django.views import View
from rest_framework.permissions import AllowAny
from rest_framework.views import APIView

from core.models import Transition
from experiments.models import Experiment
from experiments.rules import PUBLIC, SIGNED_IN
from experiments.viewsets import ScopedViewSet
from poms_site.web.page import Page
from tests.contracts import checks


def test_every_route_declares_a_rule():
    assert checks.undeclared_routes(get_resolver().url_patterns) == []


def test_every_admin_model_declares_a_rule():
    if not apps.is_installed("django.contrib.admin"):
        assert not any("admin" in address for address, _ in checks.routes(get_resolver().url_patterns))
        return
    from django.contrib.admin.sites import all_sites

    assert checks.undeclared_admin(all_sites) == []


def test_routes_without_a_rule_are_found():
    class Undeclared(ScopedViewSet):
        rules = {"list": "view"}

    class Open(APIView):
        rules = {"get": "view"}
        permission_classes = [AllowAny]

        def get(self, request): ...

    class Plain(View):
        def get(self, request): ...

    class Invented(APIView):
        rules = {"get": "whoever"}

        def get(self, request): ...

    def function(request): ...

    planted = [
        path("undeclared/", Undeclared.as_view({"get": "list", "post": "create"})),
        path("open/", Open.as_view()),
        path("plain/", Plain.as_view()),
        path("invented/", Invented.as_view()),
        path("function/", function),
    ]
    wrong = checks.undeclared_routes(planted)
    assert len(wrong) == 5
    assert wrong[0] == "undeclared/: Undeclared declares no rule for POST (create)"
    assert "nothing enforces it" in wrong[1]
    assert "Plain declares no rule for GET" in wrong[2]
    assert "Invented declares no rule for GET" in wrong[3]
    assert wrong[4] == "function/: a function view declares no rule"


def test_an_admin_model_without_a_rule_is_found():
    class PlantedAdmin:
        rules = {"view": "view", "add": "administer", "change": "administer"}

    class Site:
        _registry = {Experiment: PlantedAdmin()}

    wrong = checks.undeclared_admin([Site()])
    assert wrong == ["experiments.Experiment: PlantedAdmin declares no rule for delete"]


# --- Pages ----------------------------------------------------------------------------------------------------


def test_pages_without_a_rule_that_is_enforced_are_found():
    class Undeclared(Page):
        rules = {"get": "view"}

        def get(self, request, **kwargs): ...

        def post(self, request, **kwargs): ...

    class Nowhere(Page):
        rules = {"get": "operate"}

        def get(self, request): ...

    class Unguarded(Page):
        rules = {"get": SIGNED_IN}

        def get(self, request): ...

        def dispatch(self, request, *args, **kwargs): ...

    class Plain(View):
        rules = {"get": "view"}

        def get(self, request, **kwargs): ...

    planted = [
        path("e/<slug:experiment>/undeclared/", Undeclared.as_view()),
        path("nowhere/", Nowhere.as_view()),
        path("unguarded/", Unguarded.as_view()),
        path("e/<slug:experiment>/plain/", Plain.as_view()),
    ]
    assert checks.undeclared_routes(planted) == [
        "e/<slug:experiment>/undeclared/: Undeclared declares no rule for POST (post)",
        "nowhere/: Nowhere declares operate for GET, but nothing enforces it",
        "unguarded/: Unguarded declares signed_in for GET, but nothing enforces it",
        "e/<slug:experiment>/plain/: Plain declares view for GET, but nothing enforces it",
    ]


@pytest.fixture
def ask(rf):
    """Ask a page that no address leads to, in somebody's name."""

    def answer(page, user, method="get", **kwargs):
        request = getattr(rf, method)("/planted/")
        request.user, request.session = user, SessionStore()
        return page.as_view()(request, **kwargs)

    return answer


class Planted(Page):
    """A page for operators that has a form for which no rule is declared."""

    rules = {"get": "operate"}

    def get(self, request, **kwargs):
        return HttpResponse("in")

    def post(self, request, **kwargs):
        return HttpResponse("in")


@pytest.mark.django_db
def test_the_rule_of_a_page_is_enforced(cast, ask):
    assert ask(Planted, cast.operator, experiment="demo").content == b"in"
    refused = ask(Planted, cast.experimenter, experiment="demo")
    assert (refused.status_code, b"operator in demo" in refused.content) == (403, True)
    assert ask(Planted, cast.stranger, experiment="demo").status_code == 404
    assert ask(Planted, cast.operator, experiment="other").status_code == 404
    away = ask(Planted, AnonymousUser(), experiment="demo")
    assert (away.status_code, away["Location"]) == (302, "/sign-in/?next=%2Fplanted%2F")


@pytest.mark.django_db
def test_a_permission_that_no_experiment_is_asked_for_is_given_to_nobody(cast, ask):
    assert {ask(Planted, user).status_code for user in cast.people.values()} == {403}


def pages() -> list[type[Page]]:
    """Return the classes of all pages, each once."""
    found = {checks.view_class(pattern.callback) for _, pattern in checks.routes(get_resolver().url_patterns)}
    return sorted(
        (view for view in found if isinstance(view, type) and issubclass(view, Page)), key=lambda v: v.__name__
    )


@pytest.mark.django_db
@pytest.mark.parametrize("page", pages(), ids=lambda page: page.__name__)
def test_a_method_without_a_rule_is_refused_on_every_page(cast, ask, page):
    bare = type(page.__name__, (page,), {"rules": {}})
    steps = Transition.objects.count()
    for method in ("get", "post"):
        expected = 403 if hasattr(page, method) else 405
        for user in (cast.operator, cast.administrator, AnonymousUser()):
            assert ask(bare, user, method, experiment="demo").status_code == expected, (method, user)
    assert ask(page, cast.operator, "delete", experiment="demo").status_code == 405
    assert Transition.objects.count() == steps


def test_only_what_everybody_may_read_is_public():
    public = {page.__name__ for page in pages() if PUBLIC in page.rules.values()}
    docs = {"Part", "Chapter", "Source", "Search"}
    ways_in = {"SignInPage", "ToProvider", "FromProvider", "SignOut"}
    by_its_own_token = {"MetricsPage"}  # nothing is there for who does not show it (tests/web/test_metrics.py)
    assert public == {*ways_in, *by_its_own_token, "StylePage", "SecurityText"} | docs
