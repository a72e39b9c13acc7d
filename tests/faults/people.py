"""What people do meanwhile: hold and release jobs and campaigns, kill, relaunch what failed; by the logic's verbs."""

from __future__ import annotations

import random
from collections import Counter

from core.errors import PomsError
from submissions.logic import acting, holding, recovering
from submissions.models import Batch, Command, Hold, Job, Submission
from submissions.states import JOB_RANK

ACTOR = "user:coordinator"


class People:
    """Somebody at the console, with dice of their own."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed + 2)
        self.did: Counter[str] = Counter()
        self.relaunched: list[str] = []

    def act(self, *, mischief: bool) -> None:
        """Do a thing or two; what does not fit what has happened meanwhile is refused, and that is all right."""
        verbs = [self._release_jobs, self._release_campaigns, self._relaunch]
        if mischief:
            verbs.append(self.dice.choice([self._hold_jobs, self._hold_jobs, self._prioritise, self._hold, self._kill]))
        for verb in verbs:
            try:
                verb()
            except PomsError:
                self.did["refused"] += 1

    def _some_submission(self) -> Submission | None:
        live = list(Submission.objects.filter(state__in=("submitted", "running")).order_by("pk")[:200])
        return self.dice.choice(live) if live else None

    def _hold_jobs(self) -> None:
        if submission := self._some_submission():
            acting.command("hold", submission, actor=ACTOR, reason="wait a moment")
            self.did["hold jobs"] += 1

    def _prioritise(self) -> None:
        if submission := self._some_submission():
            acting.command("priority", submission, value=self.dice.randrange(20), actor=ACTOR, reason="this first")
            self.did["prioritise"] += 1

    def _kill(self) -> None:
        if self.did["kill jobs"] < 12 and (submission := self._some_submission()):
            acting.command("kill", submission, actor=ACTOR, reason="this was a mistake")
            self.did["kill jobs"] += 1

    def _hold(self) -> None:
        batch = Batch.objects.filter(state="pending").order_by("?").first()
        if batch and self.did["hold campaign"] < 8:
            holding.hold("campaign", batch.stage.campaign, actor=ACTOR, reason="let me look")
            self.did["hold campaign"] += 1

    def _release_campaigns(self) -> None:
        for hold in Hold.objects.filter(released_at=None):
            holding.release(hold, actor=ACTOR, reason="looked")

    def _release_jobs(self) -> None:
        held = Job.objects.filter(state_code=JOB_RANK["held"], ended_at=None).values_list("submission_id", flat=True)
        asked = Command.objects.filter(verb__in=("release", "kill"), state__in=("wanted", "asked"))
        for submission in Submission.objects.filter(pk__in=set(held)).exclude(pk__in=asked.values("submission_id")):
            acting.command("release", submission, actor=ACTOR, reason="go on")
            self.did["release jobs"] += 1

    def _relaunch(self) -> None:
        for batch in Batch.objects.filter(state="failed").select_related("experiment"):
            last = batch.submissions.order_by("-pk").first()
            self.relaunched.append(
                f"{batch.ref}: {last.state if last else 'never launched'}, {last.why if last else ''}"
            )
            recovering.relaunch(batch, actor=ACTOR, reason="again, please")
            self.did["relaunch"] += 1
