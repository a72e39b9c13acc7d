"""Launch hosts and batch systems in the admin: entered, changed, put away and tried; who is silent is shown."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME

from core.models import Transition
from integrations.launcher import breaker
from integrations.models import BatchSystem, LaunchHost
from tests import builders
from tests.admin.test_scoping import grant
from tests.cast import Cast

pytestmark = pytest.mark.django_db
HOSTS, SYSTEMS = "/admin/integrations/launchhost/", "/admin/integrations/batchsystem/"
NAME = "gpvm01.example.org"


@pytest.fixture(autouse=True)
def apart(settings: Any, tmp_path: Any) -> None:
    """Keep what a try leaves out of the clone."""
    settings.STATE_DIR, settings.LOCAL_SPOOL = tmp_path, tmp_path / "no daemon"


def sent(row: LaunchHost, **values: Any) -> dict[str, Any]:
    """Return what the form sends for a host that exists."""
    shown = {name: value for name, value in row.values().items() if not isinstance(value, bool)}
    return {**shown, "active": "on", "seen": row.fingerprint, "reason": "it has moved", **values}


def test_a_host_is_entered_and_a_key_that_is_none_is_told_beside_its_field(cast: Cast, as_: Any, text: Any) -> None:
    body = {
        "experiment": cast.experiment.pk, "name": NAME, "account": "mcprod", "address": NAME, "port": "22",
        "home": "/scratch/poms", "python": "python3", "credential": "", "most_at_once": "20", "reason": "there is room",
        "known_hosts": builders.host_key(NAME).replace("\n", "\r\n"),
    }  # fmt: skip
    wrong = as_("administrator").post(f"{HOSTS}add/", {**body, "known_hosts": "nonsense", "home": "scratch"})
    assert "The home of a launch host is a path from the root" in text(wrong)
    wrong = as_("administrator").post(f"{HOSTS}add/", {**body, "known_hosts": "nonsense"})
    assert "line 1 is no key: nonsense" in text(wrong)
    assert "nonsense</textarea>" in text(wrong)
    assert as_("administrator").post(f"{HOSTS}add/", body).status_code == 302
    row = LaunchHost.objects.get()
    assert (row.called, row.most_at_once, row.active) == (f"mcprod@{NAME}", 20, True)
    assert "\r" not in row.known_hosts
    step = Transition.objects.get(kind="launch_host")
    assert (step.verb, step.actor, step.reason) == ("create", "user:administrator", "there is room")
    assert "there is room" in text(as_("operator").get(f"{HOSTS}{row.pk}/history/"))
    assert "that needs the role administrator" in text(as_("operator").get(f"{HOSTS}{row.pk}/change/"))


def test_the_administrator_of_one_experiment_changes_all_but_how_it_is_reached(cast: Cast, as_: Any, text: Any) -> None:
    grant(cast.shifter, cast.experiment)
    row = builders.launch_host(cast)
    refused = as_("shifter").get(f"{HOSTS}add/")
    assert (refused.status_code, "administrator in the whole service" in text(refused)) == (403, True)
    place = f"{HOSTS}{row.pk}/change/"
    assert 'name="address"' not in text(as_("shifter").get(place))
    answer = as_("shifter").post(place, sent(row, address="1.2.3.4", credential="other", home="/scratch2"))
    assert answer.status_code == 302
    row.refresh_from_db()
    assert (row.home, row.address, row.credential) == ("/scratch2", "127.0.0.1", "")
    assert as_("shifter").post(place, {**sent(row), "active": ""}).status_code == 302
    row.refresh_from_db()
    assert not row.active


def test_who_is_silent_is_shown_and_the_button_tries(cast: Cast, as_: Any, text: Any) -> None:
    row = builders.launch_host(cast)
    place = f"{HOSTS}{row.pk}/change/"
    assert "silent since" not in text(as_("administrator").get(place))
    breaker.unheard(row, ValueError("no route to it"))
    page = text(as_("administrator").get(place))
    assert "silent since 20" in page
    assert "1 call" in page
    assert "no route to it" in page
    assert "Next try" in page
    assert "silent since 20" in text(as_("operator").get(HOSTS))
    tried = as_("administrator").post(place, {"_try": "Try it"}, follow=True)
    assert "lets nobody in" in text(tried)
    assert as_("operator").post(place, {"_try": "Try it"}).status_code == 403
    assert 'name="_try"' not in text(as_("operator").get(place))
    assert as_("administrator").post(f"{HOSTS}{MISSING}/change/", {"_try": "Try it"}).status_code == 404
    chosen = {"action": "try_chosen", ACTION_CHECKBOX_NAME: [row.pk]}
    assert "lets nobody in" in text(as_("administrator").post(HOSTS, chosen, follow=True))
    assert [step.verb for step in Transition.objects.filter(kind="launch_host")] == ["try", "try"]


MISSING = 999_999_999


def test_a_batch_system_is_entered_changed_and_tried(cast: Cast, as_: Any, text: Any) -> None:
    body = {"name": "second", "backend": "local", "settings": "", "reason": "there is room"}
    wrong = as_("administrator").post(f"{SYSTEMS}add/", {**body, "settings": "schedd = a.example.org"})
    assert "schedd is not one of its settings" in text(wrong)
    assert as_("administrator").post(f"{SYSTEMS}add/", body).status_code == 302
    row = BatchSystem.objects.get(name="second")
    place = f"{SYSTEMS}{row.pk}/change/"
    tried = text(as_("administrator").post(place, {"_try": "Try it"}, follow=True))
    assert "second: " in tried
    away = {"settings": "", "seen": row.fingerprint, "reason": "it is taken away"}
    assert as_("administrator").post(place, away).status_code == 302
    row.refresh_from_db()
    assert not row.active
    history = text(as_("administrator").get(f"{SYSTEMS}{row.pk}/history/"))
    assert "there is room" in history
    assert "it is taken away" in history
    grant(cast.shifter, cast.experiment)
    assert as_("shifter").get(SYSTEMS).status_code == 403


def test_the_form_of_a_set_up_offers_the_hosts_of_its_experiment(cast: Cast, as_: Any, text: Any) -> None:
    builders.launch_host(cast, name="near")
    builders.launch_host(cast, name="away", active=False)
    LaunchHost.objects.create(
        experiment=cast.other, name="theirs", account="x", address="127.0.0.1", home="/x", known_hosts="x"
    )
    setup = builders.login_setup(cast)
    for place in ("add/", f"{setup.pk}/change/"):
        page = text(as_("operator").get(f"/admin/campaigns/loginsetup/{place}"))
        assert '<option value="near">mcprod@near of demo</option>' in page
        assert '<option value="mcprod">mcprod@near of demo</option>' in page
        assert "away" not in page
        assert "theirs" not in page
    body = {"host": "near", "account": "other", "setup": "", "launcher": "ssh", "batch": "local", "active": "on",
            "seen": setup.fingerprint, "reason": "over there"}  # fmt: skip
    refused = text(as_("operator").post(f"/admin/campaigns/loginsetup/{setup.pk}/change/", body))
    assert "other@near is no launch host of demo (one of mcprod@near; an administrator of the whole service" in refused
