"""Several requests into one, one into several: nothing is processed twice and nobody's part is lost (W2)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from django.db import transaction

from approvals.composing import named
from approvals.estimate import datasets_of
from approvals.logic import deciding, filing, reading, taking_effect
from approvals.logic.reading import Reading
from approvals.models import Origin, Request, Watcher
from campaigns import definition as text_form
from campaigns.definition import Definition
from core import transitions
from core.errors import Conflict, Problem, Refused
from integrations import registry

MOST = 20
_NAME = re.compile(r"^(\s*name\s*=\s*)(.*?)\s*$", re.M)
_DATASET = re.compile(r"^(\s*dataset_or_split_data\s*=\s*)(\S.*?)\s*$")


@dataclass(frozen=True)
class Preview:
    """What a consolidation would do: each request's inputs, how many there are together, and how many only once."""

    inputs: dict[str, int]
    union: int
    unit: str
    names: Sequence[str] = field(default_factory=tuple)
    events: int | None = None

    @property
    def saved(self) -> int:
        """Return how many inputs would have been processed again."""
        return sum(self.inputs.values()) - self.union


@dataclass(frozen=True)
class Part:
    """One of several: a request, and what it asks for."""

    request: Request
    found: Reading
    definition: Definition

    @property
    def names(self) -> list[str]:
        """Return the files of the request's only input, in the order of its list or of the catalogue."""
        own = datasets_of(self.definition)
        if len(own) != 1:
            hint = "only a request with one input can be joined or split"
            raise Refused(f"{self.request.ref} reads {len(own)} datasets.", [Problem("dataset", ", ".join(own), hint)])
        if self.found.names is not None:
            return list(self.found.names)
        return [seen.name for seen in registry.catalogue(self.request.experiment).files(own[0])]


def preview(requests: Sequence[Request]) -> Preview:
    """Return what joining these requests would do; Refused says why they cannot be joined."""
    return _joined([_part(request) for request in requests])


def _part(request: Request) -> Part:
    found = reading.read(request, request.requester)
    return Part(request, found, found.whole(f"The definition of {request.ref} is not whole."))


def _joined(parts: Sequence[Part]) -> Preview:
    if not 2 <= len(parts) <= MOST:
        raise Refused("Nothing was joined.", [Problem("with", f"2 to {MOST} requests can be joined", "choose some")])
    first = parts[0].request
    common = _alike(parts[0].definition)
    for part in parts:
        request = part.request
        if request.experiment_id != first.experiment_id or request.production_stage != first.production_stage:
            raise Refused(
                "Nothing was joined.",
                [Problem("with", f"{request.ref} is of another experiment or production stage than {first.ref}",
                         "join requests that the same approvers decide on")],
            )  # fmt: skip
        if _alike(part.definition) != common:
            raise Refused(
                "Nothing was joined.",
                [Problem("with", f"{request.ref} does not do the same as {first.ref}",
                         "only requests that differ in nothing but their input can be joined")],
            )  # fmt: skip
    if datasets_of(parts[0].definition):
        sets = {part.request.ref: part.names for part in parts}
        union = list(dict.fromkeys(name for names in sets.values() for name in names))
        return Preview({ref: len(names) for ref, names in sets.items()}, len(union), "files", union)
    # Generators of the same seed number their events from the first: the larger contains the smaller.
    counts = {part.request.ref: sum(stage.events for stage in part.definition.stages) for part in parts}
    most = max(counts.values())
    return Preview(counts, most, "events", events=most)


def merge(
    requests: Sequence[Request], *, by: Any, reason: str, digests: Mapping[int, str] | None = None, title: str = ""
) -> Request:  # fmt: skip
    """Join requests that wait into one, with the union of their inputs, which waits in their place.

    `digests` name the revisions that the approver has read, by the request's key. Each requester follows the new one.
    """
    deciding.needs_reason("consolidate", reason)
    requests = sorted(requests, key=lambda request: request.pk)
    parts = [_part(request) for request in requests]
    told, first = _joined(parts), requests[0]
    values = {name: getattr(first, name) for name in filing.FIELDS}
    values |= {
        "title": title or first.title, "priority": max(request.priority for request in requests),
        "special": "\n".join(dict.fromkeys(line for r in requests for line in r.special.splitlines() if line.strip())),
        "free_text": "\n\n".join(f"{r.ref}: {r.free_text}" for r in requests if r.free_text.strip()),
        **_input(parts[0], told),
    }  # fmt: skip
    ready = _ready(first, values)
    with transaction.atomic():
        rows = [deciding.locked(request, by, (digests or {}).get(request.pk, ""), "merge") for request in requests]
        for row, _ in rows:
            if taking_effect.was_approved(row):
                raise Conflict(f"{row.ref} amends a campaign that runs; it cannot be joined. Nothing was changed.")
        joined = _file(ready, "merge", [row for row, _ in rows], by, reason)
        for row, revision in rows:
            transitions.move(
                row, "superseded", expect="pending_approval", actor=by.actor, verb="merge",
                reason=f"joined in {joined.ref}: {reason}",
            )  # fmt: skip
            taking_effect.cancel_campaign(row, actor=by.actor, reason=f"{row.ref} is joined in {joined.ref}")
            deciding.note(row, revision, by, "merge", f"{reason} ({joined.ref})")
    filing.check(joined)
    return joined


def split(request: Request, first: int, *, by: Any, reason: str, digest: str = "") -> tuple[Request, Request]:
    """Part a request that waits in two: the first files of its input, and the rest; both wait in its place."""
    deciding.needs_reason("split", reason)
    whole = _part(request)
    if not datasets_of(whole.definition):
        hint = "clone it with fewer events and another seed"
        raise Refused("Nothing was split.", [Problem("first", "the request generates events, it reads no files", hint)])
    names = whole.names
    if not 1 <= first < len(names):
        text = f"{first} is not between 1 and {len(names) - 1}"
        raise Refused("Nothing was split.", [Problem("first", text, f"the request has {len(names)} files")])
    values = {name: getattr(request, name) for name in filing.FIELDS}
    parts = []
    for number, own in enumerate((names[:first], names[first:]), 1):
        told = Preview({}, len(own), "files", own)
        title = f"{request.title[:180]} – part {number} of 2"
        parts.append(_ready(request, {**values, "title": title, **_input(whole, told, number)}))
    with transaction.atomic():
        row, revision = deciding.locked(request, by, digest, "split")
        if taking_effect.was_approved(row):
            raise Conflict(f"{row.ref} amends a campaign that runs; it cannot be split. Nothing was changed.")
        made = [_file(part, "split", [row], by, reason) for part in parts]
        text = f"split into {made[0].ref} and {made[1].ref}: {reason}"
        transitions.move(row, "superseded", expect="pending_approval", actor=by.actor, reason=text, verb="split")
        taking_effect.cancel_campaign(row, actor=by.actor, reason=f"{row.ref} is {text}")
        deciding.note(row, revision, by, "split", text)
    for part in made:
        filing.check(part)
    return made[0], made[1]


def partners(request: Request, by: Any) -> list[tuple[Request, Preview]]:
    """Return the requests that wait with this one and could be joined with it, those that share most first."""
    others = Request.objects.visible_to(by).filter(
        experiment=request.experiment, production_stage=request.production_stage, state="pending_approval"
    )  # fmt: skip
    works = request.revision.stage_versions.values_list("work", flat=True) if request.revision else []
    others = others.filter(revision__stage_versions__work__in=list(works)).exclude(pk=request.pk).distinct()
    rows = list(others.select_related("experiment", "requester", "revision", "campaign").order_by("pk")[:MOST])
    found: list[tuple[Request, Preview]] = []
    if not rows:
        return []
    try:
        mine = _part(request)
        for other in rows:
            with suppress(Refused):  # it does something else: nothing to offer
                found.append((other, _joined([mine, _part(other)])))
    except Refused:
        return []  # this one is not whole
    return sorted(found, key=lambda entry: (-entry[1].saved, entry[0].pk))


def _alike(definition: Definition) -> str:
    """Return a definition without its name and its input: what two requests must have in common."""
    own = set(datasets_of(definition))
    stages = tuple(
        replace(stage, line=0, dataset="" if stage.dataset in own else stage.dataset,
                events=0 if stage.type == "generator" else stage.events)
        for stage in definition.stages
    )  # fmt: skip
    return text_form.dump(replace(definition, name="", stages=stages))


def _input(whole: Part, told: Preview, number: int = 0) -> dict[str, Any]:
    """Return the fields by which a request asks for just these inputs; `number` says which part of a split."""
    request = whole.request
    if told.events is not None:
        events = re.sub(r"^(\s*events\s*=\s*).*$", rf"\g<1>{told.events}", whole.found.text, flags=re.M)
        return {"definition": events, "dataset": "", "files": "", "query": "", "events": None}
    lines = []
    own = datasets_of(whole.definition)
    for line in request.definition.splitlines(keepends=True):
        match = _DATASET.match(line)
        lines.append(f"{match[1]}requested\n" if match and match[2] in (*own, "requested") else line)
    text = "".join(lines)
    if number:
        # Two campaigns of one name would give their outputs the same names.
        text = re.sub(
            r"^(\s*name\s*=\s*)(.*?)\s*$",
            lambda m: f"{m[1]}{_part_name(m[2], request, number)}",
            text,
            count=1,
            flags=re.M,
        )
    return {"definition": text, "dataset": "", "files": "\n".join(told.names), "query": ""}


def _part_name(name: str, request: Request, number: int) -> str:
    return f"{named(request.title) if name == 'requested' else name}-{number}"


def _ready(like: Request, values: dict[str, Any]) -> Part:
    """Return a request that is not kept yet, with its input kept as a dataset, so that it can be filed at once."""
    made = Request(experiment=like.experiment, requester=like.requester, **values)
    part = _part(made)
    reading.keep_input(made, part.found)
    return part


def _file(ready: Part, how: str, sources: Sequence[Request], by: Any, reason: str) -> Request:
    """Keep a request and let it wait for its decision, in the caller's transaction."""
    actor, made = by.actor, ready.request
    refs = " and ".join(row.ref for row in sources)
    made.save()
    transitions.created(made, actor=actor, reason=f"{how} of {refs}: {reason}")
    Origin.objects.bulk_create(Origin(request=made, source=row, how=how) for row in sources)
    people = {row.requester_id for row in sources} | {by.pk}
    people |= set(Watcher.objects.filter(request__in=sources).values_list("user_id", flat=True))
    Watcher.objects.bulk_create(Watcher(request=made, user_id=key) for key in sorted(people))
    return filing.put_on_desk(
        made, author=made.requester, actor=actor, reason=f"{how} of {refs}", text=ready.found.text
    )
