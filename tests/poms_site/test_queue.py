"""The queue as it is gathered: order, forecast, proposals; few ranks change for an order, and strangers stay nameless."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from hypothesis import given
from hypothesis import strategies as st

from poms_site.overview.prediction import Work
from poms_site.overview.queue import predict_with, propose, queue_of, ranks_for
from submissions.logic import holding, ordering
from tests.submissions.test_line import abroad, campaign

WHO = {"actor": "user:operator", "reason": "a conference"}
rows = st.lists(st.tuples(st.integers(0, 100), st.floats(0, 30)), min_size=1, max_size=12)


@given(rows)
def test_an_order_that_is_there_already_changes_no_rank(found):
    wanted = sorted(((n, rank, bonus) for n, (rank, bonus) in enumerate(found)), key=lambda r: (-(r[1] + r[2]), r[0]))
    assert ranks_for(wanted) == {}


@given(rows.flatmap(st.permutations))
def test_ranks_for_an_order_lie_between_0_and_100_and_give_it_where_they_can(found):
    wanted = [(n, rank, bonus) for n, (rank, bonus) in enumerate(found)]
    changed = ranks_for(wanted)
    points = [changed.get(key, rank) + bonus for key, rank, bonus in wanted]
    assert all(0 <= rank <= 100 for rank in changed.values())
    assert points == sorted(points, reverse=True)  # waiting of 30 points and 12 rows leave room enough


def test_one_that_moves_is_the_only_one_that_changes():
    wanted = [(3, 20, 0.5), (1, 80, 0.0), (2, 50, 3.0), (4, 10, 0.0)]
    assert ranks_for(wanted) == {3: 80}
    assert ranks_for([(1, 80, 0.0), (4, 10, 0.0), (2, 50, 3.0), (3, 20, 0.5)]) == {4: 54}


@pytest.mark.django_db
def test_the_queue_has_its_order_and_says_when(cast):
    low, high = campaign(cast, "low", rank=10, batches=2), campaign(cast, "high", rank=90, batches=2)
    campaign(abroad(cast), "strange", batches=5)
    queue = queue_of(cast.experiment)
    assert [row.campaign.pk for row in queue.rows] == [high.pk, low.pk]
    assert queue.predicted[high.pk].end.median < queue.predicted[low.pk].end.median
    assert (queue.other_experiments, queue.other_jobs) == (1, 5)
    assert set(queue.predicted) == {low.pk, high.pk}
    ordering.boost(low, 1, **WHO)
    assert [row.campaign.pk for row in queue_of(cast.experiment).rows] == [low.pk, high.pk]


@pytest.mark.django_db
def test_a_proposal_changes_nothing_and_says_who_would_end_when(cast):
    low, high = campaign(cast, "low", rank=10, batches=4), campaign(cast, "high", rank=90, batches=4)
    queue = queue_of(cast.experiment)
    tried = propose(queue, {}, [low.pk])
    assert (list(tried.ranks) == [low.pk] and tried.ranks[low.pk] > 90) or list(tried.ranks) == [high.pk]
    assert [row.campaign.pk for row in tried.rows] == [low.pk, high.pk]
    assert tried.delays[low.pk] < 0 < tried.delays[high.pk]
    low.refresh_from_db()
    assert low.rank == 10


@pytest.mark.django_db
def test_what_is_held_without_an_end_has_no_expected_time(cast):
    row = campaign(cast)
    holding.hold("campaign", row, actor="user:shifter", reason="the disk is full")
    queue = queue_of(cast.experiment)
    assert queue.rows[0].held
    assert queue.predicted == {}


@pytest.mark.django_db
def test_further_work_is_foretold_with_whom_it_delays(cast):
    row = campaign(cast, batches=6, rank=50)
    urgent = predict_with(cast.experiment, [Work("gen", 3600.0, waiting=10)], 100)
    assert [(late.pk, by.total_seconds() > 3600) for late, by in urgent.delayed] == [(row.pk, True)]
    assert urgent.start < urgent.end
    later = predict_with(cast.experiment, [Work("gen", 3600.0, waiting=10)], 0)
    assert later.delayed == []
    assert later.end > urgent.end


@pytest.mark.django_db
def test_more_campaigns_take_no_more_statements(cast):
    def statements():
        with CaptureQueriesContext(
            connection,
        ) as seen:
            queue_of(cast.experiment)
        return len(seen)

    campaign(cast, "first")
    before = statements()
    for n in range(4):
        campaign(cast, f"more{n}")
    assert statements() == before
