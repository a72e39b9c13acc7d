"""What a fresh installation on one machine begins with: two experiments, one account per role, the local systems."""

from __future__ import annotations

import secrets
import shlex
from dataclasses import dataclass
from datetime import timedelta

from django.conf import settings
from django.db import transaction

from approvals.logic import customising, filing
from approvals.models import Policy, Request, Template
from campaigns.logic import editing
from campaigns.models import Defaults, LoginSetup
from core.clock import now
from experiments.logic import membership, service_accounts, tokens
from experiments.models import Experiment, ServiceAccount, User
from experiments.roles import EVERYWHERE, ROLES
from integrations.models import BatchSystem
from submissions.logic import ordering
from submissions.models import Share

PRODUCTION_STAGES = ("mc", "reco")
EXAMPLE = settings.BASE_DIR / "examples" / "dimuon" / "dimuon.ini"
TITLE = "Z to two muons: generate, reconstruct, fit the peak"


@dataclass(frozen=True)
class Account:
    """A demo account; password and token are made anew each time."""

    username: str
    password: str
    token: str


@transaction.atomic
def seed() -> dict[str, Account]:
    """Make what is missing and return one account per role, and `stranger`, an experimenter of `other`."""
    demo, other = _experiment("demo", "Demonstration"), _experiment("other", "Another experiment")
    accounts = {}
    for role in ROLES:
        accounts[role] = _account(role, role, None if role in EVERYWHERE else demo)
    accounts["stranger"] = _account("stranger", "experimenter", other)
    for stage in PRODUCTION_STAGES:
        membership.register_approver(User.objects.get(username="approver"), demo, stage)
    BatchSystem.objects.get_or_create(name="local", defaults={"backend": "local"})
    setup = EXAMPLE.with_name("setup.sh")
    LoginSetup.objects.update_or_create(
        experiment=demo, name="local", defaults={"setup": f"source {shlex.quote(str(setup))}"}
    )
    _customs(demo)
    if not ServiceAccount.objects.filter(experiment=demo).exists():
        service_accounts.make(
            "nightly", demo, "operator", owner=User.objects.get(username="operator"),
            purpose="keeps the reprocessing up to date", expires_at=now() + timedelta(days=180),
            by=User.objects.get(username="administrator"), reason="the example of a service account",
        )  # fmt: skip
    return accounts


def _customs(experiment: Experiment) -> None:
    """Give the experiment fields of its own, a share, and the example as a template that leaves things to requests."""
    if not Policy.objects.filter(experiment=experiment).exists():
        by = User.objects.get(username="administrator")
        customising.keep_policy(experiment, by=by, reason="a fresh installation", keys=["generator", "tune"])
    if not Share.objects.filter(experiment=experiment).exists():
        ordering.share(experiment, 1, actor="user:administrator", reason="a fresh installation")
    if not Defaults.objects.filter(experiment=experiment).exists():
        by = User.objects.get(username="operator")
        editing.keep_defaults(experiment, by=by, reason="a fresh installation", text="wall_s=86400")
    if Template.objects.filter(experiment=experiment, name="dimuon").exists():
        return
    text = EXAMPLE.read_text().replace("name=dimuon\n", "name=requested\n").replace("events=20000", "events=requested")
    customising.keep_template(
        experiment, "dimuon", by=User.objects.get(username="operator"), reason="a fresh installation",
        title="Z to two muons, from a number of events", about="Generate, reconstruct, fit the peak.", definition=text,
        production_stage="mc",
    )  # fmt: skip


def stand_ready() -> Request:
    """Have the example wait as a draft of the experimenter, once; return it."""
    requester = User.objects.get(username="experimenter")
    there = Request.objects.filter(requester=requester, title=TITLE).order_by("pk").first()
    if there is not None:
        return there
    made = filing.draft(
        Experiment.objects.get(name="demo"), requester=requester, title=TITLE, production_stage="mc",
        hours_per_file=0.001, definition=EXAMPLE.read_text(),
    )  # fmt: skip
    filing.check(made)
    return made


def _experiment(name: str, title: str) -> Experiment:
    return Experiment.objects.filter(name=name).first() or membership.found(name, title=title)


def _account(username: str, role: str, experiment: Experiment | None) -> Account:
    user, _ = User.objects.get_or_create(username=username)
    password = secrets.token_urlsafe(12)
    user.set_password(password)
    user.save()
    membership.join(user, role, experiment)
    user.tokens.filter(name="demo").delete()
    _, secret = tokens.issue(user, "demo", days=30)
    return Account(username, password, secret)
