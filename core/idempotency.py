"""Requests that create: the same Idempotency-Key from the same person gets the first answer again."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

from django.db import IntegrityError, transaction

from core.errors import Refused
from core.models import RequestKey


def once(user: Any, key: str, route: str, body: bytes, act: Callable[[], tuple[int, Any]]) -> tuple[int, Any]:
    """Run `act` in one transaction with its key, or return the stored (status, answer) of the first time.

    A second request that comes while the first still runs waits for it at the unique key. The same key with
    another body is refused.
    """
    body_hash = hashlib.sha256(route.encode() + b"\0" + body).hexdigest()
    try:
        with transaction.atomic():
            row = RequestKey.objects.create(user=user, key=key, route=route, body_hash=body_hash)
            row.status, row.answer = act()
            row.save(update_fields=["status", "answer"])
            return row.status, row.answer
    except IntegrityError:
        stored = RequestKey.objects.filter(user=user, key=key).first()
        if stored is None:
            raise
    if stored.body_hash != body_hash:
        raise Refused("This Idempotency-Key was used for another request; nothing was changed. Send a fresh key.")
    return stored.status or 200, stored.answer
