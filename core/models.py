"""Infrastructure tables: the ledger of transitions, seals over it, heartbeats, request keys, troubles."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.db.models.functions import Now


class TransitionQuerySet(models.QuerySet["Transition"]):
    """Reads of the ledger."""

    def visible_to(self, user: Any) -> TransitionQuerySet:
        """Return the transitions of experiments that the person may look into (design 9)."""
        return self.filter(experiment_id__in=user.experiment_ids("view"))

    def of_campaign(self, campaign_id: int) -> TransitionQuerySet:
        """Return the steps of a campaign, its batches and submissions; of its jobs there would be far more."""
        # The kinds are named so that the partitions of jobs are not looked into.
        return self.filter(kind__in=("campaign", "batch", "submission"), campaign_id=campaign_id)


class Transition(models.Model):
    """One change of state of one thing: history, audit trail and outbox at once (design 3, M8).

    The table is partitioned: jobs' rows by month, everything else in one partition that is kept for ever. Which
    campaign a step of a batch or submission belongs to is filled in by the database (submissions/migrations/0005): it
    follows from the thing, never changes, and is not sealed.
    """

    kind = models.CharField(max_length=16)
    thing_id = models.BigIntegerField()
    experiment_id = models.BigIntegerField(null=True)
    source = models.CharField(max_length=24, blank=True)
    target = models.CharField(max_length=24)
    verb = models.CharField(max_length=32, blank=True)
    at = models.DateTimeField(db_default=Now())
    actor = models.CharField(max_length=150)
    reason = models.TextField(blank=True)
    txid = models.BigIntegerField()
    campaign_id = models.BigIntegerField(null=True, editable=False)

    objects = TransitionQuerySet.as_manager()

    class Meta:
        managed = False
        db_table = "core_transition"


class Seal(models.Model):
    """A link of the hash chain over committed transitions with from_txid <= txid < to_txid."""

    from_txid = models.BigIntegerField()
    to_txid = models.BigIntegerField(unique=True)
    rows = models.BigIntegerField()
    parts = models.JSONField(null=True, help_text="by partition of the ledger: number and digest of its rows")
    digest = models.CharField(max_length=64)
    at = models.DateTimeField(db_default=Now())


class SealedRows(models.Model):
    """What tells the rows of a seal apart: their ids, and of each the first eight bytes of its SHA-256 (core/audit.py).

    It locates what the seal's digest proves, in one row for up to fifty thousand: eight bytes a transition.
    """

    seal = models.OneToOneField(Seal, on_delete=models.CASCADE, primary_key=True, related_name="+")
    ids = models.BinaryField(help_text="each as the difference from the one before, packed")
    hashes = models.BinaryField(help_text="in the same order")


class Heartbeat(models.Model):
    """When a loop last ran, how long, what it did and what went wrong."""

    loop = models.CharField(max_length=16, primary_key=True)
    worker = models.CharField(max_length=100, blank=True)
    started_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)
    steps = models.BigIntegerField(default=0)
    errors = models.BigIntegerField(default=0)
    failed_in_a_row = models.PositiveIntegerField(default=0, db_default=0, help_text="passes since the last that ended")
    last_error = models.TextField(blank=True)


class RequestKey(models.Model):
    """The answer to a creating request, kept under the caller's Idempotency-Key."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    key = models.CharField(max_length=200)
    route = models.CharField(max_length=200)
    body_hash = models.CharField(max_length=64)
    status = models.PositiveSmallIntegerField(null=True)
    answer = models.JSONField(null=True, encoder=DjangoJSONEncoder)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user", "key"], name="core_requestkey_user_key_uq")]


class Rate(models.Model):
    """How often somebody did something within the last minute (core/rates.py); the table is not logged."""

    key = models.CharField(max_length=100, primary_key=True)
    slots = ArrayField(models.IntegerField(), help_text="acts in each slot, the present one first")
    slot = models.BigIntegerField(help_text="the present one: seconds since 1970, by its width")
    passed = models.BooleanField(help_text="whether the last was let through")


class Trouble(models.Model):
    """A row that a loop could not step: how often, why, and when it will be tried again.

    After five tries it is parked until a person clears it, so that one poison row stops nothing else (F8).
    """

    loop = models.CharField(max_length=16)
    kind = models.CharField(max_length=16)
    thing_id = models.BigIntegerField()
    tries = models.PositiveSmallIntegerField(default=0)
    error = models.TextField()
    next_at = models.DateTimeField(null=True, help_text="when to try again; empty: parked until cleared")
    updated_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [models.UniqueConstraint(fields=["loop", "kind", "thing_id"], name="core_trouble_thing_uq")]
