"""The approver's inbox: what waits, what a decision needs beside it, and what is refused."""

from __future__ import annotations

import pytest
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME

from approvals.logic import confirming, deciding, filing
from approvals.models import Decision, Request
from experiments.logic import membership
from experiments.models import User
from tests import builders

LIST = "/admin/approvals/request/"


def page(row: Request) -> str:
    return f"{LIST}{row.pk}/change/"


@pytest.fixture
def filed(cast):
    """A request that waits for the approver."""
    row = builders.request(cast, title="ND Monte Carlo", special="name it nd_*", free_text="for the summer")
    row = filing.file(row, by=cast.experimenter)
    confirming.confirm(row, by=cast.operator)
    return row


def refile(cast, row: Request) -> Request:
    """Let the author take the request back to the desk with another text."""
    deciding.send_back(row, by=cast.approver, reason="another seed")
    filing.edit(row, by=cast.experimenter, definition=row.definition.replace("seed=7", "seed=8"))
    row.refresh_from_db()
    row = filing.file(row, by=cast.experimenter)
    confirming.confirm(row, by=cast.operator)
    return row


def test_what_waits_for_this_person_comes_first(cast, as_, text, filed):
    builders.request(cast, title="a draft", priority=90)
    urgent = filing.file(builders.request(cast, title="urgent", priority=80), by=cast.experimenter)
    membership.register_approver(cast.operator, cast.experiment, "reco")
    elsewhere = builders.request(cast, title="of somebody else", production_stage="reco", priority=100)
    filing.file(elsewhere, by=cast.experimenter)
    shown = text(as_("approver").get(LIST))
    places = [shown.index(title) for title in (urgent.title, filed.title, "of somebody else", "a draft")]
    assert places == sorted(places)
    assert shown.count('class="mine"') == 2
    mine = text(as_("approver").get(f"{LIST}?waiting=me"))
    assert "urgent" in mine
    assert "a draft" not in mine
    assert "2 the most urgent" in text(as_("approver").get("/admin/")).replace(",", "")


def test_the_page_shows_all_that_a_decision_needs(cast, as_, text, filed):
    shown = text(as_("approver").get(page(filed)))
    digest = filed.revision.digest
    for words in (
        "ND Monte Carlo", "pending approval", "approvers are registered for mc", "cs_split_type=nevents(2)", "name it nd_*",
        "for the summer", "experimenter", "Nobody has decided yet", f"({digest[:4]}…{digest[-2:]})",
        f'name="digest" value="{digest}"', 'href="/e/demo/requests/r', 'href="/e/demo/campaigns/c', "Approve revision 1",
    ):  # fmt: skip
        assert words in shown, words
    assert shown.count("<textarea") == 1


@pytest.mark.parametrize(("verdict", "state", "reason"), [
    ("approve", "approved", ""), ("return", "returned", "another seed"), ("reject", "rejected", "not this year"),
])  # fmt: skip
def test_an_approver_decides(cast, as_, text, filed, verdict, state, reason):
    answer = as_("approver").post(page(filed), {
        "verdict": verdict, "reason": reason, "digest": filed.revision.digest}, follow=True)  # fmt: skip
    filed.refresh_from_db()
    assert filed.state == state
    decision = Decision.objects.get()
    assert (decision.approver, decision.digest) == (cast.approver, filed.revision.digest)
    assert decision.reason == (reason or "approved as read")
    assert answer.redirect_chain[-1][0] == LIST
    assert "Nothing else waits for you" in text(answer)


def test_after_a_decision_the_next_request_comes_up(cast, as_, text, filed):
    urgent = filing.file(builders.request(cast, title="urgent", priority=80), by=cast.experimenter)
    sent = {"verdict": "approve", "digest": filed.revision.digest}
    answer = as_("approver").post(page(filed), sent, follow=True)
    assert answer.redirect_chain[-1][0] == page(urgent)
    assert f"{filed.ref} is approved. Here is the next one." in text(answer)


@pytest.mark.parametrize("verdict", ["return", "reject"])
def test_to_return_and_to_reject_need_a_reason(cast, as_, text, filed, verdict):
    for reason in ("", "   "):
        sent = {"verdict": verdict, "reason": reason, "digest": filed.revision.digest}
        answer = as_("approver").post(page(filed), sent)
        assert answer.status_code == 422
        assert "Say why: the requester reads it" in text(answer)
    filed.refresh_from_db()
    assert filed.state == "pending_approval"


@pytest.mark.parametrize("verdict", ["approve", "return", "reject"])
def test_a_decision_on_a_changed_revision_is_refused(cast, as_, text, filed, verdict):
    read = filed.revision.digest
    again = refile(cast, filed)
    assert again.revision.digest != read
    sent = {"verdict": verdict, "reason": "as I read it", "digest": read}
    answer = as_("approver").post(page(filed), sent)
    assert answer.status_code == 409
    shown = text(answer)
    assert "was changed after you read it; read it again" in shown
    assert "as I read it</textarea>" in shown
    assert f'name="digest" value="{again.revision.digest}"' in shown
    again.refresh_from_db()
    assert again.state == "pending_approval"


def test_what_changed_since_the_revision_before_is_shown(cast, as_, text, filed):
    shown = text(as_("approver").get(page(refile(cast, filed))))
    assert "Changed since revision 1" in shown
    assert '<span class="d-old">-seed=7</span>' in shown
    assert '<span class="d-new">+seed=8</span>' in shown
    assert "another seed" in shown


@pytest.mark.parametrize("sent", [
    {}, {"verdict": "approve"}, {"verdict": "approve", "digest": ""}, {"verdict": "perhaps", "digest": "x"},
    {"verdict": "approve", "digest": "d" * 65}, {"verdict": "reject", "digest": "x", "reason": "r" * 4001},
])  # fmt: skip
def test_a_decision_that_does_not_say_on_what_is_refused(cast, as_, filed, sent):
    assert as_("approver").post(page(filed), sent).status_code == 422
    filed.refresh_from_db()
    assert filed.state == "pending_approval"


def test_an_approver_of_another_stage_sees_no_buttons(cast, as_, text, filed):
    other = User.objects.create_user(username="recoer", password="x")
    membership.join(other, "approver", cast.experiment)
    membership.register_approver(other, cast.experiment, "reco")
    cast.people["recoer"] = other
    shown = text(as_("recoer").get(page(filed)))
    assert "You are not registered as an approver of mc in demo." in shown
    assert 'name="verdict"' not in shown
    sent = {"verdict": "approve", "digest": filed.revision.digest}
    assert "not registered" in text(as_("recoer").post(page(filed), sent))
    filed.refresh_from_db()
    assert filed.state == "pending_approval"


def test_who_asked_sees_no_buttons(cast, as_, text, filed):
    membership.join(cast.experimenter, "approver", cast.experiment)
    membership.register_approver(cast.experimenter, cast.experiment, "mc")
    shown = text(as_("experimenter").get(page(filed)))
    assert "Nobody decides on a request of their own here; ask another approver." in shown
    assert 'name="verdict"' not in shown
    cast.experiment.author_may_approve = True
    cast.experiment.save()
    assert 'name="verdict"' in text(as_("experimenter").get(page(filed)))


def test_who_lacks_the_role_is_told_which_one_decides(cast, as_, text, filed):
    membership.register_approver(cast.operator, cast.experiment, "mc")
    shown = text(as_("operator").get(page(filed)))
    assert "This needs the role approver in demo." in shown
    assert 'name="verdict"' not in shown
    sent = {"verdict": "approve", "digest": filed.revision.digest}
    assert as_("operator").post(page(filed), sent).status_code == 403
    filed.refresh_from_db()
    assert filed.state == "pending_approval"


def test_a_request_that_is_decided_on_has_no_buttons(cast, as_, text, filed):
    deciding.approve(filed, by=cast.approver, reason="fine")
    shown = text(as_("approver").get(page(filed)))
    assert "The request is approved; there is nothing to decide." in shown
    assert 'name="verdict"' not in shown


def chosen(rows, action: str, **more):
    marks = {f"mark_{row.pk}": row.revision.digest for row in rows}
    return {"action": action, ACTION_CHECKBOX_NAME: [row.pk for row in rows], "index": "0", **marks, **more}


def test_several_are_decided_on_and_each_is_answered(cast, as_, text, filed):
    second = filing.file(builders.request(cast, title="second"), by=cast.experimenter)
    decided = filing.file(builders.request(cast, title="third"), by=cast.experimenter)
    deciding.approve(decided, by=cast.approver, reason="fine")
    rows = [filed, second, decided]
    asked = as_("approver").post(LIST, chosen(rows, "return_chosen"))
    assert "Return these requests for correction?" in text(asked)
    for row in rows:
        assert f'name="mark_{row.pk}" value="{row.revision.digest}"' in text(asked)
    sent = chosen(rows, "return_chosen", apply="1", reason="wait for the new release")
    sent[f"mark_{second.pk}"] = "0" * 64
    answer = text(as_("approver").post(LIST, sent))
    assert "1 of 3 done" in answer
    assert "It is returned for correction." in answer
    assert "was changed after you read it" in answer
    assert "The request is approved, not pending approval" in answer
    states = list(Request.objects.order_by("pk").values_list("state", flat=True))
    assert states == ["returned", "pending_approval", "approved"]


@pytest.mark.parametrize("action", ["approve_chosen", "return_chosen", "reject_chosen"])
def test_several_need_a_reason_and_their_revisions(cast, as_, text, filed, action):
    bare = as_("approver").post(LIST, chosen([filed], action, apply="1", reason=" "))
    assert bare.status_code == 422
    sent = chosen([filed], action, apply="1", reason="because")
    del sent[f"mark_{filed.pk}"]
    assert "It is not said which revision was read" in text(as_("approver").post(LIST, sent))
    filed.refresh_from_db()
    assert filed.state == "pending_approval"


def test_several_are_approved(cast, as_, filed):
    second = filing.file(builders.request(cast, title="second"), by=cast.experimenter)
    as_("approver").post(LIST, chosen([filed, second], "approve_chosen", apply="1", reason="read both"))
    assert set(Request.objects.values_list("state", flat=True)) == {"approved"}


def test_text_of_a_requester_is_shown_as_text(cast, as_, text):
    hostile = '<script>alert("x")</script>'
    row = builders.request(cast, title=hostile, free_text=hostile, special=hostile)
    filing.file(row, by=cast.experimenter)
    for url in (page(row), LIST, "/admin/"):
        shown = text(as_("approver").get(url))
        assert "alert(" in shown
        assert "<script>alert" not in shown


def test_the_history_of_a_request_is_the_ledger(cast, as_, text, filed):
    deciding.send_back(filed, by=cast.approver, reason="another seed")
    shown = text(as_("approver").get(f"{LIST}{filed.pk}/history/"))
    assert "another seed" in shown
    assert "→ returned" in shown
