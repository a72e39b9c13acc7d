"""Asks credentials where they lie: on this worker, or on a launch host through its launcher."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from core.redaction import last_words
from integrations import process, registry
from integrations.credentials import there
from integrations.credentials.base import Life
from integrations.credentials.kinds import KINDS
from integrations.credentials.models import Credential
from integrations.errors import OutsideError, Unavailable, Unsure
from integrations.launcher.base import Place

ANSWER_S = 20.0  # that a launch host has beside the command itself
PROGRAM = Path(__file__).with_name("there.py")


@dataclass(frozen=True)
class Renewal:
    """How the command that renews a credential ended; `said` has no secret in it."""

    done: bool
    said: str


def lives(place: Place, rows: Sequence[Credential]) -> list[Life | OutsideError]:
    """Return the life of each of the credentials of a place, or why nobody can say it; one call for all of them.

    Raises OutsideError where the place itself does not answer.
    """
    items = [{"path": row.path, "reads": KINDS[row.kind].reads} for row in rows]
    found = there.lives(items) if place.launcher == "local" else _ask(place, {"items": items}, ANSWER_S)["lives"]
    return [_life(row, answer) for row, answer in zip(rows, found, strict=True)]


def renew(row: Credential) -> Renewal:
    """Run the command that renews a credential, where it lies; raises OutsideError where nobody knows if it ran."""
    argv, seconds = row.command, float(row.renewal_seconds)
    if row.place.launcher == "local":
        ended = process.run(argv, seconds=seconds, cap=there.MOST_SAID)
        code, said = ended.exit_code, (ended.stdout + ended.stderr).decode(errors="replace")
    else:
        answer = _ask(row.place, {"argv": argv, "seconds": seconds}, seconds + ANSWER_S)["renewal"]
        code, said = answer["exit_code"], answer["said"]
    # Covered before anything is cut off: half a secret is not known by its shape.
    last = " ".join(last_words(said.replace("\0", "\ufffd")).split())
    if code is None:
        return Renewal(False, f"{argv[0]} did not end within {seconds:g} s and was stopped: {last}")
    return Renewal(code == 0, last if code == 0 else f"{argv[0]} ended with {code}: {last or 'it said nothing'}")


def _life(row: Credential, answer: dict[str, Any]) -> Life | OutsideError:
    if "error" in answer:
        return Unavailable(answer["error"])
    return Life(unusable=answer["unusable"]) if "unusable" in answer else KINDS[row.kind].life(answer)


def _ask(place: Place, question: dict[str, Any], seconds: float) -> dict[str, Any]:
    launcher: Any = registry.launcher(place)
    if not hasattr(launcher, "ask"):
        raise Unsure(f"The launcher {place.launcher} cannot ask for credentials.")
    answer: dict[str, Any] = launcher.ask(_program(), question, seconds=seconds)
    return answer


@cache
def _program() -> str:
    return PROGRAM.read_text()
