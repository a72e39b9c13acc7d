"""The failure atlas: what failures have in common over all campaigns, where each was seen, and whose it is."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from campaigns.models import Stage
from experiments.models import Experiment
from experiments.scoping import Scoped, ScopedQuerySet
from integrations.models import Service
from submissions.models.control import GateQuerySet
from submissions.models.job import Job
from submissions.signatures import CAUSES

CAUSE_CHOICES = [(cause, cause) for cause in CAUSES]


class Signature(models.Model):
    """What failures of one kind are recognised by, whoever's they are; it says nothing of any experiment."""

    digest = models.CharField(max_length=40, unique=True)
    title = models.CharField(max_length=200)
    cause = models.CharField(max_length=12, choices=CAUSE_CHOICES)
    exit_code = models.IntegerField(null=True)
    signal = models.IntegerField(null=True)
    code = models.CharField(max_length=60, blank=True)
    step = models.CharField(max_length=40, blank=True)
    line = models.CharField(max_length=200, blank=True, help_text="the line that tells, without what differs")
    created_at = models.DateTimeField(db_default=Now())

    def __str__(self) -> str:
        return self.title


class FailureQuerySet(ScopedQuerySet["Failure"]):
    """Failures as a person sees them."""

    def visible_to(self, user: Any) -> FailureQuerySet:
        """Return those of the person's experiments, and those that are routed to a service that they provide."""
        provided = Service.providers.through._default_manager.filter(user_id=user.pk).values("service_id")
        return self.filter(Q(experiment_id__in=user.experiment_ids("view")) | Q(service_id__in=provided))


class Failure(Scoped):
    """A signature as one experiment has it: how often, since when, whose it is, and what helps.

    `jobs` and `core_s` are exact: the sum of its sightings, written with them. Without a service it is the
    experiment's own.
    """

    KIND = "failure"  # in the ledger

    experiment = models.ForeignKey(Experiment, on_delete=models.CASCADE, related_name="+", db_index=False)
    signature = models.ForeignKey(Signature, on_delete=models.PROTECT, related_name="failures")
    first_at = models.DateTimeField(help_text="when its first job ended")
    last_at = models.DateTimeField(help_text="when its latest job ended")
    jobs = models.BigIntegerField(default=0)
    core_s = models.FloatField(default=0)
    service = models.ForeignKey(Service, on_delete=models.SET_NULL, null=True, related_name="+")
    routed_by = models.CharField(max_length=150, blank=True, help_text="a rule or a person; empty: no rule fits")
    fix = models.TextField(blank=True, help_text="what helps")
    fix_by = models.CharField(max_length=150, blank=True)
    fix_at = models.DateTimeField(null=True)
    ticket_link = models.CharField(max_length=600, blank=True, help_text="of a ticket that somebody opened elsewhere")

    objects = FailureQuerySet.as_manager()  # type: ignore[misc]  # providers see those of others' experiments

    class Meta:
        constraints = [models.UniqueConstraint(fields=["signature", "experiment"], name="submissions_failure_uq")]
        indexes = [
            models.Index(fields=["experiment", "-last_at", "-id"], name="submissions_failure_of_ix"),
            models.Index(
                fields=["service", "-last_at"], name="submissions_failure_by_ix", condition=Q(service__isnull=False)
            ),
        ]

    @property
    def ref(self) -> str:
        """Return the reference that people use, for instance demo/f1."""
        return f"{self.experiment.name}/f{self.pk}"

    @property
    def owner(self) -> str:
        """Return whose it is, as people say it."""
        return str(self.service) if self.service else self.experiment.name

    @property
    def core_hours(self) -> float:
        """Return what its jobs used, in core-hours."""
        return self.core_s / 3600


class Sighting(Scoped):
    """How many jobs of a stage failed so at a site on a day (UTC) with a release; kept when the jobs are pruned."""

    EXPERIMENT_PATH = "failure__experiment_id"

    failure = models.ForeignKey(Failure, on_delete=models.CASCADE, related_name="sightings", db_index=False)
    stage = models.ForeignKey(Stage, on_delete=models.CASCADE, related_name="+")
    day = models.DateField()
    site = models.CharField(max_length=100, blank=True)
    release = models.CharField(max_length=100, blank=True)
    jobs = models.IntegerField(default=0)
    core_s = models.FloatField(default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["failure", "day", "stage", "site", "release"], name="submissions_sighting_uq"
            )
        ]


class JobFailure(Scoped):
    """What one job's failure was recognised as. It goes with the job, whoever deletes that."""

    EXPERIMENT_PATH = "job__experiment_id"

    # The migration lets the database itself delete it with the job: jobs are pruned in bulk, past Django.
    job = models.OneToOneField(
        Job, on_delete=models.CASCADE, primary_key=True, related_name="failure", db_constraint=False
    )
    failure = models.ForeignKey(Failure, on_delete=models.CASCADE, null=True, related_name="+", db_index=False)
    sighting = models.ForeignKey(Sighting, on_delete=models.SET_NULL, null=True, related_name="+", db_index=False)
    state_code = models.SmallIntegerField(help_text="the job's state that was looked at")
    at = models.DateTimeField(help_text="when the job ended, or since when it is held")
    core_s = models.FloatField(default=0)
    look_at = models.DateTimeField(null=True, help_text="when its log is to be read; none: it is recognised")
    tries = models.PositiveSmallIntegerField(default=0)
    unread = models.TextField(blank=True, help_text="why its log was not read: it is recognised by its facts alone")
    tail = models.TextField(blank=True, help_text="the end of its log, kept for the first jobs of each failure")

    class Meta:
        indexes = [
            models.Index(fields=["look_at"], name="submissions_jobfailure_due_ix", condition=Q(look_at__isnull=False)),
            models.Index(fields=["failure", "-job"], name="submissions_jobfailure_of_ix"),
        ]


class Reading(models.Model):
    """How far one reader has come among the jobs that have ended, in the order of their ends."""

    reader = models.CharField(max_length=40, primary_key=True)
    ended_at = models.DateTimeField()
    job_id = models.BigIntegerField(default=0)


class Route(Scoped):
    """A rule that says whose failures are: the first that fits decides, an experiment's own before those of all."""

    experiment = models.ForeignKey(
        Experiment, on_delete=models.CASCADE, null=True, blank=True, related_name="+", help_text="none: of all"
    )
    place = models.PositiveIntegerField(default=100, help_text="lower ones are asked first")
    cause = models.CharField(max_length=12, choices=CAUSE_CHOICES, blank=True, help_text="empty: any")
    pattern = models.CharField(max_length=200, blank=True, help_text="a regular expression in the line that tells")
    service = models.CharField(max_length=40, blank=True, help_text="to the service of this name; empty: experiment")
    reason = models.TextField()
    actor = models.CharField(max_length=150)
    since = models.DateTimeField(db_default=Now())
    ended_at = models.DateTimeField(null=True)

    objects = GateQuerySet.as_manager()  # type: ignore[misc]  # those of no experiment are everybody's

    class Meta:
        indexes = [models.Index(fields=["experiment"], name="submissions_route_ix", condition=Q(ended_at__isnull=True))]

    def __str__(self) -> str:
        what = [f"cause {self.cause}"] if self.cause else []
        what += [f"/{self.pattern}/"] if self.pattern else []
        return f"{' and '.join(what) or 'any failure'} → {self.service or 'the experiment'}"

    @property
    def ref(self) -> str:
        """Return the reference that people use, for instance demo/o1; all/o1 for one of all."""
        return f"{self.experiment.name if self.experiment else 'all'}/o{self.pk}"
