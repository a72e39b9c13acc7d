"""Requests and what was said, checked and decided about them."""

from approvals.models.custom import Package, Policy, Sketch, Template
from approvals.models.discussion import Attachment, Comment, Watcher
from approvals.models.request import CheckLine, Confirmation, Decision, Origin, Request, TestRun

__all__ = [
    "Attachment", "CheckLine", "Comment", "Confirmation", "Decision", "Origin", "Package", "Policy", "Request",
    "Sketch", "Template", "TestRun", "Watcher",
]  # fmt: skip
