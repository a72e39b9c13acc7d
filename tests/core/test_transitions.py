"""The state engine: a move happens whole or not at all, from where it was expected, and is written down once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from django.db import connection, transaction
from django.utils import timezone

from campaigns.logic import editing
from campaigns.models import Campaign
from core import transitions
from core.errors import StaleState
from core.models import Transition


@pytest.fixture
def campaign(cast) -> Campaign:
    return editing.create(cast.experiment, name="one", owner=cast.operator, reason="to have one")


def story(thing: Campaign) -> list[tuple[str, str, str, str, str]]:
    rows = Transition.objects.filter(kind="campaign", thing_id=thing.pk).order_by("id")
    return list(rows.values_list("source", "target", "verb", "actor", "reason"))


@pytest.mark.django_db
def test_a_move_changes_the_row_the_object_and_the_ledger(campaign):
    began = timezone.now()
    transitions.move(campaign, "approved", expect="new", actor="user:a", reason="because", rank=70)
    stored = Campaign.objects.get(pk=campaign.pk)
    for thing in (campaign, stored):
        assert (thing.state, thing.rank) == ("approved", 70)
        assert thing.state_since >= began
    assert story(campaign) == [
        ("", "new", "create", "user:operator", "to have one"), ("new", "approved", "approve", "user:a", "because"),
    ]  # fmt: skip
    last = Transition.objects.latest("id")
    assert last.experiment_id == campaign.experiment_id
    assert last.txid


@pytest.mark.django_db
def test_a_move_from_another_state_than_expected_changes_nothing(campaign):
    with pytest.raises(StaleState, match="This campaign is new, not approved or running; nothing was changed"):
        transitions.move(campaign, "cancelled", expect=("approved", "running"), actor="a", reason="b", rank=1)
    stored = Campaign.objects.get(pk=campaign.pk)
    assert (stored.state, stored.rank, campaign.state, campaign.rank) == ("new", 50, "new", 50)
    assert len(story(campaign)) == 1


@pytest.mark.django_db
def test_what_the_caller_remembers_does_not_count_but_the_row(campaign):
    stale = Campaign.objects.get(pk=campaign.pk)
    transitions.move(campaign, "approved", expect="new", actor="a", reason="first")
    with pytest.raises(StaleState):
        transitions.move(stale, "cancelled", expect="new", actor="a", reason="second")
    assert Campaign.objects.get(pk=campaign.pk).state == "approved"


@pytest.mark.django_db
def test_a_move_that_the_table_does_not_have_is_a_mistake_of_the_code(campaign):
    with pytest.raises(ValueError, match="campaign: no move from new to succeeded"):
        transitions.move(campaign, "succeeded", expect="new", actor="a", reason="b")
    with pytest.raises(ValueError, match="no move from cancelled to running"):
        transitions.move(campaign, "running", expect=("approved", "cancelled"), actor="a", reason="b")
    assert len(story(campaign)) == 1


@pytest.mark.django_db
def test_a_thing_that_is_gone_is_stale(campaign):
    Campaign.objects.filter(pk=campaign.pk).delete()
    with pytest.raises(StaleState):
        transitions.move(campaign, "approved", expect="new", actor="a", reason="b")


@pytest.mark.django_db
def test_a_verb_may_be_named_otherwise(campaign):
    transitions.move(campaign, "approved", expect="new", actor="a", reason="b", verb="wave_through")
    assert story(campaign)[-1][2] == "wave_through"


@pytest.mark.django_db
def test_move_and_ledger_are_undone_together(campaign):
    with pytest.raises(RuntimeError), transaction.atomic():
        transitions.move(campaign, "approved", expect="new", actor="a", reason="b")
        raise RuntimeError
    assert Campaign.objects.get(pk=campaign.pk).state == "new"
    assert len(story(campaign)) == 1


@pytest.mark.django_db
def test_many_move_together_and_those_in_another_state_stay(cast):
    made = [editing.create(cast.experiment, name=str(n), owner=cast.operator, reason="r") for n in range(4)]
    made.append(editing.create(cast.other, name="theirs", owner=cast.stranger, reason="r"))
    transitions.move(made[0], "cancelled", expect="new", actor="a", reason="r")
    transitions.move(made[1], "pending_approval", expect="new", actor="a", reason="r")
    moved = transitions.move_all(
        Campaign.objects.all(), "cancelled", expect=("new", "pending_approval"), actor="a", reason="over"
    )
    assert moved == [thing.pk for thing in made[1:]]
    assert set(Campaign.objects.values_list("state", flat=True)) == {"cancelled"}
    written = Transition.objects.filter(reason="over").order_by("thing_id")
    assert list(written.values_list("thing_id", "source", "experiment_id", "verb")) == [
        (thing.pk, "pending_approval" if n == 0 else "new", thing.experiment_id, "cancel")
        for n, thing in enumerate(made[1:])
    ]


@pytest.mark.django_db
def test_many_make_no_move_that_the_table_does_not_have(campaign):
    with pytest.raises(ValueError, match="no move from new to failed"):
        transitions.move_all(Campaign.objects.all(), "failed", expect=["new"], actor="a", reason="b")


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("empty_ledger")
def test_of_twenty_moves_at_once_one_wins(real_cast):
    campaign = editing.create(real_cast.experiment, name="one", owner=real_cast.operator, reason="r")
    together = Barrier(20)

    def go(n: int) -> bool:
        mine = Campaign.objects.get(pk=campaign.pk)
        together.wait(30)
        try:
            transitions.move(mine, "approved" if n % 2 else "cancelled", expect="new", actor=f"user:{n}", reason="r")
        except StaleState:
            return False
        else:
            return True
        finally:
            connection.close()

    with ThreadPoolExecutor(20) as pool:
        won = list(pool.map(go, range(20)))
    assert won.count(True) == 1
    assert [actor for *_, actor, _ in story(campaign)] == ["user:operator", f"user:{won.index(True)}"]
