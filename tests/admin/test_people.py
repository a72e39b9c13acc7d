"""Experiments, memberships and approvers: each change is a verb with a reason, and stands in the history."""

from __future__ import annotations

import pytest
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME

from core.errors import Conflict, Refused
from core.models import Transition
from experiments.logic import membership
from experiments.models import Approver, Experiment, Membership
from experiments.queries import is_administrator
from experiments.scoping import may

PEOPLE = "/admin/experiments/"


def last(kind: str) -> Transition:
    return Transition.objects.filter(kind=kind).latest("id")


def test_an_administrator_gives_a_role_and_the_ledger_says_why(cast, as_, text):
    body = {"user": "nobody", "role": "operator", "experiment": cast.experiment.pk, "reason": "new on the shift list"}
    assert as_("administrator").post(f"{PEOPLE}membership/add/", body).status_code == 302
    assert may(cast.nobody, "define", cast.experiment)
    step = last("membership")
    assert (step.actor, step.target, step.experiment_id) == ("user:administrator", "active", cast.experiment.pk)
    assert step.reason == "nobody is now operator: new on the shift list"
    history = text(as_("administrator").get(f"{PEOPLE}membership/{step.thing_id}/history/"))
    assert "nobody is now operator: new on the shift list" in history
    assert "new on the shift list" in text(as_("approver").get(f"{PEOPLE}experiment/{cast.experiment.pk}/history/"))


@pytest.mark.parametrize(("role", "everywhere", "says"), [
    ("administrator", False, "held everywhere"), ("operator", True, "held in an experiment"),
])  # fmt: skip
def test_a_role_that_does_not_fit_the_place_is_an_error_beside_the_field(cast, as_, text, role, everywhere, says):
    body = {"user": "nobody", "role": role, "experiment": "" if everywhere else cast.experiment.pk, "reason": "typed"}
    answer = as_("administrator").post(f"{PEOPLE}membership/add/", body)
    assert answer.status_code == 200
    assert says in text(answer)
    assert "typed</textarea>" in text(answer)
    assert 'value="nobody"' in text(answer)


def test_a_change_without_a_reason_is_refused(cast, as_, text):
    held = Membership.objects.get(user=cast.operator)
    for path, body in (
        (f"membership/{held.pk}/change/", {}), (f"experiment/{cast.experiment.pk}/change/", {"title": "Another"}),
        ("membership/add/", {"user": "nobody", "role": "shifter", "experiment": cast.experiment.pk, "reason": "  "}),
        ("approver/add/", {"user": "nobody", "experiment": cast.experiment.pk, "production_stage": "reco"}),
        ("experiment/add/", {"name": "third"}),
    ):  # fmt: skip
        answer = as_("administrator").post(PEOPLE + path, body)
        assert answer.status_code == 200, path
        assert "This field is required." in text(answer), path
    held.refresh_from_db()
    assert held.active
    assert not Experiment.objects.filter(name="third").exists()
    for verb in (
        lambda: membership.join(cast.nobody, "guest", by=cast.administrator, reason=" "),
        lambda: membership.leave(held, by=cast.administrator),
        lambda: membership.register_approver(cast.nobody, cast.experiment, "mc", by=cast.administrator),
        lambda: membership.end_registration(Approver.objects.get(), by=cast.administrator, reason=""),
        lambda: membership.found("third", by=cast.administrator),
        lambda: membership.change(cast.experiment, by=cast.administrator, reason="", title="x"),
    ):
        with pytest.raises(Refused, match="reason"):
            verb()


def test_a_membership_ends_and_begins_again_in_its_form(cast, as_):
    held = Membership.objects.get(user=cast.operator)
    url = f"{PEOPLE}membership/{held.pk}/change/"
    assert as_("administrator").post(url, {"reason": "left the shift"}).status_code == 302
    held.refresh_from_db()
    assert not held.active
    assert not may(cast.operator, "operate", cast.experiment)
    assert last("membership").target == "ended"
    assert as_("administrator").post(url, {"active": "on", "reason": "is back"}).status_code == 302
    assert may(cast.operator, "operate", cast.experiment)
    assert [(s.source, s.target) for s in Transition.objects.filter(kind="membership").order_by("id")] == [
        ("active", "ended"), ("ended", "active")
    ]  # fmt: skip


def test_a_membership_that_has_ended_is_given_again_by_adding_it(cast, as_):
    held = Membership.objects.get(user=cast.operator)
    membership.leave(held, by=cast.administrator, reason="left")
    body = {"user": "operator", "role": "operator", "experiment": cast.experiment.pk, "reason": "is back"}
    assert as_("administrator").post(f"{PEOPLE}membership/add/", body).status_code == 302
    held.refresh_from_db()
    assert held.active


def test_what_is_so_already_is_said_and_not_written(cast, as_, text):
    held = Membership.objects.get(user=cast.operator)
    answer = as_("administrator").post(f"{PEOPLE}membership/{held.pk}/change/", {"active": "on", "reason": "again"})
    assert "operator is operator of demo already" in text(answer)
    body = {"user": "approver", "experiment": cast.experiment.pk, "production_stage": "mc", "reason": "again"}
    assert "decides on mc of demo already" in text(as_("administrator").post(f"{PEOPLE}approver/add/", body))
    membership.leave(held, by=cast.administrator, reason="over")
    with pytest.raises(Conflict, match="no longer operator"):
        membership.leave(held, by=cast.administrator, reason="over")
    assert Transition.objects.filter(kind="membership").count() == 1


def test_the_last_administrator_stays(cast, as_, text):
    held = Membership.objects.get(user=cast.administrator)
    answer = as_("administrator").post(f"{PEOPLE}membership/{held.pk}/change/", {"reason": "enough"})
    assert "Nobody would be left to administer POMS" in text(answer)
    assert is_administrator(cast.administrator)
    membership.join(cast.nobody, "administrator", by=cast.administrator, reason="to follow")
    assert as_("administrator").post(f"{PEOPLE}membership/{held.pk}/change/", {"reason": "enough"}).status_code == 302
    assert not is_administrator(cast.administrator)


def test_several_memberships_end_with_one_reason(cast, as_, text):
    held = list(Membership.objects.filter(user__username__in=("operator", "shifter", "administrator")))
    body = {"action": "end", ACTION_CHECKBOX_NAME: [row.pk for row in held], "index": "0"}
    asked = as_("administrator").post(f"{PEOPLE}membership/", body)
    assert "End these memberships?" in text(asked)
    assert Membership.objects.filter(active=False).count() == 0
    missing = as_("administrator").post(f"{PEOPLE}membership/", {**body, "apply": "1", "reason": " "})
    assert missing.status_code == 422
    answer = as_("administrator").post(f"{PEOPLE}membership/", {**body, "apply": "1", "reason": "end of the run"})
    assert "2 of 3 done" in text(answer)
    assert "Nobody would be left to administer POMS" in text(answer)
    assert Transition.objects.filter(kind="membership", reason__endswith="end of the run").count() == 2


def test_an_approver_is_registered_and_the_registration_ends(cast, as_, text):
    client = as_("administrator")
    body = {"user": "nobody", "experiment": cast.experiment.pk, "production_stage": " reco ", "reason": "knows reco"}
    assert client.post(f"{PEOPLE}approver/add/", body).status_code == 302
    made = Approver.objects.get(user=cast.nobody)
    assert made.production_stage == "reco"
    refused = client.post(f"{PEOPLE}approver/{made.pk}/change/", {})
    assert refused.status_code == 403
    assert "A registration is not changed" in text(refused)
    ending = {"action": "end_registration", ACTION_CHECKBOX_NAME: [made.pk], "index": "0", "apply": "1",
              "reason": "moved on"}  # fmt: skip
    answer = text(client.post(f"{PEOPLE}approver/", ending))
    assert "1 of 1 done" in answer
    assert "Nobody decides on reco of demo any more" in answer
    assert not Approver.objects.filter(user=cast.nobody).exists()
    history = text(client.get(f"{PEOPLE}experiment/{cast.experiment.pk}/history/"))
    assert "nobody decides on reco: knows reco" in history
    assert "nobody no longer decides on reco: moved on" in history


def test_an_experiment_is_founded_with_the_groups_of_its_roles(cast, as_, text):
    client = as_("administrator")
    body = {"name": "third", "title": "The third", "restricted": "on", "reason": "approved by the board"}
    assert client.post(f"{PEOPLE}experiment/add/", body).status_code == 302
    third = Experiment.objects.get(name="third")
    assert third.restricted
    membership.join(cast.nobody, "operator", third)
    assert may(cast.nobody, "define", third)
    again = client.post(f"{PEOPLE}experiment/add/", body)
    assert "already exists" in text(again)
    wrong = client.post(f"{PEOPLE}experiment/add/", {**body, "name": "Not A Name"})
    assert wrong.status_code == 200
    assert "Not A Name" in text(wrong)


def test_what_an_edit_of_an_experiment_changed_is_shown(cast, as_, text):
    url = f"{PEOPLE}experiment/{cast.experiment.pk}/"
    body = {"title": "Demonstration", "active": "on", "author_may_approve": "on", "reason": "a small group"}
    assert as_("administrator").post(f"{url}change/", body).status_code == 302
    cast.experiment.refresh_from_db()
    assert (cast.experiment.author_may_approve, cast.experiment.name) == (True, "demo")
    history = text(as_("operator").get(f"{url}history/"))
    for line in ("a small group", "-no", "+yes", "-Demo", "+Demonstration"):
        assert line in history
    nothing = as_("administrator").post(f"{url}change/", body)
    assert "Nothing is different" in text(nothing)


def test_nothing_is_ever_deleted(world, cast, as_, text):
    for model, key in (("experiment", cast.experiment.pk), ("membership", Membership.objects.first().pk)):
        answer = as_("administrator").post(f"{PEOPLE}{model}/{key}/delete/", {"post": "yes"})
        assert answer.status_code == 403
        assert "ever deleted" in text(answer)
    for path in ("experiments/membership/", "approvals/request/", "campaigns/jobtype/"):
        assert "delete_selected" not in text(as_("administrator").get(f"/admin/{path}"))
