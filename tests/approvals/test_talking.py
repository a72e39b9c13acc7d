"""Discussion, attachments and their quota, watchers, clones: what people do around a request."""

from __future__ import annotations

import pytest

from approvals.logic import cloning, customising, discussing, filing
from approvals.models import Attachment, Comment, Origin, Watcher
from core.errors import Conflict, NotAllowed, NotVisible, Refused
from core.models import Transition
from tests import builders
from tests.approvals.desk import again, filed

pytestmark = pytest.mark.django_db


def watching(request):
    return set(Watcher.objects.filter(request=request).values_list("user__username", flat=True))


def test_a_comment_is_kept_as_written_and_makes_people_watch(cast):
    request = filed(cast)
    text = "Is it **agreed**, @experimenter and @approver? See mail@operator.org, @nobody, @stranger and @ghost."
    comment = discussing.say(request, text, by=cast.reviewer)
    assert comment.text == text
    assert comment.mentions == ["approver", "experimenter"], "only who may see it, and no mail address"
    assert watching(request) == {"experimenter", "reviewer", "approver"}
    step = Transition.objects.get(kind="request", verb="comment")
    assert (step.actor, step.source, step.target) == ("user:reviewer", "pending_approval", "pending_approval")
    assert step.reason.startswith(f"comment {comment.pk}: Is it")


@pytest.mark.parametrize("text", ["", " \n ", "x" * 16_001])
def test_an_empty_or_endless_comment_is_refused(cast, text):
    with pytest.raises(Refused):
        discussing.say(filed(cast), text, by=cast.experimenter)
    assert not Comment.objects.exists()


def test_a_guest_and_a_stranger_say_nothing(cast):
    request = filed(cast)
    with pytest.raises(NotAllowed):
        discussing.say(request, "hello", by=cast.guest)
    with pytest.raises(NotVisible):
        discussing.attach(request, "a.txt", b"x", by=cast.stranger)


def test_attachments_have_a_quota_and_names_of_their_own(cast, settings):
    settings.ATTACHMENT_QUOTA = 10
    request = filed(cast)
    discussing.attach(request, "../..\\C:\\minutes.txt", b"12345", by=cast.experimenter)
    assert Attachment.objects.get().name == "minutes.txt"
    with pytest.raises(Conflict, match="another name"):
        discussing.attach(request, "minutes.txt", b"1", by=cast.approver)
    with pytest.raises(Refused) as refusal:
        discussing.attach(request, "plot.png", b"123456", by=cast.experimenter)
    assert "room for" in refusal.value.problems[0].message
    for name, content in (("", b"x"), ("a" * 300, b"x"), ("a\nb", b"x"), ("empty", b"")):
        with pytest.raises(Refused):
            discussing.attach(request, name, content, by=cast.experimenter)
    assert Attachment.objects.count() == 1
    with pytest.raises(NotAllowed):
        discussing.detach(request, "minutes.txt", by=cast.analyser, reason="not mine")
    discussing.detach(request, "minutes.txt", by=cast.operator, reason="it names people")
    assert [s.verb for s in Transition.objects.filter(verb__in=("attach", "detach")).order_by("id")] == [
        "attach",
        "detach",
    ]


def test_one_watches_and_watches_no_longer(cast):
    request = filed(cast)
    discussing.watch(request, by=cast.shifter)
    discussing.watch(request, by=cast.shifter)
    assert "shifter" in watching(request)
    discussing.unwatch(request, by=cast.shifter)
    assert "shifter" not in watching(request)


def test_a_clone_is_a_draft_of_ones_own_that_knows_where_it_comes_from(cast):
    request = filed(cast, special="in blue", priority=70, details={"tune": "G18"})
    made = cloning.clone(again(request), by=cast.analyser, title="again")
    assert (made.state, made.requester, made.title, made.campaign) == ("draft", cast.analyser, "again", None)
    assert (made.special, made.priority, made.details, made.definition) == (
        "in blue",
        70,
        {"tune": "G18"},
        request.definition,
    )
    assert Origin.objects.get(request=made).source == request
    with pytest.raises(Refused):
        cloning.clone(again(request), by=cast.analyser, definition="nonsense")
    assert Origin.objects.count() == 1


def test_a_clone_of_a_campaign_has_the_definition_that_ran(cast):
    campaign = builders.approved_campaign(cast, title="first")
    assert cloning.fields_of(campaign)["definition"] == campaign.revision.source
    assert cloning.fields_of(campaign)["title"] == "first"


def test_a_template_that_is_no_longer_used_makes_nothing(cast):
    template = customising.keep_template(
        cast.experiment,
        "mc",
        by=cast.operator,
        title="Generate",
        definition=builders.definition(),
        production_stage="mc",
    )
    builders.login_setup(cast)
    made = cloning.from_template(template, cast.experiment, by=cast.experimenter, parameters={}, title="from it")
    assert (made.production_stage, made.definition) == ("mc", template.definition)
    customising.change_template(template, by=cast.operator, reason="old", active=False)
    template.refresh_from_db()
    with pytest.raises(Refused, match="Nothing was made"):
        cloning.from_template(template, cast.experiment, by=cast.experimenter, parameters={}, title="from it")


def test_a_template_that_cannot_be_read_is_refused(cast):
    with pytest.raises(Refused, match="cannot be read"):
        customising.keep_template(cast.experiment, "bad", by=cast.operator, title="x", definition="[campaign\nname=x")


def test_only_production_and_requesters_change_a_draft(cast):
    request = builders.request(cast)
    with pytest.raises(NotAllowed):
        filing.edit(request, by=cast.analyser, title="mine now")
    filing.edit(request, by=cast.operator, title="corrected")
    assert again(request).title == "corrected"
