"""The Data Dispatcher: projects that hand files to workers, and what became of each (protocols 2.4).

What the recoveries of POMS are made of comes from here: failed handles (`state_failed`), handles that are not done
(`state_not_done`), and done ones without children, which `produced` knows (`reprocess_orphans`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from integrations.catalogue.base import CONSUMED, DELIVERED, FAILED, UNCONSUMED, Offer
from integrations.catalogue.server import NOT_FOUND, Server
from integrations.errors import Refused, Unsure

ATTRIBUTE = "poms_offer"  # of a project: our name for it
FATES = {"initial": UNCONSUMED, "reserved": DELIVERED, "done": CONSUMED, "failed": FAILED}
# Of a file that is in two projects of one name, what happened last counts.
FURTHEST = {"initial": 0, "failed": 1, "reserved": 2, "done": 3}


class DataDispatcher:
    """One Data Dispatcher, as one account."""

    def __init__(self, server: Server, settings: Mapping[str, str]) -> None:
        """Take the server and the settings of the catalogue that it stands beside."""
        self._server = server
        self._virtual = settings["virtual"] == "yes"
        self._load_limit = _seconds(settings, "load_limit")
        self._idle = _seconds(settings, "idle_timeout")
        self._worker = _seconds(settings, "worker_timeout")

    def offer(self, name: str, dids: Sequence[str]) -> Offer:
        """Return the project of this name, which is made if there is none with all of the files.

        The server writes a project first and its files afterwards: one that has not all of them was broken off, and
        nothing can be added to it. It is cancelled.
        """
        if not dids:
            raise Refused("A project of the Data Dispatcher needs files.")
        wanted = set(dids)
        there = self._projects(name)
        whole = [one for one in there if set(self._handles(one)) == wanted]
        if not whole:
            for one in there:
                number = str(one["project_id"])
                self._server.act("GET", "cancel_project", query={"project_id": number}, expect={NOT_FOUND})
        project = whole[0] if whole else self._make(name, dids)
        limit = "" if self._load_limit is None else str(self._load_limit)
        number = str(project["project_id"])
        return Offer(number, {
            "POMS_DATA_DISPATCHER_PROJECT_ID": number, "POMS_DATA_DISPATCHER_TASK_ID": name,
            "POMS_DATA_DISPATCHER_DATASET_QUERY": str(project.get("query") or ""),
            "POMS_DATA_DISPATCHER_PROJECT_VIRTUAL": str(self._virtual),
            "POMS_DATA_DISPATCHER_LOAD_LIMIT": limit, "POMS_DATA_DISPATCHER_PARAMETER": "",
        })  # fmt: skip

    def fates(self, name: str) -> dict[str, str]:
        """Return what became of each file of the projects of this name; nothing if there is none."""
        found: dict[str, str] = {}
        for project in self._projects(name):
            for did, state in self._handles(project).items():
                found[did] = max(found.get(did, state), state, key=FURTHEST.__getitem__)
        return {did: FATES[state] for did, state in found.items()}

    def _projects(self, name: str) -> list[dict[str, Any]]:
        """Return our projects of a name that were not cancelled, the oldest first."""
        query = {"attributes": json.dumps({ATTRIBUTE: name}), "with_handles": "yes", "with_replicas": "no"}
        found = self._server.json(self._server.ask("GET", "projects", query=query), list)
        mine = [self._checked(project) for project in found]
        # Servers before 1.20 do not look at the attributes.
        mine = [one for one in mine if (one.get("attributes") or {}).get(ATTRIBUTE) == name]
        return sorted((one for one in mine if one.get("state") != "cancelled"), key=lambda one: int(one["project_id"]))

    def _checked(self, project: Any) -> dict[str, Any]:
        if not isinstance(project, dict) or not isinstance(project.get("project_id"), int):
            raise self._server.senseless(f"with a project without a number ({str(project)[:60]})")
        return project

    def _handles(self, project: Mapping[str, Any]) -> dict[str, str]:
        """Return the state of each file of a project."""
        found = {}
        for handle in project.get("file_handles") or ():
            state = handle.get("state") if isinstance(handle, dict) else None
            if state not in FATES:
                raise self._server.senseless(f"with a file in the state {state!r}")
            found[f"{handle.get('namespace')}:{handle.get('name')}"] = state
        return found

    def _make(self, name: str, dids: Sequence[str]) -> dict[str, Any]:
        files = [{"namespace": did.partition(":")[0], "name": did.partition(":")[2], "attributes": {}} for did in dids]
        limit = {} if self._load_limit is None else {"load_limit": self._load_limit}
        answer = self._server.act("POST", "create_project", send={
            "files": files, "project_attributes": {ATTRIBUTE: name, "virtual": self._virtual, **limit},
            "query": "", "worker_timeout": self._worker, "idle_timeout": self._idle, "users": [], "roles": [],
        })  # fmt: skip
        project = answer.json()
        if not isinstance(project, dict) or not isinstance(project.get("project_id"), int):
            raise Unsure(f"The Data Dispatcher made a project and did not say which ({answer.body[:60]!r}).")
        return project


def _seconds(settings: Mapping[str, str], name: str) -> int | None:
    if not settings[name]:
        return None
    if not settings[name].isdecimal():
        raise Refused(f"{name} of the MetaCat catalogue is {settings[name]!r}, not a whole number.")
    return int(settings[name])
