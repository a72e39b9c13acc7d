"""Where a production runs in tests: for each catalogue, an experiment's files in it, and what is in it afterwards.

What was made is asked of the catalogue's own server, not through our backend, which may be wrong about it.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import requests

from experiments.models import Experiment
from integrations.catalogue.base import FileSeen
from integrations.catalogue.local import LocalCatalogue
from integrations.models import CatalogueLink
from tests.stand_ins.data_dispatcher.server import DataDispatcherServer
from tests.stand_ins.metacat.server import TOKEN
from tests.stand_ins.sam.server import Sam

RAW = [f"raw_{number:02}.dat" for number in range(24)]
NAMESPACE = "poms"
SERVED = "/disk1/"  # below this, the door serves the storage of the test
DOOR = f"root://door.example.org:1094/{SERVED}"


@dataclass(frozen=True)
class Made:
    """A file that the production has put into the catalogue; `place` is where it is, as far as the catalogue says so."""

    name: str
    parents: frozenset[str]
    place: Path | None

    @property
    def plain(self) -> str:
        """Return the name without its namespace."""
        return self.name.rpartition(":")[2]

    @property
    def stage(self) -> str:
        """Return the stage that made it, by its name."""
        kind = self.plain.partition("_")[0]
        return {"calib": "reco"}.get(kind, kind)


class Ground(ABC):
    """An experiment with a dataset of 24 raw files in one catalogue, which lie in a folder of the test."""

    on: str
    dataset = "raw"
    recovery = "pending_files"
    credential: ClassVar[tuple[str, str]] = ("", "")  # name and secret
    before = ""  # each raw file's name, to be as the catalogue has it

    def __init__(self, storage: Path) -> None:
        self.storage = storage

    @property
    def raw(self) -> list[str]:
        """Return the names of the raw files as the catalogue has them."""
        return [f"{self.before}{name}" for name in RAW]

    def lay(self, folder: str) -> Path:
        """Write the raw files into a folder of the storage; each holds its own name."""
        place = self.storage / folder
        place.mkdir(parents=True)
        for name in RAW:
            (place / name).write_text(f"{name}\n")
        return place

    def link(self, experiment: Experiment) -> None:
        """Link the experiment to the catalogue."""
        CatalogueLink.objects.create(
            experiment=experiment, system=self.on, settings=self.settings(), credential=self.credential[0]
        )

    def settings(self) -> dict[str, str]:
        """Return the settings of the link."""
        return {}

    def told(self) -> dict[str, str]:
        """Return what the experiment's own scripts are told."""
        return {}

    @abstractmethod
    def fill(self, experiment: Experiment) -> None:
        """Enter the raw files."""

    @abstractmethod
    def made(self) -> list[Made]:
        """Return everything that is in the catalogue beside the raw files."""

    @abstractmethod
    def home(self, stage: str) -> Path:
        """Return the folder in which the outputs of a stage have to be."""


class LocalGround(Ground):
    """Our own tables, and the local files."""

    on = "local"

    def __init__(self, storage: Path, files: Path) -> None:
        super().__init__(storage)
        self.files = files

    def fill(self, experiment: Experiment) -> None:
        place = self.lay("raw")
        self.catalogue = LocalCatalogue(experiment)
        size = len(RAW[0]) + 1
        assert self.catalogue.declare([FileSeen(name, str(place / name), size) for name in RAW]) == {}
        self.catalogue.define("raw", RAW)

    def made(self) -> list[Made]:
        names = set(self.catalogue.like("%", 1000)) - set(RAW)
        told = self.catalogue.told(sorted(names))
        return [Made(name, frozenset(seen.parents), Path(seen.path)) for name, seen in told.items()]

    def home(self, stage: str) -> Path:
        return self.files / "demo"


class SamGround(Ground):
    """The stand-in for SAM; jobs take their files from projects."""

    on, recovery = "sam", "consumed_status"

    def __init__(self, storage: Path, sam: Sam) -> None:
        super().__init__(storage)
        self.sam = sam

    def settings(self) -> dict[str, str]:
        return {"url": self.sam.url, "group": "samdev"}

    def told(self) -> dict[str, str]:
        return {"at": self.sam.url}

    def fill(self, experiment: Experiment) -> None:
        place = self.lay("raw")
        for name in RAW:
            self.sam.put(name, datasets=("raw",), size=len(name) + 1, disk=str(place))

    def made(self) -> list[Made]:
        dims = "file_name like '%.dat' with availability any"
        listed = requests.get(f"{self.sam.url}/files/list", {"dims": dims, "format": "json"}, timeout=30).json()
        names = sorted(set(listed) - set(RAW))
        answer = requests.post(f"{self.sam.url}/files/metadata", {"file_name": names, "locations": "1"}, timeout=30)
        return [
            Made(entry["file_name"], frozenset(parent["file_name"] for parent in entry["parents"]),
                 Path(entry["locations"][0]["location"]) / entry["file_name"])
            for entry in answer.json()
        ]  # fmt: skip

    def home(self, stage: str) -> Path:
        return self.storage / stage


class MetaCatGround(Ground):
    """A MetaCat with the stand-in for the Data Dispatcher beside it; workers reserve their files there."""

    on, recovery, dataset = "metacat", "state_not_done", "mc:raw"
    credential = ("metacat", TOKEN)
    before = "mc:"

    def __init__(self, storage: Path, server: Any, dispatcher: DataDispatcherServer) -> None:
        super().__init__(storage)
        self.server, self.dispatcher = server, dispatcher

    def settings(self) -> dict[str, str]:
        return {
            "url": f"{self.server.url}/app",
            "namespace": NAMESPACE,
            "data_dispatcher": f"{self.dispatcher.url}/data",
        }

    def told(self) -> dict[str, str]:
        return {"at": f"{self.server.url}/app", "dispatcher": f"{self.dispatcher.url}/data"}

    def fill(self, experiment: Experiment) -> None:
        self.lay("mc")
        store = self.server.store
        for dataset in ("mc:raw", f"{NAMESPACE}:made"):
            store.create(dataset)
        store.declare("mc:raw", [{"namespace": "mc", "name": name, "size": len(name) + 1} for name in RAW])
        store.let_clock_run()

    def made(self) -> list[Made]:
        query = f"files from {NAMESPACE}:made"
        answer = requests.post(f"{self.server.url}/app/data/query?with_provenance=yes", query, timeout=30)
        records = [json.loads(record) for record in answer.text.split("\x1e") if record]
        fids = sorted({parent["fid"] for record in records for parent in record["parents"]})
        asked = requests.post(f"{self.server.url}/app/data/files", json=[{"fid": fid} for fid in fids], timeout=30)
        names = {record["fid"]: f"{record['namespace']}:{record['name']}" for record in asked.json()}
        return [
            Made(f"{record['namespace']}:{record['name']}",
                 frozenset(names[parent["fid"]] for parent in record["parents"]), None)
            for record in records
        ]  # fmt: skip

    def home(self, stage: str) -> Path:
        return self.storage / NAMESPACE


class RucioGround(Ground):
    """A Rucio with one storage; jobs go by their list and upload into the dataset of their attempt."""

    on = "rucio"
    credential = ("rucio", "poms:s3cret")
    before = "demo:"

    def __init__(self, storage: Path, url: str) -> None:
        super().__init__(storage)
        self.url = url

    def settings(self) -> dict[str, str]:
        return {"url": self.url, "account": "root", "scope": "demo"}

    def told(self) -> dict[str, str]:
        return {"at": self.url}

    def fill(self, experiment: Experiment) -> None:
        self.lay("demo")
        who = {"X-Rucio-Username": "poms", "X-Rucio-Password": "s3cret", "X-Rucio-Account": "root"}
        answer = requests.get(f"{self.url}/auth/userpass", headers=who, timeout=30)
        self.headers = {"X-Rucio-Auth-Token": answer.headers["X-Rucio-Auth-Token"], "X-Rucio-Account": "root"}
        both = {"read": 1, "write": 1, "delete": 1}
        self._do("accounts/root/scopes/demo")
        self._do("rses/DISK1", rse_type="DISK", deterministic=False)
        self._do("rses/DISK1/protocols/root", hostname="door.example.org", port=1094, prefix="/disk1/",
                 impl="rucio.rse.protocols.posix.Default", domains={"wan": both, "lan": both})  # fmt: skip
        self._do("accountlimits/local/root/DISK1", bytes=10**15)
        self._do("replicas/", rse="DISK1", files=[
            {"scope": "demo", "name": name, "bytes": len(name) + 1, "adler32": "00000001", "pfn": f"{DOOR}demo/{name}"}
            for name in RAW
        ])  # fmt: skip
        self._do("dids/demo/raw", type="DATASET")
        into = {"scope": "demo", "name": "raw", "dids": self._dids(RAW)}
        self._do("dids/attachments", attachments=[into], ignore_duplicate=True)

    @staticmethod
    def _dids(names: Sequence[str]) -> list[dict[str, str]]:
        return [{"scope": "demo", "name": name} for name in names]

    def _do(self, path: str, **send: Any) -> list[Any]:
        answer = requests.post(f"{self.url}/{path}", json=send, headers=self.headers, timeout=30)
        assert answer.ok, f"{path}: {answer.status_code} {answer.text[:300]}"
        return [json.loads(line) for line in answer.text.splitlines() if line.startswith("{")]

    def made(self) -> list[Made]:
        query = {"type": "file", "filters": repr([{"name": "*.dat"}])}
        found = requests.get(f"{self.url}/dids/demo/dids/search", query, headers=self.headers, timeout=30)
        names = sorted({json.loads(line) for line in found.text.splitlines()} - set(RAW))
        told = self._do("dids/bulkmeta", dids=self._dids(names), inherit=False, plugin="ALL")
        replicas = self._do("replicas/list", dids=self._dids(names))
        places: Mapping[str, list[str]] = {line["name"]: list(line["pfns"]) for line in replicas}
        return [
            Made(f"demo:{entry['name']}", frozenset(entry["parents"]),
                 self.storage / places[entry["name"]][0].partition(SERVED)[2])
            for entry in told
        ]  # fmt: skip

    def home(self, stage: str) -> Path:
        return self.storage / "demo"
