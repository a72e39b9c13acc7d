"""What the script of a launch finds in its environment, and what its jobs carry, by the names that the field knows."""

from __future__ import annotations

import pytest

from campaigns.models import JobType
from submissions.logic import planning
from submissions.logic.launching import _as_launch
from submissions.logic.wanting import environment_of, wanted_of
from submissions.models import Submission
from tests import builders
from tests.cast import Cast

pytestmark = pytest.mark.django_db


@pytest.fixture
def submission(cast: Cast, settings) -> Submission:
    settings.PUBLIC_URL = "https://poms.example.org:8443/poms"
    builders.login_setup(cast, setup="echo %(group)s %(experimenter)s %(colour)s %%")
    campaign = builders.approved_campaign(cast, builders.definition(campaign="my camp"))
    planning.plan(campaign.stages.get(name="gen").pk)
    return Submission.objects.filter(campaign=campaign).order_by("pk").first()


def test_every_name_of_protocols_5_1_is_there(submission: Submission) -> None:
    version, campaign = submission.batch.version, submission.campaign
    number, stage = str(submission.pk), str(version.stage_id)
    kind = JobType.objects.filter(experiment=campaign.experiment, name=version.job_type).first()
    found = environment_of(submission)
    assert {name: found[name] for name in found if name.startswith(("POMS4_", "JOBSUB", "GROUP"))} == {
        "POMS4_HOST": "poms.example.org", "POMS4_CAMPAIGN_STAGE_ID": stage, "POMS4_CAMPAIGN_STAGE_NAME": "gen",
        "POMS4_CAMPAIGN_STAGE_TYPE": version.type, "POMS4_CAMPAIGN_ID": str(campaign.pk), "POMS4_CAMPAIGN_NAME": "my_camp",
        "POMS4_CAMPAIGN_TYPE": "regular", "POMS4_SUBMISSION_ID": number, "POMS4_TEST_LAUNCH": "False",
        "JOBSUB_GROUP": "demo", "GROUP": "demo",
    }  # fmt: skip
    older = ("POMS_ENV", "POMS_CAMPAIGN_ID", "POMS_CAMPAIGN_NAME", "POMS_TASK_ID", "POMS_PARENT_TASK_ID", "POMS_LAUNCHER",
             "POMS_TEST", "POMS_TASK_DEFINITION_ID", "FIFE_CATEGORIES", "POMS_SUBMISSION_ID")  # fmt: skip
    assert [found[name] for name in older] == [
        "poms.example.org", stage, "my_camp__gen", number, "", campaign.owner.username, "", str(kind.pk) if kind else "",
        f"POMS_TASK_ID_{number},POMS_CAMPAIGN_ID_{stage}", str(submission.uuid),
    ]  # fmt: skip


def test_what_a_launch_finds_is_what_was_frozen(submission: Submission) -> None:
    class Nothing:
        def environment(self, wanted: object) -> dict[str, str]:
            return {"POMS4_HOST": "of the batch system"}

    frozen = dict(submission.environment)
    launch = _as_launch(submission, Nothing(), 0, {})  # type: ignore[arg-type]
    assert frozen.items() <= launch.env.items()
    assert launch.env["POMS_TASK_ID"] == launch.env["POMS4_SUBMISSION_ID"] == str(submission.pk)
    assert "POMS4_SUBMISSION_ID" not in frozen, "the row has no number before it stands"


def test_jobs_carry_the_names_that_queries_in_the_field_ask_for(submission: Submission) -> None:
    tags = wanted_of(submission).tags
    assert {"POMS_TASK_ID", "POMS_CAMPAIGN_ID", "POMS_LAUNCHER", "POMS_CAMPAIGN_NAME", "FIFE_CATEGORIES"} <= set(tags)
    assert {name for name in environment_of(submission) if name.startswith("POMS4_")} == {
        name for name in tags if name.startswith("POMS4_")
    }
    assert (tags["POMS_SUBMISSION_ID"], tags["POMS4_SUBMISSION_ID"]) == (str(submission.uuid), str(submission.pk))
    assert all(tags.values()), "an attribute without a value is none"


def test_the_set_up_text_is_filled_in_with_our_words(submission: Submission) -> None:
    owner = submission.campaign.owner.username
    assert submission.setup in ("", f"echo demo {owner} %(colour)s %")
    assert submission.setup, "the stage uses it"
