"""A line of a log without what differs from job to job: times, hosts, users, numbers, and where files lie. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection

from submissions.telling import COLOURS

LONGEST = 200

_MONTHS = r"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)"
_CLOCK = r"\d{1,2}:\d{2}(?::\d{2}(?:[.,]\d+)?)?"
_ZONE = r"(?: ?(?:Z\b|[+-]\d{2}:?\d{2}\b|UTC\b|GMT\b|C[DES]T\b|E[DS]T\b|CEST\b))?"
_TIMES = re.compile(
    rf"\b\d{{4}}[-/]\d{{2}}[-/]\d{{2}}(?:[T ]{_CLOCK})?{_ZONE}"
    rf"|\b(?:(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun),?\s+)?{_MONTHS}\s+\d{{1,2}},?(?:\s+\d{{4}})?\s+{_CLOCK}{_ZONE}"
    r"(?:\s+\d{4}\b)?"
    rf"|\b\d{{1,2}}[- ]{_MONTHS}[- ]\d{{2,4}}(?:\s+{_CLOCK}{_ZONE})?"
    rf"|\b\d{{1,2}}/\d{{1,2}}(?:/\d{{2,4}})?\s+{_CLOCK}{_ZONE}"
    rf"|(?<![\w:])\d{{1,2}}:\d{{2}}:\d{{2}}(?:[.,]\d+)?{_ZONE}"
)
_UUID = re.compile(r"\b[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\b")
_JOB = re.compile(r"\b\d+(?:\.\d+|_\[?\d+\]?)?@[\w.-]+|\b\d{4,}\.\d+\b(?!\d)")
_SLOT = re.compile(r"\bslot[\d_]+@[\w.-]+", re.IGNORECASE)
_URL = re.compile(r"\b(?P<scheme>[a-z][a-z0-9+.-]{1,12})://[^\s'\"<>)\]]+", re.IGNORECASE)
_ADDRESS = re.compile(r"\b[\w.+-]+@[\w-]+(?:\.[\w-]+)*\b")
_HOST = re.compile(
    r"\b(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?\.)+(?:gov|edu|org|com|net|ch|uk|de|fr|it|es|in|io|local|invalid"
    r"|internal|cz|us|br|jp|test|localdomain|example)\b(?::\d+)?"
)
_IP = re.compile(r"\b(?:\d{1,3}\.){3}\d{1,3}(?::\d+)?\b|(?<![\w:])(?:[0-9a-fA-F]{1,4}:){3,7}[0-9a-fA-F]{0,4}(?![\w:])")
_PATH = re.compile(r"(?<![\w<:/])(?:~[\w-]*|\.{1,2})?(?:/[\w.+=@%,~#:-]*[\w+=@%~#-])+/?")
_FILE = re.compile(
    r"(?<![\w<>./])[\w.+=@%-]+\.(?P<kind>root|hdf5|h5|hepmc|dat|txt|gz|bz2|zst|xz|tar|tgz|csv|json|pkl|npy|npz|raw|log|out"
    r"|err|evt|db|cpio|lhe|parquet)\b(?!\s*\()",
    re.IGNORECASE,
)
_HEX = re.compile(r"\b0x[0-9a-fA-F]+\b|\b(?=[0-9a-fA-F]*\d)(?=[0-9a-fA-F]*[a-fA-F])[0-9a-fA-F]{8,}\b")
_USER = re.compile(
    r"\b(?P<word>users?|owner|account|uid|gid|login|principal)(?P<mark>\s*[=:]?\s*['\"]?)(?!(?:is|has|was|not)\b)[\w.+/-]+",
    re.IGNORECASE,
)
# Numbers that say which error it is, and digits that belong to a word: G4Exception.
_MEANT = re.compile(
    r"(?<=[A-Za-z])\d(?=[A-Za-z])|\[\d{4}\](?=\s)"
    r"|(?i:\b(?:errno|http(?:/\d(?:\.\d)?)?(?: error)?|status(?: code)?|exit(?: code)?|return code|error(?: code)?"
    r"|signal|code|subcode))[ :=#]{0,2}[\[(]?-?\d{1,4}\b"
)
_NUMBER = re.compile(r"(?<![\w<>.])[-+]?\d+(?:[.,]\d+)*(?:[eE][-+]?\d+)?(?![\w>])|\d+")
_KEPT_ROOTS = ("cvmfs", "pnfs", "eos", "dev", "proc", "sys")
_KEPT_KINDS = ("so", "py", "fcl", "sh", "exe", "cfg", "xml", "mac", "fhicl")
_LEVELS = re.compile(r"^(?:(?:<\w+>|\[[^\]]*\]|\([^)]*\)|(?:FATAL|ERROR|CRITICAL|SEVERE)\b:?|[-:|,.])\s*)+")
# Digits that stay are hidden from the rules below in letters that no text has.
_HIDDEN = "".join(chr(0xE000 + digit) for digit in range(10))
_HIDE, _SHOW = str.maketrans("0123456789", _HIDDEN), str.maketrans(_HIDDEN, "0123456789")


def normalised(line: str, names: Collection[str] = ()) -> str:
    """Return a line without what differs from job to job: times, hosts, users, numbers, and where files lie."""
    text = "".join(sign if sign.isprintable() else " " for sign in COLOURS.sub("", line))
    for name in sorted({name for name in names if len(name) > 2}, key=len, reverse=True):
        text = re.sub(rf"(?<![\w-]){re.escape(name)}(?![\w-])", "<name>", text)
    text = _URL.sub(lambda match: f"<{match['scheme'].lower()} address>", text)
    text = _TIMES.sub("<time>", _PATH.sub(_path, text))
    text = _JOB.sub("<job>", _SLOT.sub("<slot>", _UUID.sub("<uuid>", text)))
    text = _ADDRESS.sub("<address>", text)
    text = _IP.sub("<host>", _HOST.sub("<host>", text))
    text = _FILE.sub(lambda match: f"<file>.{match['kind'].lower()}", text)
    text = _USER.sub(lambda match: f"{match['word']}{match['mark']}<user>", text)
    text = _MEANT.sub(lambda match: match[0].translate(_HIDE), _HEX.sub("<hex>", text))
    text = _NUMBER.sub("<n>", text).translate(_SHOW)
    text = re.sub(r"(?:<n>[-_.:]?){2,}", "<n>", re.sub(r"\s+", " ", text)).strip()
    bare = _LEVELS.sub("", text)
    return (bare or text)[:LONGEST]


def _path(match: re.Match[str]) -> str:
    """Return what of a path is the same for all jobs: what it is mounted from, and the name of a program or library."""
    words = [word for word in match[0].split("/") if word]
    root, name = (words[0] if words else ""), (words[-1] if words else "")
    stem, dot, kind = name.partition(".")
    kept = f"/{root}/" if root in _KEPT_ROOTS and len(words) > 1 else ""
    if root == "cvmfs" and len(words) > 1:  # the repository says whose software it is
        kept += f"{words[1].partition('.')[0]}/"
    if kind.partition(".")[0] in _KEPT_KINDS:
        return f"{kept}{name}" if kept else f"<path>/{name}"
    if root in ("dev", "proc", "sys"):
        return f"/{root}/{'<n>' if name.isdecimal() else name}"
    ending = name.rpartition(".")[2].lower() if dot and stem else ""
    shown = f"<file>.{ending}" if ending.isalpha() and len(ending) < 8 else "<path>"
    return f"{kept}{shown}"
