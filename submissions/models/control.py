"""Holds and commands: what people and rules want to stop, and what they want done outside."""

from __future__ import annotations

from typing import Any

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.db.models.functions import Coalesce, Now

from campaigns.models import Campaign, Stage
from experiments.models import Experiment
from experiments.scoping import Scoped, ScopedQuerySet
from integrations.models import Credential, LaunchHost, Service
from submissions import states
from submissions.models.batch import Batch, Submission
from submissions.models.job import Job

SCOPES = ("everything", "experiment", "service", "campaign", "stage", "batch", "credential")
# What an emergency stop does to jobs that are in a batch system; `leave` lets them go on.
TREATMENTS = ("kill", "hold", "leave")
# What a limit counts: launches of the last minute, submissions in a batch system, their jobs that have not ended, the
# idle ones of these, scripts that run.
LIMITS = ("launches", "submissions", "jobs", "idle", "scripts")


class GateQuerySet(ScopedQuerySet[Any]):
    """Gates as a person sees them."""

    def visible_to(self, user: Any) -> GateQuerySet:
        """Return those of the person's experiments, and those of all, which hold these too."""
        seen = user.experiment_ids("view")
        return self.filter(Q(experiment__in=seen) | (Q(experiment=None) if seen else Q(pk__in=[])))


class Hold(Scoped):
    """A gate that launches do not pass while it stands."""

    scope = models.CharField(max_length=12, choices=[(scope, scope) for scope in SCOPES])
    experiment = models.ForeignKey(Experiment, on_delete=models.CASCADE, null=True, related_name="+")
    service = models.ForeignKey(Service, on_delete=models.CASCADE, null=True, related_name="+")
    campaign = models.ForeignKey(Campaign, on_delete=models.CASCADE, null=True, related_name="+")
    stage = models.ForeignKey(Stage, on_delete=models.CASCADE, null=True, related_name="+")
    batch = models.ForeignKey(Batch, on_delete=models.CASCADE, null=True, related_name="+")
    credential = models.ForeignKey(Credential, on_delete=models.CASCADE, null=True, related_name="+")
    reason = models.TextField()
    actor = models.CharField(max_length=150)
    since = models.DateTimeField(db_default=Now())
    until = models.DateTimeField(null=True)
    released_at = models.DateTimeField(null=True)
    released_by = models.CharField(max_length=150, blank=True)
    release_reason = models.TextField(blank=True)
    emergency = models.CharField(
        max_length=8, choices=[(word, word) for word in TREATMENTS], blank=True, default="",
        help_text="of an emergency stop, what it does to jobs; empty for every other hold",
    )  # fmt: skip
    selection = models.UUIDField(null=True, help_text="of the commands that an emergency stop gave")

    objects = GateQuerySet.as_manager()  # type: ignore[misc]  # those of no experiment are everybody's

    class Meta:
        indexes = [
            models.Index(fields=["scope"], name="submissions_hold_standing_ix", condition=Q(released_at__isnull=True))
        ]

    @property
    def ref(self) -> str:
        """Return the reference that people use, for instance demo/h1."""
        return f"{self.experiment.name if self.experiment else 'all'}/h{self.pk}"


class Limit(Scoped):
    """How much may be under way at once: of an experiment, in a batch system, from a launch host (J10, J16)."""

    kind = models.CharField(max_length=12, choices=[(kind, kind) for kind in LIMITS])
    most = models.PositiveIntegerField(help_text="launches in a minute, or as many at once; 0: none")
    experiment = models.ForeignKey(Experiment, on_delete=models.CASCADE, null=True, blank=True, related_name="+")
    system = models.CharField(max_length=30, blank=True, help_text="a batch system by name; empty: in any")
    host = models.ForeignKey(LaunchHost, on_delete=models.CASCADE, null=True, blank=True, related_name="+")
    reason = models.TextField()
    actor = models.CharField(max_length=150)
    since = models.DateTimeField(db_default=Now())
    ended_at = models.DateTimeField(null=True)
    ended_by = models.CharField(max_length=150, blank=True)

    objects = GateQuerySet.as_manager()  # type: ignore[misc]  # those of no experiment are everybody's

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(experiment__isnull=False) | ~Q(system=""), name="submissions_limit_scope_ck"
            ),
            # 0 for none, so that two limits of the same nothing are the same.
            models.UniqueConstraint(
                "kind", Coalesce("experiment", 0), "system", Coalesce("host", 0), name="submissions_limit_standing_uq",
                condition=Q(ended_at__isnull=True),
            ),
        ]  # fmt: skip

    def __str__(self) -> str:
        what = {
            "launches": "launches a minute", "submissions": "submissions at once", "jobs": "jobs at once",
            "idle": "idle jobs at once", "scripts": "launch scripts at once",
        }[self.kind]  # fmt: skip
        of = [f"of {self.experiment.name}"] if self.experiment else []
        of += [f"in {self.system}"] if self.system else []
        of += [f"on {self.host.name}"] if self.host else []
        return f"at most {self.most} {what} {' '.join(of)}"

    @property
    def ref(self) -> str:
        """Return the reference that people use, for instance demo/l1."""
        return f"{self.experiment.name if self.experiment else 'all'}/l{self.pk}"


class Command(Scoped):
    """What a person or rule wants done to jobs outside; the loop `act` applies it until it is observed."""

    STATES = states.COMMAND

    experiment = models.ForeignKey(Experiment, on_delete=models.PROTECT, related_name="+")
    verb = models.CharField(max_length=12, choices=[(v, v) for v in ("kill", "hold", "release", "priority")])
    value = models.IntegerField(default=0)
    submission = models.ForeignKey(Submission, on_delete=models.PROTECT, related_name="commands")
    # Without a constraint: what it was about may have gone into the archive.
    job = models.ForeignKey(Job, on_delete=models.DO_NOTHING, null=True, related_name="+", db_constraint=False)
    state = models.CharField(max_length=12, choices=states.COMMAND.choices(), default="wanted")
    state_since = models.DateTimeField(db_default=Now())
    due_at = models.DateTimeField(null=True, db_default=Now())
    tries = models.PositiveIntegerField(default=0)
    actor = models.CharField(max_length=150)
    reason = models.TextField()
    outcome = models.TextField(blank=True)
    created_at = models.DateTimeField(db_default=Now())
    selection = models.UUIDField(null=True, help_text="what was asked for with it, by one verb on a selection")
    chosen = ArrayField(
        models.BigIntegerField(), null=True, help_text="keys of the jobs that it is about; none: see job and submission"
    )
    # One document a command, by outcome: {"done": ["1.0@local", …]}; a row a job would be a hundred thousand rows.
    outcomes = models.JSONField(default=dict, help_text="what was done, as lists of the batch system's job ids")

    class Meta:
        indexes = [
            models.Index(fields=["due_at"], name="submissions_command_due_ix", condition=Q(due_at__isnull=False)),
            models.Index(fields=["selection"], name="submissions_command_sel_ix", condition=Q(selection__isnull=False)),
        ]

    @property
    def ref(self) -> str:
        """Return the reference that people use, for instance demo/x1."""
        return f"{self.experiment.name}/x{self.pk}"

    @property
    def job_ref(self) -> str | None:
        """Return the reference of the one job that it is about, if it is about one: in the archive it keeps it."""
        return f"{self.experiment.name}/j{self.job_id}" if self.job_id else None

    @property
    def tally(self) -> dict[str, int]:
        """Return how many jobs came to which outcome."""
        return {word: len(ids) for word, ids in self.outcomes.items()}
