"""Plain functions that build what tests need."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import NameOID

from approvals.logic import deciding, filing
from approvals.models import Request
from campaigns.models import Campaign, LoginSetup
from core.clock import now
from experiments.logic import service_accounts
from experiments.models import ServiceAccount
from integrations.models import LaunchHost
from tests.cast import Cast

TINY_SUBMIT = Path(__file__).with_name("scripts") / "tiny_submit"


def definition(*, stages: str = "", campaign: str = "tiny", extra: str = "") -> str:
    """Return a definition whose stages run the tiny script; by default gen (4 events in 2 batches) → sum."""
    body = stages or (
        "[campaign_stage gen]\nstage_type=generator\nevents=4\nevents_per_job=1\ncs_split_type=nevents(2)\nseed=7\n"
        "[campaign_stage sum]\ndataset_or_split_data=from_parent\ncs_split_type=None\nfiles_per_job=100\n"
        "[dependencies sum]\ncampaign_stage_1=gen\n"
    )
    return (
        f"[campaign]\nexperiment=demo\nname={campaign}\npoms_role=production\n"
        "[campaign_defaults]\njob_type=tiny\nlogin_setup=local\ncompletion_pct=100\nmemory_mb=200\nwall_s=60\n"
        f"{body}{extra}"
        f"[job_type tiny]\nlaunch_script={json.dumps(str(TINY_SUBMIT))}\noutput_file_patterns=%.txt\n"
    )


def login_setup(cast: Cast, name: str = "local", **values: Any) -> LoginSetup:
    """Make a login set-up of the experiment."""
    made, _ = LoginSetup.objects.get_or_create(experiment=cast.experiment, name=name, defaults=values)
    return made


def host_key(names: str = "gpvm01.example.org") -> str:
    """Return a line of known hosts with a public key, as ssh-keyscan prints it."""
    form = serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
    key = ed25519.Ed25519PrivateKey.generate().public_key().public_bytes(*form).decode()
    return f"# {names}:22 SSH-2.0-OpenSSH_9.2\n{names} {key}\n"


def launch_host(cast: Cast, name: str = "gpvm01", account: str = "mcprod", **values: Any) -> LaunchHost:
    """Enter a launch host of the experiment at which nothing listens, past the verb."""
    given = {
        "address": "127.0.0.1", "port": 1, "home": "/scratch/poms", "known_hosts": host_key("[127.0.0.1]:1"), **values
    }  # fmt: skip
    return LaunchHost.objects.create(experiment=cast.experiment, name=name, account=account, **given)


def request(cast: Cast, text: str = "", **values: Any) -> Request:
    """Make a draft request of the experimenter."""
    login_setup(cast)
    given = {"title": "tiny", "production_stage": "mc", "definition": text or definition(), **values}
    return filing.draft(cast.experiment, requester=cast.experimenter, **given)


def approved_campaign(cast: Cast, text: str = "", **values: Any) -> Campaign:
    """Take a request all the way to an approved campaign."""
    filed = filing.file(request(cast, text, **values), by=cast.experimenter)
    deciding.approve(filed, by=cast.approver, reason="looks right")
    return Campaign.objects.get(pk=filed.campaign_id)


def waiting(cast: Cast, name: str, number: int, script: str, login_setup: str = "local") -> Campaign:
    """Take a campaign so far that so many submissions of one job each wait for their launch, by a script of one's own."""
    from submissions.logic import planning

    planning.AHEAD = number
    stages = (
        f"[campaign_stage gen]\nstage_type=generator\nevents={number}\nevents_per_job=1\ncs_split_type=nevents(1)\n"
        f"login_setup={login_setup}\n"
    )
    text = definition(stages=stages, campaign=name)
    begin = text.index("launch_script=")
    text = text[:begin] + f"launch_script={script}\n" + text[text.index("output_file_patterns", begin) :]
    made = approved_campaign(cast, text, title=name)
    while planning.plan_some():
        pass
    return made


def service_account(cast: Cast, name: str = "nightly", **values: Any) -> ServiceAccount:
    """Make a service account of the experiment, owned by its experimenter."""
    given = {"owner": cast.experimenter, "purpose": "keeps up", "expires_at": now() + timedelta(days=100), **values}
    role = given.pop("role", "operator")
    by = given.pop("by", cast.experimenter)
    return service_accounts.make(name, cast.experiment, role, by=by, reason="to have one", **given)


def certificate(name: str = "nightly.example.org", days: float = 200) -> str:
    """Return a new certificate, signed by itself, as PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    begin = now() - timedelta(days=400)
    made = (
        x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
        .serial_number(x509.random_serial_number()).not_valid_before(begin)
        .not_valid_after(now() + timedelta(days=days)).sign(key, hashes.SHA256())
    )  # fmt: skip
    return made.public_bytes(serialization.Encoding.PEM).decode()
