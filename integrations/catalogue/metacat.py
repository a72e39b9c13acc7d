"""MetaCat: files with metadata and parentage, datasets, and MQL (protocols 2); with a Data Dispatcher, fates as well.

A file is named `namespace:name`; a name without a namespace is looked for in the namespace of the settings. MetaCat
does not know where a file is: it has no residence and recalls nothing.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from integrations import http
from integrations.catalogue import declared, lineage, patterns
from integrations.catalogue.base import (
    CONSUMPTION,
    LINEAGE,
    NOWHERE,
    OFFERS,
    ON_DISK,
    QUERIES,
    RESIDENCE,
    SNAPSHOTS,
    TRANSFERS,
    Attempt,
    Catalogue,
    FileSeen,
    Frozen,
    News,
    Offer,
    Produced,
)
from integrations.catalogue.data_dispatcher import DataDispatcher
from integrations.catalogue.declared import Setting
from integrations.catalogue.server import CONFLICT, NOT_FOUND, TOKENS, UNAUTHORIZED, Server, chunks, end_of, said
from integrations.credentials import certificate, secret
from integrations.errors import Refused, Unavailable, Unsure

INVALID = 488  # MetaCat's own status for metadata that it does not take
A_LOOKUP = 1_000  # files of one request
AN_OFFER = 10_000  # files added to a dataset by one request, as their ids
MOST_FOUND = 1_000_000
# A file gets its time when its transaction begins, and can be seen when that ends: so long may be in between. What
# comes later still is noticed by the number of files, at the price of the whole list.
OVERLAP = 600  # seconds
FROZEN_PREFIX = "poms_frozen_"
LONGEST_TOKEN = 3600.0  # seconds that a token is kept which does not say when it ends
DID = re.compile(r"[A-Za-z0-9_./-]+:[A-Za-z0-9_./-]+")  # MetaCat takes no other characters
NAME = re.compile(r"[A-Za-z0-9_./-]+")
KEY = re.compile(r"[A-Za-z][A-Za-z0-9_]*([.][A-Za-z][A-Za-z0-9_]*)+")

SETTINGS: Mapping[str, Setting] = {
    "url": Setting("address of the server, up to /data: https://metacat.example.org:9443/dune/app", obligatory=True),
    "namespace": Setting("namespace of our own: of names without one, of what we declare, freeze and offer"),
    "sign_in": Setting(
        "how the credential becomes a token: it is one (token), or the auth server gives one for a SciToken (scitoken),"
        " a client certificate (x509) or user:password (password)",
        default="token", choices=("token", "scitoken", "x509", "password"),
    ),
    "auth_url": Setting("address of the auth server, up to /auth"),
    "username": Setting("as whom to sign in there"),
    "outputs": Setting("dataset into which outputs are declared", default="poms_outputs"),
    "events_key": Setting("metadata: number of events", default="core.event_count"),
    "runs_key": Setting("metadata: runs", default="core.runs"),
    "end_key": Setting("metadata: when the data of a file end, in seconds since 1970", default="core.end_time"),
    "version_key": Setting("metadata: release that made a file", default="core.application.version"),
    "attempt_key": Setting("metadata: uuid of the attempt, where jobs write it; needed for jobs without input files"),
    "units_key": Setting("metadata: keys of the units that a file was made from, where jobs write them"),
    "data_dispatcher": Setting("address of the Data Dispatcher, up to /data; without one, offers are datasets"),
    "places": Setting("name of the experiment's catalogue that knows where the files are, such as its Rucio"),
    "virtual": Setting("whether its projects need no replicas on disk", default="no", choices=("yes", "no")),
    "load_limit": Setting("how many files of a project are reserved at once at most"),
    "idle_timeout": Setting("seconds without activity after which a project is abandoned", default="259200"),
    "worker_timeout": Setting("seconds after which a file that a worker does not release goes to another"),
}  # fmt: skip
CREDENTIAL = "a token of MetaCat, a SciToken, user:password, or (as …_FILE) a certificate with its key: see sign_in"


class MetaCat:
    """One MetaCat server, as one account, and the Data Dispatcher beside it."""

    def __init__(
        self, settings: Mapping[str, Any], credential: str = "", places: Catalogue | None = None
    ) -> None:  # fmt: skip
        """Take the settings of a link and the name of its credential; without one, only questions are answered.

        `places` is the catalogue that its setting of this name names: it knows where the same files are.
        """
        self._set = declared.read("MetaCat", SETTINGS, settings)
        self._places = places
        self._credential = credential
        for name in ("events_key", "runs_key", "end_key", "version_key", "attempt_key", "units_key"):
            if self._set[name] and not KEY.fullmatch(self._set[name]):
                raise Refused(f"{name} of the MetaCat catalogue is {self._set[name]!r}, not like category.name.")
        if self._set["sign_in"] != "token" and not self._set["auth_url"]:
            raise Refused(f"To sign in by {self._set['sign_in']}, the MetaCat catalogue needs auth_url.")
        self.namespace = self._set["namespace"]
        self._server = Server("MetaCat", self._set["url"], headers=self._headers, words=_words)
        self._dispatcher = (
            DataDispatcher(
                Server("The Data Dispatcher", self._set["data_dispatcher"], headers=self._headers), self._set
            )
            if self._set["data_dispatcher"]
            else None
        )
        writes = {OFFERS, SNAPSHOTS} if self.namespace and credential else set()
        consumes = {OFFERS, CONSUMPTION} if self._dispatcher and credential else set()
        located = places.can & {RESIDENCE, TRANSFERS} if places else set()
        self.can = frozenset({LINEAGE, QUERIES, *writes, *consumes, *located})

    # --- Datasets

    def count(self, dataset: str) -> int | None:
        """Return how many files a dataset has, or a query finds; None if there is no such dataset."""
        if re.search(r"\b(children|parents)\b", dataset) and _is_query(dataset):
            return len(self._found(dataset))  # MetaCat counts and lists a child once for each of its parents
        if _is_query(dataset):
            return self._count(dataset)
        found = self._dataset(self._did(dataset))
        return None if found is None else self._number(found, "file_count")

    def freeze(self, dataset: str) -> Frozen | None:
        """Freeze a dataset, or what a query finds now.

        A dataset that is frozen itself is its own mark. Of any other, a frozen copy is made in our namespace; its name
        is the digest of its files, so that the same again finds it, and another content has another name.
        """
        if not _is_query(dataset):
            did = self._did(dataset)
            found = self._dataset(did)
            if found is None:
                return None
            if found.get("frozen"):
                return Frozen(dataset, did, self._number(found, "file_count"))
        if SNAPSHOTS not in self.can:
            files = self.count(dataset)
            return None if files is None else Frozen(dataset, "", files)
        fids = sorted(str(record["fid"]) for record in self._found(self._mql(dataset)))
        mark = f"{self.namespace}:{FROZEN_PREFIX}{_digest(fids)}"
        self._fill(mark, fids, frozen=True)
        return Frozen(dataset, mark, len(fids))

    def files(self, dataset: str | Frozen, wants: Collection[str] = ()) -> Sequence[FileSeen]:
        """Return the files of a dataset or query, by name; a frozen one that has changed since is Refused."""
        meta = bool({*wants} - {"path", "size"})
        if isinstance(dataset, str) or not dataset.mark:
            name = dataset if isinstance(dataset, str) else dataset.dataset
            return self._sorted(self._found(self._mql(name), meta=meta))
        copy = dataset.mark.partition(":")[2].startswith(FROZEN_PREFIX)
        # What was retired after it was frozen still belongs to our copy: exactly those files.
        records = self._found(f"files from {dataset.mark}", meta=meta, retired=copy)
        same = dataset.mark.endswith(_digest(sorted(str(r["fid"]) for r in records))) if copy else True
        if not same or len(records) != dataset.files:
            raise Refused(
                f"{dataset.mark} is no longer what was frozen of {dataset.dataset}: {len(records)} files, not"
                f" {dataset.files}."
            )
        return self._sorted(records)

    def news(self, dataset: str, mark: str, wants: Collection[str] = ()) -> News:
        """Return what a dataset has gained since a mark: a time of MetaCat's clock, and how many files were older.

        A file that is not new may be put into a dataset, which leaves no trace in its time: then more files are older
        than before, and the whole list comes.
        """
        meta = bool({*wants} - {"path", "size"})
        query = self._mql(dataset)
        before, older = _mark(mark)
        known = 0
        if before:
            known = self._count(_before(query, before))
            if known > older:
                before = known = 0
        rows = self._rows(_after(query, before) if before else query, meta=meta)
        times = [self._time(record) for record in rows]
        until = max([before, *(int(time) - OVERLAP for time in times)])
        known += sum(time <= until for time in times)
        return News(self._sorted(_once(rows)), f"{until} {known}" if until else "")

    def define(self, dataset: str, names: Sequence[str]) -> None:
        """Make a dataset of these files, or add to it what it lacks; it lies in our namespace if none is named."""
        self._fill(self._did(dataset), self._ids(names))

    # --- Files

    def known(self, names: Sequence[str]) -> set[str]:
        """Return those of the names that there is a file of, retired ones not counted."""
        return set(self._records(names))

    def told(self, names: Sequence[str]) -> dict[str, FileSeen]:
        """Return all that is known of these files, by the names that were asked for."""
        records = self._records(names, meta=True, provenance=True)
        parents = self._names_of(fid for record in records.values() for fid in self._relatives(record, "parents"))
        return {
            name: self._seen(record, [parents[fid] for fid in self._relatives(record, "parents") if fid in parents])
            for name, record in records.items()
        }

    def children(self, names: Sequence[str]) -> dict[str, list[str]]:
        """Return for each known file the names of those made from it, without retired ones."""
        records = self._records(names, provenance=True)
        made = self._names_of(fid for record in records.values() for fid in self._relatives(record, "children"))
        return {
            name: sorted(made[fid] for fid in self._relatives(record, "children") if fid in made)
            for name, record in records.items()
        }

    def like(self, wanted: str, limit: int) -> list[str]:
        """Return names that match one of the patterns, in our namespace unless a pattern names another."""
        terms = []
        for pattern in patterns.several(wanted):
            namespace, colon, name = pattern.rpartition(":")
            if not re.fullmatch(r"[A-Za-z0-9_./%-]+", name) or not re.fullmatch(r"[A-Za-z0-9_./-]*", namespace):
                raise Refused(f"{pattern!r} cannot be a pattern of names of MetaCat.")
            term = f"name ~ '^{patterns.expression(name)}$'"
            namespace = namespace if colon else self.namespace
            terms.append(f"(namespace = '{namespace}' and {term})" if namespace else f"({term})")
        if not terms or limit < 1:
            return []
        query = f"files where ({' or '.join(terms)}) ordered limit {limit}"
        return sorted(_did_of(record) for record in self._found(query))

    def query(self, text: str) -> list[str]:
        """Return the names of files that an MQL query finds."""
        if not text.strip():
            raise Refused("The query is empty; MQL is like: files from namespace:dataset where core.data_tier = raw")
        found = self._count(text)
        if found > MOST_FOUND:
            raise Refused(f"The query finds {found} files, more than {MOST_FOUND}; narrow it, or make a dataset.")
        return sorted(_did_of(record) for record in self._found(text))

    def matching(self, names: Sequence[str], condition: str) -> set[str]:
        """Return those of the names of which a condition of MQL holds, such as `core.data_tier = raw`."""
        if not condition.strip():
            raise Refused("The condition is empty; MQL has conditions like: core.data_tier = raw")
        ids = {str(record["fid"]): name for name, record in self._records(names).items()}
        found: set[str] = set()
        for piece in chunks(ids, A_LOOKUP):
            records = self._found(f"fids {','.join(piece)} where (\n{condition}\n)")
            found |= {ids[record["fid"]] for record in records if record["fid"] in ids}
        return found

    def residence(self, names: Sequence[str]) -> dict[str, str]:
        """Return where files are, as the catalogue of places says of those that MetaCat knows."""
        places, known = self._where(), self.known(names)
        return {**dict.fromkeys(known, NOWHERE), **places.residence(sorted(known))}

    def absent(self, dataset: str, limit: int) -> list[str]:
        """Return files of a dataset that are not on disk; they are looked through until there are so many."""
        places, found = self._where(), []
        for some in chunks([seen.name for seen in self.files(dataset)], A_LOOKUP):
            where = places.residence(some)
            found += [name for name in some if where.get(name) != ON_DISK]
            if len(found) >= limit:
                break
        return found[:limit]

    def recall(self, names: Sequence[str]) -> None:
        """Have the catalogue of places bring them to disk."""
        self._where().recall(names)

    def archived(self, names: Sequence[str]) -> set[str]:
        """Return those with a copy on tape, by the catalogue of places."""
        return self._where().archived(names)

    def bring(self, names: Sequence[str], to: str) -> set[str]:
        """Have the catalogue of places bring them there."""
        return self._where().bring(names, to)

    def _where(self) -> Catalogue:
        if self._places is None:
            raise Refused("MetaCat does not know where files are; name the catalogue that does in its setting places.")
        return self._places

    def place(self, path: str) -> Path | None:
        """Return None: it keeps no paths."""
        return None

    def declare(self, files: Sequence[FileSeen]) -> dict[str, str]:
        """Declare files with their parents into the dataset of outputs; return name -> why for those it refuses.

        MetaCat declares all files of a request or none: whatever it names as wrong is taken out, and the rest is
        declared again. A file that is there already is compared; of the same size and checksum, it is the same.
        """
        refused = {seen.name: "MetaCat takes only letters, digits and _ . / - in names" for seen in files
                   if not DID.fullmatch(self._full(seen.name))}  # fmt: skip
        waiting = {self._did(seen.name): seen for seen in files if seen.name not in refused}
        if waiting:
            self._own("declare outputs")
            into = self._did(self._set["outputs"])
            self._create(into)
        for piece in chunks(waiting, A_LOOKUP):
            refused |= self._declare(into, {did: waiting[did] for did in piece})
        return refused

    # --- Attempts

    def offer(self, name: str, names: Sequence[str]) -> Offer:
        """Make a project of the Data Dispatcher with these files, or where there is none, a dataset of MetaCat.

        Scripts get the project's number; its attribute `poms_offer` is our name for it, by which it is found again.
        """
        if self._dispatcher is None:
            did = self._did(name)
            self._own("offer inputs")
            self.define(did, names)
            return Offer(did)
        return self._dispatcher.offer(name, sorted({self._did(one) for one in names}))

    def produced(self, attempt: Attempt) -> list[Produced]:
        """Return children of the attempt's inputs that were declared since it was intended and match its patterns.

        Where their metadata name a release, it must be the attempt's. Which job made them MetaCat does not say:
        outputs that share an input belong together. MetaCat knows of a file what was declared: whoever declares it
        before it is in its place says what is not so, unless a catalogue of places knows better: then what a job left
        counts once all of it is somewhere. Jobs without input files are found by `attempt_key`.
        """
        units = lineage.units_by_name(attempt.inputs)
        made = list(self._descended(attempt, units)) if units else []
        if len(units) < len(set(attempt.inputs.values())) or not attempt.inputs:
            made += self._marked(attempt)
        found = lineage.jobs_of(made)
        if self._places is None:
            return found
        where = self._places.residence([seen.name for entry in found for seen in entry.outputs])
        return [entry for entry in found if all(where.get(seen.name, NOWHERE) != NOWHERE for seen in entry.outputs)]

    def fates(self, attempt: Attempt) -> dict[str, str]:
        """Return what became of the files of the attempt's project; nothing without a Data Dispatcher."""
        if self._dispatcher is None:
            return {}
        fates = self._dispatcher.fates(attempt.offered)
        names = {self._did(name): name for name in attempt.inputs.values() if name}
        return {names.get(did, did): fate for did, fate in fates.items()}

    # --- Names and records

    def _full(self, name: str) -> str:
        return name if ":" in name or not self.namespace else f"{self.namespace}:{name}"

    def _did(self, name: str) -> str:
        did = self._full(name)
        if not DID.fullmatch(did):
            raise Refused(f"{name!r} cannot be a name of MetaCat: namespace:name, with letters, digits and _ . / -")
        return did

    def _own(self, why: str) -> None:
        if not self.namespace or not self._credential:
            raise Refused(f"To {why}, the MetaCat catalogue needs a namespace of its own and a credential.")

    def _mql(self, dataset: str) -> str:
        return dataset if _is_query(dataset) else f"files from {self._did(dataset)}"

    def _dataset(self, did: str) -> dict[str, Any] | None:
        answer = self._server.ask(
            "GET", "data/dataset", query={"dataset": did, "exact_file_count": "yes"}, expect={NOT_FOUND}
        )
        if answer.status == NOT_FOUND:
            # Only its own words say that a dataset is not there; any other 404 is about the address.
            if b"Dataset not found" not in answer.body:
                raise Unavailable(f"{self._server.url} does not answer as MetaCat does: HTTP 404.", 300)
            return None
        found: dict[str, Any] = self._server.json(answer, dict)
        return found

    def _number(self, document: Mapping[str, Any], key: str) -> int:
        value = document.get(key)
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            raise self._server.senseless(f"{key} = {value!r}")
        return value

    def _count(self, query: str, *, retired: bool = False) -> int:
        options = {"summary": "count", **({"include_retired_files": "yes"} if retired else {})}
        answer = self._ask_query(query, options)
        if "json-seq" in answer.headers.get("Content-Type", ""):  # datasets are listed, not counted
            raise Refused("The query finds datasets, not files; it should begin with files.")
        return self._number(self._server.json(answer, dict), "count")

    def _found(self, query: str, **how: bool) -> list[dict[str, Any]]:
        """Return the records of the files that a query finds, each once."""
        return _once(self._rows(query, **how))

    def _rows(
        self, query: str, *, meta: bool = False, provenance: bool = False, retired: bool = False
    ) -> list[dict[str, Any]]:
        """Return what a query finds, as MetaCat counts it.

        It comes as a stream whose end nothing tells from a broken one, so it is counted first: fewer were cut off.
        """
        least = self._count(query, retired=retired)
        options = {
            "with_meta": _yes(meta), "with_provenance": _yes(provenance),
            **({"include_retired_files": "yes"} if retired else {}),
        }  # fmt: skip
        answer = self._ask_query(query, options)
        found = [self._checked(record) for record in self._stream(answer)]
        if len(found) < least:
            raise self._server.senseless(f"with {len(found)} of {least} files")
        return found

    def _ask_query(self, query: str, options: Mapping[str, str]) -> http.Answer:
        space = {"namespace": self.namespace} if self.namespace else {}
        return self._server.ask("POST", "data/query", query={**options, **space}, text=query)

    def _stream(self, answer: http.Answer) -> Iterable[dict[str, Any]]:
        if "json-seq" in answer.headers.get("Content-Type", ""):
            return self._server.lines(answer, begin=b"\x1e")
        found: list[dict[str, Any]] = self._server.json(answer, list)
        return found

    def _checked(self, record: Any) -> dict[str, Any]:
        if not isinstance(record, dict) or not all(
            isinstance(record.get(key), str) and record[key] for key in ("fid", "namespace", "name")
        ):
            raise self._server.senseless(f"with a file without id, namespace or name ({str(record)[:60]})")
        return record

    def _looked_up(
        self, specs: Iterable[Mapping[str, str]], *, meta: bool = False, provenance: bool = False
    ) -> Iterator[dict[str, Any]]:
        for piece in chunks(specs, A_LOOKUP):
            answer = self._server.ask(
                "POST", "data/files", send=piece,
                query={"with_metadata": _yes(meta), "with_provenance": _yes(provenance)},
            )  # fmt: skip
            for record in self._server.json(answer, list):
                yield self._checked(record)

    def _records(
        self, names: Iterable[str], *, meta: bool = False, provenance: bool = False, retired: bool = False
    ) -> dict[str, dict[str, Any]]:
        """Return records by the names as they were asked for; what cannot be a name is of no file."""
        asked: dict[str, list[str]] = {}
        for name in names:
            if DID.fullmatch(did := self._full(name)):
                asked.setdefault(did, []).append(name)
        specs = [{"namespace": did.partition(":")[0], "name": did.partition(":")[2]} for did in asked]
        return {
            name: record
            for record in self._looked_up(specs, meta=meta, provenance=provenance)
            if retired or not record.get("retired")
            for name in asked.get(_did_of(record), ())
        }

    def _ids(self, names: Sequence[str]) -> list[str]:
        records = self._records(names)
        if unknown := [name for name in names if name not in records]:
            more = f" and {len(unknown) - 3} more" if len(unknown) > 3 else ""
            raise Refused(f"MetaCat does not know {', '.join(unknown[:3])}{more}.")
        return sorted({str(record["fid"]) for record in records.values()})

    def _relatives(self, record: Mapping[str, Any], which: str) -> list[str]:
        found = record.get(which)
        if not isinstance(found, list):
            raise self._server.senseless(f"with a file without its {which}")
        # {"fid": …} today, the id alone from servers before 3.10
        ids = [entry.get("fid") if isinstance(entry, dict) else entry for entry in found]
        if not all(isinstance(fid, str) for fid in ids):
            raise self._server.senseless(f"with {which} without ids")
        return [str(fid) for fid in ids]

    def _names_of(self, fids: Iterable[str]) -> dict[str, str]:
        specs = [{"fid": fid} for fid in dict.fromkeys(fids)]
        return {record["fid"]: _did_of(record) for record in self._looked_up(specs) if not record.get("retired")}

    def _seen(self, record: Mapping[str, Any], parents: Sequence[str] = ()) -> FileSeen:
        meta = record.get("metadata") or {}
        events, end, runs = (meta.get(self._set[key]) for key in ("events_key", "end_key", "runs_key"))
        ended = end if isinstance(end, int | float) and end > 0 else record.get("created_timestamp")
        run = runs[0] if isinstance(runs, list) and runs else runs
        return FileSeen(
            _did_of(record), size=record.get("size") or 0, checksum=_checksum(record.get("checksums")),
            events=events if isinstance(events, int) else None, metadata=meta, parents=tuple(sorted(parents)),
            run=run if isinstance(run, int) else None,
            taken_at=datetime.fromtimestamp(ended, UTC) if isinstance(ended, int | float) else None,
        )  # fmt: skip

    def _sorted(self, records: Iterable[Mapping[str, Any]]) -> list[FileSeen]:
        return sorted((self._seen(record) for record in records), key=lambda seen: seen.name)

    def _time(self, record: Mapping[str, Any]) -> float:
        time = record.get("created_timestamp")
        if not isinstance(time, int | float):
            raise self._server.senseless("with a file without the time of its making")
        return float(time)

    # --- Making datasets and files

    def _create(self, did: str) -> None:
        """Make a dataset, unless it is there."""
        if self._dataset(did) is not None:
            return
        namespace, _, name = did.partition(":")
        wanted = {"namespace": namespace, "name": name, "frozen": False, "monotonic": False, "metadata": {},
                  "description": "made by POMS"}  # fmt: skip
        self._server.act("POST", "data/create_dataset", send=wanted, expect={CONFLICT})

    def _fill(self, did: str, fids: Sequence[str], *, frozen: bool = False) -> None:
        """Make a dataset of these files, or add what it lacks; one that is to be frozen has no others."""
        self._own(f"make {did}")
        self._create(did)
        found = self._must(did)
        if found.get("frozen"):
            there = {str(record["fid"]) for record in self._found(f"files from {did}", retired=True)}
            if (missing := set(fids) - there) or (frozen and there - set(fids)):
                raise Refused(
                    f"{did} is frozen, and has not the same files: {len(missing)} of {len(fids)} are missing."
                )
            return
        for piece in chunks(fids, AN_OFFER):
            files = {"file_list": [{"fid": fid} for fid in piece]}
            self._server.act("POST", f"data/add_files?dataset={quote(did)}", send=files)
        there_now = self._number(self._must(did), "file_count")
        if there_now < len(fids) or (frozen and there_now != len(fids)):
            raise Unavailable(f"{did} has {there_now} files, not {len(fids)}: something else changes it.")
        if frozen:
            self._server.act("POST", f"data/update_dataset?dataset={quote(did)}", send={"frozen": True})

    def _must(self, did: str) -> dict[str, Any]:
        found = self._dataset(did)
        if found is None:
            raise Unsure(f"MetaCat has made {did} and does not find it.")
        return found

    def _declare(self, into: str, waiting: dict[str, FileSeen]) -> dict[str, str]:
        """Declare some files; each round either ends it or takes something out."""
        refused: dict[str, str] = {}
        while waiting:
            there = self._records(waiting, meta=False, retired=True)
            for did, record in there.items():
                if why := _other(waiting[did], record):
                    refused[waiting[did].name] = why
                del waiting[did]
            order = list(waiting)
            if not order:
                break
            answer = self._server.act(
                "POST", f"data/declare_files?dataset={quote(into)}", expect={CONFLICT, INVALID},
                send=[self._entry(did, waiting[did]) for did in order],
            )  # fmt: skip
            if answer.status == CONFLICT:  # somebody was quicker: they are looked at in the next round
                if not self._records(waiting, retired=True):
                    raise Refused(f"MetaCat: {_words(answer)}")
                continue
            if answer.status != INVALID:
                break
            wrong = _wrong(answer, len(order))
            if not wrong:
                raise Refused(f"MetaCat: {_words(answer)}")
            for index, why in wrong.items():
                refused[waiting.pop(order[index]).name] = why
        return refused

    def _entry(self, did: str, seen: FileSeen) -> dict[str, Any]:
        namespace, _, name = did.partition(":")
        events = {self._set["events_key"]: seen.events} if seen.events is not None and self._set["events_key"] else {}
        kind, colon, value = seen.checksum.partition(":")
        parents = [self._did(parent).partition(":") for parent in seen.parents]
        return {
            "namespace": namespace, "name": name, "size": seen.size, "metadata": {**events, **seen.metadata},
            "checksums": {kind: value} if colon else {},
            "parents": [{"namespace": space, "name": parent} for space, _, parent in parents],
        }  # fmt: skip

    # --- Outputs

    def _descended(self, attempt: Attempt, units: Mapping[str, list[str]]) -> Iterator[tuple[FileSeen, list[str]]]:
        """Yield the outputs that have inputs of the attempt among their parents, with the units of those."""
        inputs = {str(record["fid"]): name for name, record in self._records(units, retired=True).items()}
        done: set[str] = set()  # a child of inputs of two pieces comes with both
        for piece in chunks(inputs, A_LOOKUP):
            for record in self._found(f"children(fids {','.join(piece)})", meta=True, provenance=True):
                parents = [inputs[fid] for fid in self._relatives(record, "parents") if fid in inputs]
                if record["fid"] in done or not self._is_output(record, attempt):
                    continue
                done.add(record["fid"])
                yield self._seen(record, parents), [unit for parent in parents for unit in units[parent]]

    def _marked(self, attempt: Attempt) -> Iterator[tuple[FileSeen, list[str]]]:
        """Yield the outputs whose metadata name the attempt and its units."""
        attempt_key, units_key = self._set["attempt_key"], self._set["units_key"]
        if not attempt_key or not units_key:
            raise Refused(
                "MetaCat finds outputs by their parents, and jobs without input files leave none: set attempt_key and"
                " units_key, the metadata in which they name their attempt and units."
            )
        if not re.fullmatch(r"[0-9A-Za-z-]+", attempt.uuid):
            raise Refused(f"{attempt.uuid!r} is no uuid.")
        for record in self._found(f"files where {attempt_key} = '{attempt.uuid}'", meta=True):
            units = (record.get("metadata") or {}).get(units_key)
            keys = [str(unit) for unit in units] if isinstance(units, list) else [str(units)] if units else []
            if self._is_output(record, attempt):
                yield self._seen(record), [key for key in keys if key in attempt.inputs and not attempt.inputs[key]]

    def _is_output(self, record: Mapping[str, Any], attempt: Attempt) -> bool:
        version = (record.get("metadata") or {}).get(self._set["version_key"])
        return (
            self._time(record) >= attempt.since.timestamp()
            and patterns.matcher(attempt.patterns)(record["name"])
            and (version is None or not attempt.version or str(version) == attempt.version)
        )

    # --- Who we are

    def _headers(self, anew: bool) -> Mapping[str, str]:
        if not self._credential:
            return {}
        if self._set["sign_in"] == "token":
            return {"X-Authentication-Token": secret(self._credential)}
        whose = ("metacat", *(self._set[key] for key in ("auth_url", "sign_in", "username")), self._credential)
        return {"X-Authentication-Token": TOKENS.get(self._sign_in, *whose, anew=anew)}

    def _sign_in(self) -> tuple[str, float]:
        """Exchange the credential for a token at the auth server."""
        kind, user = self._set["sign_in"], self._set["username"]
        query = {"method": {"scitoken": "token", "password": "ldap"}.get(kind, kind), "username": user}
        server = Server(
            "MetaCat's auth server", self._set["auth_url"],
            certificate=certificate(self._credential) if kind == "x509" else "",
        )  # fmt: skip
        how: dict[str, Any] = {"query": query, "expect": {UNAUTHORIZED, 403}}
        if kind == "x509":
            answer = server.ask("GET", "auth", **how)
        elif kind == "scitoken":
            answer = server.ask("POST", "auth", headers={"Authorization": f"bearer {secret(self._credential)}"}, **how)
        else:
            answer = server.ask("POST", "auth", text=secret(self._credential), **how)
        if answer.status in (UNAUTHORIZED, 403):
            raise Unavailable(f"MetaCat's auth server does not accept the credential {self._credential}.", 300)
        token = answer.headers.get("X-Authentication-Token", "")
        if not token:
            raise server.senseless("without a token")
        return token, end_of(token, datetime.now(UTC).timestamp() + LONGEST_TOKEN)


def _is_query(dataset: str) -> bool:
    """Tell whether a dataset is given as text of MQL: names have neither blanks nor brackets."""
    return bool(re.search(r"[\s(\[{]", dataset.strip()))


def _before(query: str, time: int) -> str:
    return f"(\n{query}\n) where created_timestamp <= '{_iso(time)}'"


def _after(query: str, time: int) -> str:
    return f"(\n{query}\n) where created_timestamp > '{_iso(time)}'"


def _once(records: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    return list({record["fid"]: record for record in records}.values())


def _iso(time: int) -> str:
    return datetime.fromtimestamp(time, UTC).isoformat()


def _mark(mark: str) -> tuple[int, int]:
    if not mark:
        return 0, 0
    found = re.fullmatch(r"(\d{1,12}) (\d{1,12})", mark)
    if not found:
        raise Refused(f"{mark[:60]!r} is no mark of the MetaCat catalogue.")
    return int(found[1]), int(found[2])


def _digest(fids: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(fids).encode()).hexdigest()[:40]


def _did_of(record: Mapping[str, Any]) -> str:
    return f"{record['namespace']}:{record['name']}"


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def _checksum(checksums: Any) -> str:
    if not isinstance(checksums, dict) or not checksums:
        return ""
    kind = "adler32" if "adler32" in checksums else min(checksums)
    return f"{kind}:{checksums[kind]}"


def _other(seen: FileSeen, record: Mapping[str, Any]) -> str:
    """Say why a file of MetaCat is another one than ours of the same name, or nothing."""
    if record.get("retired"):
        return "the name is taken by a file that was retired"
    if record.get("size") not in (None, seen.size):
        return f"the name is taken by a file of {record['size']} bytes"
    kind, _, value = seen.checksum.partition(":")
    theirs = (record.get("checksums") or {}).get(kind, value)
    return "" if str(theirs).lower() == value.lower() else f"the name is taken by a file with {kind} {theirs}"


def _wrong(answer: http.Answer, files: int) -> dict[int, str]:
    """Return which files of a declaration are wrong, and why."""
    try:
        errors = json.loads(answer.body)["metadata_errors"]
        found: dict[int, list[str]] = {}
        for error in errors:
            details = [f"{one.get('name')}: {one.get('reason')}" for one in error.get("metadata_errors") or ()]
            found.setdefault(int(error["index"]), []).append("; ".join([str(error.get("message")), *details]))
        return {index: "; ".join(why)[:400] for index, why in found.items() if 0 <= index < files}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Refused(f"MetaCat: {said(answer)}") from error


def _words(answer: http.Answer) -> str:
    if answer.status == INVALID:
        return f"the metadata are not valid: {said(answer)}"
    return said(answer)
