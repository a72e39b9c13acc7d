"""The definition of a campaign and its text: the .ini of POMS plus keys of ours (design 10). Pure.

Our own keys: events, seed, events_per_job, files_per_job, most_files, memory_mb, memory_factor, wall_s, wall_factor,
what else a job wants of a slot (values.SLOT), recovery_rounds, canary, recall_times, recall_window, schedule and what
goes with it (values.KEEP_UP) in stages; gate_<i> in dependencies; launcher and batch in login set-ups.
"""

from campaigns.command import Pair
from campaigns.definition.checking import check, complete, known_words
from campaigns.definition.document import LONGEST_TEXT
from campaigns.definition.model import (
    FROM_PARENT,
    Definition,
    EdgeText,
    JobTypeText,
    LoginSetupText,
    Parsed,
    StageText,
)
from campaigns.definition.reading import parse
from campaigns.definition.values import APPROVAL, PASSES_ON, TRANSFER
from campaigns.definition.writing import dump

__all__ = [
    "APPROVAL", "FROM_PARENT", "LONGEST_TEXT", "PASSES_ON", "TRANSFER", "Definition", "EdgeText", "JobTypeText",
    "LoginSetupText", "Pair", "Parsed", "StageText", "check", "complete", "dump", "known_words", "parse",
]  # fmt: skip
