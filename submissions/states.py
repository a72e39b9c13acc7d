"""States of batches, submissions, jobs, commands and reproductions (design 4, T6, M10, J6). Pure."""

from __future__ import annotations

from core.states import table

BATCH = table(
    "batch",
    "pending",
    ("pending", "submitted", "submit"),
    ("submitted", "project_running", "start"),
    ("submitted project_running", "jobs_completed", "end_jobs"),
    ("jobs_completed", "completed", "complete"),
    ("jobs_completed pending", "failed", "fail"),
    ("pending", "completed", "pass_on"),
    ("jobs_completed", "pending", "recover"),
    ("failed", "pending", "relaunch", "watch"),
    ("completed", "pending", "reopen", "operate"),
    ("pending submitted project_running jobs_completed failed", "cancelled", "cancel", "operate"),
)

OPEN_BATCH = ("pending", "submitted", "project_running", "jobs_completed")

SUBMISSION = table(
    "submission",
    "pending",
    ("pending", "launching", "launch"),
    ("launching", "submitted", "submit"),
    ("launching", "launch_failed", "fail_launch"),
    ("launching", "unsure", "ask_person"),
    ("unsure", "submitted", "adopt", "operate"),
    ("unsure", "launch_failed", "give_up", "operate"),
    ("submitted", "running", "start"),
    ("submitted running", "jobs_completed", "end_jobs"),
    ("jobs_completed", "completed", "settle"),
    ("jobs_completed", "failed", "fail"),
    ("pending submitted running jobs_completed", "removed", "remove", "operate"),
)
# Those whose jobs are in the batch system or on the way; of unsure ones nobody knows.
IN_BATCH_SYSTEM = ("launching", "submitted", "running")
AGAIN = ("recovery", "relaunch")  # kinds of submissions that do again what an earlier one of their batch missed
SETTLED = ("completed", "failed", "removed", "launch_failed")  # whose jobs, if there are any, change nothing any more
UNFINISHED = ("pending", "launching", "unsure", "submitted", "running", "jobs_completed")

JOB = table(
    "job",
    "idle",
    ("idle", "staging_in", "stage_in"),
    ("idle staging_in", "processing", "process"),
    ("staging_in processing", "staging_out", "stage_out"),
    ("idle staging_in processing staging_out suspended", "held", "hold"),
    ("held suspended", "idle", "release"),
    ("staging_in processing", "suspended", "suspend"),
    ("suspended", "processing", "resume"),
    ("idle staging_in processing staging_out", "succeeded", "succeed"),
    ("idle staging_in processing staging_out held suspended", "failed", "fail"),
    ("idle staging_in processing staging_out held suspended", "removed", "remove"),
    ("idle staging_in processing staging_out held suspended", "lost", "lose"),
)

# A job's state is a number in its row. The order is the rank by which, of two reports with the same start and
# time, the later phase wins; `lost` is below all, since it yields to any report (design 5).
JOB_STATES = (
    "lost", "idle", "staging_in", "processing", "suspended", "held", "staging_out", "failed", "succeeded", "removed",
)  # fmt: skip
JOB_RANK = {name: rank for rank, name in enumerate(JOB_STATES)}
JOB_ENDED = ("failed", "succeeded", "removed", "lost")
JOB_STARTED = ("staging_in", "processing", "staging_out", "suspended")

COMMAND = table(
    "command",
    "wanted",
    ("wanted", "asked", "ask"),
    ("wanted asked", "done", "observe"),
    ("wanted asked", "refused", "refuse"),
)

# A rule that only observes lets things be watched; a person's word, or a rule that acts, excludes at once.
EXCLUSION = table(
    "exclusion",
    "watched",
    ("watched", "excluded", "exclude", "watch"),
    ("watched", "released", "forget"),
    ("excluded", "on_probation", "try"),
    ("on_probation", "excluded", "exclude"),
    ("excluded on_probation", "released", "let_in"),
    ("watched excluded on_probation", "undone", "release", "watch"),
)
STANDING = ("watched", "excluded", "on_probation")

REPRODUCTION = table(
    "reproduction",
    "running",
    ("running", "equal", "agree"),
    ("running", "different", "differ"),
    ("running", "failed", "fail"),
)
