"""A real Kerberos KDC on loopback, with one principal in a keytab; installed if it is missing."""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.ports import free_port

REALM, PRINCIPAL = "POMS.TEST", "demo/poms.example.org"
PROGRAMS = ("krb5kdc", "kdb5_util", "kadmin.local", "kinit", "klist")
CONFIGURATION = """
[libdefaults]
    default_realm = {realm}
    dns_lookup_kdc = false
    rdns = false
[realms]
    {realm} = {{
        kdc = 127.0.0.1:{port}
    }}
"""
OF_KDC = """
[kdcdefaults]
    kdc_listen = 127.0.0.1:{port}
    kdc_tcp_listen = 127.0.0.1:{port}
[realms]
    {realm} = {{
        database_name = {home}/principal
        key_stash_file = {home}/stash
        max_life = 10h
    }}
"""


@dataclass
class Kdc:
    """Where its keytab is, and what the environment of its clients must say."""

    keytab: Path
    environment: dict[str, str]


def installed() -> None:
    """Install what is missing; one process does it while others wait."""
    path = f"{os.environ.get('PATH', '')}:/usr/sbin"
    with Path(tempfile.gettempdir(), "poms-kdc.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        missing = [name for name in PROGRAMS if shutil.which(name, path=path) is None]
        if missing and os.geteuid() == 0 and shutil.which("apt-get"):
            install = "apt-get update -qq && apt-get install -y -qq --no-install-recommends krb5-kdc krb5-admin-server krb5-user"
            subprocess.run(["sh", "-c", install], check=True, env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"})
            missing = [name for name in PROGRAMS if shutil.which(name, path=path) is None]
    if missing:
        pytest.skip("no KDC here, and only root can install it: apt-get install krb5-kdc krb5-admin-server krb5-user")


@contextmanager
def running(home: Path) -> Iterator[Kdc]:
    """Run a KDC until the block ends; `home` is for its files."""
    installed()
    port = free_port()
    (home / "krb5.conf").write_text(CONFIGURATION.format(realm=REALM, port=port))
    (home / "kdc.conf").write_text(OF_KDC.format(realm=REALM, port=port, home=home))
    own = {"KRB5_CONFIG": str(home / "krb5.conf"), "KRB5_KDC_PROFILE": str(home / "kdc.conf")}
    env = {**os.environ, **own, "PATH": f"{os.environ.get('PATH', '')}:/usr/sbin"}
    keytab = home / "demo.keytab"
    for command in (
        ["kdb5_util", "create", "-s", "-P", "x", "-r", REALM],
        ["kadmin.local", "-r", REALM, "addprinc", "-randkey", PRINCIPAL],
        ["kadmin.local", "-r", REALM, "ktadd", "-k", str(keytab), PRINCIPAL],
    ):
        subprocess.run(command, check=True, env=env, capture_output=True)
    server = subprocess.Popen(
        ["krb5kdc", "-n", "-r", REALM], env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + 60
        while True:
            with socket.socket() as line:
                if line.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert server.poll() is None and time.monotonic() < deadline, "the KDC did not start"
            time.sleep(0.05)
        yield Kdc(keytab, own)
    finally:
        server.terminate()
        server.wait(60)
