"""Tables of tickets: where an experiment's are opened, which there are, and what is still to be said in them."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from experiments.models import Experiment
from experiments.scoping import Scoped


class DeskQuerySet(models.QuerySet["Desk"]):
    """Desks as a person sees them."""

    def visible_to(self, user: Any) -> DeskQuerySet:
        """Return those of experiments that one administers."""
        return self.filter(experiment_id__in=user.experiment_ids("administer"))


class Desk(models.Model):
    """The service desk in which an experiment's requests get tickets."""

    experiment = models.OneToOneField(Experiment, on_delete=models.CASCADE, related_name="+")
    system = models.CharField(max_length=20, default="servicenow")
    url = models.CharField(max_length=400, help_text="of the instance, such as https://lab.service-now.com")
    credential = models.CharField(max_length=40, help_text="the name of the credential, never the secret itself")
    group = models.CharField(max_length=100, blank=True, help_text="to which tickets are assigned")
    active = models.BooleanField(default=True)

    objects = DeskQuerySet.as_manager()

    def __str__(self) -> str:
        return f"{self.system} of {self.experiment}"


class Ticket(Scoped):
    """One ticket: about which thing, and how the desk knows it. `correlation` names it there whatever happens."""

    experiment = models.ForeignKey(Experiment, on_delete=models.CASCADE, related_name="+")
    ref = models.CharField(max_length=100, unique=True)
    correlation = models.CharField(max_length=100, unique=True)
    title = models.CharField(max_length=160)
    text = models.TextField()
    sys_id = models.CharField(max_length=40, blank=True)
    number = models.CharField(max_length=40, blank=True)
    standing = models.CharField(max_length=40, blank=True, help_text="its state as the desk says it")
    link = models.CharField(max_length=600, blank=True)
    due_at = models.DateTimeField(null=True, help_text="when something is to be done about it")
    tries = models.PositiveIntegerField(default=0)
    error = models.TextField(blank=True)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        indexes = [
            models.Index(fields=["due_at"], name="integrations_ticket_due_ix", condition=Q(due_at__isnull=False))
        ]

    def __str__(self) -> str:
        return self.number or self.ref


class TicketNote(Scoped):
    """Something still to be said in a ticket, or said; one that closes it comes last."""

    EXPERIMENT_PATH = "ticket__experiment_id"

    ticket = models.ForeignKey(Ticket, on_delete=models.CASCADE, related_name="notes")
    key = models.CharField(max_length=80, help_text="the event in the ledger that it tells")
    text = models.TextField()
    closes = models.BooleanField(default=False)
    tries = models.PositiveIntegerField(default=0)
    told_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["ticket", "key"], name="integrations_ticketnote_key_uq")]
