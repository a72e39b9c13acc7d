"""What can be done from pages to exclusions, and to the limit of waste of a campaign."""

from __future__ import annotations

from typing import Any

from campaigns.models import Campaign
from core.errors import Problem, Refused
from poms_site.web.verb import Ask, Verb
from submissions.logic import curbing, excluding
from submissions.models import Exclusion

HOURS = Ask("hours", "Hours from now on", "text", help="At most 720.", begins=lambda row: "24")
SHARE = Ask("share", "Percent of failures", "number", least=1, most=100, bulk=False,
            help="100: it never pauses itself.", begins=lambda c: curbing.limit_of(c)[0])  # fmt: skip
FEWEST = Ask("least", "Of so many jobs at least", "number", least=1, most=curbing.MOST_LEAST, bulk=False,
             help="That ended within an hour.", begins=lambda c: curbing.limit_of(c)[1])  # fmt: skip


def _number(name: str, text: Any, kind: type) -> Any:
    try:
        return kind(str(text).strip())
    except ValueError as error:
        raise Refused("Nothing was changed.", [Problem(name, f"no number: {str(text)[:20]}")]) from error


def _release_says(row: Exclusion) -> str:
    own = row.experiment.name
    if row.level == "campaign":
        return f"Launches of {row.name} go on; what failed until now does not pause it again."
    if row.level == "pool":
        return f"For {own} it is over; the hold on the batch system itself is released where holds are."
    return f"New submissions of {own} may run on {row} again. For other experiments it stays as it is."


def _limit_says(campaign: Campaign) -> str:
    share, least = curbing.limit_of(campaign)
    return f"It pauses itself when more than {share} % of at least {least} jobs that ended within an hour failed."


def _extend(row: Exclusion, user: Any, reason: str, asked: dict[str, Any]) -> None:
    excluding.extend(row, _number("hours", asked.get("hours", ""), float), actor=user.actor, reason=reason)


def _exclude(row: Exclusion, user: Any, reason: str, asked: dict[str, Any]) -> None:
    hours = _number("hours", asked.get("hours", ""), float)
    excluding.exclude(
        row.experiment, row.system.name, row.level, row.name, hours=hours, actor=user.actor, reason=reason
    )  # fmt: skip


def _limit(campaign: Campaign, user: Any, reason: str, asked: dict[str, Any]) -> None:
    share, least = (_number(name, asked.get(name, ""), int) for name in ("share", "least"))
    curbing.set_limit(campaign.experiment, campaign, share, least, actor=user.actor, reason=reason)


EXCLUSION_VERBS: tuple[Verb, ...] = (
    Verb("e", "release", "Release", "watch", _release_says,
         lambda row, user, reason, asked: excluding.release(row, actor=user.actor, reason=reason),
         lambda row: row.stands, main=True),
    Verb("e", "extend", "Extend", "watch",
         lambda row: f"New submissions avoid {row} for so long, from now on.", _extend,
         lambda row: row.level in excluding.PLACES and row.state in ("excluded", "on_probation"), asks=(HOURS,)),
    Verb("e", "exclude", "Exclude", "watch",
         lambda row: f"New submissions of {row.experiment.name} avoid {row}. What runs there goes on.", _exclude,
         lambda row: row.level in excluding.PLACES and row.state == "watched", asks=(HOURS,), main=True),
)  # fmt: skip
LIMIT_WASTE = Verb(
    "c", "limit_waste", "Limit its waste", "operate", _limit_says, _limit,
    lambda c: c.state in ("approved", "running"), asks=(SHARE, FEWEST),
)  # fmt: skip
