"""`poms why`: why something does not run, as the launcher sees it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from poms_client import formatting
from poms_client.commands._common import AsJson, Experiment, Quiet, Refs, connect, for_each
from poms_client.errors import UsedWrongly
from poms_client.output import Output
from poms_client.refs import parts

COLLECTIONS = {"r": "requests", "c": "campaigns", "b": "batches", "s": "submissions", "j": "jobs"}
_NUMBERED = re.compile(r"([a-z])[0-9]+")


def why(refs: Refs, experiment: Experiment = None, as_json: AsJson = False, quiet: Quiet = False) -> None:
    """Say why a request, campaign, stage, batch, submission or job does not run, and what is in its way."""
    output = Output(as_json=as_json, quiet=quiet)
    client = connect()

    def act(given: str) -> None:
        found = client.get(_path(given, experiment))
        if as_json:
            output.one(found)
            return
        print(formatting.one_line(f"{found['ref']} {found['verdict']}: {found['text']}"))
        for gate in () if quiet else found["gates"]:
            since = f", since {gate['since']}" if gate.get("since") else ""
            print(formatting.one_line(f"  {gate['gate']}{_of(gate)}: {gate['text']}{since}"))

    for_each(client, refs, act)


def _of(gate: dict[str, Any]) -> str:
    found = [str(gate[name]) for name in ("stage", "ref") if gate.get(name)]
    return f" ({', '.join(found)})" if found else ""


def _path(given: str, experiment: str | None) -> Sequence[str]:
    """Return where the answer is: the letter of a reference says what it is of."""
    found = [*parts(given)]
    if experiment and _NUMBERED.fullmatch(found[0]):
        found = [experiment, *found]
    kind = _NUMBERED.fullmatch(found[1]) if len(found) in (2, 3) else None
    if kind and kind[1] == "c" and len(found) == 3:
        return ["stages", *found, "why"]
    if kind is None or kind[1] not in COLLECTIONS or len(found) != 2:
        hint = "It looks like demo/c1, demo/c1/gen, demo/b1, demo/s1, demo/j1 or demo/r1."
        raise UsedWrongly(f"{given!r} is nothing of which one can ask why", hint=hint)
    return [COLLECTIONS[kind[1]], *found, "why"]
