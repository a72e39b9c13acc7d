"""Django's entry for the core app."""

from django.apps import AppConfig


class CoreConfig(AppConfig):
    """Mechanisms without a domain."""

    name = "core"
    default_auto_field = "django.db.models.BigAutoField"
