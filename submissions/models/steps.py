"""Tallies of the ledger: how often each verb was done on a day, so that reports need not read years of steps."""

from __future__ import annotations

from django.db import models

from campaigns.models import Stage
from experiments.models import Experiment
from experiments.scoping import Scoped


class StepTally(Scoped):
    """How many things of a kind took a step on a day (UTC); of batches and submissions, of which stage.

    Exact up to the place that the loop `tally` has reached in the ledger, and never written by anything else.
    """

    experiment = models.ForeignKey(Experiment, on_delete=models.CASCADE, related_name="+", db_index=False)
    stage = models.ForeignKey(Stage, on_delete=models.CASCADE, null=True, related_name="+")
    day = models.DateField()
    kind = models.CharField(max_length=16)
    verb = models.CharField(max_length=32)
    n = models.IntegerField(default=0)
    # Unique by all but the number, without a stage too: the migration says so. Django's own form of it asks the server
    # for its version before anybody could have been told that there is none.
