"""Credentials on a real launch host over real ssh, and tickets of a real KDC."""

from __future__ import annotations

import getpass
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from core import loops
from integrations.models import Credential, LaunchHost
from submissions.queries import standing_holds
from tests.credentials.making import entered, jwt, later, proxy_file, token_file
from tests.servers import kdc, sshd

pytestmark = [pytest.mark.live, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def far(real_cast: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """A launch host on loopback; where credentials on it lie, as a row says it."""
    home = tmp_path / "poms sshd"
    home.mkdir()
    with sshd.running(home) as server:
        monkeypatch.setenv("POMS_CREDENTIAL_HOST_FILE", str(server.key))
        LaunchHost.objects.create(
            experiment=real_cast.experiment, name="far", address="127.0.0.1", port=server.port, account=getpass.getuser(),
            home=str(tmp_path / "poms home"), credential="host", known_hosts=server.known_hosts.read_text(),
        )  # fmt: skip
        yield {"launcher": "ssh", "host": "far", "account": getpass.getuser()}


def asked(row: Credential) -> Credential:
    """Have it asked by the loop; return it as it is then."""
    Credential.objects.update(due_at=datetime.now(UTC) - timedelta(seconds=1))
    loops.run("credentials")
    row.refresh_from_db()
    return row


def test_credentials_of_a_launch_host_are_asked_and_renewed_over_ssh(real_cast, far, tmp_path):
    token, ends = token_file(tmp_path / "demo token", later(minutes=20)), later(hours=3)
    (tmp_path / "next").write_text(jwt(ends))
    proxy = proxy_file(tmp_path / "proxy", later(days=2))
    both = entered(real_cast, proxy, name="proxy", kind="voms", **far)
    row = entered(real_cast, token, renewal=["cp", str(tmp_path / "next"), str(token)], **far)
    row = asked(row)
    both.refresh_from_db()
    assert both.condition() == "live"
    assert (row.ends_at, row.condition(), row.trouble) == (ends, "live", "")
    token.unlink()
    Credential.objects.update(renewal=["sh", "-c", f"echo {jwt(ends)}; echo wrong >&2; exit 4"], tried_at=None)
    row = asked(row)
    assert row.unusable == "there is no such file"
    assert row.trouble == "sh ended with 4: [secret] wrong"
    assert "there is no such file" in standing_holds().get().reason


def test_a_launch_host_that_lets_nobody_in_is_no_answer(real_cast, far, tmp_path):
    row = asked(entered(real_cast, token_file(tmp_path / "token", later(hours=3)), **far))
    LaunchHost.objects.update(account="nobody-of-the-kind")
    Credential.objects.update(account="nobody-of-the-kind")
    row = asked(row)
    assert row.condition() == "unknown"
    assert "lets nobody in" in row.error
    assert not standing_holds().exists()


def test_tickets_of_a_real_kdc_are_got_from_a_keytab_and_their_end_is_that_of_klist(real_cast, tmp_path, monkeypatch):
    with kdc.running(tmp_path) as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        cache = tmp_path / "cache of demo"
        settings = {"keytab": str(server.keytab), "principal": f"{kdc.PRINCIPAL}@{kdc.REALM}"}
        row = asked(entered(real_cast, cache, name="ticket", kind="kerberos", settings=settings))
        assert (row.condition(), row.trouble) == ("live", "")
        assert row.ends_at is not None
        assert timedelta(hours=9) < row.ends_at - datetime.now(UTC) < timedelta(hours=11)
        listed = subprocess.run(
            ["klist", "-c", f"FILE:{cache}"], capture_output=True, text=True, check=True, env={"TZ": "UTC", "PATH": "/usr/bin:/bin", "LC_ALL": "C"}
        ).stdout  # fmt: skip
        assert any(f"{row.ends_at:{form}}" in listed for form in ("%m/%d/%y %H:%M:%S", "%m/%d/%Y %H:%M:%S")), listed
        subprocess.run(["kdestroy", "-c", f"FILE:{cache}"], check=True)
        Credential.objects.update(settings={})
        assert asked(row).unusable == "there is no such file"
