"""The keys of the text form and how the value of each is read. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from campaigns import completion, keepup, splitting
from campaigns.command import Pair
from integrations.batch.base import KINDS_OF_SLOTS

# The types of stages that run nothing: what comes in goes on as it is, once somebody approves, or once it is there.
PASSES_ON = APPROVAL, TRANSFER = "approval", "datatransfer"


class Bad(ValueError):
    """A value that cannot be read, with a hint."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


def whole(least: int, most: int) -> Callable[[str], int]:
    """Return what reads a whole number between two bounds."""

    def read(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise Bad(f"expected a whole number, not {text or 'nothing'}") from None
        if not least <= value <= most:
            raise Bad(f"{value} is not between {least} and {most}")
        return value

    return read


def factor(text: str) -> float:
    """Read by how much something grows."""
    try:
        value = float(text)
    except ValueError:
        raise Bad(f"expected a number, not {text or 'nothing'}") from None
    if not 1 <= value <= 16:
        raise Bad(f"{text} is not between 1 and 16")
    return value


def from_json(text: str, such_as: str = '[["--stage ", "gen"]]') -> Any:
    """Read JSON; real files quote a whole list once more."""
    try:
        value = json.loads(text)
        return json.loads(value) if isinstance(value, str) else value
    except ValueError as error:
        raise Bad(f"this is not JSON: {error}", f"for instance {such_as}") from None


def pairs(text: str) -> tuple[Pair, ...]:
    """Read ordered [key, value] pairs; blanks at their ends count."""
    value = from_json(text) if text else []
    if not isinstance(value, list) or not all(isinstance(p, list) and len(p) == 2 for p in value):
        raise Bad("expected a list of [key, value] pairs", 'for instance [["--stage ", "gen"]]')
    return tuple((str(key), str(word)) for key, word in value)


def words(text: str) -> dict[str, str]:
    """Read an object of words."""
    value = from_json(text, '{"tune": "G18"}') if text else {}
    if not isinstance(value, dict):
        raise Bad("expected a JSON object of words", 'for instance {"tune": "G18"}')
    return {str(key): str(word) for key, word in value.items()}


def bare_list(text: str) -> tuple[Any, ...]:
    """Read a list of anything."""
    value = from_json(text) if text else []
    if not isinstance(value, list):
        raise Bad("expected a JSON list")
    return tuple(value)


def split(text: str) -> str:
    """Read how inputs are cut."""
    try:
        found = str(splitting.parse(text))
    except ValueError as error:
        raise Bad(str(error)) from None
    return "None" if found == "whole" else found


def value_overrides(text: str) -> str:
    """Read what is laid over a stage for batches of one value: {"calib": {"memory_mb": 4000}, "*": {"params": […]}}."""
    such_as = '{"calib": {"params": [["-n ", "10"]], "memory_mb": 4000}}'
    found = from_json(text, such_as) if text else {}
    if not isinstance(found, dict) or not all(isinstance(own, dict) for own in found.values()):
        raise Bad("expected a JSON object with an object for each value", f"for instance {such_as}")
    for value, own in found.items():
        for key, word in own.items():
            if key == "params":
                own[key] = [list(pair) for pair in pairs(json.dumps(word))]
            elif key not in _OF_A_VALUE:
                raise Bad(f"{value}: {key} cannot be laid over", f"params, {', '.join(_OF_A_VALUE)}")
            else:
                own[key] = _OF_A_VALUE[key](str(word))
    return json.dumps(found, ensure_ascii=False, sort_keys=True) if found else ""


def criteria(text: str) -> str:
    """Read what a stage needs beside located output: tape, events(100000), check(./check.sh), signoff."""
    try:
        return ", ".join(map(str, completion.read(text)))
    except ValueError as error:
        raise Bad(str(error)) from None


def named(text: str) -> tuple[str, ...]:
    """Return the names of a list with commas."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def slot_kinds(text: str) -> str:
    """Read the kinds of slots that will do: offsite, opportunistic. They are written in one order, each once."""
    kinds = named(text)
    for name in kinds:
        if name not in KINDS_OF_SLOTS:
            raise Bad(f"unknown: {name}", f"some of {', '.join(KINDS_OF_SLOTS)}; empty: any")
    return ", ".join(kind for kind in KINDS_OF_SLOTS if kind in kinds)


def site_names(text: str) -> str:
    """Read names of sites: FNAL, BNL. Each is kept once, in the order in which they are said."""
    sites = named(text)
    for name in sites:
        if not _SITE.fullmatch(name):
            raise Bad(f"{name[:40]} is no name of a site", "names with commas, of letters, digits and _ . : + -")
    return ", ".join(dict.fromkeys(sites))


def position(text: str) -> tuple[str, float, float]:
    """Read where a stage stands: ["gen", 120, -40]."""
    value = from_json(text, '["gen", 120, -40]')
    if not isinstance(value, list) or len(value) != 3 or not all(isinstance(at, (int, float)) for at in value[1:]):
        raise Bad("expected a name and two numbers", 'for instance ["gen", 120, -40]')
    return str(value[0]), float(value[1]), float(value[2])


def among(*names: str, **others: str) -> Callable[[str], str]:
    """Return what reads one of several words; `others` are what else is understood, and as what."""

    def read(text: str) -> str:
        if text not in names and text not in others:
            raise Bad(f"unknown: {text}", f"one of {', '.join(names)}")
        return others.get(text, text)

    return read


def said_or_not(read: Callable[[str], object], otherwise: str = "") -> Callable[[str], str]:
    """Return what reads a text of keep-up and gives it as it is written best; where nothing is said, `otherwise`."""

    def words(text: str) -> str:
        try:
            return str(read(text)) if text else otherwise
        except ValueError as error:
            raise Bad(str(error)) from None

    return words


def yes_or_no(text: str) -> bool:
    """Read True or False."""
    return among("True", "False", true="True", false="False", **{"1": "True", "0": "False"})(text) == "True"


# What is a part of the words of submit commands and of expressions: nothing that either could take for its own.
_SITE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:+-]{0,63}")

# What a job wants of a slot beside memory and time.
SLOT: dict[str, tuple[str, Callable[[str], Any]]] = {
    "cpus": ("cpus", whole(1, 10_000)),
    "disk_mb": ("disk_mb", whole(0, 10**9)),
    "gpus": ("gpus", whole(0, 1000)),
    "slots": ("slots", slot_kinds),
    "sites": ("sites", site_names),
    "avoid_sites": ("avoid_sites", site_names),
}
_OF_A_VALUE: dict[str, Callable[[str], Any]] = {
    "memory_mb": whole(1, 10**7), "wall_s": whole(1, 10**7), "files_per_job": whole(1, 10**6),
    **{key: read for key, (_, read) in SLOT.items()},
}  # fmt: skip

# key of the text -> (field, how to read it)
STAGE: dict[str, tuple[str, Callable[[str], Any]]] = {
    "stage_type": ("type", among("regular", "generator", *PASSES_ON, test="regular")),
    "job_type": ("job_type", str),
    "login_setup": ("login_setup", str),
    "dataset_or_split_data": ("dataset", lambda text: "" if text == "None" else text),
    "catalogue": ("catalogue", str),
    "cs_split_type": ("split", split),
    "software_version": ("software_version", str),
    "vo_role": ("vo_role", str),
    "param_overrides": ("params", pairs),
    "test_param_overrides": ("test_params", pairs),
    "merge_overrides": ("merge_overrides", yes_or_no),
    "completion_type": ("completion_type", among("located", "complete", completed="complete")),
    "completion_pct": ("completion_pct", whole(1, 100)),
    "completion": ("completion", criteria),
    "ask_after_h": ("ask_after_h", whole(1, 10_000)),
    "destination": ("destination", str),
    "events": ("events", whole(1, 10**12)),
    "seed": ("seed", whole(0, 10**9)),
    "events_per_job": ("events_per_job", whole(1, 10**9)),
    "files_per_job": ("files_per_job", whole(1, 10**6)),
    "most_files": ("most_files", whole(0, 10**9)),
    "memory_mb": ("memory_mb", whole(1, 10**7)),
    "memory_factor": ("memory_factor", factor),
    "wall_s": ("wall_s", whole(1, 10**7)),
    "wall_factor": ("wall_factor", factor),
    **SLOT,
    "recovery_rounds": ("recovery_rounds", whole(0, 20)),
    "most_tries": ("most_tries", whole(1, 100)),
    "canary": ("canary", whole(0, 100)),
    "value_overrides": ("value_overrides", value_overrides),
    "schedule": ("schedule", said_or_not(keepup.read)),
    "schedule_zone": ("schedule_zone", said_or_not(keepup.zone, "UTC")),
    "schedule_start": ("schedule_start", said_or_not(keepup.moment)),
    "schedule_end": ("schedule_end", said_or_not(keepup.moment)),
    "catch_up": ("catch_up", among(*keepup.CATCH_UP)),
    "catch_up_cap": ("catch_up_cap", whole(1, 1000)),
    "overlap": ("overlap", among(*keepup.OVERLAP)),
    "latency_objective": ("latency_objective", said_or_not(keepup.read_objective)),
    "recall_times": ("recall_times", said_or_not(keepup.read)),
    "recall_window": ("recall_window", whole(1, 1000)),
}
# The keys of a dependency, each with a number behind it -> what the word is called elsewhere.
EDGE = {"campaign_stage": "from", "file_pattern": "pattern", "gate": "gate", "campaign": "campaign"}
NUMBERED = re.compile(rf"({'|'.join(EDGE)})_(\d+)")
# The keys of keep-up: a stage says them only where it differs from the usual.
KEEP_UP = (
    "schedule", "schedule_zone", "schedule_start", "schedule_end", "catch_up", "catch_up_cap", "overlap",
    "latency_objective",
)  # fmt: skip
IGNORED = ("default_clear_cronjob", "output_ancestor_depth", "test_split_type")
SECTIONS = (
    "campaign", "campaign_defaults", "node_positions", "campaign_stage", "dependencies", "job_type", "login_setup",
)  # fmt: skip
CAMPAIGN = ("experiment", "poms_role", "name", "state", "campaign_keywords", "campaign_stage_list")
JOB_TYPE = ("launch_script", "parameters", "output_file_patterns", "recoveries")
LOGIN_SETUP = ("host", "account", "setup", "launcher", "batch")
