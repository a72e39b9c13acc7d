"""Selections as pages and API take them: things by name, or all that fit a filter, within one experiment."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from django.db.models import QuerySet

from core.clock import now
from core.errors import Problem, Refused
from experiments.models import Experiment
from submissions import narrowing
from submissions.logic import selecting
from submissions.states import JOB_RANK

Narrow = Callable[[Any, str], Any]
MOST_NAMED = 10_000
LETTERS = {"job": "j", "submission": "s", "batch": "b", "stage": "c", "campaign": "c"}
LONGEST = 10**9  # seconds


@dataclass(frozen=True)
class Chosen:
    """The rows of a selection, and of what was named that which is not there, with why."""

    noun: str
    rows: QuerySet[Any]
    missing: Mapping[str, str] = field(default_factory=dict)
    named: Sequence[str] = ()


def by_refs(user: Any, experiment: Experiment, noun: str, refs: Sequence[str]) -> Chosen:
    """Return the things of these references that somebody may see."""
    if len(refs) > MOST_NAMED:
        problem = Problem("refs", f"{len(refs)} are named", f"at most {MOST_NAMED}; use a filter for more")
        raise Refused("Nothing was changed.", [problem])
    rows = _visible(user, experiment, noun)
    known = {ref: key for ref in refs if (key := _key(experiment, noun, ref)) is not None}
    if noun == "stage":
        names = {
            (row.campaign_id, row.name): row.pk for row in rows.filter(campaign__in=[k[0] for k in known.values()])
        }
        found = {ref: names[key] for ref, key in known.items() if key in names}
    else:
        there = set(rows.filter(pk__in=known.values()).values_list("pk", flat=True))
        found = {ref: key for ref, key in known.items() if key in there}
    missing = {ref: f"There is no {ref}, or you may not see it." for ref in refs if ref not in found}
    return Chosen(noun, rows.filter(pk__in=found.values()), missing, [ref for ref in refs if ref in found])


def by_filter(user: Any, experiment: Experiment, noun: str, asked: Mapping[str, Any]) -> Chosen:
    """Return all things that fit a filter."""
    rows, known = _visible(user, experiment, noun), FILTERS[noun]
    if not asked:
        raise Refused("Nothing is chosen.", [Problem("filter", "is empty", f"known are {', '.join(known)}")])
    problems = [
        Problem(f"filter.{name}", "unknown filter", f"known are {', '.join(known)}")
        for name in asked
        if name not in known
    ]
    if problems:
        raise Refused("The selection cannot be read; nothing was changed.", problems)
    for name, value in asked.items():
        rows = known[name](rows, str(value).strip())
    return Chosen(noun, rows)


def answers(chosen: Chosen, done: selecting.Done, left: Iterable[str] = ()) -> list[dict[str, Any]]:
    """Return the answer on each object: what was done, what there was nothing to do with, and what is not there."""
    what = f"refused: there is nothing to {done.plan.verb}"
    found = list(done.answers)
    found += [{"ref": ref, "outcome": what} for ref in left]
    found += [{"ref": ref, "outcome": f"refused: {why}"} for ref, why in chosen.missing.items()]
    return found


def _visible(user: Any, experiment: Experiment, noun: str) -> Any:
    path = "campaign__experiment" if noun == "stage" else "experiment"
    return selecting.MODELS[noun].objects.visible_to(user).filter(**{path: experiment})


def _key(experiment: Experiment, noun: str, ref: str) -> Any:
    """Return the key of a reference, of a stage its campaign's and its name; None for one that names nothing here."""
    tail = r"/(.{1,100})" if noun == "stage" else ""
    found = re.fullmatch(rf"(?:{re.escape(experiment.name)}/)?{LETTERS[noun]}([1-9][0-9]{{0,17}}){tail}", ref)
    if not found:
        return None
    return (int(found[1]), found[2]) if noun == "stage" else int(found[1])


# --- Filters -----------------------------------------------------------------------------------------------------


def _by(lookup: str) -> Narrow:
    return lambda rows, value: rows.filter(**{lookup: value})


def _by_key(lookup: str, letter: str) -> Narrow:
    def narrow(rows: Any, value: str) -> Any:
        found = re.fullmatch(rf"(?:[a-z][a-z0-9_-]*/)?{letter}?([0-9]{{1,18}})", value)
        if not found:
            _unreadable(f"no reference: {value[:60]}", f"such as demo/{letter}1")
        return rows.filter(**{lookup: int(found[1])})  # type: ignore[index]  # refused above where it is None

    return narrow


def _by_stage(lookup: str, campaign: str) -> Narrow:
    """Return how to narrow by a stage, given by its name or as demo/c1/gen, which says its campaign too."""

    def narrow(rows: Any, value: str) -> Any:
        of, _, name = value.rpartition("/")
        return (_by_key(campaign, "c")(rows, of) if of else rows).filter(**{lookup: name})

    return narrow


def _job_state(rows: Any, value: str) -> Any:
    if value not in JOB_RANK:
        _unreadable(f"unknown: {value[:60]}", ", ".join(JOB_RANK))
    return rows.filter(state_code=JOB_RANK[value])


def _state(rows: Any, value: str) -> Any:
    if value not in (known := rows.model.STATES.states):
        _unreadable(f"unknown: {value[:60]}", ", ".join(known))
    return rows.filter(state=value)


def _longer_than(rows: Any, value: str) -> Any:
    if not re.fullmatch(r"[0-9]{1,18}", value):
        _unreadable(f"no number of seconds: {value[:60]}", "21600 is six hours")
    since = now() - timedelta(seconds=min(int(value), LONGEST))
    rows = rows.filter(state_since__lt=since)
    return rows.filter(ended_at=None) if rows.model is selecting.MODELS["job"] else rows


def _is_test(rows: Any, value: str) -> Any:
    if value not in ("0", "1"):
        _unreadable(f"not 0 or 1: {value[:20]}", "1 for test runs only, 0 for none")
    return rows.filter(test=value == "1")


def _complete(rows: Any, value: str) -> Any:
    if value not in ("complete", "incomplete"):
        _unreadable(f"unknown: {value[:60]}", "complete or incomplete")
    return rows.filter(completed_at__isnull=value == "incomplete")


def _unreadable(what: str, hint: str) -> None:
    raise Refused("The selection cannot be read; nothing was changed.", [Problem("filter", what, hint)])


FILTERS: dict[str, dict[str, Narrow]] = {
    "job": {
        "state": _job_state, "longer_than": _longer_than, "campaign": _by_key("submission__campaign_id", "c"),
        "stage": _by_stage("submission__batch__stage__name", "submission__campaign_id"),
        "batch": _by_key("submission__batch_id", "b"),
        "submission": _by_key("submission_id", "s"), "site": _by("site"), "node": _by("node"), "code": _by("code"),
        **{name: narrow for name, (_, narrow) in narrowing.JOBS.items()},
    },
    "submission": {
        "state": _state, "longer_than": _longer_than, "campaign": _by_key("campaign_id", "c"),
        "batch": _by_key("batch_id", "b"), "stage": _by_stage("batch__stage__name", "campaign_id"),
    },
    "batch": {
        "state": _state, "longer_than": _longer_than, "campaign": _by_key("stage__campaign_id", "c"),
        "stage": _by_stage("stage__name", "stage__campaign_id"), "numbers": narrowing.numbered,
    },
    "stage": {"campaign": _by_key("campaign_id", "c"), "stage": _by_stage("name", "campaign_id"), "state": _complete},
    "campaign": {
        "state": _state, "name": _by("name"), "name_has": _by("name__icontains"), "owner": _by("owner__username"),
        "tag": lambda rows, value: rows.filter(tags__contains=[value]), "test": _is_test,
    },
}  # fmt: skip
