"""Django's entry for the approvals app: announces its loop."""

from django.apps import AppConfig


class ApprovalsConfig(AppConfig):
    """Whether, and in which order: requests, checks, decisions."""

    name = "approvals"

    def ready(self) -> None:
        """Register the loop that ends what was not renewed."""
        from core import loops  # noqa: PLC0415 - its models load only now

        loops.register("renew", "approvals.logic.renewing.renew_some", period=60)
