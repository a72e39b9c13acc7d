"""A PostgreSQL of a test's own, with an archive, which may be killed, promoted, and put back to an earlier moment."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from datetime import datetime
from pathlib import Path

from poms_site import embedded
from tests.ports import free_port

SOON_S = 120.0


class Server:
    """One address, behind which one cluster after the other serves."""

    def __init__(self, disk: Path | None = None) -> None:
        """Make a cluster, on a disk of its own if one is given; the socket's address is short all the same."""
        self.home = Path(tempfile.mkdtemp(prefix="poms-pg-", dir="/tmp"))
        made = embedded.start(self.home / "data", durable=False)
        self.programs = Path(os.readlink(f"/proc/{made.pid}/exe")).parent
        self.cluster = made.data / "cluster"
        made.stop()
        owner = self.cluster.stat()
        if disk is not None:
            os.chown(disk, owner.st_uid, owner.st_gid)
            subprocess.run(["cp", "-a", str(self.cluster), str(disk / "cluster")], check=True)
            shutil.rmtree(self.cluster)
            self.cluster = disk / "cluster"
        self.who = {"user": owner.st_uid, "group": owner.st_gid, "extra_groups": []} if os.geteuid() == 0 else {}
        self.owner = (owner.st_uid, owner.st_gid)
        with (self.cluster / "pg_hba.conf").open("a") as rules:
            rules.write("local replication all trust\n")
        self.archive = self.home / "archive"
        self.archive.mkdir()
        for folder in (self.home, self.archive):
            os.chown(folder, *self.owner)
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None
        self.beside: list[subprocess.Popen[bytes]] = []
        self.stray = made.data

    @property
    def url(self) -> str:
        """Return the address for Django; it stays the same whatever serves behind it."""
        return f"postgresql://{embedded.USER}@:{self.port}/{str(self.home).replace('/', '%2F')}/{embedded.DATABASE}"

    def start(self, **settings: str) -> None:
        """Serve the cluster at the address, and wait until it takes writes."""
        self.process = self._serve(self.cluster, self.port, settings)
        self._await("SELECT NOT pg_is_in_recovery()", self.port)

    def cut(self, seconds: float) -> None:
        """Let the server crash, and start it again after a while."""
        self.crash()
        time.sleep(seconds)
        self.start()

    def crash(self) -> None:
        """End the server at once, as when its machine fails."""
        assert self.process is not None
        self.process.send_signal(signal.SIGQUIT)
        self.process.wait(SOON_S)

    def promote(self) -> None:
        """Have a standby follow, fail, and the standby take its place at the address; what was committed is there."""
        standby, port = self.backup("standby", "--write-recovery-conf"), free_port()
        follower = self._serve(standby, port, {})
        self.beside.append(follower)
        self.ask("ALTER SYSTEM SET synchronous_standby_names = '*'")
        self.ask("SELECT pg_reload_conf()")
        self._await("SELECT count(*) > 0 FROM pg_stat_replication WHERE sync_state = 'sync'", self.port)
        self.crash()
        follower.send_signal(signal.SIGINT)
        follower.wait(SOON_S)
        self.beside.remove(follower)
        self.cluster = standby
        self.process = self._serve(standby, self.port, {})
        self._await("SELECT pg_is_in_recovery()", self.port)
        self._run("pg_ctl", "promote", "-D", str(standby))
        self._await("SELECT NOT pg_is_in_recovery()", self.port)
        # It waits for nobody to follow it.
        self.ask("ALTER SYSTEM RESET synchronous_standby_names")
        self.ask("SELECT pg_reload_conf()")

    def has_ended(self) -> bool:
        """Tell whether the server has given up by itself."""
        return self.process is None or self.process.poll() is not None

    def backup(self, name: str, *words: str) -> Path:
        """Take a base backup; return its folder."""
        folder = self.home / name
        self._run("pg_basebackup", "-D", str(folder), *self._at(self.port), "-X", "stream", "-c", "fast", *words)
        return folder

    def serve_beside(self, cluster: Path, **settings: str) -> int:
        """Serve another cluster, such as a backup, as long as this server; return its port once it takes writes."""
        port = free_port()
        self.beside.append(self._serve(cluster, port, settings))
        self._await("SELECT NOT pg_is_in_recovery()", port)
        return port

    def put_back(self, backup: Path, to: datetime) -> None:
        """Crash, and serve the backup with the archive up to a moment: what came after is forgotten."""
        self.ask("SELECT pg_switch_wal()")
        self._await("SELECT last_archived_wal IS NOT NULL AND last_failed_wal IS NULL FROM pg_stat_archiver", self.port)
        self.crash()
        # What the archiver had not come to is on the old disk, whose log is whole.
        for segment in (self.cluster / "pg_wal").iterdir():
            kept = self.archive / segment.name
            if segment.is_file() and not kept.exists():
                shutil.copyfile(segment, kept)
                os.chown(kept, *self.owner)
        (backup / "recovery.signal").touch()
        os.chown(backup / "recovery.signal", *self.owner)
        self.cluster = backup
        self.start(restore_command=f'cp "{self.archive}/%f" "%p"', recovery_target_time=to.isoformat(sep=" "),
                   recovery_target_action="promote")  # fmt: skip

    def ask(self, sql: str, port: int = 0) -> str:
        """Return what a statement answers, as text."""
        return self._run("psql", "-XAt", *self._at(port or self.port), "-c", sql, embedded.DATABASE).strip()

    def remove(self) -> None:
        """End everything and leave no file."""
        for process in (self.process, *self.beside):
            if process is not None and process.poll() is None:
                process.send_signal(signal.SIGQUIT)
                process.wait(SOON_S)
        for folder in (self.home, self.stray):
            shutil.rmtree(folder, ignore_errors=True)

    def _at(self, port: int) -> list[str]:
        return ["-h", str(self.home), "-p", str(port), "-U", embedded.USER]

    def _serve(self, cluster: Path, port: int, settings: dict[str, str]) -> subprocess.Popen[bytes]:
        # By rename: a copy that a crash cut off must not be taken for a segment.
        kept = f"{self.archive}/%f"
        said = {
            "listen_addresses": "", "port": str(port), "unix_socket_directories": str(self.home), "fsync": "off",
            "full_page_writes": "off", "max_connections": "60", "wal_level": "replica", "archive_mode": "on",
            "archive_command": f'test -f "{kept}" || (cp "%p" "{kept}.new" && mv "{kept}.new" "{kept}")', **settings,
        }  # fmt: skip
        words = [word for name, value in said.items() for word in ("-c", f"{name}={value}")]
        with (self.home / f"{cluster.name}.log").open("ab") as log:
            return subprocess.Popen(
                [str(self.programs / "postgres"), "-D", str(cluster), *words], stdout=log, stderr=log, cwd="/", **self.who
            )  # fmt: skip

    def _run(self, program: str, *words: str) -> str:
        done = subprocess.run(
            [str(self.programs / program), *words], capture_output=True, text=True, check=False, cwd="/", **self.who
        )  # fmt: skip
        assert done.returncode == 0, f"{program} {words}: {done.stdout}{done.stderr}"
        return done.stdout

    def _await(self, sql: str, port: int) -> None:
        deadline = time.monotonic() + SOON_S
        while True:
            try:
                if self.ask(sql, port) == "t":
                    return
                why = "it does not come about"
            except AssertionError as error:
                why = str(error)
            assert time.monotonic() < deadline and not self.has_ended(), f"{sql}: {why}"
            time.sleep(0.1)
