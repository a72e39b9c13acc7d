"""Every page that there is: its address, who looks at it, and as what its pictures are called.

Whoever adds a route adds a line here; `test_every_route_has_a_page_here` says so.
"""

from __future__ import annotations

from dataclasses import dataclass

E = "/e/demo"


@dataclass(frozen=True)
class Look:
    """One page to look at. `address` has the names of things (world.py) in braces; `route` is what it stands for."""

    name: str
    route: str
    address: str
    role: str
    status: int = 200
    press: str = ""  # the verb that opens a dialog there
    brief: bool = False  # one of many alike: each sixth of them

    @property
    def daily(self) -> bool:
        """Tell whether it is one of the pages in which people work all day, as most of them see it."""
        return self.name in DAILY

    @property
    def reads(self) -> bool:
        """Tell whether it only shows something: no form whose point is to be sent."""
        return self.status == 200 and not self.press and not self.brief and self.route not in FORMS


DAILY = {
    "home-experimenter", "home-approver", "overview", "requests", "request-pending", "request-new", "campaigns", "campaign",
    "campaign-stage", "editor", "queue", "batch", "submission", "jobs", "job-failed",
}  # fmt: skip
FORMS = {
    "campaign-new",
    "sign-in",
    "request-new",
    "request-edit",
    "notice-choices",
    "outbox",
    "campaign-editor",
    "routes",
}


def _verb(noun: str, verb: str, role: str, thing: str) -> Look:
    plural = {"batch": "batches"}.get(noun, f"{noun}s")
    brief = (noun, verb) != ("campaign", "hold")
    name = f"verb-{noun}-{verb}"
    return Look(name, f"{noun}-{verb}", f"{E}/{plural}/{{{thing}}}/{verb}/", role, brief=brief)


def _admin(name: str, role: str, address: str = "", route: str = "", status: int = 200, brief: bool = False) -> Look:
    return Look(f"admin-{name}", f"admin:{route or name}", f"/admin/{address}", role, status, brief=brief)


# What the admin shows of its models is alike but for these.
OWN_WAYS = ("experiment", "approver", "template")


def _model(app: str, model: str, role: str, refused: str = "delete") -> tuple[Look, ...]:
    """The pages of a model of the admin, and which of them nobody has: what has happened is ended, not deleted."""
    key, base = f"{app}_{model}", f"{app}/{model}"
    tails = {"changelist": "", "add": "add/", "change": f"{{{key}}}/change/", "history": f"{{{key}}}/history/",
             "delete": f"{{{key}}}/delete/"}  # fmt: skip
    return tuple(
        _admin(
            f"{model}-{page}", role, f"{base}/{tail}", f"{key}_{page}",
            brief=model not in OWN_WAYS or page in ("history", "delete"),
        )
        for page, tail in tails.items()
        if page not in refused
    )  # fmt: skip


PAGES = (
    Look("sign-in", "sign-in", "/sign-in/", "nobody"),
    Look("account", "account", "/account/", "experimenter"),
    Look("account-of-an-owner", "account", "/account/", "operator"),
    Look("kept-form-none", "kept-form", "/continue/", "experimenter"),
    Look("home-experimenter", "home", "/", "experimenter"),
    Look("home-approver", "home", "/", "approver"),
    Look("home-guest", "home", "/", "guest"),
    Look("home-stranger", "home", "/", "stranger"),
    Look("overview", "overview-page", f"{E}/", "guest"),
    Look("style", "style", "/style/", "experimenter"),
    Look("search", "search", "/search/?q=dimuon", "experimenter"),
    Look("search-nothing", "search", "/search/?q=unheard", "experimenter"),
    # Requests
    Look("requests", "requests", f"{E}/requests/", "experimenter"),
    Look("requests-filtered", "requests", f"{E}/requests/?state=approved&title_has=muons", "experimenter"),
    Look("requests-empty", "requests", "/e/other/requests/", "stranger"),
    Look("request-draft", "request", f"{E}/requests/{{draft}}/", "experimenter"),
    Look("request-pending", "request", f"{E}/requests/{{pending}}/", "approver"),
    Look("request-returned", "request", f"{E}/requests/{{returned}}/", "experimenter"),
    Look("request-approved", "request", f"{E}/requests/{{request}}/", "experimenter"),
    Look("request-new", "request-new", f"{E}/requests/new/", "experimenter"),
    Look("request-new-template", "request-new", f"{E}/requests/new/?template=dimuon", "experimenter"),
    Look("request-amend", "request-edit", f"{E}/requests/{{pending}}/edit/", "experimenter"),
    Look("request-edit", "request-edit", f"{E}/requests/{{draft}}/edit/", "experimenter"),
    # Campaigns and what is in them
    Look("campaigns", "campaigns", f"{E}/campaigns/", "operator"),
    Look("queue", "queue", f"{E}/queue/", "operator"),
    Look("queue-reader", "queue", f"{E}/queue/", "experimenter"),
    Look("queue-empty", "queue", "/e/other/queue/", "stranger"),
    Look("campaigns-guide", "campaigns", "/e/other/campaigns/", "stranger"),
    Look("campaign", "campaign", f"{E}/campaigns/{{campaign}}/", "experimenter"),
    Look("campaign-stage", "campaign", f"{E}/campaigns/{{campaign}}/?stage=reco&by=jobs", "operator"),
    Look("campaign-held", "campaign", f"{E}/campaigns/{{held}}/", "operator"),
    Look("campaign-definition", "campaign-definition", f"{E}/campaigns/{{campaign}}/definition/", "experimenter"),
    Look("editor", "campaign-editor", f"{E}/campaigns/{{campaign}}/editor/", "operator"),
    Look("editor-reader", "campaign-editor", f"{E}/campaigns/{{campaign}}/editor/", "shifter"),
    Look("campaign-heat", "campaign-heat", f"{E}/campaigns/{{campaign}}/heat/?order=worst", "operator"),
    Look("campaign-history", "campaign-history", f"{E}/campaigns/{{campaign}}/history/", "experimenter"),
    Look("batches", "batches", f"{E}/batches/", "operator"),
    Look("batch", "batch", f"{E}/batches/{{batch}}/", "operator"),
    Look("submissions", "submissions", f"{E}/submissions/", "operator"),
    Look("submission", "submission", f"{E}/submissions/{{recovery}}/", "operator"),
    Look("jobs", "jobs", f"{E}/jobs/", "operator"),
    Look("jobs-by-memory", "jobs", f"{E}/jobs/?sort=memory.desc&columns=state,node,memory,wall,busy&span=week", "operator"),
    Look("jobs-failed", "jobs", f"{E}/jobs/?state=failed&campaign={{campaign}}", "shifter"),
    Look("job-failed", "job", f"{E}/jobs/{{failed}}/", "operator"),
    Look("job-log-found", "job", f"{E}/jobs/{{failed}}/?find=event", "operator"),
    Look("job-log-errors", "job", f"{E}/jobs/{{failed}}/?lines=errors", "operator"),
    Look("job-compare", "job-compare", f"{E}/jobs/{{failed}}/compare/", "operator"),
    Look("job", "job", f"{E}/jobs/{{job}}/", "analyser"),
    Look("schedules", "schedules", f"{E}/schedules/", "operator"),
    Look("schedules-empty", "schedules", "/e/other/schedules/", "stranger"),
    Look("schedule", "schedule", f"{E}/schedules/{{schedule}}/", "operator"),
    Look("files", "files", f"{E}/files/", "experimenter"),
    Look("file-picture", "file", f"{E}/files/{{picture}}/", "experimenter"),
    Look("file-text", "file", f"{E}/files/{{text}}/", "experimenter"),
    Look("file-binary", "file", f"{E}/files/{{binary}}/", "experimenter"),
    Look("reports", "reports", f"{E}/reports/", "operator"),
    Look("reports-all", "reports-all", "/reports/?period=all", "supervisor"),
    Look("reports-empty", "reports", "/e/other/reports/?period=day", "stranger"),
    Look("shift", "shift", f"{E}/shift/", "operator"),
    Look("shift-all", "shift-all", "/shift/", "supervisor"),
    Look("shift-empty", "shift", "/e/other/shift/", "stranger"),
    Look("sites", "sites", f"{E}/sites/", "operator"),
    Look("exclusions", "exclusions", f"{E}/exclusions/", "operator"),
    Look("exclusions-empty", "exclusions", "/e/other/exclusions/", "stranger"),
    Look("exclusion", "exclusion", f"{E}/exclusions/{{excluded}}/", "operator"),
    Look("guard", "guard", f"{E}/guard/", "administrator"),
    Look("data", "data", f"{E}/data/", "operator"),
    Look("data-empty", "data", "/e/other/data/", "stranger"),
    Look("hold-new", "hold-new", f"{E}/holds/new/", "operator"),
    Look("limit-new", "limit-new", f"{E}/limits/new/", "operator"),
    Look("waste-limit-new", "waste-limit-new", f"{E}/waste-limits/new/", "operator"),
    Look("service-new", "service-new", f"{E}/services/new/", "administrator"),
    Look("service-edit", "service-edit", f"{E}/services/{{service}}/edit/", "administrator"),
    Look("services", "services", f"{E}/services/", "operator"),
    Look("services-empty", "services", "/e/other/services/", "stranger"),
    Look("failures", "failures", f"{E}/failures/", "operator"),
    Look("failures-empty", "failures", "/e/other/failures/", "stranger"),
    Look("failure", "failure", f"{E}/failures/{{failure}}/", "operator"),
    Look("routes", "routes", f"{E}/routes/", "administrator"),
    Look("provided", "provided", "/provided/", "operator"),
    Look("service", "service", f"{E}/services/{{service}}/", "operator"),
    Look("holds", "holds", f"{E}/holds/", "shifter"),
    Look("credentials", "credentials", f"{E}/credentials/", "operator"),
    Look("credential", "credential", f"{E}/credentials/{{credential}}/", "operator"),
    Look("shifts", "shifts", f"{E}/shifts/", "operator"),
    Look("uploads", "uploads", f"{E}/uploads/", "analyser"),
    Look("commands", "commands", f"{E}/commands/", "operator"),
    Look("command", "command", f"{E}/commands/{{command}}/", "operator"),
    Look("batch-commands", "batch-commands", f"{E}/batches/{{batch}}/commands/", "operator"),
    Look("submission-commands", "submission-commands", f"{E}/submissions/{{recovery}}/commands/", "operator"),
    Look("campaign-commands", "campaign-commands", f"{E}/campaigns/{{campaign}}/commands/", "operator"),
    Look("reviews", "reviews", f"{E}/reviews/", "reviewer"),
    Look("reviews-all", "reviews-all", "/reviews/", "reviewer"),
    Look("reviews-nowhere", "reviews-all", "/reviews/", "guest"),
    Look("reproductions", "reproductions", f"{E}/reproductions/", "reviewer"),
    Look("reproductions-empty", "reproductions", "/e/other/reproductions/", "stranger"),
    Look("reproduction", "reproduction", f"{E}/reproductions/{{again}}/", "reviewer"),
    Look("loops", "loops", "/loops/", "administrator"),
    Look("trouble-retry-gone", "trouble-retry", "/loops/troubles/t1/retry/", "administrator", status=404),
    Look("audit", "audit", "/audit/", "supervisor"),
    Look("audit-verified", "audit", "/audit/?after=0", "supervisor"),
    # Notices
    Look("notices", "notices", "/notices/", "approver"),
    Look("notices-empty", "notices", "/notices/", "guest"),
    Look("notice-choices", "notice-choices", "/account/notices/", "experimenter"),
    Look("outbox", "outbox", f"{E}/outbox/", "administrator"),
    # Verbs, as pages and in the dialog
    _verb("campaign", "hold", "operator", "held"),
    Look("dialog-release", "campaign-release", f"{E}/campaigns/{{held}}/", "operator", press="Release"),
    Look("dialog-cancel", "campaign-cancel", f"{E}/campaigns/{{held}}/", "operator", press="Cancel…"),
    _verb("campaign", "release", "operator", "held"),
    _verb("campaign", "relaunch", "operator", "campaign"),
    _verb("campaign", "recover", "operator", "campaign"),
    _verb("campaign", "prioritise", "operator", "held"),
    _verb("campaign", "boost", "operator", "held"),
    _verb("campaign", "unboost", "operator", "held"),
    _verb("campaign", "limit_waste", "operator", "held"),
    _verb("campaign", "sign_off", "reviewer", "held"),
    _verb("campaign", "accept", "operator", "held"),
    _verb("campaign", "process_again", "operator", "held"),
    _verb("campaign", "cancel", "operator", "held"),
    *(
        _verb("campaign", verb, "operator", "draft_campaign")
        for verb in ("clone", "tag", "untag", "archive", "delete", "template")
    ),
    _verb("campaign", "unarchive", "operator", "archived"),
    Look("campaign-new", "campaign-new", f"{E}/campaigns/new/", "experimenter"),
    Look("campaign-plan", "campaign-plan", f"{E}/campaigns/{{draft_campaign}}/plan/", "operator"),
    Look("library", "library", f"{E}/library/", "operator"),
    Look("template", "template", f"{E}/templates/dimuon/", "experimenter"),
    Look("jobtype", "jobtype", f"{E}/jobtypes/{{jobtype}}/", "operator"),
    Look("setup", "setup", f"{E}/setups/{{setup}}/", "operator"),
    Look("definition-compared", "campaign-definition", f"{E}/campaigns/{{draft_campaign}}/definition/?from=1&revision=2",
         "operator"),
    _verb("request", "check", "experimenter", "draft"),
    _verb("request", "file", "experimenter", "draft"),
    _verb("request", "withdraw", "experimenter", "draft"),
    _verb("request", "approve", "approver", "pending"),
    _verb("request", "return", "approver", "pending"),
    _verb("request", "reject", "approver", "pending"),
    *(_verb("request", verb, "approver", "pending") for verb in ("merge", "split", "prioritise")),
    _verb("request", "confirm", "operator", "pending"),
    _verb("request", "untick", "operator", "pending"),
    _verb("request", "test", "operator", "draft"),
    _verb("request", "extend", "approver", "request"),
    *(_verb("request", verb, "experimenter", "pending") for verb in ("clone", "comment", "attach", "detach", "watch", "unwatch")),
    Look("dialog-comment", "request-comment", f"{E}/requests/{{pending}}/", "experimenter", press="Write a comment…"),
    _verb("batch", "relaunch", "operator", "batch"),
    _verb("batch", "recover", "operator", "batch"),
    *(_verb("submission", verb, "operator", "first") for verb in ("hold", "release", "kill", "adopt", "give_up")),
    *(_verb("job", verb, "operator", "job") for verb in ("hold", "release", "kill")),
    *(_verb("schedule", verb, "operator", "schedule") for verb in ("pause", "resume", "run")),
    _verb("batch", "launch_with", "operator", "batch"),
    _verb("shift", "remove", "operator", "shift"),
    _verb("batch", "reproduce", "operator", "batch"),
    _verb("reproduction", "sign_off", "reviewer", "again"),
    _verb("campaign", "verdict", "reviewer", "campaign"),
    *(_verb("campaign", verb, "experimenter", "campaign") for verb in ("watch", "unwatch")),
    Look("stop", "stop", f"{E}/stop/", "operator"),
    Look("go-on", "go-on", f"{E}/go-on/", "operator", brief=True),
    Look("stop-all", "stop-all", "/stop/", "administrator", brief=True),
    Look("go-on-all", "go-on-all", "/go-on/", "administrator", brief=True),
    *(
        Look(f"select-{kind}-{verb}", f"select-page-{kind}-{verb}", f"{E}/select/{kind}/{verb}/?ref={{{thing}}}", "operator",
             brief=(kind, verb) != ("job", "kill"))
        for kind, thing, verbs in (
            ("job", "job", "kill hold release retry"), ("submission", "first", "kill hold release retry launch"),
            ("batch", "batch", "kill hold release retry launch"), ("campaign", "held", "kill hold release retry launch"),
        )
        for verb in verbs.split()
    ),
    *(
        Look(f"select-stage-{verb}", f"select-page-stage-{verb}", f"{E}/select/stage/{verb}/?ref={{held}}%2Fgen", "operator",
             brief=True)
        for verb in ("kill", "hold", "release", "retry", "launch")
    ),
    _verb("hold", "release", "operator", "hold"),
    *(_verb("service", verb, "operator", "service") for verb in ("check", "override", "downtime", "no_downtime")),
    _verb("limit", "remove", "operator", "limit"),
    *(_verb("failure", verb, "operator", "failure") for verb in ("fix", "route", "ticket", "link", "logbook")),
    _verb("route", "remove", "administrator", "route"),
    *(_verb("exclusion", verb, "shifter", "excluded") for verb in ("release", "extend", "exclude")),
    *(
        Look(f"bulk-{verb}", f"bulk-{verb}", f"{E}/campaigns/bulk/{verb}/?ref={{held}}&ref={{campaign}}", "operator",
             brief=verb != "hold")
        for verb in (
            "hold", "release", "relaunch", "prioritise", "cancel", "tag", "untag", "archive", "unarchive", "delete",
        )
    ),
    # Documentation
    Look("docs", "docs", "/docs/", "experimenter"),
    Look("docs-signed-out", "docs", "/docs/", "nobody"),
    Look("docs-part", "docs-part", "/docs/operate/", "experimenter"),
    Look("docs-first-campaign", "docs-page", "/docs/guide/first-campaign/", "experimenter"),
    Look("docs-definition", "docs-page", "/docs/guide/definition/", "experimenter"),
    Look("docs-decision", "docs-folder-page", "/docs/develop/decisions/0002-dependencies/", "experimenter"),
    Look("docs-source", "docs-source", "/docs/source/examples/dimuon/dimuon.ini/", "experimenter"),
    Look("docs-search", "docs-search", "/docs/search/?q=memory", "experimenter"),
    # Refusals
    Look("error-403", "campaigns", f"{E}/campaigns/", "guest", 403),
    Look("error-404", "campaign", f"{E}/campaigns/c999/", "experimenter", 404),
    Look("error-422", "campaigns", f"{E}/campaigns/?state=unheard", "experimenter", 422),
    # Admin
    _admin("index", "approver"),
    _admin("index-administrator", "administrator", route="index"),
    _admin("app", "administrator", "experiments/", "app_list"),
    _admin("requests", "approver", "approvals/request/", "approvals_request_changelist"),
    _admin("request", "approver", "approvals/request/{approvals_request}/change/", "approvals_request_change"),
    _admin("request-history", "approver", "approvals/request/{approvals_request}/history/",
           "approvals_request_history"),
    _admin("refused", "approver", "approvals/request/add/", "approvals_request_add", 403),
    *_model("experiments", "experiment", "administrator"),
    *_model("experiments", "user", "administrator", refused="add delete"),
    *_model("experiments", "membership", "administrator"),
    *_model("experiments", "approver", "administrator"),
    *_model("experiments", "serviceaccount", "administrator"),
    *_model("experiments", "certificate", "administrator", refused="change history delete"),
    *_model("campaigns", "jobtype", "operator"),
    *_model("campaigns", "defaults", "operator"),
    *_model("campaigns", "loginsetup", "operator"),
    *_model("submissions", "share", "administrator"),
    *_model("integrations", "cataloguelink", "administrator", refused="change history delete"),
    *_model("integrations", "launchhost", "administrator", refused="change history delete"),
    *_model("integrations", "credential", "administrator", refused="change history delete"),
    *_model("integrations", "batchsystem", "administrator", refused="change history delete"),
    *_model("approvals", "policy", "administrator"),
    *_model("approvals", "package", "administrator", refused="change history delete"),
    *_model("approvals", "template", "operator"),
)  # fmt: skip

# Routes that show no page of their own, and why.
NO_PAGE = {
    "upload-content": "the bytes of an upload (tests/integrations/test_uploads.py)",
    "sign-in-provider": "leads on to the provider, of which this installation has none (tests/people)",
    "sign-in-back": "the way back from the provider (tests/people)",
    "account-token": "the account page with a secret on it (tests/e2e/test_account.py)",
    "account-revoke": "leads on to the account page",
    "account-sign-out": "leads on to signing in",
    "consent": "leads on where there is no banner (tests/people/test_sessions.py)",
    "metrics": "figures for programs, where the installation opens them (tests/web/test_metrics.py)",
    **dict.fromkeys(("healthz", "readyz"), "a word for load balancers (tests/web/test_health.py)"),
    "security-txt": "a text for programs, where the installation has one",
    "sign-out": "only a POST",
    "queue-save": "only a POST; what is refused is shown on the board",
    "switch": "leads on to the overview",
    "campaign-by-name": "leads on to the campaign",
    "file-content": "the bytes of a file",
    "batch-package": "the bytes of a package (tests/poms_site/test_package.py)",
    "campaign-report": "the bytes of a report (tests/poms_site/test_run_report.py)",
    "request-attachment": "the bytes of an attachment",
    "request-look": "only a POST, of the form's own script",
    "request-sketch-drop": "only a POST",
    **dict.fromkeys(("template-use", "template-publish", "setup-test"), "only a POST; their page is looked at"),
    "editor-look": "only a POST, of the editor's own script",
}
