"""Django's entry for the experiments app."""

from django.apps import AppConfig


class ExperimentsConfig(AppConfig):
    """Who: experiments, people, roles, tokens."""

    name = "experiments"
