"""Landscape's Lens as its wire shows it (protocols 8): aliases, windows of time, and errors beside what was answered.

Tests let jobs come, move and vanish; single parts of an answer can be told to fail while the rest is answered.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from tests.stand_ins.serving import Call, Reply, StandIn, document, words

TOKEN = re.compile(r'\s*([{}():,]|"(?:[^"\\\\]|\\\\.)*"|[A-Za-z0-9_.-]+)')
ENDED = ("Completed", "Failed", "Cancelled")


@dataclass
class Field:
    """One selected field: alias, name, arguments and what is selected of it."""

    alias: str
    name: str
    arguments: dict[str, str]
    selected: list[Field]


def parse(query: str) -> list[Field]:
    """Read a query in braces; raise ValueError for what is none."""
    tokens = TOKEN.findall(query)
    if "".join(tokens) != re.sub(r'\s+(?=(?:[^"]*"[^"]*")*[^"]*$)', "", query):
        raise ValueError("Syntax Error")
    place = 0

    def take(wanted: str = "") -> str:
        nonlocal place
        if place >= len(tokens) or (wanted and tokens[place] != wanted):
            raise ValueError(f"Syntax Error: expected {wanted or 'a name'}")
        place += 1
        return tokens[place - 1]

    def selection() -> list[Field]:
        take("{")
        found = []
        while tokens[place] != "}":
            alias = name = take()
            if tokens[place] == ":":
                take(":")
                name = take()
            arguments: dict[str, str] = {}
            if tokens[place] == "(":
                take("(")
                while tokens[place] != ")":
                    key = take()
                    take(":")
                    arguments[key] = take().strip('"')
                    if tokens[place] == ",":
                        take(",")
                take(")")
            found.append(Field(alias, name, arguments, selection() if tokens[place] == "{" else []))
        take("}")
        return found

    try:
        found = selection()
    except IndexError as error:
        raise ValueError("Syntax Error: unexpected end") from error
    if place != len(tokens):
        raise ValueError("Syntax Error: something stands behind the end")
    return found


@dataclass
class Submission:
    """One cluster: its group, its environment, and its jobs by process, in Lens's words."""

    group: str
    environment: dict[str, str]
    jobs: dict[int, str] = field(default_factory=dict)
    changed: float = field(default_factory=time.time)
    task: str = ""

    @property
    def done(self) -> bool:
        return all(state in ENDED for state in self.jobs.values())


class LensServer(StandIn):
    """One endpoint, at /lens/query."""

    def __init__(self) -> None:
        self.submissions: dict[tuple[str, str], Submission] = {}
        self.broken: set[str] = set()  # ids of submissions and jobs on which it fails inside
        self.forgotten: set[str] = set()  # ids of jobs of which it has not heard, though they are there
        super().__init__()
        self.address = f"{self.url}/lens/query"

    # --- What happens -------------------------------------------------------------------------------------------

    def submit(self, cluster: int, schedd: str, number: int, uuid: str, group: str = "demo") -> list[str]:
        """Let a cluster come; return the ids of its jobs."""
        made = Submission(group, {"POMS_SUBMISSION_ID": uuid} if uuid else {}, task=str(cluster * 7))
        made.jobs = dict.fromkeys(range(number), "Idle")
        self.submissions[str(cluster), schedd] = made
        return [f"{cluster}.{proc}@{schedd}" for proc in range(number)]

    def move(self, job: str, state: str) -> None:
        """Let a job come into a state."""
        cluster, proc, schedd = _parted(job)
        made = self.submissions[cluster, schedd]
        made.jobs[proc] = state
        made.changed = time.time()

    # --- What is answered ---------------------------------------------------------------------------------------

    def answer(self, call: Call) -> Reply:
        """Answer a query."""
        if (call.method, call.path) != ("POST", "/lens/query"):
            return words("Not Found", 404)
        if call.headers.get("content-type") != "application/json" or set(call.json()) != {"query", "operationName"}:
            return document({"errors": [{"message": "Must provide query string."}]}, 400)
        try:
            fields = parse(call.json()["query"])
        except ValueError as error:
            return document({"errors": [{"message": str(error)}]}, 400)
        data, errors = {}, []
        for entry in fields:
            try:
                data[entry.alias] = getattr(self, f"_{entry.name}")(entry)
            except LookupError as error:
                data[entry.alias] = None
                errors.append({"message": str(error.args[0]), "path": [entry.alias]})
        return document({"data": data, **({"errors": errors} if errors else {})})

    def _submissions(self, entry: Field) -> list[dict[str, Any]]:
        begin = _time(entry.arguments.get("from", "")) if "from" in entry.arguments else None
        return [
            self._shown(key, one, entry)
            for key, one in self.submissions.items()
            if one.group == entry.arguments["group"] and (one.changed >= begin if begin else not one.done)
        ]

    def _submission(self, entry: Field) -> dict[str, Any]:
        cluster, _, schedd = _parted(entry.arguments["id"])
        if f"{cluster}@{schedd}" in self.broken:
            raise LookupError("upstream request timeout")
        if (cluster, schedd) not in self.submissions:
            raise LookupError("no submission found with the given id")
        return self._shown((cluster, schedd), self.submissions[cluster, schedd], entry)

    def _shown(self, key: tuple[str, str], one: Submission, entry: Field) -> dict[str, Any]:
        cluster, schedd = key
        states = [state for proc, state in one.jobs.items() if f"{cluster}.{proc}@{schedd}" not in self.forgotten]
        told = {
            "id": f"{cluster}.000000.0.000000@{schedd}", "pomsTaskID": one.task, "done": one.done, "error": False,
            **{name.lower(): states.count(name) for name in ("Running", "Idle", "Held", *ENDED)},
        }  # fmt: skip
        return {f.alias: one.environment.get(f.arguments["name"]) if f.name == "env" else told[f.name]
                for f in entry.selected}  # fmt: skip

    def _job(self, entry: Field) -> dict[str, Any]:
        given = entry.arguments["id"]
        cluster, proc, schedd = _parted(given)
        if given in self.broken:
            raise LookupError("upstream request timeout")
        one = self.submissions.get((cluster, schedd))
        if one is None or proc not in one.jobs or given in self.forgotten:
            raise LookupError("no job found with the given id")
        state = one.jobs[proc]
        told = {"id": given, "status": state, "done": state in ENDED, "error": state == "Failed"}
        return {f.alias: one.environment.get(f.arguments["name"]) if f.name == "env" else told[f.name]
                for f in entry.selected}  # fmt: skip


def _parted(job: str) -> tuple[str, int, str]:
    number, _, schedd = job.partition("@")
    cluster, _, proc = number.partition(".")
    return cluster, int(proc or 0), schedd


def _time(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


@contextmanager
def serving() -> Iterator[LensServer]:
    """Serve on a free port until the block ends."""
    server = LensServer()
    try:
        yield server
    finally:
        server.stop()
