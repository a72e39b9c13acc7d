"""What can be done from pages: the table of all verbs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from campaigns import queries as definitions
from campaigns.models import Campaign
from core.errors import Problem, Refused
from experiments.logic import shifts
from poms_site.overview import ranking
from poms_site.overview.words import count, words
from poms_site.web.exclusion_verbs import EXCLUSION_VERBS, LIMIT_WASTE
from poms_site.web.failure_verbs import FAILURE_VERBS
from poms_site.web.library_verbs import LIBRARY_VERBS
from poms_site.web.recovery_verbs import RECOVERY_VERBS
from poms_site.web.request_verbs import REQUEST_VERBS
from poms_site.web.review_verbs import REVIEW_VERBS
from poms_site.web.schedule_verbs import SCHEDULE_VERBS
from poms_site.web.service_verbs import SERVICE_VERBS
from poms_site.web.verb import Ask, Verb, in_states
from submissions.logic import acting, completing, holding, launching, ordering, recovering, reprocessing, varying
from submissions.models import Batch, Submission
from submissions.queries import awaited, job_counts, planned, standing_boosts, standing_holds
from submissions.states import JOB_ENDED

# --- What verbs say they will do ---------------------------------------------------------------------------


def _live_jobs(submissions: Any) -> int:
    return sum(n for state, n in job_counts(submissions).items() if state not in JOB_ENDED)


def _of_campaign(campaign: Campaign) -> Any:
    return Submission.objects.filter(batch__stage__campaign=campaign)


def _cancel_says(campaign: Campaign) -> str:
    waiting = Batch.objects.filter(stage__campaign=campaign, state="pending").count()
    return (
        f"This ends {campaign.ref} for good: {count(_live_jobs(_of_campaign(campaign)), 'job')} that now run or wait"
        f" in the queue will be removed, {count(waiting, 'batch')} not launched. What is done stays."
    )


def _relaunch_says(campaign: Campaign) -> str:
    failed = planned(Batch.objects.filter(stage__campaign=campaign, state="failed"))
    missing = sum(batch.n_units - batch.done for batch in failed)
    return f"This launches again what {count(len(failed), 'failed batch')} miss: {count(missing, 'input')}."


def _kill_says(submission: Submission) -> str:
    jobs = count(_live_jobs(Submission.objects.filter(pk=submission.pk)), "job")
    return f"This removes {jobs} of {submission.ref}. Its batch counts as failed; a relaunch does the rest again."


def _release_holds_says(campaign: Campaign) -> str:
    holds = standing_holds().filter(scope="campaign", campaign=campaign)
    said = "; ".join(f"{hold.actor.rpartition(':')[2]}: {hold.reason}" for hold in holds)
    return f"Launches of {campaign.ref} go on. It is held by {said or 'nobody'}."


# --- When they are offered ------------------------------------------------------------------------------------


def _has_failed(campaign: Campaign) -> bool:
    failed = planned(Batch.objects.filter(stage__campaign=campaign, state="failed"))
    return campaign.state in ("running", "failed") and failed.exists()


def _is_held(campaign: Campaign) -> bool:
    return standing_holds().filter(scope="campaign", campaign=campaign).exists()


RANK = Ask("rank", "Rank", "number", least=0, most=100, help="0 to 100; 50 is usual.", begins=lambda c: c.rank)
HOURS = Ask("hours", "Hours", "text", help="At most a week, which has 168.", begins=lambda c: "4")


def _is_boosted(campaign: Campaign) -> bool:
    return standing_boosts().filter(campaign=campaign).exists()


def _boost_says(campaign: Campaign) -> str:
    return (
        f"{campaign.ref} goes before everything else of {campaign.experiment.name} for so many hours; then it is again"
        f" where its rank {campaign.rank} puts it. The shares of other experiments stay."
    )


def _unboost_says(campaign: Campaign) -> str:
    boost = standing_boosts().filter(campaign=campaign).first()
    until = f"It is on top until {boost.until:%Y-%m-%d %H:%M} UTC: {boost.reason}. " if boost else ""
    return f"{until}{campaign.ref} goes by its rank {campaign.rank} again."


def _stages(campaign: Campaign) -> list[tuple[str, str]]:
    return [(version.stage.name, version.stage.name) for version in definitions.graph_of(campaign)[0]]


def _waiting(campaign: Campaign) -> list[tuple[str, str]]:
    return [(name, f"{name}: {why}") for name, why in awaited(campaign)]


def _awaited(campaign: Campaign) -> str:
    told = [f"{name} {why}" for name, why in awaited(campaign)]
    return f"{'; '.join(told)}." if told else f"Nothing of {campaign.ref} waits for anybody now."


SAME = Ask("same_input", "On the same input", "yes", needed=False, bulk=False,
           help="The files as they were frozen for the last pass, not those that the dataset has now.")  # fmt: skip
PARAMETERS = Ask("parameters", "Parameters", "long", bulk=False, begins=lambda b: '[["--key ", "value"]]',
                 help="JSON: [key, value] pairs as in param_overrides, laid over all others, this once.")  # fmt: skip
STAGE = Ask("stage", "Stage", "one", choices=_stages, bulk=False)
WAITING = Ask("stage", "Stage", "one", choices=_waiting, bulk=False)
VERDICT = Ask(
    "verdict", "Verdict", "one", choices=lambda c: [("passed", "it is good"), ("refused", "it is not")], bulk=False
)


def _sign_off(campaign: Campaign, user: Any, reason: str, asked: dict[str, Any]) -> None:
    verdict = asked.get("verdict")
    if verdict not in ("passed", "refused"):
        raise Refused("Nothing was changed.", [Problem("verdict", "choose one", "passed or refused")])
    completing.sign_off(campaign, asked.get("stage", ""), passed=verdict == "passed", actor=user.actor, reason=reason)


LIVE = ("pending", "launching", "submitted", "running")


def _command(verb: str) -> Callable[[Any, Any, str, dict[str, Any]], Any]:
    def act(row: Any, user: Any, reason: str, asked: dict[str, Any]) -> Any:
        if isinstance(row, Submission):
            return acting.command(verb, row, actor=user.actor, reason=reason)
        return acting.command(verb, row.submission, job=row, actor=user.actor, reason=reason)

    return act


def _kill_job_says(job: Any) -> str:
    return f"This removes the job {job.ref}, which is {words(job.state)}. Its inputs are left for a recovery."


VERBS: tuple[Verb, ...] = (
    *REQUEST_VERBS,
    # Campaigns
    Verb("c", "hold", "Hold", "watch",
         lambda c: f"Nothing more of {c.ref} is launched until somebody releases it. What runs goes on.",
         lambda c, user, reason, asked: holding.hold("campaign", c, actor=user.actor, reason=reason),
         lambda c: c.state in ("approved", "running") and not _is_held(c)),
    Verb("c", "release", "Release", "watch", _release_holds_says,
         lambda c, user, reason, asked: holding.release_campaign(c, actor=user.actor, reason=reason), _is_held,
         reason=False, main=True),
    Verb("c", "relaunch", "Relaunch what failed", "watch", _relaunch_says,
         lambda c, user, reason, asked: recovering.relaunch_failed(c, actor=user.actor, reason=reason), _has_failed,
         main=True, launches=True),
    Verb("c", "prioritise", "Prioritise", "view",
         lambda c: f"It has rank {c.rank}; the higher goes first, also among what is queued already.",
         lambda c, user, reason, asked: ordering.prioritise(c, ordering.rank_of(asked.get("rank", "")),
                                                            actor=user.actor, reason=reason),
         in_states("new", "pending_approval", "approved", "running"), asks=(RANK,), any_of=ranking.RANKS),
    Verb("c", "boost", "Put on top", "operate", _boost_says,
         lambda c, user, reason, asked: ordering.boost(c, ordering.hours_of(asked.get("hours", "")),
                                                       actor=user.actor, reason=reason),
         lambda c: c.state in ("approved", "running") and not _is_boosted(c), asks=(HOURS,)),
    Verb("c", "unboost", "No longer on top", "operate", _unboost_says,
         lambda c, user, reason, asked: ordering.unboost(c, actor=user.actor, reason=reason), _is_boosted),
    Verb("c", "sign_off", "Sign off", "sign_off", _awaited, _sign_off, lambda c: bool(awaited(c, by_person=True)),
         main=True, asks=(WAITING, VERDICT)),
    Verb("c", "accept", "Accept as it is", "operate", _awaited,
         lambda c, user, reason, asked: completing.accept(c, asked.get("stage", ""), actor=user.actor, reason=reason),
         lambda c: bool(awaited(c)), asks=(WAITING,)),
    Verb("c", "process_again", "Process again", "operate",
         lambda c: "A stage and all that it feeds are done once more, from the start; what there is stays.",
         lambda c, user, reason, asked: reprocessing.process_again(
             c, asked.get("stage", ""), actor=user.actor, reason=reason, same_input=bool(asked.get("same_input"))),
         in_states("succeeded", "failed"), asks=(STAGE, SAME), launches=True),
    Verb("c", "cancel", "Cancel", "operate", _cancel_says,
         lambda c, user, reason, asked: acting.cancel(c, actor=user.actor, reason=reason),
         in_states("new", "approved", "running", "failed"), danger=True),
    LIMIT_WASTE,
    *LIBRARY_VERBS,
    # Batches
    Verb("b", "relaunch", "Relaunch", "watch",
         lambda b: f"This launches {count(b.n_units - b.done, 'input')} of {b.ref} again, which have no result.",
         lambda b, user, reason, asked: recovering.relaunch(b, actor=user.actor, reason=reason),
         lambda b: b.state == "failed" and not b.is_outside, main=True, launches=True),
    Verb("b", "launch_with", "Launch with other parameters", "operate",
         lambda b: f"{b.ref} is launched once with these laid over all others; a later recovery has them no more.",
         lambda b, user, reason, asked: varying.launch_with(b, varying.pairs_of(asked.get("parameters", "")),
                                                            actor=user.actor, reason=reason),
         lambda b: b.state in ("pending", "failed") and not b.is_outside, asks=(PARAMETERS,), launches=True),
    *RECOVERY_VERBS,
    *REVIEW_VERBS,
    # Submissions
    Verb("s", "hold", "Hold its jobs", "watch", lambda s: f"Jobs of {s.ref} that have not ended are held.",
         _command("hold"), in_states(*LIVE)),
    Verb("s", "release", "Release its jobs", "watch", lambda s: f"Held jobs of {s.ref} go back to the queue.",
         _command("release"), in_states(*LIVE)),
    Verb("s", "kill", "Kill", "operate", _kill_says, _command("kill"), in_states(*LIVE), danger=True),
    Verb("s", "adopt", "It ran: adopt its jobs", "operate",
         lambda s: f"You say that {s.ref} did start. Its jobs are looked for in the batch system and followed.",
         lambda s, user, reason, asked: launching.resolve_unsure(s, ran=True, actor=user.actor, reason=reason),
         in_states("unsure"), main=True),
    Verb("s", "give_up", "It did not run: launch again", "operate",
         lambda s: f"You say that {s.ref} never started. If it did, its work will be done twice.",
         lambda s, user, reason, asked: launching.resolve_unsure(s, ran=False, actor=user.actor, reason=reason),
         in_states("unsure"), danger=True, launches=True),
    # Jobs
    Verb("j", "hold", "Hold", "watch", lambda j: f"{j.ref} is held until somebody releases it.", _command("hold"),
         lambda j: j.ended_at is None and j.state != "held"),
    Verb("j", "release", "Release", "watch", lambda j: f"{j.ref} goes back to the queue.", _command("release"),
         lambda j: j.ended_at is None and j.state == "held", main=True),
    Verb("j", "kill", "Kill", "operate", _kill_job_says, _command("kill"), lambda j: j.ended_at is None, danger=True),
    *SCHEDULE_VERBS,
    *SERVICE_VERBS,
    *FAILURE_VERBS,
    *EXCLUSION_VERBS,
    # Shifts
    Verb("w", "remove", "Remove", "operate", lambda w: f"{w} no longer. Notices go to who else is on shift.",
         lambda w, user, reason, asked: shifts.remove(w, by=user, reason=reason), lambda w: True, reason=False),
    # Holds
    Verb("h", "release", "Release", "watch", lambda h: f"Launches go on. It was held because: {h.reason}",
         lambda h, user, reason, asked: holding.release(h, actor=user.actor, reason=reason),
         lambda h: h.released_at is None and h.scope != "credential" and not h.emergency, reason=False, main=True),
)  # fmt: skip

BULK = ("hold", "release", "relaunch", "prioritise", "cancel", "tag", "untag", "archive", "unarchive", "delete")
BY_NAME = {(verb.letter, verb.name): verb for verb in VERBS}


def may(verb: Verb, held: frozenset[str]) -> bool:
    """Tell whether somebody who holds these permissions may use a verb on something."""
    return verb.rule in held and (not verb.any_of or bool(verb.any_of & held))


def offered(letter: str, row: Any, held: frozenset[str]) -> list[Verb]:
    """Return the verbs that a person who holds these permissions can use on a thing as it is now."""
    return [verb for verb in VERBS if verb.letter == letter and verb.listed and may(verb, held) and verb.offered(row)]


def of_library(row: Any, held: frozenset[str]) -> list[Verb]:
    """Return what a person who holds these permissions can do with a campaign as a definition."""
    return [verb for verb in LIBRARY_VERBS if may(verb, held) and verb.offered(row)]
