"""A database that was put back to an earlier moment: as which one we know it, what was asked since, what was found."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Now


class Incarnation(models.Model):
    """The one row that says which life of the database wrote last: a restore or a promotion begins another one."""

    system_identifier = models.BigIntegerField(help_text="of the cluster, given when it was made")
    timeline = models.PositiveIntegerField(help_text="counts restores and promotions of the cluster")
    noted_at = models.DateTimeField(db_default=Now())


class Restoration(models.Model):
    """What is done after a restore: nothing is launched until hosts and batch systems have said what they know."""

    began_at = models.DateTimeField(db_default=Now())
    back_to = models.DateTimeField(help_text="the last moment of which the database knows")
    why = models.TextField()
    stop = models.BigIntegerField(null=True, help_text="the hold that goes with it; it is of no experiment")
    positions = models.JSONField(default=dict, help_text="of each batch system, from where it is asked")
    asked = models.JSONField(default=dict, help_text="hosts and batch systems that have answered, and when")
    silent = models.JSONField(default=dict, help_text="those that did not, and why")
    heard_at = models.DateTimeField(null=True, help_text="when all of them had answered for the first time")
    ended_at = models.DateTimeField(null=True)
    ended_by = models.CharField(max_length=150, blank=True)


class Stray(models.Model):
    """A launch that a host or a batch system knows and the restored database does not."""

    FATES = ("open", "adopted", "empty")

    restoration = models.ForeignKey(Restoration, on_delete=models.CASCADE, related_name="strays")
    uuid = models.UUIDField(unique=True)
    place = models.JSONField(default=dict, help_text="of the launch host; empty: only a batch system knows it")
    found_at = models.CharField(max_length=400, help_text="who knows it")
    plan = models.JSONField(default=dict, help_text="its jobs.json; empty where nobody has it")
    job_ids = ArrayField(models.CharField(max_length=100), default=list)
    fate = models.CharField(max_length=8, choices=[(word, word) for word in FATES], default="open")
    why = models.TextField(blank=True)
    seen_at = models.DateTimeField(db_default=Now())
