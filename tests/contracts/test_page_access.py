"""Access to pages (design 9): every page answers every role, about every object, as the table here says.

It is written out on purpose: whoever changes who may do what changes it in the code and here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import transaction
from django.test import Client
from django.urls import reverse

from campaigns import queries
from campaigns.definition import changing
from campaigns.models import Campaign
from core.models import Transition, Trouble
from integrations.models import File
from integrations.uploads import keeping
from poms_site.web import live
from tests.cast import Cast
from tests.contracts.who import Expected, about_which, expectations, holds, ranks, roles_of
from tests.contracts.world import MISSING, World, populate
from tests.turns import WHOLE

# --- What people review -------------------------------------------------------------------------------------

# route and method -> rule · what the page is about · the status for somebody who may.
# About: `place` has only the experiment in its address (`place+campaign` gets one campaign ticked), an object of the
# world by its name (`+mine`: only its owner, or who may check requests; `+rank`: only operators, and approvers who are
# registered for its production stage), or a special case below.
TABLE = """
home GET                 signed_in       me               200
search GET               signed_in       me               200
switch GET               signed_in       switch           302
sign-in GET              public          public           200
sign-in POST             public          public           422
sign-in-provider GET     public          public           404
sign-in-back GET         public          public           404
sign-out POST            public          public           303
kept-form GET            signed_in       me               200
kept-form POST           signed_in       me               303
account GET              signed_in       me               200
audit GET                signed_in       overseen         200
account-token POST       signed_in       me               201
account-revoke POST      signed_in       me               404
account-sign-out POST    signed_in       me               303
consent GET              signed_in       me               302
consent POST             signed_in       me               303
security-txt GET         public          public           404
style GET                public          public           200
overview-page GET        view_overview   place            200
requests GET             view            place            200
request-new GET          file_request    place            200
request-new POST         file_request    place            303
request GET              view            draft            200
request-edit GET         file_request    draft+mine       200
request-edit POST        file_request    draft+mine       303
request-check GET        file_request    draft            200
request-check POST       file_request    draft            303
request-file GET         file_request    draft            200
request-file POST        file_request    draft+mine       303
request-withdraw GET     file_request    draft            200
request-withdraw POST    file_request    draft+mine       303
request-approve GET      decide_request  pending          200
request-approve POST     decide_request  pending          303
request-return GET       return_request  pending          200
request-return POST      return_request  pending          303
request-look POST        file_request    place            200
request-sketch-drop POST file_request    sketch           303
request-attachment GET   view            draft            200
request-test GET         file_request    draft            200
request-test POST        file_request    draft+mine       303
request-clone GET        file_request    pending          200
request-clone POST       file_request    pending          303
request-confirm GET      check_request   pending          200
request-confirm POST     check_request   pending          303
request-untick GET       check_request   pending          200
request-untick POST      check_request   pending          303
request-merge GET        decide_request  pending          200
request-merge POST       decide_request  pending          303
request-split GET        decide_request  reading          200
request-split POST       decide_request  reading          303
request-prioritise GET   prioritise_request pending       200
request-prioritise POST  prioritise_request pending       303
request-extend GET       prioritise_request keepup        200
request-extend POST      prioritise_request keepup        303
request-comment GET      view            draft            200
request-comment POST     view            draft            303
request-attach GET       view            draft            200
request-attach POST      view            draft            303
request-detach GET       view            draft            200
request-detach POST      view            draft+mine       303
request-watch GET        view            draft            200
request-watch POST       view            draft            303
request-unwatch GET      view            draft            200
request-unwatch POST     view            draft            303
request-reject GET       decide_request  pending          200
request-reject POST      decide_request  pending          303
campaigns GET            view            place            200
campaign GET             view            campaign         200
campaign-by-name GET     view            campaign-name    302
campaign-definition GET  view            campaign         200
campaign-definition POST file_request    campaign         422
campaign-new GET         file_request    place            200
campaign-new POST        file_request    place            303
campaign-plan GET        view            campaign         200
library GET              view            place            200
template GET             view            template         200
template POST            define          template         422
template-use POST        file_request    template         303
template-publish POST    administer      template         303
jobtype GET              view            jobtype          200
jobtype POST             define          jobtype          422
setup GET                view            setup            200
setup POST               define          setup            422
setup-test POST          define          setup            303
campaign-history GET     view            campaign         200
campaign-heat GET        view            campaign         200
campaign-editor GET      view            campaign         200
campaign-editor POST     file_request    campaign+mine    303
editor-look POST         view            place            200
campaign-hold GET        watch           campaign         200
campaign-hold POST       watch           campaign         303
campaign-release GET     watch           campaign         200
campaign-release POST    watch           campaign         303
campaign-relaunch GET    watch           campaign         200
campaign-relaunch POST   watch           campaign         303
campaign-recover GET     operate         campaign         200
campaign-recover POST    operate         campaign         303
campaign-prioritise GET  view            campaign+rank    200
campaign-prioritise POST view            campaign+rank    303
campaign-boost GET       operate         campaign         200
campaign-boost POST      operate         campaign         303
campaign-unboost GET     operate         campaign         200
campaign-unboost POST    operate         campaign         409
campaign-sign_off GET    sign_off        signing          200
campaign-sign_off POST   sign_off        signing          303
campaign-accept GET      operate         signing          200
campaign-accept POST     operate         signing          303
campaign-limit_waste GET  operate         campaign         200
campaign-limit_waste POST operate         campaign         303
campaign-process_again GET operate       campaign         200
campaign-process_again POST operate      campaign         409
campaign-clone GET       file_request    unasked          200
campaign-clone POST      file_request    unasked          303
campaign-tag GET         file_request    unasked          200
campaign-tag POST        file_request    unasked+mine     303
campaign-untag GET       file_request    unasked          200
campaign-untag POST      file_request    unasked+mine     303
campaign-archive GET     file_request    unasked          200
campaign-archive POST    file_request    unasked+mine     303
campaign-unarchive GET   file_request    unasked          200
campaign-unarchive POST  file_request    unasked+mine     409
campaign-delete GET      file_request    unasked          200
campaign-delete POST     file_request    unasked+mine     303
campaign-template GET    define          unasked          200
campaign-template POST   define          unasked          303
campaign-cancel GET      operate         campaign         200
campaign-cancel POST     operate         campaign         303
bulk-hold GET            watch           place+campaign   200
bulk-hold POST           watch           place+campaign   200
bulk-release GET         watch           place+campaign   200
bulk-release POST        watch           place+campaign   200
bulk-relaunch GET        watch           place+campaign   200
bulk-relaunch POST       watch           place+campaign   200
bulk-prioritise GET      view            place+campaign+rank 200
bulk-prioritise POST     view            place+campaign+rank 200
bulk-tag GET            file_request    place+campaign   200
bulk-tag POST           file_request    place+campaign   200
bulk-untag GET          file_request    place+campaign   200
bulk-untag POST         file_request    place+campaign   200
bulk-archive GET        file_request    place+campaign   200
bulk-archive POST       file_request    place+campaign   200
bulk-unarchive GET      file_request    place+campaign   200
bulk-unarchive POST     file_request    place+campaign   200
bulk-delete GET         file_request    place+campaign   200
bulk-delete POST        file_request    place+campaign   200
bulk-cancel GET          operate         place+campaign   200
bulk-cancel POST         operate         place+campaign   200
batches GET              view            place            200
batch GET                view            live             200
batch-relaunch GET       watch           broken           200
batch-relaunch POST      watch           broken           303
batch-launch_with GET    operate         broken           200
batch-launch_with POST   operate         broken           303
batch-commands GET       view            live             200
campaign-commands GET    view            campaign         200
submission-commands GET  view            running          200
batch-recover GET        operate         broken           200
batch-recover POST       operate         broken           303
batch-package GET        view            live             200
batch-reproduce GET      operate         live             200
batch-reproduce POST     operate         live             409
reviews GET              view            place            200
reviews-all GET          signed_in       me               200
reproductions GET        view            place            200
reproduction GET         view            again            200
reproduction-sign_off GET sign_off       again            200
reproduction-sign_off POST sign_off      again            303
campaign-report GET      view            campaign         200
campaign-verdict GET     sign_off        campaign         200
campaign-verdict POST    sign_off        campaign         409
campaign-watch GET       view            campaign         200
campaign-watch POST      view            campaign         303
campaign-unwatch GET     view            campaign         200
campaign-unwatch POST    view            campaign         303
submissions GET          view            place            200
submission GET           view            running          200
submission-hold GET      watch           running          200
submission-hold POST     watch           running          303
submission-release GET   watch           running          200
submission-release POST  watch           running          303
submission-kill GET      operate         running          200
submission-kill POST     operate         running          303
submission-adopt GET     operate         unsure           200
submission-adopt POST    operate         unsure           503
submission-give_up GET   operate         unsure           200
submission-give_up POST  operate         unsure           303
queue GET                view            place            200
queue POST               view            place            200
queue-save POST          view            place+rank       303
jobs GET                 view            place            200
job GET                  view            job              200
job-compare GET          view            job              200
job-hold GET             watch           job              200
job-hold POST            watch           job              303
job-release GET          watch           job              200
job-release POST         watch           job              303
job-kill GET             operate         job              200
job-kill POST            operate         job              303
select-page-job-kill GET operate place+job 200
select-page-job-kill POST operate place+job 200
select-page-job-hold GET watch place+job 200
select-page-job-hold POST watch place+job 200
select-page-job-release GET watch place+job 200
select-page-job-release POST watch place+job 200
select-page-job-retry GET watch place+job 200
select-page-job-retry POST watch place+job 200
select-page-submission-kill GET operate place+submission 200
select-page-submission-kill POST operate place+submission 200
select-page-submission-hold GET watch place+submission 200
select-page-submission-hold POST watch place+submission 200
select-page-submission-release GET watch place+submission 200
select-page-submission-release POST watch place+submission 200
select-page-submission-retry GET watch place+submission 200
select-page-submission-retry POST watch place+submission 200
select-page-submission-launch GET operate place+submission 200
select-page-submission-launch POST operate place+submission 200
select-page-batch-kill GET operate place+batch 200
select-page-batch-kill POST operate place+batch 200
select-page-batch-hold GET watch place+batch 200
select-page-batch-hold POST watch place+batch 200
select-page-batch-release GET watch place+batch 200
select-page-batch-release POST watch place+batch 200
select-page-batch-retry GET watch place+batch 200
select-page-batch-retry POST watch place+batch 200
select-page-batch-launch GET operate place+batch 200
select-page-batch-launch POST operate place+batch 200
select-page-stage-kill GET operate place+stage 200
select-page-stage-kill POST operate place+stage 200
select-page-stage-hold GET watch place+stage 200
select-page-stage-hold POST watch place+stage 200
select-page-stage-release GET watch place+stage 200
select-page-stage-release POST watch place+stage 200
select-page-stage-retry GET watch place+stage 200
select-page-stage-retry POST watch place+stage 200
select-page-stage-launch GET operate place+stage 200
select-page-stage-launch POST operate place+stage 200
select-page-campaign-kill GET operate place+campaign 200
select-page-campaign-kill POST operate place+campaign 200
select-page-campaign-hold GET watch place+campaign 200
select-page-campaign-hold POST watch place+campaign 200
select-page-campaign-release GET watch place+campaign 200
select-page-campaign-release POST watch place+campaign 200
select-page-campaign-retry GET watch place+campaign 200
select-page-campaign-retry POST watch place+campaign 200
select-page-campaign-launch GET operate place+campaign 200
select-page-campaign-launch POST operate place+campaign 200
commands GET             view            place            200
command GET              view            command          200
reports-all GET          signed_in       me               200
reports-all POST         signed_in       me               303
reports GET              view            place            200
shift-all GET            signed_in       me               200
shift-all POST           signed_in       me               303
shift GET                view            place            200
shift POST               view            place            303
metrics GET              public          public           404
loops GET                signed_in       administered     200
trouble-retry GET        signed_in       administered     200
trouble-retry POST       signed_in       administered     303
healthz GET              public          public           200
readyz GET               public          public           200
shifts GET               view            place            200
shifts POST              operate         place            303
shift-remove GET         operate         shift            200
shift-remove POST        operate         shift            303
uploads GET              define_own      place           200
uploads POST             define_own      place           303
upload-content GET       define_own      upload-name     200
stop GET                 operate         place            200
stop POST                operate         place            303
go-on GET                operate         place            200
go-on POST               operate         place            409
stop-all GET             signed_in       administered     200
stop-all POST            signed_in       administered     303
go-on-all GET            signed_in       administered     200
go-on-all POST           signed_in       administered     409
schedules GET            view            place            200
schedule GET             view            schedule         200
schedule-pause GET       watch           schedule         200
schedule-pause POST      watch           schedule         303
schedule-resume GET      watch           schedule         200
schedule-resume POST     watch           schedule         409
schedule-run GET         watch           schedule         200
schedule-run POST        watch           schedule         303
hold-release GET         watch           hold             200
hold-release POST        watch           hold             303
files GET                view            place            200
data GET                 view            place            200
file GET                 view            file-name        200
file-content GET         view            file-name        200
sites GET                view            place            200
exclusions GET           view            place            200
exclusions POST          watch           place            303
exclusion GET            view            excluded         200
exclusion-release GET    watch           excluded         200
exclusion-release POST   watch           excluded         303
exclusion-extend GET     watch           excluded         200
exclusion-extend POST    watch           excluded         303
exclusion-exclude GET    watch           excluded         200
exclusion-exclude POST   watch           excluded         409
guard GET                view            place            200
guard POST               administer      place            303
services GET             view            place            200
service GET              view            outside          200
service-check GET        watch           outside          200
service-check POST       watch           outside          303
service-override GET     watch           outside          200
service-override POST    watch           outside          303
service-downtime GET     watch           outside          200
service-downtime POST    watch           outside          303
service-no_downtime GET  watch           outside          200
service-no_downtime POST watch           outside          422
holds GET                view            place            200
hold-new GET             watch           place            200
hold-new POST            watch           place            303
limit-new GET            operate         place            200
limit-new POST           operate         place            303
waste-limit-new GET      operate         place            200
waste-limit-new POST     operate         place            303
service-new GET          administer      place            200
service-new POST         administer      place            303
service-edit GET         administer      outside          200
service-edit POST        administer      outside          303
limit-remove GET         operate         limit            200
limit-remove POST        operate         limit            303
failures GET             view            place            200
failure GET              view            failure          200
failure-fix GET          watch           failure          200
failure-fix POST         watch           failure          303
failure-route GET        operate         failure          200
failure-route POST       operate         failure          303
failure-ticket GET       watch           failure          200
failure-ticket POST      watch           failure          422
failure-link GET         watch           failure          200
failure-link POST        watch           failure          303
failure-logbook GET      watch           failure          200
failure-logbook POST     watch           failure          422
routes GET               view            place            200
routes POST              administer      place            303
route-remove GET         administer      route            200
route-remove POST        administer      route            303
provided GET             signed_in       me               200
credentials GET          view            place            200
credential GET           view            credential       200
credential POST          operate         credential       303
notices GET              signed_in       me               200
notices POST             signed_in       me               303
notice-choices GET       signed_in       me               200
notice-choices POST      signed_in       me               303
outbox GET               administer      place            200
outbox POST              administer      place            303
docs GET                 public          docs             200
docs-search GET          public          docs             200
docs-part GET            public          docs             200
docs-page GET            public          docs             200
docs-folder-page GET     public          docs             200
docs-source GET          public          docs             200
"""

# The world's campaign is held, has no tags and runs: these say for it that there is nothing to do (tests/web/test_verbs.py holds others).
WITHOUT_A_STEP = ("request-check POST", "request-look POST", "request-sketch-drop POST", "request-watch POST",
                  "request-unwatch POST", "campaign-watch POST", "campaign-unwatch POST", "account-token POST", "kept-form POST", "consent POST", "notices POST",
                  "notice-choices POST", "bulk-hold POST", "bulk-untag POST", "bulk-archive POST",
                  "bulk-tag POST by approver", "bulk-tag POST by analyser",  # it is not theirs: said for each by itself
                  "service-check POST", "reports-all POST", "shift-all POST", "shift POST", "bulk-unarchive POST", "bulk-delete POST", "queue POST", "sign-out POST",
                  "editor-look POST",
                  # Nothing in the world is held, pending or failed that these could be said to.
                  *(f"select-page-{what} POST" for what in (
                      "job-release", "job-retry", "submission-retry", "submission-launch", "batch-kill", "batch-hold",
                      "batch-release", "batch-launch", "stage-release", "stage-launch", "campaign-hold")))  # fmt: skip
# Coming is noted in the ledger even when it is refused.
REFUSED_WITH_A_STEP = ("sign-in POST",)
DOCS = {
    "docs": {}, "docs-search": {}, "docs-part": {"part": "guide"}, "docs-page": {"part": "guide", "name": "words"},
    "docs-folder-page": {"folder": "decisions", "name": "0001-postgresql-only"}, "docs-source": {"file": "README.md"},
}  # fmt: skip
SENT = {
    "failure-route": {"owner": "sam", "reason": "to see who may"},
    "routes": {"cause": "node", "service": "sam", "place": "7", "reason": "to see who may"},
    "hold-new": {"scope": "experiment", "reason": "to see who may"},
    "limit-new": {"kind": "jobs", "most": "5", "reason": "to see who may"},
    "waste-limit-new": {"share": "60", "least": "20", "reason": "to see who may"},
    "service-new": {
        "name": "new",
        "kind": "none",
        "gates": "nothing",
        "every_s": "60",
        "downs": "1",
        "ups": "2",
        "reason": "to see who may",
    },
    "service-edit": {
        "title": "The service",
        "kind": "none",
        "gates": "nothing",
        "every_s": "60",
        "downs": "1",
        "ups": "2",
        "active": "1",
        "reason": "to see who may",
    },
    "uploads": {"do": "remove", "name": "a.txt"},
    "shifts": {"person": "shifter", "begins": "2036-12-01T06:00", "until": "2036-12-01T14:00"},
    "exclusions": {"system": "local", "level": "node", "name": "worse", "hours": "4", "reason": "to see who may"},
    "guard": {"system": "local", "mode": "act", "cap": "10", "hours": "1", "reason": "to see who may"},
}
# What is ticked on a list of each kind.
TICKED = {"campaign": "campaign", "stage": "stage", "batch": "broken", "submission": "running", "job": "job"}
LETTERS = {"command": "x", "shift": "w", "request": "r", "campaign": "c", "batch": "b", "submission": "s", "job": "j", "schedule": "k",
           "hold": "h", "service": "v", "limit": "l", "failure": "f", "route": "o", "exclusion": "e",
           "reproduction": "p"}  # fmt: skip


def body_of(line: Expected, world: World, url: str) -> dict[str, str]:
    """Return what a person would send."""
    corner = world.other if url.startswith("/e/other/") else world.own
    if line.route in ("request-new", "request-edit"):
        return {"title": "as the matrix says", "production_stage": "mc", "definition": corner.definition}
    if line.route == "campaign-editor":
        last, name = queries.newest(corner.objects["campaign"]), f"of-{corner.experiment.name}"
        return {"text": changing.set_value(last.source, "campaign", "", "name", name), "base": str(last.number)}
    if line.route == "account-token":
        return {"name": "mine", "days": "1"}
    if line.route == "sign-in":
        return {"username": "experimenter", "password": "not this"}
    if line.route == "outbox":
        return {"do": "webhook", "url": "https://hooks.example.org/poms", "reason": "to see who may"}
    if line.route == "campaign-new":
        return {"text": corner.definition, "format": "ini", "keep": "1"}
    if line.route in ("campaign-tag", "campaign-untag", "bulk-tag"):
        return {"tags": "old" if line.route == "campaign-untag" else "spring"}
    if line.route in ("campaign-template", "campaign-clone", "template-use"):
        return {"name": "another"}
    if line.route == "request-attach":
        return {"file": SimpleUploadedFile("a.txt", b"hallo")}
    if line.route in ("request-untick", "request-detach"):
        return {"reason": "to see who may", "ticked": "seen", "name": "note.txt"}
    if line.route in ("queue", "queue-save"):
        return {"reason": "to see who may", f"rank-c{corner.objects['campaign'].pk}": "60"}
    if line.route in SENT:
        return SENT[line.route]
    like = corner.ref("like").rpartition("/")[2]
    return {"reason": "to see who may", "jobs": "leave", "rank": "60", "share": "60", "least": "20", "priority": "60", "size": "1", "first": "1", "with": like,
            "text": "what for?", "hours": "4", "stage": "gen", "verdict": "passed", "state": "down",
            "passed": "yes", "parameters": '[["--tune ", "G18"]]', "until": "2999-01-01 00:00"}  # fmt: skip


@dataclass(frozen=True)
class Cell:
    """One address of a page: what it is about, whose experiment it names, and whether the object is there."""

    what: str
    experiment: str
    corner: str  # own, other or none: on which experiment the rule is asked
    url: str
    there: bool
    refs: tuple[str, ...] = ()


@dataclass
class Matrix:
    """One pass over all cells: asks, compares, gathers what differs."""

    cast: Cast
    world: World
    wrong: list[str] = field(default_factory=list)
    cells: int = 0
    clients: dict[str, Client] = field(default_factory=dict)

    def people(self) -> Iterator[str]:
        """Give everybody, each with a browser of their own."""
        for who in (*self.cast.people, "anonymous"):
            self.clients[who] = Client(raise_request_exception=False)
            if who != "anonymous":
                self.clients[who].force_login(self.cast.people[who])
            yield who

    def ask(self, line: Expected, who: str, url: str, refs: tuple[str, ...] = ()) -> tuple[Any, int]:
        """Make one request; return the answer and how many steps the ledger gained; take back what it changed."""
        browser, cookies = self.clients[who], self.clients[who].cookies.output()
        with transaction.atomic():
            before = Transition.objects.count()
            if line.method == "GET":
                answer = browser.get(url, {"ref": refs} if refs else {})
            else:
                sent = {} if line.route != "editor-look" else {"content_type": "application/json"}
                answer = browser.post(
                    url, {**body_of(line, self.world, url), **({"ref": refs} if refs else {})}, **sent
                )
            list(getattr(answer, "streaming_content", ()))
            steps = Transition.objects.count() - before
            transaction.set_rollback(True)
        browser.cookies = SimpleCookie(cookies.replace("Set-Cookie: ", ""))
        self.cells += 1
        return answer, steps

    def judge(self, where: str, got: tuple[Any, int], status: int, says: tuple[str, ...] = (), to: str = "") -> str:
        """Note a cell that is not as expected; return what its page says."""
        answer, steps = got
        text = main_of(answer) if not answer.streaming else ""
        if answer.status_code != status:
            self.wrong.append(f"{where}: {answer.status_code} instead of {status}: {text[:300]}")
            return text
        if to and answer.headers.get("Location") != to:
            self.wrong.append(f"{where}: leads to {answer.headers.get('Location')} instead of {to}")
        self.wrong += [f"{where}: the {status} does not say {word!r}: {text}" for word in says if word not in text]
        refused = status in (302, 401, 403, 404, 409, 422, 503) or "GET" in where
        if where.startswith(REFUSED_WITH_A_STEP):
            refused = False
        if refused and steps:
            self.wrong.append(f"{where}: the {status} left {steps} steps in the ledger")
        if not refused and not steps and not where.startswith(WITHOUT_A_STEP):
            self.wrong.append(f"{where}: the {status} left no step in the ledger")
        return text


def main_of(answer: Any) -> str:
    """Return the words of a page without its frame, or of a dialogue."""
    text = re.sub(r'name="csrfmiddlewaretoken" value="\w+"', "", answer.content.decode(errors="replace"))
    found = re.search(r"<main.*?</main>", text, re.DOTALL)
    return " ".join(re.sub(r"<[^>]+>", " ", found[0] if found else text).split())


# --- Every page, every method, every role, every object -------------------------------------------------------


@pytest.mark.django_db
@pytest.mark.parametrize("kind", ["reading", "asking", "changing"])
def test_every_page_answers_every_role_as_the_table_says(cast, settings, tmp_path, kind):
    settings.LOCAL_SPOOL, settings.LOCAL_LAUNCHES = tmp_path / "no daemon", tmp_path / "launches"
    settings.LOCAL_FILES = tmp_path
    settings.LOCAL_SHARED_ACCOUNT = True
    matrix = Matrix(cast, populate(cast))
    for corner in (matrix.world.own, matrix.world.other):
        place = tmp_path / corner.experiment.name / "a.txt"
        place.parent.mkdir()
        place.write_text("some bytes")
        File.objects.update_or_create(experiment=corner.experiment, name="a.txt", defaults={"path": str(place)})
        Campaign.objects.filter(pk=corner.objects["campaign"].pk).update(name=f"of-{corner.experiment.name}")
        keeping.keep(corner.experiment, cast.analyser, "a.txt", [b"some bytes"])
    ways: dict[str, Callable[[Matrix, Expected, str], None]] = {
        "me": _anybody, "public": _public, "docs": _docs, "switch": _switch, "administered": _administered,
        "overseen": _overseen,
    }  # fmt: skip
    verbs = (
        "request-",
        "campaign-",
        "bulk-",
        "select-",
        "batch-",
        "submission-",
        "job-",
        "schedule-",
        "hold-",
        "shift-",
    )
    for who in matrix.people():
        for line in expectations(TABLE).values():
            mine = "changing" if line.method == "POST" else "asking" if line.route.startswith(verbs) else "reading"
            if mine == kind:
                live.forget()
                ways.get(line.about, _cells)(matrix, line, who)
    assert not matrix.wrong, f"{len(matrix.wrong)} of {matrix.cells} cells:\n" + "\n".join(matrix.wrong[:60])
    assert matrix.cells > (400 if WHOLE else 250)


def cells_of(line: Expected, world: World, who: str) -> Iterator[Cell]:
    """Give own, the other experiment's at its address and at one's own, one that is missing, and no experiment."""
    name = line.about.partition("+")[0]
    corners = {"own": world.own, "other": world.other, "none": None}
    if name in ("place", "sketch"):
        for what in about_which(list(corners), who, line.route, line.method):
            corner = corners[what]
            experiment = corner.experiment.name if corner else "nowhere"
            ticked = line.about.partition("+")[2].partition("+")[0]
            refs = (str((corner or world.own).ref(TICKED[ticked])).partition("/")[2],) if ticked in TICKED else ()
            more = [MISSING] if name == "sketch" else []  # nobody's: to throw away what is gone is no fault
            yield Cell(what, experiment, what, reverse(line.route, args=[experiment, *more]), bool(corner), refs)
        return

    more = ["note.txt"] if line.route == "request-attachment" else []

    def key(corner: Any) -> str:
        if name == "upload-name":
            return "a.txt"
        if name == "file-name":
            return f"file-of-{corner.experiment.name}" if line.route == "file" else "a.txt"
        if name == "campaign-name":
            return f"of-{corner.experiment.name}"
        return str(corner.ref(name)).rpartition("/")[2]

    noun, _, verb = line.route.partition("-")
    letter, asked = LETTERS.get(noun, ""), bool(verb) and line.method == "GET"
    absent = f"{letter}{MISSING}" if not name.endswith("-name") else "nosuch"
    cells = {
        "own": ("demo", "own", key(world.own), True),
        "other": ("other", "other", key(world.other), True),
        "missing": ("demo", "own", absent, False),
        "smuggled": ("demo", "own", key(world.other), False),
        "nowhere": ("nowhere", "none", key(world.own), False),
    }
    for what in about_which(list(cells), who, line.route, line.method):
        experiment, corner, named, there = cells[what]
        if what == "smuggled" and name in ("template", "jobtype", "setup", "credential"):
            continue  # both experiments have one of this name
        if what in ("smuggled", "nowhere") and (asked or not holds(who, line.rule, "own")) and who != "stranger":
            continue  # its POST is asked, which does more; who may not do it at all is refused as for what is missing
        yield Cell(what, experiment, corner, reverse(line.route, args=[experiment, named, *more]), there)


def _cells(matrix: Matrix, line: Expected, who: str) -> None:
    """A page under /e/<experiment>/."""
    owned = line.about.endswith("+mine")
    unseen: dict[str, str] = {}
    for cell in cells_of(line, matrix.world, who):
        where = f"{line.route} {line.method} by {who} on {cell.what}"
        got = matrix.ask(line, who, cell.url, cell.refs)
        owner = {"own": "experimenter", "other": "stranger"}.get(cell.corner)
        if who == "anonymous":
            query = "?" + urlencode({"ref": cell.refs}, doseq=True) if line.method == "GET" and cell.refs else ""
            matrix.judge(where, got, 302, to=f"/sign-in/?next={quote(cell.url + query, safe='')}")
        elif not holds(who, "view_overview", cell.corner):
            unseen[cell.url] = matrix.judge(where, got, 404, ("or you may not see it",))
        elif not holds(who, line.rule, cell.corner):
            matrix.judge(where, got, 403, (*roles_of(line.rule), f"in {cell.experiment}"))
        elif not cell.there:
            unseen[cell.url] = matrix.judge(where, got, 404, ("or you may not see it",))
        elif owned and who != owner and not holds(who, "check_request", cell.corner):
            named = (f"{owner}&#x27;s",) if line.method == "POST" else ()
            matrix.judge(where, got, 403, (*named, "operator", f"in {cell.experiment}"))
        elif line.about.endswith("+rank") and not ranks(who, cell.corner):
            matrix.judge(where, got, 403, ("operator", "approver", f"in {cell.experiment}"))
        else:
            matrix.judge(where, got, line.status)
    _reveals_nothing(matrix, f"{line.route} {line.method} by {who}", unseen)


def _reveals_nothing(matrix: Matrix, where: str, unseen: dict[str, str]) -> None:
    """All 404 of a page read the same, whether the thing is missing or hidden, but for the name that was asked for."""
    said = {
        re.sub(r"(file-of|of)-\w+|nosuch|a\.txt|[rcbsjkhxwvlfoep]\d+", "KEY", text)
        for url, text in unseen.items()
        if "/demo/" in url
    }
    hidden = {re.sub(r"\b(other|nowhere|demo)\b", "PLACE", t) for u, t in unseen.items() if "experiment" in t}
    if len(said) > 1 or len(hidden) > 1:
        matrix.wrong.append(f"{where}: the 404 tell apart: {said | hidden}")


def _anybody(matrix: Matrix, line: Expected, who: str) -> None:
    """Who is signed in, about themselves (what they see there: tests/web)."""
    url = f"{reverse(line.route)}?q=tiny" if line.route == "search" else reverse(line.route)
    where = f"{line.route} {line.method} by {who}"
    got = matrix.ask(line, who, url)
    if who == "anonymous":
        matrix.judge(where, got, 302, to=f"/sign-in/?next={quote(url, safe='')}")
    else:
        matrix.judge(where, got, line.status)
        for name, corner in (("demo", "own"), ("other", "other")):
            if re.search(rf"/e/{name}/\w+/[a-z]\d", got[0].content.decode(errors="replace")) and not holds(
                who, "view", corner
            ):
                matrix.wrong.append(f"{where} shows something of {name}")


def _administered(matrix: Matrix, line: Expected, who: str) -> None:
    """What concerns all experiments is for administrators."""
    more = {"key": a_trouble()} if line.route == "trouble-retry" else {}
    url = reverse(line.route, kwargs=more)
    where, got = f"{line.route} {line.method} by {who}", matrix.ask(line, who, url)
    if who == "anonymous":
        matrix.judge(where, got, 302, to=f"/sign-in/?next={quote(url, safe='')}")
    else:
        matrix.judge(where, got, line.status if who == "administrator" else 403)


def a_trouble() -> int:
    """Return the number of a row that a loop could not step."""
    parked = {"tries": 5, "error": "ValueError: no"}
    return Trouble.objects.get_or_create(loop="plan", kind="stage", thing_id=MISSING, defaults=parked)[0].pk


def _overseen(matrix: Matrix, line: Expected, who: str) -> None:
    """What looks over all experiments is for supervisors and administrators."""
    url = reverse(line.route)
    where, got = f"{line.route} {line.method} by {who}", matrix.ask(line, who, url)
    if who == "anonymous":
        matrix.judge(where, got, 302, to=f"/sign-in/?next={quote(url, safe='')}")
    else:
        matrix.judge(where, got, line.status if who in ("administrator", "supervisor") else 403)


def _switch(matrix: Matrix, line: Expected, who: str) -> None:
    for corner, name in (("own", "demo"), ("other", "other"), ("none", "nowhere")):
        url = reverse("switch", args=[name])
        got = matrix.ask(line, who, url)
        where = f"switch GET by {who} to {name}"
        if who == "anonymous":
            matrix.judge(where, got, 302, to=f"/sign-in/?next={quote(url, safe='')}")
        elif holds(who, "view_overview", corner):
            matrix.judge(where, got, 302, to=f"/e/{name}/")
        else:
            matrix.judge(where, got, 404, ("or you may not see it",))


def _public(matrix: Matrix, line: Expected, who: str) -> None:
    signed_in = line.route == "sign-in" and line.method == "GET" and who != "anonymous"
    where = f"{line.route} {line.method} by {who}"
    matrix.judge(where, matrix.ask(line, who, reverse(line.route)), 302 if signed_in else line.status)


def _docs(matrix: Matrix, line: Expected, who: str) -> None:
    url = reverse(line.route, kwargs=DOCS[line.route])
    matrix.judge(f"{line.route} GET by {who}", matrix.ask(line, who, url), line.status)
