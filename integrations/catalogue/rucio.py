"""Rucio: datasets, replicas and rules (protocols 3).

A file or dataset is named `scope:name`; a name without a scope lies in the scope of the settings. Rucio knows where
files are, not what was made from what: parents stand in the metadata of a file, where jobs write them. What an attempt
has produced is therefore looked for in a dataset of its own, to which its jobs upload, as PanDA and Belle II do it.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from integrations import http
from integrations.catalogue import declared, lineage, patterns
from integrations.catalogue.base import (
    NOWHERE,
    OFFERS,
    ON_DISK,
    ON_TAPE,
    QUERIES,
    RESIDENCE,
    SNAPSHOTS,
    TRANSFERS,
    Attempt,
    FileSeen,
    Frozen,
    News,
    Offer,
    Produced,
)
from integrations.catalogue.declared import Setting
from integrations.catalogue.server import CONFLICT, NOT_FOUND, TOKENS, UNAUTHORIZED, Server, chunks, is_page, said
from integrations.credentials import certificate, secret
from integrations.errors import Refused, Unavailable, Unsure

A_LOOKUP = 500  # files of one request
MOST_FOUND = 100_000  # files of one search
FROZEN_PREFIX, RECALL_PREFIX, BRING_PREFIX = "poms_frozen_", "poms_recall_", "poms_bring_"
OUTPUT = ".out"  # after the name of an offer: the dataset of its outputs
SCOPE = re.compile(r"[A-Za-z0-9_.-]{1,64}")
NAME = re.compile(r"[A-Za-z0-9_./#=+%@-]{1,250}")
TERM = re.compile(r"\s*([A-Za-z][A-Za-z0-9_.-]*)\s*(>=|<=|!=|>|<|=)\s*([^,;=<>!]+?)\s*")
OPERATIONS = {"=": "", "!=": ".ne", ">": ".gt", "<": ".lt", ">=": ".gte", "<=": ".lte"}
NO_DATASET = {"DataIdentifierNotFound", "ScopeNotFound"}
FOR_NOW = {"ReplicationRuleCreationTemporaryFailed", "ResourceTemporaryUnavailable"}

SETTINGS: Mapping[str, Setting] = {
    "url": Setting("address of the server: https://rucio.example.org", obligatory=True),
    "auth_url": Setting("address of the auth server, if it is another one"),
    "sign_in": Setting(
        "how the credential becomes a token: user:password (userpass), a certificate (x509, x509_proxy), or it is one"
        " that the server takes as it is (bearer)",
        default="userpass", choices=("userpass", "x509", "x509_proxy", "bearer"),
    ),
    "account": Setting("the account of Rucio", obligatory=True),
    "vo": Setting("the virtual organisation, where the server has several"),
    "scope": Setting("scope of our own: of names without one, of what we declare, freeze and offer"),
    "outputs": Setting("dataset to which outputs are added when they are declared", default="poms_outputs"),
    "output_rse": Setting("RSE at which outputs that are not in Rucio yet are registered, by their URL"),
    "output_rule": Setting("RSE expression at which a rule keeps the dataset of outputs"),
    "disk_rses": Setting("RSE expression to which files on tape are recalled"),
    "recall_lifetime": Setting("seconds that recalled files stay on disk", default="1209600"),
    "parents_key": Setting("metadata: what a file was made from, names of inputs or keys of units", default="parents"),
    "version_key": Setting("metadata: release that made a file", default="version"),
}  # fmt: skip
CREDENTIAL = "user:password, a token, or (as …_FILE) a certificate with its key: see sign_in"


@dataclass(frozen=True)
class RuleSeen:
    """One rule: what it keeps where, and how far that is."""

    id: str
    expression: str
    state: str  # REPLICATING, OK, STUCK, SUSPENDED, WAITING_APPROVAL or INJECT
    ok: int
    replicating: int
    stuck: int
    error: str = ""


class Rucio:
    """One Rucio server, as one account."""

    def __init__(self, settings: Mapping[str, Any], credential: str = "") -> None:
        """Take the settings of a link and the name of its credential."""
        self._set = declared.read("Rucio", SETTINGS, settings)
        if not self._set["recall_lifetime"].isdecimal():
            raise Refused(
                f"recall_lifetime of the Rucio catalogue is {self._set['recall_lifetime']!r}, no whole number."
            )
        if not credential:
            raise Refused("The Rucio catalogue needs a credential: Rucio answers nobody whom it does not know.")
        self._credential = credential
        self.scope = self._set["scope"]
        self._server = Server("Rucio", self._set["url"], headers=self._headers, words=_words, stranger=_is_stranger)
        self._types: dict[str, str] = {}
        self.can = frozenset({QUERIES, RESIDENCE, *((OFFERS, SNAPSHOTS, TRANSFERS) if self.scope else ())})

    # --- Datasets

    def count(self, dataset: str) -> int | None:
        """Return how many files a dataset or container has, or None if there is none."""
        found = self._dataset(self._did(dataset))
        return None if found is None else self._length(found)

    def freeze(self, dataset: str) -> Frozen | None:
        """Freeze a dataset: a closed one is its own mark, of an open one or a container a closed copy is made.

        The copy's name is the digest of its files, so that the same again finds it. It has no rule: who lets the
        originals expire lets the copy expire.
        """
        did = self._did(dataset)
        found = self._dataset(did)
        if found is None:
            return None
        if found["type"] == "DATASET" and found.get("open") is False:
            return Frozen(dataset, did, self._length(found))
        names = sorted(self._listed(did, self._length(found)))
        if SNAPSHOTS not in self.can:
            return Frozen(dataset, "", len(names))
        mark = f"{self.scope}:{FROZEN_PREFIX}{_digest(names)}"
        self._fill(mark, names, closed=True)
        return Frozen(dataset, mark, len(names))

    def files(self, dataset: str | Frozen, wants: Collection[str] = ()) -> Sequence[FileSeen]:
        """Return the files of a dataset, by name; a frozen one that has changed since is Refused."""
        frozen = dataset if isinstance(dataset, Frozen) and dataset.mark else None
        name = frozen.mark if frozen else dataset.dataset if isinstance(dataset, Frozen) else dataset
        did = self._did(name)
        found = self._dataset(did)
        if found is None and frozen is None:
            return []
        records = self._listed(did, self._length(found)) if found else {}
        copy = did.partition(":")[2].startswith(FROZEN_PREFIX)
        if frozen and (len(records) != frozen.files or (copy and not did.endswith(_digest(sorted(records))))):
            raise Refused(
                f"{did} is no longer what was frozen of {frozen.dataset}: {len(records)} files, not {frozen.files}."
            )
        told = self._meta(records, whole=True) if {*wants} - {"path", "size", "events"} else records
        paths = self._paths(records) if "path" in wants else {}
        return [self._seen(one, {**records[one], **told.get(one, {})}, paths.get(one, "")) for one in sorted(records)]

    def news(self, dataset: str, mark: str, wants: Collection[str] = ()) -> News:
        """Return the whole dataset if its files are others than at the mark, their digest, and nothing if not.

        Rucio does not say since when a file belongs to a dataset.
        """
        files = self.files(dataset, wants)
        now = _digest([seen.name for seen in files]) if files else ""
        return News([] if now == mark else files, now)

    def define(self, dataset: str, names: Sequence[str]) -> None:
        """Make a dataset of these files, or add to it what it lacks."""
        self._fill(self._did(dataset), sorted({self._did(name) for name in names}))

    # --- Files

    def known(self, names: Sequence[str]) -> set[str]:
        """Return those of the names that Rucio has a file of."""
        found = self._meta(self._asked(names))
        return {name for did, asked in self._asked(names).items() if did in found for name in asked}

    def told(self, names: Sequence[str]) -> dict[str, FileSeen]:
        """Return all that is known of these files, with the parents that stand in their metadata."""
        asked = self._asked(names)
        found = self._meta(asked, whole=True)
        paths = self._paths(found)
        return {
            name: self._seen(did, found[did], paths.get(did, ""))
            for did, theirs in asked.items()
            if did in found
            for name in theirs
        }

    def children(self, names: Sequence[str]) -> dict[str, list[str]]:
        """Refuse: it can be asked for the parents of a file only."""
        raise Refused("Rucio does not know what was made from a file.")

    def like(self, wanted: str, limit: int) -> list[str]:
        """Return names that match one of the patterns, in our scope unless a pattern names another."""
        found: set[str] = set()
        for pattern in patterns.several(wanted):
            scope, colon, name = pattern.partition(":")
            scope, name = (scope, name) if colon else (self._own_scope("search by a name without one"), pattern)
            if not NAME.fullmatch(name):
                raise Refused(f"{pattern!r} cannot be a pattern of names of Rucio.")
            # Rucio has no sign for one character: more is asked for, and looked at here.
            matches = patterns.matcher(name)
            filters = [{"name": name.replace("%", "*").replace("_", "*")}]
            found |= {f"{scope}:{one}" for one in self._search(scope, filters) if matches(one)}
        return sorted(found)[: max(limit, 0)]

    def query(self, text: str) -> list[str]:
        """Return the names of files that a filter of Rucio finds: `scope: name=raw_*, run_number>=713; datatype=RAW`.

        Commas are "and", semicolons "or"; without a scope, ours is searched.
        """
        scope, filters = self._filters(text)
        return sorted(f"{scope}:{name}" for name in self._search(scope, filters))

    def matching(self, names: Sequence[str], condition: str) -> set[str]:
        """Return those of the names of which a filter of Rucio holds."""
        _, filters = self._filters(f"x:{condition}")
        asked = self._asked(names)
        scopes = {did.partition(":")[0] for did in asked}
        found = {f"{scope}:{name}" for scope in sorted(scopes) for name in self._search(scope, filters)}
        return {name for did, theirs in asked.items() if did in found for name in theirs}

    def residence(self, names: Sequence[str]) -> dict[str, str]:
        """Return where each known file has an available replica: on an RSE of disks, or of tapes only."""
        return {
            name: ON_DISK if "DISK" in kinds else ON_TAPE if "TAPE" in kinds else NOWHERE
            for name, kinds in self._places(names).items()
        }

    def archived(self, names: Sequence[str]) -> set[str]:
        """Return those with an available replica on an RSE of tapes."""
        return {name for name, kinds in self._places(names).items() if "TAPE" in kinds}

    def _places(self, names: Sequence[str]) -> dict[str, set[str]]:
        """Return for each known file of what kinds the RSEs are that have an available replica."""
        asked = self._asked(names)
        known = self._meta(asked)
        places = {did: {self._type(rse) for rse in rses} for did, rses in self._available(known).items()}
        return {name: places.get(did, set()) for did, theirs in asked.items() if did in known for name in theirs}

    def absent(self, dataset: str, limit: int) -> list[str]:
        """Return files of a dataset that have no replica on disk; one that is whole on an RSE is not looked into."""
        did = self._did(dataset)
        found = self._dataset(did)
        if found is None or self._whole_on_disk(did, found):
            return []
        absent: list[str] = []
        for piece in chunks(sorted(self._listed(did, self._length(found))), A_LOOKUP):
            absent += [name for name, place in sorted(self.residence(piece).items()) if place != ON_DISK]
            if len(absent) >= limit:
                break
        return absent[:limit]

    def recall(self, names: Sequence[str]) -> None:
        """Have files brought to disk: a rule on a dataset of them, named by its digest, so that it is made once."""
        if not self._set["disk_rses"]:
            raise Refused("To recall files, the Rucio catalogue needs disk_rses: where to.")
        dids = sorted(self._asked(names))
        if not dids:
            return
        into = f"{self._own_scope('recall files')}:{RECALL_PREFIX}{_digest(dids)}"
        self._fill(into, dids)
        self.keep(into, self._set["disk_rses"], lifetime=int(self._set["recall_lifetime"]), activity="Staging")

    def bring(self, names: Sequence[str], to: str) -> set[str]:
        """Keep a dataset of the files at an RSE expression by a rule; once the rule is fulfilled, all are there."""
        asked = self._asked(names)
        if not asked:
            return set()
        into = f"{self._own_scope('bring files to a place')}:{BRING_PREFIX}{_digest(sorted(asked))}"
        self._fill(into, sorted(asked))
        ours = self.keep(into, to)
        fulfilled = any(rule.id == ours and rule.state == "OK" for rule in self.rules(into))
        return {name for theirs in asked.values() for name in theirs} if fulfilled else set()

    def place(self, path: str) -> Path | None:
        """Return None: replicas are reached by their URLs."""
        return None

    def declare(self, files: Sequence[FileSeen]) -> dict[str, str]:
        """Enter files; return name -> why for those that are refused.

        What jobs have uploaded is there already, and is compared. A file that is elsewhere is registered at
        `output_rse`, if its path is a URL there. All of them are added to the dataset of outputs; parents are written
        into the metadata of those that are new.
        """
        if not files:
            return {}
        scope = self._own_scope("declare outputs")
        names = {seen.name: self._did(seen.name) for seen in files}
        known = self._meta(set(names.values()))
        refused: dict[str, str] = {}
        fresh = []
        for seen in files:
            record = known.get(names[seen.name])
            why = _other(seen, record) if record else self._unregistrable(seen)
            if why:
                refused[seen.name] = why
            elif not record:
                fresh.append(seen)
        for piece in chunks(fresh, A_LOOKUP):
            refused |= self._register({names[seen.name]: seen for seen in piece})
        good = sorted({did for name, did in names.items() if name not in refused})
        if good:
            into = self._did(self._set["outputs"]) if ":" in self._set["outputs"] else f"{scope}:{self._set['outputs']}"
            self._fill(into, good)
            if self._set["output_rule"]:
                self.keep(into, self._set["output_rule"])
        return refused

    # --- Rules

    def keep(self, dataset: str, expression: str, *, lifetime: int | None = None, activity: str = "") -> str:
        """Return the id of our rule that keeps a copy of a dataset at an RSE expression; make it if there is none."""
        did = self._did(dataset)
        scope, _, name = did.partition(":")
        answer = self._server.act("POST", "rules/", expect={CONFLICT}, send={
            "dids": [{"scope": scope, "name": name}], "copies": 1, "rse_expression": expression, "lifetime": lifetime,
            "account": self._set["account"], "grouping": "DATASET", "activity": activity or None,
            "comment": "made by POMS",
        })  # fmt: skip
        if answer.status == CONFLICT:
            if _class(answer) != "DuplicateRule":
                raise self._conflict(answer)
            for rule in self.rules(did):
                if rule.expression == expression:
                    return rule.id
            raise Unavailable(f"Rucio has a rule for {did} at {expression} and does not find it.")
        made = answer.json()
        if not isinstance(made, list) or len(made) != 1 or not isinstance(made[0], str):
            raise Unsure(f"Rucio made a rule for {did} and did not say which.")
        return made[0]

    def rules(self, dataset: str) -> list[RuleSeen]:
        """Return our rules on a dataset, and how far they are."""
        answer = self._server.ask("GET", f"dids/{self._path(self._did(dataset))}/rules")
        return [
            RuleSeen(
                str(rule.get("id")), str(rule.get("rse_expression")), str(rule.get("state")),
                ok=int(rule.get("locks_ok_cnt") or 0), replicating=int(rule.get("locks_replicating_cnt") or 0),
                stuck=int(rule.get("locks_stuck_cnt") or 0), error=str(rule.get("error") or ""),
            )
            for rule in self._server.lines(answer)
            if rule.get("account") == self._set["account"]
        ]  # fmt: skip

    # --- Attempts

    def offer(self, name: str, names: Sequence[str]) -> Offer:
        """Make a dataset of these files, and an empty one beside it for the outputs; jobs find both by their names."""
        did = f"{self._own_scope('offer inputs')}:{name}"
        self._fill(did, sorted({self._did(one) for one in names}))
        self._fill(did + OUTPUT, [])
        return Offer(did, {"POMS_RUCIO_DATASET": did, "POMS_RUCIO_OUTPUT": did + OUTPUT})

    def produced(self, attempt: Attempt) -> list[Produced]:
        """Return files of the attempt's output dataset that match its patterns and have an available replica.

        What each was made from its jobs say in its metadata (`parents_key`): names of inputs, or keys of units where
        there are none. One that does not say so cannot be counted, and nothing is until it does.
        """
        did = f"{self._own_scope('find outputs')}:{attempt.offered}{OUTPUT}"
        found = self._dataset(did) if attempt.offered else None
        if found is None:
            raise Refused(f"Rucio has no dataset {did}: nobody knows what the attempt {attempt.uuid} produced.")
        matches = patterns.matcher(attempt.patterns)
        names = [one for one in self._listed(did, self._length(found)) if matches(one.partition(":")[2])]
        told = self._meta(names, whole=True)
        there = self._available(told)
        units = {self._did(name): keys for name, keys in lineage.units_by_name(attempt.inputs).items()}
        made = []
        for name in sorted(told):
            record = told[name]
            version = record.get(self._set["version_key"])
            if not there.get(name) or (version and attempt.version and str(version) != attempt.version):
                continue
            parents = self._parents(record)
            if not parents:
                raise Refused(f"{name} does not say in its metadata {self._set['parents_key']} what it was made from.")
            keys = [key for one in parents for key in units.get(self._full(one), [one])]
            made.append((self._seen(name, record), [key for key in keys if key in attempt.inputs]))
        return lineage.jobs_of(made)

    def fates(self, attempt: Attempt) -> dict[str, str]:
        """Return nothing: Rucio does not follow what jobs do with files."""
        return {}

    # --- Names and records

    def _full(self, name: str) -> str:
        return name if ":" in name or not self.scope else f"{self.scope}:{name}"

    def _did(self, name: str) -> str:
        scope, colon, rest = self._full(name).partition(":")
        if not colon or not SCOPE.fullmatch(scope) or not NAME.fullmatch(rest):
            raise Refused(f"{name[:200]!r} cannot be a name of Rucio: scope:name.")
        return f"{scope}:{rest}"

    def _asked(self, names: Iterable[str]) -> dict[str, list[str]]:
        """Return the names as they were asked for by the names of Rucio; what cannot be one is of no file."""
        found: dict[str, list[str]] = {}
        for name in names:
            scope, colon, rest = self._full(name).partition(":")
            if colon and SCOPE.fullmatch(scope) and NAME.fullmatch(rest):
                found.setdefault(f"{scope}:{rest}", []).append(name)
        return found

    def _own_scope(self, why: str) -> str:
        if not self.scope:
            raise Refused(f"To {why}, the Rucio catalogue needs a scope of its own.")
        return self.scope

    @staticmethod
    def _path(did: str) -> str:
        return "/".join(quote(part, safe="") for part in did.split(":", 1))

    def _dataset(self, did: str) -> dict[str, Any] | None:
        answer = self._server.ask("GET", f"dids/{self._path(did)}", query={"dynamic_depth": "FILE"}, expect={NOT_FOUND})
        if answer.status == NOT_FOUND:
            if _class(answer) not in NO_DATASET:
                raise Unavailable(f"{self._server.url} does not answer as Rucio does: HTTP 404.", 300)
            return None
        found: dict[str, Any] = self._server.json(answer, dict)
        if found.get("type") == "FILE":
            raise Refused(f"{did} is a file, not a dataset.")
        if found.get("type") not in ("DATASET", "CONTAINER"):
            raise self._server.senseless(f"with something of type {found.get('type')!r}")
        return found

    def _length(self, found: Mapping[str, Any]) -> int:
        length = found.get("length", 0)
        if length is not None and (not isinstance(length, int) or isinstance(length, bool)):
            raise self._server.senseless(f"length = {length!r}")
        return length or 0  # none for a dataset that is empty

    def _listed(self, did: str, least: int) -> dict[str, dict[str, Any]]:
        """Return the records of a dataset's files; fewer than were counted before were cut off."""
        answer = self._server.ask("GET", f"dids/{self._path(did)}/files")
        records = list(self._server.lines(answer))
        if len(records) < least:
            raise self._server.senseless(f"with {len(records)} of {least} files of {did}")
        return {self._named(record): record for record in records}

    def _named(self, record: Mapping[str, Any]) -> str:
        scope, name = record.get("scope"), record.get("name")
        if not isinstance(scope, str) or not isinstance(name, str) or not scope or not name:
            raise self._server.senseless(f"with a file without scope or name ({str(record)[:60]})")
        return f"{scope}:{name}"

    def _meta(self, dids: Iterable[str], *, whole: bool = False) -> dict[str, dict[str, Any]]:
        """Return the metadata of files; `whole` with what is not in Rucio's own columns. Others are left out."""
        found = {}
        for piece in chunks(dids, A_LOOKUP):
            send = {"dids": _specs(piece), "inherit": False, "plugin": "ALL" if whole else "DID_COLUMN"}
            for record in self._server.lines(self._server.ask("POST", "dids/bulkmeta", send=send)):
                if record.get("did_type", "FILE") in ("FILE", "F"):
                    found[self._named(record)] = record
        return found

    def _replicas(self, dids: Iterable[str]) -> Iterator[tuple[str, dict[str, Any]]]:
        for piece in chunks(dids, A_LOOKUP):
            send = {"dids": _specs(piece), "all_states": True, "resolve_archives": False}
            for record in self._server.lines(self._server.ask("POST", "replicas/list", send=send)):
                yield self._named(record), record

    def _available(self, dids: Iterable[str]) -> dict[str, set[str]]:
        """Return for each file the RSEs at which it has an available replica."""
        found = {}
        for did, record in self._replicas(dids):
            states = record.get("states")
            if not isinstance(states, dict):
                raise self._server.senseless(f"with replicas without states ({str(record)[:60]})")
            found[did] = {rse for rse, state in states.items() if state == "AVAILABLE"}
        return found

    def _paths(self, dids: Iterable[str]) -> dict[str, str]:
        """Return for each file the URL by which it is best read: on disk before tape, as Rucio orders them."""
        found = {}
        for did, record in self._replicas(dids):
            states = record.get("states") or {}
            pfns = record.get("pfns") or {}
            order = sorted(
                (about.get("type") != "DISK", about.get("priority") or 0, pfn)
                for pfn, about in pfns.items()
                if states.get(about.get("rse")) == "AVAILABLE"
            )
            if order:
                found[did] = order[0][2]
        return found

    def _type(self, rse: str) -> str:
        if rse not in self._types:
            found = self._server.json(self._server.ask("GET", f"rses/{quote(rse, safe='')}"), dict)
            if found.get("rse_type") not in ("DISK", "TAPE"):
                raise self._server.senseless(f"with an RSE of type {found.get('rse_type')!r}")
            self._types[rse] = found["rse_type"]
        return self._types[rse]

    def _whole_on_disk(self, did: str, found: Mapping[str, Any]) -> bool:
        """Tell whether one RSE of disks has all files of a dataset."""
        if found["type"] != "DATASET":
            return False
        length = self._length(found)
        answer = self._server.ask("GET", f"replicas/{self._path(did)}/datasets", query={"deep": "True"})
        return length > 0 and any(
            isinstance(line.get("rse"), str)
            and line.get("available_length") == length
            and self._type(line["rse"]) == "DISK"
            for line in self._server.lines(answer)
        )

    def _search(self, scope: str, filters: Sequence[Mapping[str, Any]]) -> set[str]:
        if not SCOPE.fullmatch(scope):
            raise Refused(f"{scope[:60]!r} is no scope of Rucio.")
        # The server reads the filters as Python does; the names are strings, one a line.
        query = {"type": "file", "filters": repr(list(filters)), "limit": str(MOST_FOUND + 1)}
        answer = self._server.ask("GET", f"dids/{quote(scope, safe='')}/dids/search", query=query)
        if answer.body and not answer.body.endswith(b"\n"):
            raise self._server.senseless("with a stream that breaks off")
        try:
            found = {json.loads(line) for line in answer.body.splitlines()}
        except (ValueError, TypeError) as error:
            raise self._server.senseless("with a line that is no name") from error
        if not all(isinstance(name, str) for name in found):
            raise self._server.senseless("with a name that is none")
        if len(found) > MOST_FOUND:
            raise Refused(f"More than {MOST_FOUND} files are found in {scope}; narrow it, or make a dataset.")
        return found

    def _filters(self, text: str) -> tuple[str, list[dict[str, Any]]]:
        head = re.fullmatch(r"\s*([A-Za-z0-9_.-]+)\s*:(.*)", text, re.DOTALL)
        scope, rest = (head[1], head[2]) if head else (self._own_scope("search without one"), text)
        filters = []
        for either in rest.split(";"):
            terms: dict[str, Any] = {}
            for part in either.split(","):
                term = TERM.fullmatch(part)
                if not term or not term[3].isprintable():
                    raise Refused(
                        f"{part.strip()[:80]!r} is no condition of Rucio, such as name=raw_* or run_number>=713."
                    )
                terms[f"{term[1]}{OPERATIONS[term[2]]}"] = _value(term[3])
            filters.append(terms)
        return scope, filters

    def _parents(self, record: Mapping[str, Any]) -> list[str]:
        parents = record.get(self._set["parents_key"])
        if isinstance(parents, str):
            parents = [part.strip() for part in parents.split(",")]
        return [str(parent) for parent in parents if parent] if isinstance(parents, list) else []

    def _seen(self, did: str, record: Mapping[str, Any], path: str = "") -> FileSeen:
        adler, md5, run, events = (record.get(key) for key in ("adler32", "md5", "run_number", "events"))
        return FileSeen(
            did, path, record.get("bytes") or 0, f"adler32:{adler}" if adler else f"md5:{md5}" if md5 else "",
            events if isinstance(events, int) else None,
            {key: value for key, value in record.items() if value is not None and key not in ("scope", "name")},
            tuple(self._full(parent) for parent in self._parents(record)), run if isinstance(run, int) else None,
            _time(record.get("created_at")),
        )  # fmt: skip

    # --- Making datasets and files

    def _fill(self, did: str, names: Sequence[str], *, closed: bool = False) -> None:
        """Make a dataset of these files, or add what it lacks; one that is to be closed has no others."""
        path = self._path(did)
        found = self._dataset(did)
        if found is None:
            answer = self._server.act("POST", f"dids/{path}", send={"type": "DATASET"}, expect={CONFLICT})
            if answer.status == CONFLICT and _class(answer) != "DataIdentifierAlreadyExists":
                raise self._conflict(answer)
            found = self._dataset(did)
        if found is None:
            raise Unsure(f"Rucio has made {did} and does not find it.")
        there = set(self._listed(did, self._length(found)))
        missing = sorted(set(names) - there)
        if (closed and there - set(names)) or (missing and found.get("open") is False):
            raise Refused(f"{did} is there with other files, and is not changed.")
        scope, _, name = did.partition(":")
        for piece in chunks(missing, A_LOOKUP):
            into = {"scope": scope, "name": name, "dids": _specs(piece)}
            self._server.act("POST", "dids/attachments", send={"attachments": [into], "ignore_duplicate": True})
        if missing and not set(names) <= set(self._listed(did, len(names))):
            raise Unavailable(f"{did} has not all of its {len(names)} files: something else changes it.")
        if closed and found.get("open") is not False:
            self._server.act("PUT", f"dids/{path}/status", send={"open": False})

    def _conflict(self, answer: http.Answer) -> Refused | Unavailable:
        if _class(answer) in FOR_NOW:
            return Unavailable(f"Rucio cannot do it now: {_words(answer)}")
        return Refused(f"Rucio: {_words(answer)}")

    def _unregistrable(self, seen: FileSeen) -> str:
        if not self._set["output_rse"] or "://" not in seen.path:
            return "it is not in Rucio, and only a file with a URL at output_rse can be registered"
        return ""

    def _register(self, files: Mapping[str, FileSeen]) -> dict[str, str]:
        """Register files at the RSE of outputs, with their parents; return the refused."""
        entries = []
        for spec, seen in zip(_specs(files), files.values(), strict=True):
            kind, _, value = seen.checksum.partition(":")
            sums = {kind: value} if kind in ("adler32", "md5") else {}
            entries.append({**spec, "bytes": seen.size, "pfn": seen.path, **sums})
        answer = self._server.act(
            "POST", "replicas/", send={"rse": self._set["output_rse"], "files": entries}, expect={CONFLICT}
        )
        if answer.status == CONFLICT:  # somebody was quicker: what is there now is compared
            known = self._meta(files)
            return {
                seen.name: _other(seen, known[did]) if did in known else _words(answer)
                for did, seen in files.items()
                if did not in known or _other(seen, known[did])
            }
        for did, seen in files.items():
            if seen.parents:
                meta = {self._set["parents_key"]: [self._did(parent) for parent in seen.parents]}
                self._server.act("POST", f"dids/{self._path(did)}/meta", send={"meta": meta, "recursive": False})
        return {}

    # --- Who we are

    def _headers(self, anew: bool) -> Mapping[str, str]:
        who = {"X-Rucio-Account": self._set["account"], "X-Rucio-AppID": "poms"}
        if self._set["vo"]:
            who["X-Rucio-VO"] = self._set["vo"]
        if self._set["sign_in"] == "bearer":
            return {**who, "X-Rucio-Auth-Token": secret(self._credential)}
        whose = (
            "rucio",
            *(self._set[key] for key in ("url", "auth_url", "sign_in", "account", "vo")),
            self._credential,
        )
        return {**who, "X-Rucio-Auth-Token": TOKENS.get(lambda: self._sign_in(who), *whose, anew=anew)}

    def _sign_in(self, who: Mapping[str, str]) -> tuple[str, float]:
        """Get a token for the credential, and its end."""
        kind = self._set["sign_in"]
        headers = dict(who)
        if kind == "userpass":
            user, _, password = secret(self._credential).partition(":")
            headers |= {"X-Rucio-Username": user, "X-Rucio-Password": password}
        server = Server(
            "Rucio's auth server", self._set["auth_url"] or self._set["url"], words=_words,
            certificate=certificate(self._credential) if kind != "userpass" else "",
        )  # fmt: skip
        answer = server.ask("GET", f"auth/{kind}", headers=headers, expect={UNAUTHORIZED, 403})
        if answer.status in (UNAUTHORIZED, 403):
            raise Unavailable(f"Rucio does not accept the credential {self._credential}: {_words(answer)}", 300)
        token, ends = (
            answer.headers.get("X-Rucio-Auth-Token", ""),
            _time(answer.headers.get("X-Rucio-Auth-Token-Expires")),
        )
        if not token or ends is None:
            raise server.senseless("without a token and its end")
        return token, ends.timestamp()


def _specs(dids: Iterable[str]) -> list[dict[str, str]]:
    return [{"scope": scope, "name": name} for scope, _, name in (did.partition(":") for did in dids)]


def _digest(names: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(names).encode()).hexdigest()[:40]


def _value(text: str) -> Any:
    return int(text) if re.fullmatch(r"-?[0-9]{1,18}", text) else text


def _time(text: Any) -> datetime | None:
    """Return a time as Rucio writes it, `Sun, 22 Nov 2026 20:00:00 UTC`."""
    try:
        found = parsedate_to_datetime(str(text))
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _class(answer: http.Answer) -> str:
    """Return the class of the error of an answer: in its header, and in its body."""
    found = answer.headers.get("ExceptionClass", "")
    if found:
        return str(found)
    try:
        return str(json.loads(answer.body)["ExceptionClass"])
    except (ValueError, KeyError, TypeError):
        return ""


def _words(answer: http.Answer) -> str:
    try:
        document = json.loads(answer.body)
        return f"{document['ExceptionClass']}: {document['ExceptionMessage']}"[:400]
    except (ValueError, KeyError, TypeError):
        return said(answer)


def _is_stranger(answer: http.Answer) -> bool:
    """Tell whether an answer is about our token; what an account may not do is 401 as well, but another error."""
    return answer.status == UNAUTHORIZED and _class(answer) in ("CannotAuthenticate", "") and not is_page(answer)


def _other(seen: FileSeen, record: Mapping[str, Any]) -> str:
    """Say why a file of Rucio is another one than ours of the same name, or nothing."""
    if record.get("bytes") not in (None, seen.size):
        return f"the name is taken by a file of {record['bytes']} bytes"
    kind, _, value = seen.checksum.partition(":")
    theirs = record.get(kind) if kind in ("adler32", "md5") else None
    return "" if not theirs or theirs == value else f"the name is taken by a file with {kind} {theirs}"
