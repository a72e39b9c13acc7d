"""Which batch systems there are, how they are reached, and how far what happens in them has been read."""

from __future__ import annotations

from django.db import models

from core.editable import Editable


class BatchSystem(Editable, models.Model):
    """One batch system that is watched; `position` is how far its changes have been read, in its own words.

    `swept_to` is up to which submission and job the last sweep over quiet jobs came; empty: it had them all.
    `doubted_to` is up to which end of a job it has asked whether what failed has really ended.
    """

    # Name and backend stay: jobs are known by them, and `position` is in the backend's own words.
    EDITABLE = ("settings", "active")

    name = models.SlugField(max_length=30, unique=True)
    backend = models.CharField(max_length=20, default="local", help_text="local, htcondor, jobsub or slurm")
    settings = models.JSONField(default=dict, blank=True, help_text="as the backend declares them; no secret")
    active = models.BooleanField(default=True, help_text="taken away: nothing new goes there, what is there is watched")
    position = models.TextField(default="", blank=True)
    looked_at = models.DateTimeField(null=True)
    swept_at = models.DateTimeField(null=True)
    swept_to = models.TextField(default="", blank=True)
    doubted_to = models.TextField(default="", blank=True)
    error = models.TextField(blank=True)

    def __str__(self) -> str:
        return self.name
