"""The log of a job on its page: the tail, a piece from anywhere, a line that is shared, or the lines with a text."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest

from core.errors import Problem, Refused
from core.redaction import AROUND, masked, masked_piece
from integrations import registry
from integrations.errors import OutsideError
from poms_site.overview.job_log import AnyJob, clean
from poms_site.overview.job_log import fetch as _fetch
from submissions.models import Submission

PIECE = 64 * 1024
SEARCHED = 16 * 1024 * 1024
MOST_HITS = 200
MOST_LINES = 1500  # of a piece of more lines than that, none can be linked to: the page would be too heavy
BEFORE, AFTER = 200, 800  # lines around one that is asked for by its place
STREAMS = (("out", "standard output"), ("err", "standard error"))
AHEAD = 8 * 1024  # how much is shown before a line that is asked for by its place
# What is worth reading of a log that nobody has read yet: lines by which programs say that something went wrong, and
# those of the tools that move files (protocols 11).
KINDS = {
    "errors": re.compile(
        r"(?i)\b(?:\w*error|fatal|\w*exception|traceback|segmentation (?:fault|violation)|abort(?:ed|ing)?|killed"
        r"|core dumped|out of memory|bad_alloc|no such file|permission denied|failed|failure|timed out)\b"
    ),
    "transfers": re.compile(r"(?i)\b(?:ifdh|xrdcp|gfal-copy|globus-url-copy|fts|rucio (?:download|upload))\b"),
}


@dataclass(frozen=True)
class Wanted:
    """What of a log is asked for."""

    stream: str = "out"
    offset: int | None = None  # from which byte; None: the tail
    find: str = ""
    at: int | None = None  # the byte of a line that is shown with what stands around it
    lines: str = ""  # one of KINDS: only lines of that kind

    @property
    def needle(self) -> re.Pattern[str] | None:
        """Return what is looked for, or None where nothing is."""
        return re.compile(re.escape(self.find), re.IGNORECASE) if self.find else KINDS.get(self.lines)

    @property
    def query(self) -> str:
        """Return what of the address says in which log what is looked for; a place in it is added."""
        said = {"stream": self.stream, "find": self.find, "lines": "" if self.find else self.lines}
        return urlencode({name: value for name, value in said.items() if value})


@dataclass(frozen=True)
class Line:
    """One line as it is shown: where it begins, its number if that is known, and its text in parts, hits among them."""

    offset: int
    number: int | None
    parts: Sequence[tuple[str, bool]]
    is_error: bool
    is_here: bool


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
    lines: list[Line] = field(default_factory=list)
    place: int = 0  # which of the hits is shown, from 1
    before: Hit | None = None
    after: Hit | None = None

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
    lines = request.GET.get("lines", "")
    if lines and lines not in KINDS:
        raise Refused("The log cannot be read.", [Problem("lines", f"unknown: {lines[:40]}", ", ".join(KINDS))])
    find = request.GET.get("find", "").strip()[:200]
    return Wanted(stream, _octet(request, "offset"), find, _octet(request, "at"), lines)


def _octet(request: HttpRequest, name: str) -> int | None:
    given = request.GET.get(name, "")
    if given and not re.fullmatch(r"[0-9]{1,15}", given):
        raise Refused("The log cannot be read.", [Problem(name, f"no number of bytes: {given[:40]}")])
    return int(given) if given else None


def read(job: AnyJob, asked: Wanted) -> Log:
    """Return the tail, piece or hits of a job's log; trouble is a sentence in it, for the rest of the page stands."""
    try:
        needle = asked.needle
        found = _search(job, asked, needle) if needle else Log()
        if needle and asked.at is None:
            return found
        shown = _piece(job, asked)
        if asked.at is not None:
            _place(shown, found, asked.at)
        return shown
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


def _piece(job: AnyJob, asked: Wanted) -> Log:
    total = int(_fetch(job, asked.stream, 0, 0)["total"])
    begin = max(0, total - PIECE) if asked.offset is None else min(asked.offset, total)
    if asked.at is not None:
        begin = max(0, min(asked.at, total) - AHEAD)
    answer = masked_piece(lambda at, most: _fetch(job, asked.stream, at, most), begin, PIECE)
    raw, total = str(answer["text"]), int(answer["total"])
    end = min(begin + PIECE, total)
    spare = 2 if len(raw.encode()) > end - begin else 0
    first = begin
    if begin and asked.offset is None and "\n" in raw:  # the tail, and what is around a line, begin with a whole line
        partial, _, raw = raw.partition("\n")
        # Counted from the end where that is exact: the piece may begin in the middle of a letter.
        first = begin + _octets(partial, spare) + 1 if "\ufffd" in raw else end - len(raw.encode())
    lines = list(_lines(raw, first, spare, 1 if begin == 0 else None, asked))
    if asked.at is not None:
        here = next((place for place, line in enumerate(lines) if line.is_here), 0)
        lines = lines[max(0, here - BEFORE) : here + AFTER]
    elif len(lines) > MOST_LINES:
        lines = []
    return Log(clean(raw), total, begin, end, lines=lines)


def _lines(raw: str, begin: int, spare: int, number: int | None, asked: Wanted) -> Iterator[Line]:
    """Yield the lines of a piece with where each begins; the last one may be cut."""
    needle = asked.needle
    for text in raw.removesuffix("\n").split("\n") if raw else ():
        end = begin + _octets(text, spare) + 1
        shown = clean(text.removesuffix("\r"))
        is_here = asked.at is not None and begin <= asked.at < end
        yield Line(begin, number, _parts(shown, needle), bool(KINDS["errors"].search(shown)), is_here)
        begin, number = end, number and number + 1


def _parts(text: str, needle: re.Pattern[str] | None) -> list[tuple[str, bool]]:
    """Part a line into what is looked for and what is not."""
    parts, done = [], 0
    for found in needle.finditer(text) if needle else ():
        parts += [(text[done : found.start()], False), (found[0], True)]
        done = found.end()
    return [(part, hit) for part, hit in [*parts, (text[done:], False)] if part]


def _place(shown: Log, found: Log, at: int) -> None:
    """Say where a line stands among the hits, and what its lines' numbers are, if a search has counted them."""
    shown.hits, shown.searched = found.hits, found.searched
    for place, hit in enumerate(found.hits):
        if hit.offset < at:
            shown.before = hit
        elif hit.offset == at:
            shown.place = place + 1
        elif shown.after is None:
            shown.after = hit
    counted = next((hit for hit in found.hits if any(line.offset == hit.offset for line in shown.lines)), None)
    if counted:
        first = next(n for n, line in enumerate(shown.lines) if line.offset == counted.offset)
        shown.lines = [replace(line, number=counted.number + n - first) for n, line in enumerate(shown.lines)]


def _search(job: AnyJob, asked: Wanted, needle: re.Pattern[str]) -> Log:
    """Read the log from its beginning, at most SEARCHED bytes, and keep the lines that have the text."""
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
