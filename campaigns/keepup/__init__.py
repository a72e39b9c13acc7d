"""Keep-up: when a stage looks for new data, what becomes of each time, and whether the data are done in time. Pure."""

from campaigns.keepup.missed import (
    ALLOW,
    CATCH_UP,
    FAILED,
    GRACE,
    NOTHING_NEW,
    OUTCOMES,
    OVERLAP,
    QUEUE,
    RAN,
    SKIP,
    SKIPPED,
    Judged,
    Passed,
    judge,
)
from campaigns.keepup.objective import Objective, Standing, standing
from campaigns.keepup.objective import parse as read_objective
from campaigns.keepup.rhythm import Rhythm, read
from campaigns.keepup.span import Span, moment, span, zone

__all__ = [
    "ALLOW", "CATCH_UP", "FAILED", "GRACE", "NOTHING_NEW", "OUTCOMES", "OVERLAP", "QUEUE", "RAN", "SKIP", "SKIPPED",
    "Judged", "Objective", "Passed", "Rhythm", "Span", "Standing", "judge", "moment", "read", "read_objective",
    "span", "standing", "zone",
]  # fmt: skip
