"""Files and datasets of the stand-in in memory, and the few forms of MQL that the backend itself writes."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Iterable
from datetime import datetime
from typing import Any

Record = dict[str, Any]


class MQLSyntaxError(ValueError):
    """A query that this evaluator does not read; the real one reads much more."""


class Exists(Exception):
    """Files of a declaration are there already."""

    def __init__(self, dids: list[str]) -> None:
        super().__init__("\n  ".join(["The following files already exist:", *dids]))


class Memory:
    """What the server knows. `now` is its clock."""

    def __init__(self) -> None:
        self.now, self.runs = 1_700_000_000.0, False
        self.files: dict[str, Record] = {}
        self.names: dict[str, str] = {}
        self.parents: dict[str, list[str]] = {}
        self.datasets: dict[str, Record] = {}
        self.members: dict[str, set[str]] = {}

    def set_now(self, now: float) -> None:
        """Set the clock, which stands still between declarations."""
        self.now, self.runs = now, False

    def let_clock_run(self) -> None:
        """Let the clock show the time of day."""
        self.runs = True

    def tick(self) -> None:
        """Go on a little, so that no two files are of one time."""
        self.now = max(self.now + 0.001, time.time() if self.runs else 0)

    def create(self, did: str, **more: Any) -> Record:
        """Make a dataset."""
        namespace, _, name = did.partition(":")
        self.datasets[did] = {"namespace": namespace, "name": name, "frozen": False, "monotonic": False,
                              "metadata": {}, "creator": "poms", "created_timestamp": self.now, "description": "", **more}  # fmt: skip
        self.members[did] = set()
        return self.dataset(did) or {}

    def dataset(self, did: str) -> Record | None:
        """Return a dataset with the number of its files, or None."""
        if did not in self.datasets:
            return None
        there = [fid for fid in self.members[did] if not self.files[fid]["retired"]]
        return {**self.datasets[did], "file_count": len(there)}

    def update(self, did: str, frozen: bool) -> None:
        """Freeze a dataset, or thaw it."""
        self.datasets[did]["frozen"] = frozen

    def add(self, did: str, fids: Iterable[str]) -> int:
        """Add files to a dataset; return how many were not in it."""
        fresh = set(fids) - self.members[did]
        self.members[did] |= fresh
        return len(fresh)

    def declare(self, did: str, entries: list[Record]) -> list[Record]:
        """Declare files into a dataset: all or none."""
        taken = [f"{e['namespace']}:{e['name']}" for e in entries if f"{e['namespace']}:{e['name']}" in self.names]
        if taken:
            raise Exists(taken)
        made = []
        for entry in entries:
            full = f"{entry['namespace']}:{entry['name']}"
            fid = hashlib.sha256(full.encode()).hexdigest()[:24]
            self.tick()
            self.files[fid] = {
                "fid": fid, "namespace": entry["namespace"], "name": entry["name"], "size": entry["size"],
                "checksums": entry.get("checksums") or {}, "metadata": entry.get("metadata") or {}, "creator": "poms",
                "retired": False, "created_timestamp": entry.get("created_timestamp") or self.now,
            }  # fmt: skip
            self.names[full] = fid
            self.parents[fid] = [self.names[f"{p['namespace']}:{p['name']}"] for p in entry.get("parents") or ()]
            made.append(fid)
        self.add(did, made)
        return self.records(made)

    def retire(self, did: str) -> None:
        """Retire a file."""
        self.files[self.names[did]]["retired"] = True

    def found(self, specs: Iterable[dict[str, str]]) -> list[str]:
        """Return the ids of files by id or name; what is not there is left out."""
        asked = [spec.get("fid") or self.names.get(f"{spec['namespace']}:{spec['name']}") for spec in specs]
        return [fid for fid in asked if fid in self.files]

    def records(self, fids: Iterable[str], meta: bool = False, provenance: bool = False) -> list[Record]:
        """Return files as the server writes them."""
        out = []
        for fid in fids:
            record = {key: value for key, value in self.files[fid].items() if meta or key != "metadata"}
            if provenance:
                record["parents"] = [{"fid": one} for one in self.parents[fid]]
                record["children"] = [{"fid": one} for one, theirs in self.parents.items() if fid in theirs]
            out.append(record)
        return out

    def query(self, text: str, retired: bool = False) -> list[str]:
        """Return the ids of the files that a query finds."""
        found = self._evaluated(re.sub(r"#.*", "", text).strip())
        return [fid for fid in found if retired or not self.files[fid]["retired"]]

    def _evaluated(self, text: str) -> list[str]:
        if match := re.fullmatch(r"\((.*)\)\s*where\s+created_timestamp\s*(<=|>)\s*'([^']+)'", text, re.DOTALL):
            time = datetime.fromisoformat(match[3]).timestamp()
            kept = {"<=": lambda made: made <= time, ">": lambda made: made > time}[match[2]]
            return [fid for fid in self._evaluated(match[1].strip()) if kept(self.files[fid]["created_timestamp"])]
        if match := re.fullmatch(r"children\((.*)\)", text, re.DOTALL):
            above = set(self._evaluated(match[1].strip()))
            return [fid for fid, theirs in self.parents.items() for one in theirs if one in above]  # as the real one
        if match := re.fullmatch(r"fids ([\w,]+)(?:\s+where\s+(.*))?", text, re.DOTALL):
            return self._where([fid for fid in match[1].split(",") if fid in self.files], match[2])
        if match := re.fullmatch(r"files(?:\s+from\s+([\w:./,-]+))?(?:\s+where\s+(.*?))?(?:\s+ordered)?(?:\s+limit (\d+))?", text, re.DOTALL):  # fmt: skip
            among = (
                [fid for did in match[1].split(",") for fid in self.members.get(did, ())] if match[1] else [*self.files]
            )
            order = sorted(among, key=lambda fid: (self.files[fid]["created_timestamp"], fid))
            return self._where(order, match[2])[: int(match[3]) if match[3] else None]
        raise MQLSyntaxError(f"No terminal matches '{text[:10]}' in the current parser context, at line 1 col 1")

    def _where(self, fids: list[str], condition: str | None) -> list[str]:
        if not condition:
            return fids
        text = condition.strip()
        while text.startswith("(") and text.endswith(")") and "(" not in text[1:-1].replace("[(]", ""):
            text = text[1:-1].strip()
        wanted = []
        for term in re.split(r"\)\s+or\s+\(", text):
            tests = re.split(r"\s+and\s+", term.strip("() \n"))
            wanted.append([self._test(test) for test in tests])
        return [fid for fid in fids if any(all(test(self.files[fid]) for test in tests) for tests in wanted)]

    @staticmethod
    def _test(text: str) -> Any:
        match = re.fullmatch(r"([\w.]+)\s*(=|~)\s*'?([^']*?)'?", text)
        if not match:
            raise MQLSyntaxError(f"Unexpected token in '{text}'")
        key, relation, value = match.groups()

        def test(record: Record) -> bool:
            there = record["metadata"].get(key) if "." in key else record.get(key)
            return str(there) == value if relation == "=" else re.search(value, str(there)) is not None

        return test
