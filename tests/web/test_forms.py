"""The form of a request: what is wrong is said at its field, nothing typed is lost, and nothing is written."""

from __future__ import annotations

import re
from html import unescape

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from approvals.forms import LARGEST_TEXT
from approvals.logic import customising, filing
from approvals.models import CheckLine, Request, Sketch
from campaigns.models import Campaign, Revision
from core.models import Transition
from poms_site.seeding import EXAMPLE
from tests import builders

pytestmark = pytest.mark.django_db
NEW = "/e/demo/requests/new/"


def rows():
    return {model: model.objects.count() for model in (Request, Transition, CheckLine, Campaign, Revision)}


def shown(answer, name):
    """Return what a field of the form shows as its value."""
    page = answer.content.decode()
    area = re.search(rf'<textarea[^>]*name="{name}"[^>]*>\n?(.*?)</textarea>', page, re.DOTALL)
    if area:
        return unescape(area[1])
    if select := re.search(rf'<select[^>]*name="{name}".*?</select>', page, re.DOTALL):
        chosen = re.search(r'<option value="([^"]*)" selected>', select[0])
        return unescape(chosen[1]) if chosen else ""
    value = re.search(r'value="([^"]*)"', re.search(rf'<input[^>]*name="{name}"[^>]*>', page)[0])
    return unescape(value[1]) if value else ""


def wrong(answer, name):
    """Return what is said at a field."""
    found = re.findall(rf'<p class="wrong" id="id_{name}_error">(.*?)</p>', answer.content.decode(), re.DOTALL)
    return unescape(" ".join(found))


@pytest.fixture
def typed(cast):
    """What somebody types who makes no mistake."""
    builders.login_setup(cast)
    return {
        "title": "my <b>first</b> & best", "production_stage": "mc", "definition": builders.definition(), "priority": "70",
        "hours_per_file": "0.5", "dataset": "", "release": "v1_0", "special": "to \"tape\"", "free_text": "please",
    }  # fmt: skip


@pytest.fixture
def person(cast, as_):
    return as_(cast.experimenter)


def test_a_request_is_made_by_the_form(cast, person, typed):
    assert shown(person.get(NEW), "priority") == "50"
    answer = person.post(NEW, typed)
    row = Request.objects.get()
    assert (answer.status_code, answer["Location"]) == (303, f"/e/demo/requests/r{row.pk}/")
    assert (row.title, row.production_stage, row.priority, row.hours_per_file) == (typed["title"], "mc", 70, 0.5)
    assert (row.release, row.special, row.free_text) == ("v1_0", 'to "tape"', "please")
    assert (row.requester, row.state, row.definition) == (cast.experimenter, "draft", typed["definition"])
    assert row.checks.exists()
    page = person.get(answer["Location"]).content.decode()
    assert f"demo/r{row.pk} is kept as a draft. Read its checks, then file it." in page
    assert "my &lt;b&gt;first&lt;/b&gt; &amp; best" in page
    assert "<b>first</b>" not in page


def test_what_is_optional_may_be_left_out(person, typed):
    asked = {name: typed[name] for name in ("title", "production_stage", "definition")}
    assert person.post(NEW, asked).status_code == 303
    row = Request.objects.get()
    assert (row.priority, row.hours_per_file, row.dataset, row.release) == (50, None, "", "")


def test_line_ends_of_a_browser_are_those_of_a_text(person, typed):
    assert person.post(NEW, {**typed, "definition": typed["definition"].replace("\n", "\r\n")}).status_code == 303
    row = Request.objects.get()
    assert row.definition == typed["definition"]
    steps = Transition.objects.filter(verb="edit").count()
    same = {**typed, "definition": row.definition.replace("\n", "\r\n")}
    assert person.post(f"/e/demo/requests/r{row.pk}/edit/", same).status_code == 303
    assert Transition.objects.filter(verb="edit").count() == steps


BAD = [
    ("title", "", "title", "required"),
    ("title", "x" * 201, "title", "200"),
    ("title", "a\0b", "title", "Null characters"),
    ("production_stage", "nosuch", "production_stage", "nosuch is not one of the available choices"),
    ("priority", "101", "priority", "100"),
    ("priority", "-1", "priority", "0"),
    ("priority", "high", "priority", "whole number"),
    ("hours_per_file", "nan", "hours_per_file", "number"),
    ("hours_per_file", "inf", "hours_per_file", "number"),
    ("hours_per_file", "-0.5", "hours_per_file", "0"),
    ("definition", "", "definition", "required"),
    ("definition", "[campaign]\nexperiment=demo\nname=x\nnonsense\n", "definition", "line 4: "),
    ("definition", "a\0b", "definition", "Null characters"),
    ("definition", "#" * (LARGEST_TEXT + 1), "definition", "262144"),
    ("dataset", "no_such_dataset", "dataset", "no_such_dataset"),
    ("dataset", "a\0b", "dataset", "Null characters"),
    ("free_text", "x" * 8001, "free_text", "8000"),
]


@pytest.mark.parametrize(("name", "value", "field", "said"), BAD, ids=[f"{n}-{v[:8]!r}" for n, v, _, _ in BAD])
def test_what_is_wrong_is_said_at_its_field_and_nothing_typed_is_lost(person, typed, name, value, field, said):
    before, given = rows(), {**typed, name: value}
    answer = person.post(NEW, given)
    assert answer.status_code == 422
    assert said in wrong(answer, field), answer.content.decode()
    for entry, text in given.items():
        if (entry, value) != ("production_stage", "nosuch") and "\0" not in text:
            assert shown(answer, entry) == text, entry
    assert rows() == before
    assert b'role="alert"' in answer.content


def test_several_mistakes_are_said_at_once(person, typed):
    answer = person.post(NEW, {**typed, "title": "", "priority": "500", "hours_per_file": "x"})
    assert answer.status_code == 422
    assert all(wrong(answer, name) for name in ("title", "priority", "hours_per_file"))


def test_a_mistake_of_the_definition_is_said_with_its_line(person, typed):
    text = typed["definition"].replace("stage_type=generator", "stage_type=generator\ncompletion_pct=many")
    line = text.splitlines().index("completion_pct=many") + 1
    answer = person.post(NEW, {**typed, "definition": text})
    assert answer.status_code == 422
    assert f"line {line}: " in wrong(answer, "definition")


# --- Files ----------------------------------------------------------------------------------------------------


def test_a_file_is_read_instead_of_the_text(person, typed):
    given = {**typed, "definition": "", "definition_file": SimpleUploadedFile("a.ini", typed["definition"].encode())}
    assert person.post(NEW, given).status_code == 303
    assert Request.objects.get().definition == typed["definition"]


FILES = [
    (b"\xff\xfe\x00broken", "no text in UTF-8"),
    (b"#" * (LARGEST_TEXT + 1), "larger than 256 KiB"),
    (("#" + "é" * LARGEST_TEXT).encode(), "larger than 256 KiB"),
    (("é" * LARGEST_TEXT).encode(), "larger than 256 KiB"),
    (b"[campaign]\nname=a\x00b\n", "NUL"),
]


@pytest.mark.parametrize(("content", "said"), FILES, ids=["not-utf8", "huge", "huge-odd", "huge-letters", "nul"])
def test_a_file_that_is_no_definition_is_refused(person, typed, content, said):
    before = rows()
    answer = person.post(NEW, {**typed, "definition_file": SimpleUploadedFile("a.ini", content)})
    assert answer.status_code == 422
    assert said in wrong(answer, "definition_file")
    assert [shown(answer, name) for name in ("title", "definition")] == [typed["title"], typed["definition"]]
    assert rows() == before


def test_a_file_with_mistakes_is_shown_as_text_so_that_it_can_be_mended(person, typed):
    text = "[campaign]\nexperiment=demo\nname=x\nnonsense\n"
    given = {**typed, "definition": "", "definition_file": SimpleUploadedFile("a.ini", text.encode())}
    answer = person.post(NEW, given)
    assert answer.status_code == 422
    assert "line 4: " in wrong(answer, "definition")
    assert shown(answer, "definition") == text


# --- Edit and clone ----------------------------------------------------------------------------------------------


def test_a_draft_is_changed_by_the_form(cast, person, typed):
    row = builders.request(cast)
    address = f"/e/demo/requests/r{row.pk}/edit/"
    assert shown(person.get(address), "title") == "tiny"
    assert shown(person.get(address), "definition") == row.definition
    assert person.post(address, {**typed, "title": "another"}).status_code == 303
    row.refresh_from_db()
    assert (row.title, row.priority) == ("another", 70)
    assert "title" in Transition.objects.get(verb="edit").reason


def test_production_corrects_a_draft_of_somebody_else(cast, as_, typed):
    row = builders.request(cast)
    assert as_(cast.operator).post(f"/e/demo/requests/r{row.pk}/edit/", typed).status_code == 303
    row.refresh_from_db()
    assert (row.title, row.requester) == (typed["title"], cast.experimenter)


def test_a_request_that_was_filed_meanwhile_is_not_changed_and_the_text_is_kept(cast, world, person, typed):
    row = world.own.objects["pending"]
    address, before = f"/e/demo/requests/r{row.pk}/edit/", rows()
    assert 'value="filed"' in person.get(address).content.decode()
    answer = person.post(address, {**typed, "opened": "open"})
    assert answer.status_code == 409
    assert "is pending approval meanwhile" in answer.content.decode()
    assert shown(answer, "title") == typed["title"]
    assert shown(answer, "definition") == typed["definition"]
    assert rows() == before


def test_what_was_filed_gets_another_definition_and_nothing_else(cast, world, person):
    row = world.own.objects["pending"]
    address, text = f"/e/demo/requests/r{row.pk}/edit/", row.definition.replace("seed=7", "seed=11")
    page = person.get(address).content.decode()
    assert 'name="title"' not in page
    answer = person.post(address, {"opened": "filed", "definition": text, "title": "smuggled"})
    assert answer.status_code == 303
    row.refresh_from_db()
    assert (row.state, row.definition, row.title, row.revision.number) == ("pending_approval", text, "tiny", 2)


def test_what_is_typed_is_saved_and_told_what_it_comes_to(cast, world, person, typed):
    answer = person.post("/e/demo/requests/look/", {**typed, "definition": "[campaign]\nname=x\n"})
    page = answer.content.decode()
    assert answer.status_code == 200
    assert "there is no stage" in page
    sketch = Sketch.objects.get()
    assert (sketch.user, sketch.fields["title"]) == (cast.experimenter, typed["title"])
    again = person.post("/e/demo/requests/look/", {**typed, "sketch": str(sketch.pk)}).content.decode()
    assert "nothing is missing" in again or "To mend" in again
    assert "4 jobs" in again or "<dt>jobs</dt><dd>4 + 1</dd>" in again
    assert Sketch.objects.count() == 1
    form = person.get(f"{NEW}?sketch={sketch.pk}")
    assert shown(form, "title") == typed["title"]
    made = person.post(NEW, {**typed, "sketch": str(sketch.pk)})
    assert made.status_code == 303
    assert not Sketch.objects.exists()


def test_a_form_that_is_only_opened_saves_nothing(person, typed):
    assert person.post("/e/demo/requests/look/", {**typed, "peek": "1"}).status_code == 200
    assert not Sketch.objects.exists()


def test_nobody_sees_what_somebody_else_is_typing(cast, world, person, typed, as_):
    person.post("/e/demo/requests/look/", typed)
    sketch = Sketch.objects.get()
    other = as_(cast.analyser)
    assert other.get(f"{NEW}?sketch={sketch.pk}").status_code == 404
    assert typed["title"] not in other.get(NEW).content.decode()
    assert other.post(f"/e/demo/requests/sketches/{sketch.pk}/drop/").status_code == 303
    assert Sketch.objects.filter(pk=sketch.pk).exists()


def test_a_request_begins_with_a_template_and_what_it_leaves_open(cast, world, person, typed):
    text = builders.definition().replace("name=tiny", "name=requested").replace("events=4", "events=requested")
    customising.keep_template(
        cast.experiment, "mc", by=cast.operator, title="Generate", definition=text, production_stage="mc"
    )
    assert "Generate" in person.get(NEW).content.decode()
    assert shown(person.get(f"{NEW}?template=mc"), "definition") == text
    assert person.get(f"{NEW}?template=nonesuch").status_code == 404
    refused = person.post(NEW, {**typed, "definition": text})
    assert refused.status_code == 422
    assert "the definition leaves the events to the request" in unescape(refused.content.decode())
    assert person.post(NEW, {**typed, "definition": text, "events": "8", "title": "Eight events"}).status_code == 303
    row = Request.objects.order_by("-pk").first()
    filed = filing.file(row, by=cast.experimenter)
    assert (filed.campaign.name, "events=8" in filed.revision.text) == ("eight-events", True)


def test_a_new_request_begins_as_another_or_as_the_example(cast, world, person):
    row = world.own.objects["done"]
    assert shown(person.get(f"{NEW}?from=r{row.pk}"), "definition") == row.definition
    assert shown(person.get(f"{NEW}?from=demo/r{row.pk}"), "title") == row.title
    assert shown(person.get(f"{NEW}?from=example"), "definition") == EXAMPLE.read_text()
    assert person.get(f"{NEW}?from={world.other.ref('draft').rpartition('/')[2]}").status_code == 404
    for nonsense in ("j1", "r", "r1x", "r" + "1" * 30, "rx"):
        assert person.get(f"{NEW}?from={nonsense}").status_code == 422, nonsense
