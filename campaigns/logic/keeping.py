"""Configuration of an experiment is kept by name: made once, changed under a lock, every edit a version."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder
from django.db import IntegrityError, transaction
from django.db.models import QuerySet

from campaigns.models import Version
from core import differences, transitions
from core.clock import now
from core.errors import Conflict, Problem, Refused


def keep(row: Any, name: str, *, by: Any, reason: str, values: Mapping[str, Any]) -> Any:
    """Save a new row under its name; one that exists is refused, since others may count on it."""
    if not name.strip():
        raise Refused("It has no name.", [Problem("name", "is empty")])
    try:
        with transaction.atomic():
            for field, value in {**values, "name": name.strip()}.items():
                setattr(row, field, value)
            row.save(force_insert=True)
            _keep_version(row, 1, by, reason.strip() or "made")
            note(row, "", "create", by, reason.strip() or "made")
    except IntegrityError as error:
        what = row.KIND.replace("_", " ")
        raise Conflict(
            f"There is a {what} {name.strip()} already; nothing was changed.",
            [Problem("name", "is taken", "change the one that exists, or choose another name")],
        ) from error
    return row


def change(row: Any, *, by: Any, reason: str, seen: str, values: Mapping[str, Any]) -> Any:
    """Change a row under its lock; `seen` is the fingerprint of what the person had before them."""
    if not reason.strip():
        raise Refused("An edit needs a reason.", [Problem("reason", "is empty", "say why; it is kept and shown")])
    with transaction.atomic():
        row = type(row).objects.select_for_update(of=("self",)).select_related("experiment").get(pk=row.pk)
        if seen and seen != row.fingerprint:
            raise Conflict(
                f"{row} was changed after you opened it; nothing was changed. Open it again, and look at its history."
            )
        before = {name: value for name, value in row.values().items() if name in values and values[name] != value}
        if not before:
            raise Refused("Nothing is different; nothing was changed.")
        source, number = standing(row), newest_number(row)
        if number == 0:  # made before versions were kept
            number = 1
            _keep_version(row, number, row.updated_by, "as it stood", at=row.updated_at)
        after = {name: values[name] for name in before}
        for name, value in {**after, "updated_by": by, "updated_at": now()}.items():
            setattr(row, name, value)
        row.save(update_fields=[*after, "updated_by", "updated_at"])
        _keep_version(row, number + 1, by, reason.strip())
        note(row, source, "edit", by, differences.told(reason, before, after))
    return row


def restore(row: Any, number: int, *, by: Any, reason: str, edit: Callable[..., Any]) -> Any:
    """Let a row say again what it said in a version, by its own way of being edited; that is the next version."""
    old = versions(row).filter(number=number).first()
    if old is None:
        raise Refused("Nothing was restored.", [Problem("version", f"{row} has no version {number}")])
    values = {name: value for name, value in old.values.items() if name in row.EDITABLE}
    return edit(row, by=by, reason=reason.strip() or f"as version {number}", **values)


def versions(row: Any) -> QuerySet[Version]:
    """Return the versions of a row, the newest first; one that was made before they were kept has none."""
    return Version.objects.filter(kind=row.KIND, thing_id=row.pk).select_related("by").order_by("-number")


def newest_number(row: Any) -> int:
    """Return the number of a row's newest version, 0 where none was kept."""
    return versions(row).values_list("number", flat=True).first() or 0


def _keep_version(row: Any, number: int, by: Any, reason: str, **more: Any) -> None:
    values = json.loads(json.dumps(row.values(), cls=DjangoJSONEncoder))
    Version.objects.create(
        experiment_id=row.experiment_id, kind=row.KIND, thing_id=row.pk, number=number, values=values, by=by,
        reason=reason, **more,
    )  # fmt: skip


def standing(row: Any) -> str:
    """Return how a row stands, as the ledger says it."""
    return "active" if row.active else "inactive"


def note(row: Any, source: str, verb: str, by: Any, reason: str) -> None:
    """Write into the ledger what somebody did with a row; `source` is how it stood before."""
    transitions.record(
        [(row.pk, source)], row.KIND, standing(row), experiment_id=row.experiment_id,
        actor=by.actor, reason=reason, verb=verb,
    )  # fmt: skip
