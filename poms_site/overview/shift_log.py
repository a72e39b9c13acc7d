"""What a shift writes into the electronic logbook: what the page says, once however often the button is pressed."""

from __future__ import annotations

import hashlib

from django.db import transaction

from core.transitions import record
from experiments.models import Experiment, User
from experiments.scoping import require
from integrations.logbooks import book
from integrations.models import LogbookEntry
from poms_site.overview.shift import entry_text, watched


@transaction.atomic
def write_entry(user: User, experiment: Experiment) -> LogbookEntry:
    """Want what the shift page tells this person in the experiment's logbook; the same text is one entry.

    Who may watch the experiment may write; raises Refused where it has no logbook.
    """
    require(user, "watch", experiment)
    (one,) = watched(user, [experiment])
    text = entry_text(one, user.get_full_name() or user.username)
    key = hashlib.sha256(f"{user.pk}\n{text}".encode()).hexdigest()[:24]
    known = LogbookEntry.objects.filter(key=f"{experiment.name}/shift:{key}").exists()
    link = f"/e/{experiment.name}/shift/"
    entry = book.want(experiment, f"{experiment.name}/shift", key, text, actor=user.actor, link=link)
    if not known:
        record(
            [(experiment.pk, "active")], "experiment", "active", experiment_id=experiment.pk, actor=user.actor,
            reason=f"what happened since {one.since:%Y-%m-%d %H:%M} UTC goes into the logbook", verb="log_shift",
        )  # fmt: skip
    return entry
