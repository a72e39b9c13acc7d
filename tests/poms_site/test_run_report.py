"""The report of a run: whole, self-contained, safe with hostile text, and bounded whatever the size."""

from __future__ import annotations

import base64
import re
from datetime import timedelta
from html.parser import HTMLParser
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext

from approvals.logic import deciding, filing
from campaigns.models import Campaign
from core import loops
from core.clock import now
from integrations.models import BatchSystem
from poms_site.overview import run_batches, run_failures, run_history, run_timeline, words
from poms_site.overview.run_report import write_report
from submissions.logic import acting, holding
from submissions.models import Batch, Job, JobCount, Submission
from submissions.states import JOB_RANK
from tests import builders

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'&amp;{{ 7|add:7 }}{% now 'Y' %}\u202eevil\x1b[31m"
VOID = {"meta", "br", "img", "link", "input", "hr"}

# Unit 1 fails in its first round, unit 3 needs more memory than it has at first.
FAILS_AT_FIRST = """export TINY_JOB='case "$KEYS" in
events:1) if [ "$ROUND" = 0 ]; then exit 3; fi;;
events:3) python3 -c "kept = b\\"x\\" * (150 << 20); import time; time.sleep(0.5)" || exit 1;;
esac; echo "$KEYS" > "$NAME"'"""


class Page(HTMLParser):
    """A report as a reader sees it: the text of each section, every tag and every attribute."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.html = path.read_text(encoding="utf-8")
        self.open: list[tuple[str, str]] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.sections: dict[str, list[str]] = {}
        self.feed(self.html)
        assert self.open == [], "every tag is closed"

    def handle_starttag(self, tag, attrs):
        given = {name: value or "" for name, value in attrs}
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in given.items()]
        if tag not in VOID:
            self.open.append((tag, given.get("id", "")))

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop()[0] == tag

    def handle_data(self, data):
        for key in {"", *(key for _, key in self.open if key)}:
            self.sections.setdefault(key, []).append(data)

    def text(self, section: str = "") -> str:
        return re.sub(r"[ \n\t]+", " ", " ".join(self.sections.get(section, [])))


def report(campaign, folder: Path, **given) -> Page:
    """Write the report; whatever it says, it must need nothing else and run nothing."""
    page = Page(write_report(campaign, folder / "report of a run.html", **given))
    assert not {"script", "link", "iframe", "object", "base", "form"} & set(page.tags)
    for tag, name, value in page.attributes:
        assert not name.startswith("on"), f"{tag} {name}"
        if name in ("src", "href", "xlink:href", "srcset", "action", "data"):
            assert value.startswith(("#", "data:image/")), value
        assert "javascript:" not in value
    assert not re.search(r"@import|url\((?!#)", page.html)
    return page


@pytest.fixture
def planned(cast, settings, tmp_path):
    """A running campaign of four units in two batches, its jobs still to be told by the test."""
    BatchSystem.objects.create(name="local", backend="local")
    settings.LOCAL_FILES = tmp_path / "files"
    campaign = builders.approved_campaign(cast)
    loops.run("plan")
    campaign.refresh_from_db()
    assert campaign.state == "running"
    return campaign


def job(submission: Submission, index: int, state: str, **facts) -> Job:
    """Enter a job as the merge does, with its counter and its steps, a minute each."""
    begin = submission.created_at
    made = Job.objects.create(
        experiment_id=submission.experiment_id, submission=submission, system=BatchSystem.objects.get(),
        external_id=f"{submission.pk}.{index}", index=index, state_code=JOB_RANK[state], starts=1,
        event_at=begin + timedelta(minutes=2), state_since=begin, started_at=begin + timedelta(minutes=1),
        ended_at=begin + timedelta(minutes=2), **facts,
    )  # fmt: skip
    count, _ = JobCount.objects.get_or_create(submission=submission, state_code=JOB_RANK[state])
    JobCount.objects.filter(pk=count.pk).update(n=count.n + 1)
    steps = [("", "idle"), ("idle", "processing"), ("processing", state)]
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO core_transition (kind, thing_id, experiment_id, source, target, verb, at, actor)"
            " VALUES ('job', %s, %s, %s, %s, 'observe', %s, 'test')",
            [
                (made.pk, submission.experiment_id, source, target, begin + timedelta(minutes=place))
                for place, (source, target) in enumerate(steps)
            ],
        )
    return made


@pytest.mark.django_db(transaction=True)
def test_a_run_tells_what_failed_and_what_was_done_about_it(real_cast, local_system, drive, tmp_path):
    builders.login_setup(real_cast, setup=FAILS_AT_FIRST)
    text = builders.definition().replace("memory_mb=200", "memory_mb=100")
    campaign = builders.approved_campaign(real_cast, text, title="four small jobs")

    def ended():
        campaign.refresh_from_db()
        return campaign.state in ("succeeded", "failed")

    drive(ended, 60)
    (tmp_path / "z.png").write_bytes(PNG)
    facts = {"campaign": "demo/c1", "z_mass_gev": 91.1863, "z_mass_err_gev": 0.0325, "seconds": 134.2, "plot": "z.png"}
    page = report(campaign, tmp_path, plot=tmp_path / "z.png", facts=facts)

    assert campaign.state == "succeeded", page.text("failures")
    head = page.text()
    assert f"{campaign.ref} · request" in head and "four small jobs" in head
    assert "approved by approver" in head and campaign.revision.digest[:12] in head
    for fact in ("jobs 7", "failed jobs 2", "recovered inputs 2", "inputs 8", "duplicates 0", "lost 0"):
        assert fact in head, fact
    assert "Z mass 91.186 ± 0.033 GeV" in head and "2 min 14 s" in head
    assert ("img", "src", f"data:image/png;base64,{base64.b64encode(PNG).decode()}") in page.attributes

    failures = page.text("failures")
    recovery = {s.batch.number: s.ref for s in Submission.objects.filter(kind="recovery").select_related("batch")}
    assert "exit code 3 in gen" in failures and "over its memory limit in gen" in failures
    assert failures.count("its input has output now") == 2
    assert f"again in {recovery[1]} , recovery 1: completed" in failures
    assert "100 MB → 200 MB" in failures
    assert "events:1" in failures and "local-01" in failures

    assert "4 files" in page.text("stages") and "4 of 4" in page.text("stages")
    assert "succeeded 5 at the end" in page.text("timeline")
    assert "again: 1, 1 of them with more memory" in page.text("batches")
    assert "looks right" in page.text("request") and "complete and acyclic" in page.text("request")
    assert "recover" in page.text("history") and "experimenter" in page.text("history")
    steps = page.text("reproduce")
    assert "POMS_ROUND=0" in steps and "tiny_submit" in steps and campaign.revision.digest in steps
    first = Submission.objects.earliest("pk").jobs_file["jobs"][0]["units"][0]
    assert f"0–0 {first['seed']}" in steps
    assert "[campaign_stage gen]" in page.text("definition")


@pytest.mark.django_db
def test_hostile_text_is_shown_and_never_run(planned, cast, tmp_path):
    submissions = list(Submission.objects.order_by("pk"))
    for index, submission in enumerate(submissions):
        job(submission, 0, "failed", code="exit", exit_code=3 + index, reason=HOSTILE, node=HOSTILE[:100])
    Submission.objects.filter(pk=submissions[1].pk).update(state="launch_failed", why=HOSTILE)
    holding.hold("campaign", planned, actor=f"user:{HOSTILE}"[:150], reason=HOSTILE.replace("\x1b", "."))
    Campaign.objects.filter(pk=planned.pk).update(name=HOSTILE[:60])
    planned.stages.filter(name="gen").update(name=HOSTILE[:90])
    asked = filing.draft(
        cast.experiment, requester=cast.experimenter, title=HOSTILE, production_stage="mc",
        definition=builders.definition(campaign="other"), special=HOSTILE, free_text=HOSTILE,
    )  # fmt: skip
    deciding.send_back(filing.file(asked, by=cast.experimenter), by=cast.approver, reason=HOSTILE)
    asked.refresh_from_db()
    for campaign in (planned, asked.campaign):
        page = report(campaign, tmp_path, facts={HOSTILE: HOSTILE, "campaign": HOSTILE})
        assert page.tags.count("img") == 0
        assert "<script>alert(1)</script>" in page.text()
        assert "{{ 7|add:7 }}" in page.text()
        assert "\u202e" not in page.html and "\x1b" not in page.html


@pytest.mark.django_db
def test_a_campaign_that_has_not_begun_says_what_would_be_where(cast, tmp_path):
    asked = filing.file(builders.request(cast), by=cast.experimenter)
    page = report(asked.campaign, tmp_path)
    assert "pending approval" in page.text() and "waits for an approver" in page.text()
    assert "has not started" in page.text("timeline")
    assert "No batch was formed" in page.text("batches")
    assert "No job failed" in page.text("failures")
    assert "Nobody has decided yet" in page.text("request")
    assert "approved by nobody yet" in page.text()


@pytest.mark.django_db
def test_what_was_given_up_is_told_apart_from_what_is_still_open(planned, tmp_path):
    first, second = Submission.objects.order_by("pk")
    for submission in (first, second):
        job(submission, 0, "succeeded", exit_code=0)
        job(submission, 1, "failed", code="signal", signal=11, reason="ended by signal 11", node="n1")
    Batch.objects.filter(pk=first.batch_id).update(state="failed")
    page = report(planned, tmp_path)
    failures = page.text("failures")
    assert "SIGSEGV (signal 11) in gen" in failures and "2 jobs with 2 inputs on n1" in failures
    assert "1 of 2 inputs given up with their batch; 1 of 2 inputs still to be decided on" in failures
    assert "Nothing was tried again" in failures


@pytest.mark.django_db
def test_the_time_line_has_every_job_at_its_end(planned):
    submission = Submission.objects.earliest("pk")
    job(submission, 0, "succeeded")
    job(submission, 1, "failed")
    Campaign.objects.filter(pk=planned.pk).update(ended_at=now() + timedelta(minutes=4))
    planned.refresh_from_db()
    line = run_timeline.timeline_of(planned, [], 0)
    assert {band.key: band.last for band in line.bands if band.most} == {"done": 1, "failed": 1, "moving": 0, "wait": 0}
    assert {band.key: band.most for band in line.bands if band.most} == {"done": 1, "failed": 1, "moving": 2, "wait": 2}
    assert max(level for _, level in line.levels) == 2


@pytest.mark.django_db
def test_holds_commands_and_who_wanted_them_are_in_the_history(planned, tmp_path):
    held = holding.hold("campaign", planned, actor="user:operator", reason="the disk is full")
    holding.release(held, actor="user:operator", reason="it is empty again")
    acting.command("kill", Submission.objects.earliest("pk"), actor="user:shifter", reason="wrong geometry")
    history = report(planned, tmp_path).text("history")
    assert f"hold {held.ref} hold → standing operator the disk is full" in history
    assert "released operator it is empty again" in history
    assert "wanted shifter wrong geometry" in history


@pytest.mark.django_db
def test_no_query_is_made_per_job_batch_or_step(planned, cast, tmp_path):
    larger = builders.approved_campaign(
        cast, builders.definition(campaign="larger").replace("events=4", "events=24", 1)
    )
    loops.run("plan")

    def queries(campaign) -> int:
        with CaptureQueriesContext(connection) as seen:
            report(campaign, tmp_path)
        return len(seen)

    job(Submission.objects.filter(batch__stage__campaign=planned).earliest("pk"), 0, "failed", code="exit", exit_code=1)
    for submission in Submission.objects.filter(batch__stage__campaign=larger):
        for index in range(10):
            job(submission, index, "failed" if index % 3 else "succeeded", code="exit", exit_code=index % 5)
        acting.command("hold", submission, actor="user:operator", reason="again")
    larger.refresh_from_db()
    assert Batch.objects.filter(stage__campaign=larger).count() == 12
    assert queries(larger) == queries(planned)


@pytest.mark.django_db
def test_what_is_left_out_of_a_large_run_is_said(planned, tmp_path, monkeypatch):
    for index, submission in enumerate(Submission.objects.order_by("pk")):
        job(submission, 0, "failed", code="exit", exit_code=1 + index)
        job(submission, 1, "failed", code="exit", exit_code=1 + index)
    monkeypatch.setattr(run_batches, "BATCHES", 1)
    monkeypatch.setattr(run_timeline, "LANES", 1)
    monkeypatch.setattr(run_failures, "SIGNATURES", 1)
    monkeypatch.setattr(run_failures, "EXAMPLES", 1)
    monkeypatch.setattr(run_history, "EVENTS", 2)
    page = report(planned, tmp_path)
    assert "Batches and submissions 1 of 2, those with most trouble" in page.text("batches")
    assert "Batches 1 of 2, those with most attempts" in page.text("timeline")
    assert "the 1 most frequent of 2 signatures" in page.text("failures")
    assert "1 of 2 jobs" in page.text("failures")
    assert re.search(r"History the last 2 of \d+ steps", page.text("history"))


@pytest.mark.django_db
def test_every_mark_that_a_state_may_need_is_in_the_page(planned, tmp_path):
    page = report(planned, tmp_path)
    drawn = {value for tag, name, value in page.attributes if tag == "symbol" and name == "id"}
    assert drawn == {f"m-{look.mark}" for look in words.LOOKS.values()}
    used = {value for tag, name, value in page.attributes if tag == "use" and name == "href"}
    assert used <= {f"#{mark}" for mark in drawn}


@pytest.mark.django_db
def test_facts_of_the_caller_go_before_what_was_counted(planned, tmp_path):
    text = report(planned, tmp_path, facts={"lost": 2, "jobs": 7, "luminosity_pb": 13, "z_mass_gev": None}).text()
    assert "lost 2" in text and "jobs 7" in text and "Luminosity 13 pb" in text and "Z mass" not in text


@pytest.mark.django_db
def test_a_picture_that_cannot_be_shown_leaves_the_earlier_report(planned, tmp_path):
    out = tmp_path / "report.html"
    out.write_text("the earlier one")
    (tmp_path / "z.pdf").write_bytes(b"%PDF")
    with pytest.raises(ValueError, match="is no picture"):
        write_report(planned, out, plot=tmp_path / "z.pdf")
    with pytest.raises(FileNotFoundError):
        write_report(planned, out, plot=tmp_path / "missing.png")
    assert out.read_text() == "the earlier one"
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == ["report.html", "z.pdf"]


@pytest.mark.django_db
def test_the_command_writes_the_report_of_a_reference(planned, tmp_path, capsys):
    out = tmp_path / "a report.html"
    call_command("report", planned.ref, out=out)
    assert planned.ref in Page(out).text()
    assert capsys.readouterr().out.strip() == str(out)


@pytest.mark.django_db
@pytest.mark.parametrize("ref", ["other/c1", "demo/c999999", "demo/cx", "demo", "demo/c" + "9" * 5000])
def test_the_command_refuses_a_reference_that_nothing_has(planned, tmp_path, ref):
    with pytest.raises(CommandError, match="There is no campaign"):
        call_command("report", ref, out=tmp_path / "report.html")
    assert not (tmp_path / "report.html").exists()
