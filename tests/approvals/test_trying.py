"""A test run: the definition on a few inputs, through the normal path, outputs kept apart, figures for the estimate."""

from __future__ import annotations

import pytest

from approvals.logic import confirming, customising, deciding, filing, looking, trying
from approvals.models import TestRun
from campaigns import definition as text_form
from campaigns.models import Campaign
from core.errors import Conflict, NotAllowed, Refused
from integrations.models import File
from poms_site.overview import request_facts
from submissions.models import Output, Submission
from tests import builders
from tests.approvals.desk import again, filed, line, seeded


@pytest.mark.django_db(transaction=True)
def test_a_test_run_goes_the_normal_path_and_its_outputs_stay_apart(real_cast, local_system, drive):
    request = filed(real_cast, builders.definition().replace("events=4", "events=40"))
    run = trying.test(request, by=real_cast.operator, size=2)
    campaign = run.campaign

    def ended():
        campaign.refresh_from_db()
        return campaign.state in ("succeeded", "failed")

    drive(ended)
    assert campaign.state == "succeeded"
    assert (campaign.test, campaign.name, campaign.known_as) == (True, "tiny-test-1", "tiny")
    made = list(Output.objects.filter(stage__campaign=campaign).order_by("name"))
    assert [row.name for row in made] == [
        "tiny-gen-events_0.txt",
        "tiny-gen-events_1.txt",
        "tiny-sum-file_tiny-gen-events_0.txt",
    ]
    assert {row.room for row in made} == {f"c{campaign.pk}"}
    assert not File.objects.exists(), "nothing of it is in the catalogue"
    for submission in Submission.objects.all():
        assert submission.environment["POMS4_TEST_LAUNCH"] == "True"
        assert submission.environment["POMS4_CAMPAIGN_NAME"] == "tiny"
    # What it measured is what the request is now known to take.
    cost = looking.cost_of(again(request))
    assert [stage.jobs for stage in cost.stages] == [40, 1]
    assert "the test run" in cost.stages[0].source
    assert cost.core_hours is not None
    assert cost.bytes == pytest.approx(
        sum(row.size for row in made if "-sum-" not in row.name) / 2 * 40
        + sum(row.size for row in made if "-sum-" in row.name) / 2 * 40
    )
    trial = request_facts.trial_of(again(request))
    assert (trial.done, trial.inputs, trial.failed, trial.outdated) == (4, 4, 0, False)
    assert [name for name, _ in trial.stages] == ["gen", "sum"]
    filing.check(again(request))
    assert line(request, "output names").result == "pass"
    # The production itself puts out files of the same names, and they are not in its way.
    deciding.approve(again(request), by=real_cast.approver, reason="it works")
    production = again(request).campaign

    def done():
        production.refresh_from_db()
        return production.state in ("succeeded", "failed")

    drive(done, seconds=60)
    assert production.state == "succeeded"
    assert Output.objects.filter(stage__campaign=production, room="").count() == 41
    # Who would make files of these names again is told so by a test run of theirs.
    clash = filed(real_cast, builders.definition().replace("events=4", "events=3"))
    second = trying.test(clash, by=real_cast.operator, size=1).campaign

    def over():
        second.refresh_from_db()
        return second.state in ("succeeded", "failed")

    drive(over)
    filing.check(again(clash))
    assert line(clash, "output names").result == "fail"
    assert "tiny-gen-events_0.txt" in line(clash, "output names").text


@pytest.mark.django_db
def test_before_approval_only_an_operator_starts_one_with_production_credentials(cast, settings):
    request = filed(cast)
    for who in ("experimenter", "approver", "analyser"):
        with pytest.raises(NotAllowed, match="operator"):
            trying.test(request, by=cast.people[who])
    assert not Campaign.objects.filter(test=True).exists()
    settings.LOCAL_SHARED_ACCOUNT = True
    run = trying.test(request, by=cast.experimenter)
    assert run.account == "experimenter"
    versions = run.campaign.revision.stage_versions.all()
    assert {version.account for version in versions} == {"experimenter"}
    with pytest.raises(NotAllowed, match="experimenter's"):
        trying.test(filed(cast, seeded(8)), by=cast.analyser)


@pytest.mark.django_db
def test_one_runs_at_a_time_and_none_after_the_decision(cast):
    request = filed(cast)
    trying.test(request, by=cast.operator)
    with pytest.raises(Conflict, match="still goes on"):
        trying.test(request, by=cast.operator)
    deciding.approve(again(request), by=cast.approver, reason="good")
    with pytest.raises(Conflict, match="before the decision"):
        trying.test(again(request), by=cast.operator)
    assert TestRun.objects.count() == 1


@pytest.mark.django_db
@pytest.mark.parametrize("size", [0, -1, 101])
def test_a_size_that_makes_no_sense_is_refused(cast, size):
    with pytest.raises(Refused, match="not started"):
        trying.test(filed(cast), by=cast.operator, size=size)


@pytest.mark.django_db
def test_the_policy_starts_one_when_an_operator_confirms(cast):
    customising.keep_policy(cast.experiment, by=cast.administrator, test_size=3)
    request = filed(cast)
    confirming.confirm(request, by=cast.operator)
    run = TestRun.objects.get()
    assert (run.size, run.by, run.digest) == (3, cast.operator, request.revision.digest)
    confirming.confirm(request, by=cast.operator)
    assert TestRun.objects.count() == 1


@pytest.mark.django_db
def test_a_change_after_the_test_run_is_told(cast):
    request = filed(cast)
    trying.test(request, by=cast.operator)
    assert request_facts.trial_of(again(request)).outdated is False
    filing.edit(again(request), by=cast.experimenter, definition=seeded(8))
    assert request_facts.trial_of(again(request)).outdated is True


def test_a_definition_is_cut_down_where_it_begins_and_nowhere_else():
    text = builders.definition(
        stages="[campaign_stage gen]\nstage_type=generator\nevents=100\nevents_per_job=10\n"
        'param_overrides=[["--a ", "1"]]\ntest_param_overrides=[["--a ", "2"], ["--out ", "scratch"]]\n'
        "[campaign_stage reco]\ndataset_or_split_data=raw\n[campaign_stage sum]\n[dependencies sum]\ncampaign_stage_1=gen\n"
    )
    whole = text_form.parse(text).definition
    small = trying.cut_down(whole, size=3, number=2, account="ann")
    gen, reco, total = small.stages
    assert (gen.events, gen.params) == (30, (("--a ", "2"), ("--out ", "scratch")))
    assert (reco.most_files, total.most_files) == (3, 0)
    assert small.name == "tiny-test-2"
    assert trying.cut_down(whole, size=50, number=1).stages[0].events == 100
