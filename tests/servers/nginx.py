"""A real nginx on loopback with the configuration that we ship; installed if it is missing."""

from __future__ import annotations

import os
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.ports import free_port
from tests.servers import debian

AROUND = """
user root;
daemon off;
pid {home}/nginx.pid;
error_log {home}/error.log;
events {{}}
http {{
    access_log off;
    client_body_temp_path {home}/body;
    proxy_temp_path {home}/proxy;
    fastcgi_temp_path {home}/fastcgi;
    uwsgi_temp_path {home}/uwsgi;
    scgi_temp_path {home}/scgi;
    include {home}/poms.conf;
}}
"""


@dataclass
class Nginx:
    """Where it listens: TLS, and plain."""

    tls: int
    plain: int


def installed() -> str:
    """Return where nginx is."""
    return debian.installed("nginx", "nginx-light")


@contextmanager
def running(home: Path, configuration: str, places: Mapping[str, str]) -> Iterator[Nginx]:
    """Run it with a configuration whose places (certificate, socket …) are exchanged for those of a test.

    `home` is for its files. Every place must be in the configuration: else it is not what we ship that is tested.
    """
    program, ports = installed(), Nginx(free_port(), free_port())
    for shipped, ours in {
        **places, "listen 443 ssl": f"listen 127.0.0.1:{ports.tls} ssl", "listen 80": f"listen 127.0.0.1:{ports.plain}"
    }.items():  # fmt: skip
        assert shipped in configuration, shipped
        configuration = configuration.replace(shipped, ours)
    (home / "poms.conf").write_text(configuration)
    around = AROUND if os.geteuid() == 0 else AROUND.replace("user root;\n", "")
    (home / "nginx.conf").write_text(around.format(home=home))
    with (home / "said").open("wb") as said:
        server = subprocess.Popen([program, "-e", str(home / "error.log"), "-c", str(home / "nginx.conf")], stderr=said)
    try:
        deadline = time.monotonic() + 60
        while not _answers(ports.tls):
            assert server.poll() is None and time.monotonic() < deadline, (home / "said").read_text()
            time.sleep(0.05)
        yield ports
    finally:
        server.terminate()
        server.wait(60)


def _answers(port: int) -> bool:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with socket.create_connection(("127.0.0.1", port), 5) as line, context.wrap_socket(line):
            return True
    except OSError:
        return False
