"""A launch set-up is tried on its host by the real shim: what it prints, how it ends, and who may."""

from __future__ import annotations

import re
import time

import pytest

from campaigns.logic import editing, trying
from campaigns.models import SetupTrial
from core.errors import NotAllowed
from core.models import Transition

pytestmark = pytest.mark.django_db


def tried(cast, text: str) -> SetupTrial:
    setup = editing.keep_login_setup(cast.experiment, "far", by=cast.operator, setup=text)
    trial = trying.try_out(setup, by=cast.operator)
    deadline = time.monotonic() + 120
    while trying.looked_at(trial).passed is None:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return trial


@pytest.fixture(autouse=True)
def place(settings, tmp_path):
    settings.LOCAL_LAUNCHES = tmp_path / "launches"


def test_a_set_up_that_works_says_where_one_is_then(cast):
    trial = tried(cast, "export PATH=/usr/bin:/bin\ncd /\necho the set-up talks\n")
    assert (trial.passed, trial.exit_code, trial.version) == (True, 0, 1)
    assert "the set-up talks" in trial.text
    assert "folder    /\n" in trial.text
    # The submit wrapper stands before what the set-up says.
    assert re.search(r"^PATH +\S+/submit-\w+:/usr/bin:/bin$", trial.text, re.MULTILINE)
    assert SetupTrial.objects.get(pk=trial.pk).ended_at is not None
    assert Transition.objects.filter(kind="login_setup", verb="test").count() == 1


def test_one_that_fails_says_how(cast):
    trial = tried(cast, "echo no such module >&2\nexit 3\n")
    assert (trial.passed, trial.exit_code) == (False, 3)
    assert "no such module" in trial.text


def test_one_that_ends_the_shell_quietly_has_not_passed(cast):
    assert tried(cast, "exit 0\n").passed is False


def test_only_production_tries_one(cast):
    setup = editing.keep_login_setup(cast.experiment, "far", by=cast.operator)
    for who in ("experimenter", "approver", "shifter"):
        with pytest.raises(NotAllowed):
            trying.try_out(setup, by=cast.people[who])
    assert not SetupTrial.objects.exists()
