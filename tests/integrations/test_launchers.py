"""The launchers against what every launcher must do; that of ssh through a real server, and through lines that are dead."""

from __future__ import annotations

import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from integrations.conformance.launcher import LauncherConformance, ended, new
from integrations.errors import Refused, Unavailable, Unsure
from integrations.launcher.local import LocalLauncher
from integrations.launcher.ssh import Host, SshLauncher
from tests.servers import sshd


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder with a blank in its name, as everything of these tests is below one."""
    with tempfile.TemporaryDirectory(prefix="poms launch ") as name:
        yield Path(name)


class TestLocal(LauncherConformance):
    """Scripts run under the account of the worker."""

    @pytest.fixture
    def launcher(self, place: Path) -> LocalLauncher:
        return LocalLauncher(place / "launches")


@pytest.fixture(scope="module")
def server() -> Iterator[sshd.Sshd]:
    """A real OpenSSH server."""
    with tempfile.TemporaryDirectory(prefix="poms sshd ") as name, sshd.running(Path(name)) as found:
        yield found


def host_of(server: sshd.Sshd, place: Path, **values: Any) -> Host:
    return Host(**{
        "address": "127.0.0.1", "home": str(place / "poms home"), "port": server.port, "key": server.key,
        "known_hosts": server.known_hosts, **values,
    })  # fmt: skip


@pytest.mark.live
class TestSsh(LauncherConformance):
    """Scripts run on the launch host."""

    @pytest.fixture
    def launcher(self, server: sshd.Sshd, place: Path) -> SshLauncher:
        return SshLauncher(host_of(server, place))

    def test_the_shim_is_copied_once_by_its_content(self, launcher: SshLauncher, place: Path) -> None:
        launch = new(["true"])
        launcher.start([launch])
        ended(launcher, launch)
        (folder,) = (place / "poms home").glob("shim-*")
        stands = (folder / "shim.py").stat().st_ino
        launcher.start([new(["true"])])
        assert (folder / "shim.py").stat().st_ino == stands
        for name in ("shim.py", "wrapper.py"):
            (folder / name).unlink()
            assert launcher.start([other := new(["true"])])[other.uuid].outcome == "started"
            assert (folder / name).exists()

    def test_who_is_not_let_in_has_done_nothing(self, server: sshd.Sshd, place: Path) -> None:
        known = place / "known"
        known.write_text("")
        for values in ({"account": "nobody-of-the-kind"}, {"known_hosts": known}, {"key": place / "no key"}):
            with pytest.raises(Unavailable, match="lets nobody in"):
                SshLauncher(host_of(server, place, **values)).start([new(["touch", str(place / "done")])])
        assert not (place / "done").exists()

    def test_a_host_without_python_says_so(self, server: sshd.Sshd, place: Path) -> None:
        with pytest.raises(Unsure, match="127"):
            SshLauncher(host_of(server, place, python="/no/python")).status([])

    def test_a_home_that_cannot_be_written_says_so(self, server: sshd.Sshd, place: Path) -> None:
        (place / "file").write_text("")
        with pytest.raises(Unavailable, match="cannot be put into"):
            SshLauncher(host_of(server, place, home=str(place / "file" / "home"))).status([])


class Dead:
    """Somebody who takes calls and does not do what a server does: silent, silent after its banner, or gone at once."""

    def __init__(self, says: bytes | None) -> None:
        self.says = says
        self.line = socket.create_server(("127.0.0.1", 0))
        self.port = self.line.getsockname()[1]
        self.held: list[socket.socket] = []
        Thread(target=self._take, daemon=True).start()

    def _take(self) -> None:
        while True:
            try:
                caller, _ = self.line.accept()
            except OSError:  # closed: the test is over
                return
            if self.says is None:
                caller.close()
                continue
            caller.sendall(self.says)
            self.held.append(caller)


@pytest.mark.live
@pytest.mark.parametrize(
    ("says", "error"),
    [(b"", Unavailable), (b"SSH-2.0-dead\r\n", (Unavailable, Unsure)), (None, (Unavailable, Unsure)), (b"HTTP/1.1 400 no\r\n" * 2000, (Unavailable, Unsure))],
    ids=["silent", "silent after its banner", "gone at once", "no ssh"],
)  # fmt: skip
def test_a_host_that_is_dead_is_given_up(says: bytes | None, error: Any, place: Path) -> None:
    sshd.installed()  # the client comes with it
    dead = Dead(says)
    host = Host("127.0.0.1", str(place), port=dead.port, known_hosts=place / "none")
    with pytest.raises(error):
        SshLauncher(host, seconds=3, connect_s=1).status([])
    dead.line.close()


@pytest.mark.live
def test_a_host_that_refuses_is_unavailable(place: Path) -> None:
    sshd.installed()
    with socket.create_server(("127.0.0.1", 0)) as line:
        port = line.getsockname()[1]
    with pytest.raises(Unavailable, match="Connection refused"):
        SshLauncher(Host("127.0.0.1", str(place), port=port)).status([])


@pytest.mark.parametrize(
    "values",
    [{"address": "-oProxyCommand=touch x"}, {"address": "a b"}, {"address": ""}, {"account": "-x"}, {"account": "a;b"},
     {"home": "relative"}, {"home": "/a\nb"}, {"python": "../python"}],
)  # fmt: skip
def test_what_ssh_would_take_for_an_option_is_refused(values: dict[str, str]) -> None:
    with pytest.raises(Refused):
        SshLauncher(Host(**{"address": "host.example.org", "home": "/var/poms", **values}))
