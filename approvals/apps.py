"""Django's entry for the approvals app."""

from django.apps import AppConfig


class ApprovalsConfig(AppConfig):
    """Whether, and in which order: requests, checks, decisions."""

    name = "approvals"
