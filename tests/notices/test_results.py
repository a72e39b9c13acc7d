"""What came of the work is told at its end; who watches a campaign hears of it, and who had a batch made again."""

from __future__ import annotations

import pytest

from campaigns.logic import watching
from campaigns.models import Campaign
from core import transitions
from core.errors import NotVisible
from integrations.models import Notice
from submissions.logic import reviewing
from submissions.models import Batch, Reproduction
from tests import builders, jobs

pytestmark = pytest.mark.django_db(transaction=True)


def kinds_of(user) -> list[tuple[str, str]]:
    rows = Notice.objects.filter(recipient=user).order_by("pk")
    return [(row.kind, row.subject.partition(": ")[0].partition(" ")[2]) for row in rows]


def test_the_mail_at_the_end_says_what_came_of_it(crew, mailbox, caught_up, settings, tmp_path):
    settings.LOCAL_FILES = tmp_path
    campaign = builders.approved_campaign(crew)
    watching.watch(campaign, by=crew.shifter)
    watching.watch(campaign, by=crew.experimenter)
    caught_up()
    mailbox.mails.clear(), mailbox.to.clear()
    jobs.run(campaign, endings=("txt",))
    caught_up()
    mail = next(m for m in mailbox.mails if "has succeeded" in m["Subject"])
    text = mail.get_body(["plain"]).get_content()
    assert "What came of it" in text
    assert "4 files with " in text
    assert "/e/demo/requests/r" in text
    assert "#result" in text
    # Whose campaign it is hears of its end once, though they watch it too.
    assert kinds_of(crew.experimenter).count(("campaign", "has succeeded")) == 1
    assert ("watched", "has succeeded") not in kinds_of(crew.experimenter)
    assert kinds_of(crew.shifter) == [("watched", "has begun"), ("watched", "has succeeded")]
    reviewing.give(Campaign.objects.get(pk=campaign.pk), "remarks", by=crew.reviewer, reason="channel 12 is noisy")
    caught_up()
    assert kinds_of(crew.shifter)[-1] == ("watched", "was judged by a reviewer")
    assert kinds_of(crew.experimenter)[-1] == ("campaign", "was judged by a reviewer")
    watching.unwatch(campaign, by=crew.shifter)
    reviewing.give(Campaign.objects.get(pk=campaign.pk), "good", by=crew.reviewer, reason="it is masked")
    caught_up()
    assert len(kinds_of(crew.shifter)) == 3


def test_who_may_not_see_a_campaign_does_not_watch_it(crew):
    campaign = builders.approved_campaign(crew)
    with pytest.raises(NotVisible):
        watching.watch(campaign, by=crew.stranger)


def test_who_had_a_batch_made_again_is_told_how_it_came_out(crew, mailbox, caught_up, settings, tmp_path):
    settings.LOCAL_FILES = tmp_path
    campaign = builders.approved_campaign(crew)
    jobs.run(campaign)
    run = Campaign.objects.create(experiment=crew.experiment, name="again", owner=crew.experimenter, test=True)
    row = Reproduction.objects.create(
        experiment=crew.experiment, batch=Batch.objects.first(), campaign=run, by=crew.operator, reason="to be sure"
    )
    caught_up()
    transitions.move(row, "different", expect="running", actor="loop:reproduce", reason="seed (1)", verdict="seed (1)")
    caught_up()
    notice = Notice.objects.get(recipient=crew.operator, kind="tested")
    assert notice.subject.startswith(f"p{row.pk} came out different: tiny, batch ")
    assert notice.link == f"/e/demo/reproductions/p{row.pk}/"
