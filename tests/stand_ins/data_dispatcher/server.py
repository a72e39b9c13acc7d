"""A Data Dispatcher that speaks the real one's HTTP (protocols 2.4): projects, handles, and workers that take them."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from tests.stand_ins.metacat.server import TOKEN
from tests.stand_ins.serving import Call, Reply, StandIn, document, words


class DataDispatcherServer(StandIn):
    """Projects by number. `forgetful` ends a creation before its files are written, as a killed server does.

    The replicas of `namespace:name` are looked for in the folder `storage`; without one, no project needs any.
    """

    def __init__(self, storage: Path | None = None) -> None:
        self.storage = storage
        self.projects: dict[int, dict[str, Any]] = {}
        self.forgetful = 0
        super().__init__()

    def answer(self, call: Call) -> Reply:
        """Do what a call asks for."""
        if call.headers.get("x-authentication-token") != TOKEN:
            return words("Authentication required", 401)
        return getattr(self, f"do_{call.path.rpartition('/')[2]}")(call)

    def do_create_project(self, call: Call) -> Reply:
        sent = call.json()
        number = len(self.projects) + 1
        project = {
            "project_id": number, "owner": "poms", "state": "active", "active": True, "query": sent["query"],
            "attributes": sent["project_attributes"], "created_timestamp": 1_700_000_000.0, "ended_timestamp": None,
            "worker_timeout": sent["worker_timeout"], "idle_timeout": sent["idle_timeout"], "file_handles": [],
        }  # fmt: skip
        self.projects[number] = project
        if self.forgetful:
            self.forgetful -= 1
            return words("killed", 502)
        project["file_handles"] = [
            {"project_id": number, "namespace": one["namespace"], "name": one["name"], "state": "initial",
             "worker_id": None, "attempts": 0, "attributes": one["attributes"], "reserved_since": None}
            for one in sent["files"]
        ]  # fmt: skip
        return _say(project)

    def do_projects(self, call: Call) -> Reply:
        wanted = json.loads(call.query.get("attributes") or "{}")
        return _say([one for one in self.projects.values() if wanted.items() <= one["attributes"].items()])

    def do_cancel_project(self, call: Call) -> Reply:
        project = self.projects.get(int(call.query["project_id"]))
        if project is None:
            return words("Project not found", 404)
        project.update(state="cancelled", active=False)
        return _say(project)

    def do_next_file(self, call: Call) -> Reply:
        project = self.projects[int(call.query["project_id"])]
        if project["state"] != "active":
            return _say({"handle": None, "reason": "project inactive", "retry": False})
        for handle in project["file_handles"]:
            replicas = self._replicas(handle)
            if handle["state"] == "initial" and (replicas or project["attributes"].get("virtual")):
                handle.update(state="reserved", worker_id=call.query["worker_id"], reserved_since=time.time())
                handle["attempts"] += 1
                return _say({"handle": {**handle, "replicas": replicas}, "reason": "reserved", "retry": False})
        return _say({"handle": None, "reason": "retry", "retry": True})

    def _replicas(self, handle: dict[str, Any]) -> dict[str, Any]:
        """Return where a file is: at one place, or nowhere."""
        name, namespace = handle["name"], handle["namespace"]
        place = self.storage and self.storage / namespace / name
        if not place or not place.is_file():
            return {}
        return {"DISK1": {"name": name, "namespace": namespace, "path": str(place), "rse": "DISK1", "url": f"file://{place}",
                          "preference": 0, "available": True, "rse_available": True}}  # fmt: skip

    def do_release(self, call: Call) -> Reply:
        number, namespace, name = call.query["handle_id"].split(":")
        project = self.projects[int(number)]
        handles = project["file_handles"]
        (handle,) = [one for one in handles if (one["namespace"], one["name"]) == (namespace, name)]
        if handle["state"] != "reserved":
            return words("Handle is not reserved", 404)
        if handle["worker_id"] != call.query.get("worker_id"):
            return words("Handle is reserved by another worker", 403)
        again = call.query.get("retry") == "yes"
        state = "done" if call.query.get("failed") != "yes" else "initial" if again else "failed"
        handle.update(state=state, worker_id=None, reserved_since=None)
        states = {one["state"] for one in handles}
        if states <= {"done", "failed"}:
            project.update(state="failed" if "failed" in states else "done", active=False, ended_timestamp=time.time())
        return _say(handle)

    def work(self, number: int, name: str, state: str) -> None:
        """Let a worker bring a file of a project to a state."""
        (handle,) = [one for one in self.projects[number]["file_handles"] if one["name"] == name]
        handle["state"] = state


def _say(value: Any) -> Reply:
    return document(value, kind="text/json")
