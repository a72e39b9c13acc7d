"""Same powers in all three (S1): whatever POMS can do is a page, a call of the API and a command of `poms`.

The calls of the API are taken from its addresses. Pages are found by name, or named below. Commands are found by saying
every one of them to the site, and looking at what it calls.
"""

from __future__ import annotations

import pytest
from django.urls import get_resolver

from experiments.logic import tokens
from experiments.rules import rule_of
from poms_site.web.things import NOUNS, noun_of
from tests.contracts import checks, commands
from tests.contracts.asking import NOT_DESCRIBED
from tests.contracts.captain import appoint
from tests.contracts.world import populate

# --- What people review -------------------------------------------------------------------------------------------

# What has no page of its own name: the page that shows it, or its form. `admin:` pages are those of the admin.
PAGES = """
audit-verify GET             audit GET
batch-systems-list GET       admin:integrations_batchsystem_changelist
batch-systems-list POST      admin:integrations_batchsystem_add
batch-systems-detail GET     admin:integrations_batchsystem_change
batch-systems-detail PATCH   admin:integrations_batchsystem_change
batch-systems-put_away POST  admin:integrations_batchsystem_change
batch-systems-try POST       admin:integrations_batchsystem_changelist
batches-export GET           batches GET
batches-history GET          batch GET
batches-recovery GET         batch-recover GET
campaigns-apply POST         campaign-definition POST
campaigns-definition PUT     campaign-editor POST
campaigns-diff GET           campaign-definition GET
campaigns-plan POST          campaign-plan GET
campaigns-export GET         campaign-definition GET
campaigns-fife POST          editor-look POST
campaigns-import POST        campaign-new POST
campaigns-recovery GET       campaign-recover GET
campaigns-revisions GET      campaign-definition GET
campaigns-text GET           campaign-definition GET
campaigns-verdicts GET       campaign GET
commands-history GET         command GET
commands-outcomes GET        command GET
credentials-check POST       credential POST
credentials-detail PATCH     admin:integrations_credential_change
credentials-history GET      credential GET
credentials-list POST        admin:integrations_credential_add
credentials-renew POST       credential POST
data-query GET               data GET
data-read GET                data GET
data-show GET                data GET
events-list GET              audit GET
exclusions-history GET       exclusion GET
experiments-list GET         home GET
failures-history GET         failure GET
files-story GET              file GET
guards-detail PATCH          guard POST
guards-list GET              guard GET
holds-detail GET             holds GET
jobs-export GET              jobs GET
jobs-history GET             job GET
jobs-life GET                job GET
jobs-log GET                 job GET
jobs-over-time GET           jobs GET
jobs-records GET             job GET
jobtypes-detail PATCH        jobtype POST
jobtypes-list GET            library GET
jobtypes-list POST           admin:campaigns_jobtype_add
jobtypes-restore POST        jobtype POST
jobtypes-versions GET        jobtype GET
launch-hosts-detail GET      admin:integrations_launchhost_change
launch-hosts-detail PATCH    admin:integrations_launchhost_change
launch-hosts-list GET        admin:integrations_launchhost_changelist
launch-hosts-list POST       admin:integrations_launchhost_add
launch-hosts-put_away POST   admin:integrations_launchhost_change
launch-hosts-try POST        admin:integrations_launchhost_changelist
limits-detail GET            holds GET
limits-list GET              holds GET
me GET                       account GET
notices-read POST            notices POST
notices-test POST            notice-choices POST
outcomes-list GET            commands GET
outbox-webhook PUT           outbox POST
outbox-desk PUT              outbox POST
outbox-logbook PUT           outbox POST
outbox-again POST            outbox POST
overview GET                 overview-page GET
queue-order POST             queue-save POST
queue-preview POST           queue POST
reproductions-history GET    reproduction GET
requests-attachments GET     request GET
requests-comments GET        request GET
requests-cost GET            request GET
requests-detail PATCH        request-edit POST
requests-history GET         request GET
requests-partners GET        request-merge GET
routes-detail GET            routes GET
schedules-calendar GET       schedule GET
schedules-history GET        schedule GET
services-detail PATCH        service-edit POST
services-history GET         service GET
services-states GET          service GET
setups-detail PATCH          setup POST
setups-list GET              library GET
setups-list POST             admin:campaigns_loginsetup_add
setups-restore POST          setup POST
setups-trials GET            setup GET
setups-versions GET          setup GET
shift-log POST               shift POST
shift-read POST              shift POST
splits-preview POST          editor-look POST
stages-commands GET          campaign-commands GET
stages-detail GET            campaign GET
stages-list GET              campaign GET
stages-recover POST          campaign-recover POST
stages-recovery GET          campaign-recover GET
stages-why GET               campaign GET
stops-all-go_on POST         go-on-all POST
stops-go_on POST             go-on POST
stops-list GET               holds GET
stops-list POST              stop POST
submissions-export GET       submissions GET
submissions-history GET      submission GET
submissions-log GET          submission GET
templates-detail PATCH       template POST
templates-list GET           library GET
templates-list POST          admin:approvals_template_add
templates-restore POST       template POST
templates-versions GET       template GET
tokens-list GET              account GET
tokens-list POST             account-token POST
tokens-revoke POST           account-revoke POST
restorations-list GET        loops GET
troubles-list GET            loops GET
uploads-remove POST          uploads POST
waste-limits-list GET        sites GET
"""
# No page, and why that is right.
NO_PAGE = {
    "reports-list POST": "a job says it of itself, with the token of its submission: nobody clicks it",
    "stages-register POST": "the wrapper of a launch outside POMS says it, with the job ids that it has printed",
    "files-declare POST": "it takes lists of files with their metadata, which programs have and people do not type",
}
# No command, and why that is right.
NO_COMMAND = {
    "reports-list POST": "a job says it of itself, with the token of its submission, where no command is installed",
}
# Forms of pages that only serve pages, or one's own session.
OF_PAGES = {
    "sign-in POST": "how a browser comes in; commands and calls bring a token",
    "sign-out POST": "ends the session of a browser; commands have none",
    "kept-form POST": "sends a form again that a sign-in interrupted",
    "consent POST": "the banner of a browser's session",
    "account-sign-out POST": "ends the sessions of browsers; tokens are revoked one by one",
    "request-look POST": "says beside the form what it would be; the API's check and plan say the same",
    "request-sketch-drop POST": "drops what a browser kept of a form that was never sent",
    "reports-all POST": "who gets reports by mail: choices of notices say the same",
    "shift-all POST": "marks the shift of several experiments as read, which the API says of one by one",
}
# What commands are refused in the tests' world, where nothing of the kind is set up; that they ask is what counts.
REFUSED = {
    "campaign process-again {campaign} gen -r why": 409,  # its stage has not ended
    "review verdict {campaign} good -r why": 409,  # nor has the campaign
    "reproduce {live} -r why": 409,  # nor has the batch
    "submission adopt {unsure} -r why": 503,  # no batch system answers
    "job log {job}": 503,
    "failure ticket {failure} -r why": 422,  # no service desk is set
    "failure logbook {failure} -r why": 422,  # no logbook is set
    "shift log -e demo": 422,
}


def operations() -> dict[str, str | None]:
    """Return what the API can do, route and method, with the rule of each."""
    return {
        f"{pattern.name} {method}": rule_of(checks.view_class(pattern.callback), action)
        for address, pattern in checks.routes(get_resolver().url_patterns)
        if address.startswith("api/") and pattern.name not in NOT_DESCRIBED
        for method, action in checks.served(pattern.callback).items()
    }


def all_pages() -> set[str]:
    """Return every page with its method; those of the admin by name."""
    found = set()
    for address, pattern in checks.routes(get_resolver().url_patterns):
        if checks.is_admin(pattern.callback):
            found.add(f"admin:{pattern.name}")
        elif not address.startswith(("api/", "^poms/", "docs/")):
            found |= {f"{pattern.name} {method}" for method in checks.served(pattern.callback)}
    return found


def named(table: str) -> dict[str, str]:
    """Return the table of pages by operation."""
    found: dict[str, str] = {}
    for line in table.strip().splitlines():
        route, method, page = line.split(maxsplit=2)
        assert f"{route} {method}" not in found, f"{route} {method} stands twice in the table"
        found[f"{route} {method}"] = page.strip()
    return found


SINGULAR = {NOUNS[letter][0]: noun_of(letter) for letter in NOUNS}


def by_name(operation: str) -> list[str]:
    """Return the pages that have the name of an operation: campaigns-hold POST is the form campaign-hold."""
    route, method = operation.split()
    noun, _, verb = route.rpartition("-")
    one = SINGULAR.get(noun, noun.removesuffix("s"))
    if route.startswith("select-"):
        return [f"select-page-{route.removeprefix('select-')} POST"]
    if method == "GET":
        return [
            {"list": f"{noun} GET", "detail": f"{one} GET", "why": f"{one} GET"}.get(verb, f"{one}-{verb} GET"),
            f"{route} GET",
        ]
    return [f"{one}-new POST", f"{noun} POST"] if verb == "list" else [f"{one}-{verb} POST"]


def pages_of(operation: str, known: set[str], table: dict[str, str]) -> list[str]:
    """Return the pages of an operation: the one that the table names, or those of its name."""
    given = [table[operation]] if operation in table else by_name(operation)
    return [page for page in given if page in known]


def without_page(asked: dict[str, str | None], known: set[str], table: dict[str, str]) -> list[str]:
    """Return a sentence for each operation without a page."""
    return [
        f"{operation} has no page: add one called {by_name(operation)[0].split()[0]!r}, or name in PAGES where it is done, or say"
        " in NO_PAGE why none is wanted"
        for operation in sorted(asked)
        if operation not in NO_PAGE and not pages_of(operation, known, table)
    ]


def without_call(known: set[str], asked: dict[str, str | None], table: dict[str, str]) -> list[str]:
    """Return a sentence for each form of a page behind which there is no call of the API."""
    done = {page for operation in asked for page in pages_of(operation, known, table)}
    done |= {
        f"bulk-{operation.split()[0].rpartition('-')[2]} POST"
        for operation in asked
        if operation.startswith("campaigns-")
    }
    return [
        f"{page} has no call of the API: add one, and name the page in PAGES, or say in OF_PAGES why pages alone do it"
        for page in sorted(known)
        if page.endswith(" POST") and page not in done and page not in OF_PAGES
    ]


def without_command(asked: dict[str, str | None], called: set[str]) -> list[str]:
    """Return a sentence for each operation that no command calls."""
    return [
        f"{operation} has no command: add one to client/poms_client/commands and a line to tests/contracts/commands.py, or say in"
        " NO_COMMAND why none is wanted"
        for operation in sorted(asked)
        if operation not in NO_COMMAND and operation not in called
    ]


# --- Pages ----------------------------------------------------------------------------------------------------------


def test_everything_that_the_api_does_has_a_page():
    assert not (wrong := without_page(operations(), all_pages(), named(PAGES))), "\n".join(wrong)


def test_everything_that_a_page_does_is_a_call():
    assert not (wrong := without_call(all_pages(), operations(), named(PAGES))), "\n".join(wrong)


def test_the_tables_name_what_there_is():
    asked, known = operations(), all_pages()
    assert set(named(PAGES)) <= set(asked) and set(named(PAGES).values()) <= known
    assert set(NO_PAGE) | set(NO_COMMAND) <= set(asked) and set(OF_PAGES) <= known
    needless = [operation for operation in named(PAGES) if pages_of(operation, known, {}) == [named(PAGES)[operation]]]
    assert not needless, f"found by name, and need no line: {needless}"
    assert not [operation for operation in NO_PAGE if pages_of(operation, known, {})]


# --- Commands -------------------------------------------------------------------------------------------------------


@pytest.fixture
def said(cast, settings, tmp_path, monkeypatch, capsys, db):
    """Say every command to the site, as somebody who may do everything; return what became of each."""
    settings.LOCAL_SPOOL, settings.LOCAL_LAUNCHES = tmp_path / "no daemon", tmp_path / "launches"
    settings.STATE_DIR, settings.LOCAL_SHARED_ACCOUNT = tmp_path, True
    corner, captain, site = populate(cast).own, appoint(cast), commands.Site()
    _, secret = tokens.issue(captain, "test")
    monkeypatch.setattr("requests.sessions.Session.get_adapter", lambda session, url: site)
    for name, value in {"POMS_URL": commands.SITE, "POMS_TOKEN": secret, "POMS_RETRY_SECONDS": "0",
                        "XDG_CONFIG_HOME": str(tmp_path / "config"), "NO_COLOR": "1"}.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.stdin", commands.typed(secret))
    given = commands.files(tmp_path, corner) | {"token": str(tokens.issue(captain, "other")[0].pk)}
    return [
        commands.say(line, corner, site, given, capsys) for entries in commands.lines().values() for line in entries
    ]


def test_every_command_works_and_everything_has_one(said: list[commands.Said]):
    """One test for both: saying all of them takes its time."""
    told = [f"poms {one.line} ended with {one.code} after {one.calls}: {one.wrote}" for one in said if not worked(one)]
    assert not told, "\n".join(told)
    called = {f"{call.route} {call.method}" for one in said for call in one.calls}
    assert not (wrong := without_command(operations(), called)), "\n".join(wrong)


def worked(one: commands.Said) -> bool:
    """Tell whether a command did what it is for: the site took what it sent, or refused it as the table says."""
    allowed = REFUSED.get(one.line)
    return bool(one.calls) and all(call.status < 300 or call.status == allowed for call in one.calls)


def test_every_line_is_of_a_command():
    known = {name for name, _ in commands.leaves()}
    lines = commands.LINES.strip().splitlines()
    last = {line: line.rpartition("&& ")[2].split() for line in lines}
    assert not [line for line in lines if not {" ".join(last[line][:2]), last[line][0]} & known]
    assert set(REFUSED) <= {line for entries in commands.lines().values() for line in entries}
    assert len(set(lines)) == len(lines)


# --- Planted faults ---------------------------------------------------------------------------------------------------


def test_what_lacks_a_page_a_call_or_a_command_is_found():
    new = {"campaigns-freeze POST": "operate"}
    assert "campaign-freeze" in without_page(new, all_pages(), {})[0]
    assert without_page(new, all_pages() | {"campaign-freeze POST"}, {}) == []
    assert "campaigns-freeze POST has no command" in without_command(new, {"campaigns-hold POST"})[0]
    assert without_command(new, {"campaigns-freeze POST"}) == []
    assert any(
        line.startswith("campaign-freeze POST") for line in without_call({"campaign-freeze POST"}, operations(), {})
    )
    assert without_call({"campaign-freeze POST"}, new, {}) == []


def test_a_command_that_the_site_refuses_is_found():
    call = commands.Call("campaigns-hold", "POST", 404)
    assert not worked(commands.Said("campaign hold demo/c1", [call], 4))
    assert not worked(commands.Said("campaign hold demo/c1", [], 64))
