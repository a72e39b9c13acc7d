"""Who may make which old call: the same roles as for our own verbs, by token or certificate only, never by a session."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote

import pytest
from django.contrib.auth.models import AnonymousUser
from django.db import transaction
from django.test import Client
from rest_framework.test import APIClient

from core.models import Transition
from experiments.logic import service_accounts, tokens
from experiments.logic.tokens import narrowed
from poms_site.old_calls.table import CALLS, GONE
from submissions.logic import planning
from submissions.models import Batch, Submission
from tests import builders
from tests.contracts.who import holds

pytestmark = pytest.mark.django_db

# call · permission · whether it may come by GET · its fields; {…} are the numbers of things in the world
TABLE = """
get_submission_id_for        operate       get   campaign_stage_id={stage}&command_executed=x
get_task_id_for              operate       get   task_id={running}&command_executed=x
update_submission            operate       get   submission_id={running}&status=Running
submission_details           view          get   submission_id={running}&fmt=json
campaign_stage_submissions   view          get   campaign_id={campaign}
session_status_history       view          get   submission_id={running}
show_campaigns               view          get   experiment={experiment}
show_campaign_stages         view          get   experiment={experiment}
get_campaign_id              view          get   experiment={experiment}&campaign_name=third
get_campaign_name            view          get   campaign_id={campaign}
get_campaign_stage_id        view          get   experiment={experiment}&campaign_name=third&campaign_stage_name=gen
get_campaign_stage_name      view          get   campaign_stage_id={stage}
get_campaign_list            view          get   -
campaign_list_json           view          get   -
experiment_list              view          get   -
running_submissions          view          get   -
campaign_deps_ini            view          get   experiment={experiment}&name=third
held_launches                view          get   experiment={experiment}
list_launch_file             view          get   submission_id={running}
jobtype_list                 view          get   experiment={experiment}
loginsetup_list              view          get   experiment={experiment}
update_submissions           operate       post  -
launch_jobs                  operate       post  campaign_stage_id={stage}
launch_campaign              operate       post  campaign_id={campaign}
launch_recovery_for          operate       post  submission_id={running}
force_locate_submission      operate       post  submission_id={running}
kill_jobs                    watch         post  submission_id={running}&act=hold&confirm=yes
mark_campaign_hold           watch         post  ids2HR={stage}&is_hold=Hold
ini_to_campaign              file_request  post  experiment={experiment}
register_poms_campaign       file_request  post  experiment={experiment}&campaign_name=third
update_campaign_stage        file_request  post  campaign_stage={stage}&completion_pct=80
update_stage_param_overrides file_request  post  campaign_stage={stage}&param_overrides=[["-x","1"]]
link_tags                    file_request  post  campaign_id={campaign}&tag_name=spring
job_type_edit                define        post  experiment={experiment}&action=add&ae_definition_name=n&ae_launch_script=x
job_type_rm                  define        post  experiment={experiment}&ae_definition_name=known
login_setup_edit             define        post  experiment={experiment}&action=add&ae_launch_name=n
launch_template_edit         define        post  experiment={experiment}&action=add&ae_launch_name=n
login_setup_rm               define        post  experiment={experiment}&ae_launch_name=local
file_uploads                 define_own    get   experiment={experiment}
download_file                define_own    get   experiment={experiment}
upload_file                  define_own    post  experiment={experiment}
remove_uploaded_files        define_own    post  experiment={experiment}
"""
# These answer for whatever the caller sees, or say Unknown. of what they do not.
OF_WHAT_IS_SEEN = (
    "get_campaign_list",
    "campaign_list_json",
    "experiment_list",
    "running_submissions",
    "update_submissions",
)
ROWS = [line.split(maxsplit=3) for line in TABLE.strip().splitlines()]


def test_every_call_stands_in_the_table():
    assert {name: (call.permission, call.by_get) for name, call in CALLS.items()} == {
        name: (permission, way == "get") for name, permission, way, _ in ROWS
    }
    assert not set(CALLS) & set(GONE)


def asked(fields: str, corner: Any) -> str:
    numbers = {name: str(corner.objects[name].pk) for name in ("stage", "running", "campaign")}
    return fields.format(experiment=corner.experiment.name, **numbers) if fields != "-" else ""


def test_every_call_answers_every_role_as_the_table_says(cast, world, settings, tmp_path):
    settings.LOCAL_SPOOL, settings.LOCAL_LAUNCHES = tmp_path / "no daemon", tmp_path / "launches"
    client = APIClient(raise_request_exception=False)
    wrong = []
    for name, permission, way, fields in ROWS:
        for who, user in [*cast.people.items(), ("anonymous", AnonymousUser())]:
            for what, corner in (("own", world.own), ("other", world.other)):
                client.force_authenticate(user if user.is_authenticated else None)
                with transaction.atomic():
                    if way == "get":
                        answer = client.get(f"/poms/{name}?{asked(fields, corner)}")
                    else:
                        form = "application/x-www-form-urlencoded"
                        answer = client.post(f"/poms/{name}", asked(fields, corner), content_type=form)
                    transaction.set_rollback(True)
                body, status = answer.content.decode(), answer.status_code
                if who == "anonymous":
                    fits = status == 401
                elif name in OF_WHAT_IS_SEEN:
                    leaks = not holds(who, "view", what) and f'"{corner.experiment.name}"' in body
                    fits = status in (200, 422) and not leaks
                elif not holds(who, "view", what):
                    fits = body == "Unknown." if name == "update_submission" else status == 404
                elif not holds(who, permission, what):
                    fits = status == 403 and corner.experiment.name in body
                elif permission == "file_request" and status == 403:
                    fits = user != corner.owner and f"{corner.owner.username}'s" in body  # as our own verbs say it
                else:
                    fits = status not in (401, 403, 404, 405, 500)
                if not fits:
                    wrong.append(f"{name} by {who} on {what}: {status} {body[:160]}")
    assert not wrong, "\n".join(wrong)


def ours(cast: Any) -> Submission:
    stage = builders.approved_campaign(cast).stages.get(name="gen")
    planning.plan(stage.pk)
    return Submission.objects.order_by("pk")[0]


def test_a_session_counts_for_nothing_and_no_other_site_can_use_it(cast):
    row = ours(cast)
    before = Transition.objects.count()
    browser = Client()
    browser.force_login(cast.operator)
    for address in (f"update_submission?submission_id={row.pk}&jobsub_job_id=1@x&status=New",
                    f"get_submission_id_for?campaign_stage_id={row.batch.stage_id}"):  # fmt: skip
        assert browser.get(f"/poms/{address}").status_code == 401
        assert browser.post(f"/poms/{address}").status_code == 401
    assert Transition.objects.count() == before and Submission.objects.get(pk=row.pk).told == {}


def test_what_changes_something_is_taken_by_post_but_for_what_wrappers_send(cast):
    client = APIClient()
    client.force_authenticate(cast.operator)
    for name, call in CALLS.items():
        assert (client.get(f"/poms/{name}").status_code == 405) is not call.by_get, name
        assert client.head(f"/poms/{name}").status_code in (403, 405), name  # no rule is declared for it
        assert client.put(f"/poms/{name}").status_code in (403, 405)


def test_a_narrowed_token_may_no_more_here_than_anywhere(cast):
    row = ours(cast)
    limits = narrowed(cast.operator, scopes=["read"])
    _, secret = tokens.issue(cast.operator, "reader", narrowing=limits)
    client = Client(headers={"Authorization": f"Bearer {secret}"})
    assert client.get(f"/poms/submission_details?submission_id={row.pk}&fmt=json").status_code == 200
    refused = client.get(f"/poms/update_submission?submission_id={row.pk}&status=New")
    assert refused.status_code == 403 and "scope operate" in refused.content.decode()
    gone = Client(headers={"Authorization": "Bearer poms_nothing"}).get("/poms/experiment_list")
    assert gone.status_code == 401 and gone["WWW-Authenticate"].startswith("Bearer")
    assert gone.content.decode().startswith("Traceback: The token is unknown")


def test_a_service_account_comes_by_its_certificate(cast, settings):
    settings.CLIENT_CERT_HEADER, settings.TRUSTED_PROXIES = "X-Client-Cert", ["127.0.0.1"]
    account = builders.service_account(cast)
    pem = builders.certificate()
    service_accounts.register(account, pem, by=cast.experimenter, reason="the submit host")
    row = ours(cast)
    client = Client(headers={"X-Client-Cert": quote(pem)})
    told = client.get(f"/poms/update_submission?submission_id={row.pk}&project=p9")
    assert told.content == b"Ok.", told.content
    assert Submission.objects.get(pk=row.pk).told["project"] == "p9"


def test_the_address_that_wrappers_print_leads_a_person_to_the_page(cast):
    row = ours(cast)
    printed = f"/poms/submission_details?submission_id={row.pk}"
    browser = Client(headers={"Accept": "text/html,application/xhtml+xml"})
    led = browser.get(printed)
    assert (led.status_code, led["Location"]) == (303, f"/search/?q=s{row.pk}")
    assert browser.get("/poms/submission_details?submission_id=999999999")["Location"] == "/search/?q=s999999999"
    browser.force_login(cast.experimenter)
    session = browser.session
    session["experiment"] = "demo"
    session.save()
    assert browser.get(led["Location"])["Location"] == f"/e/demo/submissions/s{row.pk}/"
    assert Client().get(printed).status_code == 401


@pytest.mark.parametrize(
    "fields, says",
    [("submission_id=1e3", "expected a number"), ("submission_id=", "is missing"), ("submission_id=%00", "NUL character"),
     ("submission_id=" + "9" * 30, "expected a number"), ("campaign_stage=[[[&x=1", "submission_id")],
)  # fmt: skip
def test_what_cannot_be_read_is_said_and_is_no_error_of_ours(cast, fields, says):
    client = APIClient(raise_request_exception=False)
    client.force_authenticate(cast.operator)
    answer = client.get(f"/poms/submission_details?fmt=json&{fields}")
    assert answer.status_code == 422 and says in answer.content.decode()
    assert re.match("Traceback: ", answer.content.decode())
    assert not Batch.objects.exists()
