"""What the checks of a request look at: gathered here, from our tables and from outside systems, before any lock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from approvals import overlaps
from approvals.checks import Answer, Facts, Same, Slots
from approvals.checks.definition import programs
from approvals.composing import list_name, listed
from approvals.estimate import Cost, Measured, datasets_of, estimate, in_order, named
from approvals.logic.fetching import fetch
from approvals.logic.reading import Reading, attempt
from approvals.models import Package, Request, TestRun
from approvals.queries import policy_of
from campaigns import command, fife_launch
from campaigns import definition as text_form
from campaigns.definition import Definition, StageText
from campaigns.work import work_of
from experiments.queries import production_stages
from experiments.roles import roles_with
from experiments.scoping import may
from integrations import registry
from integrations.errors import OutsideError, Refused
from integrations.launcher.base import Place
from integrations.probes import git
from submissions import measuring
from submissions.measuring import Measure
from submissions.models import Output, Snapshot

FEWEST_JOBS = 1
MOST_COMPARED = 200_000


def look(request: Request, found: Reading, *, brief: bool = False) -> Facts:
    """Gather what the checks look at; `brief` asks only our own tables and the catalogue, for a draft being typed."""
    names, parsed = found.names, found.parsed
    unread = "" if isinstance(found.failure, Refused) else str(found.failure or "")
    unknown: list[str] = []
    if request.files.strip() and names:
        try:
            known = registry.catalogue(request.experiment).known(names)
            unknown = [name for name in names if name not in known]
        except OutsideError as error:
            unread = str(error)
    wanted = _wanted(request, names)
    datasets: dict[str, int | None] = {}
    offline: dict[str, Answer] = {}
    if not unread:
        datasets, offline = _datasets(request, parsed.definition, wanted, names, unknown=unknown, brief=brief)
    stages = in_order(parsed.definition)
    works = _works(parsed.definition)
    measured = measures(request, stages, works)
    packages = {row.name: row.url for row in Package.objects.filter(experiment=request.experiment, active=True)}
    outside = {} if brief else _outside(request, parsed.definition, packages)
    same: list[Same] = []
    uncompared = ""
    if not parsed.errors:
        same, uncompared = _same(request, stages, works, datasets, names=names, unread=unread)
    return Facts(
        definition=parsed.definition, errors=parsed.errors, warnings=parsed.warnings, wanted=wanted, datasets=datasets,
        unknown_files=unknown, unread=unread, offline=offline, repository=request.repository,
        packages=sorted(packages), release=request.release, configuration=request.configuration,
        own_job_types=[entry.name for entry in text_form.parse(found.text).definition.job_types], same=same,
        uncompared=uncompared, outputs=request.outputs,
        cost=estimate(parsed.definition, datasets, measured, request.hours_per_file), begun=_begun(request),
        production_stage=request.production_stage, production_stages=production_stages(request.experiment),
        entitled=entitled(request),
        undeclared=sorted(set(request.details) - set(policy_of(request.experiment_id).keys)),
        **_names(request), **outside,
    )  # fmt: skip


def cost_of(request: Request) -> Cost:
    """Return what a request will cost as it stands; nothing outside but the catalogue is asked."""
    return look(request, attempt(request, request.requester), brief=True).cost or Cost()


def measures(request: Request, stages: Sequence[StageText], works: Mapping[str, str]) -> dict[str, Measured]:
    """Return what is known of each stage's work, the nearest first: the test run, the same work, the same job type."""
    run = TestRun.objects.filter(request=request).order_by("-pk").first() if request.pk else None
    tried = measuring.of_stages(run.campaign_id) if run else {}
    alike = measuring.of_work(request.experiment_id, sorted(set(works.values())))
    kinds = measuring.of_job_types(request.experiment_id, sorted({stage.job_type for stage in stages}))
    found = {}
    for stage in stages:
        for seen, source in (
            (tried.get(stage.name), "the test run"),
            (alike.get(works.get(stage.name, "")), "earlier jobs of the same work"),
            (kinds.get(stage.job_type), f"earlier jobs of job type {stage.job_type}"),
        ):
            if seen and seen.jobs >= FEWEST_JOBS and seen.seconds is not None:
                found[stage.name] = _as_measured(seen, source)
                break
    return found


def entitled(request: Request) -> Answer:
    """Tell whether the requester may ask for work of this experiment, and by what."""
    who = request.requester.username
    if not request.requester.is_active:
        return Answer(False, f"the account of {who} is closed")
    if may(request.requester, "file_request", request.experiment):
        return Answer(True, f"{who} may file requests in {request.experiment.name}")
    return Answer(False, f"{who} has none of the roles {', '.join(roles_with('file_request'))} here")


def _as_measured(seen: Measure, source: str) -> Measured:
    of = f"{source} ({seen.jobs} job{'s' * (seen.jobs != 1)})"
    return Measured(seen.seconds or 0, of, seen.spread, seen.jobs, seen.memory_mb, seen.bytes, seen.outputs)


def _wanted(request: Request, names: Sequence[str] | None) -> dict[str, str]:
    kept = list_name(request.experiment.name, names) if names else ""
    ways = {
        "dataset": request.dataset,
        "list of files": request.files.strip() and kept,
        "query": request.query.strip() and kept,
    }
    given = {"dataset": request.dataset, "list of files": request.files.strip(), "query": request.query.strip()}
    return {way: ways[way] or "" for way, text in given.items() if text}


def _datasets(
    request: Request, definition: Definition, wanted: Mapping[str, str], names: Sequence[str] | None, *,
    unknown: Sequence[str], brief: bool,
) -> tuple[dict[str, int | None], dict[str, Answer]]:  # fmt: skip
    """Return how many files each dataset has, and whether they are at hand."""
    catalogue = registry.catalogue(request.experiment)
    counts: dict[str, int | None] = {}
    offline: dict[str, Answer] = {}
    for name in dict.fromkeys([*datasets_of(definition), *(n for n in wanted.values() if n)]):
        if names is not None and name == list_name(request.experiment.name, names):
            counts[name] = len(names) - len(unknown)
            continue
        counts[name] = catalogue.count(name)
        if counts[name] and not brief:
            try:
                absent = catalogue.absent(name, 3)
            except OutsideError as error:
                offline[name] = Answer(None, str(error))
            else:
                offline[name] = Answer(bool(absent), ", ".join(absent))
    return counts, offline


def _works(definition: Definition) -> dict[str, str]:
    """Return the hash of each stage's work, as its version will have it."""
    kinds = {entry.name: entry for entry in definition.job_types}
    return {
        stage.name: work_of(
            stage, kinds[stage.job_type].launch_script,
            command.overlay(kinds[stage.job_type].parameters, stage.params),
            kinds[stage.job_type].output_file_patterns, definition.keywords,
        )
        for stage in definition.stages if stage.job_type in kinds
    }  # fmt: skip


def _same(
    request: Request, stages: Sequence[StageText], works: Mapping[str, str], datasets: Mapping[str, int | None], *,
    names: Sequence[str] | None, unread: str,
) -> tuple[list[Same], str]:  # fmt: skip
    """Return where the same is done or asked for, or why it could not be compared."""
    if unread:
        return [], unread
    experiment, own = request.experiment, request.campaign_id
    found: list[Same] = []
    for stage in stages:
        work = works.get(stage.name, "")
        if stage.type == "generator":
            found += overlaps.of_events(experiment.pk, own, stage.name, work, stage.events)
        elif any(datasets.get(name) for name in named(stage)):
            if sum(datasets.get(name) or 0 for name in named(stage)) > MOST_COMPARED:
                return found, f"{stage.dataset} has more than {MOST_COMPARED} files"
            mine = [name for dataset in named(stage) for name in _names_of(request, dataset, names)]
            found += overlaps.of_files(experiment.pk, own, stage.name, work, mine)
            found += _waiting(request, stage, work, set(mine))
    return found, ""


def _waiting(request: Request, stage: StageText, work: str, mine: set[str]) -> list[Same]:
    versions = overlaps.waiting_versions(request.experiment_id, request.campaign_id, work)
    refs = overlaps.references(version.revision.campaign_id for version in versions)
    catalogue = registry.catalogue(request.experiment)
    found = []
    for version in versions:
        theirs = mine if version.dataset == stage.dataset else {seen.name for seen in catalogue.files(version.dataset)}
        if shared := len(mine & theirs):
            campaign = version.revision.campaign
            found.append(Same(refs[campaign.pk], stage.name, shared, len(mine), campaign.state))
    return found


def _names_of(request: Request, dataset: str, names: Sequence[str] | None) -> Sequence[str]:
    if names is not None and dataset == list_name(request.experiment.name, names):
        return names
    return [seen.name for seen in registry.catalogue(request.experiment).files(dataset)]


def _outside(request: Request, definition: Definition, packages: Mapping[str, str]) -> dict[str, Any]:
    """Ask repository, launch hosts and batch systems; what does not answer is "not checked"."""
    url, tag = packages.get(request.repository, ""), request.release
    found: dict[str, Any] = {}
    if url and tag:
        found["tag"] = _asked(lambda: git.has_tag(url, tag))
        if request.configuration and found["tag"].yes:
            found["configured"] = _asked(lambda: git.has_file(url, tag, request.configuration))
            if found["configured"].yes and any(fife_launch.launches(k.launch_script) for k in definition.job_types):
                found["fife"], found["unread_fife"] = fetch(url, tag, request.configuration)
    wanted = list(dict.fromkeys([*programs(definition), *listed(request.scripts)]))
    scripts: dict[str, Answer] = {}
    for setup in definition.login_setups if wanted else ():
        if setup.launcher not in registry.LAUNCHERS:
            continue
        try:
            place = Place.of(setup.launcher, request.experiment_id, setup.host, setup.account)
            there = registry.launcher(place).present(setup.setup, wanted)
        except OutsideError as error:
            scripts |= {name: Answer(None, str(error)) for name in wanted}
        else:
            why = f"put it where the set-up {setup.name} finds it, or correct its name"
            scripts |= {name: Answer(yes, "" if yes else why) for name, yes in there.items()}
    slots, known = {}, registry.batch_systems()
    for system in dict.fromkeys(setup.batch for setup in definition.login_setups):
        if system in known:
            slots[system] = _slots(system)
    return {**found, "scripts": scripts, "slots": slots}


def _asked(question: Any) -> Answer:
    try:
        return Answer(bool(question()))
    except OutsideError as error:
        return Answer(None, str(error))


def _slots(system: str) -> Slots:
    try:
        depth = registry.batch(system).depth()
    except OutsideError as error:
        return Slots(why=str(error))
    return Slots(depth["slots"], depth.get("memory_mb", 0))


def _names(request: Request) -> dict[str, Any]:
    """Return the names of outputs that exist already: by what the request says, and by what its test run put out."""
    catalogue = registry.catalogue(request.experiment)
    own = set(Output.objects.filter(stage__campaign_id=request.campaign_id, room="").values_list("name", flat=True)
              if request.campaign_id else ())  # fmt: skip
    run = TestRun.objects.filter(request=request).order_by("-pk").first() if request.pk else None
    made = list(Output.objects.filter(stage__campaign_id=run.campaign_id).values_list("name", flat=True)) if run else []
    try:
        taken = [name for name in catalogue.like(request.outputs, 100) if name not in own] if request.outputs else []
        taken += sorted(catalogue.known(made) - own - set(taken))
    except OutsideError as error:
        return {"taken": None, "taken_why": str(error)}
    if not request.outputs and not made:
        return {"taken": None}
    return {"taken": taken, "taken_why": f"none of the {len(made)} names that the test run put out exists yet"}


def _begun(request: Request) -> list[str]:
    if request.campaign is None or request.campaign.state not in ("approved", "running"):
        return []
    frozen = Snapshot.objects.filter(stage__campaign=request.campaign, stage__edges_up=None)
    return sorted(set(frozen.values_list("stage__name", flat=True)))
