"""Requests and what was decided on them."""

from approvals.models.request import CheckLine, Decision, Request

__all__ = ["CheckLine", "Decision", "Request"]
