"""The cost of a definition, from how much it reads and what was measured."""

from __future__ import annotations

import pytest

from approvals.estimate import Measured, datasets_of, estimate, in_order
from campaigns import definition
from tests import builders


def parsed(text):
    return definition.parse(text).definition


CHAIN = parsed(
    "[campaign]\nexperiment=demo\nname=x\n[campaign_stage merge]\nfiles_per_job=100\n[campaign_stage gen]\n"
    "stage_type=generator\nevents=1000\nevents_per_job=10\n[campaign_stage reco]\nfiles_per_job=5\n"
    "[dependencies reco]\ncampaign_stage_1=gen\n[dependencies merge]\ncampaign_stage_1=reco\n"
)


def test_jobs_of_fed_stages_follow_from_what_their_parents_put_out():
    cost = estimate(CHAIN, {}, {})
    assert [(s.name, s.inputs, s.jobs) for s in cost.stages] == [
        ("gen", 100, 100),
        ("reco", 100, 20),
        ("merge", 100, 1),
    ]
    assert (cost.jobs, cost.events, cost.core_hours) == (121, 1000, None)
    assert "the time per input of gen" in cost.missing


def test_measured_work_makes_the_cost_known():
    seen = {
        "gen": Measured(36, "the test run", 3, 4, bytes=1e6, outputs=2),
        "reco": Measured(72, "the test run", 0, 2, bytes=5e5),
        "merge": Measured(3600, "earlier jobs", 0, 1),
    }
    cost = estimate(CHAIN, {}, seen)
    assert [s.inputs for s in cost.stages] == [100, 200, 200]
    assert cost.core_hours == pytest.approx((100 * 36 + 200 * 72 + 200 * 3600) / 3600)
    assert cost.bytes == pytest.approx(100 * 1e6 + 200 * 5e5)
    assert cost.core_hours_spread == pytest.approx((3 * (100**2 / 4 + 100) ** 0.5) / 3600)
    assert cost.missing == ()


def test_the_time_that_was_given_counts_where_nothing_was_measured():
    text = parsed(builders.definition(stages="[campaign_stage reco]\ndataset_or_split_data=raw\nfiles_per_job=2\n"))
    cost = estimate(text, {"raw": 5}, {}, hours_per_file=0.5)
    assert (cost.files, cost.jobs, cost.core_hours) == (5, 3, 2.5)
    assert estimate(text, {"raw": None}, {}).jobs is None
    assert datasets_of(text) == ["raw"]


def test_parents_come_first_whatever_the_text_says():
    assert [s.name for s in in_order(CHAIN)] == ["gen", "reco", "merge"]
    circle = parsed(
        "[campaign]\nname=x\n[campaign_stage a]\n[campaign_stage b]\n[dependencies a]\ncampaign_stage_1=b\n"
        "[dependencies b]\ncampaign_stage_1=a\n"
    )
    assert {s.name for s in in_order(circle)} == {"a", "b"}
