"""Which catalogues an experiment's datasets are in, and how they are reached."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from core.editable import Editable
from experiments.models import Experiment
from experiments.scoping import Scoped


class CatalogueLink(Editable, Scoped):
    """One catalogue of an experiment; without any, it has the local one."""

    EDITABLE = ("settings", "credential", "is_default", "active")

    experiment = models.ForeignKey(Experiment, on_delete=models.CASCADE, related_name="+")
    name = models.SlugField(max_length=30, default="main", help_text="by which stages name it")
    system = models.CharField(max_length=20, help_text="local, sam, metacat, rucio or filelist")
    settings = models.JSONField(default=dict, blank=True, help_text="as the system declares them; no secret among them")
    credential = models.CharField(max_length=40, blank=True, help_text="its name, never the secret itself")
    is_default = models.BooleanField(default=True, help_text="used where a stage names none")
    active = models.BooleanField(default=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["experiment", "name"], name="integrations_cataloguelink_name_uq"),
            models.UniqueConstraint(
                fields=["experiment"], name="integrations_cataloguelink_default_uq",
                condition=Q(is_default=True, active=True),
            ),
        ]  # fmt: skip

    def __str__(self) -> str:
        return f"{self.name} ({self.system}) of {self.experiment}"
