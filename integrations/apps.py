"""Django's entry for the integrations app."""

from django.apps import AppConfig


class IntegrationsConfig(AppConfig):
    """The outside: batch systems, catalogues, launchers."""

    name = "integrations"
