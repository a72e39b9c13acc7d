"""What every launcher shares that reaches the shim by running a command: one document in, one document out."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from base64 import b64encode
from collections.abc import Callable, Sequence
from typing import Any

from core.redaction import last_words
from integrations.errors import Refused, Unsure
from integrations.launcher.base import Fate, Launch, Started
from integrations.process import Finished

# Imported, not run by its path, so that its bytecode is kept: to compile it costs as much as everything else it does.
# Its folder comes last, so that no neighbour of it can stand in for a module of the standard library.
RUN_SHIM = "import shim; sys.exit(shim.main(sys.argv[1:]))"


PLANS_AT_ONCE = 20


class AsksShim(ABC):
    """Asks the shim of a host; how a command gets there is the launcher's own."""

    home: str  # below which the shim keeps the folders of launches

    @abstractmethod
    def _run(self, verb: str, document: bytes) -> Finished:
        """Run the shim with a verb and a document on its standard input."""

    def start(self, launches: Sequence[Launch]) -> dict[str, Started]:
        """Start scripts through one call of the shim."""
        answer = self._call("start", {"launches": [launch.as_dict() for launch in launches]})
        return {
            uuid: Started(outcome["outcome"], outcome.get("detail", "")) for uuid, outcome in answer["outcomes"].items()
        }

    def status(self, uuids: Sequence[str]) -> dict[str, Fate]:
        """Ask the shim what became of each launch."""
        answer = self._call("status", {"uuids": list(uuids)})
        return {uuid: _fate(seen) for uuid, seen in answer["launches"].items()}

    def stop(self, uuids: Sequence[str]) -> dict[str, str]:
        """End running scripts."""
        answer = self._call("stop", {"uuids": list(uuids)})
        return dict(answer.get("outcomes", answer))

    def present(self, setup: str, programs: Sequence[str]) -> dict[str, bool]:
        """Run the set-up and ask its shell for the programs."""
        answer = self._call("present", {"setup": setup, "programs": list(programs)})
        return {name: bool(answer["present"].get(name)) for name in programs}

    def supply(self, digests: Sequence[str], content: Callable[[str], bytes]) -> None:
        """Ask the shim which files it lacks, and bring those, one a call: a document never holds all of them."""
        if not digests:
            return
        for digest in self._call("uploads", {"asked": list(dict.fromkeys(digests)), "put": {}})["lacks"]:
            put = {digest: b64encode(content(digest)).decode("ascii")}
            if self._call("uploads", {"asked": [digest], "put": put})["lacks"]:
                raise Unsure(f"the upload {digest[:12]}… did not arrive whole")

    def clear(self, uuids: Sequence[str]) -> dict[str, bool]:
        """Have the shim take away the uploads of launches."""
        return dict(self._call("clear", {"uuids": list(uuids)})["cleared"])

    def recent(self, since: float) -> list[str]:
        """Ask the shim which launches were begun since a time."""
        return list(self._call("recent", {"since": since})["launches"])

    def plans(self, uuids: Sequence[str]) -> dict[str, dict[str, Any] | None]:
        """Ask the shim for the plans of launches, a few in each call: they may be long."""
        found: dict[str, dict[str, Any] | None] = {}
        for first in range(0, len(uuids), PLANS_AT_ONCE):
            answer = self._call("plans", {"uuids": list(uuids[first : first + PLANS_AT_ONCE])})["plans"]
            found |= {uuid: plan if isinstance(plan, dict) else None for uuid, plan in answer.items()}
        return found

    def output(self, uuid: str, part: str, offset: int, length: int) -> dict[str, Any]:
        """Return a piece of what a script printed."""
        return self._call("output", {"uuid": uuid, "part": part, "offset": offset, "length": length})

    def _call(self, verb: str, question: dict[str, Any]) -> dict[str, Any]:
        ended = self._run(verb, json.dumps({"home": self.home, **question}).encode())
        if ended.exit_code == 2:
            raise Refused(f"the launch shim refuses: {last_words(ended.stderr)}")
        if ended.exit_code != 0:
            why = last_words(ended.stderr)
            raise Unsure(f"the launch shim ended with {ended.exit_code}: {why}")
        try:
            return dict(json.loads(ended.stdout))
        except ValueError as error:
            raise Unsure("the launch shim's answer cannot be read") from error


def _fate(seen: dict[str, Any]) -> Fate:
    result = seen.get("result") or {}
    return Fate(
        state=seen["state"], attempt=seen.get("attempt"), exit_code=result.get("exit_code"),
        timed_out=bool(result.get("timed_out")), job_ids=tuple(result.get("job_ids") or seen.get("job_ids") or ()),
    )  # fmt: skip
