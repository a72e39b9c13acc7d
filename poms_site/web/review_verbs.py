"""What people do about results on pages: make a batch again, sign, give a verdict, and follow a campaign."""

from __future__ import annotations

from typing import Any

from campaigns.logic import watching
from campaigns.models import Campaign
from core.errors import Problem, Refused
from poms_site.web.verb import Ask, Verb, in_states
from submissions.logic import reproducing, reviewing
from submissions.models import Batch, Reproduction
from submissions.queries import verdict_on

SEED = Ask("seed", "Another seed", needed=False, bulk=False,
           help="Leave it empty to make the same again; another seed shows what hangs on it.")  # fmt: skip
SIGNED = Ask(
    "passed", "It", "one", choices=lambda p: [("yes", "convinces"), ("no", "does not convince")], bulk=False
)  # fmt: skip
SAID = {"good": "good", "remarks": "good, with remarks", "bad": "bad", "withdrawn": "not judged: take the verdict back"}


def _verdicts(campaign: Campaign) -> list[tuple[str, str]]:
    standing = verdict_on(campaign)
    stands = standing is not None and standing.verdict != "withdrawn"
    return [(word, text) for word, text in SAID.items() if word != "withdrawn" or stands]


def _standing(campaign: Campaign) -> str:
    row = verdict_on(campaign)
    before = f" {row.by.username} said {row.verdict}: {row.reason}" if row else ""
    return f"Your word on the results of {campaign.ref} is kept and shown, and nothing of it is changed later.{before}"


def _reproduce(batch: Batch, user: Any, reason: str, asked: dict[str, Any]) -> Reproduction:
    given = asked.get("seed", "")
    if given and not (given.isdecimal() and len(given) < 12):
        raise Refused("Nothing was started.", [Problem("seed", f"no whole number: {given[:20]}")])
    return reproducing.reproduce(batch, by=user, reason=reason, seed=int(given) if given else None)


def _sign(row: Reproduction, user: Any, reason: str, asked: dict[str, Any]) -> None:
    if asked.get("passed") not in ("yes", "no"):
        raise Refused("Nothing was changed.", [Problem("passed", "choose one", "yes or no")])
    reproducing.sign(row, passed=asked["passed"] == "yes", actor=user.actor, reason=reason)


def _can_be_made_again(batch: Batch) -> bool:
    return batch.state in ("completed", "failed") and bool(batch.done) and not batch.is_outside


REVIEW_VERBS = (
    Verb("b", "reproduce", "Reproduce", "operate",
         lambda b: f"{b.ref} is run again as a test run of its own, with the definition, inputs, seeds and command that"
                   " it had. What comes out is compared, and is nobody's result.",
         _reproduce, _can_be_made_again, asks=(SEED,), leads=lambda row, made: made.ref, launches=True),
    Verb("p", "sign_off", "Sign", "sign_off",
         lambda p: f"{p.ref} is {p.state}: {p.verdict}. Your word on it is kept; another one later stands instead.",
         _sign, in_states("equal", "different", "failed"), main=True, asks=(SIGNED,)),
    Verb("c", "verdict", "Give a verdict", "sign_off", _standing,
         lambda c, user, reason, asked: reviewing.give(c, asked.get("verdict", ""), by=user, reason=reason),
         lambda c: c.state in reviewing.ENDED and not c.test,
         asks=(Ask("verdict", "Its results are", "one", choices=_verdicts, bulk=False),)),
    Verb("c", "watch", "Watch", "view",
         lambda c: f"You hear of what happens to {c.ref}, and have it on your home page.",
         lambda c, user, reason, asked: watching.watch(c, by=user), lambda c: True, reason=False, wordless=True,
         listed=False),
    Verb("c", "unwatch", "Watch no longer", "view", lambda c: f"You hear no more of {c.ref}.",
         lambda c, user, reason, asked: watching.unwatch(c, by=user), lambda c: True, reason=False, wordless=True,
         listed=False),
)  # fmt: skip
