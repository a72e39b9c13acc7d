"""Black holes: the figures of the rule, its levels, and the scenarios of peers 4 replayed in a simulated pool (D2)."""

from __future__ import annotations

import math

import pytest

from submissions import blackholes
from submissions.blackholes import Ended, judge
from tests.submissions import pool

SEEDS = 2  # `make long` takes five


def healthy(nodes=30, *, campaigns=(1, 2), jobs=4, site="far"):
    """Nodes on which one job in forty fails."""
    return [
        Ended(f"n{node:02}", site, campaign, jobs, 1 if (node + campaign) % 10 == 0 else 0)
        for node in range(nodes)
        for campaign in campaigns
    ]


def levels(found):
    return [(verdict.level, verdict.name) for verdict in found]


def test_the_tail_is_that_of_the_binomial_distribution():
    exact = sum(math.comb(12, k) * 0.1**k * 0.9 ** (12 - k) for k in range(5, 13))
    assert blackholes.tail_of(5, 12, 0.1) == pytest.approx(exact)
    assert blackholes.tail_of(0, 12, 0.1) == 1.0
    assert blackholes.tail_of(3, 12, 0.0) == 0.0
    assert blackholes.tail_of(3, 12, 1.0) == 1.0
    assert 0 < blackholes.tail_of(9000, 100_000, 0.05) < 1e-300 or blackholes.tail_of(9000, 100_000, 0.05) == 0.0


def test_a_node_that_fails_what_others_finish_is_found_with_the_evidence():
    bad = [Ended("bad", "far", 1, 6, 6), Ended("bad", "far", 2, 6, 5)]
    (found,) = judge([*healthy(), *bad], pool=40)
    assert (found.level, found.name, found.jobs, found.failures, found.nodes) == ("node", "bad", 12, 11, 30)
    assert found.expected == pytest.approx(0.025)
    assert found.tail < 1e-15
    assert [(row.campaign, row.jobs, row.failures, row.nodes) for row in found.campaigns] == [
        (1, 6, 6, 30),
        (2, 6, 5, 30),
    ]


@pytest.mark.parametrize(
    "rows",
    [
        [Ended("bad", "far", 1, 4, 4)],  # too few failures
        [Ended("bad", "far", 1, 20, 9)],  # less than half
        [Ended("bad", "far", 3, 9, 9)],  # of a campaign that ran nowhere else: nobody can say whose fault it is
    ],
)
def test_what_is_too_little_to_say_blames_nobody(rows):
    assert judge([*healthy(), *rows], pool=40) == []


def test_nodes_count_once_however_many_jobs_they_eat():
    """Weighed by jobs, four holes of 500 failures each would make failures look usual (the trap of peers 4)."""
    holes = [Ended(f"bad{n}", "far", campaign, 500, 500) for n in range(4) for campaign in (1, 2)]
    assert levels(judge([*healthy(), *holes], pool=40)) == [("node", f"bad{n}") for n in range(4)]


def test_two_nodes_of_a_laptop_are_enough_when_the_other_one_has_done_much():
    assert judge([Ended("a", "here", 1, 5, 5), Ended("b", "here", 1, 1, 0)], pool=2) == []
    assert levels(judge([Ended("a", "here", 1, 5, 5), Ended("b", "here", 1, 40, 0)], pool=2)) == [("node", "a")]


def test_a_campaign_that_fails_where_another_succeeds_is_blamed_and_no_node_is():
    broken = [Ended(f"n{node:02}", "far", 9, 6, 6) for node in range(30)]
    assert levels(judge([*healthy(), *broken], pool=40)) == [("campaign", "9")]


def test_a_hole_is_found_beside_a_broken_campaign():
    broken = [Ended(f"n{node:02}", "far", 9, 6, 6) for node in range(30)]
    hole = [Ended("bad", "far", 1, 9, 9), Ended("bad", "far", 9, 9, 9)]
    assert levels(judge([*healthy(), *broken, *hole], pool=40)) == [("campaign", "9"), ("node", "bad")]


def test_a_hole_alone_breaks_no_campaign_at_its_beginning():
    """Where nothing has ended yet but what three holes ate, nobody knows anything of the others."""
    eaten = [Ended(f"bad{n}", "far", campaign, 30, 30) for n in range(3) for campaign in (1, 2)]
    assert judge(eaten, pool=400) == []


def test_a_site_is_found_as_one_and_its_nodes_are_not_listed():
    site = [Ended(f"m{node}", "near", campaign, 5, 5) for node in range(6) for campaign in (1, 2)]
    (found,) = judge([*healthy(), *site], pool=40)
    assert (found.level, found.name, found.nodes) == ("site", "near", 30)


def test_when_everything_fails_all_is_stopped_and_nobody_is_drained():
    rows = [Ended(f"n{node:02}", "far", campaign, 3, 3) for node in range(30) for campaign in (1, 2)]
    assert levels(judge(rows, pool=40)) == [("pool", "")]


def test_of_one_campaign_that_fails_everywhere_the_campaign_is_stopped():
    rows = [Ended(f"n{node:02}", "far", 7, 6, 6) for node in range(30)]
    assert levels(judge(rows, pool=40)) == [("campaign", "7")]


def test_too_many_black_nodes_stop_all_instead_of_draining_the_pool():
    rows = healthy(28) + [Ended(f"bad{n}", "far", campaign, 40, 40) for n in range(12) for campaign in (1, 2)]
    assert levels(judge(rows, pool=40)) == [("pool", "")]


def test_nodes_that_were_excluded_before_count_towards_the_stop_but_are_not_judged():
    hole = [Ended("bad", "far", campaign, 9, 9) for campaign in (1, 2)]
    gone = [f"gone{n}" for n in range(8)]
    old = [Ended(name, "far", 1, 9, 9) for name in gone]
    assert levels(judge([*healthy(), *hole, *old], pool=40, excluded=gone)) == [("pool", "")]
    assert levels(judge([*healthy(), *hole, *old], pool=40, excluded=gone, away=0)) == [("node", "bad")]


# --- The scenarios of peers 4 ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def replayed():
    return {scenario.name: pool.summed(scenario, pool.replay(scenario, SEEDS)) for scenario in pool.ROWS}


@pytest.mark.xdist_group("black holes")
def test_bad_nodes_are_found_in_rows_1_3_and_5(replayed):
    for name, each in (("3 black holes", 3), ("both together", 3), ("10 % of nodes black", 40)):
        row = replayed[name]
        assert row["found"] == row["bad"] == SEEDS * each, row
        assert row["latency_min"] < 30, row
        assert row["runs_stopped"] == 0, row


@pytest.mark.xdist_group("black holes")
def test_broken_campaigns_are_paused_and_drain_nobody(replayed):
    for name in ("2 of 6 campaigns broken", "both together"):
        assert replayed[name]["campaigns_paused"] == 2 * SEEDS, replayed[name]


@pytest.mark.xdist_group("black holes")
def test_rows_4_and_6_stop_the_pool_instead_of_draining_it(replayed):
    for name in ("central outage", "30 % of nodes black"):
        assert replayed[name]["runs_stopped"] == SEEDS, replayed[name]
        assert replayed[name]["stopped_after_min"] <= 40, replayed[name]
    assert replayed["30 % of nodes black"]["found"] <= pool.CAP * pool.NODES * SEEDS


@pytest.mark.xdist_group("black holes")
def test_healthy_nodes_are_drained_in_none(replayed):
    for row in replayed.values():
        print(row)
        assert (row["healthy_drained"], row["wrongly_paused"], row["sites"]) == (0, 0, 0), row
