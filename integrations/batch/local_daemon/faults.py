"""The faults that a daemon and its runners can be told to show, and the points where they can be killed."""

from __future__ import annotations

import json
import os
from typing import Any

from .log import chance, complain, crashpoint, die

ANSWERS = ("refuse", "hang", "garbage", "close")


class Faults:
    """The file `<spool>/faults.json`, read again whenever `refresh` is called.

    `{"answer": "refuse"|"hang"|"garbage"|"close"|null, "probability": p, "die_at": name|null}`: `refuse`
    answers an error and does nothing; the other three do what was asked and then give no answer, one that
    cannot be read, or close the connection. `die_at` is an event (die right after writing it) or a named
    crash point.
    """

    def __init__(self, spool: str) -> None:
        self._path = os.path.join(spool, "faults.json")
        self._told: dict[str, Any] = {}
        self.refresh()

    def refresh(self) -> None:
        """Read the file again; none, or one that is being written, means no faults."""
        self._told = {}
        try:
            with open(self._path, encoding="utf-8") as file:
                told = json.load(file)
        except FileNotFoundError:
            return
        except (OSError, ValueError) as error:
            complain(f"faults.json cannot be used: {error}")
            return
        if isinstance(told, dict):
            self._told = told

    def _strikes(self) -> bool:
        probability = self._told.get("probability", 1)
        return isinstance(probability, (int, float)) and chance(probability)

    def answer(self) -> str | None:
        """Return the fault with which to answer this request, or None."""
        fault = self._told.get("answer")
        return fault if fault in ANSWERS and self._strikes() else None

    def point(self, name: str) -> None:
        """Die here if the environment or the file says so."""
        crashpoint(name)
        if self._told.get("die_at") == name and self._strikes():
            die()
