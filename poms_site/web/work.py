"""Batches, submissions and jobs: from a slice of input to a process on a node, two clicks from campaign to log (M2)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.urls import path

from core import ledger
from core.clock import now
from core.errors import Problem, Refused
from core.models import Transition
from poms_site.overview import job_records
from poms_site.overview.heat import ORDERS, heat_of
from poms_site.overview.job_life import life_of, uses_of
from poms_site.overview.jobs_over_time import SPANS, OverTime, over_time
from poms_site.overview.outages import watched
from poms_site.overview.run_batches import attempts_of
from poms_site.overview.why import why
from poms_site.web import job_columns, live, logs, select_verbs, verbs
from poms_site.web.exports import as_file
from poms_site.web.listing import Filter, Listed, by, by_key, listed
from poms_site.web.page import Page
from poms_site.web.things import find, key_path
from submissions import narrowing, queries
from submissions.models import (
    Batch,
    Command,
    EveryJob,
    Job,
    Output,
    Reproduction,
    Submission,
    SubmissionUnit,
    TapeProgress,
    Unit,
)
from submissions.states import BATCH, JOB_ENDED, JOB_RANK, JOB_STATES, SUBMISSION

LONGER = (("600", "10 min"), ("3600", "1 h"), ("21600", "6 h"), ("86400", "1 d"), ("259200", "3 d"))
ALSO = ("sort", "columns", "span")  # words of the address of the list of jobs that are no filters
KINDS = ("first", "recovery", "relaunch", "outside")
MOST_SHOWN = 200
HEAT_SECONDS = 5.0  # it reads every batch of a campaign
LONGEST_SECONDS = 10.0
RECORDS_SECONDS = 60.0  # what a catalogue says of a submission's inputs is asked for at most so often
SAMPLE_SECONDS = 20.0  # the picture of jobs over time is made at most so often
BESIDE_JOB = (
    "submission__experiment", "submission__batch__experiment", "submission__batch__stage__name",
    "submission__batch__stage__campaign__name", "submission__batch__stage__campaign__experiment",
)  # fmt: skip
SCRIPT_SECONDS = 10.0  # what a script printed is asked of its host, by a process of its own


def _older_than(rows: Any, value: str) -> Any:
    return rows.filter(state_since__lt=now() - timedelta(seconds=int(value)), ended_at=None)


JOB_FILTERS = (
    Filter("state", "state", lambda rows, value: rows.filter(state_code=JOB_RANK[value]),
           [(state, state.replace("_", " ")) for state in JOB_STATES]),
    Filter("longer_than", "in its state for over", _older_than, LONGER),
    Filter("campaign", "campaign", by_key("submission__campaign_id", "c"), keyed=True),
    Filter("stage", "stage", by("submission__batch__stage__name")),
    Filter("batch", "batch", by_key("submission__batch_id", "b"), keyed=True),
    Filter("submission", "submission", by_key("submission_id", "s"), keyed=True),
    Filter("site", "site", by("site")),
    Filter("node", "node", by("node")),
    Filter("code", "code", by("code")),
    Filter("archived", "archived month", queries.archived_in),
    *(Filter(name, word, narrow, more=True) for name, (word, narrow) in narrowing.JOBS.items()),
)  # fmt: skip
BATCH_FILTERS = (
    Filter("state", "state", by("state"), BATCH.choices()),
    Filter("campaign", "campaign", by_key("stage__campaign_id", "c")),
    Filter("stage", "stage", by("stage__name")),
    Filter("numbers", "numbers", narrowing.numbered),
)
SUBMISSION_FILTERS = (
    Filter("state", "state", by("state"), SUBMISSION.choices()),
    Filter("campaign", "campaign", by_key("campaign_id", "c")),
    Filter("batch", "batch", by_key("batch_id", "b")),
    Filter("stage", "stage", by("batch__stage__name")),
    Filter("kind", "kind", by("kind"), [(kind, kind) for kind in KINDS]),
)


class JobsPage(Page):
    """All jobs, with the time in their state; the longest in it first where that is asked for (M3)."""

    rules = {"get": "view"}
    place = "jobs"
    help = "/docs/guide/pages/#jobs"
    api = "jobs-list"
    ASKED = ("after", *ALSO, *(entry.name for entry in JOB_FILTERS))

    def get(self, request: HttpRequest, **kwargs: Any) -> HttpResponseBase:
        """Show a page of them; it lives."""
        self.order, self.columns = job_columns.order_of(request), job_columns.chosen(request)
        if "column" in request.GET:  # the form of the columns says each by itself; one word of the address keeps them
            return HttpResponseRedirect(self._list(none=True).address(columns=",".join(c.key for c in self.columns)))
        if form := request.GET.get("export"):
            return as_file(request, "job", self._rows(), JOB_FILTERS, form)
        none = self._list(none=True)
        return self.live(
            "web/jobs.html", "web/_jobs.html", self._facts,
            {"list": none, "kept": [(name, value) for name, value in none.query if name in ALSO],
             "over_time": self._over_time(), "spans": [(span, none.address(span=span)) for span in SPANS],
             "select": self._select(), "columns": job_columns.COLUMNS, "chosen": self.columns},
        )  # fmt: skip

    def _select(self) -> Any:
        """Return what can be done with those that are ticked; with archived ones nothing."""
        return select_verbs.offered("job", frozenset() if self._of_archive else self.held)

    @property
    def _of_archive(self) -> bool:
        return bool(self.request.GET.get("archived", "").strip())

    def _facts(self) -> dict[str, Any]:
        found = self._list()
        lines = [(row, [(column, column.cell(row)) for column in self.columns]) for row in found.rows]
        heads = job_columns.heads(self.columns, self.order, lambda sort: found.address(sort=sort))
        return {"list": found, "lines": lines, "heads": heads, "order": self.order, "said": self.said}

    def _over_time(self) -> OverTime:
        """Return the picture over the span that is asked for; many look at it, and it moves by the minute."""
        span = self.request.GET.get("span", "") or "day"
        if span not in SPANS:
            raise Refused("There is no such picture.", [Problem("span", f"unknown: {span[:40]}", ", ".join(SPANS))])
        found: OverTime = live.shared(
            ("over time", self.here.pk, span), SAMPLE_SECONDS,
            lambda: over_time(self.here, span, watched(self.here)), late=120.0,
        )  # fmt: skip
        return found

    def _rows(self) -> Any:
        model: Any = EveryJob if self._of_archive else Job
        if self._of_archive and self.order.asked != "newest":
            raise Refused("The archive is read newest first; take a month along as a file for any other order.")
        rows = model.objects.visible_to(self.request.user).filter(experiment=self.here)
        if self.order.asked == "longest":
            rows = queries.live_among(rows, self.here)
        rows, self.said = job_columns.windowed(self.request, self.here, rows, self.order)
        return rows

    def _list(self, *, none: bool = False) -> Listed:
        rows = self._rows()
        fields = [field.name for field in rows.model._meta.concrete_fields]
        # Of what stands beside a job only what its row shows: the rest of a submission may be megabytes.
        rows = rows.select_related("submission__batch__stage__campaign").only(*fields, *BESIDE_JOB)
        rows = rows.none() if none else rows

        order = self.order.field
        if order == "-pk" and self.request.GET.get("campaign", "").strip():
            # The newest submission first: to find the newest jobs among all of a large campaign takes seconds.
            order = "-submission_id"

        def made() -> Listed:
            found = listed(self.request, rows, JOB_FILTERS, order=order, also=ALSO, within=queries.LOOKED_THROUGH)
            for row in found.rows:  # all are of one experiment
                submission = row.submission
                for thing in (row, submission, submission.batch, submission.batch.stage.campaign):
                    thing.experiment = self.here
            return found

        if none or self.order.asked != "longest":
            return made()
        # All that lives is put in order for it, so that its first pages are made once for all who ask.
        asked = tuple(sorted((name, value) for name, value in live.asked(self.request) if name in self.ASKED))
        found: Listed = live.shared(("longest", self.here.pk, asked), LONGEST_SECONDS, made, late=60.0)
        return found


class BatchesPage(Page):
    """All batches."""

    rules = {"get": "view"}
    place = "campaigns"
    help = "/docs/guide/pages/#batches"
    api = "batches-list"

    def get(self, request: HttpRequest, **kwargs: Any) -> HttpResponseBase:
        """Show a page of them."""
        rows = Batch.objects.visible_to(request.user).filter(experiment=self.here)
        if form := request.GET.get("export"):
            return as_file(request, "batch", rows, BATCH_FILTERS, form)
        rows = rows.select_related("experiment", "stage__campaign__experiment")
        select = select_verbs.offered("batch", self.held)
        return self.show("web/batches.html", {"list": listed(request, rows, BATCH_FILTERS), "select": select})


class SubmissionsPage(Page):
    """All submissions."""

    rules = {"get": "view"}
    place = "campaigns"
    help = "/docs/guide/pages/#a-submission"
    api = "submissions-list"

    def get(self, request: HttpRequest, **kwargs: Any) -> HttpResponseBase:
        """Show a page of them."""
        mine = Submission.objects.visible_to(request.user).filter(experiment=self.here)
        if form := request.GET.get("export"):
            return as_file(request, "submission", mine, SUBMISSION_FILTERS, form)
        rows = queries.without_plan(mine).select_related("experiment", "batch__experiment", "batch__stage")
        select = select_verbs.offered("submission", self.held)
        return self.show("web/submissions.html", {"list": listed(request, rows, SUBMISSION_FILTERS), "select": select})


class BatchPage(Page):
    """One batch: its inputs, its attempts, its outputs, its history (T3)."""

    rules = {"get": "view"}
    place = "campaigns"
    help = "/docs/guide/pages/#a-batch"
    api = "batches-detail"

    def get(self, request: HttpRequest, key: str) -> HttpResponse:
        """Show it."""
        self.row = find(request.user, self.here, key)
        return self.live("web/batch.html", "web/_batch.html", self._facts, {"row": self.row})

    def _facts(self) -> dict[str, Any]:
        row = self.row
        attempts = attempts_of([row.pk]).get(row.pk, [])
        units = (
            Unit.objects.filter(batch=row).order_by("pk").select_related("acceptance__result__submission__experiment")
        )
        outputs = Output.objects.filter(result__submission__batch=row).order_by("pk")
        tape = TapeProgress.objects.filter(batch=row).first()
        return {
            "row": row, "attempts": attempts, "verbs": verbs.offered("b", row, self.held), "why": why(row),
            "units": units[:MOST_SHOWN], "outputs": outputs[:MOST_SHOWN], "outputs_total": outputs.count(),
            "steps": steps_of({"batch": [row.pk], "submission": [a.row.pk for a in attempts]}, self.here.name),
            "progress": {"done": row.done, "running": 0, "failed": 0, "waiting": row.n_units - row.done},
            "tape": tape, "failures": failures_of(tape), "packable": any(a.row.launched_at for a in attempts),
            "reproductions": Reproduction.objects.filter(batch=row).defer("package", "differences")
            .select_related("experiment", "by").order_by("-pk")[:5],
        }  # fmt: skip


def failures_of(tape: TapeProgress | None, names: Sequence[str] | None = None) -> list[dict[str, Any]]:
    """Return the outputs (of these names, if any) that have failed on their way to tape, with since when as a time."""
    failures = [entry for entry in (tape.failures if tape else ()) if names is None or entry["name"] in names]
    return [{**entry, "since": datetime.fromisoformat(entry["since"])} for entry in failures]


class SubmissionPage(Page):
    """One attempt at a batch: its jobs, the exact command and environment, what the script said."""

    rules = {"get": "view"}
    place = "campaigns"
    help = "/docs/guide/pages/#a-submission"
    api = "submissions-detail"

    def get(self, request: HttpRequest, key: str) -> HttpResponse:
        """Show it."""
        self.row = find(request.user, self.here, key)
        return self.live("web/submission.html", "web/_submission.html", self._facts, {"row": self.row})

    def _facts(self) -> dict[str, Any]:
        row = self.row
        jobs = EveryJob.objects.filter(submission=row).select_related("experiment").order_by("index", "pk")
        wanted = Command.objects.filter(submission=row).select_related("experiment")
        commands = list(wanted.order_by("-pk"))
        return {
            "row": row, "verbs": verbs.offered("s", row, self.held), "why": why(row),
            "counts": queries.job_counts(Submission.objects.filter(pk=row.pk)), "jobs": jobs[:MOST_SHOWN],
            "printed": live.shared(("script", row.pk), SCRIPT_SECONDS, lambda: logs.of_script(row)),
            "jobs_total": jobs.count(), "commands": commands[:20], "environment": sorted(row.environment.items()),
            "steps": steps_of({"submission": [row.pk], "command": [c.pk for c in commands]}, self.here.name),
        }  # fmt: skip


class JobPage(Page):
    """One job: where, when, how it ended, its inputs, what became of them, and its log."""

    rules = {"get": "view"}
    place = "jobs"
    help = "/docs/guide/pages/#a-job"
    api = "jobs-detail"

    def get(self, request: HttpRequest, key: str) -> HttpResponse:
        """Show it; its log is a part of the page that lives with it."""
        self.row = find(request.user, self.here, key)
        self.asked = logs.wanted(request)
        return self.live("web/job.html", "web/_job.html", self._facts, {"row": self.row})

    def _facts(self) -> dict[str, Any]:
        row = self.row
        entries = SubmissionUnit.objects.filter(submission=row.submission, job_index=row.index)
        beside = entries.select_related("unit__acceptance__result__submission__experiment").order_by("pk")
        units = [entry.unit for entry in beside[:MOST_SHOWN]]
        made = Output.objects.filter(result__submission=row.submission, result__job=row.external_id).order_by("pk")
        tape = TapeProgress.objects.filter(batch=row.submission.batch_id).first()
        later = SubmissionUnit.objects.filter(unit__in=[unit.pk for unit in units], submission_id__gt=row.submission_id)
        after = Submission.objects.filter(pk__in=later.values("submission_id")).select_related("experiment")
        alike = EveryJob.objects.filter(submission=row.submission)
        return {
            "row": row, "verbs": verbs.offered("j", row, self.held), "why": why(row),
            "batch": row.submission.batch, "units": units,
            "outputs": made[:MOST_SHOWN],
            "later": queries.without_plan(after.order_by("pk"))[:5],
            "log": logs.read(row, self.asked), "asked": self.asked,
            "life": life_of(row, self.request.user), "uses": uses_of(row), "records": self._records(),
            "transfers": failures_of(tape, [output.name for output in made[:MOST_SHOWN]]),
            "live_job": row.state not in JOB_ENDED, "steps": self._steps(row),
            "same": alike.filter(state_code=row.state_code, code=row.code).count(),
        }  # fmt: skip

    def _steps(self, row: EveryJob) -> list[Step]:
        if row.archived:
            return [Step(step, self.here.name) for step in row.archived_steps()]
        return steps_of({"job": [row.pk]}, self.here.name)

    def _records(self) -> job_records.Records | None:
        """Return what the catalogue says of the job's inputs, where it is asked for: it may take its time."""
        if "records" not in self.request.GET:
            return None
        row = self.row
        told = live.shared(("fates", row.submission_id), RECORDS_SECONDS, lambda: job_records.fates_in(row.submission))
        return job_records.of_job(row, told)


class Step:
    """One line of a history with the thing that it is about."""

    letters = {
        "batch": "b",
        "submission": "s",
        "job": "j",
        "command": "x",
        "campaign": "c",
        "request": "r",
        "hold": "h",
        "outside_service": "v",
        "limit": "l",
        "exclusion": "e",
        "schedule": "k",
        "reproduction": "p",
    }

    def __init__(self, row: Any, experiment: str) -> None:
        self.at, self.actor, self.reason, self.verb = row.at, row.actor, row.reason, row.verb
        self.source, self.target, self.kind = row.source, row.target, row.kind
        self.ref = f"{experiment}/{self.letters.get(row.kind, '')}{row.thing_id}"


def steps_of(things: dict[str, list[int]], experiment: str, most: int = 40) -> list[Step]:
    """Return the latest transitions of things, newest first."""
    return [Step(row, experiment) for row in ledger.history(things)[:most]]


class CampaignHistoryPage(Page):
    """Everything that happened to a campaign, its batches and submissions, page by page (M5, M8)."""

    rules = {"get": "view"}
    place = "campaigns"
    help = "/docs/guide/pages/#a-campaign"
    api = "campaigns-history"

    def get(self, request: HttpRequest, key: str) -> HttpResponse:
        """Show a page of it."""
        row = find(request.user, self.here, key)
        found = listed(request, Transition.objects.of_campaign(row.pk), ())
        found.rows = [Step(step, self.here.name) for step in found.rows]
        return self.show("web/campaign_history.html", {"row": row, "list": found})


class CampaignHeatPage(Page):
    """A campaign's batches at a glance, one cell each, or one for a group."""

    rules = {"get": "view"}
    place = "campaigns"
    help = "/docs/guide/pages/#batches-at-a-glance"
    api = "campaigns-heat"

    def get(self, request: HttpRequest, key: str) -> HttpResponse:
        """Show it; it lives."""
        self.row = find(request.user, self.here, key)
        self.order, self.stage = request.GET.get("order", "") or "number", request.GET.get("stage", "")
        if self.order not in ORDERS:
            raise Refused("The map cannot be ordered so.", [Problem("order", self.order[:40], " or ".join(ORDERS))])
        return self.live("web/campaign_heat.html", "web/_campaign_heat.html", self._facts, {"row": self.row})

    def _facts(self) -> dict[str, Any]:
        return {"row": self.row, "order": self.order, "stage": self.stage, "orders": ORDERS,
                "heats": live.shared(("heat", self.row.pk, self.order, self.stage), HEAT_SECONDS,
                                     lambda: heat_of(self.row, self.order, self.stage))}  # fmt: skip


urlpatterns = [
    path("e/<slug:experiment>/jobs/", JobsPage.as_view(), name="jobs"),
    path("e/<slug:experiment>/batches/", BatchesPage.as_view(), name="batches"),
    path("e/<slug:experiment>/submissions/", SubmissionsPage.as_view(), name="submissions"),
    key_path("", BatchPage.as_view(), "batch", "b"),
    key_path("", SubmissionPage.as_view(), "submission", "s"),
    key_path("", JobPage.as_view(), "job", "j"),
    key_path("heat/", CampaignHeatPage.as_view(), "campaign-heat", "c"),
    key_path("history/", CampaignHistoryPage.as_view(), "campaign-history", "c"),
]
