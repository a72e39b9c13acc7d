"""Tables of logbooks: where an experiment's is, and the entries that are wanted in it or stand there."""

from __future__ import annotations

import uuid
from typing import Any

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from experiments.models import Experiment
from experiments.scoping import Scoped


class BookQuerySet(models.QuerySet["Book"]):
    """Logbooks as a person sees them."""

    def visible_to(self, user: Any) -> BookQuerySet:
        """Return those of experiments that one administers."""
        return self.filter(experiment_id__in=user.experiment_ids("administer"))


def new_mark() -> str:
    """Return a word by which an entry is found in its logbook; long enough that nobody writes it by chance."""
    return f"poms-{uuid.uuid4().hex}"


class Book(models.Model):
    """The electronic logbook of an experiment."""

    experiment = models.OneToOneField(Experiment, on_delete=models.CASCADE, related_name="+")
    system = models.CharField(max_length=20, default="ecl")
    url = models.CharField(max_length=400, help_text="of the logbook, such as https://dbweb.example.gov/ECL/demo/E")
    credential = models.CharField(max_length=40, help_text="the name of the credential, never the secret itself")
    category = models.CharField(max_length=100, help_text="in which entries stand")
    active = models.BooleanField(default=True)

    objects = BookQuerySet.as_manager()

    def __str__(self) -> str:
        return f"{self.system} of {self.experiment}"


class LogbookEntry(Scoped):
    """One entry: what it is about, its text, and how the logbook knows it. `mark` names it there whatever happens."""

    experiment = models.ForeignKey(Experiment, on_delete=models.CASCADE, related_name="+", db_index=False)
    key = models.CharField(max_length=150, unique=True, help_text="why it is written; each is written once")
    ref = models.CharField(max_length=100, help_text="the thing that it is about, such as demo/f12")
    mark = models.CharField(max_length=40, unique=True, default=new_mark)
    text = models.TextField()
    actor = models.CharField(max_length=150)
    number = models.CharField(max_length=40, blank=True)
    link = models.CharField(max_length=600, blank=True)
    due_at = models.DateTimeField(null=True, help_text="when it is to be written")
    tries = models.PositiveIntegerField(default=0)
    error = models.TextField(blank=True)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        indexes = [
            models.Index(fields=["due_at"], name="integrations_logentry_due_ix", condition=Q(due_at__isnull=False)),
            models.Index(fields=["experiment", "ref"], name="integrations_logentry_of_ix"),
        ]

    def __str__(self) -> str:
        return self.number or self.key
