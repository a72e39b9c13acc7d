"""Ask a running daemon one question: for people (`ask`), for tests, and for the batch backend if it likes."""

from __future__ import annotations

import json
import os
import socket
import sys
from typing import Any


class NoDaemon(OSError):
    """No daemon serves this spool, or it gave no answer."""


def ask(spool: str | os.PathLike[str], request: dict[str, Any], timeout: float = 30.0) -> dict[str, Any]:
    """Return the answer to a request; NoDaemon if there is none, TimeoutError after `timeout` s."""
    try:
        with open(os.path.join(spool, "daemon.json"), encoding="utf-8") as file:
            address = json.load(file)["socket"]
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(timeout)
        with connection:
            connection.connect(address)
            connection.sendall(json.dumps(request).encode("ascii") + b"\n")
            parts = []
            while part := connection.recv(1 << 20):
                parts.append(part)
    except (FileNotFoundError, ConnectionError) as error:
        raise NoDaemon(f"no daemon serves {os.fspath(spool)}: {error}") from error
    try:
        answer = json.loads(b"".join(parts))
    except ValueError as error:
        raise NoDaemon(f"the daemon's answer cannot be read: {error}") from error
    if not isinstance(answer, dict):
        raise NoDaemon("the daemon's answer is not a JSON object")
    return answer


def main(arguments: list[str]) -> int:
    """Send the request on standard input and print the answer."""
    if len(arguments) != 2 or arguments[0] != "--spool":
        sys.stderr.write("usage: local_daemon ask --spool DIR < request.json\n")
        return 2
    try:
        request = json.load(sys.stdin)
        answer = ask(arguments[1], request)
    except ValueError as error:
        sys.stderr.write(f"the request is not JSON: {error}\n")
        return 2
    except OSError as error:
        sys.stderr.write(f"{error}\n")
        return 4
    sys.stdout.write(json.dumps(answer, indent=2) + "\n")
    return 2 if "error" in answer else 0
