"""Verbs through their pages: what is refused keeps what was typed and changes nothing; what is done is said."""

from __future__ import annotations

import re
from datetime import timedelta
from html import unescape

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from approvals.models import Request
from campaigns.logic import shelving
from campaigns.models import Campaign, Stage
from core.clock import now
from core.models import Transition
from experiments.logic import membership
from experiments.roles import EVERYWHERE
from integrations.models import Book, Desk
from poms_site.web import acting
from poms_site.web.things import NOUNS, address
from poms_site.web.verbs import VERBS, offered
from submissions.logic import checking, ordering, pausing
from submissions.models import Acceptance, Batch, Command, Exclusion, Hold, Job, Output, Result, Unit
from submissions.states import JOB_RANK
from tests import builders
from tests.turns import its_turn

pytestmark = pytest.mark.django_db

# verb -> whose browser, on what of the world
SCENES = {
    ("r", "check"): ("experimenter", "draft"), ("r", "file"): ("experimenter", "draft"),
    ("r", "withdraw"): ("experimenter", "draft"), ("r", "approve"): ("approver", "pending"),
    ("r", "return"): ("approver", "pending"), ("r", "reject"): ("approver", "pending"),
    ("r", "test"): ("operator", "draft"), ("r", "clone"): ("experimenter", "pending"),
    ("r", "confirm"): ("operator", "pending"), ("r", "merge"): ("approver", "pending"),
    ("r", "split"): ("approver", "reading"), ("r", "prioritise"): ("approver", "pending"),
    ("r", "extend"): ("approver", "keepup"), ("r", "comment"): ("reviewer", "draft"),
    ("r", "attach"): ("experimenter", "draft"), ("r", "watch"): ("shifter", "draft"),
    ("r", "unwatch"): ("experimenter", "draft"), ("r", "untick"): ("operator", "pending"),
    ("r", "detach"): ("experimenter", "draft"),
    ("c", "hold"): ("shifter", "campaign"), ("c", "release"): ("shifter", "campaign"),
    ("c", "relaunch"): ("shifter", "campaign"), ("c", "recover"): ("operator", "campaign"), ("c", "prioritise"): ("operator", "campaign"),
    ("c", "boost"): ("operator", "campaign"), ("c", "unboost"): ("operator", "campaign"),
    ("c", "sign_off"): ("reviewer", "signing"), ("c", "accept"): ("operator", "signing"),
    ("c", "process_again"): ("operator", "signing"),
    ("c", "clone"): ("experimenter", "unasked"), ("c", "tag"): ("experimenter", "unasked"),
    ("c", "untag"): ("experimenter", "unasked"), ("c", "archive"): ("experimenter", "unasked"),
    ("c", "unarchive"): ("experimenter", "unasked"), ("c", "delete"): ("experimenter", "unasked"),
    ("c", "template"): ("operator", "unasked"),
    ("c", "cancel"): ("operator", "campaign"), ("b", "relaunch"): ("shifter", "broken"),
    ("b", "recover"): ("operator", "broken"), ("b", "launch_with"): ("operator", "broken"), ("s", "hold"): ("shifter", "running"),
    ("s", "release"): ("shifter", "running"), ("s", "kill"): ("operator", "running"),
    ("s", "adopt"): ("operator", "unsure"), ("s", "give_up"): ("operator", "unsure"), ("j", "hold"): ("shifter", "job"),
    ("j", "release"): ("shifter", "job"), ("j", "kill"): ("operator", "job"), ("h", "release"): ("shifter", "hold"),
    ("k", "pause"): ("shifter", "schedule"), ("k", "resume"): ("shifter", "schedule"), ("k", "run"): ("operator", "schedule"),
    ("v", "check"): ("shifter", "outside"), ("v", "override"): ("shifter", "outside"),
    ("v", "downtime"): ("shifter", "outside"), ("v", "no_downtime"): ("shifter", "outside"),
    ("l", "remove"): ("operator", "limit"), ("w", "remove"): ("operator", "shift"),
    ("c", "limit_waste"): ("operator", "campaign"), ("c", "verdict"): ("reviewer", "campaign"),
    ("c", "watch"): ("shifter", "campaign"), ("c", "unwatch"): ("shifter", "campaign"),
    ("b", "reproduce"): ("operator", "live"), ("p", "sign_off"): ("reviewer", "again"),
    ("e", "release"): ("shifter", "excluded"), ("e", "extend"): ("shifter", "excluded"),
    ("e", "exclude"): ("shifter", "excluded"),
    ("f", "fix"): ("shifter", "failure"), ("f", "route"): ("operator", "failure"), ("f", "ticket"): ("shifter", "failure"),
    ("f", "link"): ("shifter", "failure"), ("f", "logbook"): ("shifter", "failure"),
    ("o", "remove"): ("administrator", "route"),
}  # fmt: skip


def some(case: str) -> pytest.MarkDecorator:
    """Give a test a fifth of all verbs; that a verb is done is tried of each."""
    chosen = [verb for verb in VERBS if its_turn(5, case, verb.letter, verb.name)]
    return pytest.mark.parametrize("verb", chosen, ids=lambda verb: f"{verb.letter}-{verb.name}")


REASON = "it <b>must</b> be"
LEADS_ON = (
    "test",
    "clone",
    "merge",
    "split",
    "delete",
    "reproduce",
)  # to what was made, or to the list where a thing is gone
QUIET = ("check", "watch", "unwatch")  # these leave no step in the ledger


def given(world, verb, **more):
    """Return what somebody types who does this."""
    typed = {"reason": REASON, "rank": "61", "priority": "61", "size": "1", "first": "1", "text": REASON,
             "with": world.own.ref("like"), "hours": "4", "name": "note.txt", "stage": "gen", "verdict": "passed",
             "state": "down", "until": "2999-01-01 00:00", "share": "61", "least": "1", "passed": "yes", "fix": REASON,
             "owner": "sam", "link": "https://desk.example.org/INC1"}  # fmt: skip
    if verb.name == "verdict":
        typed["verdict"] = "good"
    if verb.name == "launch_with":
        typed["parameters"] = '[["--tune ", "G18"]]'
    if verb.name == "untick":
        typed["ticked"] = "seen"
    if verb.name in ("tag", "untag"):
        typed["tags"] = "spring, 2026" if verb.name == "tag" else "old"
    if (verb.letter, verb.name) == ("c", "template"):
        typed["name"] = "begun"
    if verb.name == "attach":
        typed["file"] = SimpleUploadedFile("a <b>.txt", b"hallo")
    return typed | more


@pytest.fixture
def scene(world, cast, as_, settings, tmp_path):
    """Return browser, thing, and the addresses of verb and thing."""
    settings.LOCAL_SPOOL = tmp_path / "no daemon"

    def of(verb):
        who, what = SCENES[verb.letter, verb.name]
        key = world.own.ref(what).rpartition("/")[2]
        if (verb.letter, verb.name) == ("c", "hold"):
            Hold.objects.update(released_at=now())
        if (verb.letter, verb.name) == ("j", "release"):
            Job.objects.update(state_code=JOB_RANK["held"])
            world.own.objects[what].refresh_from_db()
        if (verb.letter, verb.name) == ("c", "unarchive"):
            shelving.archive(world.own.objects[what], by=cast.experimenter, reason="it is over")
        if (verb.letter, verb.name) == ("k", "resume"):
            pausing.pause(world.own.objects[what], actor="user:operator", reason="the disk is full")
            world.own.objects[what].refresh_from_db()
        if (verb.letter, verb.name) == ("v", "no_downtime"):
            row, begins = world.own.objects[what], now() + timedelta(hours=1)
            checking.plan_downtime(row, begins, begins + timedelta(hours=1), by="user:shifter", reason="an upgrade")
        if (verb.letter, verb.name) == ("c", "process_again"):
            stages = Stage.objects.filter(campaign=world.own.objects[what])
            stages.update(completed_at=now(), succeeded=True)
            Campaign.objects.filter(pk=world.own.objects[what].pk).update(**{"state": "succeeded"})
            world.own.objects[what].refresh_from_db()
        if verb.name == "verdict":
            Campaign.objects.filter(pk=world.own.objects[what].pk).update(**{"state": "succeeded"})
            world.own.objects[what].refresh_from_db()
        if verb.name == "reproduce":
            _with_output(world.own.objects[what])
        if (verb.letter, verb.name) == ("e", "exclude"):
            Exclusion.objects.filter(pk=world.own.objects[what].pk).update(**{"state": "watched"})
            world.own.objects[what].refresh_from_db()
        if verb.name == "ticket":
            Desk.objects.create(experiment=cast.experiment, url="https://desk.example.org", credential="desk")
        if verb.name == "logbook":
            Book.objects.create(
                experiment=cast.experiment, url="https://ecl.example.org/E", credential="ecl", category="x"
            )
        if (verb.letter, verb.name) == ("c", "unboost"):
            ordering.boost(world.own.objects[what], 1, actor="user:operator", reason="a conference")
        return as_(cast.people[who]), world.own.objects[what], f"/e/demo/{NOUNS[verb.letter][0]}/{key}/{verb.name}/"

    return of


def _with_output(batch):
    """Let a batch have ended with one result."""
    Batch.objects.filter(pk=batch.pk).update(**{"state": "completed", "done": 1})
    batch.refresh_from_db()
    made = Result.objects.create(experiment=batch.experiment, submission=batch.submissions.get(), job="1.0@local")
    unit = Unit.objects.filter(batch=batch).first()
    Acceptance.objects.create(unit=unit, result=made)
    Output.objects.create(
        experiment=batch.experiment, stage=batch.stage, result=made, name="made.root", path="/made.root", size=1,
    )  # fmt: skip


def steps():
    return Transition.objects.count(), Command.objects.count()


def home_of(thing):
    """Return the page to which one comes back: a hold's is its campaign's."""
    return address((thing.campaign if isinstance(thing, Hold) else thing).ref)


def field(answer, name):
    page = answer.content.decode()
    area = re.search(rf'<textarea[^>]*name="{name}"[^>]*>(.*?)</textarea>', page, re.DOTALL)
    return unescape((area or re.search(rf'name="{name}"[^>]*value="([^"]*)"', page))[1])


def test_every_verb_has_a_scene():
    assert {(verb.letter, verb.name) for verb in VERBS} == set(SCENES)


@some("says")
def test_a_verb_says_what_it_will_do_and_asks_why(scene, text, verb):
    client, thing, url = scene(verb)
    before = steps()
    answer = client.get(url)
    assert answer.status_code == 200
    said = text(answer)
    assert f"{verb.word} {thing.ref}" in unescape(said)
    assert verb.says(thing) in unescape(said)
    assert ("Reason needed" in said) == verb.reason
    assert steps() == before


def test_a_verb_that_makes_no_sense_now_offers_no_form(world, cast, as_, text):
    campaign = world.own.ref("campaign").rpartition("/")[2]
    for where in (campaign, "bulk"):
        answer = as_(cast.shifter).get(f"/e/demo/campaigns/{where}/hold/", {"ref": campaign})
        assert answer.status_code == 200
        assert "nothing to hold" in text(answer)
        assert 'name="reason"' not in answer.content.decode()


@some("reason")
def test_a_verb_without_its_reason_is_refused_and_keeps_what_was_typed(world, scene, text, verb):
    client, _, url = scene(verb)
    before = steps()
    answer = client.post(url, given(world, verb, reason="  "))
    if not verb.reason:
        assert answer.status_code == 303
        return
    assert answer.status_code == 422
    assert "reason : is empty" in text(answer)
    for ask in verb.asks:
        assert ask.kind != "number" or field(answer, ask.name) in ("61", "1")
    assert steps() == before


@pytest.mark.parametrize("verb", [v for v in VERBS if v.name != "adopt"], ids=lambda verb: f"{verb.letter}-{verb.name}")
def test_a_verb_is_done_once_and_said(world, scene, verb):
    client, thing, url = scene(verb)
    before = steps()
    answer = client.post(url, given(world, verb))
    assert answer.status_code == 303
    elsewhere = answer["Location"] != home_of(thing)
    assert elsewhere == (verb.name in LEADS_ON)
    assert (steps() > before) or verb.name in QUIET
    page = client.get(answer["Location"]).content.decode()
    said = f"{thing.ref}: {verb.word.lower()} – done"
    assert said in page
    assert said not in client.get(answer["Location"]).content.decode()
    assert "<b>must</b>" not in page
    reasons = Transition.objects.values_list("actor", "reason")
    assert verb.wordless or any(REASON in reason for _, reason in reasons)


@some("dialogue")
def test_a_dialogue_gets_a_form_without_frame_and_is_led_on(world, scene, verb):
    client, thing, url = scene(verb)
    bare = client.get(url, headers={"HX-Request": "true"}).content.decode()
    assert "<html" not in bare
    assert f'hx-post="{url}"' in bare
    answer = client.post(url, given(world, verb), headers={"HX-Request": "true"})
    if verb.name == "adopt":
        assert answer.status_code == 503
        assert "<html" not in answer.content.decode()
    else:
        assert answer.status_code == 200
        led = answer["HX-Redirect"] == home_of(thing)
        assert led == (verb.name not in LEADS_ON)


def test_a_system_that_does_not_answer_is_said_on_the_form(world, scene, text):
    verb = next(verb for verb in VERBS if verb.name == "adopt")
    client, _, url = scene(verb)
    before = steps()
    answer = client.post(url, given(world, verb))
    assert answer.status_code == 503
    assert "the local batch daemon does not answer" in text(answer)
    assert field(answer, "reason") == REASON
    assert steps() == before


@pytest.mark.parametrize("name", ["file", "withdraw", "approve", "return", "reject"])
def test_a_request_that_is_no_longer_as_it_was_is_answered_409_on_the_form(world, scene, text, name):
    verb = next(verb for verb in VERBS if (verb.letter, verb.name) == ("r", name))
    client, _, url = scene(verb)
    assert client.post(url, given(world, verb)).status_code == 303
    before = steps()
    answer = client.post(url, {"reason": "once more <i>"})
    assert answer.status_code == 409
    assert field(answer, "reason") == "once more <i>"
    assert verb.word in text(answer)
    assert steps() == before


def test_a_hold_that_was_released_meanwhile_is_answered_409(world, scene):
    verb = next(verb for verb in VERBS if verb.letter == "h")
    client, _, url = scene(verb)
    assert [client.post(url, given(world, verb)).status_code for _ in range(2)] == [303, 409]


def test_a_rank_that_is_none_is_refused_at_its_field(scene, text):
    verb = next(verb for verb in VERBS if (verb.letter, verb.name) == ("c", "prioritise"))
    client, thing, url = scene(verb)
    for rank in ("101", "-1", "", "1e2", "٣"):
        answer = client.post(url, {"reason": "urgent", "rank": rank})
        assert answer.status_code == 422, rank
        assert "not between 0 and 100" in text(answer)
        assert field(answer, "reason") == "urgent"
    assert client.post(url, {"reason": "urgent", "rank": "100"}).status_code == 303
    thing.refresh_from_db()
    assert thing.rank == 100


@some("wild")
def test_what_no_database_keeps_breaks_no_verb(scene, verb):
    client, _, url = scene(verb)
    answer = client.post(url, {"reason": "a\0b\u202e" + "x" * 5000, "rank": "6\0", "digest": "\0"})
    assert answer.status_code in (303, 409, 422, 503)


@some("place")
def test_who_may_in_both_experiments_does_nothing_under_the_wrong_address(world, cast, as_, verb):
    who, what = SCENES[verb.letter, verb.name]
    if who not in EVERYWHERE:
        membership.join(cast.people[who], who, cast.other)
    key = world.other.ref(what).rpartition("/")[2]
    before = steps()
    answer = as_(cast.people[who]).post(f"/e/demo/{NOUNS[verb.letter][0]}/{key}/{verb.name}/", given(world, verb))
    assert (answer.status_code, steps()) == (404, before)


# --- Approve exactly what was read ---------------------------------------------------------------------------


def approve(world):
    row = world.own.objects["pending"]
    return row, f"/e/demo/requests/r{row.pk}/approve/"


def test_a_revision_that_is_not_the_current_one_is_not_approved(world, cast, as_, text):
    _, url = approve(world)
    before = steps()
    answer = as_(cast.approver).post(url, {"reason": "good", "digest": "0" * 64})
    assert answer.status_code == 409
    assert "changed after you read it" in text(answer)
    assert field(answer, "digest") == "0" * 64
    assert steps() == before


def test_the_form_names_the_revision_even_if_the_link_did_not(world, cast, as_):
    row, url = approve(world)
    client = as_(cast.approver)
    digest = Request.objects.get(pk=row.pk).revision.digest
    assert field(client.get(url), "digest") == digest
    assert field(client.get(url, {"digest": "older"}), "digest") == "older"
    assert client.post(url, {"digest": digest}).status_code == 303


def test_the_page_of_a_request_leads_to_the_approval_of_what_it_shows(world, cast, as_):
    row, url = approve(world)
    page = as_(cast.approver).get(f"/e/demo/requests/r{row.pk}/").content.decode()
    assert f'{url}?digest={Request.objects.get(pk=row.pk).revision.digest}"' in page


# --- Who is offered what --------------------------------------------------------------------------------------


def test_only_verbs_that_can_be_done_now_by_this_person_are_offered(world, cast):
    campaign, draft = world.own.objects["campaign"], world.own.objects["draft"]
    campaign.refresh_from_db()
    everything = frozenset(verb.rule for verb in VERBS)
    assert [v.name for v in offered("c", campaign, everything)] == [
        "release",
        "relaunch",
        "prioritise",
        "boost",
        "cancel",
        "limit_waste",
        "recover",
    ]
    assert [v.name for v in offered("c", campaign, frozenset({"watch"}))] == ["release", "relaunch"]
    assert offered("c", campaign, frozenset({"view"})) == []
    assert [v.name for v in offered("r", draft, everything)] == [
        "check", "file", "test", "clone", "withdraw", "prioritise",
    ]  # fmt: skip


# --- Many at once ---------------------------------------------------------------------------------------------

BULK = "/e/demo/campaigns/bulk/"


@pytest.fixture
def three(world, cast):
    """A running campaign that is held, an approved one, and one that is cancelled."""
    fresh = builders.approved_campaign(cast, builders.definition(campaign="fresh"))
    ended = builders.approved_campaign(cast, builders.definition(campaign="ended"))
    Campaign.objects.filter(pk=ended.pk).update(**{"state": "cancelled"})
    return world.own.objects["campaign"], fresh, ended


def keys(rows):
    return [f"c{row.pk}" for row in rows]


def test_each_campaign_is_answered_for_by_itself(three, cast, as_, text):
    answer = as_(cast.shifter).post(f"{BULK}hold/", {"ref": keys(three), "reason": "power cut"})
    assert answer.status_code == 200
    assert "Hold: 1 done, 2 refused" in text(answer)
    assert "It is cancelled; there is nothing to hold here." in text(answer)
    held = Hold.objects.filter(reason="power cut")
    assert [hold.campaign for hold in held] == [three[1]]


def test_a_verb_that_refuses_one_does_the_others(three, cast, as_, text):
    answer = as_(cast.operator).post(f"{BULK}prioritise/", {"ref": keys(three), "reason": "x", "rank": "500"})
    assert "Prioritise: 0 done, 3 refused" in text(answer)
    answer = as_(cast.operator).post(f"{BULK}prioritise/", {"ref": keys(three), "reason": "x", "rank": "77"})
    assert "Prioritise: 2 done, 1 refused" in text(answer)
    assert set(Campaign.objects.filter(rank=77)) == set(three[:2])


def test_references_of_another_experiment_are_left_alone(world, three, cast, as_, text):
    foreign = world.other.objects["campaign"]
    for who in (cast.shifter, cast.operator):
        before = Hold.objects.filter(campaign=foreign).count()
        refs = [*keys(three[1:2]), f"c{foreign.pk}", "c999999999", "r1", "c", "cx", "c" + "9" * 30, "c٣"]
        answer = as_(who).post(f"{BULK}hold/", {"ref": refs, "reason": "x"})
        assert answer.status_code == 200
        assert world.other.ref("campaign") not in text(answer)
        assert Hold.objects.filter(campaign=foreign).count() == before
    assert as_(cast.shifter).post(f"{BULK}hold/", {"ref": [f"c{foreign.pk}"], "reason": "x"}).status_code == 422


def test_all_means_all_that_fit_the_filters(three, cast, as_, text):
    client = as_(cast.shifter)
    asked = client.get(f"{BULK}hold/", {"all": "1", "state": "approved", "name_has": "fre"})
    assert "Hold: 1 campaign" in text(asked)
    assert f'name="ref" value="c{three[1].pk}"' in asked.content.decode()
    done = client.post(f"{BULK}hold/", {"all": "1", "state": "approved", "name_has": "fre", "reason": "all"})
    assert [hold.campaign for hold in Hold.objects.filter(reason="all")] == [three[1]]
    assert done.status_code == 200
    assert client.get(f"{BULK}hold/", {"all": "1", "name_has": "nosuch"}).status_code == 422
    assert client.get(f"{BULK}hold/", {"all": "1", "state": "asleep"}).status_code == 422
    assert client.post(f"{BULK}hold/", {"all": "1", "name_has": "a\0b", "reason": "x"}).status_code == 422


def test_nothing_chosen_is_refused(world, cast, as_, text):
    for answer in (as_(cast.shifter).get(f"{BULK}hold/"), as_(cast.shifter).post(f"{BULK}hold/", {"reason": "x"})):
        assert answer.status_code == 422
        assert "No campaign is chosen; go back and tick some." in text(answer)


def test_more_than_the_limit_is_refused_and_nothing_is_done(three, cast, as_, text, monkeypatch):
    monkeypatch.setattr(acting, "MOST_AT_ONCE", 2)
    before = steps()
    for asked in ({"ref": keys(three)}, {"all": "1"}):
        answer = as_(cast.shifter).post(f"{BULK}hold/", {**asked, "reason": "x"})
        assert answer.status_code == 422
        assert "More than 2 campaigns fit; narrow the list first. Nothing was changed." in text(answer)
    assert steps() == before
    assert as_(cast.shifter).post(f"{BULK}hold/", {"ref": keys(three[:2]), "reason": "x"}).status_code == 200


def test_many_without_a_reason_are_refused_and_stay_chosen(three, cast, as_, text):
    before = steps()
    answer = as_(cast.operator).post(f"{BULK}prioritise/", {"ref": keys(three), "reason": " ", "rank": "33"})
    assert answer.status_code == 422
    assert "reason : is empty" in text(answer)
    assert set(re.findall(r'name="ref" value="(c\d+)"', answer.content.decode())) == set(keys(three))
    assert field(answer, "rank") == "33"
    assert steps() == before
