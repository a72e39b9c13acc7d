"""Django's entry for the site itself: system checks and management commands."""

from django.apps import AppConfig


class SiteConfig(AppConfig):
    """The composition root."""

    name = "poms_site"

    def ready(self) -> None:
        """Register the system checks."""
        from poms_site import checks  # noqa: F401, PLC0415 - registering is their import's effect
