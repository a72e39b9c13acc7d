"""Outside systems by name, the tables of the local catalogue, and those of notices and tickets."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Now

from experiments.models import Experiment
from experiments.scoping import Scoped
from integrations.notices.models import Choices, LedgerPlace, Message, Notice, Webhook
from integrations.tickets.models import Desk, Ticket, TicketNote

__all__ = [
    "BatchSystem", "Choices", "Dataset", "Desk", "File", "LedgerPlace", "Message", "Notice", "Parentage", "Ticket",
    "TicketNote", "Webhook",
]  # fmt: skip


class BatchSystem(models.Model):
    """One batch system that is watched; `position` is how far its changes have been read."""

    name = models.SlugField(max_length=30, unique=True)
    backend = models.CharField(max_length=20, default="local")
    position = models.BigIntegerField(default=0)
    looked_at = models.DateTimeField(null=True)
    swept_at = models.DateTimeField(null=True)
    error = models.TextField(blank=True)

    def __str__(self) -> str:
        return self.name


class File(Scoped):
    """A file of the local catalogue."""

    experiment = models.ForeignKey(Experiment, on_delete=models.PROTECT, related_name="+")
    name = models.CharField(max_length=200)
    path = models.TextField()
    size = models.BigIntegerField(default=0)
    checksum = models.CharField(max_length=80, blank=True)
    events = models.BigIntegerField(null=True)
    metadata = models.JSONField(default=dict)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [models.UniqueConstraint(fields=["experiment", "name"], name="integrations_file_name_uq")]

    def __str__(self) -> str:
        return self.name


class Parentage(Scoped):
    """One file was made from another."""

    EXPERIMENT_PATH = "child__experiment_id"

    child = models.ForeignKey(File, on_delete=models.CASCADE, related_name="parents")
    parent = models.ForeignKey(File, on_delete=models.PROTECT, related_name="children")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["child", "parent"], name="integrations_parentage_uq")]


class Dataset(Scoped):
    """A named set of files of the local catalogue."""

    experiment = models.ForeignKey(Experiment, on_delete=models.PROTECT, related_name="+")
    name = models.CharField(max_length=200)
    created_at = models.DateTimeField(db_default=Now())
    files: models.ManyToManyField[File, models.Model] = models.ManyToManyField(File, related_name="datasets")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["experiment", "name"], name="integrations_dataset_name_uq")]

    def __str__(self) -> str:
        return self.name
