"""Which credentials an experiment's launches run with: where they lie and how long they live, never what is in them."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from core.clock import now
from core.editable import Editable
from experiments.models import Experiment
from experiments.scoping import Scoped
from integrations.credentials.kinds import KINDS
from integrations.launcher.base import Place

ROLES = ("production", "analysis")


class Credential(Editable, Scoped):
    """One credential of an experiment, by its path on the host where it lies (J3).

    Where no launcher is named it lies with the worker, and every launch of the experiment needs it.
    """

    EDITABLE = (
        "path", "settings", "renewal", "renewal_seconds", "renewers", "needs_seconds", "renew_seconds", "active",
    )  # fmt: skip

    experiment = models.ForeignKey(Experiment, on_delete=models.CASCADE, related_name="+")
    name = models.SlugField(max_length=40)
    kind = models.CharField(max_length=20, help_text="voms, scitoken or kerberos")
    role = models.CharField(max_length=12, choices=[(role, role) for role in ROLES], default="production")
    launcher = models.CharField(max_length=20, blank=True, help_text="empty: with the worker, and all launches need it")
    host = models.CharField(max_length=200, blank=True)
    account = models.CharField(max_length=100, blank=True, help_text="empty: any account on the host")
    path = models.CharField(max_length=400, help_text="from the root, on a disk of the host itself")
    settings = models.JSONField(default=dict, blank=True, help_text="as the kind declares them; no secret")
    renewal = ArrayField(
        models.CharField(max_length=400), default=list, blank=True,
        help_text="the command that renews it, word for word; empty: as the settings say",
    )  # fmt: skip
    renewal_seconds = models.PositiveSmallIntegerField(default=60, help_text="that the command may take")
    renewers = models.CharField(max_length=200, blank=True, help_text="who can renew it; empty: the operators")
    needs_seconds = models.PositiveIntegerField(default=600, help_text="of life that a launch must find")
    renew_seconds = models.PositiveIntegerField(default=3600, help_text="before its end it is renewed by itself")
    active = models.BooleanField(default=True)
    begins_at = models.DateTimeField(null=True)
    ends_at = models.DateTimeField(null=True, help_text="as it said when it answered last")
    unusable = models.TextField(blank=True, help_text="an answer: why it cannot be used whatever its end is")
    seen_at = models.DateTimeField(null=True, help_text="when it answered last")
    error = models.TextField(blank=True, help_text="why it did not answer since")
    due_at = models.DateTimeField(db_default=Now(), help_text="when it is asked next")
    renewed_at = models.DateTimeField(null=True, help_text="when it was last seen to live longer than before")
    tried_at = models.DateTimeField(null=True, help_text="when the command was last run")
    trouble = models.TextField(blank=True, help_text="why the command did not renew it")
    asked_by = models.CharField(max_length=150, blank=True, help_text="who wants it renewed now")
    warned_hours = models.PositiveSmallIntegerField(null=True, help_text="before this end, what was warned of last")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["experiment", "name"], name="integrations_credential_name_uq"),
            models.UniqueConstraint(
                fields=["experiment", "kind", "role", "launcher", "host", "account"],
                name="integrations_credential_place_uq",
                condition=Q(active=True),
            ),
        ]
        indexes = [
            models.Index(fields=["due_at"], name="integrations_credential_due_ix", condition=Q(active=True)),
        ]  # fmt: skip

    def __str__(self) -> str:
        return self.ref

    @property
    def ref(self) -> str:
        """Return the reference that people use, for instance demo/token."""
        return f"{self.experiment.name}/{self.name}"

    @property
    def title(self) -> str:
        """Return what it is and where it lies, for people."""
        at = f"{self.account}@{self.host}" if self.account else self.host
        return f"the {KINDS[self.kind].word} {self.name} of {self.experiment.name} on {at or 'the worker'}"

    @property
    def place(self) -> Place:
        """Return where it lies."""
        return Place.of(self.launcher or "local", self.experiment_id, self.host, self.account)

    @property
    def command(self) -> list[str]:
        """Return the command that renews it; empty where only people can."""
        return list(self.renewal) or KINDS[self.kind].renewal(self.path, self.settings)

    @property
    def environment(self) -> dict[str, str]:
        """Return by which variables scripts at its place find it."""
        return KINDS[self.kind].environment(self.path, self.settings)

    @property
    def who(self) -> str:
        """Return who can renew it."""
        return self.renewers or f"the operators of {self.experiment.name}"

    def condition(self, at: datetime | None = None) -> str:
        """Return how it stands: put_away, unknown, live, ending, expired or unusable.

        Only the last two stop launches, by the same comparison as submissions.equipment.
        """
        at = at or now()
        if not self.active:
            return "put_away"
        if self.unusable:
            return "unusable"
        if self.ends_at is None:
            return "live" if self.seen_at else "unknown"
        if self.ends_at <= at + timedelta(seconds=self.needs_seconds):
            return "expired"
        if self.error:
            return "unknown"
        return "ending" if self.ends_at <= at + timedelta(seconds=self.renew_seconds) else "live"

    def end_in_words(self) -> str:
        """Return when it ends or has ended, or what else is the matter with it, as what follows its name."""
        if self.unusable:
            return f"cannot be used: {self.unusable}"
        if self.ends_at is None:
            return "says no end" if self.seen_at else "has not been asked yet"
        word = "ended" if self.ends_at <= now() else "ends"
        return f"{word} at {self.ends_at:%Y-%m-%d %H:%M} UTC"

    @property
    def remedy(self) -> str:
        """Return how it is renewed, and by whom, as a part of a sentence."""
        how = f"renew it by {' '.join(self.command)}" if self.command else "renew it where it lies"
        return f"{how}; who can: {self.who}"

    @property
    def why(self) -> str:
        """Return why launches that need it stop."""
        short = self.ends_at is not None and not self.unusable and self.ends_at > now()
        need = f", and a launch needs {self.needs_seconds} s of it" if short else ""
        return f"{self.title} {self.end_in_words()}{need}; {self.remedy}"
