"""Members and roles from a directory: the difference first, then applied; what was given here is left alone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from django.db import transaction

from core.errors import Refused
from core.transitions import record
from experiments.claims import parted
from experiments.logic import membership
from experiments.logic.arriving import IMPORTED
from experiments.models import Experiment, Identity, Membership, User

SOURCE = "ferry"


@dataclass(frozen=True)
class Wanted:
    """Somebody who should hold a role, and what says so."""

    username: str
    name: str
    role: str
    said_by: str


@dataclass
class Difference:
    """What would change in an experiment."""

    experiment: Experiment
    adds: list[Wanted] = field(default_factory=list)
    ends: list[Membership] = field(default_factory=list)
    held: int = 0  # memberships that came from this source and hold now
    listed: int = 0
    off: list[str] = field(default_factory=list)  # listed, but switched off here, or no person

    @property
    def is_none(self) -> bool:
        """Tell whether all is as the directory says."""
        return not (self.adds or self.ends)


def compare(experiment: Experiment, listed: Iterable[Wanted]) -> Difference:
    """Return what the directory says that is not so here; memberships of other sources count, and are never ended."""
    wanted = {(entry.username, entry.role): entry for entry in reversed(list(listed))}
    rows = Membership.objects.filter(experiment=experiment, active=True).select_related("user", "experiment")
    held = {(row.user.username, row.role): row for row in rows}
    mine = [row for row in held.values() if row.source == SOURCE]
    names = {name for name, _ in wanted}
    off = set(User.objects.filter(username__in=names, is_active=False).values_list("username", flat=True))
    off |= set(User.objects.filter(username__in=names, service__isnull=False).values_list("username", flat=True))
    return Difference(
        experiment,
        adds=[wanted[key] for key in sorted(wanted) if key not in held and key[0] not in off],
        ends=sorted((row for row in mine if (row.user.username, row.role) not in wanted),
                    key=lambda row: (row.user.username, row.role)),
        held=len(mine), listed=len(wanted), off=sorted(off),
    )  # fmt: skip


def doubt(difference: Difference, *, force: bool = False) -> str:
    """Return why a difference is not to be believed; empty if it is.

    A directory that names nobody has lost its data rather than its people: that is never applied. That more than
    half should go may be so, and is for a person to say.
    """
    name, ends, held = difference.experiment.name, len(difference.ends), difference.held
    if held and not difference.listed:
        return f"The directory lists nobody of {name}, where it had given {held} roles; nothing was ended."
    if ends * 2 > held and not force:
        return f"{ends} of {held} roles in {name} would end, more than half. If that is right, say --force."
    return ""


@transaction.atomic
def apply(difference: Difference, *, force: bool = False) -> None:
    """Do it, all or nothing; each change is in the ledger."""
    if why := doubt(difference, force=force):
        raise Refused(why)
    for entry in difference.adds:
        membership.join(
            _person(entry), entry.role, difference.experiment, source=SOURCE, reason=f"FERRY lists {entry.said_by}"
        )
    for row in difference.ends:
        membership.leave(row, source=SOURCE, reason="FERRY lists it no more")


def _person(entry: Wanted) -> User:
    known = User.objects.filter(username=entry.username).first()
    if known is not None:
        return known
    first, last = parted(entry.name)
    user = User(username=entry.username, first_name=first[:150], last_name=last[:150])
    user.set_unusable_password()
    user.save()
    Identity.objects.create(user=user, issuer=IMPORTED, subject=entry.username)
    record(
        [(user.pk, "")], "person", "known", experiment_id=None, actor=f"source:{SOURCE}", verb="import",
        reason=f"{user.username}: FERRY lists {entry.said_by}",
    )  # fmt: skip
    return user
