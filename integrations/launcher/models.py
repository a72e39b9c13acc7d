"""Which hosts an experiment's scripts may be started on, and how they are reached."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Now

from core.editable import Editable
from experiments.models import Experiment
from experiments.scoping import Scoped


class LaunchHost(Editable, Scoped):
    """One account on one launch host, as login set-ups name it (J2, J9).

    The key that opens it is named, never kept: what POMS_CREDENTIAL_<NAME>_FILE of the workers points to. Where none is
    named, an agent or a Kerberos ticket of the worker does it.
    """

    # Name and account stay: login set-ups and launches of years name a host by them.
    EDITABLE = (
        "address", "port", "home", "python", "credential", "known_hosts", "for_analysis", "most_at_once", "active"
    )  # fmt: skip

    experiment = models.ForeignKey(Experiment, on_delete=models.CASCADE, related_name="+")
    name = models.CharField(max_length=200, help_text="what login set-ups call it, as a rule its address")
    address = models.CharField(max_length=200)
    port = models.PositiveIntegerField(default=22)
    account = models.CharField(max_length=100, help_text="of the experiment; scripts run under it")
    home = models.CharField(max_length=400, help_text="a folder on a disk of the host itself, for what launches leave")
    python = models.CharField(max_length=200, default="python3", help_text="3.6 or later, as the host finds it")
    credential = models.CharField(max_length=40, blank=True, help_text="the name of a key, never the key itself")
    known_hosts = models.TextField(help_text="the host's public keys, as ssh-keyscan prints them")
    for_analysis = models.BooleanField(default=False, help_text="campaigns of analysis users go there, no others")
    most_at_once = models.PositiveSmallIntegerField(default=50, help_text="scripts that run there at once")
    active = models.BooleanField(default=True)
    failures = models.PositiveIntegerField(default=0, help_text="calls without an answer since the last one with one")
    silent_since = models.DateTimeField(null=True)
    retry_at = models.DateTimeField(db_default=Now(), help_text="it is left alone until then")
    error = models.TextField(blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["experiment", "name", "account"], name="integrations_launchhost_name_uq")
        ]

    def __str__(self) -> str:
        return f"{self.called} of {self.experiment}"

    @property
    def called(self) -> str:
        """Return account and name, as a reference has them after the experiment."""
        return f"{self.account}@{self.name}"

    @property
    def ref(self) -> str:
        """Return the reference by which people name it: demo/mcprod@gpvm01."""
        return f"{self.experiment.name}/{self.called}"
