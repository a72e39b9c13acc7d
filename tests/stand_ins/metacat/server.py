"""A MetaCat that speaks the real one's HTTP (protocols 2.1, 2.2): the wire is here, the files in a store."""

from __future__ import annotations

import base64
import json
import re
import time
from typing import Any

from tests.stand_ins.metacat.memory import Exists, Memory, MQLSyntaxError
from tests.stand_ins.serving import Call, Reply, StandIn, document, words

TOKEN = "a token of MetaCat"
NAME = re.compile(r"[A-Za-z0-9_./-]+")


class MetaCatServer(StandIn):
    """The server below /app, its auth server below /auth."""

    def __init__(self, store: Any = None) -> None:
        self.store = store or Memory()
        self.tokens = {TOKEN}
        self.namespaces = {"mc", "poms"}
        self.required: dict[str, set[str]] = {}  # metadata that a namespace's files must not lack
        self.signed_in = 0
        self.token_seconds = 3600
        super().__init__()

    def answer(self, call: Call) -> Reply:
        """Do what a call asks for."""
        verb = call.path.rpartition("/")[2]
        if call.path == "/auth/auth":
            return self.sign_in(call)
        try:
            return getattr(self, f"do_{verb}")(call)
        except MQLSyntaxError as error:
            return words(f"MQLSyntaxError: {error}", 400)
        except AttributeError as error:
            return words(f"{verb}: {error}", 404)

    def sign_in(self, call: Call) -> Reply:
        """Give a token for a good SciToken or password."""
        good = {"token": call.headers.get("authorization") == "bearer a scitoken", "ldap": call.body == b"poms:s3cret"}
        if not good.get(call.query["method"]):
            return words("Authentication failed", 401)
        self.signed_in += 1
        ends = {"sub": call.query["username"], "exp": time.time() + self.token_seconds, "n": self.signed_in}
        token = f"e30.{base64.urlsafe_b64encode(json.dumps(ends).encode()).decode().rstrip('=')}.sign"
        self.tokens.add(token)
        return Reply(200, b"", {"X-Authentication-Token": token})

    def _stranger(self, call: Call) -> Reply | None:
        token = call.headers.get("x-authentication-token")
        return None if token in self.tokens else words("Authentication required", 401)

    def do_dataset(self, call: Call) -> Reply:
        found = self.store.dataset(call.query["dataset"])
        return document(found) if found else words("Dataset not found", 404)

    def do_create_dataset(self, call: Call) -> Reply:
        sent = call.json()
        if stranger := self._stranger(call):
            return stranger
        if sent["namespace"] not in self.namespaces:
            return words("Namespace not found", 404)
        did = f"{sent['namespace']}:{sent['name']}"
        if self.store.dataset(did):
            return words("Already exists", 409)
        return document(self.store.create(did))

    def do_update_dataset(self, call: Call) -> Reply:
        if stranger := self._stranger(call):
            return stranger
        self.store.update(call.query["dataset"], call.json()["frozen"])
        return document(self.store.dataset(call.query["dataset"]))

    def do_add_files(self, call: Call) -> Reply:
        if stranger := self._stranger(call):
            return stranger
        found = self.store.dataset(call.query["dataset"])
        files = call.json().get("file_list")
        if not files:
            return words("No files to add", 400)
        if found is None:
            return words("Dataset not found", 404)
        if found["frozen"]:
            return words("Dataset is frozen", 403)
        return document({"files_added": self.store.add(call.query["dataset"], self.store.found(files))})

    def do_files(self, call: Call) -> Reply:
        specs = call.json()
        for spec in specs:
            if not NAME.fullmatch(spec.get("fid") or spec["name"]):
                return document({"message": f"Invalid value for name: {spec['name']}"}, 400)
        found = self.store.found(specs)
        return document(self.store.records(found, call.query.get("with_metadata") == "yes",
                                           call.query.get("with_provenance") == "yes"))  # fmt: skip

    def do_declare_files(self, call: Call) -> Reply:
        if stranger := self._stranger(call):
            return stranger
        into, entries, errors = call.query["dataset"], call.json(), []
        if self.store.dataset(into) is None:
            return words(f"Dataset {into} does not exist", 400)
        for index, entry in enumerate(entries):
            if bad := [key for key in entry["metadata"] if "." not in key]:
                errors.append({"index": index, "message": f"Metadata parameter without a category: {bad[0]}"})
            for key in self.required.get(entry["namespace"], set()) - set(entry["metadata"]):
                errors.append({"index": index, "message": "Dataset metadata validation errors",
                               "metadata_errors": [{"name": key, "reason": "required"}]})  # fmt: skip
            for parent in entry["parents"]:
                if not self.store.found([parent]):
                    did = f"{parent['namespace']}:{parent['name']}"
                    errors.append({"index": index, "message": f"Can not get file id for parent: {did}"})
        if errors:
            return document({"message": "Invalid file data", "metadata_errors": errors}, 488)
        try:
            return document(self.store.declare(into, entries))
        except Exists as error:
            return words(str(error), 409)

    def do_query(self, call: Call) -> Reply:
        text = call.body.decode()
        if not text:
            return document([])
        if re.match(r"\s*datasets\s", text):
            return _stream([{**one, "file_count": 0} for one in self.store.datasets.values()])
        fids = self.store.query(text, call.query.get("include_retired_files") == "yes")
        if call.query.get("summary") == "count":
            return document({"count": len(fids), "total_size": 0})
        return _stream(self.store.records(fids, call.query.get("with_meta") == "yes",
                                          call.query.get("with_provenance") == "yes"))  # fmt: skip


def _stream(records: list[dict[str, Any]]) -> Reply:
    body = "".join(f"\x1e{json.dumps(record)}\n" for record in records)
    return Reply(200, body.encode(), {"Content-Type": "application/json-seq"})
