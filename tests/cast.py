"""The fixed people of the tests: one for each role in `demo`, and a stranger from `other`."""

from __future__ import annotations

from dataclasses import dataclass, field

from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import Group

from experiments.logic import membership
from experiments.models import Experiment, Membership, User
from experiments.roles import EVERYWHERE, ROLES


@dataclass
class Cast:
    """Everybody, by role; `experiment` is theirs, `other` the stranger's."""

    experiment: Experiment
    other: Experiment
    people: dict[str, User] = field(default_factory=dict)

    def __getattr__(self, role: str) -> User:
        people: dict[str, User] = self.__dict__.get("people", {})  # a copy that is being made has none yet
        try:
            return people[role]
        except KeyError:
            raise AttributeError(role) from None


def assemble() -> Cast:
    """Found both experiments and let everybody join: many rows in few statements, for most tests begin with it."""
    cast = Cast(membership.found("demo", title="Demo"), membership.found("other", title="Other", restricted=True))
    people = [User(username=name, password=make_password("x")) for name in (*ROLES, "stranger", "nobody")]
    cast.people = {user.username: user for user in User.objects.bulk_create(people)}
    places = {role: None if role in EVERYWHERE else cast.experiment for role in ROLES}
    roles = [(name, name, place) for name, place in places.items()] + [("stranger", "experimenter", cast.other)]
    Membership.objects.bulk_create(
        Membership(user=cast.people[name], role=role, experiment=place) for name, role, place in roles
    )
    groups = {group.name: group for group in Group.objects.all()}
    User.groups.through.objects.bulk_create(
        User.groups.through(user=cast.people[name], group=groups[membership.group_name(place, role)])
        for name, role, place in roles
        if place
    )
    membership.register_approver(cast.people["approver"], cast.experiment, "mc")
    return cast
