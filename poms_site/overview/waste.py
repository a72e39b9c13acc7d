"""What of a campaign's stages is wasteful, with the parameter to change; and when the campaign pauses itself (D2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from campaigns.definition import PASSES_ON
from campaigns.models import Campaign, StageVersion
from submissions import usage, wasting
from submissions.logic import curbing
from submissions.wasting import Asked, Flag


@dataclass(frozen=True)
class StageWaste:
    """The flags of one stage."""

    stage: str
    flags: list[Flag]


def waste_of(versions: Sequence[StageVersion]) -> list[StageWaste]:
    """Return the flags of the stages that have any, from a bounded sample of their latest jobs."""
    running = [version for version in versions if version.type not in PASSES_ON]
    used = usage.used_by([version.stage_id for version in running]) if running else {}
    found = (StageWaste(v.stage.name, wasting.flags(used.get(v.stage_id, ()), _asked(v))) for v in running)
    return [entry for entry in found if entry.flags]


def document_of(campaign: Campaign, versions: Sequence[StageVersion]) -> dict[str, Any]:
    """Return the limit and the flags as the API shows them."""
    share, least = curbing.limit_of(campaign)
    flags = [{"stage": entry.stage, **asdict(flag)} for entry in waste_of(versions) for flag in entry.flags]
    return {"share": share, "least": least, "flags": flags}


def _asked(version: StageVersion) -> Asked:
    if version.type == "generator":
        return Asked(
            version.memory_mb, version.wall_s, version.cpus, "events_per_job", max(1, version.events_per_job)
        )  # fmt: skip
    return Asked(version.memory_mb, version.wall_s, version.cpus, "files_per_job", version.files_per_job)
