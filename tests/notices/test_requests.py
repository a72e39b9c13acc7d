"""What happens around a request is told: comments, mentions, watchers, amendments, consolidation, tests, keep-up."""

from __future__ import annotations

from datetime import timedelta

import pytest

from approvals.logic import deciding, discussing, filing, merging, renewing, trying
from approvals.models import Request
from campaigns.models import Campaign
from core import transitions
from core.clock import now
from integrations.models import Notice
from tests import builders
from tests.approvals.desk import again, filed, seeded

pytestmark = pytest.mark.django_db(transaction=True)


def told(kind):
    rows = Notice.objects.filter(kind=kind).exclude(recipient=None)
    return sorted(rows.values_list("recipient__username", "subject"))


def test_a_comment_is_told_to_the_requester_and_to_who_is_mentioned_at_once(crew, mailbox, caught_up):
    request = filed(crew)
    discussing.watch(request, by=crew.shifter)
    caught_up()
    mailbox.mails.clear(), mailbox.to.clear()
    discussing.say(request, "Is it agreed, @analyser? Ask @stranger too.", by=crew.approver)
    caught_up()
    assert sorted(mailbox.to) == ["analyser@example.org", "experimenter@example.org"]
    assert "Is it agreed, @analyser?" in mailbox.mails[0].get_body(["plain"]).get_content()
    subject = f"r{request.pk} has a comment for you: tiny"
    assert told("mentioned") == [("analyser", subject), ("experimenter", subject)]
    assert told("watched") == [("shifter", f"r{request.pk} has a comment: tiny")]


def test_who_watches_hears_of_decisions_and_who_decided_does_not(crew, mailbox, caught_up):
    request = filed(crew)
    discussing.watch(request, by=crew.reviewer)
    deciding.approve(request, by=crew.approver, reason="good")
    caught_up()
    assert told("watched") == [("reviewer", f"r{request.pk} is approved: tiny")]


def test_another_definition_waits_for_the_approvers(crew, mailbox, caught_up):
    request = deciding.approve(filed(crew), by=crew.approver, reason="good")
    caught_up()
    before = len(told("decide"))
    filing.edit(again(request), by=crew.experimenter, definition=seeded(8))
    caught_up()
    fresh = [subject for who, subject in told("decide") if who == "approver"]
    assert len(told("decide")) == before + 1
    assert any("has another definition, which waits for you" in subject for subject in fresh)


def test_who_asked_is_told_that_requests_were_joined(crew, mailbox, caught_up):
    one = filed(crew, builders.definition(campaign="one"), title="one")
    two = filing.draft(
        crew.experiment, requester=crew.analyser, title="two", production_stage="mc",
        definition=builders.definition(campaign="two"),
    )  # fmt: skip
    two = filing.file(two, by=crew.analyser)
    caught_up()
    merging.merge([one, two], by=crew.approver, reason="the same")
    caught_up()
    assert told("decided") == [
        ("analyser", f"r{two.pk} was joined with another: two"),
        ("experimenter", f"r{one.pk} was joined with another: one"),
    ]


def test_the_end_of_a_test_run_is_told_as_such(crew, mailbox, caught_up):
    request = filed(crew)
    run = trying.test(request, by=crew.operator)
    campaign = Campaign.objects.get(pk=run.campaign_id)
    for to, expect in (("running", "approved"), ("succeeded", "running")):
        transitions.move(campaign, to, expect=expect, actor="loop:plan", reason="every stage is complete")
    caught_up()
    subject = f"c{campaign.pk} has run through: tiny-test-1"
    assert told("tested") == [("experimenter", subject), ("operator", subject)]
    assert told("campaign") == []


def test_a_keep_up_that_lapses_is_told_before_and_after(crew, mailbox, caught_up):
    request = deciding.approve(filed(crew, keep_up=True), by=crew.approver, reason="each week")
    for ago in ({"days": 1}, {"seconds": -1}):
        Request.objects.filter(pk=request.pk).update(valid_until=now() + timedelta(**ago))
        renewing.renew_some()
        caught_up()
    words = {subject.partition(":")[0].partition(" ")[2] for who, subject in told("keep_up") if who == "experimenter"}
    assert words == {"lapses soon unless somebody extends it", "has lapsed; its campaign is held"}
