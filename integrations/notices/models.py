"""Tables of notices: what is told, the messages that carry it out, choices, webhooks, the reader's place."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import uuid
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from experiments.models import Experiment
from integrations.notices.kinds import AT_ONCE, BY_KEY

MAIL, WEBHOOK = "mail", "webhook"
SENT, FAILED, WITHHELD, KEPT = "sent", "failed", "withheld", "kept"
OUTCOMES = {
    SENT: "handed over",
    FAILED: "refused for good",
    WITHHELD: "not sent: who it was for may no longer see it",
    KEPT: "kept: no mail server is set",
}


class NoticeQuerySet(models.QuerySet["Notice"]):
    """Notices as a person sees them."""

    def visible_to(self, user: Any) -> NoticeQuerySet:
        """Return one's own notices, but none of an experiment into which one may no longer look."""
        open_to = Q(experiment=None) | Q(experiment_id__in=user.experiment_ids("view"))
        return self.filter(open_to, recipient_id=user.pk)


class Notice(models.Model):
    """What one person, or an experiment's webhook, is told of one event, or of many alike that one act caused."""

    recipient = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, null=True, related_name="+",
        help_text="empty: told to the experiment's webhook",
    )  # fmt: skip
    experiment = models.ForeignKey(Experiment, on_delete=models.CASCADE, null=True, related_name="+")
    kind = models.CharField(max_length=16)
    key = models.CharField(max_length=80, help_text="why it exists: the event in the ledger, or the date that comes")
    of = models.CharField(max_length=16, blank=True, help_text="the kind of things that it is about")
    things = ArrayField(models.BigIntegerField(), default=list)
    ref = models.CharField(max_length=100, blank=True, help_text="of the thing, where it is about one")
    link = models.CharField(max_length=300, blank=True, help_text="the page to look at, without the site")
    subject = models.CharField(max_length=300)
    lines = models.JSONField(default=list, help_text="the first things: ref, title, link, said")
    actor = models.CharField(max_length=150, blank=True)
    created_at = models.DateTimeField(db_default=Now())
    read_at = models.DateTimeField(null=True)

    objects = NoticeQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["recipient", "kind", "key"], name="integrations_notice_person_uq",
                condition=Q(recipient__isnull=False),
            ),
            models.UniqueConstraint(
                fields=["experiment", "kind", "key"], name="integrations_notice_experiment_uq",
                condition=Q(recipient__isnull=True),
            ),
        ]  # fmt: skip
        indexes = [
            models.Index(fields=["recipient", "-id"], name="integrations_notice_of_ix"),
            models.Index(fields=["recipient"], name="integrations_notice_unread_ix", condition=Q(read_at=None)),
        ]

    def __str__(self) -> str:
        return self.subject

    @property
    def more(self) -> int:
        """Return how many things it is about beside those that it lists."""
        return max(0, len(self.things) - len(self.lines))


class Choices(models.Model):
    """How a person wants to be told: per kind at once, in a digest, or not; when the digest comes."""

    user = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, primary_key=True, related_name="+")
    kinds = models.JSONField(default=dict, help_text="kind to how; what is not there has its default")
    digest_hour = models.PositiveSmallIntegerField(default=7)
    zone = models.CharField(max_length=60, default="UTC")

    def how(self, kind: str) -> str:
        """Return how the person wants to be told of a kind."""
        known = BY_KEY.get(kind)
        return str(self.kinds.get(kind, known.default)) if known else AT_ONCE


class WebhookQuerySet(models.QuerySet["Webhook"]):
    """Webhooks as a person sees them."""

    def visible_to(self, user: Any) -> WebhookQuerySet:
        """Return one's own, and those of experiments that one administers."""
        return self.filter(Q(user_id=user.pk) | Q(experiment_id__in=user.experiment_ids("administer")))


class Webhook(models.Model):
    """An address to which notices are posted: a person's, or an experiment's."""

    user = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, null=True, related_name="+")
    experiment = models.OneToOneField(Experiment, on_delete=models.CASCADE, null=True, related_name="+")
    url = models.CharField(max_length=400)
    salt = models.CharField(max_length=64, default=secrets.token_hex)

    objects = WebhookQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(user__isnull=False, experiment__isnull=True)
                | Q(user__isnull=True, experiment__isnull=False),
                name="integrations_webhook_one_ck",
            )
        ]

    def __str__(self) -> str:
        return self.url

    @property
    def secret(self) -> str:
        """Return the key of its signatures: made from our own secret, so that no table holds it."""
        return hmac.new(settings.SECRET_KEY.encode(), f"webhook:{self.salt}".encode(), hashlib.sha256).hexdigest()


def message_id() -> str:
    """Return a Message-ID that no other message has."""
    return f"<{uuid.uuid4()}@{domain()}>"


def domain() -> str:
    """Return the name of this installation in Message-IDs and List-Ids."""
    return urlsplit(settings.PUBLIC_URL).hostname or settings.MAIL_FROM.rpartition("@")[2] or "poms.invalid"


class MessageQuerySet(models.QuerySet["Message"]):
    """Messages as a person sees them."""

    def visible_to(self, user: Any) -> MessageQuerySet:
        """Return what goes to oneself, and what is about experiments that one administers."""
        about = Notice.objects.filter(experiment_id__in=user.experiment_ids("administer"))
        return self.filter(Q(recipient_id=user.pk) | Q(pk__in=about.values("messages")))


class Message(models.Model):
    """The outbox: one mail or one call of a webhook, with its Message-ID from the beginning.

    A plain row, no state of the engine: each mail would else be two more rows of the ledger, which is what notices
    are made of. `due_at` says when to try, a claim moves it into the future, and it is empty once there is an outcome.
    """

    channel = models.CharField(max_length=8)
    notices: models.ManyToManyField[Notice, models.Model] = models.ManyToManyField(Notice, related_name="messages")
    recipient = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, null=True, related_name="+")
    hook = models.ForeignKey(Webhook, on_delete=models.CASCADE, null=True, related_name="+")
    message_id = models.CharField(max_length=300, unique=True, default=message_id)
    digest_at = models.DateTimeField(null=True, help_text="when the digest that it is goes out")
    due_at = models.DateTimeField(null=True)
    tries = models.PositiveIntegerField(default=0)
    error = models.TextField(blank=True)
    outcome = models.CharField(max_length=8, blank=True)
    created_at = models.DateTimeField(db_default=Now())
    ended_at = models.DateTimeField(null=True)

    objects = MessageQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["recipient", "digest_at"], name="integrations_message_digest_uq",
                condition=Q(digest_at__isnull=False),
            )
        ]  # fmt: skip
        indexes = [
            models.Index(
                fields=["channel", "due_at"], name="integrations_message_due_ix", condition=Q(due_at__isnull=False)
            )
        ]

    def __str__(self) -> str:
        return self.message_id

    @property
    def delivery(self) -> str:
        """Return the part of the Message-ID that names the message to a webhook."""
        return self.message_id.strip("<>").partition("@")[0]

    @property
    def said(self) -> str:
        """Return in words what became of it."""
        if self.outcome:
            return OUTCOMES[self.outcome]
        return "waits to be tried again" if self.error else "waits"


class LedgerPlace(models.Model):
    """How far a reader has read the ledger: the last transition that it has heeded."""

    reader = models.CharField(max_length=16, primary_key=True)
    txid = models.BigIntegerField(default=0)
    last_id = models.BigIntegerField(default=0)
    looked_at = models.DateTimeField(null=True, help_text="when it last looked for dates that come")
