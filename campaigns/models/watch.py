"""Who follows a campaign."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models.functions import Now

from campaigns.models.campaign import Campaign
from experiments.scoping import Scoped


class CampaignWatcher(Scoped):
    """Somebody who wants to hear of a campaign."""

    EXPERIMENT_PATH = "campaign__experiment_id"

    campaign = models.ForeignKey(Campaign, on_delete=models.CASCADE, related_name="watchers", db_index=False)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    since = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [models.UniqueConstraint(fields=["campaign", "user"], name="campaigns_watcher_uq")]
