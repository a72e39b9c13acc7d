"""What `systemctl` does with our units, on a machine where no systemd runs: their own command lines, accounts, settings."""

from __future__ import annotations

import configparser
import shlex
import signal
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from tests.servers.machine import Machine

PATIENCE = 160.0  # the longest TimeoutStopSec


class Units:
    """The services of a machine, by name; `plain` are those of other packages, with what starts them."""

    def __init__(self, machine: Machine, plain: Mapping[str, list[str]]) -> None:
        """Nothing runs yet."""
        self.machine = machine
        self.plain = plain
        self.running: dict[str, subprocess.Popen[bytes]] = {}

    def control(self, line: str) -> None:
        """Do what a line `systemctl …` asks for."""
        verb, *names = [word for word in shlex.split(line)[1:] if not word.startswith("--")]
        wanted = [member for name in names for member in self._members(name)]
        if verb == "daemon-reload":
            return
        assert verb in ("enable", "restart"), line
        if verb == "restart":
            for name in wanted:
                self.stop(name)
        for name in dict.fromkeys(wanted):
            if name not in self.running:
                self.start(name)

    def start(self, name: str) -> None:
        """Start a service as its unit says."""
        with self.log(name).open("ab") as log:
            if name in self.plain:
                command, environment = [*self.machine.enter(), *self.plain[name]], dict(self.machine.environment)
            else:
                command, environment = self._command(name)
            self.running[name] = subprocess.Popen(
                command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )  # fmt: skip

    def stop(self, name: str) -> None:
        """Ask a service to end, and wait until it has."""
        process = self.running.pop(name, None)
        if process is None:
            return
        process.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(PATIENCE)
        if process.poll() is None:
            process.kill()
            process.wait()

    def stop_all(self) -> None:
        """End all services, all at the same time."""
        for process in self.running.values():
            process.send_signal(signal.SIGTERM)
        for name in list(self.running):
            self.stop(name)

    def log(self, name: str) -> Path:
        """Return the file that a service writes to."""
        return self.machine.home / f"{name}.log"

    def ended(self) -> dict[str, str]:
        """Return the last words of services that have ended by themselves."""
        return {name: self.log(name).read_text()[-3000:] for name, process in self.running.items()
                if process.poll() is not None}  # fmt: skip

    def await_file(self, path: str, service: str) -> None:
        """Wait until a service has made a file, such as its socket."""
        deadline = time.monotonic() + 60
        while not self.machine.place(path).exists():
            assert not self.ended() and time.monotonic() < deadline, self.log(service).read_text()[-3000:]
            time.sleep(0.1)

    def _members(self, name: str) -> list[str]:
        if not name.endswith(".target"):
            return [name]
        wants = self._unit(name)["Unit"]["Wants"]
        return [word.removesuffix(".service") for word in wants.split()]

    def _unit(self, name: str) -> configparser.ConfigParser:
        family, at, _ = name.partition("@")
        file = name if name.endswith(".target") else f"{family}{at}.service"
        read = configparser.ConfigParser(strict=False, interpolation=None, delimiters="=")
        read.optionxform = str  # type: ignore[assignment, method-assign]
        read.read_string(self.machine.place(f"/etc/systemd/system/{file}").read_text())
        return read

    def _command(self, name: str) -> tuple[list[str], dict[str, str]]:
        service = self._unit(name)["Service"]
        account, folder = service["User"], service["WorkingDirectory"]
        if run := service.get("RuntimeDirectory"):
            mode = service["RuntimeDirectoryMode"]
            self.machine.type(f"install -d -m {mode} -o {account} -g {service['Group']} /run/{run}")
        passwd = self.machine.place("/etc/passwd").read_text().splitlines()
        (home,) = [line.split(":")[5] for line in passwd if line.startswith(f"{account}:")]
        environment = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin", "HOME": home, "USER": account,
                       "LOGNAME": account, "LANG": "C.UTF-8"}  # fmt: skip
        for line in self.machine.place(service["EnvironmentFile"]).read_text().splitlines():
            if line.strip() and not line.startswith("#"):
                key, _, value = line.partition("=")
                environment[key] = "".join(shlex.split(value))
        masked = ["sh", "-c", f'umask {service["UMask"]} && exec "$@"', "sh", *shlex.split(service["ExecStart"])]
        return [*self.machine.enter(account, folder), *masked], environment
