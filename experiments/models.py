"""People, experiments, memberships, approvers, tokens, and guardian's grants on Experiment."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import AbstractUser
from django.contrib.postgres.fields import ArrayField
from django.core.validators import RegexValidator
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now
from guardian.models import GroupObjectPermissionBase, UserObjectPermissionBase

from experiments.narrowing import WHOLE, Narrowing
from experiments.roles import EVERYWHERE, PERMISSIONS, ROLES
from experiments.scoping import Scoped, experiment_ids


class User(AbstractUser):
    """A person, or a service account."""

    # Set on the object of a request that was signed in to by a narrowed token; the root of access honours it.
    narrowed_to: Narrowing = WHOLE
    token_id: int | None = None

    sessions_since = models.DateTimeField(null=True, blank=True, help_text="sessions that began before are over")

    @property
    def actor(self) -> str:
        """Return the person as the ledger names them."""
        return f"user:{self.username}"

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


ROLE_CHOICES = [(role, role.replace("_", " ")) for role in ROLES]
SOURCES = [("local", "given here"), ("oidc", "sign-in"), ("ferry", "FERRY")]


class Membership(Scoped):
    """A person's role, in one experiment or, for a few roles, everywhere."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="memberships")
    experiment = models.ForeignKey(
        Experiment, on_delete=models.CASCADE, null=True, blank=True, related_name="memberships"
    )
    role = models.CharField(max_length=20, choices=ROLE_CHOICES)
    active = models.BooleanField(default=True)
    since = models.DateTimeField(db_default=Now())
    source = models.CharField(
        max_length=10, choices=SOURCES, default="local", help_text="who says so: what one source gave, no other ends"
    )

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


class Shift(Scoped):
    """Who watches an experiment from when to when; others may be on the list for the same time."""

    experiment = models.ForeignKey(Experiment, on_delete=models.CASCADE, related_name="+")
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+")
    begins_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    note = models.CharField(max_length=200, blank=True)
    entered_by = models.CharField(max_length=150)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(ends_at__gt=F("begins_at")), name="experiments_shift_ends_ck"),
            models.UniqueConstraint(fields=["experiment", "user", "begins_at"], name="experiments_shift_uq"),
        ]
        indexes = [models.Index(fields=["experiment", "ends_at"], name="experiments_shift_ends_ix")]

    @property
    def ref(self) -> str:
        """Return the reference that people use, for instance demo/w1."""
        return f"{self.experiment.name}/w{self.pk}"

    def __str__(self) -> str:
        return f"{self.user} watches {self.experiment} from {self.begins_at:%Y-%m-%d %H:%M} UTC"


class LastLook(Scoped):
    """Up to when somebody has read what happened in an experiment: the shift page tells what came since."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+")
    experiment = models.ForeignKey(Experiment, on_delete=models.CASCADE, related_name="+")
    at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user", "experiment"], name="experiments_lastlook_uq")]

    def __str__(self) -> str:
        return f"{self.user} has read {self.experiment} up to {self.at:%Y-%m-%d %H:%M} UTC"


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
    permissions = ArrayField(models.CharField(max_length=20), null=True, blank=True, help_text="only these; null: all")
    only_experiments = ArrayField(models.BigIntegerField(), null=True, blank=True, help_text="only there; null: all")
    consent = models.CharField(max_length=64, blank=True, help_text="version of the banner that was accepted")

    class TokenQuerySet(models.QuerySet["ApiToken"]):
        """Tokens as a person sees them."""

        def visible_to(self, user: Any) -> models.QuerySet[ApiToken]:
            """Return the person's own tokens and those of their service accounts; nobody sees another's."""
            return self.filter(Q(user_id=user.pk) | Q(user__service__owner_id=user.pk))

    objects = TokenQuerySet.as_manager()

    @property
    def narrowing(self) -> Narrowing:
        """Return what the token leaves of its holder's rights."""
        permissions, experiments = self.permissions, self.only_experiments
        return Narrowing(
            None if permissions is None else frozenset(permissions),
            None if experiments is None else frozenset(experiments),
        )

    def __str__(self) -> str:
        return f"{self.prefix}… ({self.name})"


class Identity(models.Model):
    """Who an account is outside: the provider's issuer and subject, which never change hands (design 9)."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="identities")
    issuer = models.CharField(max_length=300)
    subject = models.CharField(max_length=255)
    created_at = models.DateTimeField(db_default=Now())
    seen_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["issuer", "subject"], name="experiments_identity_uq")]

    def __str__(self) -> str:
        return f"{self.user} is {self.subject} of {self.issuer}"


class ServiceAccount(Scoped):
    """An account that is no person: somebody answers for it, it has a purpose and an end, and only keys sign it in."""

    user = models.OneToOneField(User, on_delete=models.PROTECT, related_name="service")
    experiment = models.ForeignKey(Experiment, on_delete=models.PROTECT, related_name="service_accounts")
    name = models.SlugField(max_length=40)
    role = models.CharField(max_length=20, choices=ROLE_CHOICES)
    owner = models.ForeignKey(User, on_delete=models.PROTECT, related_name="service_accounts")
    purpose = models.CharField(max_length=300)
    created_at = models.DateTimeField(db_default=Now())
    expires_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)
    used_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["experiment", "name"], name="experiments_serviceaccount_name_uq")
        ]

    def __str__(self) -> str:
        return f"{self.name}@{self.experiment}"


class Certificate(Scoped):
    """A client certificate that signs a service account in, behind a proxy that has checked it."""

    EXPERIMENT_PATH = "account__experiment_id"

    account = models.ForeignKey(ServiceAccount, on_delete=models.PROTECT, related_name="certificates")
    subject = models.CharField(max_length=500)
    fingerprint = models.CharField(max_length=64, help_text="SHA-256 of the certificate")
    pem = models.TextField()
    not_after = models.DateTimeField()
    registered_by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(db_default=Now())
    ended_at = models.DateTimeField(null=True, blank=True)
    used_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["fingerprint"], name="experiments_certificate_fingerprint_uq", condition=Q(ended_at=None)
            )
        ]

    def __str__(self) -> str:
        return f"{self.subject} ({self.fingerprint[:16]}…)"


class Consent(models.Model):
    """Somebody has accepted the banner: which text, when, from where (CP1)."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+")
    version = models.CharField(max_length=64, help_text="SHA-256 of the text")
    address = models.CharField(max_length=64, blank=True)
    at = models.DateTimeField(db_default=Now())

    def __str__(self) -> str:
        return f"{self.user} accepted {self.version[:12]}…"


class SignInTally(models.Model):
    """How often somebody tried to sign in with a password, by name and by address; all processes count together."""

    key = models.CharField(max_length=200, unique=True)
    tries = models.PositiveIntegerField(default=0)
    since = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.key}: {self.tries}"
