"""Each kind of credential says when it ends, from real files of the kind; what is none is said so, never guessed."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from integrations.credentials import there
from integrations.credentials.asking import PROGRAM
from integrations.credentials.base import Life, read
from integrations.credentials.kinds import KINDS
from integrations.errors import Refused
from tests.credentials import making
from tests.credentials.making import later


def life_of(kind: str, path: Path) -> Life:
    """Return what a credential says, read as on its host, where no library of ours is."""
    found = there.life(str(path), KINDS[kind].reads)
    assert "error" not in found
    return Life(unusable=found["unusable"]) if "unusable" in found else KINDS[kind].life(found)


def test_a_token_ends_as_its_claim_says(tmp_path):
    ends = later(hours=3)
    life = life_of("scitoken", making.token_file(tmp_path / "token", ends))
    assert (life.ends_at, life.unusable) == (ends, "")
    assert life.begins_at is not None
    assert life.begins_at < ends


def test_a_token_without_an_end_has_none(tmp_path):
    assert life_of("scitoken", making.token_file(tmp_path / "token", None)).ends_at is None
    broken = making.token_file(tmp_path / "token", None, exp="tomorrow")
    assert "no moment" in life_of("scitoken", broken).unusable


def test_of_a_proxy_what_ends_first_counts(tmp_path):
    path, soon, late = tmp_path / "proxy", later(hours=5), later(days=5)
    assert life_of("voms", making.proxy_file(path, late)).ends_at == late
    assert life_of("voms", making.proxy_file(path, late, issuer_ends=soon)).ends_at == soon
    assert life_of("voms", making.proxy_file(path, late, attributes_end=soon)).ends_at == soon


@pytest.mark.parametrize("version", [3, 4])
def test_of_tickets_that_by_which_others_are_got_counts(tmp_path, version):
    own, other = later(hours=10), later(hours=20)
    tickets = [
        ("host/a.example.org", other), ("krbtgt/POMS.TEST", own), ("krbtgt/ELSEWHERE@POMS.TEST", other),
    ]  # fmt: skip
    assert life_of("kerberos", making.cache_file(tmp_path / "cc", tickets, version)).ends_at == own
    assert life_of("kerberos", making.cache_file(tmp_path / "cc", tickets[:1], version)).ends_at == other
    assert "no ticket" in life_of("kerberos", making.cache_file(tmp_path / "cc", [], version)).unusable


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "content",
    [b"", b" \n", b"a.b.c", b"\x05\x04\x00\x0c", b"\x05\x04\x00\x00\xff\xff\xff\xff", b"eyJhbGciOiJub25lIn0.bm8.x",
     b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", b"\0" * 100, "é".encode("latin-1") * 9],
)  # fmt: skip
def test_what_is_no_credential_is_said_so(tmp_path, kind, content):
    path = tmp_path / "file"
    path.write_bytes(content)
    life = life_of(kind, path)
    assert life.unusable
    assert life.ends_at is None


@pytest.mark.parametrize("kind", KINDS)
def test_a_cut_off_file_never_lives_longer_than_the_whole(tmp_path, kind):
    path, ends = tmp_path / "file", later(hours=3)
    made: Any = {
        "scitoken": lambda: making.token_file(path, ends), "voms": lambda: making.proxy_file(path, ends),
        "kerberos": lambda: making.cache_file(path, [("krbtgt/POMS.TEST", ends)]),
    }[kind]  # fmt: skip
    whole = made().read_bytes()
    for length in range(0, len(whole), 17):
        path.write_bytes(whole[:length])
        life = life_of(kind, path)
        assert life.unusable or life.ends_at == ends


def test_that_a_file_is_not_there_is_an_answer(tmp_path):
    assert "no such file" in life_of("scitoken", tmp_path / "none").unusable
    (tmp_path / "file").write_text("x")
    assert "no such file" in life_of("scitoken", tmp_path / "file" / "in it").unusable
    assert "no file" in life_of("scitoken", tmp_path).unusable
    assert "no file" in life_of("scitoken", Path("/dev/zero")).unusable


def test_a_disk_that_does_not_answer_is_none(monkeypatch):
    def silent(path: str) -> bytes:
        raise OSError(116, "Stale file handle")

    monkeypatch.setattr(there, "contents", silent)
    assert there.life("/nfs/token", "token") == {"error": "its file cannot be looked at: Stale file handle"}


def test_nothing_of_a_file_is_answered_but_when_it_ends(tmp_path):
    token = making.token_file(tmp_path / "token", later(hours=1), jti="unmistakable")
    proxy = making.proxy_file(tmp_path / "proxy", later(hours=1))
    cache = making.cache_file(tmp_path / "cc", [("krbtgt/POMS.TEST", later(hours=1))])
    items = [{"path": str(path), "reads": KINDS[kind].reads}
             for kind, path in (("scitoken", token), ("voms", proxy), ("kerberos", cache))]  # fmt: skip
    # As on a launch host: the text of the program, by a Python that has none of our libraries.
    command = [sys.executable, "-S", "-E", "-s", "-c", PROGRAM.read_text()]
    ended = subprocess.run(command, input=json.dumps({"items": items}), capture_output=True, text=True, check=True)
    answers = json.loads(ended.stdout)["lives"]
    assert set(answers[0]["claims"]) == {"iat", "exp"}
    assert "PRIVATE KEY" not in ended.stdout
    assert "unmistakable" not in ended.stdout
    assert answers == there.lives(items)


def test_the_program_is_for_old_pythons():
    text = PROGRAM.read_text()
    import ast

    ast.parse(text, feature_version=(3, 6))
    assert "from __future__ import annotations" not in text


def test_a_renewal_past_its_time_is_stopped_with_all_it_started(tmp_path):
    script = f"(sleep 600; touch '{tmp_path}/late') & sleep 600"
    answer = there.renew(["sh", "-c", script], 0.5)
    assert answer["exit_code"] is None
    assert there.renew(["/no/program"], 5)["exit_code"] == 127
    assert there.renew(["sh", "-c", "echo said; echo wrong >&2; exit 3"], 60) == {
        "exit_code": 3,
        "said": "said\nwrong\n",
    }


def test_kinds_say_how_scripts_find_them_and_how_they_are_renewed():
    settings = {
        "vault": "htvault.example.org",
        "issuer": "demo",
        "vault_role": "production",
        "credkey": "demopro/managed",
    }
    token = KINDS["scitoken"]
    assert token.environment("/t", {}) == {"BEARER_TOKEN_FILE": "/t", "_condor_SEC_CREDENTIAL_STORER": "/bin/true"}
    options = "-a htvault.example.org -i demo -r production --credkey=demopro/managed"
    assert token.environment("/t", settings)["HTGETTOKENOPTS"] == options
    assert token.renewal("/t", settings) == ["htgettoken", *options.split(), "--nooidc", "-o", "/t"]
    assert token.renewal("/t", {}) == []
    assert KINDS["voms"].environment("/p", {}) == {"X509_USER_PROXY": "/p"}
    assert KINDS["voms"].renewal("/p", {"voms": "dune:/dune/Role=Production", "valid": "24:00"}) == [
        "voms-proxy-init", "-rfc", "-noregen", "-voms", "dune:/dune/Role=Production", "-valid", "24:00", "-out", "/p",
    ]  # fmt: skip
    assert KINDS["kerberos"].environment("/c", {}) == {"KRB5CCNAME": "FILE:/c"}
    assert KINDS["kerberos"].renewal("/c", {"keytab": "/k", "principal": "demo@POMS.TEST"}) == [
        "kinit", "-k", "-t", "/k", "-c", "FILE:/c", "demo@POMS.TEST",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "given", [{"vault": "a b"}, {"valut": "x"}, {"vault": 7}, {"issuer": "a\nb"}, {"credkey": "é"}]
)
def test_settings_that_would_be_something_else_are_refused(given):
    with pytest.raises(Refused, match=r"vault|issuer|credkey"):
        read("token", KINDS["scitoken"].settings, given)


def test_a_life_is_compared_whole():
    assert Life(later(hours=1)) != Life(later(hours=1) + timedelta(seconds=1))
