"""What can be done with a request from pages: filed, tried out, confirmed, decided on, joined, discussed."""

from __future__ import annotations

import re
from typing import Any

from approvals.composing import REPORT, requirements
from approvals.logic import cloning, confirming, deciding, discussing, filing, merging, ordering, renewing, trying
from approvals.models import Request
from approvals.queries import unconfirmed
from core.errors import NotVisible, Problem, Refused
from poms_site.overview.words import count
from poms_site.web.verb import DIGEST, Ask, Verb, in_states

UNDECIDED = ("draft", "returned", "pending_approval")
PRIORITY = Ask("priority", "Priority", "number", least=0, most=100, help="0 to 100; 50 is usual.",
               begins=lambda r: r.priority)  # fmt: skip
SIZE = Ask("size", "Inputs", "number", least=1, most=trying.MOST, begins=lambda r: 2,
           help="of each stage that begins: files, or ranges of events")  # fmt: skip
TICKED = Ask("ticked", "Special requirements", "ticks", needed=False, bulk=False,
             choices=lambda r: [(line, line) for line in requirements(r.special)],
             help="Tick what you have seen to be so.")  # fmt: skip
TICKS = Ask("ticked", "Confirmed", "ticks", bulk=False, choices=lambda r: [(line, line) for line in _confirmed(r)],
            help="Tick what is not so after all.")  # fmt: skip
NAMES = Ask("name", "Attachment", "one", bulk=False, choices=lambda r: [(name, name) for name in _attached(r)])
WITH = Ask("with", "Join it with", bulk=False, help="References of other requests that wait, such as r12 r15.")
FIRST = Ask("first", "Files of the first part", "number", least=1, bulk=False)
TEXT = Ask("text", "Comment", "long", bulk=False, help="Markdown; @name tells somebody.")
FILE = Ask("file", "File", "file", bulk=False)


def _confirmed(request: Any) -> list[str]:
    done = request.confirmations.filter(digest=request.revision.digest) if request.revision else ()
    return [row.requirement or REPORT for row in done]


def _attached(request: Any) -> list[str]:
    return list(request.attachments.order_by("pk").values_list("name", flat=True))


def _approve_says(request: Any) -> str:
    digest = request.revision.digest[:12] if request.revision else "none"
    if request.campaign and request.campaign.revision_id:
        return f"You approve exactly revision {digest}. Its campaign, which runs, goes on by it."
    return f"You approve exactly revision {digest}. Its campaign starts by itself."


def _confirm_says(request: Any) -> str:
    left = [gate for gate in unconfirmed(request) if gate != "the check report"]
    wanted = f" {count(len(left), 'special requirement')} must be ticked off before it can be approved." if left else ""
    return f"You say that you have read the check report of {request.ref}.{wanted}"


def _whole(asked: dict[str, Any], name: str) -> int:
    """Return the whole number that was typed."""
    text = str(asked.get(name, ""))
    if not re.fullmatch(r"[0-9]{1,9}", text):
        raise Refused("Nothing was changed.", [Problem(name, f"expected a whole number, not {text[:20] or 'nothing'}")])
    return int(text)


def _partners(request: Request, user: Any, asked: dict[str, Any]) -> list[Request]:
    """Return the requests that were named, with this one first."""
    found = [request]
    for word in re.split(r"[\s,]+", str(asked.get("with", "")).strip()):
        key = word.removeprefix(f"{request.experiment.name}/")
        if not re.fullmatch(r"r[1-9][0-9]{0,17}", key):
            problem = Problem("with", f"no reference of a request: {word[:40] or 'nothing'}", "such as r12")
            raise Refused("Nothing was joined.", [problem])
        rows = Request.objects.visible_to(user).select_related("experiment", "requester", "revision", "campaign")
        row = rows.filter(experiment=request.experiment, pk=int(key[1:])).first()
        if row is None:
            raise NotVisible(f"There is no {request.experiment.name}/{key}, or you may not see it.")
        found.append(row)
    return found


def _merge(request: Request, user: Any, reason: str, asked: dict[str, Any]) -> Request:
    digests = {request.pk: asked.get("digest", "")}
    return merging.merge(_partners(request, user, asked), by=user, reason=reason, digests=digests)


def _split(request: Request, user: Any, reason: str, asked: dict[str, Any]) -> Request:
    first = _whole(asked, "first")
    return merging.split(request, first, by=user, reason=reason, digest=asked.get("digest", ""))[0]


def _attach(request: Request, user: Any, reason: str, asked: dict[str, Any]) -> Any:
    chosen = asked.get("file")
    if not chosen:
        raise Refused("Nothing was attached.", [Problem("file", "none was chosen", "choose one")])
    return discussing.attach(request, chosen.name, chosen.read(), by=user)


REQUEST_VERBS: tuple[Verb, ...] = (
    Verb("r", "check", "Run the checks", "file_request", lambda r: "This runs the check report again.",
         lambda r, user, reason, asked: filing.check(r), in_states(*UNDECIDED), wordless=True, reason=False),
    Verb("r", "file", "File for approval", "file_request",
         lambda r: f"{r.ref} goes to the approvers of {r.production_stage}; from then on only its definition can be"
                   " changed, which they read anew.",
         lambda r, user, reason, asked: filing.file(r, by=user, reason=reason), in_states("draft", "returned"),
         reason=False, main=True),
    Verb("r", "test", "Test run", "file_request",
         lambda r: f"This runs the definition of {r.ref} on a few inputs, through the normal path. What it puts out is"
                   " kept apart.",
         lambda r, user, reason, asked: trying.test(r, by=user, size=_whole(asked, "size"),
                                                    own_account=asked.get("own_account") == "1"),
         in_states(*trying.TRIABLE), reason=False, wordless=True, asks=(SIZE,),
         leads=lambda r, run: run.campaign.ref, launches=True),
    Verb("r", "clone", "Clone", "file_request", lambda r: f"This makes a draft of yours like {r.ref}, to be changed.",
         lambda r, user, reason, asked: cloning.clone(r, by=user), lambda r: True, reason=False, wordless=True,
         leads=lambda r, made: made.ref),
    Verb("r", "withdraw", "Withdraw", "file_request",
         lambda r: f"What was proposed of {r.ref} since its approval is taken back; its campaign runs on."
                   if r.campaign and r.campaign.revision_id else f"{r.ref} is taken back for good.",
         lambda r, user, reason, asked: filing.withdraw(r, by=user, reason=reason), in_states(*UNDECIDED), danger=True),
    Verb("r", "confirm", "Confirm the report", "check_request", _confirm_says,
         lambda r, user, reason, asked: confirming.confirm(r, by=user, ticked=asked.get("ticked") or [],
                                                           digest=asked.get("digest", ""), reason=reason),
         in_states("pending_approval"), reason=False, asks=(DIGEST, TICKED)),
    Verb("r", "untick", "Take ticks back", "check_request",
         lambda r: f"{r.ref} is not approved before what you take back is confirmed again.",
         lambda r, user, reason, asked: confirming.untick(r, by=user, ticked=asked.get("ticked") or [],
                                                          digest=asked.get("digest", ""), reason=reason),
         in_states("pending_approval"), asks=(DIGEST, TICKS), listed=False),
    Verb("r", "approve", "Approve", "decide_request", _approve_says,
         lambda r, user, reason, asked: deciding.approve(r, by=user, reason=reason or "approved",
                                                         digest=asked.get("digest", "")),
         in_states("pending_approval"), main=True, reason=False, asks=(DIGEST,)),
    Verb("r", "return", "Return for correction", "return_request",
         lambda r: f"{r.ref} goes back to {r.requester.username}, who can correct and file it again.",
         lambda r, user, reason, asked: deciding.send_back(r, by=user, reason=reason, digest=asked.get("digest", "")),
         in_states("pending_approval"), asks=(DIGEST,)),
    Verb("r", "merge", "Consolidate", "decide_request",
         lambda r: f"{r.ref} and those that you name become one request with all their inputs, each once. Everybody who"
                   " asked follows it.",
         _merge, in_states("pending_approval"), asks=(DIGEST, WITH), leads=lambda r, made: made.ref),
    Verb("r", "split", "Split", "decide_request",
         lambda r: f"{r.ref} becomes two requests: one with its first files, one with the rest. Both wait for you.",
         _split, in_states("pending_approval"), asks=(DIGEST, FIRST), leads=lambda r, made: made.ref),
    Verb("r", "reject", "Reject", "decide_request",
         lambda r: f"What was proposed of {r.ref} since its approval is turned down; its campaign runs on."
                   if r.campaign and r.campaign.revision_id else f"{r.ref} is turned down for good.",
         lambda r, user, reason, asked: deciding.reject(r, by=user, reason=reason, digest=asked.get("digest", "")),
         in_states("pending_approval"), danger=True, asks=(DIGEST,)),
    Verb("r", "prioritise", "Prioritise", "prioritise_request",
         lambda r: f"It has priority {r.priority}; the higher goes first, also among what is queued already.",
         lambda r, user, reason, asked: ordering.prioritise(r, _whole(asked, "priority"), by=user, reason=reason),
         in_states(*ordering.CHANGEABLE), asks=(PRIORITY,)),
    Verb("r", "extend", "Extend by a week", "prioritise_request",
         lambda r: f"{r.ref} is keep-up: it is valid until {r.valid_until:%Y-%m-%d %H:%M} UTC, and a week longer then."
                   if r.valid_until else f"{r.ref} is keep-up.",
         lambda r, user, reason, asked: renewing.extend(r, by=user, reason=reason),
         lambda r: r.state == "approved" and r.keep_up, reason=False),
    Verb("r", "comment", "Comment", "view", lambda r: f"Everybody who may see {r.ref} reads it.",
         lambda r, user, reason, asked: discussing.say(r, asked.get("text", ""), by=user), lambda r: True,
         reason=False, wordless=True, asks=(TEXT,), listed=False),
    Verb("r", "attach", "Attach a file", "view", lambda r: f"Everybody who may see {r.ref} can fetch it.",
         _attach, lambda r: True, reason=False, wordless=True, asks=(FILE,), listed=False),
    Verb("r", "detach", "Take a file away", "view",
         lambda r: f"It can be fetched no longer; the history of {r.ref} keeps that it was there.",
         lambda r, user, reason, asked: discussing.detach(r, str(asked.get("name", "")), by=user, reason=reason),
         lambda r: True, asks=(NAMES,), listed=False),
    Verb("r", "watch", "Watch", "view", lambda r: f"You hear of what happens to {r.ref}.",
         lambda r, user, reason, asked: discussing.watch(r, by=user), lambda r: True, reason=False, wordless=True,
         listed=False),
    Verb("r", "unwatch", "Watch no longer", "view", lambda r: f"You hear no more of {r.ref}.",
         lambda r, user, reason, asked: discussing.unwatch(r, by=user), lambda r: True, reason=False, wordless=True,
         listed=False),
)  # fmt: skip
