"""A real OpenSSH server on loopback, for the account of the tests, with keys of its own; installed if it is missing."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.ports import free_port
from tests.servers import debian

CONFIGURATION = """
Port {port}
ListenAddress {address}
HostKey "{home}/host_key"
AuthorizedKeysFile "{home}/authorized"
PidFile none
UsePAM no
StrictModes no
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
MaxStartups 200
"""


@dataclass
class Sshd:
    """Where it listens, and what a client needs."""

    port: int
    key: Path
    known_hosts: Path


def installed() -> str:
    """Return where sshd is."""
    return debian.installed("sshd", "openssh-server")


@contextmanager
def running(home: Path, address: str = "127.0.0.1", within: Sequence[str] = ()) -> Iterator[Sshd]:
    """Run a server until the block ends; `home` is for its files, `within` what goes before its command."""
    program, port = installed(), free_port()
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # where it parts with its rights; it asks for it
    for name in ("host_key", "key"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(home / name)], check=True)
    shutil.copy(home / "key.pub", home / "authorized")
    kind, text, *_ = (home / "host_key.pub").read_text().split()
    (home / "known_hosts").write_text(f"[{address}]:{port} {kind} {text}\n")
    (home / "configuration").write_text(CONFIGURATION.format(port=port, home=home, address=address))
    with (home / "sshd.log").open("wb") as log:
        server = subprocess.Popen([*within, program, "-D", "-e", "-f", str(home / "configuration")], stderr=log)
    try:
        deadline = time.monotonic() + 60
        while b"Server listening" not in (home / "sshd.log").read_bytes():
            assert server.poll() is None and time.monotonic() < deadline, (home / "sshd.log").read_text()
            time.sleep(0.05)
        yield Sshd(port, home / "key", home / "known_hosts")
    finally:
        server.terminate()
        server.wait(60)
