"""Launch hosts and batch systems: who enters them, what is refused in words, and what a try says and does."""

from __future__ import annotations

import base64
import hmac
from typing import Any
from uuid import uuid4

import pytest

from campaigns.logic import editing
from campaigns.models import LoginSetup
from core.clock import now
from core.errors import Conflict, NotAllowed, Refused
from core.models import Transition
from integrations import declared, hosting, registry
from integrations.admin import _LINE as FIELD
from integrations.batch.declared import SETTINGS
from integrations.declared import Setting
from integrations.launcher import breaker
from integrations.launcher.base import Launch
from integrations.models import BatchSystem, LaunchHost
from submissions.logic import reaching
from tests import builders
from tests.admin.test_scoping import grant
from tests.cast import Cast
from tests.servers import sshd

pytestmark = pytest.mark.django_db
NAME = "gpvm01.example.org"


def enter(cast: Cast, by: str = "administrator", **values: Any) -> LaunchHost:
    """Enter a launch host, as somebody who may."""
    given = {
        "name": NAME, "account": "mcprod", "address": NAME, "home": "/scratch/poms", "known_hosts": builders.host_key(NAME),
        "reason": "there is room", **values,
    }  # fmt: skip
    return hosting.enter_host(cast.experiment, by=cast.people[by], **given)


def steps(kind: str = "launch_host") -> list[tuple[str, str, str, str]]:
    """Return what the ledger says, the oldest first."""
    rows = Transition.objects.filter(kind=kind).order_by("id")
    return [(row.verb, row.source, row.target, row.reason.partition("\n")[0]) for row in rows]


# --- Entering and changing ----------------------------------------------------------------------------------------


def test_a_host_is_entered_changed_and_put_away_each_with_its_reason(cast: Cast) -> None:
    row = enter(cast)
    assert registry.launch_host(row_place(row)) == row
    hosting.change_host(row, by=cast.administrator, reason="the disk is full", home="/scratch2/poms")
    hosting.change_host(row, by=cast.administrator, reason="it is taken away", active=False)
    assert registry.launch_host(row_place(row)) is None
    assert steps() == [
        ("create", "", "active", "there is room"), ("edit", "active", "active", "the disk is full"),
        ("edit", "active", "inactive", "it is taken away"),
    ]  # fmt: skip
    assert "+/scratch2/poms" in Transition.objects.get(reason__startswith="the disk").reason


def row_place(row: LaunchHost) -> Any:
    from integrations.launcher.base import Place

    return Place.of("ssh", row.experiment_id, row.name, row.account)


KEY = builders.host_key(NAME).splitlines()[1].partition(" ")[2]


@pytest.mark.parametrize(
    ("values", "field", "said"),
    [
        ({"address": "-oProxyCommand=sh"}, "address", "cannot be"),
        ({"address": "a b"}, "address", "cannot be"),
        ({"account": "-l root"}, "account", "cannot be"),
        ({"account": ""}, "account", "is missing"),
        ({"name": "a/b"}, "name", "cannot be"),
        ({"home": "scratch"}, "home", "a path from the root"),
        ({"home": "/scratch\n/x"}, "home", "a path from the root"),
        ({"python": "python3 -c evil"}, "python", "cannot be"),
        ({"python": "./python3"}, "python", "a path from the root"),
        ({"port": 0}, "port", "cannot be 0"),
        ({"port": 65_536}, "port", "cannot be 65536"),
        ({"most_at_once": 0}, "most_at_once", "cannot be 0"),
        ({"credential": "../key"}, "credential", "is no name"),
        ({"known_hosts": ""}, "known_hosts", "holds no key"),
        ({"known_hosts": f"# {NAME}:22 SSH-2.0\n"}, "known_hosts", "holds no key"),
        ({"known_hosts": f"{NAME} ssh-ed25519"}, "known_hosts", "line 1 is no key"),
        ({"known_hosts": f"{NAME} ssh-ed25519 AAAA"}, "known_hosts", "line 1 is no key"),
        ({"known_hosts": f"{NAME} ssh-rsa {KEY.split()[1]}"}, "known_hosts", "line 1 is no key"),
        ({"known_hosts": f"{NAME} {KEY}\nnonsense"}, "known_hosts", "line 2 is no key"),
        ({"known_hosts": f"other.example.org {KEY}"}, "known_hosts", f"has no key of {NAME}"),
        ({"known_hosts": f"{NAME} {KEY}", "port": 2222}, "known_hosts", f"has no key of [{NAME}]:2222"),
        ({"reason": " \n"}, "reason", "is empty"),
    ],
)
def test_what_could_not_work_is_refused_with_its_field(
    cast: Cast, values: dict[str, Any], field: str, said: str
) -> None:
    with pytest.raises(Refused) as refusal:
        enter(cast, **values)
    assert [problem.field for problem in refusal.value.problems] == [field]
    assert said in refusal.value.problems[0].message
    assert not LaunchHost.objects.exists()
    assert steps() == []


def hashed(name: str) -> str:
    """Return a name as `ssh-keyscan -H` prints it."""
    salt = b"0123456789abcdefghij"
    parts = (salt, hmac.digest(salt, name.encode(), "sha1"))
    return "|1|" + "|".join(base64.b64encode(part).decode() for part in parts)


@pytest.mark.parametrize(
    ("known", "values"),
    [
        (f"{hashed(NAME)} {KEY}", {}),
        (f"10.0.0.1,{NAME} {KEY} a comment", {}),
        (f"@cert-authority *.example.org {KEY}", {}),
        (f"other.example.org {KEY}\n{NAME.upper()} {KEY}", {}),
        (f"[{NAME}]:2222 {KEY}", {"port": 2222}),
    ],
    ids=["hashed", "commented", "by an authority", "among others", "of a port"],
)
def test_keys_are_taken_in_every_form_that_ssh_reads(cast: Cast, known: str, values: dict[str, Any]) -> None:
    assert enter(cast, known_hosts=known, **values).pk


def test_a_host_is_entered_once_for_each_account(cast: Cast) -> None:
    enter(cast)
    with pytest.raises(Conflict, match="has a launch host mcprod@"):
        enter(cast)
    enter(cast, account="mcprod2")
    assert registry.launch_hosts(cast.experiment.pk) == (f"mcprod@{NAME}", f"mcprod2@{NAME}")
    assert registry.launch_hosts(cast.other.pk) == ()


def test_how_a_host_is_reached_is_not_for_the_administrator_of_one_experiment(cast: Cast) -> None:
    grant(cast.shifter, cast.experiment)
    with pytest.raises(NotAllowed, match="administrator in the whole service"):
        enter(cast, by="shifter")
    row = enter(cast)
    for values in ({"address": "1.2.3.4"}, {"port": 2222}, {"credential": "other"}, {"known_hosts": f"{NAME} {KEY}"}):
        with pytest.raises(NotAllowed, match="administrator in the whole service"):
            hosting.change_host(row, by=cast.shifter, reason="mine", home="/mine", **values)
    hosting.change_host(row, by=cast.shifter, reason="the disk is full", home="/scratch2", address=NAME)
    row.refresh_from_db()
    assert (row.home, row.address, row.port, row.credential) == ("/scratch2", NAME, 22, "")


def test_an_edit_that_came_between_is_noticed_and_one_of_nothing_refused(cast: Cast) -> None:
    row = enter(cast)
    seen = row.fingerprint
    hosting.change_host(row, by=cast.administrator, reason="more", most_at_once=80, seen=seen)
    with pytest.raises(Conflict, match="was changed after you opened it"):
        hosting.change_host(row, by=cast.administrator, reason="fewer", most_at_once=8, seen=seen)
    with pytest.raises(Refused, match="Nothing is different"):
        hosting.change_host(row, by=cast.administrator, reason="the same", most_at_once=80)


# --- Trying -------------------------------------------------------------------------------------------------------


def test_a_try_without_an_answer_says_why_and_leaves_the_host_as_it_was(
    cast: Cast, settings: Any, tmp_path: Any
) -> None:
    settings.STATE_DIR = tmp_path
    sshd.installed()  # the client comes with it
    row = builders.launch_host(cast)
    reaching.unheard(row_place(row), ValueError("no answer"))
    row.refresh_from_db()
    before = (row.failures, row.silent_since, row.retry_at, row.error)
    tried = hosting.try_host(row, by=cast.administrator)
    assert not tried.answered
    assert "Connection refused" in tried.text
    row.refresh_from_db()
    assert (row.failures, row.silent_since, row.retry_at, row.error) == before
    assert steps()[-1][0] == "try"
    assert "Connection refused" in steps()[-1][3]


def test_a_try_with_a_key_that_is_not_there_names_the_variable(cast: Cast) -> None:
    row = builders.launch_host(cast, credential="mcprod-key")
    tried = hosting.try_host(row, by=cast.administrator)
    assert not tried.answered
    assert "POMS_CREDENTIAL_MCPROD_KEY_FILE" in tried.text


@pytest.mark.live
def test_a_host_that_answers_a_try_is_left_alone_no_longer(
    cast: Cast, settings: Any, tmp_path: Any, monkeypatch: Any
) -> None:
    import getpass

    settings.STATE_DIR = tmp_path / "state"
    monkeypatch.setattr(hosting, "TRY_S", 300.0)
    (tmp_path / "server").mkdir()
    with sshd.running(tmp_path / "server") as server:
        monkeypatch.setenv("POMS_CREDENTIAL_LOOPBACK_FILE", str(server.key))
        row = enter(
            cast, account=getpass.getuser(), address="127.0.0.1", port=server.port, home=str(tmp_path / "far"),
            known_hosts=server.known_hosts.read_text(), credential="loopback",
        )  # fmt: skip
        for _ in range(3):
            reaching.unheard(row_place(row), ValueError("no answer"))
        assert reaching.rests(row_place(row))
        row.refresh_from_db()
        tried = hosting.try_host(row, by=cast.administrator)
        assert tried.answered, tried.text
        row.refresh_from_db()
        assert (row.failures, row.silent_since, row.error) == (0, None, "")
        assert not reaching.rests(row_place(row))
        uuid = str(uuid4())
        started = registry.ssh_launcher(row, seconds=300).start([Launch(uuid, attempt=1, after=0, argv=["true"])])
        assert started[uuid].outcome == "started"


def test_each_silence_makes_the_rest_longer_and_it_ends_somewhere(cast: Cast) -> None:
    row = builders.launch_host(cast)
    rests = []
    for _ in range(9):
        row.refresh_from_db()
        breaker.unheard(row, ValueError("no answer"))
        row.refresh_from_db()
        assert breaker.is_resting(row)
        rests.append(row.retry_at - now())
    assert rests[:5] == sorted(rests[:5])
    assert rests[-1] <= breaker.LONGEST_REST


# --- Batch systems ------------------------------------------------------------------------------------------------


def test_a_batch_system_is_entered_changed_and_put_away(cast: Cast) -> None:
    row = hosting.enter_system("second", "local", by=cast.administrator, reason="there is room")
    assert registry.batch_systems() == ("local", "second")
    hosting.change_system(row, by=cast.administrator, reason="it is taken away", active=False)
    assert registry.batch_systems() == ("local",)
    assert steps("batch_system") == [
        ("create", "", "active", "there is room"), ("edit", "active", "inactive", "it is taken away")
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("values", "field", "said"),
    [
        ({"name": "Second one"}, "name", "cannot be"),
        ({"backend": "abacus"}, "backend", "unknown: abacus"),
        ({"settings": {"schedd": "x"}}, "settings", "schedd is not one of its settings"),
        ({"reason": ""}, "reason", "is empty"),
        ({"name": "local"}, "name", "is taken"),
    ],
)
def test_a_batch_system_that_could_not_work_is_refused(
    cast: Cast, values: dict[str, Any], field: str, said: str
) -> None:
    BatchSystem.objects.create(name="local", backend="local")
    with pytest.raises((Refused, Conflict)) as refusal:
        hosting.enter_system(
            **{"name": "second", "backend": "local", "by": cast.administrator, "reason": "there is room", **values}
        )
    assert [problem.field for problem in refusal.value.problems] == [field]
    assert said in refusal.value.problems[0].message
    assert BatchSystem.objects.count() == 1


def test_batch_systems_are_not_for_the_administrator_of_one_experiment(cast: Cast) -> None:
    grant(cast.shifter, cast.experiment)
    row = BatchSystem.objects.create(name="local", backend="local")
    with pytest.raises(NotAllowed):
        hosting.enter_system("second", "local", by=cast.shifter, reason="mine")
    with pytest.raises(NotAllowed):
        hosting.change_system(row, by=cast.shifter, reason="mine", active=False)
    with pytest.raises(NotAllowed):
        hosting.try_system(row, by=cast.shifter)


def test_a_try_says_how_deep_the_queues_are_or_why_nobody_knows(
    cast: Cast, settings: Any, tmp_path: Any, local: Any
) -> None:
    row, _ = BatchSystem.objects.get_or_create(name="local", defaults={"backend": "local"})
    tried = hosting.try_system(row, by=cast.administrator)
    assert tried.answered, tried.text
    assert "0 idle" in tried.text
    settings.LOCAL_SPOOL = tmp_path / "no daemon"
    assert not hosting.try_system(row, by=cast.administrator).answered
    lost = BatchSystem.objects.create(name="lost", backend="abacus")
    assert "There is no backend abacus" in hosting.try_system(lost, by=cast.administrator).text


# --- Settings as data ---------------------------------------------------------------------------------------------

DECLARED = {
    "url": Setting("base of the API", obligatory=True), "accounting": Setting("", kind="yes_no"),
    "days": Setting("", kind="number"), "logs": Setting("", kind="words"), "sites": Setting("", kind="object"),
    "mode": Setting("", choices=("near", "far")),
}  # fmt: skip


def test_settings_are_kept_as_what_they_are_and_shown_as_they_are_written() -> None:
    typed = {
        "url": "https://x", "accounting": "no", "days": "1.5", "logs": "/a /b", "sites": '{"BNL": {"nodes": "b[1-4]"}}',
        "mode": "",
    }  # fmt: skip
    kept = declared.as_given("x", DECLARED, typed)
    assert kept == {
        "url": "https://x", "accounting": False, "days": 1.5, "logs": ["/a", "/b"], "sites": {"BNL": {"nodes": "b[1-4]"}},
        "mode": "",
    }  # fmt: skip
    lines = dict(line.split(" = ", 1) for line in declared.as_text(kept).splitlines())
    assert declared.as_given("x", DECLARED, lines) == kept
    assert declared.as_given("x", DECLARED, kept) == kept


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"url": ""}, "url is missing: base of the API"), ({"accounting": "perhaps"}, "neither yes nor no"),
        ({"days": "many"}, "is many, not a number"), ({"days": "nan"}, "not a number"), ({"days": True}, "not a number"),
        ({"sites": "[1]"}, "no JSON object"), ({"sites": "{"}, "no JSON object"), ({"logs": [1]}, "no list of words"),
        ({"mode": "left"}, "mode is left, not one of near, far"), ({"else": "x"}, "else is not one of its settings"),
        ({"url": {}}, "url is neither text nor a number"),
    ],
)  # fmt: skip
def test_settings_that_are_none_are_refused_in_words(given: dict[str, Any], said: str) -> None:
    from integrations.errors import Refused as Unusable

    with pytest.raises(Unusable, match="The settings of the x are wrong") as refusal:
        declared.as_given("x", DECLARED, {"url": "https://x", **given})
    assert said in str(refusal.value)


def test_every_backend_says_what_can_be_set() -> None:
    assert set(registry.BACKENDS) <= set(SETTINGS)
    for settings in SETTINGS.values():
        assert all(setting.kind in declared.KINDS and setting.meaning for setting in settings.values())
        assert all(FIELD.fullmatch(f"{name} = x") for name in settings)


# --- Set-ups and definitions --------------------------------------------------------------------------------------


def test_a_set_up_names_a_host_that_is_entered_or_is_told_who_enters_it(cast: Cast) -> None:
    wanted = {"launcher": "ssh", "host": NAME, "account": "mcprod"}
    with pytest.raises(Refused) as refusal:
        editing.keep_login_setup(cast.experiment, "far", by=cast.operator, **wanted)
    problem = refusal.value.problems[0]
    assert (problem.field, problem.message) == ("host", f"mcprod@{NAME} is no launch host of demo")
    assert "none is entered yet; an administrator of the whole service enters them" in problem.hint
    row = enter(cast)
    setup = editing.keep_login_setup(cast.experiment, "far", by=cast.operator, **wanted)
    change = {"by": cast.operator, "reason": "elsewhere"}
    with pytest.raises(Refused, match=f"mcother@{NAME} is no launch host of demo"):
        editing.change_login_setup(setup, account="mcother", **change)
    editing.change_login_setup(setup, account="", **change)
    enter(cast, account="mcprod2")
    with pytest.raises(Refused, match="several accounts on"):
        editing.keep_login_setup(cast.experiment, "which", by=cast.operator, launcher="ssh", host=NAME)
    hosting.change_host(row, by=cast.administrator, reason="it is taken away", active=False)
    editing.change_login_setup(setup, account="mcprod2", **change)
    with pytest.raises(Refused):
        editing.change_login_setup(setup, account="mcprod", **change)


def test_a_set_up_whose_host_was_put_away_can_be_put_away_but_not_taken_again(cast: Cast) -> None:
    row = enter(cast)
    wanted = {"launcher": "ssh", "host": NAME, "account": "mcprod"}
    setup = editing.keep_login_setup(cast.experiment, "far", by=cast.operator, **wanted)
    hosting.change_host(row, by=cast.administrator, reason="it is taken away", active=False)
    editing.change_login_setup(setup, by=cast.operator, reason="it prints more", setup="set -x", **wanted)
    editing.change_login_setup(setup, by=cast.operator, reason="not used", active=False, **wanted)
    setup = LoginSetup.objects.get(pk=setup.pk)
    with pytest.raises(Refused, match="is no launch host of demo"):
        editing.change_login_setup(setup, by=cast.operator, reason="again", active=True)


def test_a_definition_names_a_host_that_is_entered(cast: Cast) -> None:
    enter(cast)
    setup = f"[login_setup local]\nhost={NAME}\naccount={{}}\nsetup=\nlauncher=ssh\nbatch=local\n"
    parsed = editing.read(builders.definition(extra=setup.format("mcother")), cast.experiment, cast.operator)
    wrong = [problem for problem in parsed.errors if problem.field == "[login_setup local] host"]
    assert [problem.message for problem in wrong] == [f"mcother@{NAME} is no launch host of demo"]
    assert f"one of mcprod@{NAME}" in wrong[0].hint
    assert wrong[0].line
    parsed = editing.read(builders.definition(extra=setup.format("mcprod")), cast.experiment, cast.operator)
    assert parsed.errors == []
