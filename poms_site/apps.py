"""Django's entry for the site itself: system checks, management commands, and the loops that need all floors."""

from django.apps import AppConfig


class SiteConfig(AppConfig):
    """The composition root."""

    name = "poms_site"

    def ready(self) -> None:
        """Register the system checks and the loops of notices with their periods in seconds; watch for slow SQL."""
        from core import loops  # noqa: PLC0415 - its models load only now
        from poms_site import checks, slow_sql  # noqa: F401, PLC0415 - registering is the checks' import's effect

        slow_sql.begin()
        loops.register("notify", "poms_site.overview.notices.notify", period=2)
        loops.register("alarm", "poms_site.overview.alarms.alarm", period=60)
