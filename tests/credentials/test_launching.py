"""Launches and their credentials: none starts without one that lives, none is lost for it, and all go on in order."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from core import loops
from core.errors import Refused
from core.models import Transition, Trouble
from integrations import registry
from integrations.credentials.kinds import KINDS
from integrations.errors import Unavailable
from integrations.launcher.base import Fate, Launch, Started
from integrations.models import Credential, LaunchHost
from submissions import equipment, line
from submissions.logic import holding, launching, minding
from submissions.models import Hold, Submission
from submissions.queries import gates, standing_holds
from tests import builders
from tests.credentials import making
from tests.credentials.making import entered, later, token_file
from tests.submissions.test_line import campaign

pytestmark = pytest.mark.django_db(transaction=True)

# A tenth of it in `make test`.
LAUNCHES = int(os.environ.get("POMS_LAUNCHES") or 100)
ENDS_AFTER = LAUNCHES * 4 // 10


@dataclass
class Host:
    """A launch host and batch system in memory. Each script looks at its token first, and fails where that has ended.

    After so many scripts the token in the file is one that has ended, as when its issuer takes it back.
    """

    token: Path
    ends_after: int = 0
    started: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    given: list[dict[str, str]] = field(default_factory=list)

    def start(self, launches: Sequence[Launch]) -> dict[str, Started]:
        for launch in launches:
            self.given.append(dict(launch.env))
            claims = Path(launch.env["BEARER_TOKEN_FILE"]).read_text().split(".")[1]
            ends = json.loads(base64.urlsafe_b64decode(claims + "=="))["exp"]
            alive = datetime.fromtimestamp(ends, UTC) > datetime.now(UTC)
            (self.started if alive else self.failed).append(launch.uuid)
            if len(self.started) == self.ends_after:
                token_file(self.token, later(minutes=-1))
        return {launch.uuid: Started("started") for launch in launches}

    def status(self, uuids: Sequence[str]) -> dict[str, Fate]:
        return {uuid: Fate("finished", 1, 1 if uuid in self.failed else 0, job_ids=(f"{uuid}.0",)) for uuid in uuids}

    def find(self, uuids: Sequence[str]) -> dict[str, list[str]]:
        return {uuid: [f"{uuid}.0"] if uuid in self.started else [] for uuid in uuids}

    def environment(self, wanted: Any) -> dict[str, str]:
        return {}

    def depth(self) -> dict[str, int]:
        return {"idle": 0, "running": 0, "held": 0, "slots": 1}

    def present(self, setup: str, programs: Sequence[str]) -> dict[str, bool]:
        return dict.fromkeys(programs, True)


@pytest.fixture
def host(monkeypatch, tmp_path) -> Host:
    """The host to which every launch goes."""
    host = Host(token_file(tmp_path / "demo token", later(days=5)))
    monkeypatch.setattr(registry, "launcher", lambda key: host)
    monkeypatch.setattr(registry, "batch", lambda key: host)
    monkeypatch.setattr(launching, "FIRST_LOOK", timedelta())
    return host


def states() -> dict[str, int]:
    """Return how many submissions are in each state."""
    found: dict[str, int] = {}
    for state in Submission.objects.values_list("state", flat=True):
        found[state] = found.get(state, 0) + 1
    return found


def run(*names: str) -> None:
    """Run loops as workers do, until nothing is left to do for them."""
    for name in names:
        loops.run(name)


def make_due() -> None:
    """Let it be time to ask again."""
    Credential.objects.update(due_at=datetime.now(UTC) - timedelta(seconds=1))


def test_a_credential_ends_in_the_middle_and_no_launch_fails_or_is_lost(real_cast, host, monkeypatch):
    monkeypatch.setattr(launching, "A_LIST", LAUNCHES // 10)
    made = campaign(real_cast, batches=LAUNCHES)
    Submission.objects.update(state="pending")
    row = entered(real_cast, host.token, renewers="the token desk")
    host.ends_after = ENDS_AFTER
    run("credentials")
    for _ in range(3):
        run("launch", "credentials")
    assert states() == {"submitted": ENDS_AFTER, "pending": LAUNCHES - ENDS_AFTER}
    hold = standing_holds().get()
    assert (hold.scope, hold.credential, hold.actor) == ("credential", row, "loop:credentials")
    for said in ("the token token of demo on the worker ended at", "who can: the token desk"):
        assert said in hold.reason
    (gate,) = [gate for gate in gates(made) if gate["gate"] == "credential"]
    assert gate["text"].startswith(
        f"{LAUNCHES - ENDS_AFTER} submissions wait for a credential: the token token of demo"
    )

    token_file(host.token, later(hours=3))
    make_due()
    run("credentials", "launch")
    assert states() == {"submitted": LAUNCHES}
    assert host.failed == []
    assert len(set(host.started)) == len(host.started) == LAUNCHES
    # What was held went in the order in which it came: each list that was claimed is the next part of the line.
    order = [str(uuid) for uuid in Submission.objects.order_by("created_at", "pk").values_list("uuid", flat=True)]
    lists = [slice(first, first + LAUNCHES // 10) for first in range(0, LAUNCHES, LAUNCHES // 10)]
    assert [set(host.started[part]) for part in lists] == [set(order[part]) for part in lists]
    assert not standing_holds().exists()
    assert not [gate for gate in gates(made) if gate["gate"] == "credential"]
    assert not Trouble.objects.exists()
    verbs = list(Transition.objects.filter(kind="credential").order_by("id").values_list("verb", flat=True))
    assert verbs == ["end", "renew"]
    hold.refresh_from_db()
    assert hold.released_by == "loop:credentials"


def test_a_launch_must_find_the_life_that_it_needs(real_cast, host):
    campaign(real_cast, batches=1)
    token_file(host.token, later(minutes=5))
    row = entered(real_cast, host.token, needs_seconds=600)
    run("launch")
    assert host.started == []
    assert "and a launch needs 600 s of it" in Hold.objects.get().reason
    Credential.objects.filter(pk=row.pk).update(needs_seconds=60)
    run("launch")
    assert len(host.started) == 1


def test_one_that_is_gone_stops_launches_like_one_that_has_ended(real_cast, host):
    campaign(real_cast, batches=1)
    entered(real_cast, host.token)
    host.token.unlink()
    run("launch")
    assert host.started == []
    assert "cannot be used: there is no such file" in Hold.objects.get().reason


def test_nobody_opens_the_hold_of_a_credential_by_hand(real_cast, host):
    entered(real_cast, host.token.with_name("none"))
    run("launch")
    with pytest.raises(Refused, match="goes by itself"):
        holding.release(Hold.objects.get(), actor="user:shifter", reason="now")
    Credential.objects.update(active=False)
    run("credentials")
    assert Hold.objects.get().release_reason == "it was put away: launches go without it"


# --- Whose credential -------------------------------------------------------------------------------------------


@dataclass
class Far(Host):
    """A host beyond ssh, whose answers to questions are made up."""

    answers: dict[str, Any] = field(default_factory=dict)
    asked: list[Any] = field(default_factory=list)

    def ask(self, program: str, question: dict[str, Any], *, seconds: float) -> dict[str, Any]:
        self.asked.append(question)
        found = {}
        if "items" in question:
            found["lives"] = [self._life(item["path"]) for item in question["items"]]
        if "argv" in question:
            found["renewal"] = self.answers["renewal"]
        return found

    def _life(self, path: str) -> dict[str, Any]:
        answer = self.answers.get(path, {"unusable": "there is no such file"})
        if isinstance(answer, Exception):
            raise answer
        return {"claims": {"exp": int(answer.timestamp())}} if isinstance(answer, datetime) else answer


@pytest.fixture
def far(monkeypatch, host, real_cast) -> Far:
    """One launch host, and launches there."""
    far = Far(host.token)
    monkeypatch.setattr(registry, "launcher", lambda key: far)
    LaunchHost.objects.create(
        experiment=real_cast.experiment,
        name="gpvm01",
        address="gpvm01",
        account="demopro",
        home="/var/poms",
        known_hosts="k",
    )
    return far


def there(**values: Any) -> dict[str, Any]:
    return {"launcher": "ssh", "host": "gpvm01", "account": "demopro", "path": "/opt/token", **values}


def test_a_launch_needs_what_lies_at_its_own_place_and_with_the_worker(real_cast, host):
    campaign(real_cast, batches=3)
    places = [("local", "", ""), ("ssh", "gpvm01", "demopro"), ("ssh", "gpvm02", "")]
    rows = list(Submission.objects.order_by("pk"))
    for submission, (launcher, at, account) in zip(rows, places, strict=True):
        Submission.objects.filter(pk=submission.pk).update(launcher=launcher, host=at, account=account)
    for name in ("gpvm01", "gpvm02"):
        builders.launch_host(real_cast, name, "demopro")
    credential = entered(real_cast, "/x", unusable="it is none")
    stopped = {
        ("", "", ""): [0, 1, 2], ("local", "", ""): [0], ("ssh", "gpvm01", "demopro"): [1], ("ssh", "gpvm01", ""): [1],
        ("ssh", "gpvm01", "other"): [], ("ssh", "gpvm02", "demopro"): [2], ("ssh", "gpvm03", "demopro"): [],
    }  # fmt: skip
    keys = [row.pk for row in rows]
    for (launcher, at, account), numbers in stopped.items():
        Credential.objects.update(launcher=launcher, host=at, account=account)
        assert sorted(equipment.stopped(keys)) == [keys[number] for number in numbers], (launcher, at, account)
        waiting = {row.submission for row in line.next_in_line(100)}
        assert waiting == set(keys) - {keys[number] for number in numbers}
    Credential.objects.update(launcher="", host="", account="", active=False)
    assert equipment.stopped(keys) == {}
    Credential.objects.update(active=True, experiment=real_cast.other)
    assert equipment.stopped(keys) == {}
    assert credential.condition() == "unusable"


def test_scripts_find_the_credentials_of_their_own_host(real_cast, host):
    campaign(real_cast, batches=2)
    here, far = Submission.objects.order_by("pk")
    Submission.objects.filter(pk=far.pk).update(launcher="ssh", host="gpvm01", account="demopro")
    entered(real_cast, "/worker/token")
    entered(real_cast, "/worker/cc", name="ticket", kind="kerberos", launcher="local")
    entered(real_cast, name="any", **there(account="", path="/opt/any"))
    entered(real_cast, name="own", **there())
    entered(real_cast, name="proxy", kind="voms", **there(path="/opt/demopro.proxy"))
    given = equipment.environments([here, far])
    storer = {"_condor_SEC_CREDENTIAL_STORER": "/bin/true"}
    assert given[here.pk] == {"BEARER_TOKEN_FILE": "/worker/token", "KRB5CCNAME": "FILE:/worker/cc", **storer}
    assert given[far.pk] == {"BEARER_TOKEN_FILE": "/opt/token", "X509_USER_PROXY": "/opt/demopro.proxy", **storer}


# --- What nobody can say ----------------------------------------------------------------------------------------


def test_one_that_nobody_can_ask_about_stops_nothing_before_its_last_known_end(real_cast, far):
    row = entered(real_cast, **there())
    far.answers["/opt/token"] = later(hours=2)
    run("credentials")
    row.refresh_from_db()
    assert row.condition() == "live"
    far.answers["/opt/token"] = Unavailable("gpvm01 lets nobody in: eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJkZW1vIn0.c2ln")
    make_due()
    run("credentials")
    row.refresh_from_db()
    assert row.condition() == "unknown"
    assert row.error == "gpvm01 lets nobody in: [secret]"
    assert row.seen_at is not None
    assert not Hold.objects.exists()
    Credential.objects.update(ends_at=later(seconds=-1))
    make_due()
    run("credentials")
    assert "ended at" in standing_holds().get().reason


def test_one_that_never_answered_stops_nothing(real_cast, far, host):
    row = entered(real_cast, **there())
    far.answers["/opt/token"] = {"error": "its file cannot be looked at: Stale file handle"}
    run("credentials")
    row.refresh_from_db()
    assert (row.condition(), row.seen_at) == ("unknown", None)
    assert not Hold.objects.exists()


def test_all_of_a_place_are_asked_in_one_call(real_cast, far):
    for kind in KINDS:
        entered(real_cast, name=kind, kind=kind, **there())
    entered(real_cast, name="other", **there(account="demoana"))
    run("credentials")
    assert sorted(len(question["items"]) for question in far.asked) == [1, 3]


# --- Warnings and renewals --------------------------------------------------------------------------------------


def told(verb: str) -> list[str]:
    rows = Transition.objects.filter(kind="credential", verb=verb).order_by("id")
    return list(rows.values_list("reason", flat=True))


def test_it_is_warned_once_at_72_24_and_4_hours(real_cast, host):
    entered(real_cast, host.token)
    issued = int(later(days=-5).timestamp())
    warned = []
    for hours in (100, 71, 70, 25, 23, 22, 5, 3.9, 3):
        end = later(hours=hours)  # once: a second later it would be another end, of which is warned anew
        token_file(host.token, end, iat=issued)
        row = Credential.objects.get()
        if row.ends_at is not None:
            # The same end, seen later.
            Credential.objects.update(ends_at=end)
        make_due()
        run("credentials")
        warned.append(len(told("warn")))
    assert warned == [0, 1, 1, 1, 2, 2, 2, 3, 3]
    assert "renew it where it lies; who can: the operators of demo" in told("warn")[0]
    token_file(host.token, later(days=5))
    make_due()
    run("credentials")
    assert Credential.objects.get().warned_hours is None
    assert len(told("renew")) == 1


def test_one_that_is_made_for_hours_is_not_warned_of_all_its_life(real_cast, host):
    token_file(host.token, later(hours=2))
    entered(real_cast, host.token)
    run("credentials")
    assert told("warn") == []


def test_it_is_renewed_before_its_end_by_its_command(real_cast, host, tmp_path):
    fresh = token_file(tmp_path / "fresh", later(hours=3))
    token_file(host.token, later(minutes=30))
    entered(real_cast, host.token, renewal=["cp", str(fresh), str(host.token)])
    run("credentials")
    row = Credential.objects.get()
    assert row.condition() == "live"
    assert row.renewed_at is not None
    assert not Hold.objects.exists()
    assert told("fail_renewal") == []


def test_a_renewal_that_does_not_help_is_told_once_and_tried_again_later(real_cast, host):
    token_file(host.token, later(minutes=30))
    secret = making.jwt(later(hours=1))
    entered(real_cast, host.token, renewal=["sh", "-c", f"echo 'got {secret}'; echo no vault >&2; exit 3"])
    run("credentials")
    row = Credential.objects.get()
    assert row.trouble == "sh ended with 3: got [secret] no vault"
    make_due()
    run("credentials")
    assert Credential.objects.get().tried_at == row.tried_at
    Credential.objects.update(tried_at=later(minutes=-6))
    make_due()
    run("credentials")
    assert len(told("fail_renewal")) == 1
    assert secret not in str(list(Transition.objects.values_list("reason", flat=True)))
    Credential.objects.update(renewal=["true"], asked_by="user:operator")
    make_due()
    run("credentials")
    assert "true ended well, but it ends at" in told("fail_renewal")[-1]


def test_a_renewal_is_run_where_the_credential_lies(real_cast, far):
    entered(real_cast, **there(settings={"vault": "v", "issuer": "demo"}))
    far.answers |= {"/opt/token": later(minutes=5), "renewal": {"exit_code": 0, "said": ""}}
    run("credentials")
    (question,) = [question for question in far.asked if "argv" in question]
    assert question["argv"] == ["htgettoken", "-a", "v", "-i", "demo", "--nooidc", "-o", "/opt/token"]


def test_a_launch_that_was_killed_is_not_started_again_without_its_credential(real_cast, host):
    campaign(real_cast, batches=1)
    entered(real_cast, host.token)
    submission = Submission.objects.get()
    Submission.objects.update(state="launching", attempt=1)
    host.status = lambda uuids: {uuid: Fate("vanished", 1) for uuid in uuids}  # type: ignore[method-assign]
    token_file(host.token, later(minutes=-1))
    minding.look_at_own()
    launching.look_some()
    submission.refresh_from_db()
    assert (submission.state, submission.attempt) == ("launching", 1)
    assert submission.why.startswith("waits for a credential: the token token of demo")
    assert host.started == host.failed == []
    token_file(host.token, later(hours=3))
    minding.look_at_own()
    Submission.objects.update(look_at=datetime.now(UTC) - timedelta(seconds=1))
    launching.look_some()
    assert len(host.started) == 1
