"""FTS, Fermilab's File Transfer Service: daemons that declare files of a drop box and take them to tape (protocols 11).

Each has a status page that lists what it has not brought to its end, and what went wrong with it. What is done is on no
list. Their registry is not asked: an address that somebody else names is none that we call.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath
from typing import Any

from django.conf import settings

from integrations import http
from integrations.errors import Refused, Unavailable, Unsure
from integrations.transfers.base import Failed, Standing, Waiting

SECONDS = 30.0
MOST_BYTES = 64 * 1024 * 1024  # a page lists all files that an experiment has under way
MENDED = 300.0  # seconds until an administrator may have put an address right
LONGEST_MESSAGE = 400
NO_REASON = "no reason given"
MOST_SERVICES = 20
ERRORS, WAITING = "errorstates", ("pendingstates", "newstates")


class Fts:
    """The services of one experiment."""

    def __init__(self, addresses: str) -> None:
        """Take their addresses, with blanks between; Refused names one that is not called."""
        self.addresses = [address.rstrip("/") for address in addresses.split()]
        if len(self.addresses) > MOST_SERVICES:
            raise Refused(f"An experiment has at most {MOST_SERVICES} FTS, not {len(self.addresses)}.")
        for address in self.addresses:
            if not _is_named(address):
                http.check(address)

    def status(self, names: Sequence[str]) -> dict[str, Standing]:
        """Return how files stand, by name; an error weighs more than a service where the file only waits.

        A service knows files by their bare names, or by their paths in the drop box.
        """
        wanted: dict[str, list[str]] = {}
        for name in names:
            wanted.setdefault(_bare(name), []).append(name)
        found: dict[str, Standing] = {}
        for address in self.addresses:
            for name, standing in _listed(address):
                for own in wanted.get(_bare(name), ()):
                    if not isinstance(found.get(own), Failed):
                        found[own] = standing
        return found


def _is_named(address: str) -> bool:
    """Tell whether whoever runs this installation names the address: it may be inside our network, and without TLS."""
    return address in [entry.rstrip("/") for entry in settings.FTS_SERVICES]


def _bare(name: str) -> str:
    """Return a file's name without folder and namespace."""
    return PurePosixPath(name.rpartition(":")[2]).name


def _listed(address: str) -> Iterator[tuple[str, Standing]]:
    """Yield everything that is on a status page, errors first."""
    page = _page(address)
    for entry in page[ERRORS]:
        said = entry.get("msg") if isinstance(entry, dict) else None
        yield _name(address, entry), Failed(_words(said) if isinstance(said, str) else NO_REASON)
    for kind in WAITING:
        for entry in page[kind]:
            yield _name(address, entry), Waiting()


def _words(text: str) -> str:
    """Return what a service says as one line that can be kept and shown."""
    plain = "".join(letter if letter.isprintable() else " " for letter in text[: 2 * LONGEST_MESSAGE])
    return " ".join(plain.split())[:LONGEST_MESSAGE] or NO_REASON


def _name(address: str, entry: Any) -> str:
    name = entry.get("name") if isinstance(entry, dict) else entry
    if not isinstance(name, str) or not name:
        raise _senseless(address, entry)
    return name


def _page(address: str) -> dict[str, list[Any]]:
    """Return the lists of a status page. Nothing is changed by asking: what does not come back may be asked again."""
    try:
        answer = http.call(
            "GET", f"{address}/status", query={"format": "json"}, headers={"Accept": "application/json"},
            seconds=SECONDS, cap=MOST_BYTES, trusted=_is_named(address),
        )  # fmt: skip
    except Unsure as error:
        raise Unavailable(f"The FTS did not answer: {error}.") from error
    if answer.status >= 500 or answer.status in (408, 425, 429):
        raise Unavailable(f"The FTS at {address} does not serve now (HTTP {answer.status}).", answer.retry_after)
    if not 200 <= answer.status < 300:
        raise Unavailable(f"{address} has no status page (HTTP {answer.status}): is it an FTS?", MENDED)
    try:
        page = json.loads(answer.body)
    except (ValueError, RecursionError) as error:
        raise _senseless(address, answer.body[:60]) from error
    if not isinstance(page, dict) or not all(isinstance(page.get(kind), list) for kind in (ERRORS, *WAITING)):
        raise _senseless(address, answer.body[:60])
    return page


def _senseless(address: str, said: Any) -> Unavailable:
    """Return the error of a page that cannot be: it says neither that files wait nor that they do not."""
    return Unavailable(f"The FTS at {address} answered {str(said)[:80]!r}; that makes no sense.", MENDED)
