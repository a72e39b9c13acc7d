"""Campaigns in their experiment's library: tagged, archived and fetched back, deleted where nothing ever ran.

Whoever may edit a campaign may do this. Nothing of it touches what runs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from django.db import transaction
from django.db.models import ProtectedError

from campaigns.logic import drafting
from campaigns.models import Campaign
from core import transitions
from core.clock import now
from core.errors import Conflict, Problem, Refused

MOST_TAGS = 20
_TAG = re.compile(r"[\w.:+-]{1,40}")
SHELVABLE = ("new", "succeeded", "failed", "cancelled")


def tag(campaign: Campaign, tags: Iterable[str], *, by: Any, reason: str = "") -> list[str]:
    """Put tags on a campaign, by which it is found; return all that it has then."""
    wanted = _read(tags)
    return _retag(campaign, lambda has: [*has, *(one for one in wanted if one not in has)], by, reason, "tag")


def untag(campaign: Campaign, tags: Iterable[str], *, by: Any, reason: str = "") -> list[str]:
    """Take tags off a campaign; one that it has not is refused."""
    gone = _read(tags)
    if strange := [one for one in gone if one not in campaign.tags]:
        has = f"it has {', '.join(campaign.tags)}" if campaign.tags else "it has none"
        raise Refused("Nothing was changed.", [Problem("tags", f"{campaign.ref} is not tagged {strange[0]}", has)])
    return _retag(campaign, lambda has: [one for one in has if one not in gone], by, reason, "untag")


def archive(campaign: Campaign, *, by: Any, reason: str) -> None:
    """Take a campaign out of the lists; it can be read, searched and cloned as before."""
    with transaction.atomic():
        row = _locked(campaign, by)
        if row.archived_at is not None:
            raise Conflict(f"{row.ref} is archived already; nothing was changed.")
        if row.state not in SHELVABLE:
            word = row.state.replace("_", " ")
            raise Conflict(f"{row.ref} is {word}; what is under way is not archived. Nothing was changed.")
        _keep(campaign, row, "archive", by, reason or "archived", archived_at=now())


def unarchive(campaign: Campaign, *, by: Any, reason: str = "") -> None:
    """Put a campaign back into the lists."""
    with transaction.atomic():
        row = _locked(campaign, by)
        if row.archived_at is None:
            raise Conflict(f"{row.ref} is not archived; nothing was changed.")
        _keep(campaign, row, "unarchive", by, reason or "fetched back", archived_at=None)


def delete(campaign: Campaign, *, by: Any, reason: str) -> None:
    """Delete a campaign that was never asked for; its name, its author and the reason stay in the ledger."""
    if not reason.strip():
        raise Refused("To delete needs a reason.", [Problem("reason", "is empty", "say why; it is kept")])
    with transaction.atomic():
        row = _locked(campaign, by)
        asked = row.revisions.exclude(state="draft").exists()
        if row.state != "new" or asked:
            raise Conflict(
                f"{row.ref} was asked for, and what was asked for or ran is never deleted. Archive it instead; nothing"
                " was changed."
            )
        _note(row, "delete", by, f"{row.name}, {row.revisions.count()} revisions: {reason}")
        try:
            row.delete()
        except ProtectedError as error:
            raise Conflict(f"Something counts on {campaign.ref}; archive it instead. Nothing was changed.") from error
    campaign.pk = None


def is_deletable(campaign: Campaign) -> bool:
    """Tell whether a campaign was never asked for."""
    return campaign.state == "new" and not campaign.revisions.exclude(state="draft").exists()


def _locked(campaign: Campaign, by: Any) -> Campaign:
    row = Campaign.objects.select_for_update(of=("self",)).select_related("experiment", "owner").get(pk=campaign.pk)
    drafting.refuse_unless_editor(row, by)
    return row


def _keep(shown: Campaign, row: Campaign, verb: str, by: Any, reason: str, **values: Any) -> None:
    Campaign.objects.filter(pk=row.pk).update(**values)
    for name, value in values.items():
        setattr(shown, name, value)
    _note(row, verb, by, reason)


def _note(row: Campaign, verb: str, by: Any, reason: str) -> None:
    transitions.record(
        [(row.pk, row.state)], "campaign", row.state, experiment_id=row.experiment_id, actor=by.actor,
        reason=reason, verb=verb,
    )  # fmt: skip


def _retag(campaign: Campaign, change: Any, by: Any, reason: str, verb: str) -> list[str]:
    with transaction.atomic():
        row = _locked(campaign, by)
        tags: list[str] = change(row.tags)
        if tags == row.tags:
            raise Refused("Nothing is different; nothing was changed.")
        if len(tags) > MOST_TAGS:
            problem = Problem("tags", f"more than {MOST_TAGS}", "take some off first")
            raise Refused("Nothing was changed.", [problem])
        told = f"{', '.join(row.tags) or 'none'} -> {', '.join(tags) or 'none'}"
        _keep(campaign, row, verb, by, f"{reason or verb}: {told}", tags=tags)
    return tags


def _read(tags: Iterable[str]) -> Sequence[str]:
    found = list(dict.fromkeys(tags))
    wrong = [one for one in found if not _TAG.fullmatch(one)]
    if wrong or not found:
        what = f"no tag: {wrong[0][:60]}" if wrong else "none was named"
        hint = "letters, digits and . : + - _, at most 40 of them"
        raise Refused("Nothing was changed.", [Problem("tags", what, hint)])
    return found
