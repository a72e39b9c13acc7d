"""What a launch asks of its batch system: tags that jobs carry, slots they want, their place in its queue."""

from __future__ import annotations

from collections.abc import Iterable

from django.conf import settings

from core.clock import now
from integrations.batch.base import Slots, Wanted
from submissions.fairness import place_at
from submissions.models import Submission

# What jobs carry of a launch's environment beside every POMS4_ name (protocols 5.1).
OLDER_TAGS = ("POMS_TASK_ID", "POMS_CAMPAIGN_ID", "POMS_LAUNCHER", "POMS_CAMPAIGN_NAME")


def environment_of(submission: Submission) -> dict[str, str]:
    """Return what the script of a submission finds in its environment: what was frozen with it, and its number.

    POMS4_SUBMISSION_ID and POMS_TASK_ID are that number, for scripts in the field write it into job attributes without
    quotes; POMS_SUBMISSION_ID is the uuid, by which jobs are found.
    """
    number, frozen = str(submission.pk or ""), submission.environment  # a draft has no number yet
    categories = [f"POMS_TASK_ID_{number}", f"POMS_CAMPAIGN_ID_{frozen.get('POMS_CAMPAIGN_ID', '')}"]
    return {
        **frozen, "POMS4_SUBMISSION_ID": number, "POMS_TASK_ID": number, "FIFE_CATEGORIES": ",".join(categories),
    }  # fmt: skip


def wanted_of(submission: Submission) -> Wanted:
    """Return what the jobs of a submission carry and want, as its batch system is told at the launch.

    They avoid what its stage says, the nodes that its recovery keeps them from, and what was excluded at the launch.
    """
    uuid = str(submission.uuid)
    known = environment_of(submission)
    tags = {name: value for name, value in known.items() if value and (name.startswith("POMS4_") or name in OLDER_TAGS)}
    tags["FIFE_CATEGORIES"] = known["FIFE_CATEGORIES"]
    # What was frozen when it was intended; submissions of before slots could be chosen have none of it.
    said = submission.jobs_file.get("slots", {})
    out = submission.avoided
    slots = Slots(
        memory_mb=submission.memory_mb, wall_s=submission.wall_s, cpus=said.get("cpus", 1),
        disk_mb=said.get("disk_mb", 0), gpus=said.get("gpus", 0), kinds=tuple(said.get("kinds", ())),
        sites=tuple(said.get("sites", ())), avoid_sites=_joined(said.get("avoid_sites", ()), out.get("sites", ())),
        avoid_nodes=_joined(submission.jobs_file.get("avoid", ()), out.get("nodes", ())),
    )  # fmt: skip
    return Wanted(
        uuid, {"POMS_SUBMISSION_ID": uuid, **tags}, slots,
        place_at(int(now().timestamp() // 60), 0, settings.QUEUE_AGEING),
    )  # fmt: skip


def _joined(said: Iterable[str], more: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*said, *more)))
