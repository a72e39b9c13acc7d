"""The ssh launcher: runs the launch shim on an experiment's launch host, with the OpenSSH client (J2, J9; F17).

The shim is copied once, into a folder named by its content; whoever finds it there runs it, so old and new workers do
not disturb each other. Keys and tickets come from outside: a key file, an agent or a Kerberos cache of the worker.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path, PurePosixPath

from integrations import process
from integrations.errors import Refused, Unavailable, Unsure
from integrations.launcher.asking import RUN_SHIM, AsksShim
from integrations.launcher.local import PASSED_ON, SHIM

SSH = "ssh"
CONNECT_S = 10.0
CALL_S = 60.0  # of a call of the shim, to be let in a part of it
# A line on which nothing comes back for so long is dead: 3 questions of 15 s, to which nobody answered.
ALIVE_EVERY_S, ALIVE_TIMES = 15, 3
LACKS_SHIM, SPOILT_SHIM, SSH_FAILED = 97, 98, 255
RETRY_S = 60.0
FOR_SSH = ("SSH_AUTH_SOCK", "XDG_RUNTIME_DIR")
LIGHT = ("-S", "-E", "-s")
_NAME = re.compile(r"[A-Za-z0-9_.][A-Za-z0-9_.:-]{0,199}")
# For Python 3.6 and later, as the shim is.
_RUN = (
    "import os, sys; sys.path.append(sys.argv[1]); "
    f"os.path.isfile(sys.argv[1] + '/shim.py') or sys.exit({LACKS_SHIM}); {RUN_SHIM}"
)
# Under a name of its own, then moved into its place: two who copy it at once leave one whole file.
_COPY = f"""
import hashlib, os, sys
folder, digest = sys.argv[1:3]
data = sys.stdin.buffer.read()
hashlib.sha256(data).hexdigest() == digest or sys.exit({SPOILT_SHIM})
os.makedirs(folder, mode=0o700, exist_ok=True)
own = os.path.join(folder, ".shim.%d" % os.getpid())
with open(own, "wb") as file:
    file.write(data)
    file.flush()
    os.fsync(file.fileno())
os.rename(own, os.path.join(folder, "shim.py"))
"""
# What ssh says where it never came to run anything: nothing was done.
_NOTHING_WAS_DONE = (
    "Permission denied", "Host key verification failed", "Could not resolve hostname", "Connection refused",
    "Connection timed out", "Operation timed out", "No route to host", "Network is unreachable",
    "Bad configuration option", "banner exchange", "Too many authentication failures", "no matching",
)  # fmt: skip


@dataclass(frozen=True)
class Host:
    """How a launch host is reached. `home` is on a disk of the host itself: the shim's locks reach no further."""

    address: str
    home: str
    account: str = ""  # empty: that of the worker
    port: int = 22
    python: str = "python3"
    key: Path | None = None  # of a private key; None: an agent, or a Kerberos ticket
    known_hosts: Path | None = None  # None: those of the worker

    def refuse_unusable(self) -> None:
        """Raise Refused for what ssh would take for something else than it is meant."""
        for what, word in (("address", self.address), ("account", self.account or "x")):
            if not _NAME.fullmatch(word):
                raise Refused(f"The {what} of a launch host cannot be {word[:60]!r}.")
        for what, path in (("home", self.home), ("python", self.python if "/" in self.python else "/x")):
            if not PurePosixPath(path).is_absolute() or any(mark in path for mark in "\0\n"):
                raise Refused(f"The {what} of a launch host is a path from the root, not {path[:60]!r}.")


class SshLauncher(AsksShim):
    """Launcher of one host: its scripts run there under an account of the experiment."""

    def __init__(self, host: Host, *, seconds: float | None = None, connect_s: float | None = None) -> None:
        """Speak to a host; a call of the shim may take the given seconds, to be let in a part of them."""
        host.refuse_unusable()
        self.host = host
        self.home = str(PurePosixPath(host.home) / "launches")
        self.seconds = CALL_S if seconds is None else seconds
        self.connect_s = CONNECT_S if connect_s is None else connect_s

    def _run(self, verb: str, document: bytes) -> process.Finished:
        text, digest = _shim()
        folder = str(PurePosixPath(self.host.home) / f"shim-{digest[:16]}")
        ended = self._there([*LIGHT, "-c", _RUN, folder, verb], document)
        if ended.exit_code != LACKS_SHIM:
            return ended
        copied = self._there([*LIGHT, "-c", _COPY, folder, digest], text)
        if copied.exit_code != 0:
            why = copied.stderr.decode(errors="replace").strip()[-500:] or "it did not arrive whole"
            raise Unavailable(f"The launch shim cannot be put into {folder} of {self.host.address}: {why}", RETRY_S)
        return self._there([*LIGHT, "-c", _RUN, folder, verb], document)

    def _there(self, words: Sequence[str], document: bytes) -> process.Finished:
        """Run Python over there; what ssh itself could not do is said as what is known of it."""
        command = " ".join(shlex.quote(word) for word in (self.host.python, *words))
        environment = {name: os.environ[name] for name in (*PASSED_ON, *FOR_SSH) if name in os.environ}
        ended = process.run([*self._ssh(), command], stdin=document, seconds=self.seconds, env=environment)
        if ended.exit_code == SSH_FAILED:
            said = ended.stderr.decode(errors="replace").strip()[-500:]
            if any(sign in said for sign in _NOTHING_WAS_DONE):
                raise Unavailable(f"{self.host.address} lets nobody in: {said}", RETRY_S)
            raise Unsure(f"The line to {self.host.address} broke: {said}")
        return ended

    def _ssh(self) -> list[str]:
        host = self.host
        options = {
            "BatchMode": "yes", "ConnectTimeout": f"{max(1, round(self.connect_s))}", "ConnectionAttempts": "1",
            "ServerAliveInterval": f"{ALIVE_EVERY_S}", "ServerAliveCountMax": f"{ALIVE_TIMES}",
            "StrictHostKeyChecking": "yes", "ForwardAgent": "no", "ForwardX11": "no", "ClearAllForwardings": "yes",
            "PermitLocalCommand": "no", "LogLevel": "ERROR",
        }  # fmt: skip
        if host.known_hosts is not None:
            options |= {"UserKnownHostsFile": _quoted(host.known_hosts), "GlobalKnownHostsFile": "none"}
        if host.key is not None:
            options |= {"IdentityFile": _quoted(host.key), "IdentitiesOnly": "yes"}
        said = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
        account = ["-l", host.account] if host.account else []
        # No configuration of whoever runs the worker: what a launch does goes by what POMS knows.
        return [SSH, "-F", "none", "-T", *said, *account, "-p", str(host.port), "--", host.address]


def known_hosts_file(folder: Path, text: str) -> Path:
    """Return a file with these public keys of hosts, named by its content: whoever finds it there uses it."""
    path = folder / sha256(text.encode()).hexdigest()[:32]
    if not path.exists():
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        own = folder / f".{path.name}.{os.getpid()}"
        own.write_text(text if text.endswith("\n") else f"{text}\n")
        own.rename(path)
    return path


def _quoted(path: Path) -> str:
    """Return a path as an option of ssh takes it, which parts values at blanks and reads %s."""
    return f'"{str(path).replace("%", "%%")}"'


@cache
def _shim() -> tuple[bytes, str]:
    """Return the text of the shim and the hash of it."""
    text = SHIM.read_bytes()
    return text, sha256(text).hexdigest()
