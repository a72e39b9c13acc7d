"""A real HTCondor pool on loopback: installed once into the user's cache, run for the tests, gone with them.

Measured: the installation takes one to three minutes and 300 MB, a start three seconds, the pool 130 MB of memory. Debian 12
has no package, so that it comes from Debian 13 below a folder of its own. All mounts are made in a namespace of mounts that
ends with the pool: whoever deletes the folder cannot reach through them.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests import processes
from tests.ports import free_port

ROOT = Path(__file__).resolve().parents[2]
RELEASE = "trixie"
ACCOUNT, ACCOUNT_ID = "pomspro", 2001  # the daemons refuse jobs of root
DOMAIN = "poms.test"
PATIENCE = 120.0
# What a submission uses of it; each becomes a program of the same name that runs inside.
COMMANDS = (
    "condor_submit", "condor_submit_dag", "condor_q", "condor_history", "condor_hold", "condor_release", "condor_rm",
    "condor_vacate_job", "condor_prio", "condor_qedit", "condor_status", "condor_suspend", "condor_continue",
)  # fmt: skip
LOGS = {"SCHEDD": "SchedLog", "SCHEDD2": "Schedd2Log", "STARTD": "StartLog", "COLLECTOR": "CollectorLog"}
# A kernel tuned by it, a private /dev/shm, or a unit of systemd is none of a test's business; the rest is haste.
CONFIGURATION = """
RELEASE_DIR = /usr
LOCAL_DIR = {home}
RUN = {home}/run
LOG = {home}/log
LOCK = {home}/lock
SPOOL = {home}/spool
EXECUTE = {home}/execute
BIN = /usr/bin
SBIN = /usr/sbin
LIB = /usr/lib/condor
LIBEXEC = /usr/libexec/condor
SHARE = /usr/share/condor
CONDOR_HOST = 127.0.0.1
UID_DOMAIN = {domain}
FILESYSTEM_DOMAIN = {domain}
TRUST_DOMAIN = {domain}
NETWORK_INTERFACE = 127.0.0.1
BIND_ALL_INTERFACES = FALSE
EVENT_LOG = {home}/log/EventLog
EVENT_LOG_JOB_AD_INFORMATION_ATTRS = POMS_SUBMISSION_ID, POMS_JOB_INDEX, DAGManJobId, ProcId, MachineAttrGLIDEIN_Site0
EVENT_LOG_USE_XML = FALSE
ENABLE_IPV6 = FALSE
ENABLE_KERNEL_TUNING = FALSE
MOUNT_UNDER_SCRATCH =
MOUNT_PRIVATE_DEV_SHM = FALSE
BASE_CGROUP =
NO_DNS = TRUE
DEFAULT_DOMAIN_NAME = {domain}
USE_SHARED_PORT = TRUE
SHARED_PORT_PORT = {port}
DAEMON_SOCKET_DIR = {home}/lock/sock
COLLECTOR_HOST = 127.0.0.1:{port}
DAEMON_LIST = MASTER, SHARED_PORT, COLLECTOR, NEGOTIATOR, SCHEDD, STARTD
SCHEDD_NAME = first@{domain}
use POLICY: Always_Run_Jobs
NUM_CPUS = {slots}
MEMORY = {memory_mb}
NUM_SLOTS = {slots}
NUM_SLOTS_TYPE_1 = {slots}
SLOT_TYPE_1 = cpus=1,memory={slot_mb},disk=1%
GLIDEIN_Site = "Loopback"
STARTD_ATTRS = $(STARTD_ATTRS), GLIDEIN_Site
SYSTEM_JOB_MACHINE_ATTRS = $(SYSTEM_JOB_MACHINE_ATTRS) GLIDEIN_Site
RUNBENCHMARKS = FALSE
NEGOTIATOR_INTERVAL = 2
NEGOTIATOR_MIN_INTERVAL = 1
NEGOTIATOR_CYCLE_DELAY = 1
UPDATE_INTERVAL = 2
SCHEDD_INTERVAL = 2
SCHEDD_MIN_INTERVAL = 1
JOB_START_COUNT = 64
JOB_START_DELAY = 0
CLAIM_WORKLIFE = 3600
PERIODIC_EXPR_INTERVAL = 2
MASTER_BACKOFF_CONSTANT = 1
MASTER_NEW_BINARY_RESTART = NEVER
DAGMAN_USER_LOG_SCAN_INTERVAL = 1
DAGMAN_SUBMIT_DELAY = 0
DAGMAN_USE_STRICT = 0
SEC_PASSWORD_DIRECTORY = {home}/passwords.d
SEC_TOKEN_SYSTEM_DIRECTORY = {home}/tokens.d
SEC_TOKEN_POOL_SIGNING_KEY_FILE = {home}/passwords.d/POOL
SEC_DEFAULT_AUTHENTICATION = REQUIRED
SEC_DEFAULT_AUTHENTICATION_METHODS = FS, IDTOKENS
SEC_DEFAULT_INTEGRITY = REQUIRED
SEC_DEFAULT_ENCRYPTION = OPTIONAL
ALLOW_READ = *
ALLOW_WRITE = *@{domain}
ALLOW_ADMINISTRATOR = root@{domain}, condor@{domain}
ALLOW_DAEMON = condor@{domain}, root@{domain}, condor@family
ALLOW_NEGOTIATOR = condor@{domain}
ALLOW_CONFIG =
DISCARD_SESSION_KEYRING_ON_STARTUP = False
"""
SECOND_SCHEDD = """
DAEMON_LIST = $(DAEMON_LIST), SCHEDD2
SCHEDD2 = $(SCHEDD)
SCHEDD2_ARGS = -sock second -local-name second
SECOND.SCHEDD_NAME = second@{domain}
SECOND.SCHEDD_LOG = {home}/log/Schedd2Log
SECOND.SPOOL = {home}/spool2
SECOND.HISTORY = {home}/spool2/history
SECOND.JOB_QUEUE_LOG = {home}/spool2/job_queue.log
SECOND.SCHEDD_ADDRESS_FILE = {home}/spool2/.schedd_address
SECOND.SCHEDD_DAEMON_AD_FILE = {home}/spool2/.schedd_classad
SECOND.LOCAL_UNIV_EXECUTE = {home}/spool2/local_univ_execute
"""
CLIENT = """
COLLECTOR_HOST = 127.0.0.1:{port}
CONDOR_HOST = 127.0.0.1
UID_DOMAIN = {domain}
FILESYSTEM_DOMAIN = {domain}
TRUST_DOMAIN = {domain}
NO_DNS = TRUE
DEFAULT_DOMAIN_NAME = {domain}
ENABLE_IPV6 = FALSE
SEC_CLIENT_AUTHENTICATION_METHODS = IDTOKENS
SEC_TOKEN_DIRECTORY = {home}/client
LOG = {home}/client
"""


class Pool:
    """A running pool, as a test uses it."""

    def __init__(self, home: Path, root: Path, port: int) -> None:
        self.home = home
        self.port = port
        self.collector = f"127.0.0.1:{port}"
        self.schedds = [f"first@{DOMAIN}"]
        self.config = home / "client_config"  # of somebody outside, who has a token
        self.bin = home / "bin"  # the commands of HTCondor, to be put first on the PATH
        self.work = home / "work"  # where jobs may write
        self._root = root
        self._keeper: subprocess.Popen[bytes] | None = None
        self._master: subprocess.Popen[bytes] | None = None

    def inside(
        self, argv: Sequence[str], *, as_root: bool = False, **values: object
    ) -> subprocess.CompletedProcess[str]:
        """Run a program inside, in this folder, to its end."""
        done: subprocess.CompletedProcess[str] = subprocess.run(
            [*self._enter(as_root), *argv], capture_output=True, text=True, timeout=PATIENCE, check=False, **values
        )  # type: ignore[call-overload]
        return done

    def run(self, *argv: str, **values: object) -> str:
        """Run a command of HTCondor as the account, which must succeed; return what it printed."""
        env = {**os.environ, "CONDOR_CONFIG": str(self.home / "condor_config")}
        done = self.inside(argv, env=env, **values)
        assert done.returncode == 0, f"{argv}: {done.stdout}{done.stderr}"
        return done.stdout

    def pid(self, daemon: str = "SCHEDD") -> int:
        """Return the process of a daemon, as its log last said it."""
        lines = (self.home / "log" / LOGS[daemon]).read_text().splitlines()
        return int([line for line in lines if "** PID = " in line][-1].split("** PID = ")[1].split()[0])

    def kill(self, daemon: str = "SCHEDD") -> None:
        """Kill a daemon as the machine would; the master starts it again."""
        os.kill(self.pid(daemon), signal.SIGKILL)

    def answers(self, schedd: str = "") -> bool:
        """Tell whether a schedd answers."""
        env = {**os.environ, "CONDOR_CONFIG": str(self.home / "condor_config")}
        name = ["-name", schedd or self.schedds[0]]
        return self.inside(["condor_q", *name, "-limit", "1"], env=env).returncode == 0

    def restart(self, schedd: str = "") -> None:
        """Kill the schedd and wait until it answers again."""
        self.kill("SCHEDD" if schedd in ("", self.schedds[0]) else "SCHEDD2")
        self.wait(lambda: self.answers(schedd), "the schedd is back")

    @contextmanager
    def without(self, daemon: str = "SCHEDD") -> Iterator[None]:
        """Take a daemon away while the block lasts, the first schedd or the collector."""
        name = self.schedds[0] if daemon == "SCHEDD" else ""
        self._as_root("condor_off", "-fast", "-daemon", daemon.lower())
        self.wait(lambda: not self.answers(name), "it is gone")
        try:
            yield
        finally:
            self._as_root("condor_on", "-daemon", daemon.lower())
            self.wait(lambda: self.answers(name), "it is back")

    def wait(self, what: Callable[[], object], why: str) -> None:
        """Wait until it is true; the end of the logs is shown where it never is."""
        deadline = time.monotonic() + PATIENCE
        while not what():
            assert time.monotonic() < deadline, f"{why}: {self.last_words()}"
            time.sleep(0.1)

    def last_words(self) -> str:
        """Return the end of each daemon's log."""
        logs = sorted((self.home / "log").glob("*Log"))
        return "\n".join(f"== {log.name}\n" + log.read_text(errors="replace")[-800:] for log in logs)

    def start(self, config: str) -> None:
        """Start the daemons and wait until they answer."""
        (self.home / "condor_config").write_text(config)
        # It does nothing but keep the mounts: the daemons change their user, and then let nobody enter by them.
        self._keeper = subprocess.Popen(
            ["unshare", "--mount", "--propagation", "private", "sh", "-ec", self._mounts(), "sh", str(self._root)],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        )  # fmt: skip
        assert self._keeper.stdout is not None
        assert self._keeper.stdout.readline() == b"mounted\n", "the mounts could not be made; see above"
        env = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "CONDOR_CONFIG": str(self.home / "condor_config"),
               "LC_ALL": "C.UTF-8", "TZ": "UTC"}  # fmt: skip
        with (self.home / "master.out").open("ab") as log:
            self._master = subprocess.Popen(
                [*self._enter(as_root=True), "condor_master", "-f"],
                env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        self._write_commands()
        (self.home / "client").mkdir(mode=0o700)
        made = self._as_root("condor_token_create", "-identity", f"{ACCOUNT}@{DOMAIN}", "-key", "POOL")
        token = self.home / "client" / "poms"
        token.write_text(made)
        token.chmod(0o600)
        self.config.write_text(CLIENT.format(home=self.home, port=self.port, domain=DOMAIN))
        for schedd in self.schedds:
            self.wait(lambda schedd=schedd: self.answers(schedd), f"{schedd} answers")  # type: ignore[misc]
        self.wait(lambda: self.run("condor_status", "-af", "Name").strip(), "there are slots")

    def stop(self) -> None:
        """End the daemons and their jobs; with the last process the mounts go."""
        if self._master is not None:
            self._master.send_signal(signal.SIGQUIT)
            with suppress(subprocess.TimeoutExpired):
                self._master.wait(20)
            with suppress(ProcessLookupError):
                os.killpg(self._master.pid, signal.SIGKILL)
            self._master.wait()
        if self._keeper is not None:
            self._keeper.kill()
            self._keeper.wait()
        for pid in self._processes():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _processes(self) -> list[int]:
        """Return every process that still has this pool in its environment or command line."""
        found = []
        for pid in processes.that_name(self.home):
            with suppress(OSError):  # it has ended meanwhile
                if Path(os.readlink(f"/proc/{pid}/root")) == self._root:
                    found.append(pid)
        return found

    def _as_root(self, *argv: str) -> str:
        done = self.inside(argv, as_root=True, env={**os.environ, "CONDOR_CONFIG": str(self.home / "condor_config")})
        assert done.returncode == 0, f"{argv}: {done.stdout}{done.stderr}\n{self.last_words()}"
        return done.stdout

    def _mounts(self) -> str:
        """Return the shell that lets the same paths mean the same inside, and stays."""
        seen = [str(ROOT), sys.base_prefix, os.path.realpath(sys.prefix)]  # an environment may be a link
        below = [path for path in dict.fromkeys(seen) if not path.startswith(("/usr/bin", "/tmp/")) and path != "/usr"]
        binds = "".join(f'mkdir -p "$1{path}"; mount --bind "{path}" "$1{path}"\n' for path in below)
        return f"""mount --bind /tmp "$1/tmp"
mount -t proc proc "$1/proc"
mount --rbind /dev "$1/dev"
{binds}echo mounted
exec sleep infinity
"""

    def _enter(self, as_root: bool = False) -> list[str]:
        assert self._keeper is not None
        who = [] if as_root else [f"--userspec={ACCOUNT_ID}:{ACCOUNT_ID}"]
        return [
            "nsenter", f"--mount=/proc/{self._keeper.pid}/ns/mnt", "--", "chroot", *who, str(self._root),
            "sh", "-c", 'cd "$0" && exec "$@"', os.getcwd() if os.getcwd().startswith(("/tmp", str(ROOT))) else "/tmp",
        ]  # fmt: skip

    def _write_commands(self) -> None:
        self.bin.mkdir()
        for name in COMMANDS:
            command = self.bin / name
            # What a script of ours has put down, the account of the jobs shall read and write.
            share = "chmod -R a+rwX . ..\n" if name.startswith("condor_submit") else ""
            command.write_text(
                "#!/bin/sh\n"
                f'export CONDOR_CONFIG="{self.home}/condor_config" HOME="{self.work}" PATH=/usr/bin:/bin:/usr/sbin:/sbin\n'
                f'{share}exec {shlex.join(self._enter()[:-1])} "$PWD" {name} "$@"\n'
            )
            command.chmod(0o755)


def installed() -> Path:
    """Return the folder in which HTCondor is; one process installs it while others wait."""
    if os.geteuid() != 0:
        pytest.skip("only root can run a pool of its own here")
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "poms" / "servers"
    if " " in str(home):  # debootstrap takes no blank
        home = Path("/var/tmp/poms-servers")
    home.mkdir(parents=True, exist_ok=True)
    root = home / f"htcondor-{RELEASE}"
    with (home / "htcondor.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (root / "ready").exists():
            if shutil.which("apt-get") is None:
                pytest.skip("no HTCondor here, and no apt-get to install it with")
            subprocess.run(["rm", "-rf", "--one-file-system", str(root)], check=True)
            _install(root)
            (root / "ready").touch()
    return root


def _install(root: Path) -> None:
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}

    def do(*argv: str) -> None:
        done = subprocess.run(argv, env=quiet, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{argv}: {(done.stdout + done.stderr)[-3000:]}"

    if shutil.which("debootstrap") is None:
        do("apt-get", "update", "-qq")
        do("apt-get", "install", "-y", "-qq", "--no-install-recommends", "debootstrap")
    do("debootstrap", "--variant=minbase", RELEASE, str(root), _mirror())
    (root / "usr/sbin/policy-rc.d").write_text("#!/bin/sh\nexit 101\n")  # no package may start a daemon
    (root / "usr/sbin/policy-rc.d").chmod(0o755)
    left_out = "".join(f"path-exclude=/usr/share/{name}/*\n" for name in ("doc", "man", "locale"))
    (root / "etc/dpkg/dpkg.cfg.d/slim").write_text(left_out)
    do("chroot", str(root), "apt-get", "update", "-qq")
    do("chroot", str(root), "apt-get", "install", "-y", "-qq", "--no-install-recommends", "condor")
    do("chroot", str(root), "useradd", "-u", str(ACCOUNT_ID), "-m", ACCOUNT)
    (root / "root").chmod(0o755)  # Python may be below it


def _mirror() -> str:
    """Return the mirror that this machine's apt uses."""
    for name in ("/etc/apt/sources.list.d/debian.sources", "/etc/apt/sources.list"):
        with suppress(FileNotFoundError):
            for line in Path(name).read_text().splitlines():
                words = line.split()
                if words[:1] == ["URIs:"]:
                    return words[1]
                if words[:1] == ["deb"]:
                    return next(word for word in words[1:] if "://" in word)
    raise AssertionError("apt names no mirror here")


@contextmanager
def running(*, slots: int = 16, slot_mb: int = 2048, schedds: int = 1, more: str = "") -> Iterator[Pool]:
    """Run a pool until the block ends; `more` goes to the end of its configuration."""
    root = installed()
    home = Path(tempfile.mkdtemp(prefix="poms-htcondor-", dir="/tmp"))
    home.chmod(0o755)
    pool = Pool(home, root, free_port())
    try:
        _prepare(home, root)
        values = {"home": home, "domain": DOMAIN, "port": pool.port, "slots": slots, "slot_mb": slot_mb,
                  "memory_mb": slots * slot_mb}  # fmt: skip
        if schedds == 2:
            pool.schedds.append(f"second@{DOMAIN}")
            more = SECOND_SCHEDD + more
        pool.start((CONFIGURATION + more).format(**values))
        yield pool
    finally:
        pool.stop()
        subprocess.run(["rm", "-rf", "--one-file-system", str(home)], check=True)


def _prepare(home: Path, root: Path) -> None:
    (account,) = [
        line.split(":") for line in (root / "etc/passwd").read_text().splitlines() if line.startswith("condor:")
    ]
    condor = (int(account[2]), int(account[3]))
    for name in ("log", "spool", "spool2", "execute", "lock", "run", "passwords.d", "tokens.d"):
        (home / name).mkdir(mode=0o755)
        os.chown(home / name, *condor)
    (home / "lock").chmod(0o1777)
    (home / "work").mkdir()
    os.chown(home / "work", ACCOUNT_ID, ACCOUNT_ID)
    (home / "work").chmod(0o777)
    (home / "passwords.d").chmod(0o700)
    os.chown(home / "passwords.d", 0, 0)
    key = home / "passwords.d" / "POOL"
    key.write_bytes(secrets.token_bytes(64))
    key.chmod(0o600)
