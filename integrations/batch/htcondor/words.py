"""What a launch wants, in the words of HTCondor: attributes and defaults, as configuration in the environment. Pure.

`_CONDOR_X` in the environment is the configuration X for everything below it: condor_submit, the Python bindings, and
the nodes of a DAG, since DAGMan hands it on. So each job carries its tags however the script submits it. What the
submit file itself says of memory, disk and cores stays: these are defaults.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from integrations.batch.attributes import literal, quoted
from integrations.batch.base import Wanted

# The pool's own SUBMIT_ATTRS stays as it is. Never name a list by itself: in the environment that does not end.
LIST = "_CONDOR_SUBMIT_EXPRS"
USAGE = {"onsite": ("DEDICATED", "OPPORTUNISTIC"), "offsite": ("OFFSITE",), "opportunistic": ("OPPORTUNISTIC",),
         "dedicated": ("DEDICATED",)}  # fmt: skip
USAGE_ORDER = ("DEDICATED", "OPPORTUNISTIC", "OFFSITE")


def environment(wanted: Wanted, *, site_attribute: str) -> dict[str, str]:
    """Return what a script that submits finds in its environment."""
    tags = {**wanted.tags, "POMS_SUBMISSION_ID": wanted.uuid}
    attributes = {name: literal(name, value) for name, value in tags.items()}
    words = [word for name, value in attributes.items() for word in (["-append"], [f"+{name}={value}"])]
    extra = _slots(wanted) | {"JobPrio": str(wanted.priority)}
    found = {
        LIST: " ".join([*attributes, *extra]),
        **{f"_CONDOR_{name}": _configured(value) for name, value in (attributes | extra).items()},
        "POMS_SUBMIT_WORDS": json.dumps({"condor_submit": words, "condor_submit_dag": words}),
        "POMS_SUBMISSION_ID": wanted.uuid,
    }
    slots = wanted.slots
    defaults = {"MEMORY": slots.memory_mb, "DISK": slots.disk_mb * 1024, "CPUS": slots.cpus}
    found |= {f"_CONDOR_JOB_DEFAULT_REQUEST{name}": str(value) for name, value in defaults.items() if value}
    requirements = _requirements(wanted, site_attribute)
    if requirements:
        found["_CONDOR_APPEND_REQUIREMENTS"] = _configured(requirements)
    return found


def _slots(wanted: Wanted) -> dict[str, str]:
    slots = wanted.slots
    found: dict[str, str] = {}
    if slots.wall_s:
        # The first holds the job when its time is over (code 46); the second is what glide-ins match.
        found |= {"AllowedJobDuration": str(slots.wall_s), "JOB_EXPECTED_MAX_LIFETIME": str(slots.wall_s)}
    if slots.gpus:
        found["RequestGPUs"] = str(slots.gpus)
    usage = {word for kind in slots.kinds for word in USAGE.get(kind, ())}
    if usage:
        found["DESIRED_usage_model"] = quoted(",".join(word for word in USAGE_ORDER if word in usage))
    if slots.sites:
        found["DESIRED_Sites"] = quoted(",".join(slots.sites))
    if slots.avoid_sites:
        found["Blacklist_Sites"] = quoted(",".join(slots.avoid_sites))
    return found


def _requirements(wanted: Wanted, site_attribute: str) -> str:
    slots, site = wanted.slots, f"TARGET.{site_attribute}"
    parts = [f"(TARGET.Machine =!= {quoted(node)})" for node in slots.avoid_nodes]
    parts += [f"({site} =!= {quoted(name)})" for name in slots.avoid_sites]
    if slots.sites:
        # Where slots do not say their site, DESIRED_Sites alone decides.
        parts.append(f"({_any([f'{site} =?= undefined', *(f'{site} =?= {quoted(name)}' for name in slots.sites)])})")
    return " && ".join(parts)


def _any(parts: Iterable[str]) -> str:
    return " || ".join(parts)


def _configured(text: str) -> str:
    """Return a value as configuration has it, where a dollar begins a macro."""
    return text.replace("$", "$(DOLLAR)")
