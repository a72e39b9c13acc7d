"""A SAM that answers over HTTP in the real one's form (protocols 1), counts what it is asked, and fails when told to."""

from __future__ import annotations

import argparse
import json
import re
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from integrations.catalogue.dimensions import Constraint, Defined, DimensionError, Node, Selected, parse
from tests.stand_ins.sam.book import Book, Definition, Mass, Process, Project, SamFile
from tests.stand_ins.sam.evaluating import LONGEST, found

ENDPOINTS = (
    *(f"files/{verb}" for verb in ("list", "count", "summary", "metadata", "locations")),
    "files", "files/name/*/metadata", "files/name/*/locations",
    "files/name/*/lineage/parents", "files/name/*/lineage/children",
    "definitions/create", "definitions/list", "definitions/name/*", "definitions/name/*/describe",
    "definitions/name/*/snapshot", "definitions/name/*/delete",
    *(f"definitions/name/*/files/{verb}" for verb in ("list", "count", "summary")),
    "projects", "projects/name/*/summary", "projects/name/*/recovery_dimensions", "startProject", "findProject",
    *(f"stations/*/projects/name/*/{verb}" for verb in ("establishProcess", "endProject", "summary")),
    *(f"stations/*/projects/name/*/processes/*/{verb}"
      for verb in ("getNextFile", "updateFileStatus", "endProcess", "status")),
)  # fmt: skip
TOUCHED = ("consumed", "completed", "skipped", "failed", "delivered", "transferred", "cancelled", "unknown")
# What can go wrong, and how the answer then looks. All but `refuse` and `busy` come after the work was done.
KINDS = ("refuse", "busy", "error", "slow", "hang", "drop", "cut", "html", "type", "empty")


class Answered(Exception):
    """An answer that is an error."""

    def __init__(self, status: int, name: str, message: str) -> None:
        super().__init__(message)
        self.status, self.name = status, name


@dataclass
class Fault:
    """What goes wrong with a call: `skip` so many of this endpoint first, then `times` of them."""

    endpoint: str
    kind: str
    skip: int = 0
    times: int = 1
    seconds: float = 0.2


class Sam:
    """The service: its book, its calls by endpoint, and the faults that wait."""

    def __init__(self, experiment: str = "samdev") -> None:
        self.book = Book()
        self.experiment = experiment
        self.calls: Counter[str] = Counter()
        self.asked: list[tuple[str, dict[str, list[str]]]] = []
        self.faults: list[Fault] = []
        self.token = ""
        self.url = ""
        self.stopped = threading.Event()
        self._lock = threading.RLock()
        self._bytes: dict[tuple[str, bool], bytes] = {}

    # --- What a test does

    def put(self, name: str, *, datasets: tuple[str, ...] = (), **facts: Any) -> SamFile:
        """Enter a file, and add it to definitions that are lists of names."""
        with self._lock:
            file = self.book.add(SamFile(self.book.number(), name, **facts))
            for dataset in datasets:
                now = self.book.definitions.get(dataset)
                dims = f"{now.dims},{name}" if now else f"file_name {name}"
                self.book.definitions[dataset] = Definition(self.book.number(), dataset, dims)
            return file

    def fill(self, dataset: str, count: int) -> Mass:
        """Define a dataset of so many files, which are listed at once."""
        mass = Mass(dataset, count, 10_000_000)
        self.book.masses[dataset] = mass
        self.book.definitions[dataset] = Definition(self.book.number(), dataset, f"file_name {dataset}_%")
        for info in (False, True):
            self._bytes[dataset, info] = mass.rows(0, count, info=info)
        return mass

    def fail(self, endpoint: str, kind: str, **how: Any) -> None:
        """Let a call go wrong; the endpoint as it is counted, or `*`."""
        assert kind in KINDS
        self.faults.append(Fault(endpoint, kind, **how))

    # --- What the handler asks

    def fault_of(self, endpoint: str) -> Fault | None:
        with self._lock:
            for fault in self.faults:
                if fault.endpoint in ("*", endpoint) and fault.times:
                    if fault.skip:
                        fault.skip -= 1
                        return None
                    fault.times -= 1
                    return fault
        return None

    def answer(self, method: str, path: str, query: Mapping[str, list[str]], body: bytes, token: str) -> Reply:
        """Do what a call asks."""
        endpoint, names = place_of(path)
        one = {key: values[-1] for key, values in query.items()}
        asks = method == "GET" or (endpoint.startswith("files/") and one.keys() & {"dims", "file_name", "file_id"})
        if self.token and not asks and token != f"Bearer {self.token}":
            raise Answered(403, "Forbidden", "authentication is required")
        verb = endpoint.rsplit("/", 1)[-1]
        with self._lock:
            if endpoint.startswith("files"):
                return self._files(method, endpoint, names, one, query, body)
            if endpoint.startswith("definitions"):
                return self._definitions(method, endpoint, names, one)
            if endpoint == "projects":
                shown = [p.name for p in self.book.projects.values() if one.get("defname") in (None, p.definition)]
                return document(shown) if one.get("format") == "json" else text("".join(f"{n}\n" for n in shown))
            if endpoint == "startProject":
                return self._start(one)
            if endpoint == "findProject":
                return text(self._project_url(self._named(one["name"])) + "\n")
            return self._project(verb, names[0] if endpoint.startswith("projects") else names[1], names[2:], one)

    # --- Files

    def _files(self, method: str, endpoint: str, names: list[str], one: dict[str, str],
               query: Mapping[str, list[str]], body: bytes) -> Reply:  # fmt: skip
        verb = endpoint.rsplit("/", 1)[-1]
        if endpoint == "files" and method == "POST":
            return self._declare(json.loads(body))
        if names:
            file = self.book.find(names[0])
            if file is None:
                raise Answered(404, "FileNotFound", f"File '{names[0]}' not found")
            return self._lineage(file, verb) if "lineage" in endpoint else self._file(method, file, verb, one)
        if verb in ("list", "count", "summary"):
            return self._listed(verb, one.get("dims", ""), one)
        wanted = [self.book.find(name) for name in query.get("file_name", [])]
        wanted += [self.book.get(int(key)) for key in query.get("file_id", [])]
        files = [file for file in wanted if file is not None]
        if verb == "metadata":
            return document([self.metadata(file, with_locations="locations" in one) for file in files])
        return document({file.name: locations(file) for file in files})

    def _listed(self, verb: str, dims: str, one: dict[str, str]) -> Reply:
        info = bool(one.get("fileinfo"))
        mass = self._mass_of(parse(dims, longest=LONGEST)) if dims else None
        if mass is not None:
            if verb == "count":
                return text(f"{mass.count}\n")
            return Reply(200, "text/plain", self._bytes[mass.prefix, info])
        files = found(self.book, dims)
        if verb == "count":
            return text(f"{len(files)}\n")
        if verb == "summary":
            size = sum(file.size for file in files)
            events = sum(file.events or 0 for file in files)
            return document(
                {"file_count": len(files), "total_file_size": size or None, "total_event_count": events or None}
            )
        if one.get("format") == "json":
            return document([file.name for file in files])
        rows = (f"{f.name}\t{f.id}\t{f.size}\t{'None' if f.events is None else f.events}\n" for f in files)
        return text("".join(rows if info else (f"{file.name}\n" for file in files)))

    def _mass_of(self, tree: Node) -> Mass | None:
        if isinstance(tree, Selected) and (tree.limit, tree.offset, tree.stride) == (None, 0, 1):
            tree = tree.of
        if isinstance(tree, Defined):
            return self.book.masses.get(tree.name)
        if isinstance(tree, Constraint) and tree.name == "snapshot_id":
            return self.book.frozen_masses.get(int(str(tree.values[0])))
        return None

    def _file(self, method: str, file: SamFile, verb: str, one: dict[str, str]) -> Reply:
        if verb == "metadata":
            return document(self.metadata(file))
        if method == "POST":
            place = one.get("add", "")
            if place.startswith("enstore:"):
                file.tape = place
            elif place:
                file.disk = place
            return text("")
        return document(locations(file))

    def _lineage(self, file: SamFile, direction: str) -> Reply:
        parents = [self.book.ids[parent] for parent in file.parents if parent in self.book.ids]
        keys = self.book.children.get(file.name, set()) if direction == "children" else parents
        others = [{"file_name": self.book.files[key].name, "file_id": key} for key in sorted(keys)]
        return document([{"file_name": file.name, "file_id": file.id, direction: others}])

    def _declare(self, given: dict[str, Any]) -> Reply:
        name = given.get("file_name")
        if not name or "file_size" not in given:
            raise Answered(400, "InvalidMetadata", "file_name and file_size are required")
        if name in self.book.ids:
            raise Answered(409, "Conflict", f"File '{name}' already exists")
        parents = [entry["file_name"] for entry in given.pop("parents", [])]
        if missing := [parent for parent in parents if not self.book.find(parent)]:
            raise Answered(400, "InvalidMetadata", f"Parent file '{missing[0]}' not found")
        own = {key: given.pop(key, None) for key in ("file_name", "file_size", "event_count", "checksum")}
        self.put(name, size=own["file_size"], events=own["event_count"], parents=parents, metadata=given,
                 checksum=(own["checksum"] or [""])[0])  # fmt: skip
        return text(f"{self.book.ids[name]}\n")

    def metadata(self, file: SamFile, *, with_locations: bool = False) -> dict[str, Any]:
        """Return a file's metadata as SAM gives them."""
        form = {
            "file_name": file.name, "file_id": file.id, "file_size": file.size, "event_count": file.events,
            "checksum": [file.checksum] if file.checksum else [], "content_status": "good",
            "create_date": file.created.isoformat(timespec="seconds"), **file.metadata,
            "parents": [{"file_name": n, "file_id": self.book.ids.get(n)} for n in file.parents],
        }  # fmt: skip
        return form | ({"locations": locations(file)} if with_locations else {})

    # --- Definitions

    def _definition(self, name: str) -> Definition:
        if name not in self.book.definitions:
            raise Answered(404, "DefinitionNotFound", f"Dataset definition '{name}' not found")
        return self.book.definitions[name]

    def _create(self, one: dict[str, str]) -> Reply:
        name = one["defname"]
        if name in self.book.definitions:
            raise Answered(409, "Conflict", f"Dataset definition '{name}' already exists")
        parse(one["dims"], longest=LONGEST)
        row = Definition(self.book.number(), name, one["dims"], one.get("user", "sam"), one.get("group", ""))
        self.book.definitions[name] = row
        return document({"defname": name, "defid": row.id})

    def _definitions(self, method: str, endpoint: str, names: list[str], one: dict[str, str]) -> Reply:
        verb = endpoint.rsplit("/", 1)[-1]
        if not names:
            return self._create(one) if verb == "create" else text("".join(f"{n}\n" for n in self.book.definitions))
        row = self._definition(names[0])
        if "/files/" in endpoint:
            return self._listed(verb, f"defname: '{row.name}'", one)
        if verb == "delete" or method == "DELETE":
            del self.book.definitions[row.name]
            return text("")
        if verb == "snapshot":
            key = self.book.number()
            mass = self.book.masses.get(row.name)
            if mass is not None:
                self.book.frozen_masses[key] = mass
            files = [] if mass else found(self.book, f"defname: '{row.name}'")
            self.book.snapshots[key] = [file.id for file in files]
            return text(f"{key}\n")
        return document({
            "defname": row.name, "defid": row.id, "dimensions": row.dims, "group": row.group, "username": row.user,
            "create_date": row.created.isoformat(timespec="seconds"), "description": "",
        })  # fmt: skip

    # --- Projects

    def _named(self, name: str) -> Project:
        if name not in self.book.projects:
            raise Answered(404, "ProjectNotFound", f"Project '{name}' not found")
        return self.book.projects[name]

    def _project_url(self, project: Project) -> str:
        return f"{self.url.removesuffix('/api')}/stations/{self.experiment}/projects/name/{project.name}"

    def _start(self, one: dict[str, str]) -> Reply:
        name, definition = one["name"], one.get("defname", "")
        if name in self.book.projects:
            raise Answered(409, "Conflict", f"Project '{name}' already exists")
        if definition:
            self._definition(definition)
            snapshot = self.book.number()
            self.book.snapshots[snapshot] = [file.id for file in found(self.book, f"defname: '{definition}'")]
        else:
            snapshot = int(one["snapshot_id"])
        self.book.projects[name] = Project(self.book.number(), name, definition, snapshot)
        return text(self._project_url(self.book.projects[name]) + "\n")

    def _project(self, verb: str, name: str, rest: list[str], one: dict[str, str]) -> Reply:
        project = self._named(name)
        if rest:
            process = next((p for p in project.processes if str(p.id) == rest[0]), None)
            if process is None:
                raise Answered(404, "NotFound", "no such process")
            return self._process(project, process, verb, one)
        if verb == "summary":
            return document(self.summary(project))
        if verb == "recovery_dimensions":
            done = f"(project_name {name} and consumed_status consumed)"
            return text(f"snapshot_for_project_name {name} minus {done}\n")
        if verb == "endProject":
            project.ended = True
            return text("")
        if project.ended:
            raise Answered(400, "BadRequest", "the project has ended")
        project.processes.append(Process(self.book.number()))
        return text(f"{project.processes[-1].id}\n")

    def summary(self, project: Project) -> dict[str, Any]:
        """Return what SAM says of a project."""
        files = self.book.snapshots[project.snapshot]
        counts = Counter(project.statuses.get(key, "unconsumed") for key in files)
        return {
            "project_name": project.name, "project_id": project.id, "dataset_def_name": project.definition,
            "project_status": "completed" if project.ended else "running", "snapshot_id": project.snapshot,
            "files_in_snapshot": len(files), "station_name": self.experiment,
            "file_counts": {status: counts.get(status, 0) for status in (*TOUCHED, "unconsumed")},
            "process_counts": dict(Counter(process.status for process in project.processes)),
            "processes": [{"process_id": process.id, "status": process.status} for process in project.processes],
        }  # fmt: skip

    def _process(self, project: Project, process: Process, verb: str, one: dict[str, str]) -> Reply:
        if verb == "getNextFile":
            for key in self.book.snapshots[project.snapshot]:
                if key in project.statuses:
                    continue
                file = self.book.files[key]
                if not file.disk:  # asked for from tape; the next who asks finds it there
                    file.disk = "/pnfs/recalled"
                    return Reply(202, "text/plain", b"", {"Retry-After": "1"})
                project.statuses[key] = "transferred"
                return text(f"file://{file.disk.rstrip('/')}/{file.name}\n")
            return Reply(204, "text/plain", b"")
        if verb == "updateFileStatus":
            name = one["filename"].rsplit("/", 1)[-1]
            project.statuses[self.book.ids[name]] = {"ok": "consumed"}.get(one["status"], one["status"])
        else:
            process.status = one.get("status", "completed")
        return text("")


@dataclass
class Reply:
    """What goes back."""

    status: int
    kind: str
    body: bytes
    headers: Mapping[str, str] | None = None


def text(body: str) -> Reply:
    return Reply(200, "text/plain", body.encode())


def document(given: Any) -> Reply:
    return Reply(200, "application/json", json.dumps(given).encode())


def locations(file: SamFile) -> list[dict[str, Any]]:
    """Return where a file is, as SAM says it."""
    places = []
    if file.tape:
        bare = file.tape.removeprefix("enstore:")
        places.append(
            {"full_path": f"enstore:{bare}(vol@1)", "location": bare, "location_type": "tape", "mount_point": "/pnfs"}
        )
    if file.disk:
        places.append(
            {"full_path": f"disk:{file.disk}", "location": file.disk, "location_type": "disk", "mount_point": "/pnfs"}
        )
    return places


def place_of(path: str) -> tuple[str, list[str]]:
    """Return the endpoint of a path, with * for names and numbers, and those."""
    path = path.replace("/process/", "/processes/")  # clients of SAM say both
    for endpoint in ENDPOINTS:
        if match := re.fullmatch(re.escape(endpoint).replace(r"\*", "([^/]+)"), path):
            return endpoint, [unquote(part) for part in match.groups()]
    raise Answered(404, "NotFound", f"there is no {path}")


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    sam: Sam
    protocol_version = "HTTP/1.1"

    def log_message(self, *args: Any) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        self.serve()

    def do_POST(self) -> None:
        self.serve()

    def do_PUT(self) -> None:
        self.serve()

    def do_DELETE(self) -> None:
        self.serve()

    def serve(self) -> None:
        parts = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        base = f"/sam/{self.sam.experiment}/"
        path = parts.path.removeprefix(base).removeprefix("api/")
        query = parse_qs(parts.query, keep_blank_values=True)
        if "form" in self.headers.get("Content-Type", ""):
            query |= parse_qs(body.decode(), keep_blank_values=True, max_num_fields=1_000_000)
        if path.startswith("control/"):
            return self.control(path, body)
        fault: Fault | None = None
        try:
            if not parts.path.startswith(base):
                raise Answered(404, "NotFound", "there is nothing here")
            endpoint = f"{self.command} {place_of(path)[0]}"
            self.sam.calls[endpoint] += 1
            self.sam.asked.append((endpoint, query))
            fault = self.sam.fault_of(endpoint)
            if fault and fault.kind == "refuse":
                return self.hang_up()
            if fault and fault.kind == "busy":
                raise Answered(503, "Busy", "too many queries")
            reply = self.sam.answer(self.command, path, query, body, self.headers.get("Authorization", ""))
        except Answered as error:
            said = json.dumps({"error": error.name, "message": str(error)}).encode()
            reply = Reply(error.status, "application/json", said, {"Retry-After": "7"} if error.status == 503 else None)
        except DimensionError as error:
            said = json.dumps({"error": "DimensionError", "message": str(error)}).encode()
            reply = Reply(400, "application/json", said)
        return self.send(reply, fault)

    def send(self, reply: Reply, fault: Fault | None) -> None:
        kind = fault.kind if fault else ""
        if fault and kind in ("slow", "hang"):
            self.sam.stopped.wait(fault.seconds)
        if kind in ("hang", "drop"):
            return self.hang_up()
        if kind == "error":
            reply = Reply(500, "application/json", b'{"error": "Exception", "message": "database is away"}')
        elif kind == "html":
            reply = Reply(200, "text/html", b"<html><body>Please sign in</body></html>")
        elif kind == "type":
            reply = Reply(200, "application/json", b'{"unexpected": [1, 2]}')
        elif kind == "empty":
            reply = Reply(200, reply.kind, b"")
        self.send_response(reply.status)
        self.send_header("Content-Type", reply.kind)
        if reply.status != 204:
            self.send_header("Content-Length", str(len(reply.body)))
        for name, value in (reply.headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        if reply.status == 204:
            return None
        if kind == "cut":
            self.wfile.write(reply.body[: len(reply.body) // 2])
            return self.hang_up()
        self.wfile.write(reply.body)
        return None

    def hang_up(self) -> None:
        self.close_connection = True

    def control(self, path: str, body: bytes) -> None:
        """Let another process see the calls and set faults."""
        if path == "control/faults":
            self.sam.fail(**json.loads(body))
        self.send(document({"calls": dict(self.sam.calls)}), None)


class Server(ThreadingHTTPServer):
    """A server that does not wait for calls that hang."""

    daemon_threads = True
    request_queue_size = 64


def start(sam: Sam, port: int = 0) -> Server:
    """Begin to listen."""
    server = Server(("127.0.0.1", port), type("SamHandler", (Handler,), {"sam": sam}))
    sam.url = f"http://127.0.0.1:{server.server_address[1]}/sam/{sam.experiment}/api"
    return server


@contextmanager
def serving(sam: Sam | None = None) -> Iterator[Sam]:
    """Serve in a thread while a test runs."""
    sam = sam or Sam()
    server = start(sam)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield sam
    finally:
        sam.stopped.set()
        server.shutdown()
        server.server_close()


def main() -> None:
    """Serve for ever, with a dataset of many files."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--port", type=int, default=8480)
    arguments.add_argument("--files", type=int, default=0, help="a dataset `mass` of so many files")
    given = arguments.parse_args()
    sam = Sam()
    if given.files:
        sam.fill("mass", given.files)
    server = start(sam, given.port)
    print(f"{sam.url} since {datetime.now(UTC):%H:%M:%S}, {time.process_time():.1f} s", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
