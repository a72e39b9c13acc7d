"""What a recovery would cost, by what jobs of its stages took before; the plan of it as pages and API show it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from approvals.models import Request
from campaigns.models import StageVersion
from integrations.catalogue.base import FAILED
from submissions import measuring
from submissions.logic import proposing
from submissions.logic.proposing import Asked, Gain, Plan, Proposal
from submissions.measuring import Measure

UNKNOWN = "unknown"
MOST_INPUTS = 20  # of each batch that are named


@dataclass(frozen=True)
class Each:
    """What one input of a stage takes: seconds of one core and bytes put out, None where nobody knows; who says so."""

    seconds: float | None = None
    bytes: float | None = None
    source: str = UNKNOWN


def each_of(versions: Collection[StageVersion]) -> dict[int, Each]:
    """Return what an input takes, by the stage's version: measured on the stage, on the same work, or as declared."""
    found: dict[int, Each] = {}
    for campaign in {version.revision.campaign for version in versions}:
        mine = [version for version in versions if version.revision.campaign_id == campaign.pk]
        own = measuring.of_stages(campaign.pk)
        alike = measuring.of_work(campaign.experiment_id, sorted({version.work for version in mine}))
        asked = (
            Request.objects.filter(campaign=campaign).order_by("-pk").values_list("hours_per_file", flat=True).first()
        )
        for version in mine:
            found[version.pk] = (
                _measured(own.get(version.stage.name), "measured on this stage")
                or _measured(alike.get(version.work), "measured on earlier jobs of the same work")
                or _declared(version, asked)
            )
    return found


def _measured(seen: Measure | None, source: str) -> Each | None:
    if seen is None or not seen.jobs or seen.seconds is None:
        return None
    return Each(seen.seconds, seen.bytes, f"{source} ({seen.jobs} job{'s' * (seen.jobs != 1)})")


def _declared(version: StageVersion, hours_per_file: float | None) -> Each:
    """Return the time that the request gives for an input; it is about what begins the campaign, and about no size."""
    fed = version.revision.edge_versions.filter(edge__downstream_id=version.stage_id)
    if not hours_per_file or fed.exclude(edge__upstream_id=version.stage_id).exists():
        return Each()
    return Each(hours_per_file * 3600, None, "estimate of the request")


def document(asked: Asked, plan: Plan) -> dict[str, Any]:
    """Return a plan with its costs; what nobody knows is None there, and its source says unknown."""
    versions = {entry.batch.version for entry in plan.proposals if entry.found}
    each = each_of(versions | {entry.news.version for entry in plan.gains if entry.frozen})
    batches = [_of_batch(entry, each.get(entry.batch.version_id, Each())) for entry in plan.proposals]
    stages = [_of_stage(entry, each.get(entry.news.version.pk, Each())) for entry in plan.gains]
    mine = [entry for entry in (*batches, *stages) if entry["applies"]]
    return {
        "of": asked.thing.ref, "kind": asked.kind or None, "plan": plan.hash, "anything": bool(mine),
        "inputs": sum(entry["inputs"] for entry in mine), "jobs": sum(entry["jobs"] for entry in mine),
        "core_hours": _sum(entry["core_hours"] for entry in mine), "bytes": _sum(entry["bytes"] for entry in mine),
        "unknown": [entry["ref"] for entry in (*batches, *stages) if entry["unknown"]], "more": plan.more,
        "batches": batches, "stages": stages,
    }  # fmt: skip


def _sum(values: Any) -> float | None:
    """Return a sum; nothing at all is no sum, and what is unknown in part is unknown."""
    found = list(values)
    return None if not found or any(value is None for value in found) else sum(found)


def _of_batch(entry: Proposal, each: Each) -> dict[str, Any]:
    batch, found = entry.batch, entry.found
    runs = len(found.inputs) if found else 0
    unseen = bool(entry.unknown)
    fates = dict(Counter(one.fate for one in entry.missing))
    causes = dict(Counter(one.cause or "itself" for one in entry.missing if one.fate == FAILED))
    return {
        "ref": batch.ref, "stage": batch.stage.name, "number": batch.number, "state": batch.state,
        "missing": len(entry.missing), "fates": None if unseen else fates,
        "causes": None if unseen else causes,
        "misses": [
            {
                "key": one.key, "fate": UNKNOWN if unseen else one.fate, "cause": one.cause, "tries": one.tries,
                "node": one.node,
            }
            for one in entry.missing[:MOST_INPUTS]
        ],
        "by": entry.by, "applies": entry.can_apply, "kind": found.kind if found else None,
        "step": found.step if found else None, "why": entry.why, "unknown": entry.unknown,
        "inputs": runs, "jobs": entry.jobs, "memory_mb": entry.memory_mb if found else None,
        "wall_s": entry.wall_s if found else None, "more_memory": len(found.more_memory) if found else 0,
        "more_time": len(found.more_time) if found else 0, "avoid": sorted(found.avoid) if found else [],
        "skipped": list(found.skipped) if found else [],
        "overrides": [list(pair) for pair in found.overrides] if found else [],
        **_cost(each, runs if found else None), "summary": proposing.summary(entry),
    }  # fmt: skip


def _of_stage(entry: Gain, each: Each) -> dict[str, Any]:
    version, files = entry.news.version, entry.frozen.units if entry.frozen else 0
    slices = [part.units for part in entry.frozen.slices] if entry.frozen else []
    return {
        "ref": version.stage.ref, "stage": version.stage.name, "dataset": version.dataset, "by": entry.by,
        "applies": entry.can_apply, "inputs": files, "slices": len(slices),
        "jobs": sum(-(-number // version.files_per_job) for number in slices), "why": entry.why,
        "unknown": entry.news.unknown, "memory_mb": version.memory_mb, "wall_s": version.wall_s,
        **_cost(each, files if entry.frozen else None), "summary": entry.summary,
    }  # fmt: skip


def _cost(each: Each, inputs: int | None) -> dict[str, Any]:
    """Return what so many inputs take; of nothing, nothing."""
    if inputs is None:
        return {"core_hours": None, "bytes": None, "source": ""}
    return {
        "core_hours": None if each.seconds is None else each.seconds * inputs / 3600,
        "bytes": None if each.bytes is None else round(each.bytes * inputs), "source": each.source,
    }  # fmt: skip
