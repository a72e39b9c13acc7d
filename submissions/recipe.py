"""What the outputs of a batch were made of, and how two makings differ, by name (J6). Pure.

Jobs of one launch differ from those of another in names alone that stand for the launch: its uuid, its folder, its
numbers. Those are put aside before anything is compared.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import zip_longest
from typing import Any

CONTENT = "content_checksum"  # what an output says in its metadata of what is in it, whatever bytes hold it
MOST = 200  # differences of one kind that are named; of more their number is
LONGEST = 400  # letters of a value that is shown
# What stands for the launch in its environment, and so is another one each time (protocols 5.1).
OF_THE_LAUNCH = (
    "POMS_SUBMISSION_ID", "POMS4_SUBMISSION_ID", "POMS4_CAMPAIGN_ID", "POMS4_CAMPAIGN_STAGE_ID", "POMS_CAMPAIGN_ID",
    "POMS_TASK_ID", "POMS_PARENT_TASK_ID", "POMS_TASK_DEFINITION_ID", "FIFE_CATEGORIES",
)  # fmt: skip
_RELEASE = re.compile(r"(?:^|_)(?:version|release)(?:$|_)")


@dataclass(frozen=True)
class Made:
    """One output: its size in bytes, its checksum as `kind:value`, its events, and what its job said of it."""

    size: int
    checksum: str = ""
    events: int | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @property
    def content(self) -> str:
        """Return the checksum of what is in it, where its job declares one."""
        return str(self.metadata.get(CONTENT) or "")


@dataclass(frozen=True)
class Recipe:
    """Everything that decides what comes out, and what came out.

    Seeds are by the key of their event range, inputs by their key: size in bytes and checksum, none where nobody says.
    """

    definition: str = ""  # the SHA-256 of its canonical text
    release: str = ""
    seeds: Mapping[str, int] = field(default_factory=dict)
    inputs: Mapping[str, tuple[int | None, str]] = field(default_factory=dict)
    command: Sequence[str] = ()
    setup: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    uploads: Mapping[str, str] = field(default_factory=dict)  # files of an analysis: name and SHA-256
    outputs: Mapping[str, Made] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return {**asdict(self), "inputs": {key: list(said) for key, said in self.inputs.items()}}

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Recipe:
        """Return what a document says; ValueError where it is none."""
        try:
            outputs = {
                str(name): Made(
                    int(said["size"]), str(said["checksum"]), _number(said["events"]), dict(said["metadata"])
                )
                for name, said in document["outputs"].items()
            }
            inputs = {str(key): (_number(size), str(digest)) for key, (size, digest) in document["inputs"].items()}
            return cls(
                definition=str(document["definition"]), release=str(document["release"]),
                seeds={str(key): int(seed) for key, seed in document["seeds"].items()}, inputs=inputs,
                command=[str(word) for word in document["command"]], setup=str(document["setup"]),
                environment=_texts(document["environment"]), uploads=_texts(document["uploads"]), outputs=outputs,
            )  # fmt: skip
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ValueError(f"it is no recipe: {type(error).__name__}: {error}") from error


def _number(said: Any) -> int | None:
    return None if said is None else int(said)


def _texts(said: Mapping[str, Any]) -> dict[str, str]:
    return {str(name): str(value) for name, value in said.items()}


@dataclass(frozen=True)
class Difference:
    """One thing that is not the same: which kind, what it is of, how it was and how it is; empty: not there."""

    of: str
    what: str
    was: str
    now: str

    def document(self) -> dict[str, str]:
        """Return it as rows, pages and the API have it."""
        return asdict(self)

    def __str__(self) -> str:
        return f"{self.of} {self.what}: {self.was or 'nothing'} → {self.now or 'nothing'}"


def without(words: Mapping[str, str], text: str) -> str:
    """Return a text in which names of the launch stand by what they mean: {uuid}, {folder}, {dataset}.

    One that is a mere number is a name only where it stands alone.
    """
    for name, value in sorted(words.items(), key=lambda entry: -len(entry[1])):
        if value.isdigit():
            text = re.sub(rf"(?<!\w){value}(?!\w)", f"{{{name}}}", text)
        elif value:
            text = text.replace(value, f"{{{name}}}")
    return text


def compare(was: Recipe, now: Recipe) -> tuple[list[Difference], list[str]]:
    """Return what differs between two makings, causes before outputs, and remarks on what only looks as if it did.

    An output is the same when its checksum, size and events are. Formats that write the time into a file never give
    the same bytes; where a job declares the checksum of the content (`content_checksum` in the metadata of an output),
    that decides, and the bytes are remarked on.
    """
    found = [
        *_one("definition", "text", was.definition, now.definition),
        *_one("release", "software version", was.release, now.release),
        *_each("seed", was.seeds, now.seeds),
        *_each("input", *_known(was.inputs, now.inputs)),
        *_words("command", was.command, now.command),
        *_one("command", "set-up", was.setup, now.setup),
        *_each("environment", _own(was.environment), _own(now.environment)),
        *_each("upload", was.uploads, now.uploads),
    ]
    outputs, remarks = _outputs(was.outputs, now.outputs)
    return [*found, *outputs], remarks


def _one(of: str, what: str, was: str, now: str) -> list[Difference]:
    return [] if was == now else [Difference(of, what, was[:LONGEST], now[:LONGEST])]


def _each(of: str, was: Mapping[str, Any], now: Mapping[str, Any]) -> list[Difference]:
    return _bounded(
        of,
        (
            Difference(of, what, _shown(was.get(what)), _shown(now.get(what)))
            for what in dict.fromkeys([*was, *now])
            if was.get(what) != now.get(what)
        ),
    )


def _bounded(of: str, found: Iterable[Difference]) -> list[Difference]:
    rows = list(found)
    if len(rows) > MOST:
        return [*rows[:MOST], Difference(of, f"and {len(rows) - MOST} more", "", "")]
    return rows


def _shown(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, tuple):
        size, checksum = value
        return " ".join(filter(None, ["of unknown size" if size is None else f"{size} bytes", checksum]))
    return str(value)[:LONGEST]


def _known(
    was: Mapping[str, tuple[int | None, str]], now: Mapping[str, tuple[int | None, str]]
) -> tuple[Mapping[str, tuple[int | None, str]], Mapping[str, tuple[int | None, str]]]:  # fmt: skip
    """Return both sides' inputs by what both sides know of them: a checksum that only one has tells nothing."""
    there, here = dict(was), dict(now)
    for key in was.keys() & now.keys():
        (size, digest), (other_size, other_digest) = was[key], now[key]
        known = bool(digest and other_digest)
        sizes = size is not None and other_size is not None
        there[key] = (size if sizes else None, digest if known else "")
        here[key] = (other_size if sizes else None, other_digest if known else "")
    return there, here


def _words(of: str, was: Sequence[str], now: Sequence[str]) -> list[Difference]:
    """Name the arguments that differ by their place."""
    return _bounded(
        of,
        (
            Difference(of, "program" if place == 0 else f"argument {place}", old[:LONGEST], new[:LONGEST])
            for place, (old, new) in enumerate(zip_longest(was, now, fillvalue=""))
            if old != new
        ),
    )


def _own(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name not in OF_THE_LAUNCH}


def _outputs(was: Mapping[str, Made], now: Mapping[str, Made]) -> tuple[list[Difference], list[str]]:
    found: list[Difference] = []
    remarks: list[str] = []
    releases: dict[str, tuple[str, str]] = {}
    other_bytes = 0
    for name in dict.fromkeys([*was, *now]):
        old, new = was.get(name), now.get(name)
        if old is None or new is None:
            found.append(Difference("output", name, "there" if old else "", "there" if new else ""))
            continue
        if old.events != new.events:
            found.append(Difference("events", name, _shown(old.events), _shown(new.events)))
        if old.content and new.content:
            if old.content != new.content:
                found.append(Difference("content", name, old.content, new.content))
            elif (old.size, old.checksum) != (new.size, new.checksum):
                other_bytes += 1
        elif (old.size, old.checksum) != (new.size, new.checksum):
            sizes = (f"{old.size} bytes ", f"{new.size} bytes ") if old.size != new.size else ("", "")
            found.append(Difference("bytes", name, f"{sizes[0]}{old.checksum}", f"{sizes[1]}{new.checksum}"))
        elif not old.checksum:
            remarks.append(f"{name} has no checksum: its size and events alone were compared")
        releases |= {
            key: (_shown(old.metadata.get(key)), _shown(new.metadata.get(key)))
            for key in old.metadata.keys() | new.metadata.keys()
            if _RELEASE.search(key) and old.metadata.get(key) != new.metadata.get(key)
        }
    if other_bytes:
        remarks.append(
            f"{other_bytes} outputs have other bytes and the same content, by the checksum that their jobs declare"
        )
    named = [Difference("release", key, *pair) for key, pair in sorted(releases.items())]
    return _bounded("output", [*named, *found]), remarks[:MOST]
