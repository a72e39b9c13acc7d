"""Nothing of another experiment is offered, taken, searched or acted on; and bad input is answered, never a 500."""

from __future__ import annotations

import json

import pytest
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db import connection
from django.test.utils import CaptureQueriesContext

from approvals.models import Request
from campaigns.models import JobType, LoginSetup
from core.models import Transition
from experiments.models import Approver, ExperimentUserPermission, Membership, User
from poms_site.admin_site import site
from tests import builders
from tests.turns import its_turn

SEARCH = "/admin/autocomplete/?app_label={}&model_name={}&field_name={}&term="
LISTS = {
    "approver": "approvals/request/", "operator": "campaigns/jobtype/", "administrator": "experiments/membership/"
}  # fmt: skip


def grant(user, experiment, permission="administer"):
    """Let somebody administer one experiment only, by a grant."""
    from django.contrib.auth.models import Permission

    for name in ("view_overview", "view", permission):
        granted = Permission.objects.get(codename=name, content_type__app_label="experiments")
        ExperimentUserPermission.objects.create(user=user, permission=granted, content_object=experiment)


def found(client, app, model, field, term=""):
    answer = client.get(SEARCH.format(app, model, field) + term)
    return answer.status_code, [row["text"] for row in json.loads(answer.content).get("results", [])] if (
        answer.status_code == 200
    ) else []


def test_only_who_may_fill_in_the_form_searches_people(cast, as_):
    assert found(as_("administrator"), "experiments", "membership", "user", "oper") == (200, ["operator"])
    for who in ("approver", "operator"):
        assert found(as_(who), "experiments", "membership", "user", "oper")[0] == 403


def test_a_search_answers_only_for_fields_that_a_form_searches_in(world, as_):
    for app, model, field in (
        ("campaigns", "jobtype", "experiment"), ("experiments", "membership", "experiment"),
        ("approvals", "request", "campaign"), ("approvals", "request", "requester"),
        ("experiments", "apitoken", "user"), ("core", "requestkey", "user"), ("no", "such", "thing"),
    ):  # fmt: skip
        for who in ("administrator", "operator"):
            assert found(as_(who), app, model, field)[0] == 403, (app, model, field)


@pytest.mark.parametrize("model", site._registry, ids=lambda model: model.__name__)
def test_no_list_or_filter_shows_a_row_or_name_of_another_experiment(world, as_, text, model):
    cast_other = world.other.experiment
    cast_other.name, cast_other.title = "hidden_one", "Hidden"
    cast_other.save()
    for who in ("approver", "operator"):
        answer = as_(who).get(f"/admin/{model._meta.app_label}/{model._meta.model_name}/")
        assert "hidden_one" not in text(answer)


def test_forms_offer_only_experiments_where_the_person_may_act(world, cast, as_, text):
    form = text(as_("operator").get("/admin/campaigns/jobtype/add/"))
    assert f'<option value="{cast.experiment.pk}">demo</option>' in form
    assert f'<option value="{cast.other.pk}">' not in form
    grant(cast.shifter, cast.other, "define")
    form = text(as_("shifter").get("/admin/campaigns/jobtype/add/"))
    assert f'<option value="{cast.other.pk}">other</option>' in form
    assert f'<option value="{cast.experiment.pk}">' not in form


@pytest.mark.parametrize("path", ["campaigns/jobtype/add/", "campaigns/loginsetup/add/"])
def test_a_posted_foreign_key_of_another_experiment_is_refused(world, cast, as_, text, path):
    body = {"name": "new", "launch_script": "/bin/true", "output_file_patterns": "%", "host": "localhost",
            "launcher": "local", "batch": "local", "reason": "to try", "experiment": cast.other.pk}  # fmt: skip
    answer = as_("operator").post(f"/admin/{path}", body)
    assert answer.status_code == 200
    assert "Select a valid choice" in text(answer)
    assert not JobType.objects.filter(name="new").exists()
    assert not LoginSetup.objects.filter(name="new").exists()
    assert as_("operator").post(f"/admin/{path}", {**body, "experiment": cast.experiment.pk}).status_code == 302


def test_who_administers_one_experiment_gives_no_role_in_another_and_none_everywhere(cast, as_, text):
    grant(cast.shifter, cast.experiment)
    body = {"user": "nobody", "role": "operator", "experiment": cast.other.pk, "reason": "to try"}
    assert "Select a valid choice" in text(as_("shifter").post("/admin/experiments/membership/add/", body))
    everywhere = {**body, "role": "administrator", "experiment": ""}
    refused = as_("shifter").post("/admin/experiments/membership/add/", everywhere)
    assert refused.status_code == 403
    assert "administrator in the whole service" in text(refused)
    held = Membership.objects.get(user=cast.administrator)
    assert as_("shifter").get(f"/admin/experiments/membership/{held.pk}/change/").status_code == 404
    assert as_("shifter").get("/admin/experiments/experiment/add/").status_code == 403
    assert not Membership.objects.filter(user=cast.nobody).exists()
    own = {**body, "experiment": cast.experiment.pk}
    assert as_("shifter").post("/admin/experiments/membership/add/", own).status_code == 302


def act(client, path, action, keys, **more):
    return client.post(f"/admin/{path}", {"action": action, ACTION_CHECKBOX_NAME: keys, "index": "0", **more})


def test_an_action_with_keys_of_another_experiment_does_nothing_to_them(world, cast, as_):
    other = world.other.objects["pending"]
    answer = act(as_("approver"), "approvals/request/", "reject_chosen", [other.pk], apply="1", reason="mischief",
                 **{f"mark_{other.pk}": other.revision.digest})  # fmt: skip
    assert answer.status_code == 200
    other.refresh_from_db()
    assert other.state == "pending_approval"

    grant(cast.shifter, cast.experiment)
    member = Membership.objects.get(user=cast.stranger)
    judge = Approver.objects.get(experiment=cast.other)
    act(as_("shifter"), "experiments/membership/", "end", [member.pk], apply="1", reason="mischief")
    act(as_("shifter"), "experiments/approver/", "end_registration", [judge.pk], apply="1", reason="mischief")
    member.refresh_from_db()
    assert member.active
    assert Approver.objects.filter(pk=judge.pk).exists()


def test_an_action_checks_each_object_and_not_only_the_list(world, cast, as_, text):
    """The supervisor of both sees the other's member in the list, and may end only one."""
    from experiments.logic import membership

    membership.join(cast.shifter, "supervisor")
    grant(cast.shifter, cast.experiment)
    mine, theirs = Membership.objects.get(user=cast.operator), Membership.objects.get(user=cast.stranger)
    answer = act(as_("shifter"), "experiments/membership/", "end", [mine.pk, theirs.pk], apply="1", reason="over")
    assert "1 of 2 done" in text(answer)
    assert "This needs the role administrator in other" in text(answer)
    mine.refresh_from_db(), theirs.refresh_from_db()
    assert (mine.active, theirs.active) == (False, True)


def test_who_may_only_look_is_offered_no_action(world, as_, text):
    assert "approve_chosen" not in text(as_("operator").get("/admin/approvals/request/"))
    pending = world.own.objects["pending"]
    act(as_("operator"), "approvals/request/", "approve_chosen", [pending.pk], apply="1", reason="mischief",
        **{f"mark_{pending.pk}": pending.revision.digest})  # fmt: skip
    pending.refresh_from_db()
    assert pending.state == "pending_approval"


WILD = ["", "abc", "-1", "0", "1e9", "9" * 18, "9" * 40, "\0", "é", "1/../2", "%00", "'; --", "null", "[]"]


@pytest.mark.parametrize("who", LISTS)
def test_no_address_of_a_list_ends_in_an_error(world, as_, who):
    client = as_(who)
    client.raise_request_exception = True
    for name in ("q", "p", "o", "e", "all", "experiment__id__exact", "role__exact", "active__exact", "state__exact",
                 "production_stage", "waiting", "user__password__startswith", "password", "_to_field", "_facets",
                 "_popup", "_changelist_filters"):  # fmt: skip
        for value in WILD:
            if not its_turn(8, who, name, ascii(value)):
                continue
            answer = client.get(f"/admin/{LISTS[who]}", {name: value})
            assert answer.status_code in (200, 302, 400), (name, value, answer.status_code)


@pytest.mark.parametrize("who", LISTS)
def test_no_key_in_an_address_or_action_ends_in_an_error(world, as_, who):
    client = as_(who)
    for value in WILD[1:]:
        for tail in ("change/", "history/", "delete/"):
            answer = client.get(f"/admin/{LISTS[who]}{value}/{tail}".replace("\0", "%00"))
            assert answer.status_code in (301, 400, 404, 403), (value, tail, answer.status_code)
        answer = act(client, LISTS[who], "end", [value])
        assert answer.status_code in (200, 302, 400), (value, answer.status_code)


def test_a_hidden_column_cannot_be_asked_for_by_a_filter(cast, as_):
    for name in ("password__startswith", "user_permissions__isnull", "is_superuser", "memberships__role"):
        assert as_("administrator").get("/admin/experiments/user/", {name: "1"}).status_code == 400


@pytest.mark.parametrize("path", ["experiments/membership/", "experiments/approver/"])
def test_a_name_that_cannot_be_is_refused_and_stays_as_it_was_typed(cast, as_, text, path):
    for typed in ("no such person", "9" * 40, "a\x01b"):
        body = {"user": typed, "role": "operator", "experiment": cast.experiment.pk, "production_stage": "mc",
                "reason": "because of the rota"}  # fmt: skip
        answer = as_("administrator").post(f"/admin/{path}add/", body)
        assert answer.status_code == 200
        assert "because of the rota" in text(answer)
        assert "Nobody of this name is known here" in text(answer)
    body["user"] = "no such person"
    assert 'value="no such person"' in text(as_("administrator").post(f"/admin/{path}add/", body))


def test_save_as_new_and_pop_ups_are_no_way_around(world, as_):
    setup = world.own.objects["setup"]
    count = LoginSetup.objects.count()
    answer = as_("approver").post(f"/admin/campaigns/loginsetup/{setup.pk}/change/", {"_saveasnew": "1"})
    assert answer.status_code == 403
    assert as_("approver").post(f"/admin/campaigns/loginsetup/{setup.pk}/change/?_popup=1", {}).status_code == 403
    assert LoginSetup.objects.count() == count


def test_a_list_costs_the_same_however_many_rows_it_has(cast, as_):
    def cost() -> int:
        with CaptureQueriesContext(
            connection,
        ) as queries:
            assert as_("approver").get("/admin/approvals/request/").status_code == 200
        return len(queries)

    builders.request(cast)
    cost()
    few = cost()
    for number in range(5):
        builders.request(cast, title=f"another {number}")
    assert cost() == few <= 45
    assert Request.objects.count() == 6


def test_nothing_is_written_to_the_log_of_the_stock_admin(world, cast, as_):
    from django.contrib.admin.models import LogEntry

    body = {"user": "nobody", "role": "shifter", "experiment": cast.experiment.pk, "reason": "the rota of May"}
    assert as_("administrator").post("/admin/experiments/membership/add/", body).status_code == 302
    assert not LogEntry.objects.exists()
    assert Transition.objects.filter(kind="membership", reason__contains="the rota of May").count() == 1
    assert User.objects.get(username="nobody").groups.filter(name="demo/shifter").exists()
