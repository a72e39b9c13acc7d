"""The API's view of batches, submissions, jobs, commands and reports."""

from __future__ import annotations

import hmac
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from uuid import UUID

from django.urls import path
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from core.clock import now
from core.errors import NotVisible, Problem, Refused
from core.redaction import masked_piece
from experiments.rules import OWN_TOKEN
from experiments.viewsets import (
    Document,
    FiniteField,
    KeysetPage,
    ReasonInput,
    ScopedViewSet,
    ref_path,
    routes,
    transition_document,
    whole,
)
from integrations import registry
from integrations.models import File
from submissions import narrowing, queries
from submissions.logic import acting, launching, recovering, reporting, showing, varying
from submissions.models import Batch, Command, EveryJob, Job, Output, Report, Submission, SubmissionUnit, TapeProgress
from submissions.states import JOB_RANK, JOB_STATES

LONGEST_LOG = 256 * 1024
LONGEST_OUTPUT = 65_536
CLOCKS_DIFFER = timedelta(days=1)


def command_document(row: Command) -> Document:
    """Return a command as the API shows it."""
    return {
        "ref": row.ref, "verb": row.verb, "value": row.value, "submission": row.submission.ref,
        "job": row.job_ref, "state": row.state, "actor": row.actor, "reason": row.reason,
        "outcome": row.outcome, "created": row.created_at, "tally": row.tally,
        "selection": row.selection, "chosen": None if row.chosen is None else len(row.chosen),
    }  # fmt: skip


def tape_document(row: TapeProgress | None) -> Document | None:
    """Return how far a batch's outputs are on their way to tape; what nobody can say now is null, never zero."""
    if row is None:
        return None
    silent, fts_silent = row.tape_unknown_since, row.fts_unknown_since
    fts = {
        "waiting": None if fts_silent else row.waiting, "failed": None if fts_silent else row.failed,
        "failures": row.failures, "known": row.fts_at, "not_known_since": fts_silent, "why": row.fts_why,
    }  # fmt: skip
    return {
        "outputs": row.outputs, "on_tape": None if silent else row.on_tape, "known": row.tape_at,
        "not_known_since": silent, "why": row.tape_why, "fts": fts if row.has_fts else None,
    }  # fmt: skip


class LaunchWithInput(ReasonInput):
    """The body of launch_with: [key, value] pairs."""

    parameters = serializers.ListField(
        child=serializers.ListField(
            child=serializers.CharField(max_length=32_000, trim_whitespace=False, allow_blank=True)
        ),
        max_length=varying.MOST,
    )


def commands_document(shown: showing.Commands) -> Document:
    """Return the commands of a launch as the API shows them."""
    return {
        "of": shown.of, "about": shown.about, "launcher": shown.launcher, "host": shown.host, "account": shown.account,
        "system": shown.system, "setup": shown.setup, "environment": shown.environment, "argv": shown.argv,
        "command": shown.command, "inputs": shown.inputs, "jobs": shown.jobs, "unknown": shown.unknown or None,
    }  # fmt: skip


class BatchView(ScopedViewSet):
    """Batches: the slices of a stage's input."""

    model = Batch
    letter = "b"
    filters = {"state": "state", "campaign": "stage__campaign_id", "stage": "stage__name"}
    more_filters = ("numbers",)
    launches = frozenset({"do_relaunch", "do_launch_with"})
    rules = {
        "list": "view", "retrieve": "view", "history": "view", "commands": "view", "do_relaunch": "watch",
        "do_launch_with": "operate",
    }  # fmt: skip

    def rows(self) -> Any:
        """Return batches with stage and submissions."""
        beside = ("experiment", "stage__campaign__experiment", "tape_progress")
        rows = self.get_queryset().select_related(*beside).prefetch_related("submissions__experiment")
        wanted = self.request.query_params.get("numbers", "").strip()
        return narrowing.numbered(rows, wanted) if wanted else rows

    def document(self, row: Batch) -> Document:
        """Return the batch with its attempts."""
        attempts = sorted(row.submissions.all(), key=lambda s: s.pk)
        return {
            "ref": row.ref, "campaign": row.stage.campaign.ref, "stage": row.stage.name, "number": row.number,
            "pass": row.pass_number, "state": row.state, "since": row.state_since, "reason": row.reason_key,
            "units": row.n_units, "done": row.done, "rounds": row.rounds,
            "tape": tape_document(getattr(row, "tape_progress", None)),
            "submissions": [{"ref": s.ref, "round": s.round, "kind": s.kind, "state": s.state} for s in attempts],
        }  # fmt: skip

    def do_relaunch(self, request: Request, ref: str) -> Response:
        """Launch what a failed batch misses again."""
        recovering.relaunch(self.find_permitted(ref), actor=self.actor, reason=self.reason())
        return Response(self.document(self.find(ref)))

    def do_launch_with(self, request: Request, ref: str) -> Response:
        """Launch it once with parameters laid over all others."""
        row, wanted = self.find_permitted(ref), self.body(LaunchWithInput)
        overrides = varying.pairs_of(wanted["parameters"])
        varying.launch_with(row, overrides, actor=self.actor, reason=wanted["reason"])
        return Response(self.document(self.find(ref)))

    def commands(self, request: Request, ref: str) -> Response:
        """Show what it would run next, with its environment; nothing is launched and nothing taken."""
        return Response(commands_document(showing.of_batch(self.find_permitted(ref))))


class SubmissionView(ScopedViewSet):
    """Submissions: the attempts at batches."""

    model = Submission
    letter = "s"
    filters = {
        "state": "state",
        "campaign": "batch__stage__campaign_id",
        "batch": "batch_id",
        "stage": "batch__stage__name",
        "kind": "kind",
    }
    launches = frozenset({"do_give_up"})
    rules = {
        "list": "view", "retrieve": "view", "history": "view", "commands": "view", "log": "view",
        "do_kill": "operate", "do_hold": "watch", "do_release": "watch", "do_adopt": "operate",
        "do_give_up": "operate",
    }  # fmt: skip

    def rows(self) -> Any:
        """Return submissions with batch and counters."""
        beside = ("experiment", "batch__experiment", "batch__stage__campaign__experiment")
        return self.get_queryset().select_related(*beside).prefetch_related("job_counts", "commands__experiment")

    def document(self, row: Submission) -> Document:
        """Return the submission with its exact job counts and the command it ran."""
        return {
            "ref": row.ref, "uuid": str(row.uuid), "batch": row.batch.ref, "campaign": row.batch.stage.campaign.ref,
            "stage": row.batch.stage.name, "round": row.round, "kind": row.kind, "state": row.state,
            "since": row.state_since, "why": row.why, "memory_mb": row.memory_mb, "job_ids": row.job_ids,
            "launcher": row.launcher, "host": row.host, "account": row.account, "system": row.system,
            "jobs": {c.state: c.n for c in row.job_counts.all() if c.n}, "command": row.command,
            "environment": row.environment, "told": row.told, "attempt": row.attempt, "exit_code": row.exit_code,
            "created": row.created_at, "launched": row.launched_at, "ended": row.ended_at,
            "commands": [{"verb": c.verb, "state": c.state, "reason": c.reason} for c in row.commands.all()],
        }  # fmt: skip

    def commands(self, request: Request, ref: str) -> Response:
        """Show what it runs, or ran, with its environment."""
        return Response(commands_document(showing.of_submission(self.find_permitted(ref))))

    def do_kill(self, request: Request, ref: str) -> Response:
        """Remove all its jobs."""
        return self._command("kill", ref)

    def do_hold(self, request: Request, ref: str) -> Response:
        """Hold all its jobs."""
        return self._command("hold", ref)

    def do_release(self, request: Request, ref: str) -> Response:
        """Release its held jobs."""
        return self._command("release", ref)

    def do_adopt(self, request: Request, ref: str) -> Response:
        """Say of an unsure submission that it ran: its jobs are looked for and adopted."""
        return self._resolve(ref, ran=True)

    def do_give_up(self, request: Request, ref: str) -> Response:
        """Say of an unsure submission that it did not run: its batch is launched again."""
        return self._resolve(ref, ran=False)

    def _resolve(self, ref: str, *, ran: bool) -> Response:
        launching.resolve_unsure(self.find_permitted(ref), ran=ran, actor=self.actor, reason=self.reason())
        return Response(self.document(self.find(ref)))

    def log(self, request: Request, ref: str) -> Response:
        """Return a piece of what the launch script printed: its head (1 MiB) or its tail (4 MiB)."""
        row = self.find_permitted(ref)
        offset, length = _window(request)
        part = request.query_params.get("part", "head")
        if part not in ("head", "tail"):
            raise Refused("The log cannot be read.", [Problem("part", f"unknown: {part}", "head or tail")])
        if not row.launcher:  # an approval, or a transfer: no script ran
            return Response({"text": "", "total": 0, "offset": offset})
        launcher, uuid = registry.launcher(row.place), str(row.uuid)
        answer = masked_piece(
            lambda begin, most: launcher.output(uuid, part, begin, most), offset, min(length, LONGEST_OUTPUT)
        )
        return Response({"text": answer["text"], "total": answer["total"], "offset": offset})

    def _command(self, verb: str, ref: str) -> Response:
        wanted = acting.command(verb, self.find_permitted(ref), actor=self.actor, reason=self.reason())
        return Response(command_document(wanted), status=202)


class JobView(ScopedViewSet):
    """Jobs: every process, with the time in its state."""

    model = Job
    letter = "j"
    filters = {
        "submission": "submission_id", "batch": "submission__batch_id", "campaign": "submission__campaign_id",
        "stage": "submission__batch__stage__name", "node": "node", "site": "site", "code": "code",
    }  # fmt: skip
    more_filters = ("state", "longer_than", "archived", *narrowing.JOBS)
    # filters that no index answers
    SCANNED = ("stage", "node", "site", "code", "state", "longer_than", *narrowing.JOBS)
    rules = {
        "list": "view", "retrieve": "view", "history": "view", "log": "view", "do_kill": "operate", "do_hold": "watch",
        "do_release": "watch",
    }  # fmt: skip

    def rows(self) -> Any:
        """Return jobs with their place in the campaign."""
        beside = ("experiment", "submission__experiment", "system", "submission__batch__experiment",
                  "submission__batch__stage__campaign__experiment")  # fmt: skip
        rows = self._unfiltered().select_related(*beside)
        if state := self.request.query_params.get("state"):
            if state not in JOB_RANK:
                raise Refused(
                    "The filter cannot be read.",
                    [Problem("state", f"unknown: {state}", ", ".join(JOB_STATES))],
                )
            rows = rows.filter(state_code=JOB_RANK[state])
        if seconds := self.request.query_params.get("longer_than"):
            span = min(whole("longer_than", seconds, "a number of seconds"), 10**9)
            since = datetime.fromtimestamp(datetime.now(UTC).timestamp() - span, UTC)
            rows = rows.filter(state_since__lt=since, ended_at=None)
        for name, (_, narrow) in narrowing.JOBS.items():
            if value := self.request.query_params.get(name, "").strip():
                rows = narrow(rows, value)
        return rows

    def _unfiltered(self) -> Any:
        """Return one job's rows wherever it is; of a list those that run and ran lately, or a month of the archive."""
        archived = self.request.query_params.get("archived")
        if self.action in ("list", "export") and not archived:
            return self.get_queryset()
        rows = EveryJob.objects.visible_to(self.request.user)
        return queries.archived_in(rows, archived) if archived else rows

    def list(self, request: Request) -> Response:
        """Return a page of those that fit.

        One page looks through about queries.LOOKED_THROUGH jobs, so that what is rare costs no walk through years; it
        may be short, and `next` goes on below.
        """
        floor = self._floor(request)
        response = self.page(self.rows() if floor is None else self.rows().filter(pk__gt=floor))
        if floor is not None and response.data["next"] is None:
            response.data["next"] = self._pages.cursor_at(floor + 1)
        return response

    @property
    def _pages(self) -> KeysetPage:
        return cast(KeysetPage, self.paginator)

    def _floor(self, request: Request) -> int | None:
        """Return the key down to which a page looks; None where it looks at all, or an index finds what is asked."""
        asked = set(request.query_params)
        if asked.isdisjoint(self.SCANNED) or not asked.isdisjoint(("submission", "batch", "campaign")):
            return None
        rows = self._unfiltered()
        if experiment := request.query_params.get("experiment"):
            rows = rows.filter(experiment__name=experiment)
        cursor = self._pages.decode_cursor(request)
        if cursor is not None and cursor.position:
            rows = rows.filter(pk__lt=int(cursor.position))
        return queries.looked_down_to(rows, queries.LOOKED_THROUGH)

    def document(self, row: Job | EveryJob) -> Document:
        """Return the job with its ids, place and times (M3, M9)."""
        batch = row.submission.batch
        units = SubmissionUnit.objects.none()
        if self.action == "retrieve" and row.index is not None:
            units = SubmissionUnit.objects.filter(submission=row.submission, job_index=row.index)
        return {
            "ref": row.ref, "submission": row.submission.ref, "batch": batch.ref, "stage": batch.stage.name,
            "campaign": batch.stage.campaign.ref, "external_id": row.external_id, "system": row.system.name,
            "index": row.index, "state": row.state, "since": row.state_since,
            "seconds_in_state": round(queries.seconds_since(row.state_since), 1), "exit_code": row.exit_code,
            "signal": row.signal, "code": row.code, "reason": row.reason, "node": row.node, "site": row.site,
            "slot_type": row.slot_type, "starts": row.starts, "memory_mb": row.memory_mb, "cpu_s": row.cpu_s,
            "wall_s": row.wall_s, "units": list(units.values_list("unit__key", flat=True)),
            "started": row.started_at, "ended": row.ended_at, "archived": getattr(row, "archived", False),
        }  # fmt: skip

    def history(self, request: Request, ref: str) -> Response:
        """Return the job's transitions; an archived one has them with it."""
        row = self.find(ref)
        if not row.archived:
            return super().history(request, ref)
        return Response({"results": [transition_document(step, ref) for step in row.archived_steps()], "next": None})

    def log(self, request: Request, ref: str) -> Response:
        """Return a piece of the job's standard output or error."""
        row = self.find_permitted(ref)
        offset, length = _window(request)
        stream = request.query_params.get("stream", "out")
        if stream not in ("out", "err"):
            raise Refused("The log cannot be read.", [Problem("stream", f"unknown: {stream}", "out or err")])
        system = registry.batch(row.system.name)
        answer = masked_piece(lambda begin, most: system.log(row.external_id, stream, begin, most), offset, length)
        return Response({"text": answer["text"], "total": answer["total"], "offset": offset})

    def do_kill(self, request: Request, ref: str) -> Response:
        """Remove the job."""
        return self._command("kill", ref)

    def do_hold(self, request: Request, ref: str) -> Response:
        """Hold the job."""
        return self._command("hold", ref)

    def do_release(self, request: Request, ref: str) -> Response:
        """Release the job."""
        return self._command("release", ref)

    def _command(self, verb: str, ref: str) -> Response:
        job = self.find_permitted(ref)
        wanted = acting.command(verb, job.submission, job=job, actor=self.actor, reason=self.reason())
        return Response(command_document(wanted), status=202)


def _window(request: Request) -> tuple[int, int]:
    """Return offset and length of a log request, in bytes."""
    query = request.query_params
    offset = whole("offset", query.get("offset", "0"), "a number of bytes")
    length = whole("length", query.get("length", str(64 * 1024)), "a number of bytes")
    return min(offset, 10**15), min(length, LONGEST_LOG)


class CommandView(ScopedViewSet):
    """Commands: what people and rules wanted done."""

    model = Command
    letter = "x"
    filters = {"state": "state", "submission": "submission_id"}
    rules = {"list": "view", "retrieve": "view", "history": "view"}

    def rows(self) -> Any:
        """Return commands with what they are about."""
        return self.get_queryset().select_related("experiment", "submission__experiment")

    def document(self, row: Command) -> Document:
        """Return the command."""
        return command_document(row)


class ReportInput(serializers.Serializer[Any]):
    """What a job says of itself, or somebody of it."""

    uuid = serializers.UUIDField()
    job = serializers.CharField(max_length=100)
    state = serializers.ChoiceField(choices=[state for state in JOB_STATES if state != "lost"])
    starts = serializers.IntegerField(min_value=0, max_value=10_000, default=1)
    at = FiniteField(min_value=0, max_value=4e9)
    index = serializers.IntegerField(required=False, min_value=0, max_value=2**31 - 1)
    node = serializers.CharField(max_length=100, required=False, allow_blank=True)
    site = serializers.CharField(max_length=100, required=False, allow_blank=True)
    slot_type = serializers.CharField(max_length=40, required=False, allow_blank=True)
    exit_code = serializers.IntegerField(required=False, min_value=-(2**31), max_value=2**31 - 1)
    signal = serializers.IntegerField(required=False, min_value=0, max_value=255)
    code = serializers.CharField(max_length=60, required=False, allow_blank=True)
    reason = serializers.CharField(max_length=2_000, required=False, allow_blank=True)
    memory_mb = FiniteField(required=False, min_value=0)
    cpu_s = FiniteField(required=False, min_value=0)
    wall_s = FiniteField(required=False, min_value=0)
    cpus = serializers.IntegerField(required=False, min_value=0, max_value=10_000)

    def validate_at(self, at: float) -> float:
        """Refuse a time that is yet to come: it would win over all that follows."""
        if at > (now() + CLOCKS_DIFFER).timestamp():
            raise serializers.ValidationError("more than a day ahead of our clock")
        return at


class ReportsInput(serializers.Serializer[Any]):
    """Many reports at once; each is judged by itself."""

    reports = serializers.ListField(child=serializers.JSONField(), min_length=1, max_length=reporting.MOST)


class ReportView(ScopedViewSet):
    """The inbox: jobs report with the token of their own submission, which reaches nothing else."""

    model = Report
    rules = {"create": OWN_TOKEN}

    def create(self, request: Request) -> Response:
        """Put a report, or many, into the inbox; they may come twice, late or out of order."""
        data = self._json()
        if not (isinstance(data, dict) and "reports" in data):
            said = self.body(ReportInput)
            reporting.take_in(self._own(said["uuid"]), [said])
            return Response({"accepted": True}, status=202)
        return self._many(self.body(ReportsInput)["reports"])

    def _many(self, reports: list[Any]) -> Response:
        """Take in those of many reports that can be read and are of the token's submission; answer for each."""
        answers: list[Document] = []
        good: dict[UUID, list[Document]] = {}
        for entry in reports:
            job = entry.get("job") if isinstance(entry, dict) else None
            read = ReportInput(data=entry)
            unknown = sorted(set(entry) - set(read.fields)) if isinstance(entry, dict) else []
            if not read.is_valid() or unknown:
                wrong = (
                    [f"{name}: {' '.join(map(str, why))}" for name, why in read.errors.items()] if read.errors else []
                )
                why = "; ".join([*wrong, *(f"{name}: unknown field" for name in unknown)])
                answers.append({"job": job, "accepted": False, "why": why})
            else:
                good.setdefault(read.validated_data["uuid"], []).append(read.validated_data)
                answers.append({"job": job, "accepted": True, "uuid": read.validated_data["uuid"]})
        known: dict[UUID, Submission] = {}
        for uuid in good:
            with suppress(NotVisible):
                known[uuid] = self._own(uuid)
        if good and not known:
            raise NotVisible("None of the reports is of the submission whose token came with them.")
        for uuid, submission in known.items():
            reporting.take_in(submission, good[uuid])
        for answer in answers:
            if answer["accepted"] and answer.pop("uuid") not in known:
                answer |= {"accepted": False, "why": "not of the submission whose token came with it"}
        number = sum(answer["accepted"] for answer in answers)
        return Response({"accepted": number, "reports": answers}, status=202)

    def _own(self, uuid: UUID) -> Submission:
        """Return the submission of a uuid if the token of the call is its own; else it does not exist."""
        given = self.request.headers.get("X-Poms-Submission-Token", "")
        submission = Submission.objects.select_related("experiment").filter(uuid=uuid).first()
        if submission is None or not hmac.compare_digest(given.encode(), reporting.report_token(str(uuid)).encode()):
            raise NotVisible("There is no such submission, or the token is not its own.")
        return submission


class FileView(ScopedViewSet):
    """Files of the local catalogue."""

    model = File
    filters = {"name": "name", "name_has": "name__icontains", "dataset": "datasets__name"}
    more_filters = ("campaign",)
    rules = {"list": "view"}

    def rows(self) -> Any:
        """Return files with their parents; of one campaign, those that it put out."""
        rows = self.get_queryset().select_related("experiment").prefetch_related("parents__parent")
        if campaign := self.request.query_params.get("campaign"):
            key = whole("campaign", campaign.partition("/c")[2], "such as demo/c1")
            made = Output.objects.visible_to(self.request.user).filter(stage__campaign_id=key)
            rows = rows.filter(name__in=made.values("name"), experiment_id__in=made.values("experiment_id"))
        return rows

    def document(self, row: File) -> Document:
        """Return the file with its metadata and parents."""
        return {
            "experiment": row.experiment.name, "name": row.name, "path": row.path, "size": row.size,
            "checksum": row.checksum, "events": row.events, "metadata": row.metadata, "created": row.created_at,
            "parents": [link.parent.name for link in row.parents.all()],
        }  # fmt: skip


urlpatterns = [
    *routes("batches", BatchView, "relaunch", "launch_with"),
    path(ref_path("batches", "b", "commands/"), BatchView.as_view({"get": "commands"}), name="batches-commands"),
    path(
        ref_path("submissions", "s", "commands/"),
        SubmissionView.as_view({"get": "commands"}),
        name="submissions-commands",
    ),
    *routes("submissions", SubmissionView, "kill", "hold", "release", "adopt", "give_up"),
    path(ref_path("submissions", "s", "log/"), SubmissionView.as_view({"get": "log"}), name="submissions-log"),
    *routes("jobs", JobView, "kill", "hold", "release"),
    path(ref_path("jobs", "j", "log/"), JobView.as_view({"get": "log"}), name="jobs-log"),
    *routes("commands", CommandView),
    path("files/", FileView.as_view({"get": "list"}), name="files-list"),
]
