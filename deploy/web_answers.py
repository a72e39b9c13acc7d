"""Ask the web process at /healthz, as the proxy would: ends with 0 when it answers. For health checks.

python deploy/web_answers.py unix:/run/poms/web.sock
python deploy/web_answers.py 127.0.0.1:8000
"""

from __future__ import annotations

import http.client
import socket
import sys

SECONDS = 5.0


def status_of(where: str) -> int:
    """Return the status that the process at an address or a unix socket answers with."""
    line = http.client.HTTPConnection("localhost", timeout=SECONDS)
    if where.startswith("unix:"):
        line.sock = socket.socket(socket.AF_UNIX)
        line.sock.settimeout(SECONDS)
        line.sock.connect(where.removeprefix("unix:"))
    else:
        line.sock = socket.create_connection(where.rsplit(":", 1), SECONDS)  # type: ignore[arg-type]  # port as text
    try:
        line.request("GET", "/healthz")
        return line.getresponse().status
    finally:
        line.close()


if __name__ == "__main__":
    try:
        answer = status_of(sys.argv[1])
    except OSError as error:
        sys.exit(f"the web process does not answer: {error}")
    if answer >= 400:
        sys.exit(f"the web process answers with status {answer}")
