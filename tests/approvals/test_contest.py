"""A hundred approvers decide and others edit at once: one decision a revision, and never on another one (F25).

POMS_ROUNDS=1000 is the full size; CI runs a few rounds of the same.
"""

from __future__ import annotations

import os
import random
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from django.contrib.auth.models import Group
from django.db import connection

from approvals.logic import deciding, filing
from approvals.models import Decision, Request
from campaigns.models import Campaign, Revision
from core.errors import PomsError
from core.models import Transition
from experiments.models import Approver, User
from tests.approvals.desk import again, filed, seeded

ROUNDS = int(os.environ.get("POMS_ROUNDS", "3"))
APPROVERS = 100
EDITORS = 4
AT_ONCE = 20  # threads, each with a connection of its own; every one acts for several people
VERDICTS = {"approve": deciding.approve, "return": deciding.send_back, "reject": deciding.reject}


def shares(total: int, number: int) -> list[range]:
    return [range(n, total, number) for n in range(number)]


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("empty_ledger")
def test_a_hundred_approvers_and_editors_at_once_decide_once_per_revision(real_cast):
    conveners = Group.objects.create(name="conveners")
    people = User.objects.bulk_create(User(username=f"convener{n}") for n in range(APPROVERS))
    conveners.user_set.set(people)
    Approver.objects.create(experiment=real_cast.experiment, production_stage="mc", group=conveners)
    seed = int(os.environ.get("POMS_SEED", random.randrange(10**6)))
    print(f"seed {seed}")
    with ThreadPoolExecutor(AT_ONCE + EDITORS) as pool:
        try:
            for number in range(ROUNDS):
                _round(pool, real_cast, people, seed + number)
        finally:
            # Threads keep their connections between rounds; each closes its own at the end.
            together = Barrier(AT_ONCE + EDITORS)
            list(pool.map(lambda _: (together.wait(30), connection.close()), range(AT_ONCE + EDITORS)))


def _round(pool: ThreadPoolExecutor, cast, people, seed: int) -> None:
    request = filed(cast, seeded(10**6 + seed, f"round{seed}"))
    together = Barrier(AT_ONCE + EDITORS)
    counted = [0]

    def decide(mine: range) -> list[tuple[str, str, str]]:
        """Decide as several approvers would, each on what is there when looking; say which decisions counted."""
        dice, went = random.Random(seed * 1000 + mine.start), []
        together.wait(60)
        for n in mine:
            seen = Request.objects.select_related("revision").get(pk=request.pk)
            verdict = dice.choices(list(VERDICTS), [4, 4, 1])[0]
            digest = seen.revision.digest
            try:
                VERDICTS[verdict](seen, by=people[n], reason="read it", digest=digest)
            except PomsError:
                continue
            went.append((people[n].username, verdict, digest))
        return went

    def edit(editor: int) -> int:
        """Change the definition whenever that is possible, and file it whenever it has come back."""
        together.wait(60)
        went = 0
        for turn in range(6):
            text = seeded(10**6 + seed + 10_000_000 * (1 + 10 * editor + turn) % 900_000_000, f"round{seed}")
            try:
                filing.edit(again(request), by=cast.experimenter, definition=text)
                went += 1
                filing.file(again(request), by=cast.experimenter)
            except PomsError:
                continue
        return went

    editing = [pool.submit(edit, n) for n in range(EDITORS)]
    deciding_ = [pool.submit(decide, mine) for mine in shares(APPROVERS, AT_ONCE)]
    went = [entry for job in deciding_ for entry in job.result(120)]
    counted[0] = sum(job.result(120) for job in editing)
    _judge(request, went)


def _judge(request: Request, went: list[tuple[str, str, str]]) -> None:
    request = again(request)
    decisions = list(Decision.objects.filter(request=request).order_by("pk"))
    assert sorted((d.approver.username, d.verdict, d.digest) for d in decisions) == sorted(went), (
        "one was lost or told twice"
    )
    revisions = {r.digest: r for r in Revision.objects.filter(campaign=request.campaign)}
    assert len({d.digest for d in decisions}) == len(decisions), "a revision was decided on twice"
    expected = {"approve": ("approved", "superseded"), "reject": ("rejected",), "return": ("proposed", "superseded")}
    for decision in decisions:
        assert revisions[decision.digest].state in expected[decision.verdict], decision.verdict
    approved = [d for d in decisions if d.verdict == "approve"]
    standing = request.campaign.revision
    if approved:
        assert standing is not None
        assert standing.digest == approved[-1].digest, "something else runs than was approved last"
        assert [r.digest for r in revisions.values() if r.state == "approved"] == [standing.digest]
    else:
        assert standing is None
    assert sum(r.state == "proposed" for r in revisions.values()) <= 1
    moves = Transition.objects.filter(kind="request", thing_id=request.pk, source="pending_approval")
    assert moves.exclude(target="pending_approval").count() == len(decisions)
    campaign = Campaign.objects.get(pk=request.campaign_id)
    fits = {
        "pending_approval": ("pending_approval", "approved"), "returned": ("new", "approved"), "approved": ("approved",),
        "rejected": ("cancelled",),
    }  # fmt: skip
    assert campaign.state in fits[request.state]
