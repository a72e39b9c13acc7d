"""The upload area of each person in each experiment, and the contents, each kept once."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from experiments.models import Experiment, User
from experiments.scoping import Scoped, ScopedQuerySet


class UploadContent(models.Model):
    """The bytes of uploads, by their hash: in the database, where every web and worker host finds them."""

    digest = models.CharField(max_length=64, primary_key=True, help_text="SHA-256")
    content = models.BinaryField()
    created_at = models.DateTimeField(db_default=Now())

    def __str__(self) -> str:
        return self.digest


class UploadQuerySet(ScopedQuerySet["Upload"]):
    """Uploads as a person sees them."""

    def visible_to(self, user: Any) -> UploadQuerySet:
        """Return one's own, and those of experiments that one operates."""
        seen = Q(user_id=user.pk, experiment__in=user.experiment_ids("view"))
        return self.filter(seen | Q(experiment__in=user.experiment_ids("operate")))


class Upload(Scoped):
    """A file in somebody's area."""

    experiment = models.ForeignKey(Experiment, on_delete=models.CASCADE, related_name="+")
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+")
    name = models.CharField(max_length=200)
    size = models.BigIntegerField()
    digest = models.CharField(max_length=64, db_index=True)
    uploaded_at = models.DateTimeField(db_default=Now())

    objects = UploadQuerySet.as_manager()  # type: ignore[misc]  # narrower than every scoped model's

    class Meta:
        constraints = [models.UniqueConstraint(fields=["experiment", "user", "name"], name="integrations_upload_uq")]

    def __str__(self) -> str:
        return f"{self.name} of {self.user} in {self.experiment}"
