"""What can be done to a schedule from pages."""

from __future__ import annotations

from campaigns.models import Schedule
from poms_site.web.verb import Verb
from submissions.logic import pausing


def _resume_says(row: Schedule) -> str:
    by = f"{row.paused_by.removeprefix('user:')}: {row.pause_reason}" if row.paused_at else "nobody"
    return f"It looks again from its next time on, for all that came meanwhile. It is paused by {by}."


SCHEDULE_VERBS: tuple[Verb, ...] = (
    Verb("k", "pause", "Pause", "watch",
         lambda k: f"{k.ref} looks for no new files until somebody resumes it; its times are written down as skipped."
                   " What is there already goes on.",
         lambda k, user, reason, asked: pausing.pause(k, actor=user.actor, reason=reason),
         lambda k: k.condition == "active"),
    Verb("k", "resume", "Resume", "watch", _resume_says,
         lambda k, user, reason, asked: pausing.resume(k, actor=user.actor, reason=reason),
         lambda k: k.condition == "paused", main=True),
    Verb("k", "run", "Run now", "watch",
         lambda k: f"{k.ref} looks for new files at once, beside its times, which stay as they are.",
         lambda k, user, reason, asked: pausing.run_now(k, actor=user.actor, reason=reason),
         lambda k: k.condition != "ended" and k.asked_at is None, launches=True),
)  # fmt: skip
