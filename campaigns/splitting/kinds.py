"""Which splits there are, what each is told, and how its text is read (T4; reference/poms.md 6). Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from campaigns.splitting import arguments

Reader = Callable[[str], Any]
_LIMITS: Mapping[str, Reader] = {
    "nfiles": arguments.number(1), "nevents": arguments.number(1), "size": arguments.size,
}  # fmt: skip
_RUN = arguments.number(0, arguments.LATEST_RUN)
WEEK, HALF_AN_HOUR = 604_800, 1_800


class Input(NamedTuple):
    """What a split goes by of one input; `rank` is its place in the order of the dataset."""

    rank: int
    events: int | None = None
    size: int | None = None
    run: int | None = None
    taken_at: float | None = None  # seconds since 1970
    value: str | None = None  # of the metadata, under the split's key
    dataset: str = ""


# The group of an input, as its place in their order and its word; or a text why it has none, and is left out.
Group = tuple[float, str] | str
Grouping = Callable[["Split"], Callable[[Input], Group]]


@dataclass(frozen=True)
class Kind:
    """One kind of split: in a sentence what it does, and its arguments by name, the obligatory ones first."""

    says: str
    takes: Mapping[str, Reader] = field(default_factory=dict)
    must: tuple[str, ...] = ()
    groups: str = ""  # inputs that differ in this never share a slice: run, taken_at, value, rank or dataset
    grouping: Grouping | None = None  # by what it groups them, where that is wider than the thing itself
    limits: str = ""  # the argument that bounds a slice, if it is always the same
    holds: str = "dataset"  # what the dataset's field names: dataset, datasets, or values
    once: bool = False  # one slice a look, whatever there is
    staged: bool = False  # takes only what is on disk
    such_as: str = ""


KINDS: dict[str, Kind] = {
    "whole": Kind("everything in one batch", such_as="None"),
    "nfiles": Kind("at most so many files a batch", {"nfiles": _LIMITS["nfiles"]}, ("nfiles",), limits="nfiles",
                   such_as="nfiles(100)"),
    "nevents": Kind("at most so many events a batch; a larger file is a batch of its own",
                    {"nevents": _LIMITS["nevents"]}, ("nevents",), limits="nevents", such_as="nevents(50000)"),
    "bysize": Kind("at most so many bytes a batch; a larger file is a batch of its own", {"size": _LIMITS["size"]},
                   ("size",), limits="size", such_as="bysize(20GB)"),
    "mod": Kind("so many batches, each with every n-th file", {"n": arguments.number(1, 100_000)}, ("n",),
                groups="rank", such_as="mod(10)"),
    "list": Kind("the dataset's field is a list of datasets, each of them one batch", _LIMITS, groups="dataset",
                 holds="datasets", such_as="list"),
    "multiparam": Kind("the dataset's field is a JSON list of lists of words; each combination, joined by _, is one"
                       " batch, the first list varying fastest", groups="rank", holds="values", such_as="multiparam"),
    "drainingn": Kind("at most so many files a batch, of a dataset that grows: what comes later is taken later",
                      {"nfiles": _LIMITS["nfiles"]}, ("nfiles",), limits="nfiles", such_as="drainingn(100)"),
    "draining": Kind("all that is new in a dataset that drains itself, as one batch a look", once=True,
                     such_as="draining"),
    "limitn": Kind("one batch a look, of at most so many files", {"nfiles": _LIMITS["nfiles"]}, ("nfiles",),
                   limits="nfiles", once=True, such_as="limitn(100)"),
    "stagedfiles": Kind("at most so many files a batch, only of those on disk; the others as they come from tape",
                        {"nfiles": _LIMITS["nfiles"]}, ("nfiles",), limits="nfiles", staged=True,
                        such_as="stagedfiles(100)"),
    "byrun": Kind("one batch a run from low to high, both included", {"low": _RUN, "high": _RUN, **_LIMITS},
                  groups="run", such_as="byrun(low=100,high=200)"),
    "byexistingruns": Kind("one batch a run, of the runs that there are", _LIMITS, groups="run",
                           such_as="byexistingruns"),
    "new": Kind("one batch a window of time in which the data were taken, once the window is over",
                {"window": arguments.span, "round": arguments.span, "fts": arguments.span,
                 "firsttime": arguments.moment, "lasttime": arguments.moment, "localtime": arguments.key, **_LIMITS},
                groups="taken_at", such_as="new(window=1d)"),
    "byvalue": Kind("one batch a value of the metadata", {"key": arguments.key, **_LIMITS}, ("key",), groups="value",
                    such_as="byvalue(data_stream)"),
}  # fmt: skip
_NAMED = re.compile(r"(\w+?)\s*(?:\(\s*(.*?)\s*\))?", re.DOTALL)
_UNDERSCORED = re.compile(r"(mod|nfiles|nevents|drainingn|limitn|stagedfiles)_(\d+)")


@dataclass(frozen=True)
class Split:
    """A split with its arguments."""

    kind: str
    given: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        if not self.given:
            return self.kind
        bare = [str(self.given[name]) for name in self.what.must if name in self.given]
        named = [f"{name}={value}" for name, value in self.given.items()
                 if name not in self.what.must]  # fmt: skip
        return f"{self.kind}({','.join([*bare, *named])})"

    @property
    def what(self) -> Kind:
        """Return its kind."""
        return KINDS[self.kind]

    @property
    def weighs(self) -> str:
        """Return what an input is counted by towards a slice's limit: "file", "events" or "bytes"."""
        return {"nevents": "events", "size": "bytes"}.get(self.limited_by, "file")

    @property
    def limited_by(self) -> str:
        """Return the argument that bounds a slice: nfiles, nevents or size; empty where nothing does."""
        return self.what.limits or next((name for name in _LIMITS if name in self.given), "")

    @property
    def limit(self) -> int:
        """Return how much a slice holds at most, 0 for any amount."""
        return int(self.given.get(self.limited_by, 0))

    @property
    def key(self) -> str:
        """Return by which value of the metadata inputs are grouped, if they are."""
        return str(self.given["key"]) if self.what.groups == "value" else ""

    @property
    def wants(self) -> frozenset[str]:
        """Return what must be known of each file beside its name, in the catalogue's words."""
        weight = {"nevents": "events", "size": "size"}.get(self.limited_by, "")
        group = {"run": "run", "taken_at": "taken_at", "value": self.key}.get(self.what.groups, "")
        return frozenset(filter(None, (weight, group)))


def parse(text: str) -> Split:
    """Read a split as the text form writes it, for instance nfiles(10); ValueError says what is wrong.

    POMS's own spellings are understood: blanks, None, nfiles_10.
    """
    bare = text.strip()
    if bare.lower() in ("", "none", "none()", "whole", "whole()"):
        return Split("whole")
    if match := _UNDERSCORED.fullmatch(bare):
        bare = f"{match[1]}({match[2]})"
    match = _NAMED.fullmatch(bare)
    if match is None:
        raise ValueError(f"a split looks like nfiles(10) or nevents(5000), not {bare[:60]}")
    kind = match[1]
    if kind not in KINDS or kind == "whole":
        raise ValueError(
            f"there is no split {kind[:40]}; there are {', '.join(name for name in KINDS if name != 'whole')}"
        )
    return Split(kind, _given(kind, match[2] or ""))


def _given(kind: str, text: str) -> dict[str, Any]:
    known = KINDS[kind].takes
    such_as = f"; for instance {KINDS[kind].such_as}"
    try:
        unnamed, named = arguments.separate(text)
    except ValueError as error:
        raise ValueError(f"the split {kind}: {error}{such_as}") from None
    if len(unnamed) > len(known):
        raise ValueError(f"the split {kind} takes {len(known)} arguments at most, not {len(unnamed)}{such_as}")
    words = dict(zip(known, unnamed, strict=False))
    for name, word in named.items():
        if name in words or name not in known:
            why = "is given twice" if name in words else f"is not known to the split {kind}"
            raise ValueError(f"{name} {why}; it takes {', '.join(known) or 'no arguments'}")
        words[name] = word
    lacking = [name for name in KINDS[kind].must if name not in words]
    if lacking:
        raise ValueError(f"the split {kind} needs {lacking[0]}{such_as}")
    limits = [name for name in _LIMITS if name in words]
    if len(limits) > 1:
        raise ValueError(f"the split {kind} has one limit, not {' and '.join(limits)}")
    found = {}
    for name, read in known.items():
        if name in words:
            try:
                found[name] = read(words[name])
            except ValueError as error:
                what = f"the size of {kind}" if name in _LIMITS else f"the split {kind}: {name}"
                raise ValueError(f"{what} {error}{such_as}") from None
    if "low" in found and "high" in found and found["low"] > found["high"]:
        raise ValueError(f"the split byrun: low is {found['low']}, above high, which is {found['high']}")
    if kind == "new" and found.get("window") == 0:
        raise ValueError(f"the split new: window is 0; it must be a time such as 1d{such_as}")
    return found
