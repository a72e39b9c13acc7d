"""Campaigns are tagged, archived and fetched back, and deleted only where nothing of them was ever asked for."""

from __future__ import annotations

import pytest

from approvals.logic import filing
from campaigns.logic import drafting, shelving
from campaigns.models import Campaign, Revision, Stage
from campaigns.queries import shelved
from core.errors import Conflict, NotAllowed, Refused
from core.models import Transition
from tests import builders

pytestmark = pytest.mark.django_db


@pytest.fixture
def draft(cast) -> Campaign:
    looked = drafting.look(cast.experiment, builders.definition(campaign="begun"), by=cast.experimenter)
    return drafting.import_text(cast.experiment, looked, by=cast.experimenter).campaign


def last_step() -> Transition:
    return Transition.objects.filter(kind="campaign").order_by("-pk")[0]


def test_tags_are_added_once_and_taken_off(cast, draft):
    assert shelving.tag(draft, ["spring", "mc", "spring"], by=cast.experimenter) == ["spring", "mc"]
    assert shelving.tag(draft, ["mc", "2026"], by=cast.operator) == ["spring", "mc", "2026"]
    assert (last_step().verb, last_step().reason) == ("tag", "tag: spring, mc -> spring, mc, 2026")
    assert shelving.untag(draft, ["mc"], by=cast.experimenter) == ["spring", "2026"]
    assert Campaign.objects.get(pk=draft.pk).tags == ["spring", "2026"]


@pytest.mark.parametrize("tags", [[], ["two words"], ["a" * 41], ["<b>"], ["ok", ""], [f"t{n}" for n in range(21)]])
def test_what_is_no_tag_is_refused(cast, draft, tags):
    with pytest.raises(Refused):
        shelving.tag(draft, tags, by=cast.experimenter)
    assert Campaign.objects.get(pk=draft.pk).tags == []


def test_a_tag_that_is_not_there_is_not_taken_off(cast, draft):
    shelving.tag(draft, ["spring"], by=cast.experimenter)
    with pytest.raises(Refused) as refused:
        shelving.untag(draft, ["spring", "autumn"], by=cast.experimenter)
    assert "autumn" in str(refused.value)
    assert Campaign.objects.get(pk=draft.pk).tags == ["spring"]


def test_only_an_editor_does_any_of_it(cast, draft):
    for act in (
        lambda by: shelving.tag(draft, ["x"], by=by), lambda by: shelving.archive(draft, by=by, reason="over"),
        lambda by: shelving.delete(draft, by=by, reason="over"),
    ):  # fmt: skip
        with pytest.raises(NotAllowed):
            act(cast.people["analyser"])
    assert Campaign.objects.filter(pk=draft.pk, archived_at=None, tags=[]).exists()


def test_an_archived_campaign_leaves_the_lists_and_comes_back(cast, draft):
    shelving.archive(draft, by=cast.experimenter, reason="the group has another")
    rows = Campaign.objects.filter(experiment=cast.experiment)
    assert [list(shelved(rows, how)) for how in ("", "0", "1", "all")] == [[], [], [draft], [draft]]
    with pytest.raises(Conflict):
        shelving.archive(draft, by=cast.experimenter, reason="again")
    shelving.unarchive(draft, by=cast.experimenter)
    assert list(shelved(rows, "")) == [draft]
    with pytest.raises(Conflict):
        shelving.unarchive(draft, by=cast.experimenter)
    with pytest.raises(Refused):
        shelved(rows, "yes")


def test_what_is_under_way_is_not_archived(cast):
    running = builders.approved_campaign(cast, builders.definition())
    with pytest.raises(Conflict, match="approved"):
        shelving.archive(running, by=cast.operator, reason="over")
    assert Campaign.objects.get(pk=running.pk).archived_at is None


def test_what_was_never_asked_for_is_deleted_and_remembered(cast, draft):
    key = draft.pk
    shelving.delete(draft, by=cast.experimenter, reason="a mistake")
    assert not Campaign.objects.filter(pk=key).exists()
    assert not Revision.objects.exists()
    step = Transition.objects.get(kind="campaign", thing_id=key, verb="delete")
    assert step.reason == "begun, 1 revisions: a mistake"


def test_what_was_asked_for_is_never_deleted(cast, draft):
    request = builders.request(cast, builders.definition(campaign="begun"))
    filing.file(request, by=cast.experimenter)
    filing.withdraw(request, by=cast.experimenter, reason="no need")
    draft.refresh_from_db()
    assert campaign_of(request) == draft.pk
    for row in (draft, builders.approved_campaign(cast, builders.definition(campaign="ran"))):
        with pytest.raises(Conflict, match="Archive it instead"):
            shelving.delete(row, by=cast.operator, reason="tidy up")
        assert not shelving.is_deletable(row)
    assert Stage.objects.exists()


def campaign_of(request) -> int:
    request.refresh_from_db()
    return request.campaign_id
