"""States of campaigns and of their revisions (design 4, T2). Pure."""

from __future__ import annotations

from core.states import table

CAMPAIGN = table(
    "campaign",
    "new",
    ("new", "pending_approval", "file"),
    ("pending_approval", "new", "return", "decide_request"),
    ("new pending_approval", "approved", "approve", "decide_request"),
    ("approved", "running", "start"),
    ("running", "succeeded", "succeed"),
    ("running", "failed", "fail"),
    ("failed", "running", "relaunch", "watch"),
    ("succeeded", "running", "reprocess", "operate"),
    ("new pending_approval approved running failed", "cancelled", "cancel", "operate"),
)

REVISION = table(
    "revision",
    "draft",
    ("draft", "proposed", "propose", "file_request"),
    ("proposed", "approved", "approve", "decide_request"),
    ("proposed", "rejected", "reject", "decide_request"),
    ("proposed approved", "superseded", "supersede"),
)
