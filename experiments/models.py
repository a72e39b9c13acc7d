"""People, experiments, memberships, approvers, tokens, and guardian's grants on Experiment."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import AbstractUser
from django.core.validators import RegexValidator
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from guardian.models import GroupObjectPermissionBase, UserObjectPermissionBase

from experiments.roles import EVERYWHERE, PERMISSIONS, ROLES
from experiments.scoping import Scoped, experiment_ids


class User(AbstractUser):
    """A person, or a service account."""

    def experiment_ids(self, permission: str) -> list[int]:
        """Return the keys of the experiments on which the person holds a permission."""
        return experiment_ids(self, permission)


class ExperimentQuerySet(models.QuerySet["Experiment"]):
    """Experiments as a person sees them."""

    def visible_to(self, user: Any) -> ExperimentQuerySet:
        """Return the experiments of which the person may see at least the overview."""
        return self.filter(pk__in=user.experiment_ids("view_overview"))


class Experiment(models.Model):
    """A tenant: everything else belongs to exactly one experiment."""

    name = models.SlugField(
        max_length=30,
        unique=True,
        validators=[RegexValidator(r"^[a-z][a-z0-9_-]*$", "lower case, begins with a letter")],
    )
    title = models.CharField(max_length=100, blank=True)
    restricted = models.BooleanField(default=False, help_text="guests do not see it")
    active = models.BooleanField(default=True)
    author_may_approve = models.BooleanField(default=False, help_text="whether one may approve one's own request")
    created_at = models.DateTimeField(db_default=Now())

    objects = ExperimentQuerySet.as_manager()

    class Meta:
        permissions = [(name, text) for name, text in PERMISSIONS.items()]
        default_permissions = ()
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class ExperimentUserPermission(UserObjectPermissionBase):
    """A grant to one person on one experiment (guardian, with a real foreign key)."""

    content_object = models.ForeignKey(Experiment, on_delete=models.CASCADE)


class ExperimentGroupPermission(GroupObjectPermissionBase):
    """A grant to the people of one role on one experiment (guardian, with a real foreign key)."""

    content_object = models.ForeignKey(Experiment, on_delete=models.CASCADE)


class Membership(Scoped):
    """A person's role, in one experiment or, for a few roles, everywhere."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="memberships")
    experiment = models.ForeignKey(
        Experiment, on_delete=models.CASCADE, null=True, blank=True, related_name="memberships"
    )
    role = models.CharField(max_length=20, choices=[(role, role.replace("_", " ")) for role in ROLES])
    active = models.BooleanField(default=True)
    since = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["user", "experiment", "role"], name="experiments_membership_uq"),
            models.UniqueConstraint(
                fields=["user", "role"], name="experiments_membership_everywhere_uq", condition=Q(experiment=None)
            ),
            models.CheckConstraint(
                condition=Q(role__in=EVERYWHERE, experiment__isnull=True)
                | (~Q(role__in=EVERYWHERE) & Q(experiment__isnull=False)),
                name="experiments_membership_scope_ck",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.user} is {self.role} of {self.experiment or 'everything'}"


class Approver(Scoped):
    """Who may decide on requests of one production stage: a person, or everybody of a group (W1)."""

    experiment = models.ForeignKey(Experiment, on_delete=models.CASCADE, related_name="approvers")
    production_stage = models.CharField(max_length=40, help_text="for instance mc, reco, calibration, keep-up")
    user = models.ForeignKey(User, on_delete=models.CASCADE, null=True, blank=True, related_name="+")
    group = models.ForeignKey("auth.Group", on_delete=models.CASCADE, null=True, blank=True, related_name="+")
    stands_in_for = models.ForeignKey(
        User, on_delete=models.CASCADE, null=True, blank=True, related_name="+",
        help_text="the approver who is away; the right lasts no longer than theirs",
    )  # fmt: skip
    begins_at = models.DateTimeField(null=True, blank=True)
    ends_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(user__isnull=False, group__isnull=True) | Q(user__isnull=True, group__isnull=False),
                name="experiments_approver_one_ck",
            )
        ]

    def __str__(self) -> str:
        return f"{self.user or self.group} decides on {self.production_stage} of {self.experiment}"


class ApiToken(models.Model):
    """A key to the API: only its hash is kept; a person may have several, each with an end."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="tokens")
    name = models.CharField(max_length=60)
    prefix = models.CharField(max_length=12, help_text="the first characters, to recognise it by")
    digest = models.CharField(max_length=64, unique=True)
    created_at = models.DateTimeField(db_default=Now())
    expires_at = models.DateTimeField()
    revoked_at = models.DateTimeField(null=True, blank=True)
    used_at = models.DateTimeField(null=True, blank=True)

    class TokenQuerySet(models.QuerySet["ApiToken"]):
        """Tokens as a person sees them."""

        def visible_to(self, user: Any) -> models.QuerySet[ApiToken]:
            """Return the person's own tokens; nobody sees another's."""
            return self.filter(user_id=user.pk)

    objects = TokenQuerySet.as_manager()

    def __str__(self) -> str:
        return f"{self.prefix}… ({self.name})"
