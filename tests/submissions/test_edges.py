"""What goes along edges: by a query, from another campaign, again in another pass; each file once, none forgotten."""

from __future__ import annotations

import pytest

from approvals.logic import trying
from campaigns.definition import parse
from campaigns.logic import editing
from campaigns.models import Campaign
from core.errors import Conflict, Refused
from core.models import Transition
from integrations.catalogue.local import LocalCatalogue
from integrations.errors import Unavailable
from submissions.logic import planning, recovering, reprocessing
from submissions.models import Acceptance, Batch, Output, StageProgress, Unit
from submissions.queries import gates
from tests import builders, jobs

pytestmark = pytest.mark.django_db
GEN = "[campaign_stage gen]\nstage_type=generator\nevents=6\nevents_per_job=1\ncs_split_type=nevents(2)\n"


@pytest.fixture(autouse=True)
def files(settings, tmp_path):
    settings.LOCAL_FILES = tmp_path


def made(cast, name: str, stages: str) -> Campaign:
    return builders.approved_campaign(cast, builders.definition(stages=stages, campaign=name))


def fed(name: str = "sum", by: str = "gen", campaign: str = "", **said: str) -> str:
    lines = [f"campaign_stage_1={by}", *([f"campaign_1={campaign}"] if campaign else [])]
    lines += [f"{key}_1={value}" for key, value in said.items()]
    return f"[campaign_stage {name}]\ncs_split_type=nfiles(2)\n[dependencies {name}]\n" + "\n".join(lines) + "\n"


def state(campaign: Campaign) -> str:
    return Campaign.objects.get(pk=campaign.pk).state


def names(stage: str, **where) -> list[str]:
    return sorted(Unit.objects.filter(stage__name=stage, **where).values_list("file_name", flat=True))


# --- By a query -------------------------------------------------------------------------------------------------


def test_a_query_lets_through_what_the_catalogue_finds(cast):
    campaign = made(cast, "one", GEN + fed(file_pattern="event_count 3 or file_name like %events_4%", gate="each"))
    gen = campaign.stages.get(name="gen")
    jobs.plan(campaign)
    jobs.end(gen, fails={"events:0"})
    Output.objects.filter(name__contains="events_5").update(events=3)
    jobs.run(campaign)
    assert state(campaign) == "succeeded"
    assert all("events_4" in name for name in names("sum"))
    assert len(names("sum")) == 1
    assert StageProgress.objects.get(stage__name="sum").units == 1


def test_while_the_catalogue_is_silent_nothing_is_settled_and_nothing_is_lost(cast, monkeypatch):
    campaign = made(cast, "one", GEN + fed(file_pattern="file_name like %root", gate="each"))
    jobs.plan(campaign)

    def silent(self, names, condition):
        raise Unavailable("the catalogue sleeps")

    with monkeypatch.context() as sleeping:
        sleeping.setattr(LocalCatalogue, "matching", silent)
        with pytest.raises(Unavailable):
            jobs.end(campaign.stages.get(name="gen"))
    assert not Acceptance.objects.exists()
    jobs.run(campaign)
    assert state(campaign) == "succeeded"
    assert len(names("sum")) == 6


# --- From another campaign -----------------------------------------------------------------------------------------


def test_a_campaign_is_fed_by_another_with_what_was_there_and_what_comes(cast):
    above = made(cast, "above", GEN)
    jobs.plan(above)
    gen = above.stages.get(name="gen")
    first = Batch.objects.filter(stage=gen).order_by("number")
    jobs.end(gen, fails={"events:4", "events:5"})
    assert [batch.done for batch in first] == [2, 2, 0]
    below = made(cast, "below", fed(campaign="above", gate="each"))
    jobs.plan(below)
    assert len(names("sum")) == 4
    jobs.run(above)
    jobs.run(below)
    assert (state(above), state(below)) == ("succeeded", "succeeded")
    assert names("sum") == sorted(Output.objects.filter(stage=gen).values_list("name", flat=True))
    assert Acceptance.objects.filter(unit__stage__name="sum").count() == 6


def test_a_gate_on_another_campaign_says_what_it_waits_for_and_that_it_was_cancelled(cast):
    above = made(cast, "above", GEN)
    below = made(cast, "below", fed(campaign="above"))
    jobs.plan(below)
    assert [gate["text"] for gate in gates(below)] == ["sum waits for all of above/gen"]
    Campaign.objects.filter(pk=above.pk).update(**{"state": "cancelled"})
    assert "sum cannot start: above, whose gen feeds it, was cancelled" in [gate["text"] for gate in gates(below)]
    jobs.plan(below)
    assert state(below) == "failed"


def test_what_was_given_between_two_revisions_is_found_before_the_stage_ends(cast, monkeypatch):
    """A campaign that is approved while the other settles sees neither side of the other's transaction."""
    above, below = made(cast, "above", GEN), made(cast, "below", fed(campaign="above", gate="each"))
    jobs.plan(below)
    with monkeypatch.context() as unseen:
        unseen.setattr("submissions.logic.feeding.pass_on", lambda *given, **more: 0)
        jobs.run(above)
    StageProgress.objects.filter(stage__name="gen").update(done=6)
    assert names("sum") == []
    planning.plan(above.stages.get().pk)
    jobs.run(below)
    assert len(names("sum")) == 6
    assert state(below) == "succeeded"


def test_what_names_no_stage_of_another_campaign_is_refused_and_so_is_a_circle(cast):
    def complaints(text: str) -> list[str]:
        return [f"{p.field}: {p.message}" for p in editing.read(text, cast.experiment, cast.experimenter).errors]

    text = builders.definition(stages=fed(campaign="nowhere"), campaign="below")
    builders.login_setup(cast)
    assert complaints(text) == ["[dependencies sum]: there is no stage gen in a campaign nowhere"]
    own = builders.definition(stages=GEN + fed(campaign="below"), campaign="below")
    assert complaints(own) == ["[dependencies sum]: below is this campaign"]
    above = made(cast, "above", GEN + fed("more", "gen"))
    made(cast, "below", fed(campaign="above"))
    circle = builders.definition(stages=GEN + fed("more", "sum", campaign="below"), campaign="above")
    with pytest.raises(Refused, match="circle"):
        editing.propose(above, circle, author=cast.experimenter)


def test_a_test_run_takes_a_few_files_of_the_other_campaign_and_waits_for_nobody(cast):
    above = made(cast, "above", GEN)
    jobs.plan(above)
    jobs.end(above.stages.get(name="gen"), fails={"events:5"})
    whole = editing.read(
        builders.definition(stages=fed(campaign="above"), campaign="below"), cast.experiment, cast.experimenter
    )
    small = trying.cut_down(whole.definition, size=2, number=1)
    campaign = editing.create(cast.experiment, name=small.name, owner=cast.experimenter, reason="to try")
    Campaign.objects.filter(pk=campaign.pk).update(test=True)
    revision = editing.propose_whole(campaign, small, author=cast.experimenter)
    Campaign.objects.filter(pk=campaign.pk).update(**{"state": "approved", "revision": revision})
    campaign.refresh_from_db()
    jobs.run(campaign)
    assert state(campaign) == "succeeded"
    assert len(names("sum")) == 2


def test_the_text_says_it_and_says_it_again():
    text = builders.definition(stages=fed(campaign="above", gate="90%"), campaign="below")
    found = parse(text).definition
    assert [(e.campaign, e.upstream, e.downstream, e.gate) for e in found.across] == [("above", "gen", "sum", "90%")]
    assert found.edges == ()


# --- Another pass ---------------------------------------------------------------------------------------------------


def test_another_pass_does_a_stage_and_all_below_once_more_and_keeps_what_was(cast):
    campaign = made(cast, "one", GEN + fed("reco", "gen", gate="each") + fed("sum", "reco"))
    with pytest.raises(Conflict, match="approved"):
        reprocessing.process_again(campaign, "reco", actor="user:op", reason="early")
    jobs.run(campaign)
    assert state(campaign) == "succeeded"
    with pytest.raises(Refused, match="Nothing was changed"):
        reprocessing.process_again(campaign, "rico", actor="user:op", reason="a better calibration")
    assert reprocessing.process_again(campaign, "reco", actor="user:op", reason="a better calibration") == [
        "reco",
        "sum",
    ]
    assert state(campaign) == "running"
    with pytest.raises(Conflict, match="has not ended"):
        reprocessing.process_again(campaign, "sum", actor="user:op", reason="twice at once")
    jobs.run(campaign)
    assert state(campaign) == "succeeded"
    passes = {stage.name: stage.pass_number for stage in campaign.stages.all()}
    assert passes == {"gen": 1, "reco": 2, "sum": 2}
    for number in (1, 2):
        assert names("reco", pass_number=number) == sorted(
            Output.objects.filter(stage__name="gen").values_list("name", flat=True)
        )
        assert names("sum", pass_number=number) == sorted(
            Output.objects.filter(stage__name="reco", pass_number=number).values_list("name", flat=True)
        )
    assert Acceptance.objects.filter(unit__stage__name="sum").count() == 12
    assert Acceptance.objects.values("unit").distinct().count() == Acceptance.objects.count()


def test_what_failed_for_want_of_another_campaign_goes_on_when_that_one_is_launched_again(cast):
    above = made(cast, "above", GEN)
    below = made(cast, "below", fed(campaign="above", gate="each"))
    last = made(cast, "last", fed("end", by="sum", campaign="below"))
    chain = (above, below, last)
    for campaign in chain:
        jobs.plan(campaign)
    gen = above.stages.get(name="gen")
    while state(above) != "failed":
        jobs.end(gen, fails=[unit.key for unit in Unit.objects.filter(stage=gen)])
        jobs.plan(above)
    for campaign in (below, last):
        jobs.plan(campaign)
    assert [state(campaign) for campaign in chain] == ["failed"] * 3
    assert recovering.relaunch_failed(above, actor="user:operator", reason="mended")
    assert [state(campaign) for campaign in chain] == ["running"] * 3
    step = Transition.objects.filter(kind="campaign", thing_id=last.pk).order_by("-pk")[0]
    assert step.target == "running" and step.reason.endswith(f"{above.ref} runs again: mended")
    for campaign in chain:
        jobs.run(campaign)
    assert [state(campaign) for campaign in chain] == ["succeeded"] * 3
