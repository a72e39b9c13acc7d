"""Ask credentials how long they live, where they lie, and run the command that renews one.

One file without dependencies, for Python 3.6 and later: POMS sends its text to a launch host and has it run there. It
reads one JSON document and answers one. What it answers of a file is when it ends, never what is in it: the claims of
a token that are times, certificates without their key, the times of tickets.
"""

import base64
import binascii
import errno
import json
import os
import re
import signal
import stat
import struct
import subprocess
import sys
import tempfile

LARGEST = 1 << 20
MOST_SAID = 4000
# Said by the system of a file that is not there, or that this account may not read: both are answers.
NOT_THERE = (errno.ENOENT, errno.ENOTDIR)
NOT_READABLE = (errno.EACCES, errno.EPERM, errno.ELOOP)
CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----\s*[A-Za-z0-9+/=\s]+?-----END CERTIFICATE-----")


class Unusable(Exception):
    """It is not there, or is no such credential."""


def lives(items: "list[dict]") -> "list[dict]":
    """Return what is found of each file: its times, `unusable` with why, or `error` where nobody can say now."""
    return [life(item["path"], item["reads"]) for item in items]


def life(path: str, reads: str) -> dict:
    """Return what is found of one file."""
    readers = {"token": token, "certificates": certificates, "tickets": tickets}
    try:
        return readers[reads](contents(path))
    except Unusable as reason:
        return {"unusable": str(reason)}
    except OSError as error:
        if error.errno in NOT_THERE:
            return {"unusable": "there is no such file"}
        if error.errno in NOT_READABLE:
            return {"unusable": "its file cannot be read: %s" % error.strerror}
        return {"error": "its file cannot be looked at: %s" % error.strerror}


def contents(path: str) -> bytes:
    """Return what is in a file; a pipe or device, which could make us wait, is none."""
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise Unusable("it is no file")
    with open(path, "rb") as file:
        data = file.read(LARGEST)
    if not data.strip():
        raise Unusable("its file is empty")
    return data


def token(data: bytes) -> dict:
    """Return the times among a token's claims."""
    parts = data.strip().split(b".")
    try:
        if len(parts) != 3:
            raise ValueError
        padded = parts[1] + b"=" * (-len(parts[1]) % 4)
        claims = json.loads(base64.urlsafe_b64decode(padded).decode("utf-8"))
        return {"claims": {name: claims[name] for name in ("iat", "nbf", "exp") if name in claims}}
    except (ValueError, binascii.Error, TypeError):
        raise Unusable("it is no token") from None


def certificates(data: bytes) -> dict:
    """Return the certificates of a file, without the key that stands between them."""
    found = [block.decode("ascii") for block in CERTIFICATE.findall(data)]
    if not found:
        raise Unusable("there is no certificate in it")
    return {"certificates": found}


class Cache:
    """Reads a cache of Kerberos, version 3 or 4, from its beginning to its end."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 2
        if data[:2] == b"\x05\x04":
            self.skip(self.number(">H"))
        elif data[:2] != b"\x05\x03":
            raise Unusable("it is no cache of tickets")
        self.repeated_type = data[1:2] == b"\x03"

    def take(self, length: int) -> bytes:
        """Return the next bytes."""
        piece = self.data[self.at : self.at + length]
        if len(piece) != length:
            raise Unusable("its cache of tickets is cut off")
        self.at += length
        return piece

    def skip(self, length: int) -> None:
        """Leave out bytes: what is in them is nobody's business."""
        self.take(length)

    def number(self, form: str) -> int:
        """Return the next number."""
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def block(self) -> bytes:
        """Return bytes after their number."""
        return self.take(self.number(">I"))

    def principal(self) -> "tuple[str, str]":
        """Return a name and its realm."""
        self.skip(4)
        count = self.number(">I")
        realm = self.block().decode("utf-8", "replace")
        words = [self.block().decode("utf-8", "replace") for _ in range(min(count, 100))]
        return "/".join(words), realm

    def ticket(self) -> dict:
        """Return the times of the next ticket, and for what it is."""
        _, realm = self.principal()
        server, of = self.principal()
        self.skip(4 if self.repeated_type else 2)
        self.block()  # the key
        authenticated, start, end, _ = struct.unpack(">4I", self.take(16))
        self.skip(5)
        for _ in range(2):  # addresses, and what it authorises
            for _ in range(self.number(">I")):
                self.skip(2)
                self.block()
        self.block()
        self.block()
        return {"server": "%s@%s" % (server, of), "realm": realm, "start": start or authenticated, "end": end}


def tickets(data: bytes) -> dict:
    """Return the tickets of a cache; entries that only configure it are none."""
    cache = Cache(data)
    cache.principal()
    found = []
    while cache.at < len(data):
        one = cache.ticket()
        if not one["server"].endswith("@X-CACHECONF:"):
            found.append(one)
    return {"tickets": found}


def renew(argv: "list[str]", seconds: float) -> dict:
    """Run the command that renews a credential; return how it ended, and the end of what it said."""
    with tempfile.TemporaryFile() as said:
        try:
            child = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=said, stderr=said, start_new_session=True
            )  # fmt: skip
        except OSError as error:
            return {"exit_code": 127, "said": "%s cannot be started: %s" % (argv[0], error.strerror)}
        code = None
        try:
            code = child.wait(seconds)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()
        said.seek(0, 2)
        said.seek(max(0, said.tell() - MOST_SAID))
        return {"exit_code": code, "said": said.read(MOST_SAID).decode("utf-8", "replace")}


def main() -> int:
    """Answer one document."""
    question = json.loads(sys.stdin.buffer.read().decode("utf-8"))
    answer = {}  # type: dict[str, object]
    if "items" in question:
        answer["lives"] = lives(question["items"])
    if "argv" in question:
        answer["renewal"] = renew(question["argv"], question["seconds"])
    sys.stdout.write(json.dumps(answer) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
