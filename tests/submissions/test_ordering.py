"""Ranks and boosts: kept with reason and history, and they reach what waits here and what is idle in the batch system."""

from __future__ import annotations

import shlex
from datetime import timedelta

import pytest

from campaigns.models import Campaign
from core.clock import now, shifted
from core.errors import Conflict, Refused
from core.models import Transition
from integrations import registry
from submissions import fairness, line
from submissions.logic import acting, ordering
from submissions.models import Boost, Command, Job, Submission
from submissions.queries import boosted_until
from tests.submissions.test_line import campaign

WHO = {"actor": "user:operator", "reason": "a conference"}


def told(row, verb):
    return list(Transition.objects.filter(kind="campaign", thing_id=row.pk, verb=verb).values_list("actor", "reason"))


def first_in_line():
    return line.next_in_line(1)[0].campaign


@pytest.mark.django_db
def test_many_ranks_change_at_once_with_one_reason(cast):
    one, two = campaign(cast, "one", rank=60), campaign(cast, "two", rank=50)
    assert first_in_line() == one.pk
    ordering.reorder({one.pk: 40, two.pk: 50}, read={one.pk: 60, two.pk: 50}, **WHO)
    assert first_in_line() == two.pk
    assert told(one, "prioritise") == [("user:operator", "rank 60 → 40: a conference")]
    assert told(two, "prioritise") == []


@pytest.mark.django_db
def test_a_queue_that_has_changed_since_it_was_read_is_not_changed(cast):
    one, two = campaign(cast, "one", rank=60), campaign(cast, "two", rank=50)
    with pytest.raises(Conflict, match="one has rank 60 now"):
        ordering.reorder({two.pk: 70}, read={one.pk: 55, two.pk: 50}, **WHO)
    with pytest.raises(Refused, match="needs a reason"):
        ordering.reorder({two.pk: 70}, actor="user:operator", reason=" ")
    assert Campaign.objects.get(pk=two.pk).rank == 50


@pytest.mark.django_db
def test_a_boost_puts_on_top_and_ends_by_itself(cast):
    low, high = campaign(cast, "low", rank=0), campaign(cast, "high", rank=100)
    ordering.boost(low, 4, **WHO)
    assert first_in_line() == low.pk
    assert boosted_until(low) > now() + timedelta(hours=3.9)
    Boost.objects.update(until=now() - timedelta(seconds=1))
    assert first_in_line() == high.pk
    assert boosted_until(low) is None
    ordering.boost(low, 1, **WHO)  # the one that ended is in nobody's way
    assert "on top until" in told(low, "boost")[0][1]


@pytest.mark.django_db
def test_a_boost_is_taken_back_once(cast):
    row = campaign(cast)
    ordering.boost(row, 4, **WHO)
    ordering.unboost(row, **WHO)
    assert Boost.objects.get().ended_by == "user:operator"
    with pytest.raises(Conflict, match="no boost"):
        ordering.unboost(row, **WHO)
    with shifted(timedelta(hours=5)), pytest.raises(Conflict):
        ordering.unboost(row, **WHO)


@pytest.mark.parametrize("text", ["", "0", "-1", "169", "1e2", "abc", "nan"])
def test_hours_that_are_none_are_refused(text):
    with pytest.raises(Refused, match="For how long"):
        ordering.hours_of(text)


@pytest.mark.django_db
def test_a_share_is_kept_with_its_reason(cast):
    ordering.share(cast.experiment, 3, **WHO)
    assert Transition.objects.get(kind="experiment", verb="share").reason == "share 1 → 3: a conference"
    with pytest.raises(Refused, match="weight"):
        ordering.share(cast.experiment, 0, **WHO)


@pytest.mark.django_db(transaction=True)
def test_a_change_of_rank_moves_what_is_idle_in_the_batch_system(
    real_cast, local, local_system, drive, settings, tmp_path
):
    """The slots are full of others: of what is idle there, the one whose rank rises starts first, though it came last."""
    settings.QUEUE_DEPTH = "0"
    local.stop()
    local.start(slots=1)
    blocker = campaign(real_cast, "blocker", batches=1)
    go = tmp_path / "go"
    script = f'until [ -e "{go}" ]; do sleep 0.1; done; echo x > "$NAME"'
    Submission.objects.filter(campaign=blocker).update(setup=f"export TINY_JOB={shlex.quote(script)}", wall_s=600)
    drive(lambda: Job.objects.filter(started_at__isnull=False, ended_at=None).exists(), seconds=120)
    first, second = (campaign(real_cast, name, batches=1, rank=50) for name in ("first", "second"))
    drive(
        lambda: Submission.objects.filter(campaign=first, state="submitted").exists(),
        seconds=120,
        names=("launch", "observe"),
    )
    # A job may be seen before the launch that made it is recorded.
    drive(
        lambda: Job.objects.count() == 3 and Submission.objects.filter(campaign=second, state="submitted").exists(),
        seconds=120,
        names=("launch", "observe"),
    )
    ordering.prioritise(second, 90, **WHO)
    wanted = Command.objects.get(verb="priority")
    assert wanted.submission.campaign_id == second.pk
    assert "rank 50 → 90" in wanted.reason
    drive(lambda: Command.objects.get(verb="priority").state == "done", seconds=120, names=("act", "observe"))
    go.touch()
    drive(lambda: Job.objects.filter(ended_at__isnull=False).count() == 3, seconds=120)
    starts = {job.submission.campaign_id: job.started_at for job in Job.objects.select_related("submission")}
    assert starts[blocker.pk] < starts[second.pk] < starts[first.pk]
    assert Command.objects.get(verb="priority").state == "done"


@pytest.mark.django_db
def test_the_local_batch_system_can_do_priorities():
    assert registry.batch("local").capabilities.priority
    assert acting.VERBS["priority"] == "prio"
    assert fairness.place_at(10, 0, 1.0) > fairness.place_at(11, 0, 1.0)
