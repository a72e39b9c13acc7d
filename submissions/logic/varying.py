"""A batch launched once with other parameters than its stage says, because somebody asks for it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from django.db import transaction

from campaigns import command
from campaigns.command import Pair
from core import queue, transitions
from core.clock import now
from core.errors import Conflict, Problem, Refused
from submissions.logic import missing, preparing, recovering
from submissions.models import OUTSIDE, Batch, Submission, Unit

MOST = 200
SUCH_AS = 'for instance [["-Oglobal.tune=", "G18"]]'


def launch_with(batch: Batch, overrides: Sequence[Pair], *, actor: str, reason: str) -> Submission:
    """Launch a batch with parameters laid over all others, this once: what recovers it later has them no more.

    Of a batch that waits for its launch the submission is taken back and another takes its place; a failed one is
    launched again. What is being launched, or runs, is left alone.
    """
    if not reason.strip():
        raise Refused("This needs a reason.", [Problem("reason", "is empty", "say why; it is kept")])
    _refuse_unusable(batch, overrides)
    why = f"with {told(overrides)}: {reason.strip()}"
    if Batch.objects.filter(pk=batch.pk, state="failed").exists():  # whatever it was when it was looked up
        return recovering.relaunch(batch, actor=actor, reason=why, overrides=overrides)
    with transaction.atomic():
        locked = (
            Batch.objects.select_for_update(of=("self",), no_key=True)
            .select_related("version__revision__campaign__experiment", "version__stage", "stage__campaign__experiment")
            .get(pk=batch.pk)
        )
        old = Submission.objects.filter(batch=locked).order_by("-pk").first()
        if locked.state != "pending" or old is None or old.state != "pending" or old.kind == OUTSIDE:
            state = "being launched" if locked.state == "pending" and old else locked.state.replace("_", " ")
            raise Conflict(
                f"The batch {locked.ref} is {state}; nothing was changed. One that waits for its launch, or has failed,"
                " can be launched with other parameters."
            )
        transitions.move(
            old, "removed", expect="pending", actor=actor, reason=f"another is launched in its place, {why}",
            look_at=None, ended_at=now(),
        )  # fmt: skip
        memory, wall = missing.given_to(old)
        before = [(key, value) for key, value in old.jobs_file.get("overrides", [])]
        return _in_its_place(locked, old, command.overlay(before, overrides), memory, wall, actor=actor, reason=why)


def _in_its_place(
    batch: Batch, old: Submission, overrides: Sequence[Pair], memory: dict[int, int], wall: dict[int, int], *,
    actor: str, reason: str,
) -> Submission:  # fmt: skip
    units = list(Unit.objects.filter(pk__in=old.units.values("unit_id")).order_by("pk"))
    made = preparing.intend(
        batch, units, kind=old.kind, round_number=old.round, reason_key=f"with:{batch.pk}:{old.pk}", actor=actor,
        reason=reason, memory=memory, wall=wall, overrides=overrides, avoid=old.jobs_file.get("avoid", []),
    )  # fmt: skip
    queue.wake("launch")
    return made


def pairs_of(given: Any) -> list[Pair]:
    """Return overrides as somebody gives them: [key, value] pairs, or JSON of them; blanks at their ends count."""
    try:
        found = json.loads(given) if isinstance(given, str) else given
    except ValueError as error:
        raise Refused("Nothing was launched.", [Problem("parameters", f"is not JSON: {error}", SUCH_AS)]) from error
    fits = isinstance(found, list) and all(
        isinstance(pair, list | tuple) and len(pair) == 2 and all(isinstance(word, str) for word in pair)
        for pair in found
    )
    if not fits or not found or len(found) > MOST:
        text = f"expected a list of 1 to {MOST} [key, value] pairs of texts"
        raise Refused("Nothing was launched.", [Problem("parameters", text, SUCH_AS)])
    return [(key, value) for key, value in found]


def told(overrides: Sequence[Pair]) -> str:
    """Return overrides in words, as the history has them."""
    text = " ".join(f"{key}{value}" for key, value in overrides)
    return text if len(text) <= 400 else f"{text[:397]}..."


def _refuse_unusable(batch: Batch, overrides: Sequence[Pair]) -> None:
    """Refuse what no launch could fill in: words in %(…)s that nothing gives, and characters that no argument has."""
    campaign = batch.version.revision.campaign
    known = command.words_of(
        batch.version.revision.keywords, experiment=campaign.experiment.name, campaign="", stage="", version="",
        dataset="", experimenter="",
    )  # fmt: skip
    texts = [text for pair in overrides for text in pair]
    strange = sorted({word for text in texts for word in command.references(text)} - set(known))
    problems = [
        Problem("parameters", f"%({word})s stands for nothing", f"known are {', '.join(sorted(known))}")
        for word in strange
    ]
    if any("\0" in text or len(text) > 32_000 for text in texts):
        problems.append(Problem("parameters", "a text has a NUL character, or more than 32000 characters"))
    if not overrides:
        problems.append(Problem("parameters", "there are none", SUCH_AS))
    if problems:
        raise Refused("Nothing was launched.", problems)
