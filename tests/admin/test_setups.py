"""Job types and launch set-ups: production edits, everybody sees, every edit is kept with what it changed."""

from __future__ import annotations

import threading

import pytest
from django.db import connection

from campaigns.logic import editing
from campaigns.models import JobType, LoginSetup, StageVersion
from core.errors import Conflict, Refused
from core.models import Transition
from tests import builders

TYPES, SETUPS = "/admin/campaigns/jobtype/", "/admin/campaigns/loginsetup/"


def body(row, **values):
    """Return what the form of a row would send."""
    if isinstance(row, LoginSetup):
        shown = {"host": row.host, "account": row.account, "setup": row.setup, "launcher": row.launcher,
                 "batch": row.batch}  # fmt: skip
    else:
        shown = {"launch_script": row.launch_script, "parameters": "", "output_file_patterns": "%"}
    return {**shown, "active": "on", "seen": row.fingerprint, "reason": "the new release", **values}


def test_an_edit_is_kept_with_its_reason_and_what_it_changed(cast, as_, text):
    setup = builders.login_setup(cast, setup="source old.sh\nexport A=1\n")
    url = f"{SETUPS}{setup.pk}/"
    answer = as_("operator").post(f"{url}change/", body(setup, setup="source new.sh\r\nexport A=1\r\n"))
    assert answer.status_code == 302
    setup.refresh_from_db()
    assert setup.setup == "source new.sh\nexport A=1\n"  # browsers send line ends that no shell understands
    assert setup.updated_by == cast.operator
    step = Transition.objects.get(kind="login_setup")
    assert (step.thing_id, step.actor, step.verb, step.target) == (setup.pk, "user:operator", "edit", "active")
    assert step.experiment_id == cast.experiment.pk
    assert step.reason.startswith("the new release\n\n--- setup before")
    for who in ("operator", "approver"):
        history = text(as_(who).get(f"{url}history/"))
        assert "the new release" in history
        assert '<span class="d-old">-source old.sh</span>' in history
        assert '<span class="d-new">+source new.sh</span>' in history


def test_one_that_is_made_begins_its_history(cast, as_, text):
    made = {"experiment": cast.experiment.pk, "name": "reco", "launch_script": "/bin/true",
            "parameters": '["-n", " 3"]\n["--tune=", "G18"]', "output_file_patterns": "%.root", "reason": "for reco"}  # fmt: skip
    assert as_("operator").post(f"{TYPES}add/", made).status_code == 302
    row = JobType.objects.get(name="reco")
    assert row.parameters == [["-n", " 3"], ["--tune=", "G18"]]
    assert "for reco" in text(as_("operator").get(f"{TYPES}{row.pk}/history/"))
    again = as_("operator").post(f"{TYPES}add/", made)
    assert "There is a job type reco already" in text(again)
    assert "for reco</textarea>" in text(again)
    shown = text(as_("operator").get(f"{TYPES}{row.pk}/change/"))
    assert "[&quot;-n&quot;, &quot; 3&quot;] [&quot;--tune=&quot;, &quot;G18&quot;]" in shown


def test_an_edit_that_came_between_is_not_overwritten(cast, as_, text):
    setup = builders.login_setup(cast)
    sent = body(setup, account="mine")
    editing.change_login_setup(setup, by=cast.operator, reason="theirs", account="theirs")
    answer = as_("operator").post(f"{SETUPS}{setup.pk}/change/", sent)
    assert "was changed after you opened it" in text(answer)
    assert 'value="mine"' in text(answer)
    setup.refresh_from_db()
    assert setup.account == "theirs"


def test_an_edit_that_changes_nothing_leaves_no_trace(cast, as_, text):
    setup = builders.login_setup(cast)
    assert "Nothing is different" in text(as_("operator").post(f"{SETUPS}{setup.pk}/change/", body(setup)))
    assert not Transition.objects.filter(kind="login_setup").exists()


def test_name_and_experiment_stay_whatever_is_posted(cast, as_):
    setup = builders.login_setup(cast)
    sent = body(setup, account="x", name="other", experiment=cast.other.pk)
    assert as_("operator").post(f"{SETUPS}{setup.pk}/change/", sent).status_code == 302
    setup.refresh_from_db()
    assert (setup.name, setup.experiment, setup.account) == ("local", cast.experiment, "x")


@pytest.mark.parametrize("wrong", [
    "[1, 2]", '["a"]', '["a", "b", "c"]', "{}", "nonsense", '["a", "\\u0000"]', '["a", "\\ud800"]', "[" * 5000,
    '["a", NaN]', "null",
])  # fmt: skip
def test_parameters_that_are_no_pairs_are_refused_and_stay_as_typed(cast, as_, text, wrong):
    row = JobType.objects.create(experiment=cast.experiment, name="known", launch_script="/bin/true")
    answer = as_("operator").post(f"{TYPES}{row.pk}/change/", body(row, parameters=wrong))
    assert answer.status_code == 200
    assert "Line 1 is no pair" in text(answer)
    assert wrong.replace('"', "&quot;") in text(answer)
    row.refresh_from_db()
    assert row.parameters == []


@pytest.mark.parametrize(("field", "value"), [
    ("launcher", "rsh"), ("batch", "abacus"), ("host", "h" * 300), ("setup", "x" * 64_001), ("setup", "a\0b"),
    ("reason", ""), ("reason", "r" * 4001),
])  # fmt: skip
def test_bad_input_is_answered_and_changes_nothing(cast, as_, field, value):
    setup = builders.login_setup(cast)
    answer = as_("operator").post(f"{SETUPS}{setup.pk}/change/", body(setup, account="x", **{field: value}))
    assert answer.status_code in (200, 400)
    setup.refresh_from_db()
    assert setup.account == ""


def test_a_running_campaign_is_not_touched_and_the_form_says_so(cast, as_, text):
    builders.approved_campaign(cast)
    setup = LoginSetup.objects.get()
    assert "A campaign that runs is not touched" in text(as_("operator").get(f"{SETUPS}{setup.pk}/change/"))
    assert as_("operator").post(f"{SETUPS}{setup.pk}/change/", body(setup, setup="exit 1")).status_code == 302
    assert set(StageVersion.objects.values_list("setup", flat=True)) == {""}


def test_who_may_look_sees_the_fields_and_why_they_are_locked(cast, as_, text):
    setup = builders.login_setup(cast, setup="source it")
    page = text(as_("approver").get(f"{SETUPS}{setup.pk}/change/"))
    assert "source it" in page
    assert "You may look, but not change: that needs the role operator in demo." in page
    assert 'name="_save"' not in page
    assert 'name="reason"' not in page


def test_one_that_is_put_away_is_no_longer_named_by_definitions(cast, as_):
    setup = builders.login_setup(cast)
    sent = {key: value for key, value in body(setup).items() if key != "active"}
    assert as_("operator").post(f"{SETUPS}{setup.pk}/change/", sent).status_code == 302
    with pytest.raises(Refused):
        builders.request(cast)
    step = Transition.objects.get(kind="login_setup")
    assert (step.source, step.target) == ("active", "inactive")


@pytest.mark.parametrize("reason", ["", "  \n "])
def test_the_verbs_ask_for_a_reason(cast, reason):
    setup = builders.login_setup(cast)
    with pytest.raises(Refused, match="needs a reason"):
        editing.change_login_setup(setup, by=cast.operator, reason=reason, account="x")


def test_of_two_edits_at_once_the_second_is_refused(real_cast):
    setup = builders.login_setup(real_cast)
    seen, told, ready = setup.fingerprint, [], threading.Barrier(2)

    def edit(name: str) -> None:
        ready.wait(5)
        try:
            editing.change_login_setup(setup, by=real_cast.operator, reason="mine", seen=seen, account=name)
            told.append("done")
        except Conflict:
            told.append("refused")
        finally:
            connection.close()

    threads = [threading.Thread(target=edit, args=(name,)) for name in ("one", "two")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert sorted(told) == ["done", "refused"]
    assert Transition.objects.filter(kind="login_setup").count() == 1


def test_an_administrator_gives_an_experiment_another_share(world, cast, as_):
    share = world.own.objects["share"]
    place = f"/admin/submissions/share/{share.pk}/change/"
    assert as_("operator").post(place, {"weight": "5", "reason": "more for us"}).status_code == 403
    refused = as_("administrator").post(place, {"weight": "5000", "reason": "all of it"})
    assert "1000" in refused.content.decode()
    share.refresh_from_db()
    assert share.weight == 2
    assert as_("administrator").post(place, {"weight": "5", "reason": "the conference"}).status_code == 302
    share.refresh_from_db()
    assert share.weight == 5
    step = Transition.objects.get(kind="experiment", thing_id=cast.experiment.pk, verb="share")
    assert (step.actor, step.reason) == ("user:administrator", "share 2 → 5: the conference")
    assert "share 2 → 5" in as_("administrator").get(f"/admin/submissions/share/{share.pk}/history/").content.decode()
