"""Django's entry for the campaigns app."""

from django.apps import AppConfig


class CampaignsConfig(AppConfig):
    """What should run: campaigns, stages, edges, splitting, completion, text form."""

    name = "campaigns"
