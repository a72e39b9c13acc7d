"""A real Slurm on loopback: its controller, one node of many slots, and where wanted its accounting with a MariaDB.

Installed by apt if it is missing, by one process at a time. Everything lies in a folder below /tmp with a short path
(sockets) and is ended by the ids of the processes that were started; a second Slurm can run beside it.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.ports import free_port

PACKAGES = ("slurmctld", "slurmd", "slurm-client", "munge", "slurmdbd", "mariadb-server")
PROGRAMS = ("slurmctld", "slurmd", "sbatch", "munged", "slurmdbd", "mariadbd", "mariadb-install-db")
PATIENCE = 120.0
# How long the permission to begin a job holds: on a machine that takes longer the job is held. As long waits what is to
# begin anew.
CREDENTIAL_S = 20
CLUSTER = "pomstest"
NODES = ("here", "there")

CONTROLLER = """
ClusterName={cluster}
SlurmctldHost=localhost(127.0.0.1)
SlurmctldPort={port}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={home}/munge.sock,cred_expire={cred_s}
CryptoType=crypto/munge
CommunicationParameters=DisableIPv6,NoInAddrAny,NoCtldInAddrAny
StateSaveLocation={home}/state
SlurmdSpoolDir={home}/%n
SlurmctldPidFile={home}/slurmctld.pid
SlurmdPidFile={home}/%n.pid
SlurmctldLogFile={home}/slurmctld.log
SlurmdLogFile={home}/%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SchedulerParameters=sched_min_interval=100000,bf_interval=1,batch_sched_delay=0
SlurmdParameters=config_overrides
ReturnToService=2
MinJobAge={min_job_age}
KillWait=5
JobRequeue=1
DefMemPerCPU=50
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=1
PreemptType=preempt/none
GresTypes=gpu
NodeName=here NodeHostname=localhost NodeAddr=127.0.0.1 Port={node_port} CPUs={slots} RealMemory=16000 TmpDisk=10000 Gres=gpu:2 Feature=fnal
NodeName=there NodeHostname=localhost NodeAddr=127.0.0.1 Port={other_port} CPUs=4 RealMemory=8000 TmpDisk=10000 Feature=bnl
PartitionName=farm Nodes=here,there Default=YES MaxTime=INFINITE State=UP
PartitionName=near Nodes=here MaxTime=INFINITE State=UP
PartitionName=far Nodes=there MaxTime=INFINITE State=UP
"""
WITH_ACCOUNTING = """
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=localhost
AccountingStoragePort={dbd_port}
AccountingStoragePass={home}/munge.sock
AccountingStoreFlags=job_comment
"""
DAEMON = """
AuthType=auth/munge
AuthInfo=socket={home}/munge.sock,cred_expire={cred_s}
DbdHost=localhost
DbdAddr=127.0.0.1
DbdPort={dbd_port}
SlurmUser=root
LogFile={home}/slurmdbd.log
PidFile={home}/slurmdbd.pid
StorageType=accounting_storage/mysql
StorageHost=localhost
StorageUser=root
StorageLoc=slurm
"""


class Slurm:
    """The servers of one Slurm, and what a test does with them."""

    def __init__(self, home: Path, *, accounting: bool, slots: int, min_job_age: int) -> None:
        self.home = home
        self.accounting = accounting
        self.children: dict[str, subprocess.Popen[bytes]] = {}
        facts = {
            "home": home, "cluster": CLUSTER, "port": free_port(), "node_port": free_port(), "other_port": free_port(),
            "dbd_port": free_port(), "slots": slots, "min_job_age": min_job_age, "cred_s": CREDENTIAL_S,
        }  # fmt: skip
        text = CONTROLLER + (WITH_ACCOUNTING if accounting else "AccountingStorageType=accounting_storage/none\n")
        self.configuration = home / "slurm.conf"
        self.configuration.write_text(text.format(**facts))
        (home / "gres.conf").write_text(
            "".join(f"NodeName=here Name=gpu File={file}\n" for file in ("/dev/null", "/dev/zero"))
        )
        (home / "plugstack.conf").write_text("")
        (home / "slurmdbd.conf").write_text(DAEMON.format(**facts))
        (home / "slurmdbd.conf").chmod(0o600)
        self.environment = {**os.environ, "SLURM_CONF": str(self.configuration), "LC_ALL": "C.UTF-8"}

    # --- its processes --------------------------------------------------------------------------------------

    def start(self, name: str, *argv: str, env: Mapping[str, str] | None = None) -> None:
        """Start one of its programs in a session of its own, what it prints in a file of its name."""
        with (self.home / f"{name}.out").open("ab") as out:
            self.children[name] = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=env or self.environment,
                start_new_session=True, cwd=self.home,
            )  # fmt: skip

    def stop(self, name: str, by: int = signal.SIGTERM) -> None:
        """End one of its programs by its id; one that does not listen is killed."""
        child = self.children.pop(name)
        child.send_signal(by)
        try:
            child.wait(20)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()

    def start_controller(self) -> None:
        """Start the controller and wait until it answers."""
        self.start("slurmctld", _program("slurmctld"), "-D")
        self.until(lambda: self.tried("scontrol", "ping").returncode == 0, "slurmctld")

    def stop_controller(self, by: int = signal.SIGTERM) -> None:
        """End the controller; jobs run on without it."""
        self.stop("slurmctld", by)

    def start_accounting(self) -> None:
        """Start the daemon of the accounting; the controller sends it what it kept for it."""
        self.start(
            "slurmdbd", _program("slurmdbd"), "-D", env={**self.environment, "MYSQL_UNIX_PORT": f"{self.home}/db/sock"}
        )

    def stop_accounting(self) -> None:
        """End the daemon of the accounting."""
        self.stop("slurmdbd")

    def start_all(self) -> None:
        """Start everything and wait until the node takes jobs."""
        (self.home / "munge.key").write_bytes(os.urandom(128))
        (self.home / "munge.key").chmod(0o400)
        self.start(
            "munged", _program("munged"), "-F", f"--key-file={self.home}/munge.key", f"--socket={self.home}/munge.sock",
            f"--pid-file={self.home}/munged.pid", f"--log-file={self.home}/munged.log", f"--seed-file={self.home}/munged.seed",
        )  # fmt: skip
        if self.accounting:
            self._start_database()
            self.start_accounting()
            self.until(lambda: self.tried("sacctmgr", "-i", "add", "cluster", CLUSTER).returncode in (0, 1)
                       and CLUSTER in self.tried("sacctmgr", "-nP", "list", "cluster", "format=cluster").stdout, "slurmdbd")  # fmt: skip
        self.start_controller()
        for node in NODES:
            self.start(node, _program("slurmd"), "-N", node, "-D")
        self.until(
            lambda: self.tried("sinfo", "-hN", "-p", "farm", "-o", "%T").stdout.split() == ["idle"] * len(NODES),
            "slurmd",
        )

    def _start_database(self) -> None:
        database = self.home / "db"
        database.mkdir()
        shutil.chown(database, "mysql", "mysql")
        subprocess.run(
            [_program("mariadb-install-db"), "--no-defaults", f"--datadir={database}", "--user=mysql", "--skip-test-db",
             "--auth-root-authentication-method=normal"],
            check=True, capture_output=True,
        )  # fmt: skip
        self.start(
            "mariadbd", _program("mariadbd"), "--no-defaults", f"--datadir={database}", "--user=mysql", "--skip-networking",
            f"--socket={self.home}/db/sock", f"--pid-file={database}/pid", "--innodb-flush-log-at-trx-commit=0",
            "--innodb-buffer-pool-size=64M", "--innodb-log-file-size=16M",
        )  # fmt: skip
        self.until((database / "sock").exists, "mariadbd")

    def stop_all(self) -> None:
        """End what still runs, jobs first."""
        if "slurmctld" in self.children:
            self.tried("scancel", "--full", "--signal=KILL", "--user=root")
            self.tried("scancel", "--user=root")
        for name in ("slurmctld", *NODES, "slurmdbd", "mariadbd", "munged"):
            if name in self.children:
                self.stop(name)

    # --- what a test does -----------------------------------------------------------------------------------

    def until(self, is_so: Callable[[], Any], what: str) -> Any:
        """Wait until something holds, and return it; the deadline only ends a hang."""
        deadline = time.monotonic() + PATIENCE
        while not (found := is_so()):
            dead = [name for name, child in self.children.items() if child.poll() is not None]
            assert not dead and time.monotonic() < deadline, f"{what}: {dead} ended\n{self.logs()}"
            time.sleep(0.1)
        return found

    def tried(
        self, *argv: str, cwd: Path | None = None, env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run one of its commands, however it ends."""
        return subprocess.run(
            argv, env={**self.environment, **(env or {})}, cwd=cwd or self.home, capture_output=True, text=True,
            timeout=PATIENCE, check=False,
        )  # fmt: skip

    def run(self, *argv: str, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> str:
        """Run one of its commands, which must do, and return what it prints."""
        done = self.tried(*argv, cwd=cwd, env=env)
        assert done.returncode == 0, f"{argv}: {done.stdout}{done.stderr}"
        return done.stdout

    def submit(self, *options: str, script: str = "true", env: Mapping[str, str] | None = None) -> str:
        """Submit a script and return the id of the job or array."""
        path = self.home / f"script-{os.urandom(4).hex()}.sh"
        path.write_text(f"#!/bin/sh\n{script}\n")
        return self.run("sbatch", "--parsable", *options, str(path), env=env).strip().split(";")[0]

    def accounted(self, *ids: str) -> list[dict[str, Any]]:
        """Return what the accounting has of these jobs."""
        found = json.loads(self.run("sacct", "--json", "-j", ",".join(ids)))
        return list(found["jobs"])

    def logs(self) -> str:
        """Return the ends of what its servers wrote, for who looks why a test failed."""
        return "\n".join(
            f"--- {path.name}\n{path.read_text(errors='replace')[-4000:]}" for path in self.home.glob("*.log")
        )


def _program(name: str) -> str:
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    assert found, name
    return found


def install() -> None:
    """Install what is missing, one process at a time; skip the test where only root could."""
    with Path(tempfile.gettempdir(), "poms-slurm.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
        if all(shutil.which(name, path=path) for name in PROGRAMS) and os.geteuid() == 0:
            return
        if os.geteuid() != 0 or not shutil.which("apt-get"):
            pytest.skip(f"no Slurm here, and only root can install and run it: apt-get install {' '.join(PACKAGES)}")
        words = "-qq -o DPkg::Lock::Timeout=600"
        text = f"apt-get update {words} && apt-get install -y {words} --no-install-recommends {' '.join(PACKAGES)}"
        subprocess.run(["sh", "-c", text], check=True, env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"})


@contextmanager
def running(*, accounting: bool = True, slots: int = 16, min_job_age: int = 300) -> Iterator[Slurm]:
    """Run a Slurm until the block ends."""
    install()
    home = Path(tempfile.mkdtemp(prefix="poms-slurm-", dir="/tmp"))
    home.chmod(0o755)
    for name in ("state", *NODES):
        (home / name).mkdir(mode=0o755)
    server = Slurm(home, accounting=accounting, slots=slots, min_job_age=min_job_age)
    try:
        server.start_all()
        yield server
    finally:
        server.stop_all()
        shutil.rmtree(home, ignore_errors=True)
