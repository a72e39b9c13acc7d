"""Who belongs where, and what follows from it: the root of all access (design 9)."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import AnonymousUser, Group
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from core.errors import NotAllowed, NotVisible, Refused
from experiments.logic import membership
from experiments.models import Approver, Experiment, Membership, User
from experiments.queries import is_approver, production_stages
from experiments.roles import EVERYWHERE, PERMISSIONS, ROLES, roles_with
from experiments.scoping import experiments_for, may, require

pytestmark = pytest.mark.django_db


@pytest.fixture
def person() -> User:
    return User.objects.create_user(username="person", password="x")


def seen(user: User, permission: str = "view") -> list[str]:
    return [experiment.name for experiment in experiments_for(user, permission)]


@pytest.mark.parametrize("role", ROLES)
def test_a_role_carries_its_permissions_and_no_others(cast, role):
    for permission in PERMISSIONS:
        assert may(cast.people[role], permission, cast.experiment) == (permission in ROLES[role]), permission


@pytest.mark.parametrize("role", [role for role in ROLES if role not in EVERYWHERE])
def test_a_role_in_one_experiment_is_nothing_in_another(cast, role):
    for permission in PERMISSIONS:
        assert not may(cast.people[role], permission, cast.other)


def test_roles_add_up(cast, person):
    membership.join(person, "shifter", cast.experiment)
    membership.join(person, "experimenter", cast.other)
    assert seen(person) == ["demo", "other"]
    assert seen(person, "watch") == ["demo"]
    assert seen(person, "file_request") == ["other"]


def test_supervisors_and_administrators_see_everything_and_guests_the_overview_of_what_is_open(cast):
    assert seen(cast.supervisor) == seen(cast.administrator) == ["demo", "other"]
    assert seen(cast.guest) == []
    assert seen(cast.guest, "view_overview") == ["demo"]
    assert seen(cast.supervisor, "operate") == []


def test_a_guest_with_a_role_keeps_what_the_role_shows(cast, person):
    membership.join(person, "guest")
    membership.join(person, "experimenter", cast.other)
    assert seen(person) == ["other"]
    assert seen(person, "view_overview") == ["demo", "other"]


def test_nobody_and_anonymous_callers_see_nothing(cast):
    for user in (cast.nobody, AnonymousUser()):
        assert [seen(user, permission) for permission in PERMISSIONS] == [[]] * len(PERMISSIONS)


def test_an_account_that_is_closed_sees_nothing(cast):
    for role in ("operator", "supervisor"):
        user = cast.people[role]
        user.is_active = False
        user.save()
        assert seen(user) == []


def test_a_superuser_of_django_has_no_role_by_that(cast, person):
    person.is_superuser = True
    person.save()
    assert seen(person) == []


def test_who_leaves_loses_the_permission_and_the_record_stays(cast):
    held = Membership.objects.get(user=cast.operator)
    membership.leave(held)
    assert seen(cast.operator) == []
    assert Membership.objects.get(user=cast.operator).active is False
    membership.join(cast.operator, "operator", cast.experiment)
    assert seen(cast.operator, "operate") == ["demo"]
    assert Membership.objects.filter(user=cast.operator).count() == 1


def test_who_leaves_one_role_keeps_the_others(cast, person):
    first = membership.join(person, "shifter", cast.experiment)
    membership.join(person, "reviewer", cast.experiment)
    membership.leave(first)
    assert seen(person, "sign_off") == ["demo"]
    assert seen(person, "watch") == []


def test_who_leaves_a_role_held_everywhere_loses_it(cast):
    membership.leave(Membership.objects.get(user=cast.administrator))
    assert seen(cast.administrator, "view_overview") == []


def test_to_join_twice_is_to_join_once(cast, person):
    assert membership.join(person, "shifter", cast.experiment) == membership.join(person, "shifter", cast.experiment)
    assert membership.join(person, "guest") == membership.join(person, "guest")
    assert Membership.objects.filter(user=person).count() == 2


def test_an_unknown_role_is_refused(cast, person):
    with pytest.raises(Refused) as error:
        membership.join(person, "emperor", cast.experiment)
    assert error.value.problems[0].field == "role"
    assert "operator" in error.value.problems[0].hint
    assert not Membership.objects.filter(user=person).exists()


@pytest.mark.parametrize("role", ROLES)
def test_a_role_is_held_where_it_belongs(cast, person, role):
    wrong = cast.experiment if role in EVERYWHERE else None
    with pytest.raises(Refused) as error:
        membership.join(person, role, wrong)
    assert error.value.problems[0].field == "experiment"
    with pytest.raises(IntegrityError), transaction.atomic():
        Membership.objects.create(user=person, role=role, experiment=wrong)


def test_what_one_may_not_do_names_who_may(cast):
    with pytest.raises(NotAllowed, match="This needs the role operator or shifter in demo; nothing was changed"):
        require(cast.experimenter, "watch", cast.experiment)
    with pytest.raises(NotAllowed, match="the role experimenter or approver or operator or analyser in demo"):
        require(cast.service_provider, "file_request", cast.experiment)
    require(cast.operator, "watch", cast.experiment)


def test_what_one_may_not_see_does_not_exist(cast):
    for user in (cast.stranger, cast.nobody):
        with pytest.raises(NotVisible):
            require(user, "view", cast.experiment)


def test_roles_are_named_by_permission():
    assert roles_with("watch") == ["operator", "shifter"]
    assert all(roles_with(permission) for permission in PERMISSIONS)


@pytest.mark.parametrize("name", ["", "Demo", "1abc", "a b", "a/b", "é", "x" * 31, "demo"])
def test_an_experiment_needs_a_plain_name_of_its_own(cast, name):
    with pytest.raises(ValidationError):
        membership.found(name)
    assert Experiment.objects.count() == 2


def test_a_new_experiment_shows_itself_to_nobody_but_those_of_everywhere(cast):
    membership.found("third", restricted=True)
    assert Group.objects.filter(name__startswith="third/").count() == len(ROLES) - len(EVERYWHERE)
    who = {name for name, user in cast.people.items() if "third" in seen(user, "view_overview")}
    assert who == {"supervisor", "administrator"}


def test_an_approver_is_registered_for_a_production_stage_of_an_experiment(cast, person):
    assert is_approver(cast.approver, cast.experiment, "mc")
    assert not is_approver(cast.approver, cast.experiment, "reco")
    assert not is_approver(cast.approver, cast.other, "mc")
    assert not is_approver(person, cast.experiment, "mc")
    membership.register_approver(cast.approver, cast.experiment, "mc")
    assert Approver.objects.count() == 1
    membership.register_approver(person, cast.experiment, "calibration")
    assert production_stages(cast.experiment) == ["calibration", "mc"]
    assert production_stages(cast.other) == []


def test_everybody_of_a_group_may_be_the_approver(cast, person):
    group = Group.objects.create(name="conveners")
    Approver.objects.create(experiment=cast.experiment, production_stage="reco", group=group)
    assert not is_approver(person, cast.experiment, "reco")
    person.groups.add(group)
    assert is_approver(person, cast.experiment, "reco")


def test_an_approver_is_a_person_or_a_group_never_both_or_none(cast, person):
    group = Group.objects.create(name="conveners")
    for who in ({}, {"user": person, "group": group}):
        with pytest.raises(IntegrityError), transaction.atomic():
            Approver.objects.create(experiment=cast.experiment, production_stage="reco", **who)
