"""The log of a job on its page: the tail, a piece from anywhere, or the lines in which a text occurs."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from django.http import HttpRequest

from core.errors import Problem, Refused
from core.redaction import AROUND, masked, masked_piece
from integrations import registry
from integrations.errors import OutsideError
from poms_site.overview.words import printable
from submissions.models import JobFacts, Submission

PIECE = 64 * 1024
SEARCHED = 16 * 1024 * 1024
MOST_HITS = 200
STREAMS = (("out", "standard output"), ("err", "standard error"))
_COLOURS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@dataclass(frozen=True)
class Wanted:
    """What of a log is asked for."""

    stream: str = "out"
    offset: int | None = None  # from which byte; None: the tail
    find: str = ""


@dataclass(frozen=True)
class Hit:
    """One line in which the text occurs."""

    number: int
    offset: int
    before: str
    match: str
    after: str


@dataclass
class Log:
    """What is shown of a log; sizes in bytes."""

    text: str = ""
    total: int = 0
    begin: int = 0
    end: int = 0
    hits: list[Hit] = field(default_factory=list)
    searched: int = 0
    trouble: str = ""

    @property
    def earlier(self) -> int | None:
        """Return where the piece before this one begins, or None at the beginning."""
        return max(0, self.begin - PIECE) if self.begin > 0 else None

    @property
    def later(self) -> int | None:
        """Return where the next piece begins, or None at the end."""
        return self.end if self.end < self.total else None


def wanted(request: HttpRequest) -> Wanted:
    """Return what the address asks for of the log."""
    stream = request.GET.get("stream", "out")
    if stream not in dict(STREAMS):
        raise Refused("The log cannot be read.", [Problem("stream", f"unknown: {stream[:40]}", "out or err")])
    offset = request.GET.get("offset", "")
    if offset and not re.fullmatch(r"[0-9]{1,15}", offset):
        raise Refused("The log cannot be read.", [Problem("offset", f"no number of bytes: {offset[:40]}")])
    return Wanted(stream, int(offset) if offset else None, request.GET.get("find", "").strip()[:200])


def read(job: JobFacts, asked: Wanted) -> Log:
    """Return the tail, piece or hits of a job's log; trouble is a sentence in it, for the rest of the page stands."""
    try:
        return _search(job, asked) if asked.find else _piece(job, asked)
    except OutsideError as error:
        return Log(trouble=str(error))


def of_script(submission: Submission) -> Log:
    """Return the end of what the launch script of a submission printed; what was passed without one printed nothing."""
    if not submission.launcher or (submission.launched_at is None and not submission.attempt):
        return Log()
    try:
        launcher = registry.launcher(submission.place)

        def fetch(offset: int, length: int) -> dict[str, Any]:
            return launcher.output(str(submission.uuid), "tail", offset, length)

        answer = masked_piece(fetch, 0, PIECE)
        total = int(answer["total"])
        if begin := max(0, total - PIECE):
            answer = masked_piece(fetch, begin, PIECE)
    except OutsideError as error:
        return Log(trouble=str(error))
    return Log(clean(answer["text"]), total, begin, total)


def _fetch(job: JobFacts, stream: str, offset: int, length: int) -> dict[str, Any]:
    return registry.batch(job.system.name).log(job.external_id, stream, offset, length)


def _piece(job: JobFacts, asked: Wanted) -> Log:
    total = int(_fetch(job, asked.stream, 0, 0)["total"])
    begin = max(0, total - PIECE) if asked.offset is None else min(asked.offset, total)
    answer = masked_piece(lambda at, most: _fetch(job, asked.stream, at, most), begin, PIECE)
    text = clean(answer["text"])
    if begin and asked.offset is None and "\n" in text:
        text = text.partition("\n")[2]  # the tail begins with a whole line
    return Log(text, int(answer["total"]), begin, min(begin + PIECE, int(answer["total"])))


def _search(job: JobFacts, asked: Wanted) -> Log:
    """Read the log from its beginning, at most SEARCHED bytes, and keep the lines that have the text."""
    needle = re.compile(re.escape(asked.find), re.IGNORECASE)
    found = Log()
    position, number, rest, before = 0, 0, "", ""
    while position < SEARCHED:
        answer = _fetch(job, asked.stream, position, PIECE)
        found.total = int(answer["total"])
        text, octets = _whole(answer["text"], min(PIECE, found.total - position))
        if not text:
            break
        # A byte that is no text came as a replacement character, whose own bytes were three.
        spare = 2 if len(text.encode()) > octets else 0
        begin = position - _octets(rest, spare)
        position += octets
        *lines, rest = (rest + text).split("\n")
        if position >= min(found.total, SEARCHED):
            lines, rest = [*lines, rest], ""
        raw = "".join(f"{line}\n" for line in lines)
        covered = masked(before + raw)[len(before) :].split("\n")[: len(lines)]
        before = f"{before}{raw}"[-AROUND:]
        for line, safe in zip(lines, covered, strict=True):
            number += 1
            end = begin + _octets(line, spare) + 1
            if hit := needle.search(shown := clean(safe)):
                found.hits.append(Hit(number, begin, shown[: hit.start()][-300:], hit[0], shown[hit.end() :][:300]))
                if len(found.hits) == MOST_HITS:
                    found.searched = min(end, found.total)
                    return found
            begin = end
    found.searched = min(position, found.total)
    return found


def _whole(text: str, octets: int) -> tuple[str, int]:
    """Return a piece and its bytes, without a letter at its end of which only a part was read: it is read again."""
    whole = text if text.endswith("\n") else text.rstrip("\ufffd")
    if whole and "\ufffd" not in whole:
        return whole, len(whole.encode())
    return text, octets


def _octets(text: str, spare: int) -> int:
    return len(text.encode()) - spare * text.count("\ufffd")


def clean(text: str) -> str:
    """Return text of a log without colours, and with what could hide something made visible."""
    return printable(_COLOURS.sub("", text.replace("\r\n", "\n")))
