"""How an experiment does it: its policy, the packages of its code, its templates; and what somebody is typing."""

from __future__ import annotations

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Now

from approvals.models.request import Request
from campaigns.models.setup import Kept
from experiments.models import Experiment
from experiments.scoping import Scoped


class Policy(Kept):
    """What an experiment asks for before its work runs; without one, the defaults hold."""

    KIND = "policy"
    EDITABLE = ("without_approval", "confirm", "test_size", "keys")

    name = models.CharField(max_length=100, default="policy", editable=False)
    without_approval = ArrayField(
        models.CharField(max_length=40), default=list, blank=True,
        help_text="Production stages whose requests need no approver once every check passes.",
    )  # fmt: skip
    confirm = models.BooleanField(default=False, help_text="An operator must confirm the check report first.")
    test_size = models.PositiveSmallIntegerField(
        default=0, help_text="Inputs of the test run that begins when an operator confirms; 0: none by itself."
    )
    keys = ArrayField(
        models.CharField(max_length=60), default=list, blank=True, help_text="The experiment's own fields of a request."
    )

    class Meta:
        verbose_name_plural = "policies"
        constraints = [models.UniqueConstraint(fields=["experiment"], name="approvals_policy_experiment_uq")]

    def __str__(self) -> str:
        return f"policy of {self.experiment}"


class Package(Kept):
    """A package of the experiment's code, named as production, and the git repository that it is in."""

    KIND = "package"
    EDITABLE = ("url", "active")

    url = models.CharField(max_length=400, help_text="Of the git repository: https://…, ssh://… or a path.")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["experiment", "name"], name="approvals_package_name_uq")]


class Template(Kept):
    """A definition to begin a request with, and a word on what it is for."""

    KIND = "template"
    EDITABLE = (
        "title", "about", "production_stage", "parameters", "definition", "hours_per_file", "memory_mb", "active",
    )  # fmt: skip

    name = models.SlugField(max_length=60)
    title = models.CharField(max_length=200)
    about = models.TextField(blank=True, help_text="What it is for.")
    production_stage = models.CharField(max_length=40, blank=True)
    parameters = models.TextField(
        blank=True, help_text="What is to be filled in, one a line: name = default | what it is."
    )
    definition = models.TextField(help_text="With {{name}} where a parameter belongs.")
    hours_per_file = models.FloatField(null=True, blank=True)
    memory_mb = models.PositiveIntegerField(null=True, blank=True)
    common = models.BooleanField(default=False, help_text="Every experiment may begin with it.")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["experiment", "name"], name="approvals_template_name_uq")]


class Sketch(Scoped):
    """What somebody has typed into the form of a request and not yet kept; only that person sees it."""

    experiment = models.ForeignKey(Experiment, on_delete=models.CASCADE, related_name="+")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    request = models.ForeignKey(Request, on_delete=models.CASCADE, null=True, related_name="+")
    fields = models.JSONField(default=dict)
    at = models.DateTimeField(db_default=Now())
