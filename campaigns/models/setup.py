"""Job types and login set-ups: how a kind of job is run, and where its scripts are started."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models.functions import Now

from campaigns.definition import JobTypeText, LoginSetupText
from core.editable import Editable
from experiments.models import Experiment
from experiments.scoping import Scoped
from integrations.launcher.base import Place


class Kept(Editable, Scoped):
    """Configuration of an experiment, by name, with who changed it last."""

    KIND = ""  # in the ledger

    experiment = models.ForeignKey(Experiment, on_delete=models.PROTECT, related_name="+")
    name = models.CharField(max_length=100)
    active = models.BooleanField(default=True)
    updated_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    updated_at = models.DateTimeField(db_default=Now())

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return f"{self.experiment.name}/{self.name}"


class Version(Scoped):
    """What was kept under a name at one time: every edit makes the next one, and none is ever changed."""

    experiment = models.ForeignKey(Experiment, on_delete=models.PROTECT, related_name="+")
    kind = models.CharField(max_length=20)
    thing_id = models.BigIntegerField()
    number = models.PositiveIntegerField()
    values = models.JSONField()
    by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    at = models.DateTimeField(db_default=Now())
    reason = models.TextField(blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["kind", "thing_id", "number"], name="campaigns_version_number_uq")
        ]


class JobType(Kept):
    """How one kind of job is run: the experiment's script, its parameters, what it puts out."""

    KIND = "job_type"
    EDITABLE = ("launch_script", "parameters", "output_file_patterns", "active")

    launch_script = models.TextField()
    parameters = models.JSONField(default=list, help_text="ordered [key, value] pairs")
    output_file_patterns = models.CharField(max_length=400, default="%")
    recoveries = models.JSONField(default=list)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["experiment", "name"], name="campaigns_jobtype_name_uq")]

    def text(self) -> JobTypeText:
        """Return it as a definition names it."""
        pairs = tuple((key, value) for key, value in self.parameters)
        return JobTypeText(self.name, self.launch_script, pairs, self.output_file_patterns, tuple(self.recoveries))


class Defaults(Kept):
    """What every campaign of an experiment begins with: keys of a stage, on which the campaign's defaults stand."""

    KIND = "defaults"
    EDITABLE = ("text",)

    name = models.CharField(max_length=100, default="defaults", editable=False)
    text = models.TextField(blank=True, help_text="key=value lines, as in [campaign_defaults]")

    class Meta:
        verbose_name_plural = "defaults"
        constraints = [models.UniqueConstraint(fields=["experiment"], name="campaigns_defaults_experiment_uq")]

    def __str__(self) -> str:
        return f"defaults of {self.experiment}"


class LoginSetup(Kept):
    """Where and how scripts are started: code that runs with the experiment's credentials (design 9)."""

    KIND = "login_setup"
    EDITABLE = ("host", "account", "setup", "launcher", "batch", "active")

    host = models.CharField(max_length=200, default="localhost")
    account = models.CharField(max_length=100, blank=True)
    setup = models.TextField(blank=True, help_text="shell text, run as written before the script")
    launcher = models.CharField(max_length=20, default="local")
    batch = models.CharField(max_length=30, default="local")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["experiment", "name"], name="campaigns_loginsetup_name_uq")]

    def text(self) -> LoginSetupText:
        """Return it as a definition names it."""
        return LoginSetupText(self.name, self.host, self.account, self.setup, self.launcher, self.batch)

    @property
    def place(self) -> Place:
        """Return where scripts run with it."""
        return Place.of(self.launcher, self.experiment_id, self.host, self.account)


class SetupTrial(Scoped):
    """One trial of a launch set-up: its text run on its host, with nothing submitted."""

    EXPERIMENT_PATH = "setup__experiment_id"

    setup = models.ForeignKey(LoginSetup, on_delete=models.CASCADE, related_name="trials")
    version = models.PositiveIntegerField(help_text="of the set-up, as it was tried")
    uuid = models.UUIDField(unique=True)
    by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    at = models.DateTimeField(db_default=Now())
    ended_at = models.DateTimeField(null=True)
    passed = models.BooleanField(null=True, help_text="null while it runs")
    exit_code = models.IntegerField(null=True)
    text = models.TextField(blank=True, help_text="what it printed, and what went wrong")
