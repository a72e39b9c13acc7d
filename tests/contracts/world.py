"""Two experiments with one of everything in each, so that every route of the API has something to act on."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from django.utils import timezone

from approvals.logic import deciding, discussing, filing
from approvals.models import Confirmation, Package, Policy, Request, Template
from campaigns.logic import drafting, editing, shelving
from campaigns.models import Campaign, Defaults, JobType, Schedule, Stage
from core import transitions
from experiments.logic import membership, service_accounts
from experiments.models import Experiment, Shift, User
from integrations.models import BatchSystem, CatalogueLink, Credential, Dataset, File, Service
from submissions.logic import curbing, excluding, holding, limiting, planning
from submissions.models import (
    Batch,
    Command,
    Completion,
    Failure,
    Job,
    JobCount,
    Reproduction,
    Route,
    Share,
    Sighting,
    Signature,
    Submission,
    Tick,
)
from submissions.states import JOB_RANK
from tests import builders
from tests.cast import Cast, assemble

THREE_BATCHES = (
    "[campaign_stage gen]\nstage_type=generator\nevents=3\nevents_per_job=1\ncs_split_type=nevents(1)\nseed=7\n"
    "[campaign_stage sum]\ndataset_or_split_data=from_parent\ncs_split_type=None\n"
    "[dependencies sum]\ncampaign_stage_1=gen\n"
)
MISSING = 999_999_999
DAY = timedelta(days=1)


@dataclass
class Corner:
    """One experiment's objects, by what they are there for."""

    experiment: Experiment
    owner: User
    definition: str
    objects: dict[str, Any] = field(default_factory=dict)

    def ref(self, name: str) -> str:
        """Return the reference of an object."""
        thing = self.objects[name]
        return str(getattr(thing, "ref", thing))


@dataclass
class World:
    """Both corners, seen from `demo`: what is own, and what is another experiment's."""

    own: Corner
    other: Corner


def populate(cast: Cast) -> World:
    """Fill both experiments in the caller's transaction."""
    system = BatchSystem.objects.create(name="local", backend="local")
    judge = User.objects.create_user(username="judge", password="x")
    membership.join(judge, "approver", cast.other)
    membership.register_approver(judge, cast.other, "mc")
    abroad = Cast(cast.other, cast.experiment, {"experimenter": cast.stranger, "approver": judge})
    return World(_corner(cast, system), _corner(abroad, system))


def filled_world() -> tuple[Cast, World]:
    """Assemble everybody and fill both experiments."""
    cast = assemble()
    return cast, populate(cast)


def _corner(cast: Cast, system: BatchSystem) -> Corner:
    def text(name: str) -> str:
        found = builders.definition(stages=THREE_BATCHES, campaign=name)
        return found.replace("experiment=demo", f"experiment={cast.experiment.name}")

    corner = Corner(cast.experiment, cast.experimenter, text("made"))
    things = corner.objects
    things["draft"] = builders.request(cast, text("first"))
    discussing.attach(things["draft"], "note.txt", b"read me", by=cast.experimenter)
    things["pending"] = filing.file(builders.request(cast, text("second")), by=cast.experimenter)
    digest = things["pending"].revision.digest
    Confirmation.objects.create(request=things["pending"], requirement="seen", digest=digest, by=cast.experimenter)
    things["like"] = filing.file(
        builders.request(cast, text("second").replace("events=3", "events=2")), by=cast.experimenter
    )
    rows = [File(experiment=cast.experiment, name=f"raw{n}-{cast.experiment.name}", path="/nowhere") for n in (1, 2)]
    raw = Dataset.objects.create(experiment=cast.experiment, name="raw")
    raw.files.set(File.objects.bulk_create(rows))
    things["reading"] = filing.file(builders.request(cast, reading(text)), by=cast.experimenter)
    things["schedule"] = _schedule(things["reading"])
    lasting = filing.file(builders.request(cast, text("lasting"), keep_up=True), by=cast.experimenter)
    things["keepup"] = deciding.approve(lasting, by=cast.approver, reason="each week")
    own = {"experiment": cast.experiment}
    things["template"] = Template.objects.create(**own, name="start", title="Start", definition=text("start"))
    things["package"] = Package.objects.create(**own, name="code", url="/nowhere")
    things["defaults"] = Defaults.objects.create(**own, text="wall_s=86400")
    things["catalogue"] = CatalogueLink.objects.create(**own, name="old", system="filelist", is_default=False)
    host = things["host"] = builders.launch_host(cast)
    things["system"] = system
    lies = {"launcher": "ssh", "host": host.name, "account": host.account}
    things["credential"] = Credential.objects.create(
        **own, **lies, name="token", kind="scitoken", path="/opt/token", renewal=["get-token"]
    )
    things["share"] = Share.objects.create(**own, weight=2)
    things["policy"] = Policy.objects.create(**own)
    unasked = editing.create(cast.experiment, name="unasked", owner=cast.experimenter, reason="to have one")
    drafting.save(unasked, text("unasked"), by=cast.experimenter)
    shelving.tag(unasked, ["old"], by=cast.experimenter)
    things["unasked"] = unasked
    campaign = things["campaign"] = builders.approved_campaign(cast, text("third"))
    things["signing"] = _signing(cast, text("signed"))
    things["done"] = Request.objects.get(campaign=campaign)
    stage = things["stage"] = campaign.stages.get(name="gen")
    planning.plan(stage.pk)
    assert Campaign.objects.get(pk=campaign.pk).state == "running"
    broken, live, doubtful = Batch.objects.filter(stage=stage).order_by("pk")
    things["broken"], things["live"], things["doubtful"] = broken, live, doubtful
    _set(broken, "failed")
    _set(broken.submissions.get(), "launch_failed")
    _set(live, "project_running")
    _set(doubtful.submissions.get(), "unsure")
    at = timezone.now()
    running = things["running"] = _set(live.submissions.get(), "running")
    Submission.objects.filter(pk=running.pk).update(launched_at=at)
    things["unsure"] = doubtful.submissions.get()
    things["again"] = _made_again(cast, live)
    things["job"] = Job.objects.create(
        experiment=cast.experiment, submission=running, system=system, external_id=f"1.{running.pk}@local", index=0,
        state_code=JOB_RANK["processing"], starts=1, event_at=at, state_since=at, started_at=at, node="local-01",
        site="local",
    )  # fmt: skip
    JobCount.objects.create(submission=running, state_code=JOB_RANK["processing"], n=1)
    actor, reason = f"user:{cast.experimenter.username}", "to have one"
    things["hold"] = holding.hold("campaign", campaign, actor=actor, reason=reason)
    things["command"] = Command.objects.create(
        experiment=cast.experiment, verb="kill", submission=running, actor=actor, reason=reason
    )
    transitions.created(things["command"], actor=actor, reason=reason)
    File.objects.create(experiment=cast.experiment, name=f"file-of-{cast.experiment.name}", path="/nowhere")
    things["outside"] = Service.objects.create(**own, name="sam", kind="none", gates="nothing")
    things["limit"] = limiting.limit("scripts", 9, **own, actor=actor, reason=reason)
    things["failure"] = _failure(things["outside"], stage)
    things["route"] = Route.objects.create(
        **own, cause="input", pattern="raw", service="sam", actor=actor, reason=reason
    )
    things["excluded"] = excluding.exclude(
        cast.experiment, "local", "node", "bad", hours=24, actor=actor, reason=reason
    )
    curbing.set_limit(cast.experiment, None, 70, 20, actor=actor, reason=reason)
    things["jobtype"] = JobType.objects.create(experiment=cast.experiment, name="known", launch_script="/bin/true")
    things["setup"] = builders.login_setup(cast)
    things["shift"] = _shift(cast)
    account = things["service"] = builders.service_account(cast)
    things["certificate"] = service_accounts.register(
        account, builders.certificate(), by=cast.experimenter, reason="to have one"
    )
    return corner


def _shift(cast: Cast) -> Shift:
    """Put somebody on the shift list who may watch there."""
    at = timezone.now()
    return Shift.objects.create(
        experiment=cast.experiment, user=cast.experimenter, begins_at=at, ends_at=at + DAY, entered_by="user:operator"
    )


def _failure(service: Service, stage: Stage) -> Failure:
    """Let jobs of a stage have failed by what both experiments know."""
    at = timezone.now()
    signature, _ = Signature.objects.get_or_create(
        digest="0" * 20, defaults={"title": "KeyError: 'geometry'", "cause": "software", "exit_code": 1}
    )
    made = Failure.objects.create(
        experiment=service.experiment, signature=signature, first_at=at - DAY, last_at=at, jobs=3, core_s=7200
    )
    Sighting.objects.create(failure=made, stage=stage, day=at.date(), site="local", release="v1", jobs=3, core_s=7200)
    return made


def _made_again(cast: Cast, batch: Batch) -> Reproduction:
    """Let a batch have been made again, with a verdict that nobody has signed."""
    run = Campaign.objects.create(experiment=cast.experiment, name="again", owner=cast.experimenter, test=True)
    return Reproduction.objects.create(
        experiment=cast.experiment, batch=batch, campaign=run, by=cast.experimenter, reason="to have one", state="equal",
        verdict="equal: 1 output compared", ended_at=timezone.now(),
    )  # fmt: skip


def _schedule(request: Request) -> Schedule:
    """Let the stage of a request keep up, with a time that was and one that comes, whatever became of the request."""
    version = request.revision.stage_versions.select_related("stage").get()
    at = timezone.now()
    row = Schedule.objects.create(
        experiment=request.experiment, stage=version.stage, version=version, expression="@daily", zone="Europe/Zurich",
        catch_up="last", cap=10, overlap="allow", objective="95% within 24 h", since=at, look_at=at + DAY, next_at=at + DAY,
    )  # fmt: skip
    Tick.objects.create(schedule=row, nominal=at, outcome="ran", at=at, inputs=2)
    return row


def reading(text: Any) -> str:
    """Return a definition whose only stage reads a dataset."""
    stages = "[campaign_stage reco]\ndataset_or_split_data=raw\ncs_split_type=None\n"
    return str(text("reading")).replace(THREE_BATCHES, stages)


def _signing(cast: Cast, text: str) -> Campaign:
    """Return a campaign whose first stage has done its work and waits for somebody's verdict."""
    text = text.replace("[campaign_stage gen]", "[campaign_stage gen]\ncompletion=signoff")
    campaign = builders.approved_campaign(cast, text)
    Completion.objects.create(stage=campaign.stages.get(name="gen"), inputs=3, waits_for="waits for a reviewer")
    _set(campaign, "running")
    return campaign


def _set(thing: Batch | Campaign | Submission, state: str) -> Any:
    """Put a row into a state without its history, which no route of the matrix asks for."""
    type(thing).objects.filter(pk=thing.pk).update(**{"state": state})
    thing.refresh_from_db()
    return thing
