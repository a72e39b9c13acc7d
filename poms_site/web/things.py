"""From an address to the thing it names, and back: /e/demo/jobs/j28/ is demo/j28."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from django.urls import path, register_converter, reverse

from approvals.models import Request
from campaigns.models import Campaign, Schedule
from core.errors import NotVisible
from experiments.models import Experiment, Shift
from integrations.models import Service
from submissions.models import (
    Batch,
    Command,
    EveryJob,
    Exclusion,
    Failure,
    Hold,
    Limit,
    Reproduction,
    Route,
    Submission,
)

# letter: the word in the address, the model, and what its pages need beside it
NOUNS: dict[str, tuple[str, Any, tuple[str, ...]]] = {
    "r": ("requests", Request, ("experiment", "requester", "campaign__experiment", "revision")),
    "c": ("campaigns", Campaign, ("experiment", "owner", "revision__author")),
    "b": ("batches", Batch, ("experiment", "stage__campaign__experiment", "version")),
    "s": ("submissions", Submission, ("experiment", "batch__experiment", "batch__stage__campaign__experiment")),
    "j": ("jobs", EveryJob, ("experiment", "system", "submission__experiment", "submission__batch__experiment",
                        "submission__batch__version", "submission__batch__stage__campaign__experiment")),
    "k": ("schedules", Schedule, ("experiment", "stage__campaign__experiment")),
    "w": ("shifts", Shift, ("experiment", "user")),
    "h": ("holds", Hold, ("experiment", "campaign__experiment", "stage__campaign__experiment", "batch__experiment",
                        "service__experiment")),
    "v": ("services", Service, ("experiment",)),
    "e": ("exclusions", Exclusion, ("experiment", "system", "campaign__experiment", "hold", "canary__experiment")),
    "l": ("limits", Limit, ("experiment", "host")),
    "f": ("failures", Failure, ("experiment", "signature", "service__experiment")),
    "o": ("routes", Route, ("experiment",)),
    "p": ("reproductions", Reproduction, ("experiment", "by", "campaign__experiment", "batch__experiment",
                                          "batch__stage__campaign__experiment")),
}  # fmt: skip
# Things with a page and no verbs.
SHOWN: dict[str, tuple[str, Any, tuple[str, ...]]] = {
    "x": ("commands", Command, ("experiment", "submission__experiment")),
}


def find(user: Any, experiment: Experiment, key: str) -> Any:
    """Return the thing of a key such as c1; what is not visible does not exist."""
    _, model, beside = (NOUNS | SHOWN)[key[0]]
    rows = model.objects.visible_to(user).select_related(*beside)
    row = rows.filter(experiment=experiment, pk=int(key[1:])).first()
    if row is None:
        raise NotVisible(f"There is no {experiment.name}/{key}, or you may not see it.")
    return row


@lru_cache(maxsize=4096)
def address(ref: str) -> str:
    """Return the page of a reference such as demo/c1: always the same, and a list asks for fifty at once."""
    experiment, _, key = ref.rpartition("/")
    if key[:1] in ("h", "l"):
        return reverse("holds", args=[experiment])
    if key[:1] == "o":
        return reverse("routes", args=[experiment])
    if key[:1] == "w":
        return reverse("shifts", args=[experiment])
    return reverse(noun_of(key[0]), args=[experiment, key])


def noun_of(letter: str) -> str:
    """Return the word for one thing: campaign, batch."""
    return {"b": "batch"}.get(letter, (NOUNS | SHOWN)[letter][0].rstrip("s"))


def verb_page(verb: Any, row: Any) -> str:
    """Return the page of a verb on a thing; a hold on everything has none."""
    experiment, _, key = row.ref.rpartition("/")
    return reverse(f"{noun_of(verb.letter)}-{verb.name}", args=[experiment, key])


def key_path(tail: str, view: Any, name: str, letter: str) -> Any:
    """Return the route of one thing: e/<experiment>/campaigns/<c1>/tail."""
    kind = f"{letter}_key"
    register_once(kind, letter)
    return path(f"e/<slug:experiment>/{(NOUNS | SHOWN)[letter][0]}/<{kind}:key>/{tail}", view, name=name)


_registered: set[str] = set()


def register_once(kind: str, letter: str) -> None:
    """Make the path converter of a letter: c1, and nothing else."""
    if kind in _registered:
        return
    _registered.add(kind)
    converter = type(
        f"{letter.upper()}Key", (),
        {"regex": rf"{letter}[1-9][0-9]{{0,17}}", "to_python": lambda self, value: value,
         "to_url": lambda self, value: value},
    )  # fmt: skip
    register_converter(converter, kind)
