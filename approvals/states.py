"""States of requests (design 4). Pure."""

from __future__ import annotations

from core.states import table

REQUEST = table(
    "request",
    "draft",
    ("draft returned", "pending_approval", "file", "file_request"),
    ("pending_approval", "approved", "approve", "decide_request"),
    ("pending_approval", "returned", "return", "decide_request"),
    ("pending_approval", "rejected", "reject", "decide_request"),
    ("draft returned pending_approval", "withdrawn", "withdraw", "file_request"),
    ("pending_approval returned", "superseded", "supersede", "decide_request"),
)
EDITABLE = ("draft", "returned")
