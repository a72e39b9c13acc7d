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
    avoid = tuple(submission.jobs_file.get("avoid", ()))
    return Wanted(
        uuid, {"POMS_SUBMISSION_ID": uuid, **tags},
        Slots(memory_mb=submission.memory_mb, wall_s=submission.wall_s, avoid_nodes=avoid),
        place_at(int(now().timestamp() // 60), 0, settings.QUEUE_AGEING),
    )  # fmt: skip
