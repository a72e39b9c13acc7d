"""Questions about campaigns and their definitions."""

from __future__ import annotations

from django.db.models import F

from campaigns.definition import document
from campaigns.models import Campaign, Defaults, EdgeVersion, JobType, LoginSetup, Revision, StageVersion
from experiments.models import Experiment


def job_types(experiment: Experiment) -> list[JobType]:
    """Return the job types that the experiment's definitions may name."""
    return list(JobType.objects.filter(experiment=experiment, active=True))


def login_setups(experiment: Experiment) -> list[LoginSetup]:
    """Return the set-ups that the experiment's definitions may name."""
    return list(LoginSetup.objects.filter(experiment=experiment, active=True))


def defaults_of(experiment: Experiment) -> dict[str, str]:
    """Return the keys that the experiment sets for every stage of its campaigns."""
    row = Defaults.objects.filter(experiment=experiment).first()
    section = document.read(f"[campaign_defaults]\n{row.text}").section("campaign_defaults") if row else None
    return {key: entry.value for key, entry in section.entries.items()} if section else {}


def newest(campaign: Campaign) -> Revision | None:
    """Return the revision that was saved last, whatever became of it."""
    return campaign.revisions.select_related("author").order_by("-number").first()


def running_version(stage_id: int) -> StageVersion | None:
    """Return what the campaign's approved revision says about a stage, or None if it has left it out."""
    return (
        StageVersion.objects.select_related("revision__campaign__experiment", "stage")
        .filter(stage_id=stage_id, revision__campaign__revision_id=F("revision_id"))
        .first()
    )


def edges_into(version: StageVersion) -> list[EdgeVersion]:
    """Return the edges that feed a stage in the same revision."""
    return list(
        EdgeVersion.objects.select_related("edge__upstream").filter(
            revision_id=version.revision_id, edge__downstream_id=version.stage_id
        )
    )


def graph_of(campaign: Campaign) -> tuple[list[StageVersion], list[EdgeVersion]]:
    """Return the stages and edges of the revision that runs, or of the newest if none does."""
    revision = campaign.revision or campaign.revisions.exclude(state="draft").order_by("-number").first()
    if revision is None:
        return [], []
    stages = revision.stage_versions.select_related("stage").order_by("position")
    edges = revision.edge_versions.select_related("edge__upstream", "edge__downstream")
    return list(stages), list(edges)
