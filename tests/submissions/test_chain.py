"""Campaigns that feed each other, with real launches of which many fail: each file in one result downstream.

POMS_CHAIN=100 is the full size (`make long`); CI has a short chain of the same.
"""

from __future__ import annotations

import os

import pytest

from campaigns.models import Campaign
from submissions.logic import recovering
from submissions.models import Acceptance, Output, Submission, Unit
from tests import builders

CAMPAIGNS = int(os.environ.get("POMS_CHAIN", "2"))
FAN_OUT = 4
# Of all launches 40 % end before they have submitted anything: 102 of 256 beginnings of a uuid.
FAILS = "[ $(( 0x$(printf %.2s $POMS_SUBMISSION_ID) )) -ge 102 ] || exit 7"
# A split's job leaves four files, any other one. Names are short however long the chain is.
JOB = (
    "mark=$(echo $KEYS | md5sum | cut -c1-10); stem=$(echo $NAME | cut -d- -f1,2)-$mark;"
    f" case $stem in *-split-*) for n in $(seq {FAN_OUT}); do echo $KEYS > $stem.$n.txt; done;; *) echo $KEYS > $stem.txt;; esac"
)
STAGES = (
    "[campaign_stage split]\n{begin}"
    "[campaign_stage work]\ncs_split_type=nfiles(1)\n"
    "[campaign_stage merge]\ncs_split_type=None\nfiles_per_job=100\n"
    "{above}"
    "[dependencies work]\ncampaign_stage_1=split\ngate_1=each\n"
    "[dependencies merge]\ncampaign_stage_1=work\n"
)
GENERATOR = "stage_type=generator\nevents=1\n"
ABOVE = "[dependencies split]\ncampaign_1=chain{n}\ncampaign_stage_1=merge\ngate_1=each\n"


def chain(cast, number: int) -> list[Campaign]:
    """Make campaigns of which each is fed by the one before."""
    builders.login_setup(cast, setup=f"{FAILS}\nexport TINY_JOB='{JOB}'")
    made = []
    for n in range(number):
        begin, above = (GENERATOR, "") if n == 0 else ("", ABOVE.format(n=n - 1))
        text = builders.definition(stages=STAGES.format(begin=begin, above=above), campaign=f"chain{n}")
        made.append(builders.approved_campaign(cast, text))
    return made


def ended() -> bool:
    return not Campaign.objects.filter(state__in=("approved", "running")).exists()


@pytest.mark.django_db(transaction=True)
def test_a_chain_of_campaigns_loses_and_doubles_nothing_whatever_fails_to_launch(
    real_cast, local_system, drive, capsys
):
    campaigns = chain(real_cast, CAMPAIGNS)

    def stands_still() -> bool:
        """Tell whether all have ended, or whether somebody has to launch again what five launches have not."""
        return ended() or Campaign.objects.filter(state="failed").exists()

    for _ in range(10 * CAMPAIGNS):
        drive(stands_still, seconds=60 + 30 * CAMPAIGNS)
        failed = Campaign.objects.filter(state="failed").order_by("pk").first()
        if failed is None:
            break
        recovering.relaunch_failed(failed, actor="user:operator", reason="five launches have failed")
    assert set(Campaign.objects.values_list("state", flat=True)) == {"succeeded"}
    for n, campaign in enumerate(campaigns):
        outputs = {
            name: set(Output.objects.filter(stage__campaign=campaign, stage__name=name).values_list("name", flat=True))
            for name in ("split", "work", "merge")
        }
        assert {name: len(found) for name, found in outputs.items()} == {"split": FAN_OUT, "work": FAN_OUT, "merge": 1}
        feeds = {"work": outputs["split"], "merge": outputs["work"]}
        if n:
            feeds["split"] = set(
                Output.objects.filter(stage__campaign=campaigns[n - 1], stage__name="merge").values_list(
                    "name", flat=True
                )
            )
        for name, above in feeds.items():
            units = list(
                Unit.objects.filter(stage__campaign=campaign, stage__name=name).values_list("file_name", flat=True)
            )
            assert (len(units), set(units)) == (len(above), above)
    assert Acceptance.objects.count() == Unit.objects.count() == len(campaigns) * (1 + 2 * FAN_OUT)
    failed = Submission.objects.filter(state="launch_failed").count()
    assert failed
    with capsys.disabled():
        all_of_them = Submission.objects.count()
        print(
            f" {len(campaigns)} campaigns: {all_of_them} launches, {failed} failed; {Unit.objects.count()} units ",
            end="",
        )
