"""What is kept by name has versions: each edit one, none changed, any restored as the next."""

from __future__ import annotations

import pytest

from campaigns.logic import editing, keeping
from campaigns.models import JobType, Version
from core.errors import Refused
from tests import builders

pytestmark = pytest.mark.django_db


def told(row) -> list[tuple[int, str, str]]:
    return [(v.number, v.reason, v.values["launch_script"]) for v in keeping.versions(row)]


def test_every_edit_is_a_version_and_an_older_one_can_be_said_again(cast):
    row = editing.keep_job_type(cast.experiment, "reco", by=cast.operator, reason="needed", launch_script="one")
    row = editing.change_job_type(row, by=cast.operator, reason="better", launch_script="two")
    editing.change_job_type(row, by=cast.operator, reason="worse", launch_script="three", output_file_patterns="%.root")
    back = keeping.restore(row, 1, by=cast.people["administrator"], reason="", edit=editing.change_job_type)
    assert (back.launch_script, back.output_file_patterns) == ("one", "%")
    assert told(row) == [(4, "as version 1", "one"), (3, "worse", "three"), (2, "better", "two"), (1, "needed", "one")]
    assert keeping.versions(row)[0].by.username == "administrator"


def test_one_that_was_made_before_versions_were_kept_begins_with_what_stood(cast):
    row = JobType.objects.create(experiment=cast.experiment, name="old", launch_script="one", updated_by=cast.operator)
    assert told(row) == []
    editing.change_job_type(row, by=cast.operator, reason="better", launch_script="two")
    assert told(row) == [(2, "better", "two"), (1, "as it stood", "one")]


def test_an_edit_that_is_refused_makes_no_version(cast):
    row = builders.login_setup(cast, "far")
    for values in ({"host": row.host}, {"launcher": "nosuch"}):
        with pytest.raises(Refused):
            editing.change_login_setup(row, by=cast.operator, reason="so", **values)
    with pytest.raises(Refused):
        keeping.restore(row, 5, by=cast.operator, reason="so", edit=editing.change_login_setup)
    assert not Version.objects.filter(kind="login_setup", thing_id=row.pk).exists()
