"""The editor's page and what its script asks: verbs on a text, refusals, garbage, saving, joining, five hundred stages."""

from __future__ import annotations

import json

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from campaigns import queries
from campaigns.definition import document
from campaigns.definition.values import STAGE
from campaigns.logic import drafting
from poms_site.overview.editor_graph import CHOICES
from tests import builders

pytestmark = pytest.mark.django_db
TEXT = builders.definition(campaign="drawn")


@pytest.fixture
def drawn(cast):
    """A draft of the experimenter, saved once."""
    builders.login_setup(cast)
    looked = drafting.look(cast.experiment, TEXT, by=cast.experimenter)
    return drafting.import_text(cast.experiment, looked, by=cast.experimenter).campaign


@pytest.fixture
def page(drawn):
    return reverse("campaign-editor", args=["demo", f"c{drawn.pk}"])


@pytest.fixture
def look(cast, as_):
    """Ask as the experimenter."""
    browser = as_(cast.experimenter)

    def asked(body, status=200):
        sent = body if isinstance(body, (str, bytes)) else json.dumps(body)
        answer = browser.post(reverse("editor-look", args=["demo"]), sent, content_type="application/json")
        assert answer.status_code == status, answer.content[:300]
        return answer.json()

    return asked


def test_its_owner_edits(cast, as_, page, drawn):
    answer = as_(cast.experimenter).get(page)
    assert answer.status_code == 200
    assert answer.context["edits"]
    body = answer.content.decode()
    assert 'data-edits="yes"' in body and "Ask for approval" in body and f"?from=c{drawn.pk}" in body
    assert "[campaign_stage gen]" in body
    assert "<script>" not in body and " style=" not in body.partition("<main")[2]


def test_who_may_not_edit_reads_why(cast, as_, page, text):
    answer = as_(cast.shifter).get(page)
    assert answer.status_code == 200
    assert not answer.context["edits"]
    assert "experimenter&#x27;s" in text(answer)
    assert 'id="ed-save"' not in answer.content.decode()


def test_an_older_revision_is_a_beginning(cast, as_, page, drawn):
    drafting.save(drawn, TEXT.replace("events=4", "events=6"), by=cast.experimenter)
    answer = as_(cast.experimenter).get(page, {"revision": "1"})
    assert answer.context["text"] == TEXT
    assert answer.context["base"] == 2
    assert as_(cast.experimenter).get(page, {"revision": "x"}).context["base"] == 2


def test_a_save_is_the_next_revision(cast, as_, page, drawn):
    wanted = TEXT.replace("events=4", "events=6")
    sent = {"text": wanted.replace("\n", "\r\n"), "base": "1", "note": "more"}
    answer = as_(cast.experimenter).post(page, sent, follow=True)
    assert "Saved as revision 2" in answer.content.decode()
    last = queries.newest(drawn)
    assert (last.number, last.source, last.note, last.state) == (2, wanted, "more", "draft")


@pytest.mark.parametrize(
    ("sent", "says"), [(TEXT, "Nothing is different"), ("x", "no definition"), ("", "no definition")]
)
def test_what_is_not_kept_is_said_with_the_text_as_it_was_typed(cast, as_, page, drawn, text, sent, says):
    answer = as_(cast.experimenter).post(page, {"text": sent, "base": "1", "note": "why"})
    assert answer.status_code == 422
    assert says in text(answer)
    assert (answer.context["text"], answer.context["note"]) == (sent, "why")
    assert 'data-saved="no"' in answer.content.decode()
    assert queries.newest(drawn).number == 1


def test_somebody_elses_campaign_is_not_saved(cast, as_, page, drawn):
    answer = as_(cast.shifter).post(page, {"text": TEXT + "# mine\n", "base": "1"})
    assert answer.status_code == 403
    assert queries.newest(drawn).number == 1


def both(cast, drawn, mine, theirs):
    """Somebody saves meanwhile; return both texts."""
    drafting.save(drawn, theirs, by=cast.operator, note="meanwhile")
    return {"text": mine, "base": "1", "note": "both"}


def test_changes_at_different_places_are_joined_and_shown(cast, as_, page, drawn):
    theirs = TEXT.replace("seed=7", "seed=8")
    sent = both(cast, drawn, TEXT.replace("events=4", "events=6"), theirs)
    answer = as_(cast.experimenter).post(page, sent)
    assert answer.status_code == 409
    assert answer.context["conflicts"] == ()
    assert answer.context["base"] == 2
    assert answer.context["text"] == theirs.replace("events=4", "events=6")
    assert queries.newest(drawn).number == 2, "nothing is kept before it was looked at"


def test_what_both_changed_is_chosen_and_kept(cast, as_, page, drawn):
    mine = TEXT.replace("events=4", "events=6").replace("seed=7", "seed=9")
    sent = both(cast, drawn, mine, TEXT.replace("seed=7", "seed=8"))
    browser = as_(cast.experimenter)
    answer = browser.post(page, sent)
    assert [conflict.where for conflict in answer.context["conflicts"]] == ["[campaign_stage gen] seed"]
    body = answer.content.decode()
    assert 'name="choose [campaign_stage gen] seed"' in body and 'name="read" value="2"' in body
    chosen = {**sent, "choose [campaign_stage gen] seed": "mine", "read": "2"}
    assert browser.post(page, chosen).status_code == 303
    assert queries.newest(drawn).source == mine


def test_who_saves_while_one_chooses_is_not_overwritten(cast, as_, page, drawn):
    sent = both(cast, drawn, TEXT.replace("seed=7", "seed=9"), TEXT.replace("seed=7", "seed=8"))
    drafting.save(drawn, TEXT.replace("seed=7", "seed=10"), by=cast.operator)
    answer = as_(cast.experimenter).post(page, {**sent, "choose [campaign_stage gen] seed": "mine", "read": "2"})
    assert answer.status_code == 409
    assert queries.newest(drawn).number == 3


def test_their_side_for_everything_is_nothing_new(cast, as_, page, drawn, text):
    sent = both(cast, drawn, TEXT.replace("seed=7", "seed=9"), TEXT.replace("seed=7", "seed=8"))
    answer = as_(cast.experimenter).post(page, {**sent, "choose [campaign_stage gen] seed": "theirs", "read": "2"})
    assert answer.status_code == 409
    assert "Nothing is different" in text(answer)


# --- What the script asks -------------------------------------------------------------------------------------


def test_a_look_has_the_drawing_complaints_sections_and_where_values_come_from(look, drawn):
    found = look({"text": TEXT, "stage": "gen"})
    assert [stage["name"] for stage in found["graph"]["stages"]] == ["gen", "sum"]
    assert [(edge["from"], edge["to"], edge["pattern"]) for edge in found["graph"]["edges"]] == [("gen", "sum", "%")]
    assert found["problems"] == []
    assert {(one["kind"], one["name"]) for one in found["sections"]} == {
        ("campaign", ""), ("campaign_defaults", ""), ("job_type", "tiny")}  # fmt: skip
    assert found["stage"]["own"]["events"] == "4"
    by_key = {why["key"]: why for why in found["stage"]["keys"]}
    assert by_key["memory_mb"]["layer"] == "campaign defaults"
    assert by_key["memory_mb"]["beneath"][0] == ["POMS", "2000"]


def test_without_a_name_the_defaults_are_explained(look, drawn):
    found = look({"text": TEXT, "stage": ""})
    assert found["stage"]["own"] == {}
    assert {why["layer"] for why in found["stage"]["keys"]} == {"POMS", "campaign defaults"}


def test_parameters_of_a_job_type_in_the_text_count(look, drawn):
    found = look({"text": TEXT.replace("launch_script", 'parameters=[["--x ", "1"]]\nlaunch_script'), "stage": "gen"})
    assert [(row["key"], row["layer"]) for row in found["stage"]["parameters"]] == [("--x ", "job type")]


def test_a_verb_changes_the_text_and_nothing_is_kept(look, drawn):
    found = look({"text": TEXT, "op": {"verb": "add", "name": "ana", "parent": "sum"}, "stage": "ana"})
    assert "[campaign_stage ana]" in found["text"]
    assert found["stage"]["name"] == "ana" and "dataset_or_split_data" in found["stage"]["own"]
    assert queries.newest(drawn).number == 1


@pytest.mark.parametrize(
    ("op", "says"),
    [({"verb": "add", "name": "gen"}, "there is a stage gen"), ({"verb": "fly"}, "unknown: fly"),
     ({"verb": "set", "kind": "job_type", "key": "nosuch", "name": "tiny"}, "is not set"),
     ({"verb": "connect", "from": "gen", "to": 3}, "expected a text")],
)  # fmt: skip
def test_a_verb_that_cannot_be_done_leaves_the_text(look, op, says):
    found = look({"text": TEXT, "op": op})
    assert found["text"] == TEXT
    assert says in str(found["refused"])


@pytest.mark.parametrize("body", [b"\xff", "", "[]", "3", "{}", '{"text": 3}', '{"text": "", "op": 7}', "null"])
def test_garbage_is_answered_so(look, body):
    assert "Expected" in look(body, 422)["detail"]


@pytest.mark.parametrize("text", ["", "[campaign", "\0", "[campaign]\n" * 3, "x" * 300_000])
def test_any_text_is_looked_at(look, text):
    found = look({"text": text, "stage": "gen"})
    assert not found["ready"]
    assert found["problems"]


def large(number: int) -> str:
    stages = "".join(
        f"[campaign_stage s{n}]\ndataset_or_split_data=from_parent\ncs_split_type=None\n" for n in range(1, number)
    )
    feeds = "".join(f"[dependencies s{n}]\ncampaign_stage_1=s{(n - 1) // 3}\n" for n in range(1, number))
    first = "[campaign_stage s0]\nstage_type=generator\nevents=4\ncs_split_type=nevents(2)\n"
    return builders.definition(stages=f"{first}{stages}{feeds}", campaign="large")


def test_five_hundred_stages_are_looked_at_with_as_few_statements_as_two(look, drawn):
    counts = []
    for text, stage in ((TEXT, "gen"), (large(500), "s4")):
        with CaptureQueriesContext(connection) as captured:
            found = look({"text": text, "stage": stage})
        counts.append(len(captured))
    assert len(found["graph"]["stages"]) == 500
    assert counts[0] == counts[1]


def test_many_stages_are_changed_at_once(look, drawn, monkeypatch):
    names = [f"s{n}" for n in range(500)]
    asked = []
    reading = document.read
    monkeypatch.setattr(document, "read", lambda text: asked.append(1) or reading(text))
    found = look(
        {
            "text": large(500),
            "op": {"verb": "set", "kind": "campaign_stage", "stages": names, "key": "wall_s", "value": "70"},
        }
    )
    moved = look(
        {"text": found["text"], "op": {"verb": "move", "places": {name: [n, n] for n, name in enumerate(names)}}}
    )
    assert found["text"].count("wall_s=70\n") == 500
    assert all(stage["placed"] for stage in moved["graph"]["stages"])
    fewer = look({"text": moved["text"], "op": {"verb": "remove", "stages": names[100:]}})
    more = look({"text": moved["text"], "op": {"verb": "add", "name": "new", "number": 100, "parent": "s7"}})
    assert [len(answer["graph"]["stages"]) for answer in (fewer, more)] == [100, 600]
    assert {edge["to"] for edge in fewer["graph"]["edges"]} == set(names[1:100])
    assert len([edge for edge in more["graph"]["edges"] if edge["from"] == "s7"]) == 103
    assert len(asked) < 40, "a text is read a few times for a verb, not once for each stage"


def test_what_is_offered_to_choose_can_be_read():
    for key, words in CHOICES.items():
        for word in words:
            STAGE[key][1](word)
