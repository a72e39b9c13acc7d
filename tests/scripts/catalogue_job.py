"""A job of an experiment whose files are in a catalogue: gets its inputs there, and declares what it has made.

The stage `reco` makes one file of each input, any other stage one of all its inputs. Every file holds the names of the raw
files that went into it, a line each. Standard library only, as on a worker node.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote, urlencode
from urllib.request import Request, urlopen

VERSION = "v1"
SERVED = "/disk1/"  # below this, the door serves the storage of the test
DOOR = f"root://door.example.org:1094/{SERVED}"
JOB = os.environ.get("POMS_JOB_ID", "")


@dataclass(frozen=True)
class Taken:
    """An input that this job has: its name in the catalogue, where it is, and the key of its unit if that is known."""

    name: str
    place: Path
    unit: str = ""

    @property
    def number(self) -> str:
        """Return the number in its name."""
        return self.place.stem.rpartition("_")[2]


class Catalogue(Protocol):
    """What a job does with a catalogue."""

    def inputs(self, most: int | None) -> Iterator[Taken]:
        """Give the inputs, at most so many where others may have them as well."""
        ...

    def release(self, taken: Taken, *, good: bool) -> None:
        """Say what became of an input."""
        ...

    def declare(self, name: str, body: bytes, parents: Sequence[Taken]) -> None:
        """Bring an output to its place, and enter it with what it was made from."""
        ...

    def end(self) -> None:
        """Say that this job needs no more."""
        ...


def http(
    method: str, url: str, body: bytes | None = None, headers: dict[str, str] | None = None
) -> tuple[int, dict[str, str], bytes]:
    """Make a call; return status, headers and body."""
    with urlopen(Request(url, body, headers or {}, method=method), timeout=60) as answer:
        return answer.status, dict(answer.headers), answer.read()


class Given:
    """How the job was called, and what all catalogues have in common: the job's list, and nobody who follows it."""

    def __init__(self, told: argparse.Namespace) -> None:
        self.told = told
        self.storage = Path(told.storage)
        self.secret = Path(told.secret).read_text() if told.secret else ""

    def inputs(self, most: int | None) -> Iterator[Taken]:
        """Give the files of the list that came with the job."""
        for unit in self.told.units:
            yield Taken(unit["file"], self.found(unit), unit["key"])

    def found(self, unit: dict[str, Any]) -> Path:
        """Return where the file of a unit is."""
        return Path(unit["path"])

    def release(self, taken: Taken, *, good: bool) -> None:
        """Nobody follows it."""

    def end(self) -> None:
        """Nobody waits for it."""

    def put(self, folder: str, name: str, body: bytes) -> Path:
        """Write a file into the storage."""
        place = self.storage / folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(body)
        return place


class Local(Given):
    """Outputs are left in the job's folder, with a list of what they were made from; the batch system takes them."""

    def __init__(self, told: argparse.Namespace) -> None:
        super().__init__(told)
        self.made: list[dict[str, Any]] = []

    def declare(self, name: str, body: bytes, parents: Sequence[Taken]) -> None:
        """Leave it here."""
        Path(name).write_bytes(body)
        units = [taken.unit for taken in parents]
        self.made.append({"name": name, "parents": [taken.name for taken in parents], "units": units})
        Path("outputs.json").write_text(json.dumps(self.made))


class Sam(Given):
    """A process of the SAM project that was begun for the attempt (protocols 1.3)."""

    def __init__(self, told: argparse.Namespace) -> None:
        super().__init__(told)
        self.project = os.environ["SAM_PROJECT_URL"]
        self.process = self._post(f"{self.project}/establishProcess", appname="reco", appversion=VERSION, node="here")[
            1
        ]

    def _post(self, url: str, **form: str) -> tuple[int, str]:
        kind = {"Content-Type": "application/x-www-form-urlencoded"}
        status, _, body = http("POST", url, urlencode(form).encode(), kind)
        return status, body.decode().strip()

    def inputs(self, most: int | None) -> Iterator[Taken]:
        """Ask for the next file until there is none, whatever the list says."""
        given = 0
        while given != most:
            status, said = self._post(f"{self.project}/processes/{self.process}/getNextFile")
            if status == 204:
                return
            if status == 202:
                time.sleep(0.2)
                continue
            given += 1
            place = Path(said.splitlines()[0].removeprefix("file://"))
            yield Taken(place.name, place)

    def release(self, taken: Taken, *, good: bool) -> None:
        status = "consumed" if good else "failed"
        self._post(f"{self.project}/processes/{self.process}/updateFileStatus", filename=taken.name, status=status)

    def declare(self, name: str, body: bytes, parents: Sequence[Taken]) -> None:
        place = self.put(self.told.stage, name, body)
        entry = {
            "file_name": name, "file_size": len(body), "checksum": [f"adler32:{zlib.adler32(body):08x}"],
            "application": {"family": "demo", "name": self.told.stage, "version": VERSION},
            "process_id": int(self.process), "parents": [{"file_name": taken.name} for taken in parents],
        }  # fmt: skip
        http("POST", f"{self.told.at}/files", json.dumps(entry).encode(), {"Content-Type": "application/json"})
        self._post(f"{self.told.at}/files/name/{quote(name)}/locations", add=str(place.parent))

    def end(self) -> None:
        self._post(f"{self.project}/processes/{self.process}/endProcess")


class MetaCat(Given):
    """A worker of the Data Dispatcher's project, which declares to MetaCat (protocols 2.2, 2.4)."""

    NAMESPACE = "poms"

    def _ask(self, server: str, verb: str, sent: Any = None, **query: str) -> Any:
        headers = {"X-Authentication-Token": self.secret}
        body = None if sent is None else json.dumps(sent).encode()
        return json.loads(
            http("GET" if sent is None else "POST", f"{server}/{verb}?{urlencode(query)}", body, headers)[2]
        )

    def inputs(self, most: int | None) -> Iterator[Taken]:
        """Reserve file after file, and wait for those that another worker may give back."""
        given = 0
        while given != most:
            said = self._ask(self.told.dispatcher, "next_file", project_id=self.told.dataset, worker_id=JOB)
            handle = said["handle"]
            if handle is None and not said["retry"]:
                return
            if handle is None:
                time.sleep(0.2)
                continue
            given += 1
            (replica,) = handle["replicas"].values()
            yield Taken(f"{handle['namespace']}:{handle['name']}", Path(replica["url"].removeprefix("file://")))

    def release(self, taken: Taken, *, good: bool) -> None:
        handle, failed = f"{self.told.dataset}:{taken.name}", "no" if good else "yes"
        self._ask(self.told.dispatcher, "release", handle_id=handle, failed=failed, retry="no", worker_id=JOB)

    def declare(self, name: str, body: bytes, parents: Sequence[Taken]) -> None:
        self.put(self.NAMESPACE, name, body)
        entry = {
            "namespace": self.NAMESPACE, "name": name, "size": len(body),
            "checksums": {"adler32": f"{zlib.adler32(body):08x}"}, "metadata": {"core.application.version": VERSION},
            "parents": [dict(zip(("namespace", "name"), taken.name.split(":"), strict=True)) for taken in parents],
        }  # fmt: skip
        self._ask(f"{self.told.at}/data", "declare_files", [entry], dataset=f"{self.NAMESPACE}:made")


class Rucio(Given):
    """Goes by its list, asks Rucio where its files are, and uploads into the dataset of the attempt (protocols 3)."""

    def __init__(self, told: argparse.Namespace) -> None:
        super().__init__(told)
        user, _, password = self.secret.partition(":")
        account = {"X-Rucio-Account": "root"}
        who = {"X-Rucio-Username": user, "X-Rucio-Password": password}
        _, headers, _ = http("GET", f"{told.at}/auth/userpass", None, account | who)
        self.headers = account | {
            "X-Rucio-Auth-Token": headers["X-Rucio-Auth-Token"], "Content-Type": "application/json",
        }  # fmt: skip
        self.output = os.environ["POMS_RUCIO_OUTPUT"]
        self.scope = self.output.partition(":")[0]

    def _post(self, path: str, **send: Any) -> bytes:
        return http("POST", f"{self.told.at}/{path}", json.dumps(send).encode(), self.headers)[2]

    def found(self, unit: dict[str, Any]) -> Path:
        """Return where the best replica of a file is."""
        scope, _, name = unit["file"].partition(":")
        line = json.loads(self._post("replicas/list", dids=[{"scope": scope, "name": name}]))
        (pfn,) = line["pfns"]
        return self.storage / pfn.partition(SERVED)[2]

    def declare(self, name: str, body: bytes, parents: Sequence[Taken]) -> None:
        self.put(self.scope, name, body)
        did = {"scope": self.scope, "name": name}
        replica = {
            **did,
            "bytes": len(body),
            "adler32": f"{zlib.adler32(body):08x}",
            "pfn": f"{DOOR}{self.scope}/{name}",
        }
        self._post("replicas/", rse="DISK1", files=[replica])
        meta = {"parents": [taken.name for taken in parents], "version": VERSION}
        self._post(f"dids/{self.scope}/{name}/meta", meta=meta, recursive=False)
        into = {"scope": self.scope, "name": self.output.partition(":")[2], "dids": [did]}
        self._post("dids/attachments", attachments=[into], ignore_duplicate=True)


CATALOGUES: dict[str, type[Any]] = {"local": Local, "sam": Sam, "metacat": MetaCat, "rucio": Rucio}


def work(told: argparse.Namespace, catalogue: Catalogue) -> None:
    """Make one file of each input, or one of all; at an input that fails, leave everything and end in error."""
    each = told.stage == "reco"
    held: list[Taken] = []
    for taken in catalogue.inputs(None if each else len(told.units)):
        if told.fail_once and taken.place.stem == told.fail_once and os.environ["POMS_ROUND"] == "0":
            catalogue.release(taken, good=False)
            sys.exit(f"{taken.name} cannot be read")
        body = taken.place.read_bytes()
        if each:
            kind = "calib" if int(taken.number) % 4 == 0 else "reco"
            catalogue.declare(f"{kind}_{taken.number}.dat", body, [taken])
            catalogue.release(taken, good=True)
        else:
            held.append(taken)
    if held:
        body = b"".join(taken.place.read_bytes() for taken in held)
        catalogue.declare(f"{told.stage}_{held[0].number}.dat", body, held)
        for taken in held:
            catalogue.release(taken, good=True)
    catalogue.end()


def main() -> None:
    """Do the job."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--on", required=True, choices=CATALOGUES)
    parser.add_argument("--units", required=True, type=json.loads)
    for name in ("--at", "--dispatcher", "--dataset", "--stage", "--storage", "--secret", "--fail-once"):
        parser.add_argument(name, default="")
    told = parser.parse_args()
    work(told, CATALOGUES[told.on](told))


if __name__ == "__main__":
    main()
