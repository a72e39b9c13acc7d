"""SAM, the laboratory's file catalogue and data handling, over its web API (protocols 1)."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC
from operator import attrgetter
from pathlib import Path, PurePosixPath
from typing import Any

from core.clock import now
from integrations import http
from integrations.catalogue import dimensions, lineage
from integrations.catalogue.base import (
    CANCELLED,
    CONSUMED,
    CONSUMPTION,
    DELIVERED,
    FAILED,
    LINEAGE,
    NOWHERE,
    OFFERS,
    ON_DISK,
    ON_TAPE,
    QUERIES,
    RESIDENCE,
    SKIPPED,
    SNAPSHOTS,
    TRANSFERRED,
    UNCONSUMED,
    UNKNOWN,
    Attempt,
    FileSeen,
    Frozen,
    News,
    Offer,
    Produced,
)
from integrations.catalogue.declared import Setting, read
from integrations.catalogue.dimensions import DimensionError
from integrations.catalogue.metadata import first_run, moment_of
from integrations.catalogue.patterns import is_query, several
from integrations.catalogue.sam_server import (
    Conflict,
    NotThere,
    SamServer,
    columns,
    document,
    lines,
    number,
    segment,
    senseless,
)
from integrations.catalogue.server import chunks
from integrations.errors import OutsideError, Refused, Unavailable, Unsure

MOST_FOUND = 100_000
MOST_LOOKED_AT = 5_000
AT_ONCE = 10_000  # files that are asked about in one call
LONGEST = 100_000_000  # characters of a definition that we compare with ours
MOST_PROJECTS = 20  # of one attempt that are looked at
RECALL_SECONDS = 10.0  # that one call of ours spends on asking for files

LISTED = frozenset({"size", "events"})  # what comes with a list
# What FileSeen says of a file by itself; the rest is its metadata.
_OWN = ("file_name", "file_id", "file_size", "event_count", "checksum", "parents", "locations")
# Where a file was given out several times, the first of these counts.
_BY_WEIGHT = (CONSUMED, FAILED, SKIPPED, CANCELLED, DELIVERED, TRANSFERRED, UNKNOWN, UNCONSUMED)


class SamCatalogue:
    """Catalogue `sam` of one experiment.

    Names are what it goes by: a definition or project of a name that is there already and says the same is ours, made
    by a call whose answer was lost.
    """

    SETTINGS: Mapping[str, Setting] = {
        "url": Setting("base of the API, such as https://sam.example.org:8483/sam/exp/api", obligatory=True),
        "group": Setting("whose definitions and projects are; SAM's name of the experiment", obligatory=True),
        "station": Setting("station that runs projects; without one, the group's name"),
        "user": Setting("as whom definitions are made; without one, whom SAM takes the credential for"),
        "certificate": Setting("path of a certificate with its key, where no credential is named"),
    }
    can = frozenset({SNAPSHOTS, QUERIES, LINEAGE, CONSUMPTION, RESIDENCE, OFFERS})

    def __init__(self, settings: Mapping[str, Any], credential: str = "") -> None:
        """Take the settings, and the name of the credential: a bearer token."""
        given = read("sam", self.SETTINGS, settings)
        self.group, self.user = given["group"], given["user"]
        self.station = given["station"] or self.group
        self.server = SamServer(given["url"], credential=credential, certificate=given["certificate"])

    # --- Datasets

    def count(self, dataset: str) -> int | None:
        """Return how many files a definition finds now."""
        try:
            return number(self.server.ask("GET", f"definitions/name/{segment(dataset)}/files/count"))
        except NotThere:
            return None

    def freeze(self, dataset: str) -> Frozen | None:
        """Take a snapshot; if its number is lost, another one is taken, which does no harm."""
        try:
            path = f"definitions/name/{segment(dataset)}/snapshot"
            mark = number(self.server.ask("POST", path, form={"group": self.group}, long=True))
        except NotThere:
            return None
        return Frozen(dataset, str(mark), self._count(_snapshot(mark)))

    def files(self, dataset: str | Frozen, wants: Collection[str] = ()) -> Sequence[FileSeen]:
        """Return the files by one list, and where more is wanted by few calls for all of them."""
        if isinstance(dataset, Frozen) and dataset.mark:
            found = self._listed(_snapshot(dataset.mark), wants)
            if len(found) != dataset.files:
                raise Unavailable(f"SAM lists {len(found)} of the {dataset.files} files of snapshot {dataset.mark}.")
            return found
        name = dataset.dataset if isinstance(dataset, Frozen) else dataset
        try:
            return self._listed(_defined(name), wants)
        except Refused:  # SAM says 400 of a definition that is not there, as of anything that cannot be read
            if self._described(name) is None:
                return []
            raise

    def news(self, dataset: str, mark: str, wants: Collection[str] = ()) -> News:
        """Return what a definition finds beside a snapshot of it; the mark is that snapshot's number.

        Dates would not do: SAM sets them when a file is declared, and a definition may gain a file much later. A new
        snapshot is taken only when there is something new, and the files are those between the two snapshots.
        """
        if mark and not mark.isdecimal():
            raise Refused(f"{mark[:40]!r} is no snapshot of SAM.")
        if mark:
            try:
                if not self._count(f"{_defined(dataset)} minus snapshot_id {mark}"):
                    return News((), mark)
            except Refused:
                if self._described(dataset) is None:
                    return News((), mark)
                raise
        frozen = self.freeze(dataset)
        if frozen is None:
            return News((), mark)
        if not mark:
            return News(self.files(frozen, wants), frozen.mark)
        return News(self._listed(f"snapshot_id {frozen.mark} minus snapshot_id {mark}", wants), frozen.mark)

    def define(self, dataset: str, names: Sequence[str]) -> None:
        """Make a definition of these names; what is there under its name must say the same."""
        if not names:
            raise Refused(f"A definition of no files cannot be made ({dataset}).")
        self._define(dataset, _named(sorted(set(names))))

    def _define(self, dataset: str, dims: str) -> None:
        form = {"defname": dataset, "dims": dims, "group": self.group, **({"user": self.user} if self.user else {})}
        lost: OutsideError
        try:
            answer = self.server.act("POST", "definitions/create", form=form, long=True)
            if document(answer, dict).get("defname") == dataset:
                return
            lost = Unsure(f"SAM did not say that it made the definition {dataset}.")
        except Conflict:
            lost = Unavailable(f"SAM had a definition {dataset}, and has it no longer.")
        except (Unsure, Unavailable) as error:
            lost = error
        there = self._described(dataset)
        if there is None:
            raise lost
        if not _says(there, dims):
            raise Refused(f"SAM has a definition {dataset} already, of other files.") from lost

    def _described(self, dataset: str) -> str | None:
        """Return what a definition says, or None where there is none."""
        try:
            answer = self.server.ask(
                "GET", f"definitions/name/{segment(dataset)}/describe", query={"format": "json"}, long=True
            )
        except NotThere:
            return None
        said = document(answer, dict).get("dimensions")
        if not isinstance(said, str):
            raise senseless(answer)
        return said

    # --- Files

    def known(self, names: Sequence[str]) -> set[str]:
        """Return those of the names that SAM has a file of."""
        return {entry["file_name"] for entry in self._metadata("file_name", names, basic="1")}

    def told(self, names: Sequence[str]) -> dict[str, FileSeen]:
        """Return metadata, parents and places of these files."""
        return {entry["file_name"]: _seen(entry) for entry in self._metadata("file_name", names, locations="1")}

    def children(self, names: Sequence[str]) -> dict[str, list[str]]:
        """Return what was made from each: all children by one query, whose they are by their metadata."""
        found: dict[str, list[str]] = {name: [] for name in self.known(names)}
        for some in chunks(sorted(found), AT_ONCE):
            made = self._names(f"ischildof:({_named(some)}) with availability any")
            for name, seen in self.told(made).items():
                for parent in set(seen.parents) & found.keys():
                    found[parent].append(name)
        return {name: sorted(set(made)) for name, made in found.items()}

    def like(self, patterns: str, limit: int) -> list[str]:
        """Return names that match one of the patterns."""
        wanted = _like(patterns)
        return sorted(self._names(f"({wanted}) with availability any limit {limit}")) if wanted else []

    def query(self, text: str) -> list[str]:
        """Return what a dimension query finds; SAM itself says what is wrong with it."""
        found = self._names(f"({text}) with limit {MOST_FOUND + 1}")
        if len(found) > MOST_FOUND:
            raise Refused(f"The query finds more than {MOST_FOUND} files; narrow it, or make a dataset.")
        return sorted(found)

    def matching(self, names: Sequence[str], condition: str) -> set[str]:
        """Return those of the names that a dimension query finds, too."""
        some = chunks(sorted(set(names)), AT_ONCE)
        return {name for piece in some for name in self._names(f"({condition}) and {_named(piece)}")}

    def residence(self, names: Sequence[str]) -> dict[str, str]:
        """Return where SAM has locations of each file."""
        found = {
            name: ON_DISK if "disk" in kinds else ON_TAPE if "tape" in kinds else NOWHERE
            for name, kinds in self._places(names).items()
        }
        unsaid = [name for name in names if name not in found]
        return found | dict.fromkeys(self.known(unsaid) if unsaid else (), NOWHERE)

    def archived(self, names: Sequence[str]) -> set[str]:
        """Return those with a location on tape."""
        return {name for name, kinds in self._places(names).items() if "tape" in kinds}

    def bring(self, names: Sequence[str], to: str) -> set[str]:
        """Refuse: SAM transfers for its own stations only."""
        raise Refused("SAM brings no files to a place; leave the destination out, and they are brought to disk.")

    def _places(self, names: Sequence[str]) -> dict[str, set[Any]]:
        """Return of what kinds the locations of each file are."""
        found: dict[str, set[Any]] = {}
        for some in chunks(names, AT_ONCE):
            asked = set(some)
            answer = self.server.ask("POST", "files/locations", form={"file_name": some}, long=True)
            for name, places in document(answer, dict).items():
                if name not in asked or not isinstance(places, list):
                    raise senseless(answer)
                found[name] = {place.get("location_type") for place in places if isinstance(place, dict)}
        return found

    def absent(self, dataset: str, limit: int) -> list[str]:
        """Return files without any place, and of the first thousands those that are on tape only."""
        of = _defined(dataset)
        if self._described(dataset) is None:
            return []
        gone = self._names(f"({of} minus ({of} with availability physical)) with limit {limit}")
        if len(gone) >= limit:
            return sorted(gone)
        first = self._names(f"({of}) with limit {MOST_LOOKED_AT}")
        taped = [name for name, place in self.residence(first).items() if place != ON_DISK]
        return sorted({*gone, *taped})[:limit]

    def recall(self, names: Sequence[str]) -> None:
        """Ask for files by a project that hands them to us, as SAM's own prestaging does.

        A station brings a file to disk when it is the next to be given out. So each call takes what is there, until
        the station asks for patience; the next call goes on with the same project, a new one each day.
        """
        wanted = sorted(set(names))
        if not wanted:
            return
        digest = hashlib.sha256("\n".join(wanted).encode()).hexdigest()
        name = f"poms_recall_{digest[:20]}_{now():%Y%m%d}"
        self._define(name, _named(wanted))
        try:
            form = {"name": name, "station": self.station, "group": self.group, "defname": name}
            self.server.ask("POST", "startProject", form=form, long=True)
        except Conflict:
            pass  # ours, of an earlier call
        summary = self._summary(name)
        if summary.get("project_status") == "completed":
            return
        project = f"{self.server.url.removesuffix('/api')}/stations/{segment(self.station)}/projects/name/{name}"
        processes = [entry for entry in summary.get("processes") or () if entry.get("status") == "active"]
        if processes:
            process = int(processes[0]["process_id"])
        else:
            form = {"appname": "prestage", "appfamily": "prestage", "appversion": "poms", "node": self.station}
            process = number(self.server.ask("POST", f"{project}/establishProcess", form=form))
        self._take_files(project, f"{project}/processes/{process}")

    def _take_files(self, project: str, process: str) -> None:
        ends = time.monotonic() + RECALL_SECONDS
        while time.monotonic() < ends:
            answer = self.server.ask("POST", f"{process}/getNextFile", form={})
            if answer.status == 202:  # it is on its way
                return
            if answer.status == 204:
                self.server.ask("POST", f"{project}/endProject", form={"force": "1"})
                return
            place, *names = lines(answer)
            form = {"filename": names[0] if names else PurePosixPath(place).name, "status": "consumed"}
            self.server.ask("POST", f"{process}/updateFileStatus", form=form)

    def place(self, path: str) -> Path | None:
        """Return nothing: what SAM knows lies on the laboratory's disks, not on this machine."""
        return None

    def declare(self, files: Sequence[FileSeen]) -> dict[str, str]:
        """Enter files that SAM does not have; one that it has with another size is refused."""
        refused = {}
        there = self.told([seen.name for seen in files])
        for seen in files:
            if (old := there.get(seen.name)) is not None:
                if old.size != seen.size:
                    refused[seen.name] = f"the name is taken by a file of {old.size} bytes"
                continue
            try:
                self.server.act("POST", "files", send=_form(seen))
                if seen.path:
                    place = {"add": str(PurePosixPath(seen.path).parent)}
                    self.server.act("POST", f"files/name/{segment(seen.name)}/locations", form=place)
            except Refused as error:
                refused[seen.name] = str(error)
        return refused

    # --- Attempts

    def offer(self, name: str, names: Sequence[str]) -> Offer:
        """Make a definition of the inputs; the jobs' project is made of it."""
        self.define(name, names)
        return Offer(name, {"SAM_DATASET": name, "SAM_STATION": self.station, "SAM_GROUP": self.group})

    def produced(self, attempt: Attempt) -> list[Produced]:
        """Return children of the attempt's inputs that its release made since, with a place; by what they are made of.

        Which job made a file is not asked: outputs that share an input are of one job. A process of SAM would be too
        much, for it takes file after file: all that it made would count together or not at all.
        """
        parts = [f"ischildof:({_defined(attempt.offered)} with availability any)"]
        if attempt.version:
            parts.append(f"version {_value(attempt.version)}")
        parts.append(f"create_date > '{attempt.since.astimezone(UTC):%Y-%m-%dT%H:%M:%S%z}'")
        if wanted := _like(attempt.patterns):
            parts.append(f"({wanted})")
        outputs = self.told(self._names(f"{' and '.join(parts)} with availability anylocation"))
        units = lineage.units_by_name(attempt.inputs)
        return lineage.jobs_of(
            (seen, [unit for name in seen.parents for unit in units.get(name, ())]) for seen in outputs.values()
        )

    def fates(self, attempt: Attempt) -> dict[str, str]:
        """Return what the projects of the attempt's definition say of each input."""
        query = {"defname": attempt.offered, "format": "json"}
        projects = [str(name) for name in document(self.server.ask("GET", "projects", query=query), list)]
        found: dict[str, str] = dict.fromkeys(attempt.inputs.values(), UNCONSUMED) if projects else {}
        for project in projects[:MOST_PROJECTS]:
            counts = self._summary(project).get("file_counts")
            if not isinstance(counts, dict):
                raise Unavailable(f"SAM's summary of the project {project} has no counts of files.")
            for status in sorted(key for key, count in counts.items() if count and key != UNCONSUMED):
                fate = CONSUMED if status == "completed" else status if status in _BY_WEIGHT else UNKNOWN
                dims = f"project_name {_value(project)} and consumed_status {_value(status)}"
                for name in self._names(f"{dims} with availability any"):
                    if name in found and _BY_WEIGHT.index(fate) < _BY_WEIGHT.index(found[name]):
                        found[name] = fate
        return found

    def _summary(self, project: str) -> dict[str, Any]:
        return document(
            self.server.ask("GET", f"projects/name/{segment(project)}/summary", query={"format": "json"}), dict
        )

    # --- Lists

    def _count(self, dims: str) -> int:
        return number(self.server.about("count", dims, long=True))

    def _names(self, dims: str) -> list[str]:
        answer = self.server.about("list", dims, long=True, format="plain")
        return lines(answer) if answer.body else self._nothing(answer, dims)

    def _nothing(self, answer: http.Answer, dims: str) -> list[Any]:
        """Return the empty list, if the count says so too: an answer that lost its body looks the same."""
        if self._count(dims):
            raise senseless(answer)
        return []

    def _listed(self, dims: str, wants: Collection[str]) -> list[FileSeen]:
        """Return files by name, with size and events, and with their metadata where more is wanted."""
        answer = self.server.about("list", dims, long=True, format="plain", fileinfo="1")
        if not answer.body:
            return self._nothing(answer, dims)
        seen: list[FileSeen] = []
        if LISTED.issuperset(wants):
            for names, _, sizes, events in columns(answer, 4):
                seen += FileSeen.of_columns(names, _numbers(sizes, 0), _numbers(events, None))
        else:
            keys = [key for _, some, _, _ in columns(answer, 4) for key in some]
            told = {str(entry["file_id"]): entry for entry in self._metadata("file_id", keys, locations="1")}
            try:
                seen = [_seen(told[key]) for key in keys]
            except (ValueError, KeyError) as error:  # files without metadata, or with such as make no sense
                raise senseless(answer) from error
        return sorted(seen, key=attrgetter("name"))

    def _metadata(self, by: str, keys: Sequence[str], **more: str) -> Iterable[dict[str, Any]]:
        """Give the metadata of files, many in one call; unknown ones are left out."""
        for some in chunks(keys, AT_ONCE):
            answer = self.server.ask("POST", "files/metadata", form={by: some, **more}, long=True)
            asked = set(some)
            for entry in document(answer, list):
                if not isinstance(entry, dict) or str(entry.get(by)) not in asked or "file_name" not in entry:
                    raise senseless(answer)
                yield entry


def _numbers(texts: Sequence[str], otherwise: int | None) -> Iterable[Any]:
    """Read whole numbers; what is none, as SAM's None, is taken as `otherwise`."""
    if all(texts) and "".join(texts).isdecimal():  # as nearly always, and four times as fast
        return map(int, texts)
    return [int(text) if text.isdecimal() else otherwise for text in texts]


# --- Dimensions of ours ---------------------------------------------------------------------------------------------


def _defined(name: str) -> str:
    return f"defname: {_value(name)}"


def _snapshot(mark: int | str) -> str:
    return f"snapshot_id {_value(str(mark))} with availability any"  # exactly its files, also those gone bad since


def _named(names: Sequence[str]) -> str:
    try:
        return dimensions.names(names)
    except DimensionError as error:
        raise Refused(str(error)) from error


def _value(text: str) -> str:
    try:
        return dimensions.value(text)
    except DimensionError as error:
        raise Refused(str(error)) from error


def _like(patterns: str) -> str:
    """Return the query for names like one of the patterns; one with a blank is a query itself (protocols 1.7)."""
    if is_query(patterns):
        return patterns.strip()
    wanted = several(patterns)
    return " or ".join(f"file_name like {_value(part)}" for part in wanted)


def _says(there: str | None, dims: str) -> bool:
    """Tell whether a definition says the same, however it is spaced and bracketed."""
    if there is None:
        return False
    try:
        return dimensions.parse(there, longest=LONGEST) == dimensions.parse(dims, longest=LONGEST)
    except DimensionError:
        return there.split() == dims.split()


# --- Metadata -------------------------------------------------------------------------------------------------------


def _seen(entry: Mapping[str, Any]) -> FileSeen:
    """Read a file's metadata in SAM's form (protocols 1.4)."""
    name, size, events = str(entry["file_name"]), entry.get("file_size"), entry.get("event_count")
    checksums, parents = entry.get("checksum"), entry.get("parents")
    rest = {key: value for key, value in entry.items() if key not in _OWN}
    return FileSeen(
        name, _path(name, entry.get("locations")), size if isinstance(size, int) else 0,
        str(checksums[0]) if isinstance(checksums, list) and checksums else str(checksums or ""),
        events if isinstance(events, int) else None, rest,
        tuple(sorted(str(p["file_name"]) for p in parents or () if isinstance(p, dict) and "file_name" in p)),
        first_run(rest), moment_of(rest, "end_time") or moment_of(rest, "create_date"),
    )  # fmt: skip


def _path(name: str, places: Any) -> str:
    """Return where a file is, on disk rather than on tape; SAM names the folder."""
    found = [place for place in places or () if isinstance(place, dict) and place.get("location")]
    found.sort(key=lambda place: place.get("location_type") != "disk")
    return f"{str(found[0]['location']).rstrip('/')}/{name}" if found else ""


def _form(seen: FileSeen) -> dict[str, Any]:
    form = {**seen.metadata, "file_name": seen.name, "file_size": seen.size}
    if seen.events is not None:
        form["event_count"] = seen.events
    if seen.checksum:
        form["checksum"] = [seen.checksum]
    if seen.parents:
        form["parents"] = [{"file_name": name} for name in seen.parents]
    return form
