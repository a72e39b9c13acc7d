"""Campaigns come to be and change only by revisions: a text, checked, kept for ever."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from django.db import transaction

from campaigns import command, definition, queries
from campaigns.logic import keeping
from campaigns.models import Campaign, Defaults, Edge, EdgeVersion, JobType, LoginSetup, Revision, Stage, StageVersion
from campaigns.work import work_of
from core import transitions
from core.errors import Conflict, Problem, Refused
from experiments.models import Experiment
from experiments.roles import roles_with
from experiments.scoping import may
from integrations import registry
from integrations.launcher import allowing
from integrations.launcher.base import Place


def read(text: str, experiment: Experiment, author: Any) -> definition.Parsed:
    """Parse and check a text against what the experiment knows; all complaints are in the answer."""
    parsed = definition.parse(text, queries.defaults_of(experiment))
    if parsed.errors:
        return parsed
    _keep_out_foreign_setups(parsed, experiment, author)
    whole = definition.complete(
        parsed.definition,
        [job_type.text() for job_type in queries.job_types(experiment)],
        [setup.text() for setup in queries.login_setups(experiment)],
    )
    parsed.errors += definition.check(whole)
    if whole.experiment and whole.experiment != experiment.name:
        hint = f"experiment={experiment.name}, or file it under {whole.experiment}"
        parsed.errors.append(Problem("experiment", f"the text is for {whole.experiment}", hint))
    parsed.errors += _check_across(whole, experiment)
    parsed.errors += _check_role(whole, experiment, author)
    for setup in whole.login_setups:
        for kind, key, known in (
            ("launcher", setup.launcher, registry.LAUNCHERS), ("batch", setup.batch, registry.batch_systems()),
        ):  # fmt: skip
            if key not in known:
                where = f"[login_setup {setup.name}] {kind}"
                parsed.errors.append(
                    Problem(where, f"unknown: {key}", f"one of {', '.join(known)}", setup.line or None)
                )
        place = Place.of(setup.launcher, experiment.pk, setup.host, setup.account)
        parsed.errors += _not_entered(experiment, place, f"[login_setup {setup.name}] host", setup.line or None)
    parsed.definition = whole
    return parsed


def _not_entered(experiment: Experiment, place: Place, where: str, line: int | None = None) -> list[Problem]:
    """Return what is wrong with where scripts are to be started by ssh: hosts are entered before, with their keys."""
    if place.launcher != "ssh" or registry.launch_host(place) is not None:
        return []
    known = registry.launch_hosts(experiment.pk)
    text = f"{place} is no launch host of {experiment.name}"
    if not place.account and sum(entry.endswith(f"@{place.host}") for entry in known) > 1:
        text = f"{experiment.name} has several accounts on {place.host}, and none is named"
    there = f"one of {', '.join(known)}" if known else "none is entered yet"
    who = "an administrator of the whole service enters them, in the admin or by `poms host add`"
    return [Problem(where, text, f"{there}; {who}", line)]


def _check_across(wanted: definition.Definition, experiment: Experiment) -> list[Problem]:
    """Return what is wrong with what other campaigns are to feed."""
    problems = []
    for edge in wanted.across:
        where = f"[dependencies {edge.downstream}]"
        if edge.campaign == wanted.name:
            text = f"{edge.campaign} is this campaign"
            problems.append(Problem(where, text, "leave the key campaign out", edge.line))
        elif queries.stage_named(experiment, edge.campaign, edge.upstream) is None:
            hint = f"a campaign of {experiment.name} that was filed, and one of its stages"
            text = f"there is no stage {edge.upstream} in a campaign {edge.campaign}"
            problems.append(Problem(where, text, hint, edge.line))
    return problems


def _check_role(wanted: definition.Definition, experiment: Experiment, author: Any) -> list[Problem]:
    """Return what is wrong with where a definition is to be launched: analysis has hosts of its own."""
    analysis, problems = wanted.role == "analysis", []
    if analysis and not (may(author, "define_own", experiment) or may(author, "define", experiment)):
        roles = " or ".join(roles_with("define_own"))
        problems.append(Problem("poms_role", f"analysis needs the role {roles} in {experiment.name}", "production"))
    used = {stage.login_setup for stage in wanted.stages}
    for setup in wanted.login_setups:
        place = Place.of(setup.launcher, experiment.pk, setup.host, setup.account)
        why = allowing.why_not(place, analysis=analysis) if setup.name in used else ""
        if why:
            hint = "a launch host that an administrator has entered for analysis" if analysis else "another launch host"
            problems.append(Problem(f"[login_setup {setup.name}] host", why, hint, setup.line or None))
    return problems


def _keep_out_foreign_setups(parsed: definition.Parsed, experiment: Experiment, author: Any) -> None:
    """Let only production bring login set-ups: they are code that runs with the experiment's credentials."""
    if not parsed.definition.login_setups or may(author, "define", experiment):
        return
    known = {setup.name for setup in queries.login_setups(experiment)}
    for setup in parsed.definition.login_setups:
        where = f"[login_setup {setup.name}]"
        if setup.name in known:
            parsed.warnings.append(Problem(where, "the experiment's own set-up of this name is used", "", setup.line))
        else:
            hint = f"ask an operator of {experiment.name} to make it, or use {', '.join(sorted(known)) or 'none yet'}"
            parsed.errors.append(Problem(where, "only production may define launch set-ups", hint, setup.line))
    parsed.definition = replace(parsed.definition, login_setups=())


def read_or_refuse(text: str, experiment: Experiment, author: Any) -> definition.Definition:
    """Return the definition of a text, or raise Refused with every complaint."""
    parsed = read(text, experiment, author)
    if parsed.errors:
        count = len(parsed.errors)
        raise Refused(
            f"The definition has {count} error{'s' if count > 1 else ''}; nothing was changed.", parsed.errors
        )
    return parsed.definition


@transaction.atomic
def create(experiment: Experiment, *, name: str, owner: Any, reason: str) -> Campaign:
    """Make an empty campaign."""
    campaign = Campaign.objects.create(experiment=experiment, name=name, owner=owner)
    transitions.created(campaign, actor=owner.actor, reason=reason)
    return campaign


def propose(campaign: Campaign, text: str, *, author: Any, note: str = "") -> Revision:
    """Keep a text as the campaign's next revision, proposed for approval; one that waits is superseded.

    Raises Refused with every complaint if the text is not a whole definition.
    """
    wanted = read_or_refuse(text, campaign.experiment, author)
    return propose_whole(campaign, wanted, author=author, note=note, source=text)


@transaction.atomic
def propose_whole(
    campaign: Campaign, wanted: definition.Definition, *, author: Any, note: str = "", source: str = ""
) -> Revision:
    """Keep a whole definition, which was read and checked before, as the campaign's next revision."""
    Campaign.objects.select_for_update().get(pk=campaign.pk)
    text = source or definition.dump(wanted)
    last = campaign.revisions.order_by("-number").first()
    for waiting in campaign.revisions.filter(state="proposed"):
        transitions.move(
            waiting,
            "superseded",
            expect="proposed",
            actor=author.actor,
            reason="a newer revision",
        )
    actor = author.actor
    also: dict[str, Any] = {
        "text": definition.dump(wanted), "digest": wanted.digest, "keywords": dict(wanted.keywords)
    }  # fmt: skip
    if last is not None and last.state == "draft" and last.source == text and last.author_id == author.pk:
        revision = last
        transitions.move(revision, "proposed", expect="draft", actor=actor, reason=note or "proposed", **also)
    else:
        revision = Revision.objects.create(
            campaign=campaign, number=last.number + 1 if last else 1, source=text, author=author,
            note=note, state="proposed", **also,
        )  # fmt: skip
        transitions.created(revision, actor=actor, reason=note or "proposed")
    _write_versions(revision, wanted)
    if campaign.name != wanted.name and campaign.revision_id is None:
        Campaign.objects.filter(pk=campaign.pk).update(name=wanted.name)
        campaign.name = wanted.name
    return revision


def _write_versions(revision: Revision, wanted: definition.Definition) -> None:
    campaign = revision.campaign
    Stage.objects.bulk_create([Stage(campaign=campaign, name=s.name) for s in wanted.stages], ignore_conflicts=True)
    stages = {stage.name: stage for stage in campaign.stages.all()}
    job_types = {entry.name: entry for entry in wanted.job_types}
    setups = {entry.name: entry for entry in wanted.login_setups}
    versions = []
    for position, text in enumerate(wanted.stages):
        # A stage that runs nothing may name neither.
        job_type = job_types.get(text.job_type, definition.JobTypeText(""))
        setup = setups.get(text.login_setup, definition.LoginSetupText("", "", launcher="", batch=""))
        parameters = command.overlay(job_type.parameters, text.params)
        versions.append(
            StageVersion(
                revision=revision, stage=stages[text.name], position=position, type=text.type, dataset=text.dataset,
                catalogue=text.catalogue, wall_factor=text.wall_factor, most_tries=text.most_tries,
                value_overrides=json.loads(text.value_overrides or "{}"), recoveries=list(job_type.recoveries),
                split=text.split, software_version=text.software_version, completion_type=text.completion_type,
                completion_pct=text.completion_pct, completion=text.completion, ask_after_h=text.ask_after_h,
                destination=text.destination, events=text.events, seed=text.seed,
                events_per_job=text.events_per_job, files_per_job=text.files_per_job, memory_mb=text.memory_mb,
                memory_factor=text.memory_factor, wall_s=text.wall_s, recovery_rounds=text.recovery_rounds,
                job_type=job_type.name, launch_script=job_type.launch_script,
                parameters=parameters, most_files=text.most_files, schedule=text.schedule,
                schedule_zone=text.schedule_zone, schedule_start=text.schedule_start, schedule_end=text.schedule_end,
                catch_up=text.catch_up, catch_up_cap=text.catch_up_cap, overlap=text.overlap,
                latency_objective=text.latency_objective, recall_times=text.recall_times,
                recall_window=text.recall_window, canary=text.canary, cpus=text.cpus, disk_mb=text.disk_mb,
                gpus=text.gpus, slots=text.slots, sites=text.sites, avoid_sites=text.avoid_sites,
                work=work_of(text, job_type.launch_script, parameters, job_type.output_file_patterns, wanted.keywords),
                output_file_patterns=job_type.output_file_patterns, login_setup=setup.name, host=setup.host,
                account=setup.account, setup=setup.setup, launcher=setup.launcher, batch=setup.batch,
            )
        )  # fmt: skip
    StageVersion.objects.bulk_create(versions)
    ends = [(e, stages[e.upstream], stages[e.downstream]) for e in wanted.edges]
    for e in wanted.across:
        above = queries.stage_named(campaign.experiment, e.campaign, e.upstream)
        if above is None:
            raise Conflict(f"The stage {e.upstream} of {e.campaign} is not there any more; nothing was changed.")
        ends.append((e, above, stages[e.downstream]))
    _refuse_circle(campaign, {above.campaign_id for _, above, _ in ends} - {campaign.pk})
    edges = [Edge(campaign=campaign, upstream=above, downstream=below, pattern=e.pattern) for e, above, below in ends]
    Edge.objects.bulk_create(edges, ignore_conflicts=True)
    known = {(e.upstream_id, e.downstream_id, e.pattern): e for e in campaign.edges.all()}
    EdgeVersion.objects.bulk_create(
        EdgeVersion(revision=revision, gate=e.gate, edge=known[above.pk, below.pk, e.pattern])
        for e, above, below in ends
    )


def _refuse_circle(campaign: Campaign, above: set[int]) -> None:
    """Refuse a campaign that would in the end feed itself: each would wait for the other."""
    seen, ahead = set[int](), above
    while ahead:
        if campaign.pk in ahead:
            hint = "take this dependency away, or the one in the other campaign"
            problem = Problem("dependencies", f"what feeds {campaign.name} is itself fed by it", hint)
            raise Refused("The campaigns would feed each other in a circle; nothing was changed.", [problem])
        seen |= ahead
        ahead = queries.campaigns_above(ahead) - seen


def keep_job_type(experiment: Experiment, name: str, *, by: Any, reason: str = "", **values: Any) -> JobType:
    """Make a job type; one that exists is refused, since campaigns may count on it."""
    _refuse_unusable(values)
    made: JobType = keeping.keep(
        JobType(experiment=experiment, updated_by=by), name, by=by, reason=reason, values=values
    )
    return made


def keep_login_setup(experiment: Experiment, name: str, *, by: Any, reason: str = "", **values: Any) -> LoginSetup:
    """Make a launch set-up; one that exists is refused, and so is one whose launch host nobody has entered."""
    _refuse_unusable(values)
    _refuse_unentered(LoginSetup(experiment=experiment), values)
    made: LoginSetup = keeping.keep(
        LoginSetup(experiment=experiment, updated_by=by), name, by=by, reason=reason, values=values
    )
    return made


def change_job_type(job_type: JobType, /, *, by: Any, reason: str, seen: str = "", **values: Any) -> JobType:
    """Change a job type; what was different is kept with the reason. Campaigns have copies and stay as they are."""
    _refuse_unusable(values)
    changed: JobType = keeping.change(job_type, by=by, reason=reason, seen=seen, values=values)
    return changed


def change_login_setup(
    login_setup: LoginSetup, /, *, by: Any, reason: str, seen: str = "", **values: Any
) -> LoginSetup:
    """Change a launch set-up, which is code that runs with the experiment's credentials: every edit is kept."""
    _refuse_unusable(values)
    _refuse_unentered(login_setup, values)
    changed: LoginSetup = keeping.change(login_setup, by=by, reason=reason, seen=seen, values=values)
    return changed


def _refuse_unentered(row: LoginSetup, values: dict[str, Any]) -> None:
    """Refuse a set-up that would go to a launch host that nobody has entered; one may be put away as it stands."""
    before = (LoginSetup.objects.get(pk=row.pk) if row.pk else row).values()
    wanted = {**before, **values}
    keys = ("launcher", "host", "account", "active")
    if not wanted["active"] or (row.pk and all(before[key] == wanted[key] for key in keys)):
        return
    place = Place.of(wanted["launcher"], row.experiment_id, wanted["host"], wanted["account"])
    if problems := _not_entered(row.experiment, place, "host"):
        raise Refused("It cannot work as it is; nothing was changed.", problems)


def keep_defaults(experiment: Experiment, *, by: Any, reason: str = "", text: str = "") -> Defaults:
    """Give an experiment defaults for the stages of all its campaigns."""
    _refuse_unreadable(text)
    row = Defaults(experiment=experiment, updated_by=by)
    made: Defaults = keeping.keep(row, "defaults", by=by, reason=reason, values={"text": text})
    return made


def change_defaults(defaults: Defaults, /, *, by: Any, reason: str, text: str, seen: str = "") -> Defaults:
    """Change them; what was proposed before has its copy and stays as it is."""
    _refuse_unreadable(text)
    changed: Defaults = keeping.change(defaults, by=by, reason=reason, seen=seen, values={"text": text})
    return changed


def _refuse_unreadable(text: str) -> None:
    found = definition.parse(f"[campaign]\nname=x\n[campaign_stage x]\n[campaign_defaults]\n{text}")
    strange = [line for line in text.splitlines() if line.strip().startswith("[")]
    problems = [Problem("text", f"{p.field}: {p.message}", p.hint, p.line and p.line - 4) for p in found.errors]
    problems += [Problem("text", f"unknown: {p.field}", p.hint) for p in found.warnings if p.message == "unknown key"]
    if strange:
        problems.append(Problem("text", f"no section stands here: {strange[0][:60]}", "only key=value lines"))
    if problems:
        raise Refused("It cannot work as it is; nothing was changed.", problems)


def _refuse_unusable(values: dict[str, Any]) -> None:
    problems = []
    if not str(values.get("launch_script", "x")).strip():
        problems.append(Problem("launch_script", "is empty", "the program that launches one batch"))
    for name, known in (("launcher", registry.LAUNCHERS), ("batch", registry.batch_systems())):
        if name in values and values[name] not in known:
            problems.append(Problem(name, f"unknown: {values[name]}", f"one of {', '.join(known)}"))
    if problems:
        raise Refused("It cannot work as it is; nothing was changed.", problems)
