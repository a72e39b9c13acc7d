"""What a launch asks of its batch system: tags that jobs carry, slots they want, their place in its queue."""

from __future__ import annotations

from django.conf import settings

from core.clock import now
from integrations.batch.base import Slots, Wanted
from submissions.fairness import place_at
from submissions.models import Submission


def wanted_of(submission: Submission) -> Wanted:
    """Return what the jobs of a submission carry and want, as its batch system is told at the launch."""
    uuid = str(submission.uuid)
    tags = {name: value for name, value in submission.environment.items() if name.startswith("POMS4_") and value}
    # What was frozen when it was intended; submissions of before slots could be chosen have none of it.
    said = submission.jobs_file.get("slots", {})
    slots = Slots(
        memory_mb=submission.memory_mb, wall_s=submission.wall_s, cpus=said.get("cpus", 1),
        disk_mb=said.get("disk_mb", 0), gpus=said.get("gpus", 0), kinds=tuple(said.get("kinds", ())),
        sites=tuple(said.get("sites", ())), avoid_sites=tuple(said.get("avoid_sites", ())),
        avoid_nodes=tuple(submission.jobs_file.get("avoid", ())),
    )  # fmt: skip
    return Wanted(
        uuid, {"POMS_SUBMISSION_ID": uuid, **tags}, slots,
        place_at(int(now().timestamp() // 60), 0, settings.QUEUE_AGEING),
    )  # fmt: skip
