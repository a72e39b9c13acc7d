"""The fixed people of the tests: one for each role in `demo`, and a stranger from `other`."""

from __future__ import annotations

from dataclasses import dataclass, field

from experiments.logic import membership
from experiments.models import Experiment, User
from experiments.roles import EVERYWHERE, ROLES


@dataclass
class Cast:
    """Everybody, by role; `experiment` is theirs, `other` the stranger's."""

    experiment: Experiment
    other: Experiment
    people: dict[str, User] = field(default_factory=dict)

    def __getattr__(self, role: str) -> User:
        try:
            return self.people[role]
        except KeyError:
            raise AttributeError(role) from None


def assemble() -> Cast:
    """Found both experiments and let everybody join."""
    cast = Cast(membership.found("demo", title="Demo"), membership.found("other", title="Other", restricted=True))
    for role in ROLES:
        cast.people[role] = User.objects.create_user(username=role, password="x")
        membership.join(cast.people[role], role, None if role in EVERYWHERE else cast.experiment)
    cast.people["stranger"] = User.objects.create_user(username="stranger", password="x")
    membership.join(cast.people["stranger"], "experimenter", cast.other)
    cast.people["nobody"] = User.objects.create_user(username="nobody", password="x")
    membership.register_approver(cast.people["approver"], cast.experiment, "mc")
    return cast
