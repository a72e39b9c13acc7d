"""The verbs of the editor as data: each names what to do with a text, and is done by `changing`. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from campaigns.definition import changing
from campaigns.definition.values import JOB_TYPE, LOGIN_SETUP, STAGE
from core.errors import Problem, Refused

# Which keys can be set in which kind of section.
SETTABLE = {
    "campaign": ("experiment", "name", "poms_role", "state", "campaign_keywords", "campaign_stage_list"),
    "campaign_defaults": (*STAGE, "campaign_keywords"), "campaign_stage": tuple(STAGE), "job_type": JOB_TYPE,
    "login_setup": LOGIN_SETUP,
}  # fmt: skip
MOST_STAGES = 2000


def operate(text: str, op: Mapping[str, Any]) -> str:
    """Do one verb to a text and return the new one; raise Refused for what cannot be done, with what to do."""
    verb = op.get("verb")
    if not isinstance(verb, str) or verb not in VERBS:
        raise Refused("Nothing was changed.", [Problem("verb", f"unknown: {verb}", f"one of {', '.join(VERBS)}")])
    return VERBS[verb](text, op)


def _word(op: Mapping[str, Any], name: str, default: str | None = None) -> str:
    value = op.get(name, default)
    if not isinstance(value, str) or len(value) > 32_000:
        raise Refused("Nothing was changed.", [Problem(name, "expected a text")])
    return value


def _names(op: Mapping[str, Any]) -> list[str]:
    names = op.get("stages")
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise Refused("Nothing was changed.", [Problem("stages", "expected names of stages")])
    if len(names) > MOST_STAGES:
        raise Refused("Nothing was changed.", [Problem("stages", f"more than {MOST_STAGES}")])
    return list(dict.fromkeys(names))


def _set(text: str, op: Mapping[str, Any]) -> str:
    kind, key = _word(op, "kind"), _word(op, "key")
    if key not in SETTABLE.get(kind, ()):
        raise Refused("Nothing was changed.", [Problem("key", f"{key} is not set in [{kind}]")])
    value = None if op.get("value") is None else _word(op, "value")
    names = _names(op) if kind == "campaign_stage" else [_word(op, "name", "")]
    if kind in ("job_type", "login_setup") and (not names[0].strip() or any(c in names[0] for c in "[]\n")):
        raise Refused("Nothing was changed.", [Problem("name", "it has no name that the text could carry")])
    return changing.set_values(text, {(kind, name, key): value for name in names})


def _add(text: str, op: Mapping[str, Any]) -> str:
    name, number = _word(op, "name"), op.get("number", 0)
    beside = {"like": _word(op, "like", ""), "parent": _word(op, "parent", ""), "pattern": _word(op, "pattern", "%")}
    if not number:
        return changing.add_stage(text, name, **beside)
    if not isinstance(number, int):
        raise Refused("Nothing was changed.", [Problem("number", "expected a whole number")])
    return changing.add_stages(text, name, number, **beside)


def _edge(text: str, op: Mapping[str, Any]) -> str:
    values = op.get("values")
    if not isinstance(values, dict) or not all(isinstance(word, str) for word in values.values()):
        raise Refused("Nothing was changed.", [Problem("values", "expected pattern and gate")])
    return changing.change_edge(text, _word(op, "from"), _word(op, "to"), _word(op, "pattern"), values)


def _move(text: str, op: Mapping[str, Any]) -> str:
    places = op.get("places")
    found: dict[str, tuple[float, float] | None] = {}
    for name, at in places.items() if isinstance(places, dict) else ():
        if not isinstance(at, list) or len(at) != 2 or not all(isinstance(x, (int, float)) for x in at):
            raise Refused("Nothing was changed.", [Problem("places", f"{name}: expected two numbers")])
        found[name] = (max(-1e6, min(1e6, at[0])), max(-1e6, min(1e6, at[1])))
    return changing.move(text, found)


def _disconnect(text: str, op: Mapping[str, Any]) -> str:
    pattern = None if op.get("pattern") is None else _word(op, "pattern")
    return changing.disconnect(text, _word(op, "from"), _word(op, "to"), pattern=pattern)


def _drop(text: str, op: Mapping[str, Any]) -> str:
    kind, name = _word(op, "kind"), _word(op, "name")
    if kind not in ("job_type", "login_setup"):
        raise Refused("Nothing was changed.", [Problem("kind", f"[{kind}] is not taken away", "job_type, login_setup")])
    return changing.remove_section(text, kind, name)


VERBS: dict[str, Callable[[str, Mapping[str, Any]], str]] = {
    "set": _set,
    "add": _add,
    "remove": lambda text, op: changing.remove_stages(text, _names(op)),
    "rename": lambda text, op: changing.rename_stage(text, _word(op, "stage"), _word(op, "to")),
    "connect": lambda text, op: changing.connect(
        text, _word(op, "from"), _word(op, "to"), pattern=_word(op, "pattern", "%"), gate=_word(op, "gate", "")
    ),
    "disconnect": _disconnect,
    "edge": _edge,
    "move": _move,
    "drop": _drop,
    "arrange": lambda text, op: changing.arrange(text),
}
