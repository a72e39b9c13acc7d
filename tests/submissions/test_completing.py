"""Completion by criteria: what a stage waits for after its work is done, and who may end the waiting."""

from __future__ import annotations

import shlex
import time
from datetime import timedelta

import pytest

from campaigns.models import Campaign, Stage
from core.clock import now
from core.errors import Conflict
from core.models import Transition, Trouble
from integrations.catalogue.local import LocalCatalogue
from integrations.errors import Unavailable
from submissions.logic import completing, recovering
from submissions.models import Batch, Completion, Output
from submissions.queries import gates
from tests import builders, jobs

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def folders(settings, tmp_path):
    settings.LOCAL_FILES, settings.LOCAL_LAUNCHES = tmp_path / "files", tmp_path / "launches"


def campaign_with(cast, completion: str, more: str = "") -> Campaign:
    text = (
        f"[campaign_stage gen]\nstage_type=generator\nevents=4\nevents_per_job=1\ncompletion={completion}\n{more}"
        "[campaign_stage sum]\n[dependencies sum]\ncampaign_stage_1=gen\n"
    )
    return builders.approved_campaign(cast, builders.definition(stages=text))


def state(campaign: Campaign) -> tuple[str, bool | None]:
    stage = Stage.objects.get(campaign=campaign, name="gen")
    return Campaign.objects.get(pk=campaign.pk).state, stage.succeeded


def history(campaign: Campaign) -> list[Transition]:
    return list(Transition.objects.filter(kind="campaign", thing_id=campaign.pk).order_by("pk"))


def waits(campaign: Campaign) -> str:
    return Completion.objects.get(stage__campaign=campaign).waits_for


def look() -> None:
    """Judge what waits, as if its time had come."""
    Completion.objects.filter(ended_at=None).update(look_at=now() - timedelta(seconds=1))
    completing.complete_some()


def test_outputs_have_to_be_on_tape_and_the_stage_below_waits_for_that(cast):
    campaign = campaign_with(cast, "tape")
    jobs.run(campaign)
    look()
    assert state(campaign) == ("running", None)
    assert waits(campaign) == "0 of 4 outputs are on tape"
    assert "gen has done its work and waits: 0 of 4 outputs are on tape" in [g["text"] for g in gates(campaign)]
    names = list(Output.objects.values_list("name", flat=True))
    LocalCatalogue(cast.experiment).put_on_tape(names[:3])
    look()
    assert waits(campaign) == "3 of 4 outputs are on tape"
    LocalCatalogue(cast.experiment).put_on_tape(names)
    look()
    assert state(campaign) == ("running", True)
    jobs.run(campaign)
    assert state(campaign) == ("succeeded", True)


@pytest.mark.parametrize(
    "criteria, succeeds, said",
    [
        ("as_many", True, ""), ("events(4)", True, ""), ("files(4)", True, ""), ("events(4), files(4), as_many", True, ""),
        ("events(5)", False, "4 of 5 events are done"), ("files(9)", False, "4 of 9 output files are there"),
    ],
)  # fmt: skip
def test_counts_decide_at_once(cast, criteria, succeeds, said):
    campaign = campaign_with(cast, criteria)
    jobs.run(campaign)
    look()
    jobs.run(campaign)
    assert state(campaign) == (("succeeded" if succeeds else "failed"), succeeds)
    assert said in next(step.reason for step in history(campaign) if step.verb == "judge")


def test_a_check_runs_once_where_scripts_run_and_sees_the_outputs(cast, tmp_path):
    check = tmp_path / "check.sh"
    check.write_text(
        f"grep -q '\"name\"' outputs.json && echo x >> {shlex.quote(str(tmp_path / 'ran'))} && exit $(cat {shlex.quote(str(tmp_path / 'says'))})\n"
    )
    (tmp_path / "says").write_text("0")
    campaign = campaign_with(cast, f"check(sh {shlex.quote(str(check))})")
    jobs.run(campaign)
    for _ in range(100):
        look()
        if state(campaign)[1] is not None:
            break
        assert "has not ended" in waits(campaign)
        time.sleep(0.1)
    assert state(campaign) == ("running", True)
    assert (tmp_path / "ran").read_text() == "x\n"


def test_a_check_runs_once_though_who_started_it_died(cast, tmp_path, monkeypatch):
    campaign = campaign_with(cast, f"check(echo x >> {shlex.quote(str(tmp_path / 'ran'))})")
    jobs.run(campaign)

    def dies(point):
        if point == "complete.after_start":
            raise SystemExit(point)

    with monkeypatch.context() as dying:
        dying.setattr(completing, "crashpoint", dies)
        with pytest.raises(SystemExit):
            look()
    while state(campaign)[1] is None:
        look()
        time.sleep(0.05)
    assert state(campaign) == ("running", True)
    assert (tmp_path / "ran").read_text() == "x\n"


def test_a_check_that_fails_fails_the_stage_and_an_operator_may_take_it_as_it_is(cast):
    campaign = campaign_with(cast, "check(echo the histogram is empty; exit 3)")
    jobs.run(campaign)
    while state(campaign)[1] is None:
        look()
        time.sleep(0.05)
    jobs.plan(campaign)
    assert state(campaign) == ("failed", False)
    said = next(iter(Completion.objects.get().checks.values()))
    assert (said["passed"], said["said"].strip()) == (False, "the histogram is empty")
    completing.accept(campaign, "gen", actor="user:op", reason="known, harmless")
    jobs.run(campaign)
    assert state(campaign) == ("succeeded", True)
    assert "accept" in [step.verb for step in history(campaign)]


def test_a_reviewer_signs_off_and_a_refusal_fails(cast):
    for passed, end in ((True, "succeeded"), (False, "failed")):
        campaign = campaign_with(cast, "signoff, files(4)")
        Campaign.objects.filter(pk=campaign.pk).update(name=f"c{campaign.pk}")
        jobs.run(campaign)
        look()
        assert waits(campaign) == "waits for a reviewer"
        completing.sign_off(campaign, "gen", passed=passed, actor="user:rev", reason="looked at the plots")
        look()
        jobs.run(campaign)
        assert state(campaign) == (end, passed)
        verbs = [step.verb for step in history(campaign)]
        assert ("sign_off" if passed else "refuse") in verbs


def test_time_completes_nothing_and_asks_a_visible_question_once(cast):
    campaign = campaign_with(cast, "signoff", more="ask_after_h=5\n")
    jobs.run(campaign)
    look()
    Completion.objects.update(since=now() - timedelta(hours=4.9))
    look()
    assert Completion.objects.get().asked_at is None
    Completion.objects.update(since=now() - timedelta(days=400))
    look()
    look()
    assert state(campaign) == ("running", None)
    asked = [step.reason for step in history(campaign) if step.verb == "ask"]
    assert asked == ["gen has waited for 5 h: waits for a reviewer; sign it off, or decide for it"]
    assert any("sign it off, accept it as it is" in gate["text"] for gate in gates(campaign))


def test_a_silent_catalogue_is_no_answer(cast, monkeypatch):
    campaign = campaign_with(cast, "tape")
    jobs.run(campaign)

    def silent(self, names):
        raise Unavailable("the catalogue sleeps")

    monkeypatch.setattr(LocalCatalogue, "archived", silent)
    look()
    assert state(campaign) == ("running", None)
    assert Trouble.objects.filter(kind="completion").exists()


def test_nobody_signs_what_does_not_wait(cast):
    campaign = campaign_with(cast, "tape")
    with pytest.raises(Conflict, match="does not wait"):
        completing.sign_off(campaign, "gen", passed=True, actor="user:rev", reason="early")
    jobs.run(campaign)
    with pytest.raises(Conflict, match="asks for nobody's sign-off"):
        completing.sign_off(campaign, "gen", passed=True, actor="user:rev", reason="not asked")


def test_what_is_relaunched_is_judged_anew(cast):
    campaign = campaign_with(cast, "signoff", more="completion_pct=50\nrecovery_rounds=0\ncs_split_type=nevents(1)\n")
    jobs.run(campaign, fails={"events:3"})
    look()
    completing.sign_off(campaign, "gen", passed=True, actor="user:rev", reason="enough")
    failed = Batch.objects.get(stage__name="gen", state="failed")
    recovering.relaunch(failed, actor="user:op", reason="the disk is mended")
    assert not Completion.objects.exists()
    jobs.run(campaign)
    look()
    assert waits(campaign) == "waits for a reviewer"
