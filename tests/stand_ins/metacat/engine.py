"""Files and datasets of the stand-in in PostgreSQL, with MQL read by the real engine; run as a process of its own.

The engine is MetaCat's, from its package; what it needs of another package that cannot be had is one name. It runs in an
environment of its own (tests/servers/metacat.py), beside the same wire as the store in memory.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import re
import sys
import time
import types
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import psycopg2
from psycopg2.extras import execute_values

stub = types.ModuleType("wsdbtools")
stub.ConnectionPool = object  # type: ignore[attr-defined]
sys.modules["wsdbtools"] = stub

import metacat.db  # noqa: E402 - after the stub
from metacat.mql import MQLError, MQLQuery  # noqa: E402

from tests.stand_ins.metacat.memory import Exists, MQLSyntaxError, Record  # noqa: E402
from tests.stand_ins.metacat.server import MetaCatServer  # noqa: E402
from tests.stand_ins.serving import Call, Reply, document  # noqa: E402


class Engine:
    """What Memory is, in tables of MetaCat's own schema."""

    def __init__(self, address: str) -> None:
        self.now, self.runs = 1_700_000_000.0, False
        self.connection = psycopg2.connect(address)
        self.connection.autocommit = True
        self.cursor = self.connection.cursor()
        schema = (Path(metacat.db.__file__).parent / "schema.sql").read_text()
        schema = re.sub(r"(?im)^grant.*?;", "", schema)  # to accounts that are not here
        self.cursor.execute(re.sub(r",\s*\)\s*;", ");", schema))
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self.now, self.runs = 1_700_000_000.0, False
        self.cursor.execute("TRUNCATE users, namespaces, files, datasets, files_datasets, parent_child CASCADE")
        self.cursor.execute("INSERT INTO users(username) VALUES ('poms')")

    def set_now(self, now: float) -> None:
        """Set the clock, which stands still between declarations."""
        self.now, self.runs = now, False

    def let_clock_run(self) -> None:
        """Let the clock show the time of day."""
        self.runs = True

    def create(self, did: str) -> Record:
        """Make a dataset."""
        namespace, _, name = did.partition(":")
        self._space(namespace)
        self.cursor.execute("INSERT INTO datasets(namespace, name, creator) VALUES (%s, %s, 'poms')", [namespace, name])
        return self.dataset(did) or {}

    def _space(self, namespace: str) -> None:
        self.cursor.execute(
            "INSERT INTO namespaces(name, owner_user, creator) VALUES (%s, 'poms', 'poms') ON CONFLICT DO NOTHING",
            [namespace],
        )

    def dataset(self, did: str) -> Record | None:
        """Return a dataset with the number of its files, or None."""
        namespace, _, name = did.partition(":")
        self.cursor.execute(
            "SELECT frozen, (SELECT count(*) FROM files_datasets m JOIN files f ON f.id = m.file_id WHERE NOT f.retired"
            " AND m.dataset_namespace = d.namespace AND m.dataset_name = d.name) FROM datasets d"
            " WHERE namespace = %s AND name = %s",
            [namespace, name],
        )
        found = self.cursor.fetchone()
        return found and {"namespace": namespace, "name": name, "frozen": found[0], "file_count": found[1]}

    def update(self, did: str, frozen: bool) -> None:
        """Freeze a dataset, or thaw it."""
        self.cursor.execute(
            "UPDATE datasets SET frozen = %s WHERE namespace = %s AND name = %s", [frozen, *did.split(":")]
        )

    def add(self, did: str, fids: Iterable[str]) -> int:
        """Add files to a dataset; return how many were not in it."""
        rows = [(fid, *did.split(":")) for fid in fids]
        execute_values(
            self.cursor, "INSERT INTO files_datasets VALUES %s ON CONFLICT DO NOTHING", rows, page_size=len(rows)
        )
        return self.cursor.rowcount

    def declare(self, did: str, entries: list[Record]) -> list[Record]:
        """Declare files into a dataset: all or none."""
        taken = self.found(entries)
        if taken:
            raise Exists([f"{one['namespace']}:{one['name']}" for one in self.records(taken)])
        made = []
        for entry in entries:
            self._space(entry["namespace"])
            self.now = max(self.now + 0.001, time.time() if self.runs else 0)
            fid = hashlib.sha256(f"{entry['namespace']}:{entry['name']}".encode()).hexdigest()[:24]
            self.cursor.execute(
                "INSERT INTO files(id, namespace, name, metadata, size, checksums, creator, created_timestamp)"
                " VALUES (%s, %s, %s, %s, %s, %s, 'poms', to_timestamp(%s))",
                [fid, entry["namespace"], entry["name"], json.dumps(entry.get("metadata") or {}), entry["size"],
                 json.dumps(entry.get("checksums") or {}), entry.get("created_timestamp") or self.now],
            )  # fmt: skip
            for parent in self.found(entry.get("parents") or ()):
                self.cursor.execute("INSERT INTO parent_child VALUES (%s, %s)", [parent, fid])
            made.append(fid)
        self.add(did, made)
        return self.records(made)

    def retire(self, did: str) -> None:
        """Retire a file."""
        self.cursor.execute("UPDATE files SET retired = true WHERE namespace = %s AND name = %s", did.split(":"))

    def found(self, specs: Iterable[dict[str, Any]]) -> list[str]:
        """Return the ids of files by id or name; what is not there is left out."""
        found = []
        for spec in specs:
            self.cursor.execute(
                "SELECT id FROM files WHERE id = %s OR (namespace = %s AND name = %s)",
                [spec.get("fid"), spec.get("namespace"), spec.get("name")],
            )
            found += [fid for (fid,) in self.cursor.fetchall()]
        return found

    def records(self, fids: Iterable[str], meta: bool = False, provenance: bool = False) -> list[Record]:
        """Return files as the server writes them."""
        fids = list(fids)
        self.cursor.execute(
            "SELECT id, namespace, name, size, checksums, retired, extract(epoch from created_timestamp)::float8, metadata,"
            " parents, children FROM files_with_provenance WHERE id = ANY(%s)",
            [fids],
        )
        names = ("fid", "namespace", "name", "size", "checksums", "retired", "created_timestamp", "metadata")
        out = {}
        for *values, parents, children in self.cursor.fetchall():
            record = dict(zip(names, values, strict=True))
            if not meta:
                del record["metadata"]
            if provenance:
                record |= {"parents": [{"fid": fid} for fid in parents], "children": [{"fid": fid} for fid in children]}
            out[record["fid"]] = record
        return [out[fid] for fid in fids if fid in out]

    def query(self, text: str, retired: bool = False) -> list[str]:
        """Return the ids of the files that a query finds."""
        try:
            with contextlib.redirect_stdout(io.StringIO()):  # the parser prints its trees
                query = MQLQuery.parse(text, db=self.connection, include_retired_files=retired)
                return [file.FID for file in query.run(self.connection)]
        except (MQLError, ValueError) as error:
            raise MQLSyntaxError(str(error)) from error


class Controlled(MetaCatServer):
    """The wire, and beside it the way by which tests in another process prepare the store."""

    def answer(self, call: Call) -> Reply:
        """Do what a call asks for."""
        if call.path != "/control":
            return super().answer(call)
        sent = call.json()
        return document(getattr(self.store, sent["verb"])(*sent["with"]))


if __name__ == "__main__":
    server = Controlled(Engine(sys.argv[1]))
    print(server.url, flush=True)
    sys.stdin.read()  # until whoever started us ends
    server.stop()
