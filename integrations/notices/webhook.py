"""Calls of webhooks: a JSON document, signed, so that the receiver knows whose it is and has not seen it before."""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Any

from django.conf import settings

from core.clock import now
from integrations import http
from integrations.errors import Refused, Unavailable
from integrations.notices.models import Message, Notice


def post(message: Message) -> None:
    """Post a message to its webhook; the receiver tells repetitions by `X-POMS-Delivery`."""
    hook = message.hook
    if hook is None:
        raise Refused("The webhook was taken away.")
    notice = message.notices.select_related("experiment", "recipient").get()
    body = json.dumps({"delivery": message.delivery, **document(notice)}).encode()
    at = str(int(now().timestamp()))
    headers = {
        "Content-Type": "application/json", "X-POMS-Delivery": message.delivery, "X-POMS-Timestamp": at,
        "X-POMS-Signature": signature(hook.secret, at, body),
    }  # fmt: skip
    answer = http.call("POST", hook.url, body=body, headers=headers)
    if 200 <= answer.status < 300:
        return
    if answer.status in http.BUSY:
        raise Unavailable(f"The webhook answered {answer.status}.", answer.retry_after)
    elsewhere = f" and wants us elsewhere: {answer.headers.get('Location', '')[:200]}" if answer.status < 400 else ""
    raise Refused(f"The webhook answered {answer.status}{elsewhere}.")


def document(notice: Notice) -> dict[str, Any]:
    """Return a notice as programs read it."""
    return {
        "kind": notice.kind, "experiment": notice.experiment.name if notice.experiment else None,
        "ref": notice.ref or None, "subject": notice.subject, "count": len(notice.things), "lines": notice.lines,
        "actor": notice.actor, "at": notice.created_at.isoformat(), "url": f"{settings.PUBLIC_URL}{notice.link}",
        "to": notice.recipient.username if notice.recipient else None,
    }  # fmt: skip


def signature(secret: str, at: str, body: bytes) -> str:
    """Return the signature over time and body: HMAC-SHA256 in hexadecimal."""
    return "sha256=" + hmac.new(secret.encode(), at.encode() + b"." + body, hashlib.sha256).hexdigest()
