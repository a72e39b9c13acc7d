"""Making it happen, and the record of it."""

from submissions.models.batch import Batch, Submission, SubmissionUnit
from submissions.models.control import Command, Hold
from submissions.models.job import Job, JobCount, Report
from submissions.models.ledger import Acceptance, Output, PlanDue, Result, Snapshot, StageProgress, Unit
from submissions.models.queue import Boost, Pool, Share

__all__ = [
    "Acceptance", "Batch", "Boost", "Command", "Hold", "Job", "JobCount", "Output", "PlanDue", "Pool", "Report",
    "Result", "Share", "Snapshot", "StageProgress", "Submission", "SubmissionUnit", "Unit",
]  # fmt: skip
