"""Who may enter, and a matrix over every address of the admin: every role, on own, foreign and missing objects."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

import pytest
from django.urls import reverse

from experiments.models import Approver, Certificate, Membership, ServiceAccount
from poms_site.admin_site import site
from tests.contracts.checks import routes
from tests.contracts.who import about_which
from tests.contracts.world import MISSING
from tests.turns import WHOLE, its_turn

ENTER = ("approver", "operator", "administrator")
VIEW = frozenset(ENTER)
# model -> who may look, add, change (those that enter), and whether one that exists can be changed at all.
MODELS: dict[str, tuple[frozenset[str], frozenset[str], frozenset[str], bool]] = {
    "approvals_request": (VIEW, frozenset(), frozenset({"approver"}), True),
    "experiments_experiment": (VIEW, frozenset({"administrator"}), frozenset({"administrator"}), True),
    "experiments_membership": (VIEW, frozenset({"administrator"}), frozenset({"administrator"}), True),
    "experiments_approver": (VIEW, frozenset({"administrator"}), frozenset({"administrator"}), False),
    "experiments_user": (frozenset({"administrator"}), frozenset(), frozenset(), False),
    "experiments_serviceaccount": (*[frozenset({"administrator"})] * 3, True),
    "experiments_certificate": (*[frozenset({"administrator"})] * 3, False),
    "campaigns_jobtype": (VIEW, frozenset({"operator"}), frozenset({"operator"}), True),
    "campaigns_defaults": (VIEW, frozenset({"operator"}), frozenset({"operator"}), True),
    "campaigns_loginsetup": (VIEW, frozenset({"operator"}), frozenset({"operator"}), True),
    "integrations_cataloguelink": (VIEW, frozenset({"administrator"}), frozenset({"administrator"}), True),
    "integrations_credential": (VIEW, frozenset({"administrator"}), frozenset({"administrator"}), True),
    "integrations_launchhost": (VIEW, frozenset({"administrator"}), frozenset({"administrator"}), True),
    "integrations_batchsystem": (*[frozenset({"administrator"})] * 3, True),
    "submissions_share": (VIEW, frozenset({"administrator"}), frozenset({"administrator"}), True),
    "approvals_policy": (VIEW, frozenset({"administrator"}), frozenset({"administrator"}), True),
    "approvals_package": (VIEW, frozenset({"administrator"}), frozenset({"administrator"}), True),
    "approvals_template": (VIEW, frozenset({"operator"}), frozenset({"operator"}), True),
}
# Members of the experiment may see that there are such things; who may not look at them here is told who may.
SEEN_BY_THE_EXPERIMENT = ("experiments_serviceaccount", "experiments_certificate")
# Addresses of the site itself: status of a GET by somebody who may enter.
SITE = {"index": 200, "login": 302, "logout": 302, "autocomplete": 403, "jsi18n": 200, "app_list": 200, "nowhere": 404}
OF_A_MODEL = ("changelist", "add", "change", "history", "delete")
NAMES = {"approver": "approver", "decide_request": "approver", "define": "operator", "administer": "administrator"}


def test_every_address_has_its_line_in_the_tables():
    found = [pattern.name for _, pattern in routes(site.get_urls())]
    assert None not in found
    assert sorted(found) == sorted([*SITE, *(f"{model}_{name}" for model in MODELS for name in OF_A_MODEL)])


def objects(world: Any, cast: Any, model: str) -> Iterator[tuple[str, Any]]:
    """Give an own object, one of the other experiment, and a key that nothing has."""
    for what, corner in (("own", world.own), ("other", world.other)):
        found = {
            "approvals_request": corner.objects["pending"], "experiments_experiment": corner.experiment,
            "experiments_membership": Membership.objects.filter(experiment=corner.experiment).first(),
            "experiments_approver": Approver.objects.get(experiment=corner.experiment),
            "experiments_serviceaccount": ServiceAccount.objects.get(experiment=corner.experiment),
            "experiments_certificate": Certificate.objects.get(account__experiment=corner.experiment),
            "experiments_user": corner.owner, "campaigns_jobtype": corner.objects["jobtype"],
            "campaigns_loginsetup": corner.objects["setup"], "approvals_policy": corner.objects["policy"],
            "approvals_package": corner.objects["package"], "approvals_template": corner.objects["template"],
            "integrations_cataloguelink": corner.objects["catalogue"],
            "integrations_credential": corner.objects["credential"],
            "integrations_launchhost": corner.objects["host"], "integrations_batchsystem": corner.objects["system"],
            "submissions_share": corner.objects["share"], "campaigns_defaults": corner.objects["defaults"],
        }  # fmt: skip
        yield what, found[model].pk
    yield "missing", MISSING


def expected(who: str, model: str, page: str, method: str, what: str) -> int:
    """Return the status that the tables ask for, of somebody who may enter."""
    look, add, change, changeable = MODELS[model]
    if page == "changelist":
        return 200 if who in look else 403
    if page == "add":
        return 200 if who in add else 403
    if model in SEEN_BY_THE_EXPERIMENT and what == "own" and who not in look:
        return 403
    if what == "missing" or who not in look or (what == "other" and who != "administrator"):
        return 404
    if page == "delete":
        return 403
    if page == "history" or method == "GET":
        return 200
    if who not in change or not changeable:
        return 403
    return 422 if model == "approvals_request" else 200  # an empty form, with what is missing


@pytest.mark.parametrize("model", MODELS)
def test_every_page_answers_every_role_as_the_table_says(world, cast, as_, model):
    wrong, cells, keys = [], 0, dict(objects(world, cast, model))
    for who in (*cast.people, "anonymous"):
        client = as_(who)
        if who not in ENTER and not its_turn(10, who, model):
            continue
        for page in OF_A_MODEL:
            for what in ["any"] if page in ("changelist", "add") else about_which(list(keys), who, model, page):
                url = reverse(f"admin:{model}_{page}", args=[keys[what]] if what in keys else [])
                for method in ("GET", "POST"):
                    answer = client.generic(method, url, b"", "application/x-www-form-urlencoded")
                    said, cells = answer.content.decode(), cells + 1
                    if who == "anonymous":
                        wanted = 302
                        assert answer.headers["Location"].startswith("/sign-in/?next=%2Fadmin%2F"), url
                    elif who not in ENTER:
                        wanted = 403
                        assert all(role in said for role in ENTER), (who, url)
                    else:
                        wanted = expected(who, model, page, method, what)
                    if answer.status_code != wanted:
                        wrong.append(f"{method} {page} by {who} on {what}: {answer.status_code} instead of {wanted}")
                    elif wanted == 403 and who in ENTER and page in ("change", "add") and "This needs the role" in said:
                        rule = site._registry[site_model(model)].rules["add" if page == "add" else "change"]
                        assert NAMES.get(rule, "experimenter") in said, (who, url, said)
    assert not wrong, f"{len(wrong)} of {cells}:\n" + "\n".join(wrong)
    assert cells >= (13 * 2 * 3 if WHOLE else 12)


def site_model(name: str) -> Any:
    return next(m for m in site._registry if f"{m._meta.app_label}_{m._meta.model_name}" == name)


@pytest.mark.parametrize("name", SITE)
def test_the_pages_of_the_site_answer_every_role(world, cast, as_, name):
    kwargs = {"app_list": {"app_label": "campaigns"}, "nowhere": {"url": "no/such/place/"}}.get(name, {})
    for who in (*cast.people, "anonymous"):
        answer = as_(who).get(reverse(f"admin:{name}", kwargs=kwargs))
        if name in ("login", "logout") or who == "anonymous":
            assert answer.status_code == 302
            there = unquote(answer.headers["Location"])
            assert there.startswith("/sign-out/" if name == "logout" else "/sign-in/?next=/admin/")
        else:
            assert answer.status_code == (SITE[name] if who in ENTER else 403), who


def test_staff_and_superuser_flags_mean_nothing(cast, as_):
    cast.shifter.is_staff = cast.shifter.is_superuser = True
    cast.shifter.save()
    assert as_("shifter").get("/admin/").status_code == 403
    assert as_("shifter").get(f"/admin/experiments/experiment/{cast.experiment.pk}/change/").status_code == 403


def test_an_account_that_was_closed_enters_nothing(cast, as_):
    client = as_("administrator")
    cast.administrator.is_active = False
    cast.administrator.save()
    assert client.get("/admin/").status_code == 302


def test_a_role_that_has_ended_opens_nothing(cast, as_):
    client = as_("administrator")
    Membership.objects.filter(user=cast.administrator).update(active=False)
    assert client.get("/admin/").status_code == 403


def test_signing_out_stays_a_post(cast, as_):
    answer = as_("approver").post("/admin/logout/")
    assert (answer.status_code, answer.headers["Location"]) == (307, "/sign-out/")


def test_there_are_no_pages_for_passwords(as_, cast):
    for path in ("password_change/", "password_change/done/", f"experiments/user/{cast.approver.pk}/password/"):
        assert as_("administrator").get(f"/admin/{path}").status_code == 404


def test_every_page_has_its_help_and_the_strict_content_policy(world, as_, text):
    request = world.own.objects["pending"]
    for path in ("", "approvals/request/", f"approvals/request/{request.pk}/change/", "campaigns/jobtype/", "nowhere/"):
        answer = as_("approver").get(f"/admin/{path}")
        assert 'href="/docs/operate/admin/"' in text(answer)
        assert "script-src 'self'" in answer.headers["Content-Security-Policy"]
        assert "<style" not in text(answer)
        assert " style=" not in text(answer)
