"""Jobs, those of long ago, their exact counters, and the inbox of reports about them."""

from __future__ import annotations

from datetime import datetime

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from campaigns.models import Stage
from core.models import Transition
from experiments.models import Experiment
from experiments.scoping import Scoped
from integrations.models import BatchSystem
from submissions import states
from submissions.models.batch import Submission


class JobFacts(Scoped):
    """What is known of one process on one slot, while it lives and afterwards."""

    STATES = states.JOB

    external_id = models.CharField(max_length=100)
    index = models.IntegerField(null=True, help_text="which job of its submission")
    state_code = models.SmallIntegerField()
    starts = models.IntegerField(default=0)
    event_at = models.DateTimeField()
    state_since = models.DateTimeField()
    started_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)
    exit_code = models.IntegerField(null=True)
    signal = models.IntegerField(null=True)
    code = models.CharField(max_length=60, blank=True, help_text="the batch system's own word for why")
    reason = models.TextField(blank=True)
    node = models.CharField(max_length=100, blank=True)
    site = models.CharField(max_length=100, blank=True)
    slot_type = models.CharField(max_length=40, blank=True)
    memory_mb = models.FloatField(null=True)
    cpu_s = models.FloatField(null=True)
    wall_s = models.FloatField(null=True)
    cpus = models.SmallIntegerField(null=True, help_text="cores that it has; unknown counts as one")

    class Meta:
        abstract = True

    @property
    def state(self) -> str:
        """Return the state's word."""
        return states.JOB_STATES[self.state_code]

    @property
    def ref(self) -> str:
        """Return the reference that people use, for instance demo/j1."""
        return f"{self.experiment.name}/j{self.pk}"  # type: ignore[attr-defined]  # both kinds of jobs have it


class Job(JobFacts):
    """One process of a submission on one slot. Only the merge of `observe` writes it.

    The state is a number (states.JOB_STATES) and no index names it, so that a change stays a heap-only update
    (ecosystem 5.3). (starts, event_at, state) grows with every write but for the yielding of `lost`.
    """

    experiment = models.ForeignKey(Experiment, on_delete=models.PROTECT, related_name="+", db_index=False)
    submission = models.ForeignKey(Submission, on_delete=models.PROTECT, related_name="jobs")
    system = models.ForeignKey(BatchSystem, on_delete=models.PROTECT, related_name="+", db_index=False)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["system", "external_id"], name="submissions_job_id_uq")]
        # An end leaves the first index in any case, so the second costs no heap-only update.
        indexes = [
            models.Index(
                fields=["submission", "id"],
                name="submissions_job_live_ix",
                condition=Q(ended_at__isnull=True),
            ),
            models.Index(
                fields=["ended_at"],
                name="submissions_job_ended_ix",
                condition=Q(ended_at__isnull=False),
            ),
            # The latest of one experiment, whose jobs may be few among those of others.
            models.Index(fields=["experiment", "id"], name="submissions_job_of_ix"),
        ]


class EveryJob(JobFacts):
    """A job wherever it is, with its key: beside those that run, or in the archive, where `retain` moved it (M11).

    A view, only read. The archive is partitioned by the month of the end, and nothing refers to it, so that a month can
    be dropped whole. Whoever asks by job or submission may ask here; lists are of one or the other.
    """

    id = models.BigIntegerField(primary_key=True)
    experiment = models.ForeignKey(Experiment, on_delete=models.DO_NOTHING, related_name="+", db_constraint=False)
    submission = models.ForeignKey(Submission, on_delete=models.DO_NOTHING, related_name="+", db_constraint=False)
    system = models.ForeignKey(BatchSystem, on_delete=models.DO_NOTHING, related_name="+", db_constraint=False)
    archived = models.BooleanField()
    history = models.JSONField(
        null=True, help_text="of an archived one, the oldest first: time, from, to, actor, reason"
    )

    class Meta:
        managed = False
        db_table = "submissions_everyjob"

    def archived_steps(self) -> list[Transition]:
        """Return the history that an archived job has with it, as the ledger had it, newest first."""
        return [
            Transition(
                kind="job", thing_id=self.pk, experiment_id=self.experiment_id, verb="observe", source=source,
                target=target, at=datetime.fromisoformat(at), actor=actor, reason=reason,
            )
            for at, source, target, actor, reason in reversed(self.history or [])
        ]  # fmt: skip


class JobCount(Scoped):
    """How many jobs of a submission are in a state: exact, written in the statement that moves the jobs."""

    EXPERIMENT_PATH = "submission__experiment_id"

    submission = models.ForeignKey(Submission, on_delete=models.CASCADE, related_name="job_counts")
    state_code = models.SmallIntegerField()
    n = models.IntegerField(default=0)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["submission", "state_code"], name="submissions_jobcount_uq")]

    @property
    def state(self) -> str:
        """Return the state's word."""
        return states.JOB_STATES[self.state_code]


class JobTally(Scoped):
    """How many jobs of a stage ended in a state at a site on a day (UTC), and what they used.

    Exact, written in the statement that moves the jobs; kept when the jobs themselves are pruned (M11). Core-seconds
    are the wall time times the cores of a job.
    """

    experiment = models.ForeignKey(Experiment, on_delete=models.CASCADE, related_name="+", db_index=False)
    stage = models.ForeignKey(Stage, on_delete=models.CASCADE, related_name="+", db_index=False)
    day = models.DateField()
    site = models.CharField(max_length=100, blank=True)
    state_code = models.SmallIntegerField()
    n = models.IntegerField(default=0)
    wall_s = models.FloatField(default=0)
    core_s = models.FloatField(default=0)
    cpu_s = models.FloatField(default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["stage", "day", "site", "state_code"], name="submissions_jobtally_uq")
        ]
        indexes = [models.Index(fields=["experiment", "day"], name="submissions_jobtally_day_ix")]

    @property
    def state(self) -> str:
        """Return the state's word."""
        return states.JOB_STATES[self.state_code]


class Report(Scoped):
    """The inbox: what somebody says of a job, in whatever order and however often; `observe` merges it."""

    EXPERIMENT_PATH = "experiment_id"

    experiment = models.ForeignKey(Experiment, on_delete=models.CASCADE, null=True, related_name="+")
    system = models.ForeignKey(BatchSystem, on_delete=models.CASCADE, related_name="+")
    uuid = models.UUIDField()
    external_id = models.CharField(max_length=100)
    state_code = models.SmallIntegerField()
    starts = models.IntegerField(default=0)
    event_at = models.DateTimeField()
    facts = models.JSONField(default=dict)
    source = models.CharField(max_length=40)
    received_at = models.DateTimeField(db_default=Now())
