"""A Rucio that speaks the real one's HTTP (protocols 3), as far as the backend and its tests do; live, the real one is asked."""

from __future__ import annotations

import ast
import fnmatch
import json
import re
import uuid
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

from tests.stand_ins.serving import Call, Reply, StandIn

USER, PASSWORD = "poms", "s3cret"
Did = tuple[str, str]


class RucioServer(StandIn):
    """DIDs, replicas and rules in memory."""

    def __init__(self) -> None:
        self.tokens: dict[str, datetime] = {}
        self.signed_in = 0
        self.token_seconds = 3600
        self.rses: dict[str, str] = {}
        self.dids: dict[Did, dict[str, Any]] = {}
        self.content: dict[Did, list[Did]] = {}
        self.replicas: dict[Did, dict[str, str]] = {}
        self.lost: set[tuple[Did, str]] = set()
        self.rules: dict[str, dict[str, Any]] = {}
        super().__init__()

    def answer(self, call: Call) -> Reply:
        """Do what a call asks for."""
        path = call.path.strip("/")
        if path == "auth/userpass":
            return self.sign_in(call)
        ends = self.tokens.get(call.headers.get("x-rucio-auth-token", ""))
        if ends is None or ends < datetime.now(UTC):
            return _error(401, "CannotAuthenticate", "Cannot authenticate with given credentials")
        for method, pattern, name in ROUTES:
            match = re.fullmatch(pattern, path)
            if match and method == call.method:
                return getattr(self, name)(call, *match.groups())
        return Reply(404, b"<html>no such page</html>", {"Content-Type": "text/html"})

    def sign_in(self, call: Call) -> Reply:
        """Give a token for the good password."""
        if (call.headers.get("x-rucio-username"), call.headers.get("x-rucio-password")) != (USER, PASSWORD):
            return _error(401, "CannotAuthenticate", "Cannot authenticate to account root with given credentials")
        self.signed_in += 1
        ends = datetime.now(UTC) + timedelta(seconds=self.token_seconds)
        token = f"root-poms-{uuid.uuid4().hex}"
        self.tokens[token] = ends
        said = ends.strftime("%a, %d %b %Y %H:%M:%S UTC")
        return Reply(200, b"", {"X-Rucio-Auth-Token": token, "X-Rucio-Auth-Token-Expires": said,
                                "Content-Type": "application/octet-stream"})  # fmt: skip

    def done(self, call: Call, *names: str) -> Reply:
        """Do nothing, as for scopes, protocols and limits."""
        return Reply(201, b"Created")

    def add_rse(self, call: Call, rse: str) -> Reply:
        self.rses[rse] = call.json()["rse_type"]
        return Reply(201, b"Created")

    def rse(self, call: Call, rse: str) -> Reply:
        if rse not in self.rses:
            return _error(404, "RSENotFound", f"RSE '{rse}' cannot be found in vo 'def'")
        return Reply(200, json.dumps({"rse": rse, "rse_type": self.rses[rse]}).encode())

    def add_replicas(self, call: Call) -> Reply:
        sent = call.json()
        for file in sent["files"]:
            did = file["scope"], file["name"]
            if sent["rse"] in self.replicas.get(did, {}):
                return _error(409, "Duplicate", "File replica already exists!")
        for file in sent["files"]:
            did = file["scope"], file["name"]
            self.dids.setdefault(did, self._record(did, "FILE", bytes=file["bytes"], adler32=file.get("adler32")))
            self.replicas.setdefault(did, {})[sent["rse"]] = file.get("pfn") or f"root://door/{file['name']}"
        return Reply(201, b"Created")

    def update_replicas(self, call: Call) -> Reply:
        sent = call.json()
        self.lost |= {((file["scope"], file["name"]), sent["rse"]) for file in sent["files"] if file["state"] == "U"}
        return Reply(200, b"OK")

    def list_replicas(self, call: Call) -> Reply:
        found = []
        for spec in call.json()["dids"]:
            did = spec["scope"], spec["name"]
            places = self.replicas.get(did, {})
            if places:
                order = sorted(places, key=lambda rse: self.rses[rse])
                found.append({"scope": did[0], "name": did[1], "states": {rse: "UNAVAILABLE" if (did, rse) in self.lost else "AVAILABLE" for rse in places},
                              "rses": {rse: [pfn] for rse, pfn in places.items()},
                              "pfns": {places[rse]: {"rse": rse, "type": self.rses[rse], "priority": n}
                                       for n, rse in enumerate(order, 1)}})  # fmt: skip
        return _lines(found)

    def add_did(self, call: Call, scope: str, name: str) -> Reply:
        did = scope, name
        if did in self.dids:
            return _error(409, "DataIdentifierAlreadyExists", f"Data Identifier {scope}:{name} already exists!")
        self.dids[did] = self._record(did, call.json()["type"])
        self.content[did] = []
        return Reply(201, b"Created")

    def did(self, call: Call, scope: str, name: str) -> Reply:
        record = self.dids.get((scope, name))
        if record is None:
            return _absent(scope, name)
        files = self._files((scope, name))
        return Reply(200, json.dumps({"scope": scope, "name": name, "type": record["did_type"], "open": record["is_open"],
                                      "length": len(files), "account": "root"}).encode())  # fmt: skip

    def files(self, call: Call, scope: str, name: str) -> Reply:
        if (scope, name) not in self.dids:
            return _absent(scope, name)
        return _lines([{key: self.dids[did][key] for key in ("scope", "name", "bytes", "adler32", "guid", "events")}
                       for did in self._files((scope, name))])  # fmt: skip

    def _files(self, did: Did) -> list[Did]:
        found = []
        for child in self.content.get(did, ()):
            found += self._files(child) if child in self.content else [child]
        return found

    def attach(self, call: Call) -> Reply:
        for into in call.json()["attachments"]:
            did = into["scope"], into["name"]
            if did not in self.dids:
                return _absent(*did)
            if not self.dids[did]["is_open"]:
                return _error(409, "UnsupportedOperation", f"The status of {did[0]}:{did[1]} is closed")
            for spec in into["dids"]:
                child = spec["scope"], spec["name"]
                if child not in self.dids:
                    return _absent(*child)
                if child not in self.content[did]:
                    self.content[did].append(child)
        return Reply(201, b"Created")

    def close(self, call: Call, scope: str, name: str) -> Reply:
        self.dids[scope, name]["is_open"] = call.json()["open"]
        return Reply(200, b"")

    def bulk_meta(self, call: Call) -> Reply:
        sent = call.json()
        found = []
        for spec in sent["dids"]:
            record = self.dids.get((spec["scope"], spec["name"]))
            if record:
                found.append({key: value for key, value in record.items() if key != "more"}
                             | (record["more"] if sent["plugin"] == "ALL" else {}))  # fmt: skip
        return _lines(found)

    def set_meta(self, call: Call, scope: str, name: str) -> Reply:
        record = self.dids[scope, name]
        for key, value in call.json()["meta"].items():
            (record if key in record else record["more"])[key] = value
        return Reply(201, b"Created")

    def search(self, call: Call, scope: str) -> Reply:
        filters = ast.literal_eval(call.query["filters"])
        kind = call.query["type"].upper()
        found = [did[1] for did, record in self.dids.items() if did[0] == scope and record["did_type"] == kind
                 and any(all(_holds(record, key, value) for key, value in terms.items()) for terms in filters)]  # fmt: skip
        return Reply(
            200,
            "".join(f"{json.dumps(name)}\n" for name in found).encode(),
            {"Content-Type": "application/x-json-stream"},
        )

    def whole(self, call: Call, scope: str, name: str) -> Reply:
        files = self._files((scope, name))
        there = {rse: sum(rse in self.replicas.get(did, {}) for did in files) for rse in self.rses}
        return _lines([{"scope": scope, "name": name, "rse": rse, "length": len(files), "available_length": n}
                       for rse, n in there.items() if n])  # fmt: skip

    def add_rule(self, call: Call) -> Reply:
        sent = call.json()
        if sent["rse_expression"] not in self.rses:
            return _error(409, "InvalidRSEExpression", "RSE Expression resulted in an empty set.")
        (spec,) = sent["dids"]
        key = (spec["scope"], spec["name"], sent["account"], sent["rse_expression"])
        if any(rule["key"] == key for rule in self.rules.values()):
            return _error(409, "DuplicateRule", "duplicate key value violates unique constraint")
        number = uuid.uuid4().hex
        files = self._files((spec["scope"], spec["name"]))
        ok = sum(sent["rse_expression"] in self.replicas.get(did, {}) for did in files)
        self.rules[number] = {"key": key, "id": number, "state": "OK" if ok == len(files) else "REPLICATING", "error": None,
                              "rse_expression": sent["rse_expression"], "account": sent["account"], "locks_ok_cnt": ok,
                              "locks_replicating_cnt": len(files) - ok, "locks_stuck_cnt": 0}  # fmt: skip
        return Reply(201, json.dumps([number]).encode())

    def rules_of(self, call: Call, scope: str, name: str) -> Reply:
        return _lines([rule for rule in self.rules.values() if rule["key"][:2] == (scope, name)])

    @staticmethod
    def _record(did: Did, kind: str, **more: Any) -> dict[str, Any]:
        return {"scope": did[0], "name": did[1], "did_type": kind, "bytes": None, "adler32": None, "md5": None, "guid": None,
                "events": None, "run_number": None, "version": None, "datatype": None, "is_open": kind != "FILE" or None,
                "created_at": format_datetime(datetime.now(UTC)).replace("+0000", "UTC"), "more": {}, **more}  # fmt: skip


ROUTES = [
    ("POST", r"accounts/root/scopes/([^/]+)", "done"), ("POST", r"accountlimits/local/root/([^/]+)", "done"),
    ("POST", r"rses/([^/]+)/protocols/root", "done"), ("POST", r"rses/([^/]+)", "add_rse"), ("GET", r"rses/([^/]+)", "rse"),
    ("POST", r"replicas", "add_replicas"), ("PUT", r"replicas", "update_replicas"), ("POST", r"replicas/list", "list_replicas"),
    ("GET", r"replicas/([^/]+)/(.+)/datasets", "whole"), ("POST", r"dids/attachments", "attach"),
    ("POST", r"dids/bulkmeta", "bulk_meta"), ("GET", r"dids/([^/]+)/dids/search", "search"),
    ("GET", r"dids/([^/]+)/(.+)/files", "files"), ("GET", r"dids/([^/]+)/(.+)/rules", "rules_of"),
    ("PUT", r"dids/([^/]+)/(.+)/status", "close"), ("POST", r"dids/([^/]+)/(.+)/meta", "set_meta"),
    ("POST", r"dids/([^/]+)/(.+)", "add_did"), ("GET", r"dids/([^/]+)/(.+)", "did"), ("POST", r"rules", "add_rule"),
]  # fmt: skip


def _holds(record: dict[str, Any], key: str, value: Any) -> bool:
    name, _, how = key.partition(".")
    there = record.get(name, record["more"].get(name))
    if there is None:
        return False
    if how in ("", "ne"):
        same = fnmatch.fnmatchcase(str(there), str(value)) if isinstance(value, str) else there == value
        return same is (how == "")
    return {"gt": there > value, "lt": there < value, "gte": there >= value, "lte": there <= value}[how]


def _lines(records: list[dict[str, Any]]) -> Reply:
    body = "".join(f"{json.dumps(record)}\n" for record in records)
    return Reply(200, body.encode(), {"Content-Type": "application/x-json-stream"})


def _error(status: int, kind: str, text: str) -> Reply:
    body = json.dumps({"ExceptionClass": kind, "ExceptionMessage": text}).encode()
    return Reply(
        status, body, {"Content-Type": "application/octet-stream", "ExceptionClass": kind, "ExceptionMessage": text}
    )


def _absent(scope: str, name: str) -> Reply:
    return _error(404, "DataIdentifierNotFound", f"Data identifier '{scope}:{name}' not found")
