"""Making it happen, and the record of it."""

from submissions.models.batch import OUTSIDE, Batch, Submission, SubmissionUnit
from submissions.models.completion import Completion
from submissions.models.control import Command, Hold, Limit
from submissions.models.exclusion import Exclusion, Guard, Node, WasteLimit
from submissions.models.failure import Failure, JobFailure, Reading, Route, Sighting, Signature
from submissions.models.job import EveryJob, Job, JobCount, JobFacts, JobTally, Report
from submissions.models.ledger import Acceptance, Output, PlanDue, Result, Slice, Snapshot, StageProgress, Unit
from submissions.models.queue import Boost, Pool, Share
from submissions.models.reproduction import Reproduction, Verdict
from submissions.models.restoration import Incarnation, Restoration, Stray
from submissions.models.sample import JobSample
from submissions.models.steps import StepTally
from submissions.models.tape import Prestaging, TapeProgress
from submissions.models.tick import Tick

__all__ = [
    "OUTSIDE", "Acceptance", "Batch", "Boost", "Command", "Completion", "EveryJob", "Exclusion", "Failure", "Guard",
    "Hold", "Incarnation", "Job", "JobCount", "JobFacts", "JobFailure", "JobSample", "JobTally", "Limit", "Node",
    "Output", "PlanDue", "Pool", "Prestaging", "Reading", "Report", "Reproduction", "Restoration", "Result", "Route",
    "Share", "Sighting", "Signature", "Slice", "Snapshot", "StageProgress", "StepTally", "Stray", "Submission",
    "SubmissionUnit", "TapeProgress", "Tick", "Unit", "Verdict", "WasteLimit",
]  # fmt: skip
