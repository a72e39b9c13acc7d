"""What pages offer to be recovered: the plan with its cost, and the button that has exactly it done."""

from __future__ import annotations

from typing import Any

from django.db.models import F

from campaigns.models import Campaign
from campaigns.recoveries import KINDS
from poms_site.overview import recovery
from poms_site.web.verb import Ask, Verb
from submissions.logic import proposing
from submissions.models import Batch

ASKS = (Ask("kind", kind="hidden", needed=False), Ask("plan", kind="hidden", needed=False))


def _preview(row: Any, asked: dict[str, Any]) -> dict[str, Any]:
    """Return the plan as it is now, with its hash for the form that has it done."""
    question = proposing.ask(row, asked.get("kind", ""))
    found = recovery.document(question, proposing.plan(question))
    kinds = [("", "as its list says, then all that is missing")]
    of_stages = isinstance(row, Campaign)  # a batch gains nothing
    kinds += [(name, kind.says) for name, kind in KINDS.items() if of_stages or name != proposing.ADDED]
    return {"plan": found["plan"], "kind": question.kind, "found": found, "kinds": kinds, "open": found["anything"]}


def _act(row: Any, user: Any, reason: str, asked: dict[str, Any]) -> Any:
    question = proposing.ask(row, asked.get("kind", ""), freeze=True)
    return proposing.apply(question, said=asked.get("plan", ""), actor=user.actor, reason=reason)


def _says(row: Any) -> str:
    return f"What {row.ref} misses is launched again as the plan says; if things have changed by then, you see it anew."


def _is_open(batch: Batch) -> bool:
    misses = batch.state == "failed" or (batch.state == "completed" and batch.done < batch.n_units)
    return misses and batch.stage.campaign.state in proposing.GO_ON


def _has_open(campaign: Campaign) -> bool:
    rows = Batch.objects.filter(stage__campaign=campaign, state__in=proposing.BY_HAND, done__lt=F("n_units"))
    return campaign.state in proposing.GO_ON and rows.exists()


RECOVERY_VERBS = (
    Verb("c", "recover", "Recover", "operate", _says, _act, _has_open, asks=ASKS, preview=_preview,
         shows="web/_recovery.html", launches=True),
    Verb("b", "recover", "Recover", "operate", _says, _act, _is_open, asks=ASKS, preview=_preview,
         shows="web/_recovery.html", launches=True),
)  # fmt: skip
