"""Configuration of an experiment is kept by name: made once, changed under a lock, every edit in the ledger."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db import IntegrityError, transaction

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
            _note(row, "", "create", by, reason.strip() or "made")
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
        source = _standing(row)
        after = {name: values[name] for name in before}
        for name, value in {**after, "updated_by": by, "updated_at": now()}.items():
            setattr(row, name, value)
        row.save(update_fields=[*after, "updated_by", "updated_at"])
        _note(row, source, "edit", by, differences.told(reason, before, after))
    return row


def _standing(row: Any) -> str:
    return "active" if row.active else "inactive"


def _note(row: Any, source: str, verb: str, by: Any, reason: str) -> None:
    transitions.record(
        [(row.pk, source)], row.KIND, _standing(row), experiment_id=row.experiment_id,
        actor=f"user:{by.username}", reason=reason, verb=verb,
    )  # fmt: skip
