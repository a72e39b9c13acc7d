"""Lines to a real sshd that go wrong: a proxy in front of it that forwards, and at some byte does what dead hosts do."""

from __future__ import annotations

import socket
import threading
import time
from dataclasses import dataclass


@dataclass(frozen=True)
class Fault:
    """What becomes of a line: what is said first, after how many bytes of the server's, and what happens then."""

    name: str
    says: bytes | None = None  # in place of the server, which is never called
    after: int = 0  # bytes of the server's answer that still go through
    then: str = "silent"  # silent, cut, or slow: a byte in a while


BANNER = b"SSH-2.0-OpenSSH_9.2p1\r\n"
# The eight ways of reliability T10. The handshake of OpenSSH takes some 2,500 bytes, an answer of the shim comes after.
FAULTS = (
    Fault("accepts, then silent", says=b""),
    Fault("silent after its banner", says=BANNER),
    Fault("gone at once", says=b"", then="cut"),
    Fault("no ssh", says=b"HTTP/1.1 400 Bad Request\r\n\r\n" * 50),
    Fault("silent amid the handshake", after=800),
    Fault("cut amid the handshake", after=800, then="cut"),
    Fault("silent amid the answer", after=3600),
    Fault("drips", after=1200, then="slow"),
)


class Line:
    """A port in front of a server; `fault` can be changed while it stands, None lets everything through."""

    def __init__(self, port: int, fault: Fault | None = None) -> None:
        self.behind, self.fault, self.calls = port, fault, 0
        self.taking = socket.create_server(("127.0.0.1", 0), backlog=100)
        self.port = self.taking.getsockname()[1]
        self.open: list[socket.socket] = []
        threading.Thread(target=self._take, daemon=True).start()

    def close(self) -> None:
        """Take no more calls and end those that there are."""
        for each in (self.taking, *self.open):
            each.close()

    def _take(self) -> None:
        while True:
            try:
                caller, _ = self.taking.accept()
            except OSError:  # closed
                return
            self.calls += 1
            self.open.append(caller)
            threading.Thread(target=self._serve, args=(caller, self.fault), daemon=True).start()

    def _serve(self, caller: socket.socket, fault: Fault | None) -> None:
        try:
            if fault is not None and fault.says is not None:
                caller.sendall(fault.says)
                if fault.then == "cut":
                    caller.close()
                return
            server = socket.create_connection(("127.0.0.1", self.behind))
            self.open.append(server)
            threading.Thread(target=_forward, args=(caller, server, None), daemon=True).start()
            _forward(server, caller, fault)
        except OSError:  # one of the two has gone, as they do
            caller.close()


def _forward(source: socket.socket, sink: socket.socket, fault: Fault | None) -> None:
    left = fault.after if fault else None
    try:
        while data := source.recv(65536):
            if left is not None and fault is not None and len(data) >= left:
                sink.sendall(data[:left])
                _go_wrong(fault, data[left:], sink)
                return
            left = left - len(data) if left is not None else None
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:  # the other end has gone
        sink.close()


def _go_wrong(fault: Fault, rest: bytes, sink: socket.socket) -> None:
    if fault.then == "cut":
        sink.close()
    elif fault.then == "slow":
        for number in range(len(rest)):
            sink.sendall(rest[number : number + 1])
            time.sleep(0.5)
