"""The page "How to add a check", followed once for each of the three: of a request, of a stage's end, of a service."""

from __future__ import annotations

import os
import time

import pytest

from approvals import checks
from approvals.checks import PASS, WARN, Facts
from campaigns import completion, definition
from core.errors import Refused
from integrations import errors, serving
from integrations.models import Service
from integrations.probes.base import DOWN, UP, Asked
from integrations.probes.kinds import PROBES
from submissions.logic import checking
from submissions.models import Hold
from tests import builders
from tests.approvals.desk import filed, line
from tests.how_to import at_most, fresh
from tests.how_to.fresh import Fresh
from tests.how_to.seeds import Seeds

# --- Of a request: a class in CHECKS ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "results"),
    [
        (builders.definition(), [PASS]),
        (builders.definition().replace("seed=7\n", ""), [WARN]),
        (builders.definition(stages="[campaign_stage reco]\ndataset_or_split_data=raw\n"), []),
    ],
)
def test_a_stage_that_generates_says_its_seed(text, results):
    assert [found.result for found in Seeds().lines(Facts(definition.parse(text).definition))] == results


@pytest.mark.django_db
def test_the_report_of_a_request_has_its_line(cast, monkeypatch):
    monkeypatch.setattr(checks, "CHECKS", (*checks.CHECKS, Seeds()))
    found = line(filed(cast, builders.definition().replace("seed=7\n", "")), "seeds")
    assert (found.result, found.text) == (WARN, "no seed is said of gen")
    assert "seed=7" in found.hint


# --- Of a stage's end: a row of CRITERIA --------------------------------------------------------------------------


@pytest.fixture
def criterion(monkeypatch) -> None:
    monkeypatch.setitem(completion.CRITERIA, "at_most", at_most.ROW["at_most"])


@pytest.mark.parametrize(("outputs", "met"), [(0, True), (500, True), (501, False)])
def test_too_many_outputs_fail_the_stage(criterion, outputs, met):
    verdict = completion.judge(completion.read("as_many, at_most(500)"), completion.Facts(0, 0, outputs=outputs))
    assert verdict.met is met
    assert f"{outputs} output files, at most 500 are wanted" in verdict.text


@pytest.mark.parametrize("text", ["at_most", "at_most(0)", "at_most(many)"])
def test_a_criterion_that_cannot_be_is_refused(criterion, text):
    with pytest.raises(ValueError, match="at_most needs a number"):
        completion.read(text)


def test_a_definition_may_ask_for_it(criterion):
    text = builders.definition().replace("seed=7", "seed=7\ncompletion=at_most(500)")
    parsed = definition.parse(text + "[login_setup local]\n")
    assert list(parsed.errors) == [] and definition.check(parsed.definition) == []
    assert parsed.definition.stages[0].completion == "at_most(500)"


def test_without_its_row_nobody_knows_it():
    with pytest.raises(ValueError, match="there is no criterion at_most"):
        completion.read("at_most(500)")


# --- Of a service: a row of PROBES --------------------------------------------------------------------------------


@pytest.fixture
def probe(monkeypatch) -> None:
    monkeypatch.setitem(PROBES, "fresh", fresh.ROW["fresh"])


def aged(path, minutes: float):
    path.touch()
    os.utime(path, (time.time() - 60 * minutes,) * 2)
    return path


def test_a_look_is_up_down_or_no_look(tmp_path):
    beat = tmp_path / "beat"
    looking = Fresh(Asked(None, {"path": str(beat), "minutes": "5"}))
    assert looking.look(was_down=False).status == DOWN
    aged(beat, 3)
    assert looking.look(was_down=False).status == UP
    aged(beat, 8)
    found = looking.look(was_down=False)
    assert (found.status, found.said, found.figures) == (DOWN, "it was written 8 min ago", {"minutes": 8})
    with pytest.raises(errors.Unavailable):
        Fresh(Asked(None, {"path": str(beat / "below"), "minutes": "5"})).look(was_down=False)


@pytest.mark.django_db
def test_a_service_is_entered_and_gates_by_its_row_alone(cast, probe, tmp_path):
    beat = aged(tmp_path / "beat", 60)
    row = serving.add(cast.experiment, "transfers", "fresh", settings={"path": str(beat)}, gates="everything",
                      by=cast.administrator, reason="reco waits for what they bring")  # fmt: skip
    assert checking.check_some() == 1
    row = Service.objects.get(pk=row.pk)
    assert (row.state, row.said) == ("down", "it was written 60 min ago")
    assert Hold.objects.filter(service=row, released_at=None).count() == 1


@pytest.mark.django_db
def test_wrong_settings_are_refused_where_they_are_entered(cast, probe):
    with pytest.raises(Refused) as raised:
        serving.add(
            cast.experiment, "transfers", "fresh", settings={"minutes": "often"}, by=cast.administrator, reason="x"
        )
    assert {problem.field for problem in raised.value.problems} == {"settings.path", "settings.minutes"}


@pytest.mark.django_db
def test_the_page_of_the_service_says_what_looks_at_it(cast, probe, tmp_path, client):
    row = serving.add(cast.experiment, "transfers", "fresh", settings={"path": str(tmp_path / "beat")},
                      by=cast.administrator, reason="x")  # fmt: skip
    client.force_login(cast.operator)
    page = client.get(f"/e/demo/services/v{row.pk}/").content.decode()
    assert "a file is written again and again" in page
