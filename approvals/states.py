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
    ("pending_approval returned", "superseded", "merge", "decide_request"),
    # An edit of what was approved proposes a new revision; whatever becomes of that, what was approved stays so.
    ("approved", "pending_approval", "amend", "file_request"),
    ("returned", "approved", "keep", "file_request"),
)
EDITABLE = ("draft", "returned")
# What can be changed while approvers read it or after they approved: the definition, as a new revision.
AMENDABLE = ("pending_approval", "approved")
