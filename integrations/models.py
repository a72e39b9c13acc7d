"""Outside systems by name, the tables of the local catalogue, and those of notices, tickets and logbooks."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Now

from experiments.models import Experiment
from experiments.scoping import Scoped
from integrations.batch.models import BatchSystem
from integrations.catalogue.models import CatalogueLink
from integrations.credentials.models import Credential
from integrations.launcher.models import LaunchHost
from integrations.logbooks.models import Book, LogbookEntry
from integrations.notices.models import Choices, LedgerPlace, Message, Notice, Webhook
from integrations.probes.models import Downtime, Service, ServiceState
from integrations.tickets.models import Desk, Ticket, TicketNote
from integrations.uploads.models import Upload, UploadContent

__all__ = [
    "BatchSystem", "Book", "CatalogueLink", "Choices", "Consumption", "Credential", "Dataset", "DatasetSnapshot",
    "Desk", "Downtime", "File", "FileProject", "FileRun", "LaunchHost", "LedgerPlace", "LogbookEntry", "Membership",
    "Message", "Notice", "Parentage", "Service", "ServiceState", "Ticket", "TicketNote", "Upload", "UploadContent",
    "Webhook",
]  # fmt: skip


class ThisTransaction(models.Func):
    """The number of the transaction that writes a row; unlike ids, it can be compared with what still runs."""

    template = "pg_current_xact_id()::text::bigint"
    arity = 0
    output_field = models.BigIntegerField()


class File(Scoped):
    """A file of the local catalogue."""

    class Medium(models.TextChoices):
        DISK = "disk", "on disk"
        TAPE = "tape", "on tape"
        NONE = "none", "nowhere yet"
        VIRTUAL = "virtual", "never anywhere"

    experiment = models.ForeignKey(Experiment, on_delete=models.PROTECT, related_name="+")
    name = models.CharField(max_length=200)
    path = models.TextField()
    size = models.BigIntegerField(default=0)
    checksum = models.CharField(max_length=80, blank=True)
    events = models.BigIntegerField(null=True)
    metadata = models.JSONField(default=dict)
    created_at = models.DateTimeField(db_default=Now())
    updated_at = models.DateTimeField(db_default=Now(), help_text="kept by the database")
    medium = models.CharField(max_length=10, choices=Medium.choices, default=Medium.DISK)
    recalled_at = models.DateTimeField(null=True, help_text="when it was asked for to come from tape to disk")
    run = models.BigIntegerField(null=True, help_text="the first of its runs")
    start_time = models.DateTimeField(null=True, help_text="when its data begin")
    end_time = models.DateTimeField(null=True, help_text="when its data end")
    txid = models.BigIntegerField(db_default=ThisTransaction(), help_text="what changed it last; kept by the database")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["experiment", "name"], name="integrations_file_name_uq")]
        # What is new, for datasets that are defined by a query.
        indexes = [models.Index(fields=["experiment", "txid"], name="integrations_file_txid_ix")]

    def __str__(self) -> str:
        return self.name


class FileRun(Scoped):
    """A run, or a part of one, of which a file has data."""

    EXPERIMENT_PATH = "file__experiment_id"

    file = models.ForeignKey(File, on_delete=models.CASCADE, related_name="runs")
    run = models.BigIntegerField()
    subrun = models.BigIntegerField(default=0)
    type = models.CharField(max_length=80, blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["file", "run", "subrun"], name="integrations_filerun_run_uq")]
        indexes = [models.Index(fields=["run", "subrun"], name="integrations_filerun_run_ix")]


class Parentage(Scoped):
    """One file was made from another."""

    EXPERIMENT_PATH = "child__experiment_id"

    child = models.ForeignKey(File, on_delete=models.CASCADE, related_name="parents")
    parent = models.ForeignKey(File, on_delete=models.PROTECT, related_name="children")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["child", "parent"], name="integrations_parentage_uq")]


class Dataset(Scoped):
    """A named set of files of the local catalogue: a list of them, or whatever a query finds now."""

    experiment = models.ForeignKey(Experiment, on_delete=models.PROTECT, related_name="+")
    name = models.CharField(max_length=200)
    query = models.TextField(blank=True, help_text="in the dimension language; empty: it is a list of files")
    created_at = models.DateTimeField(db_default=Now())
    files: models.ManyToManyField[File, models.Model] = models.ManyToManyField(
        File, through="Membership", related_name="datasets"
    )

    class Meta:
        constraints = [models.UniqueConstraint(fields=["experiment", "name"], name="integrations_dataset_name_uq")]

    def __str__(self) -> str:
        return self.name


class Membership(Scoped):
    """A file is in the list of a dataset, since a transaction."""

    EXPERIMENT_PATH = "dataset__experiment_id"

    dataset = models.ForeignKey(Dataset, on_delete=models.CASCADE, related_name="memberships")
    file = models.ForeignKey(File, on_delete=models.CASCADE, related_name="memberships")
    txid = models.BigIntegerField(db_default=ThisTransaction())

    class Meta:
        db_table = "integrations_dataset_files"
        unique_together = [("dataset", "file")]
        indexes = [models.Index(fields=["dataset", "txid"], name="integrations_membership_new_ix")]


class DatasetSnapshot(Scoped):
    """The files of a dataset as they were at one moment, in the order of their names; `id` is its mark."""

    experiment = models.ForeignKey(Experiment, on_delete=models.PROTECT, related_name="+")
    dataset = models.CharField(max_length=200)
    # One row of a few bytes a file: freezing a million files takes a second, and a hundredth of the room of rows.
    files = ArrayField(models.BigIntegerField(), help_text="ids of files")
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        indexes = [models.Index(fields=["experiment", "dataset"], name="integrations_snapshot_of_ix")]


class FileProject(Scoped):
    """A snapshot that is given out to jobs, under a name: what SAM calls a project."""

    experiment = models.ForeignKey(Experiment, on_delete=models.PROTECT, related_name="+")
    name = models.CharField(max_length=200)
    snapshot = models.ForeignKey(DatasetSnapshot, on_delete=models.PROTECT, related_name="projects")
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [models.UniqueConstraint(fields=["experiment", "name"], name="integrations_fileproject_name_uq")]

    def __str__(self) -> str:
        return self.name


class Consumption(Scoped):
    """What became of a file of a project; one without a row was not given out."""

    EXPERIMENT_PATH = "project__experiment_id"

    project = models.ForeignKey(FileProject, on_delete=models.CASCADE, related_name="consumptions")
    file = models.ForeignKey(File, on_delete=models.CASCADE, related_name="+")
    status = models.CharField(max_length=20)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["project", "file"], name="integrations_consumption_file_uq")]
