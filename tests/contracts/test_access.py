"""Access (design 9): every route declares a rule, and every route answers every role as the tables here say.

The two tables are written out on purpose: whoever changes who may do what changes it in the code and here.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import AnonymousUser
from django.db import transaction
from django.urls import get_resolver, reverse
from rest_framework.test import APIClient

from experiments.logic import tokens
from experiments.roles import EVERYWHERE, PERMISSIONS, ROLES
from experiments.rules import OWN_TOKEN, PUBLIC, SIGNED_IN, rule_of
from submissions.logic import selecting
from submissions.logic.reporting import report_token
from submissions.models import Command
from tests import builders
from tests.cast import Cast
from tests.contracts import checks, test_page_access
from tests.contracts.who import WHO, Expected, about_which, expectations, holds, ranks, roles_of
from tests.contracts.world import MISSING, Corner, World, populate
from tests.turns import WHOLE

# --- What people review -------------------------------------------------------------------------------------

# route and method -> rule · what the route is about · the status for somebody who may.
# About: `list` rows filtered by ?experiment=, `made` in the experiment that the body names, an object of the
# world by its name (`+mine`: only its owner, or who may check requests; `+rank`: only operators, and approvers who are
# registered for its production stage), or a special case below.
TABLE = """
me GET                    signed_in       me              200
experiments-list GET      view_overview   experiments     200
tokens-list GET           signed_in       me              200
tokens-list POST          signed_in       me              201
tokens-revoke POST        signed_in       token           200
requests-list GET         view            list            200
requests-list POST        file_request    made            201
requests-detail GET       view            draft           200
requests-detail PATCH     file_request    draft+mine      200
requests-history GET      view            draft           200
requests-check POST       file_request    draft           200
requests-file POST        file_request    draft+mine      200
requests-withdraw POST    file_request    draft+mine      200
requests-approve POST     decide_request  pending         200
requests-return POST      return_request  pending         200
requests-reject POST      decide_request  pending         200
requests-cost GET         view            draft           200
requests-comments GET     view            draft           200
requests-attachments GET  view            draft           200
requests-partners GET     view            pending         200
requests-test POST        file_request    draft+mine      202
requests-clone POST       file_request    pending         201
requests-confirm POST     check_request   pending         200
requests-untick POST      check_request   pending         200
requests-merge POST       decide_request  pending         201
requests-split POST       decide_request  reading         201
requests-prioritise POST  prioritise_request pending      200
requests-extend POST      prioritise_request keepup       200
requests-comment POST     view            draft           201
requests-attach POST      view            draft           201
requests-detach POST      view            draft+mine      200
requests-watch POST       view            draft           200
requests-unwatch POST     view            draft           200
templates-list GET        view            list            200
campaigns-list GET        view            list            200
campaigns-detail GET      view            campaign        200
campaigns-history GET     view            campaign        200
campaigns-heat GET        view            campaign        200
campaigns-text GET        view            campaign        200
campaigns-import POST     file_request    made            200
campaigns-plan POST       view            made            200
campaigns-fife POST       view            made            200
campaigns-export GET      view            campaign        200
campaigns-revisions GET   view            campaign        200
campaigns-diff GET        view            campaign        200
campaigns-definition PUT  file_request    campaign+mine   200
campaigns-apply POST      file_request    made            201
campaigns-clone POST      file_request    unasked         201
campaigns-tag POST        file_request    unasked+mine    200
campaigns-untag POST      file_request    unasked+mine    200
campaigns-archive POST    file_request    unasked+mine    200
campaigns-unarchive POST  file_request    unasked+mine    409
campaigns-delete POST     file_request    unasked+mine    200
campaigns-template POST   define          unasked         201
campaigns-hold POST       watch           campaign        200
campaigns-release POST    watch           campaign        200
campaigns-relaunch POST   watch           campaign        200
campaigns-recovery GET    view            campaign        200
campaigns-recover POST    operate         campaign        200
campaigns-cancel POST     operate         campaign        200
campaigns-prioritise POST view            campaign+rank   200
campaigns-boost POST      operate         campaign        200
campaigns-unboost POST    operate         campaign        409
campaigns-sign_off POST   sign_off        signing         200
campaigns-accept POST     operate         signing         200
campaigns-process_again POST operate      campaign        409
campaigns-limit_waste POST operate        campaign        200
stages-list GET           view            list            200
stages-detail GET         view            stage           200
stages-commands GET       view            stage           200
stages-register POST      operate         stage           201
stages-recovery GET       view            stage           200
stages-recover POST       operate         stage           200
holds-list GET            view            list            200
holds-detail GET          view            hold            200
holds-list POST           watch           made            201
holds-release POST        watch           hold            200
services-list GET         view            list            200
services-list POST        administer      made            201
services-detail GET       view            outside         200
services-history GET      view            outside         200
services-states GET       view            outside         200
services-detail PATCH     administer      outside         200
services-check POST       watch           outside         200
services-override POST    watch           outside         200
services-downtime POST    watch           outside         200
services-no_downtime POST watch           outside         422
limits-list GET           view            list            200
limits-list POST          operate         made            201
limits-detail GET         view            limit           200
limits-remove POST        operate         limit           200
failures-list GET         view            list            200
failures-detail GET       view            failure         200
failures-history GET      view            failure         200
failures-fix POST         watch           failure         200
failures-route POST       operate         failure         200
failures-ticket POST      watch           failure         422
failures-link POST        watch           failure         200
failures-logbook POST     watch           failure         422
routes-list GET           view            list            200
routes-list POST          administer      made            201
routes-detail GET         view            route           200
routes-remove POST        administer      route           200
requests-why GET          view            draft           200
campaigns-why GET         view            campaign        200
stages-why GET            view            stage           200
batches-why GET           view            live            200
submissions-why GET       view            running         200
jobs-why GET              view            job             200
schedules-list GET        view            list            200
schedules-detail GET      view            schedule        200
schedules-history GET     view            schedule        200
schedules-calendar GET    view            schedule        200
schedules-pause POST      watch           schedule        200
schedules-resume POST     watch           schedule        409
schedules-run POST        watch           schedule        202
overview GET              view_overview   overview        200
events-list GET           view            events          200
batches-list GET          view            list            200
batches-export GET          view            file            200
batches-detail GET        view            live            200
batches-history GET       view            live            200
batches-relaunch POST     watch           broken          200
batches-launch_with POST  operate         broken          200
batches-commands GET      view            live            200
batches-recovery GET      view            broken          200
batches-recover POST      operate         broken          200
batches-package GET       view            live            200
batches-reproduce POST    operate         live            409
reproductions-list GET    view            list            200
reproductions-detail GET  view            again           200
reproductions-history GET view            again           200
reproductions-sign_off POST sign_off      again           200
reviews-list GET          view            list            200
campaigns-verdicts GET    view            campaign        200
campaigns-verdict POST    sign_off        campaign        409
campaigns-watch POST      view            campaign        200
campaigns-unwatch POST    view            campaign        200
submissions-list GET      view            list            200
submissions-export GET      view            file            200
submissions-detail GET    view            running         200
submissions-history GET   view            running         200
submissions-commands GET  view            running         200
submissions-log GET       view            running         200
submissions-kill POST     operate         running         202
submissions-hold POST     watch           running         202
submissions-release POST  watch           running         202
submissions-adopt POST    operate         unsure          503
submissions-give_up POST  operate         unsure          200
jobs-list GET             view            list            200
jobs-export GET             view            file            200
jobs-over-time GET        view            asked           200
jobs-detail GET           view            job             200
jobs-history GET          view            job             200
jobs-log GET              view            job             503
jobs-life GET             view            job             200
jobs-records GET          view            job             200
jobs-compare GET          view            job             404
jobs-kill POST            operate         job             202
jobs-hold POST            watch           job             202
jobs-release POST         watch           job             202
commands-list GET         view            list            200
commands-detail GET       view            command         200
commands-history GET      view            command         200
select-job-kill POST operate made 202
select-job-hold POST watch made 202
select-job-release POST watch made 202
select-job-retry POST watch made 202
select-submission-kill POST operate made 202
select-submission-hold POST watch made 202
select-submission-release POST watch made 202
select-submission-retry POST watch made 202
select-submission-launch POST operate made 202
select-batch-kill POST operate made 202
select-batch-hold POST watch made 202
select-batch-release POST watch made 202
select-batch-retry POST watch made 202
select-batch-launch POST operate made 202
select-stage-kill POST operate made 202
select-stage-hold POST watch made 202
select-stage-release POST watch made 202
select-stage-retry POST watch made 202
select-stage-launch POST operate made 202
select-campaign-kill POST operate made 202
select-campaign-hold POST watch made 202
select-campaign-release POST watch made 202
select-campaign-retry POST watch made 202
select-campaign-launch POST operate made 202
commands-outcomes GET     view            command         200
outcomes-list GET         view            selection       200
shifts-list GET          view            list            200
shifts-list POST         operate         made            201
shifts-remove POST       operate         shift           200
uploads-list GET         signed_in       me              200
uploads-list POST        define_own      asked           201
uploads-content GET      define_own      asked           404
uploads-remove POST      define_own      asked           404
stops-list GET            signed_in       me              200
stops-list POST           operate         made            201
stops-go_on POST          operate         made            409
stops-all POST            signed_in       administered    201
stops-all-go_on POST      signed_in       administered    409
reports-list GET          view            list            200
reports-list POST         own_token       report          202
shift-list GET            view            list            200
shift-read POST           view            made            200
shift-log POST            watch           made            422
jobtypes-list GET         view            list            200
jobtypes-list POST        define          made            201
jobtypes-detail GET       view            jobtype         200
jobtypes-detail PATCH     define          jobtype         200
jobtypes-versions GET     view            jobtype         200
jobtypes-restore POST     define          jobtype         422
setups-detail GET         view            setup           200
setups-detail PATCH       define          setup           200
setups-versions GET       view            setup           200
setups-restore POST       define          setup           422
setups-test POST          define          setup           201
setups-trials GET         view            setup           200
templates-list POST       define          made            201
templates-detail GET      view            template        200
templates-detail PATCH    define          template        200
templates-versions GET    view            template        200
templates-restore POST    define          template        422
templates-use POST        file_request    template        201
templates-publish POST    administer      template        200
setups-list GET           view            list            200
setups-list POST          define          made            201
files-list GET            view            list            200
files-story GET           view            asked           200
files-declare POST        operate         made            200
data-list GET             view            list            200
data-read GET             view            list            200
data-show GET             view            asked           200
data-query GET            view            asked           200
splits-preview POST       view            made            200
sites-list GET            view            list            200
exclusions-list GET       view            list            200
exclusions-list POST      watch           made            201
exclusions-detail GET     view            excluded        200
exclusions-history GET    view            excluded        200
exclusions-release POST   watch           excluded        200
exclusions-extend POST    watch           excluded        200
exclusions-exclude POST   watch           excluded        409
waste-limits-list GET     view            list            200
waste-limits-list POST    operate         made            201
guards-list GET           signed_in       service         200
guards-detail PATCH       administer      service         200
credentials-list GET      view            list            200
credentials-list POST     administer      made            201
credentials-detail GET    view            credential      200
credentials-detail PATCH  administer      credential      200
credentials-history GET   view            credential      200
credentials-renew POST    operate         credential      202
credentials-check POST    operate         credential      202
launch-hosts-list GET     view            list            200
launch-hosts-list POST    administer      made            201
launch-hosts-detail GET   view            host            200
launch-hosts-detail PATCH administer      host            200
launch-hosts-put_away POST administer     host            200
launch-hosts-try POST     administer      host            200
batch-systems-list GET    signed_in       service         200
batch-systems-list POST   administer      service         201
batch-systems-detail GET  signed_in       service         200
batch-systems-detail PATCH administer     service         200
batch-systems-put_away POST administer    service         200
batch-systems-try POST    administer      service         200
notices-list GET          signed_in       me              200
notices-read POST         signed_in       me              200
notices-choices GET       signed_in       me              200
notices-choices PUT       signed_in       me              200
notices-test POST         signed_in       me              201
outbox-list GET           administer      asked           200
outbox-webhook PUT        administer      made            200
outbox-desk PUT           administer      made            200
outbox-logbook PUT        administer      made            200
outbox-again POST         administer      made            200
queue-list GET            view            list            200
queue-preview POST        view            made            200
queue-order POST          view            made+rank       200
old-call GET              signed_in       old             404
old-call POST             signed_in       old             404
old-call-page GET         signed_in       old             404
old-call-page POST        signed_in       old             404
loops-list GET           signed_in       administered     200
restorations-list GET    signed_in       administered     200
troubles-list GET        signed_in       administered     200
troubles-retry POST      signed_in       administered     200
audit-verify GET          signed_in       overseen        200
schema GET                public          public          200
browse GET                public          public          200
nowhere GET               signed_in       nowhere         404
nowhere POST              signed_in       nowhere         404
nowhere PUT               signed_in       nowhere         404
nowhere PATCH             signed_in       nowhere         404
nowhere DELETE            signed_in       nowhere         404
"""

# What each POST or PATCH sends; verbs that are not here send a reason.
BODIES: dict[str, dict[str, Any]] = {
    "tokens-list": {"name": "mine", "days": 1},
    "tokens-revoke": {},
    "requests-list": {"title": "new", "production_stage": "mc"},
    "requests-detail": {"title": "another title"},
    "requests-check": {},
    "campaigns-import": {"text": ""},
    "campaigns-plan": {"text": ""},
    "campaigns-apply": {"text": "", "production_stage": "mc"},
    "campaigns-clone": {"name": "another"},
    "campaigns-tag": {"tags": ["spring"]},
    "campaigns-untag": {"tags": ["old"]},
    "campaigns-template": {"name": "begun"},
    "campaigns-fife": {"text": "[global]\n"},
    "files-declare": {"files": [{"name": "new.raw", "path": "/data/new.raw", "size": 1}]},
    "splits-preview": {"dataset": '[["a", "b"]]', "split": "multiparam"},
    "campaigns-definition": {"text": "{text}"},
    "requests-test": {"size": 1},
    "requests-clone": {"title": "like it"},
    "requests-merge": {"with": ["{like}"], "reason": "the same"},
    "requests-split": {"first": 1, "reason": "half is urgent"},
    "requests-prioritise": {"priority": 60, "reason": "it is urgent"},
    "requests-comment": {"text": "what for?"},
    "requests-untick": {"ticked": ["seen"], "reason": "it is not so"},
    "requests-detach": {"name": "note.txt", "reason": "it names people"},
    "requests-attach": {"name": "a.txt", "content": "aGFsbG8="},
    "requests-watch": {},
    "requests-unwatch": {},
    "credentials-list": {"name": "new", "kind": "scitoken", "path": "/opt/new.token", "reason": "launches need it"},
    "credentials-detail": {"path": "/opt/moved.token", "reason": "it moved"},
    "credentials-check": {},
    "notices-read": {},
    "notices-choices": {"kinds": {"decided": "digest"}, "digest_hour": 8},
    "notices-test": {},
    "campaigns-prioritise": {"rank": 60, "reason": "it is urgent"},
    "campaigns-boost": {"hours": 4, "reason": "it is urgent"},
    "campaigns-sign_off": {"stage": "gen", "verdict": "passed", "reason": "the plots look right"},
    "campaigns-accept": {"stage": "gen", "reason": "it is good enough"},
    "campaigns-verdict": {"verdict": "good", "reason": "the peak is where it should be"},
    "campaigns-watch": {},
    "campaigns-unwatch": {},
    "reproductions-sign_off": {"passed": True, "reason": "the same came out"},
    "campaigns-process_again": {"stage": "gen", "reason": "a better calibration"},
    "campaigns-limit_waste": {"share": 60, "least": 20, "reason": "it fails often"},
    "exclusions-list": {"system": "local", "name": "worse", "reason": "to see who may"},
    "waste-limits-list": {"share": 60, "least": 20, "reason": "to see who may"},
    "guards-detail": {"mode": "act", "reason": "to see who may"},
    "batches-launch_with": {"parameters": [["--tune ", "G18"]], "reason": "a try"},
    "stages-register": {"command": "jobsub_submit", "jobs": ["12@far"]},
    "outbox-webhook": {"url": "https://hooks.example.org/poms", "reason": "to see who may"},
    "outbox-desk": {"url": "", "reason": "to see who may"},
    "outbox-logbook": {"url": "", "reason": "to see who may"},
    "outbox-again": {},
    "queue-preview": {},
    "queue-order": {"reason": "it is urgent"},
    "holds-list": {"scope": "experiment", "reason": "to see who may"},
    "services-list": {"name": "new", "kind": "none", "reason": "to see who may"},
    "services-detail": {"title": "The service", "reason": "to see who may"},
    "services-check": {},
    "services-override": {"state": "down", "reason": "to see who may"},
    "services-downtime": {"until": "2999-01-01T00:00:00Z", "reason": "to see who may"},
    "limits-list": {"kind": "jobs", "most": 5, "reason": "to see who may"},
    "failures-fix": {"fix": "ask for the new geometry"},
    "failures-route": {"owner": "sam", "reason": "to see who may"},
    "failures-link": {"link": "https://desk.example.org/1"},
    "routes-list": {"cause": "node", "service": "sam", "reason": "to see who may"},
    "jobtypes-list": {"name": "new", "launch_script": "/bin/true"},
    "jobtypes-detail": {"launch_script": "/bin/false", "reason": "it is meant to fail"},
    "jobtypes-restore": {"version": 7, "reason": "as it was"},
    "setups-list": {"name": "new"},
    "setups-detail": {"host": "far", "reason": "it moved"},
    "setups-restore": {"version": 7, "reason": "as it was"},
    "setups-test": {},
    "launch-hosts-list": {
        "name": "far.example.org",
        "account": "mcprod",
        "home": "/scratch/poms",
        "reason": "there is room",
        "known_hosts": builders.host_key("far.example.org"),
    },
    "launch-hosts-detail": {"home": "/scratch2/poms", "reason": "the disk is full"},
    "launch-hosts-try": {},
    "batch-systems-list": {"name": "second", "backend": "local", "reason": "there is room"},
    "batch-systems-detail": {"active": False, "reason": "it is taken away"},
    "batch-systems-try": {},
    "templates-list": {"name": "new", "title": "New", "definition": ""},
    "templates-detail": {"title": "Better", "reason": "it is shorter"},
    "templates-restore": {"version": 7, "reason": "as it was"},
    "templates-use": {"name": "used"},
    "shift-read": {},
    "shift-log": {},
    "shifts-list": {"person": "shifter", "begins": "2036-12-01T06:00Z", "until": "2036-12-01T14:00Z"},
    "stops-list": {"jobs": "leave", "reason": "the disk is full"},
    "stops-go_on": {"reason": "the disk is empty"},
    "stops-all": {"jobs": "leave", "reason": "the disk is full"},
    "stops-all-go_on": {"reason": "the disk is empty"},
    **{
        f"select-{noun}-{verb}": {"filter": {"state": state}, "reason": "to see who may"}
        for noun, state in (("job", "processing"), ("submission", "running"), ("batch", "failed"),
                            ("stage", "incomplete"), ("campaign", "running"))
        for verb in selecting.VERBS[noun]
    },
}  # fmt: skip


# --- Every route, every method, every role, every object ---------------------------------------------------------


def test_the_tables_name_every_permission_and_every_role():
    assert set(WHO) == set(PERMISSIONS)
    for permission, roles in WHO.items():
        assert set(roles.split()) == {role for role, granted in ROLES.items() if permission in granted}, permission
    assert set(EVERYWHERE) == {"supervisor", "guest", "administrator"}


def test_the_table_has_every_route_with_its_rule():
    declared = {}
    for address, pattern in checks.routes(get_resolver().url_patterns):
        if checks.is_admin(pattern.callback):
            continue  # tests/admin/test_entering.py has a table of its own for them
        assert pattern.name, f"{address} has no name, so no line of the table can name it"
        for method, action in checks.served(pattern.callback).items():
            declared[pattern.name, method] = rule_of(checks.view_class(pattern.callback), action)
    expected = expectations(TABLE) | expectations(test_page_access.TABLE)
    assert len(expected) == len(expectations(TABLE)) + len(expectations(test_page_access.TABLE))
    assert declared == {key: line.rule for key, line in expected.items()}


@dataclass
class Matrix:
    """One pass over all cells: asks, compares, gathers what differs."""

    cast: Cast
    world: World
    wrong: list[str] = field(default_factory=list)
    cells: int = 0
    client: APIClient = field(default_factory=lambda: APIClient(raise_request_exception=False))

    def people(self) -> Iterator[tuple[str, Any]]:
        yield from self.cast.people.items()
        yield "anonymous", AnonymousUser()

    def ask(self, line: Expected, user: Any, url: str, body: dict[str, Any] | None, **headers: str) -> Any:
        """Make one request and take back all that it changed."""
        self.client.force_authenticate(user if user.is_authenticated else None)
        data = b"" if body is None else json.dumps(body).encode()
        with transaction.atomic():
            answer = self.client.generic(line.method, url, data, "application/json", headers=headers)
            transaction.set_rollback(True)
        self.cells += 1
        return answer

    def judge(self, line: Expected, who: str, what: str, answer: Any, status: int, says: tuple[str, ...] = ()) -> None:
        """Note a cell that is not as expected."""
        text = answer.content.decode(errors="replace")
        where = f"{line.route} {line.method} by {who} on {what}"
        if answer.status_code != status:
            self.wrong.append(f"{where}: {answer.status_code} instead of {status}: {text[:200]}")
        elif status >= 400 and answer.headers["Content-Type"] != "application/problem+json":
            self.wrong.append(f"{where}: the {status} is no problem document: {text[:200]}")
        else:
            self.wrong += [f"{where}: the {status} does not say {word!r}: {text}" for word in says if word not in text]


@pytest.mark.django_db
@pytest.mark.parametrize("kind", ["reading", "changing"])
def test_every_route_answers_every_role_as_the_table_says(cast, settings, tmp_path, kind):
    settings.LOCAL_SPOOL, settings.LOCAL_LAUNCHES = tmp_path / "no daemon", tmp_path / "launches"
    settings.STATE_DIR, settings.LOCAL_SHARED_ACCOUNT = tmp_path, True
    matrix = Matrix(cast, populate(cast))
    for line in expectations(TABLE).values():
        if (line.method == "GET") != (kind == "reading"):
            continue
        ways: dict[str, Callable[[Matrix, Expected, str, Any], None]] = {
            "list": _list, "file": _file, "made": _made, "asked": _asked, "experiments": _experiments, "overview": _overview,
            "me": _anybody,
            "events": _anybody, "nowhere": _nowhere, "old": _old, "public": _public, "service": _service, "token": _token, "report": _report,
            "selection": _selection, "administered": _administered, "overseen": _overseen,
        }  # fmt: skip
        for who, user in matrix.people():
            ways.get(line.about.partition("+")[0], _object)(matrix, line, who, user)
    assert not matrix.wrong, f"{len(matrix.wrong)} of {matrix.cells} cells:\n" + "\n".join(matrix.wrong)
    assert matrix.cells > (600 if WHOLE else 350)


def _object(matrix: Matrix, line: Expected, who: str, user: Any) -> None:
    """A route with a reference in its path: own, the other experiment's, and one that is missing."""
    name, _, owned = line.about.partition("+")
    asked = BODIES.get(line.route, {"reason": "to see who may"})
    corners: dict[str, Corner] = {"own": matrix.world.own, "other": matrix.world.other}
    for what in about_which(("own", "other", "missing"), who, line.route, line.method):
        corner = corners.get(what, matrix.world.own)
        url = _address(line.route, corner, name, missing=what == "missing")
        body = None if line.method == "GET" else json.loads(_filled(json.dumps(asked), corner))
        answer = matrix.ask(line, user, url, body)
        if who == "anonymous":
            matrix.judge(line, who, what, answer, 401, ("Sign in",))
        elif what == "missing" or not holds(who, "view", what):
            matrix.judge(line, who, what, answer, 404, ("or you may not see it",))
        elif not holds(who, line.rule, what):
            words = roles_of(line.rule)
            matrix.judge(line, who, what, answer, 403, (*words, corner.experiment.name))
        elif owned == "rank" and not ranks(who, what):
            matrix.judge(line, who, what, answer, 403, ("operator", "approver", corner.experiment.name))
        elif owned == "mine" and user != corner.owner and not holds(who, "check_request", what):
            says = (f"{corner.owner.username}'s", "operator", corner.experiment.name)
            matrix.judge(line, who, what, answer, 403, says)
        else:
            matrix.judge(line, who, what, answer, line.status)


def _old(matrix: Matrix, line: Expected, who: str, user: Any) -> None:
    """The old calls are judged one by one in tests/old_calls; here, that nobody is let in who is not signed in."""
    path = {"experiment": "demo", "role": "production"} if line.route == "old-call-page" else {}
    answer = matrix.ask(line, user, reverse(line.route, kwargs={"method": "nosuch", **path}), None)
    wanted = 401 if who == "anonymous" else line.status
    if answer.status_code != wanted or not answer.content.decode().startswith("Traceback: "):
        matrix.wrong.append(f"{line.route} {line.method} by {who}: {answer.status_code} {answer.content[:100]!r}")


def _filled(body: str, corner: Corner) -> str:
    """Name the corner's own things in a body."""
    text = corner.definition.replace("name=made", "name=third") + "# later\n"
    return body.replace("{like}", corner.ref("like")).replace("{text}", json.dumps(text)[1:-1])


def _address(route: str, corner: Corner, name: str, *, missing: bool) -> str:
    ref = corner.ref(name)
    more = {}
    if name == "host":
        ref, _, named = ref.partition("/")
        return reverse(route, kwargs={"ref": ref, "name": "nobody@nowhere" if missing else named})
    if name in ("jobtype", "setup", "template", "credential"):
        ref, _, named = ref.partition("/")
        return reverse(route, kwargs={"ref": ref, "name": "nosuch" if missing else named})
    if route.startswith("stages-"):
        ref, _, more["stage"] = ref.rpartition("/")
    if missing:
        ref = ref.rstrip("0123456789") + str(MISSING)
    return reverse(route, kwargs={"ref": ref, **more})


def _list(matrix: Matrix, line: Expected, who: str, user: Any) -> None:
    """A list is everybody's who is signed in; what is in it is what they may see, filtered or not."""
    names = {"own": "demo", "other": "other", "missing": "nowhere"}
    for what, experiment in names.items():
        answer = matrix.ask(line, user, f"{reverse(line.route)}?experiment={experiment}", None)
        if who == "anonymous":
            matrix.judge(line, who, what, answer, 401)
            continue
        matrix.judge(line, who, what, answer, 200)
        seen = what != "missing" and holds(who, line.rule, what)
        if bool(answer.json()["results"]) != seen:
            matrix.wrong.append(f"{line.route} shows {who} {'nothing' if seen else 'rows'} of {what}")
    if who != "anonymous":
        whole = matrix.ask(line, user, reverse(line.route), None).content.decode()
        for what in ("own", "other"):
            name = names[what]
            shown = f'"{name}/' in whole or f'"experiment":"{name}"' in whole
            if shown != holds(who, line.rule, what):
                matrix.wrong.append(f"{line.route} unfiltered: {who} {'sees' if shown else 'does not see'} {name}")


def _file(matrix: Matrix, line: Expected, who: str, user: Any) -> None:
    """A list as a file has what the list has: what somebody may see."""
    for what, experiment in {"own": "demo", "other": "other", "missing": "nowhere", "all": ""}.items():
        query = f"?experiment={experiment}" if experiment else ""
        answer = matrix.ask(line, user, f"{reverse(line.route)}{query}", None)
        if who == "anonymous":
            matrix.judge(line, who, what, answer, 401)
            continue
        head, *rows = b"".join(answer.streaming_content).decode().splitlines()
        place = head.split(",").index("experiment")
        seen = {row.split(",")[place] for row in rows}
        may = {name for where, name in (("own", "demo"), ("other", "other")) if holds(who, line.rule, where)}
        if answer.status_code != line.status or seen != (may & {experiment} if experiment else may):
            matrix.wrong.append(f"{line.route} shows {who} {seen or 'nothing'} of {what}")


def _made(matrix: Matrix, line: Expected, who: str, user: Any) -> None:
    """A body names the experiment: one that is not visible is unknown, and no answer tells them apart."""
    for what, corner in (("own", matrix.world.own), ("other", matrix.world.other), ("missing", None)):
        body = {**BODIES[line.route], "experiment": corner.experiment.name if corner else "nowhere"}
        if line.route in ("requests-list", "templates-list"):
            body["definition"] = (corner or matrix.world.own).definition
        if line.route in ("campaigns-import", "campaigns-plan", "campaigns-apply"):
            body["text"] = (corner or matrix.world.own).definition
        answer = matrix.ask(line, user, reverse(line.route), body)
        if who == "anonymous":
            matrix.judge(line, who, what, answer, 401)
        elif corner is None or not holds(who, "view_overview", what):
            matrix.judge(line, who, what, answer, 422, (f"unknown: {body['experiment']}",))
        elif not holds(who, line.rule, what):
            words = roles_of(line.rule)
            matrix.judge(line, who, what, answer, 403, (*words, corner.experiment.name))
        elif line.about.endswith("+rank") and not ranks(who, what):
            matrix.judge(line, who, what, answer, 403, ("operator", "approver", corner.experiment.name))
        else:
            matrix.judge(line, who, what, answer, line.status)


def _asked(matrix: Matrix, line: Expected, who: str, user: Any) -> None:
    """A question about an experiment that the address names: one that is not visible is unknown, as for a body."""
    for what, name in (("own", "demo"), ("other", "other"), ("missing", "nowhere")):
        answer = matrix.ask(
            line, user, f"{reverse(line.route)}?experiment={name}&name=raw&dimensions=file_name+raw", None
        )
        if who == "anonymous":
            matrix.judge(line, who, what, answer, 401)
        elif what == "missing" or not holds(who, "view_overview", what):
            matrix.judge(line, who, what, answer, 422, (f"unknown: {name}",))
        elif not holds(who, line.rule, what):
            matrix.judge(line, who, what, answer, 403, (*roles_of(line.rule), name))
        else:
            matrix.judge(line, who, what, answer, line.status)


def _anybody(matrix: Matrix, line: Expected, who: str, user: Any) -> None:
    """Who is signed in, about themselves or about what they may see (the content: test_tokens, test_events)."""
    body = None if line.method == "GET" else BODIES[line.route]
    answer = matrix.ask(line, user, reverse(line.route), body)
    matrix.judge(line, who, "self", answer, 401 if who == "anonymous" else line.status)


def _experiments(matrix: Matrix, line: Expected, who: str, user: Any) -> None:
    answer = matrix.ask(line, user, reverse(line.route), None)
    matrix.judge(line, who, "all", answer, 401 if who == "anonymous" else 200)
    if who != "anonymous":
        _same_names(matrix, line, who, {entry["name"] for entry in answer.json()["results"]})


def _overview(matrix: Matrix, line: Expected, who: str, user: Any) -> None:
    answer = matrix.ask(line, user, reverse(line.route), None)
    matrix.judge(line, who, "all", answer, 401 if who == "anonymous" else 200)
    if who != "anonymous":
        _same_names(matrix, line, who, set(answer.json()["experiments"]))


def _same_names(matrix: Matrix, line: Expected, who: str, names: set[str]) -> None:
    wanted = {n for n, what in (("demo", "own"), ("other", "other")) if holds(who, "view_overview", what)}
    if names != wanted:
        matrix.wrong.append(f"{line.route} shows {who} {sorted(names)} instead of {sorted(wanted)}")


def _public(matrix: Matrix, line: Expected, who: str, user: Any) -> None:
    if who in ("anonymous", "nobody"):  # one answer for all, and the schema takes its time
        matrix.judge(line, who, "all", matrix.ask(line, user, reverse(line.route), None), 200)


def _nowhere(matrix: Matrix, line: Expected, who: str, user: Any) -> None:
    answer = matrix.ask(line, user, "/api/v1/no/such/address/", {} if line.method != "GET" else None)
    matrix.judge(line, who, "nothing", answer, 401 if who == "anonymous" else 404)


def _service(matrix: Matrix, line: Expected, who: str, user: Any) -> None:
    """What is the whole service's: some may be seen by everybody, the rest is for those who administer all of it."""
    for what, name in (("own", "local"), ("missing", "nosuch")):
        of_one = not line.route.endswith("-list")
        if what == "missing" and not of_one:
            continue
        body = None if line.method == "GET" else BODIES.get(line.route, {"reason": "to see who may"})
        answer = matrix.ask(line, user, reverse(line.route, kwargs={"name": name} if of_one else None), body)
        if who == "anonymous":
            matrix.judge(line, who, what, answer, 401, ("Sign in",))
        elif line.rule != SIGNED_IN and who not in WHO[line.rule].split():
            matrix.judge(line, who, what, answer, 403, (*roles_of(line.rule), "the whole service"))
        else:
            matrix.judge(line, who, what, answer, 404 if what == "missing" else line.status)


def _token(matrix: Matrix, line: Expected, who: str, user: Any) -> None:
    """One's own token; somebody else's does not exist, not even for an administrator."""
    stranger, _ = tokens.issue(matrix.cast.people["stranger" if who != "stranger" else "operator"], "theirs")
    own = tokens.issue(user, "mine")[0].pk if who != "anonymous" else stranger.pk
    for what, pk in (("own", own), ("other", stranger.pk), ("missing", MISSING)):
        answer = matrix.ask(line, user, reverse(line.route, kwargs={"pk": pk}), {})
        matrix.judge(line, who, what, answer, 401 if who == "anonymous" else 200 if what == "own" else 404)


def _selection(matrix: Matrix, line: Expected, who: str, user: Any) -> None:
    """The commands of a selection are those of experiments that one may see."""
    for what, corner in (("own", matrix.world.own), ("other", matrix.world.other)):
        selection = uuid4()
        Command.objects.filter(pk=corner.objects["command"].pk).update(selection=selection)
        answer = matrix.ask(line, user, f"{reverse(line.route)}?selection={selection}", None)
        matrix.judge(line, who, what, answer, 401 if who == "anonymous" else 200)
        if who != "anonymous" and bool(answer.json()["results"]) != holds(who, line.rule, what):
            matrix.wrong.append(f"{line.route} by {who} on {what}: {answer.content!r}")


def _administered(matrix: Matrix, line: Expected, who: str, user: Any) -> None:
    """What concerns all experiments is for administrators."""
    more = {"key": test_page_access.a_trouble()} if line.route == "troubles-retry" else {}
    body = None if line.method == "GET" else BODIES.get(line.route, {"reason": "to see who may"})
    answer = matrix.ask(line, user, reverse(line.route, kwargs=more), body)
    status = 401 if who == "anonymous" else line.status if who == "administrator" else 403
    matrix.judge(line, who, "all", answer, status, ("administrator",) if status == 403 else ())


def _overseen(matrix: Matrix, line: Expected, who: str, user: Any) -> None:
    """What looks over all experiments is for supervisors and administrators."""
    answer = matrix.ask(line, user, reverse(line.route), None)
    may = who in ("administrator", "supervisor")
    status = 401 if who == "anonymous" else line.status if may else 403
    matrix.judge(line, who, "all", answer, status, ("administrator", "supervisor") if status == 403 else ())


def _report(matrix: Matrix, line: Expected, who: str, user: Any) -> None:
    """Whoever has a submission's token may report of its jobs, and nobody else, whatever their role."""
    mine, theirs = (str(c.objects["running"].uuid) for c in (matrix.world.own, matrix.world.other))
    missing = "00000000-0000-4000-8000-000000000000"
    for what, uuid, token in (
        ("own", mine, report_token(mine)), ("other", theirs, report_token(mine)), ("none", mine, ""),
        ("missing", missing, report_token(mine)),
    ):  # fmt: skip
        body = {"uuid": uuid, "job": "1.0@local", "state": "processing", "at": 1.7e9}
        answer = matrix.ask(line, user, reverse(line.route), body, **{"X-Poms-Submission-Token": token})
        matrix.judge(line, who, what, answer, 202 if what == "own" else 404)


def test_the_rules_have_names_of_their_own():
    assert {PUBLIC, SIGNED_IN, OWN_TOKEN}.isdisjoint(PERMISSIONS)
