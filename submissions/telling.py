"""Which line of a log says why a job failed, and what cause its words name. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

LOOKED_AT = 200  # lines from the end of each stream
LONGEST_LINE = 2000
NEAR = 25  # lines above a weak sign in which a stronger one explains it
COLOURS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@dataclass(frozen=True)
class _Tell:
    """Words by which a cause is known. A weak one is only the end of the story: a stronger one above is the reason."""

    cause: str
    words: re.Pattern[str]
    weak: bool = False


def _tell(cause: str, *words: str, weak: bool = False) -> _Tell:
    return _Tell(cause, re.compile("|".join(words), re.IGNORECASE), weak)


# The first that fits a line names its cause.
_TELLS = (
    _tell("memory", r"\bMemoryError\b", r"std::bad_alloc", r"cannot allocate memory", r"\bout of memory\b",
          r"oom[-_ ]kill", r"(?:over|exceed\w*|beyond)\b.{0,40}\bmemory\b",
          r"\bmemory\b.{0,60}(?:exceed|over the limit|\blimit of\b)"),
    _tell("credential",
          r"\b(?:proxy|certificate|cert|token|credential|ticket|key)s?\b.{0,60}"
          r"\b(?:expired|not yet valid|invalid|missing|revoked)",
          r"\bexpired\b.{0,40}\b(?:proxy|certificate|token|credential|ticket)", r"\b401\b.{0,20}unauthori[sz]ed",
          r"\bHTTP(?: Error|/\d(?:\.\d)?)? 401\b",
          r"(?:no|not) (?:find|found|load)\b.{0,40}\b(?:proxy|token|credential)",
          r"authentication (?:failed|failure)|auth failed", r"GSS(?:API)?\b.{0,60}(?:error|fail)",
          r"error 10 at \d+ depth"),
    _tell("service", r"/cvmfs/\S*.{0,80}(?:no such file|not connected|input/output|cannot|stale)",
          r"(?:cannot|unable|failed|no such file).{0,80}/cvmfs/",
          r"connection (?:was )?(?:refused|reset|timed out|closed by)",
          r"ConnectionRefusedError|ConnectionResetError", r"no route to host", r"network is unreachable",
          r"could not resolve", r"name or service not known", r"temporary failure in name resolution",
          r"name does not resolve", r"\bHTTP(?: Error|/\d(?:\.\d)?)? 5\d\d\b",
          r"service (?:temporarily )?unavailable", r"bad gateway", r"gateway time-?out",
          r"stale (?:nfs )?file handle", r"transport endpoint is not connected", r"server responded with an error",
          r"\[FATAL\]", r"\bgfal\b.{0,80}(?:error|fail)", r"\bifdh\b.{0,60}(?:error|fail)",
          r"\bxrdcp\b.{0,60}(?:error|fail)",
          r"\b(?:TimeoutError|socket\.timeout|operation timed out|socket time-?out|read timed out)\b"),
    _tell("node", r"no space left on device", r"read-only file system", r"input/output error", r"disk quota exceeded",
          r"illegal instruction", r"\bbus error\b", r"cannot fork|fork: retry|resource temporarily unavailable",
          r"too many open files in system", r"structure needs cleaning", r"hardware error"),
    _tell("submission", r"command not found", r"(?:^|: )(?:\d+: )?\S+: not found$",
          r"unrecogni[sz]ed (?:option|arguments?)", r"\b(?:invalid|unknown|illegal|no such) option", r"^usage: ",
          r"\bfhicl\b|Parse error in file", r"the following arguments are required", r"bad interpreter",
          r"exec format error", r"cannot execute"),
    _tell("software", r"error while loading shared libraries", r"cannot open shared object file",
          r"symbol lookup error", r"undefined symbol", r"\b(?:ModuleNotFoundError|ImportError)\b",
          r"product ?not ?found|no such product", r'''version [`'\"]?\S+ not found''', r"\bTCling\b|\bcling::",
          r"G4Exception\s*:", r"Assertion .{0,120}failed", r"AssertionError"),
    _tell("software", r"double free|malloc\(\)|free\(\): |corrupted size|stack smashing"),
    _tell("input", r"checksums? .{0,40}(?:mismatch|did not match|differ|wrong|fail)", r"\bcrc error\b|bad crc",
          r"corrupt", r"truncated", r"unexpected end of (?:file|data)", r"bad magic|not a root file|not a gzip",
          r"invalid compressed data", r"Error in <TFile", r"Error in <TBasket",
          r"input file.{0,80}(?:missing|not found)", r"no such file or directory", r"\bFileNotFoundError\b",
          r"does not exist|cannot be opened", r"(?:cannot|could not|can't|unable to|failed to) open"),
    _tell("submission", r"permission denied|PermissionError|operation not permitted"),
    _tell("software", r"terminate called after throwing", r"\bException caught\b",
          r"exception (?:was )?(?:caught|thrown) in", r"---- \w+ BEGIN"),
    _tell("software", r"segmentation (?:fault|violation)", r"^aborted\b|\babort(?:ed)? \(core dumped\)",
          r"core dumped", r"floating point exception", r"\bkilled\b", weak=True),
)  # fmt: skip
_EXCEPTION = re.compile(r"^(?:[\w.]+\.)?[A-Z]\w*(?:Error|Exception|Exit|Interrupt|Failure|Timeout)\b(?::.*)?$")
_FRAME = re.compile(r'^\s+File "(?P<file>[^"]+)", line \d+, in (?P<name>[\w<>.]+)')
_LIBRARY = re.compile(r"/lib(?:64)?/python[\d.]*/|/site-packages/|^<frozen ")
_TRACEBACK = "Traceback (most recent call last):"
_WHAT = re.compile(r"^\s*what\(\):\s*(?P<said>.+)$")
_THROWN = re.compile(r"instance of '(?P<type>[^']+)'")
_BLOCK = re.compile(r"^---- (?P<name>\w+) BEGIN")
_PASSING = re.compile(
    r"\b(?:retry|retrying|will try|trying again|warn|warning|ignored|ignoring|recovered)\b", re.IGNORECASE
)
_ERROR = re.compile(
    r"\b(?:error|fatal|failed|failure|exception|abort(?:ed|ing)?|cannot|could not|unable|invalid|denied|missing)\b",
    re.IGNORECASE,
)
_STEP = re.compile(r"^\W*(?:step|stage|phase)[ :=]+(?P<name>[A-Za-z][\w-]{0,30})\s*$", re.IGNORECASE)


def lines_of(text: str) -> list[str]:
    """Return the last lines of a stream that have something in them, without colours and at most so long."""
    plain = COLOURS.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))
    return [line.rstrip()[:LONGEST_LINE] for line in plain.split("\n") if line.strip()][-LOOKED_AT:]


def step_of(streams: Sequence[Sequence[str]]) -> str:
    """Return the step that a job itself said last it was in: `step reco`, `=== stage: gen ===`."""
    for lines in streams:
        for line in reversed(lines):
            if match := _STEP.match(line.rstrip(" =-*#")):
                return match["name"].lower()
    return ""


def telling(streams: Iterable[Sequence[str]]) -> tuple[str, str]:
    """Return the line that says why, as it stands, and its cause; empty where nothing does.

    Standard error goes first. A Python exception that ended it explains all; else it is the last line that tells, and a
    weak one (Segmentation fault, Killed) gives way to a stronger one near above it.
    """
    kept = list(streams)
    for look in (_by_exception, _by_tell, _by_block):
        for lines in kept:
            if found := look(lines):
                return found
    for lines in kept:
        if line := next((line for line in reversed(lines) if _ERROR.search(line) and not _PASSING.search(line)), ""):
            return line, ""
    return "", ""


def _by_exception(lines: Sequence[str]) -> tuple[str, str] | None:
    """Return the exception of the last traceback, with the function and file in which it was raised."""
    begin = next((at for at in range(len(lines) - 1, -1, -1) if _TRACEBACK in lines[at]), None)
    if begin is None:
        return None
    end = next((at for at in range(begin + 1, len(lines)) if _EXCEPTION.match(lines[at])), None)
    if end is None:
        return None
    frames = [match for line in lines[begin:end] if (match := _FRAME.match(line))]
    # Where it was asked for says more than where in Python's own library it came up.
    frames = [match for match in frames if not _LIBRARY.search(match["file"])] or frames
    where = f" in {frames[-1]['name']} ({frames[-1]['file'].rpartition('/')[2]})" if frames else ""
    return f"{lines[end]}{where}", cause_in(lines[end]) or "software"


def _by_tell(lines: Sequence[str]) -> tuple[str, str] | None:
    weak: tuple[int, str, str] | None = None
    for at in range(len(lines) - 1, -1, -1):
        if weak and weak[0] - at > NEAR:
            break
        line = lines[at]
        tell = next((tell for tell in _TELLS if tell.words.search(line)), None)
        if tell is None or _PASSING.search(line):
            continue
        if not tell.weak:
            return _with_more(lines, at), tell.cause
        weak = weak or (at, line, tell.cause)
    return (weak[1], weak[2]) if weak else None


def _with_more(lines: Sequence[str], at: int) -> str:
    """Return a telling line with what stands beside it and belongs to it: what() of an exception, a block's words."""
    line = lines[at]
    above = lines[at - 1] if at else ""
    below = lines[at + 1] if at + 1 < len(lines) else ""
    if match := _WHAT.match(below):
        return f"{_thrown(line)}: {match['said']}"
    if match := _WHAT.match(line):
        return f"{_thrown(above)}: {match['said']}"
    if match := _BLOCK.match(line.strip()):
        return f"{match['name']}: {below.strip()}"
    return line


def _thrown(line: str) -> str:
    """Return the type of an exception that nobody caught; the line where it names none."""
    found = _THROWN.search(line)
    return found["type"] if found else line.strip()


def _by_block(lines: Sequence[str]) -> tuple[str, str] | None:
    """Return the what() of an exception that nobody caught, where the line above it is lost."""
    found = next((match for line in reversed(lines) if (match := _WHAT.match(line))), None)
    return (found["said"], cause_in(found["said"]) or "software") if found else None


def cause_in(text: str) -> str:
    """Return the cause by which the first tell knows a line; empty where none does."""
    return next((tell.cause for tell in _TELLS if tell.words.search(text)), "")
