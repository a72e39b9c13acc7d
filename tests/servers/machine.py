"""A machine to administer, without its kernel: folders that an installation writes to are private, accounts too.

Its /etc, /opt, /run, /var/lib and /var/log are those of a namespace of mounts, which end with it: `useradd` and
`install` may be typed as the docs have them, and leave nothing. Processes and network are the host's.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

# What programs of the machine need of those folders to begin with.
KEPT = ("/var/lib/nginx", "/var/log/nginx")
PRIVATE = ("/etc", "/opt", "/run", "/var/lib", "/var/log")
PATIENCE = 900.0
HOME = Path(__file__).resolve().parents[2]


class Machine:
    """One such machine; its root types in a shell that remembers what it was told to export."""

    def __init__(self) -> None:
        """Make the folders, and a process that keeps the namespace."""
        # Below /tmp, for a pool of HTCondor sees that folder under the same name.
        self.home = Path(tempfile.mkdtemp(prefix="poms-machine-", dir="/tmp"))
        self.home.chmod(0o755)
        self.environment = {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
        self.environment |= {"HOME": str(Path.home()), "LANG": "C.UTF-8"}
        self.environment["PATH"] = f"{sys.base_prefix}/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        self._before = ""
        for folder in PRIVATE:
            (self.home / folder[1:]).mkdir(parents=True)
        (self.home / "etc").rmdir()
        subprocess.run(["cp", "-a", "/etc", str(self.home / "etc")], check=True)
        for kept in KEPT:
            if Path(kept).exists():
                subprocess.run(["cp", "-a", kept, str(self.home / kept[1:])], check=True)
        self._keeper = subprocess.Popen(
            ["unshare", "--mount", "--propagation", "private", "sh", "-ec", self._mounts()],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        )  # fmt: skip
        assert self._keeper.stdout is not None
        assert self._keeper.stdout.readline() == b"mounted\n", "the mounts could not be made; see above"

    def enter(self, account: str = "root", folder: str = "/") -> list[str]:
        """Return what goes before a command, so that it runs there, under an account, in a folder."""
        shell = 'cd "$0" && exec "$@"'
        way = ["nsenter", f"--mount=/proc/{self._keeper.pid}/ns/mnt", "--"]
        who = (
            [] if account == "root" else ["setpriv", f"--reuid={account}", f"--regid={account}", "--init-groups", "--"]
        )
        return [*way, *who, "sh", "-c", shell, folder]

    def place(self, path: str) -> Path:
        """Return where a path of the machine lies for us."""
        assert path.startswith(PRIVATE), path
        return self.home / path[1:]

    def type(self, line: str, *, folder: str = "/", told: str = "", **environment: str) -> str:
        """Type a line as root, which must succeed; return what it printed."""
        done = self.tried(line, folder=folder, told=told, **environment)
        assert done.returncode == 0, f"{line}\n{done.stdout[-4000:]}{done.stderr[-4000:]}"
        return done.stdout

    def tried(
        self, line: str, *, folder: str = "/", told: str = "", **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Type a line as root; return what came of it. What it exports, later lines have as well."""
        done = subprocess.run(
            [*self.enter(folder=folder), "bash", "-c", f"set -o pipefail\n{self._before}{line}"], input=told,
            env={**self.environment, **environment}, capture_output=True, text=True, timeout=PATIENCE, check=False,
        )  # fmt: skip
        if line.startswith("export ") or (line.startswith("set -a") and line.endswith("set +a")):
            self._before += f"{line}\n"
        return done

    def names(self, address: str, name: str) -> None:
        """Let a name stand for an address there."""
        with self.place("/etc/hosts").open("a") as hosts:
            hosts.write(f"{address} {name}\n")

    def remove(self) -> None:
        """End the namespace, and with it the mounts; leave no file."""
        self._keeper.kill()
        self._keeper.wait()
        subprocess.run(["rm", "-rf", "--one-file-system", str(self.home)], check=True)

    def _mounts(self) -> str:
        return f"{self._open_python()}{self._binds()}echo mounted\nexec sleep infinity"

    def _binds(self) -> str:
        lines = []
        for path in Path("/opt").iterdir():  # wheels, say, from which this machine's pip installs
            if path.is_dir() and path.name != "poms":
                (self.home / "opt" / path.name).mkdir()
                lines.append(shlex.join(["mount", "--bind", str(path), f"{self.home}/opt/{path.name}"]))
        lines += [shlex.join(["mount", "--rbind", f"{self.home}{path}", path]) for path in PRIVATE]
        return "\n".join([*lines, ""])

    def _open_python(self) -> str:
        """Let every account reach this Python, as the docs ask; here it may lie in a home that is closed to others."""
        base = Path(sys.base_prefix)
        closed = [folder for folder in base.parents if folder != Path("/") and not folder.stat().st_mode & 0o001]
        if not closed:
            return ""
        top = closed[-1]
        new = self.home / "opened"
        kept = [path for path in (base, Path.home() / ".config/pip", Path.home() / ".cache/pip", HOME)
                if path.is_relative_to(top) and path.exists()]  # fmt: skip
        lines = []
        for path in kept:
            inside = new / path.relative_to(top)
            inside.mkdir(parents=True, exist_ok=True)
            lines.append(shlex.join(["mount", "--bind", str(path), str(inside)]))
        lines.append(shlex.join(["mount", "--rbind", str(new), str(top)]))
        return "\n".join([*lines, ""])


def is_possible() -> str:
    """Return why there can be no such machine here, or nothing."""
    if os.geteuid() != 0:
        return "only root can make mounts"
    missing = [name for name in ("unshare", "nsenter", "setpriv", "runuser", "useradd") if shutil.which(name) is None]
    return f"{', '.join(missing)} is missing" if missing else ""
