"""What people say and hang on a request, and who follows it."""

from __future__ import annotations

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Now

from approvals.models.request import Request
from experiments.scoping import Scoped


class Comment(Scoped):
    """One contribution to the discussion of a request, in Markdown."""

    EXPERIMENT_PATH = "request__experiment_id"

    request = models.ForeignKey(Request, on_delete=models.CASCADE, related_name="comments")
    author = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    text = models.TextField()
    mentions = ArrayField(models.CharField(max_length=150), default=list, help_text="who is addressed by @name")
    at = models.DateTimeField(db_default=Now())


class Attachment(Scoped):
    """A file that somebody hung on a request: minutes, a plot, a list."""

    EXPERIMENT_PATH = "request__experiment_id"

    request = models.ForeignKey(Request, on_delete=models.CASCADE, related_name="attachments")
    name = models.CharField(max_length=200)
    size = models.PositiveIntegerField()
    digest = models.CharField(max_length=64)
    content = models.BinaryField()
    by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [models.UniqueConstraint(fields=["request", "name"], name="approvals_attachment_name_uq")]


class Watcher(Scoped):
    """Somebody who wants to hear of a request."""

    EXPERIMENT_PATH = "request__experiment_id"

    request = models.ForeignKey(Request, on_delete=models.CASCADE, related_name="watchers")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    since = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [models.UniqueConstraint(fields=["request", "user"], name="approvals_watcher_uq")]
