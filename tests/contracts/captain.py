"""Somebody who may do everything in both worlds' first experiment: for tests about what is done, not about who may."""

from __future__ import annotations

from experiments.logic import membership
from experiments.models import User
from experiments.roles import EVERYWHERE, ROLES
from tests.cast import Cast


def appoint(cast: Cast) -> User:
    """Return a person with every role."""
    captain = User.objects.create_user(username="captain", password="x")
    for role in ROLES:
        membership.join(captain, role, None if role in EVERYWHERE else cast.experiment)
    membership.register_approver(captain, cast.experiment, "mc")
    return captain
