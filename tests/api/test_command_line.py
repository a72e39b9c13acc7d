"""The real `poms` command against the real site."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from experiments.logic import tokens
from tests import builders

POMS = Path(sys.executable).with_name("poms")
pytestmark = pytest.mark.django_db(transaction=True)


def poms(server, user, *words):
    _, secret = tokens.issue(user, "test")
    environment = {**os.environ, "POMS_URL": server.url, "POMS_TOKEN": secret, "NO_COLOR": "1"}
    return subprocess.run([POMS, *words], env=environment, capture_output=True, text=True, timeout=60)


def test_a_request_is_filed_approved_and_shown(real_cast, live_server, tmp_path):
    builders.login_setup(real_cast)
    text = tmp_path / "tiny.ini"
    text.write_text(builders.definition())
    words = ("request", "create", "-e", "demo", "-t", "tiny", "--production-stage", "mc", "-d", str(text), "--json")
    made = poms(live_server, real_cast.experimenter, *words)
    assert made.returncode == 0, made.stderr
    ref = json.loads(made.stdout)["ref"]
    assert poms(live_server, real_cast.experimenter, "request", "check", ref).returncode == 0
    assert poms(live_server, real_cast.experimenter, "request", "file", ref).returncode == 0
    refused = poms(live_server, real_cast.experimenter, "request", "approve", ref)
    assert refused.returncode == 3 and "approver" in refused.stderr
    approved = poms(live_server, real_cast.approver, "request", "approve", ref, "--reason", "fine", "--json")
    assert approved.returncode == 0, approved.stderr
    campaign = json.loads(approved.stdout)["campaign"]
    shown = poms(live_server, real_cast.guest, "campaign", "show", campaign)
    assert shown.returncode in (3, 4)
    shown = poms(live_server, real_cast.supervisor, "campaign", "show", campaign, "--json")
    assert json.loads(shown.stdout)["state"] == "approved"
    assert poms(live_server, real_cast.stranger, "campaign", "show", campaign).returncode == 4
    history = poms(live_server, real_cast.experimenter, "campaign", "history", campaign)
    assert history.returncode == 0 and "approved" in history.stdout, history.stderr


def test_a_definition_with_errors_is_refused_with_its_lines(real_cast, live_server, tmp_path):
    builders.login_setup(real_cast)
    text = tmp_path / "bad.ini"
    text.write_text(builders.definition().replace("nevents(2)", "nevents(0)"))
    words = ("request", "create", "-e", "demo", "-t", "bad", "--production-stage", "mc", "-d", str(text))
    made = poms(live_server, real_cast.experimenter, *words)
    assert made.returncode == 1
    assert "cs_split_type" in made.stderr and "at least 1" in made.stderr


def test_a_token_is_narrowed_from_the_command_line(real_cast, live_server):
    made = poms(live_server, real_cast.operator, "token", "create", "nightly", "--scope", "read", "--only-experiment",
                "demo", "--json")  # fmt: skip
    assert made.returncode == 0, made.stderr
    answer = json.loads(made.stdout)
    assert (answer["scopes"], answer["experiments"]) == (["view", "view_overview"], ["demo"])
    builders.service_account(real_cast, owner=real_cast.operator)
    robot = poms(live_server, real_cast.operator, "token", "create", "robot", "--for", "nightly@demo", "--json")
    assert json.loads(robot.stdout)["account"] == "nightly@demo", robot.stderr
    unknown = poms(live_server, real_cast.operator, "token", "create", "x", "--scope", "king")
    assert unknown.returncode == 1
    assert "unknown: king" in unknown.stderr
    listed = poms(live_server, real_cast.operator, "token", "list")
    assert "nightly@demo" in listed.stdout, listed.stderr
