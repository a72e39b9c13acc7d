"""Jobs that report themselves: the token of their own submission, which reaches nothing else, and the inbox."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from django.conf import settings

from core import queue
from core.errors import NotAvailable
from core.redaction import redacted
from integrations.models import BatchSystem
from submissions.models import Report, Submission
from submissions.states import JOB_RANK

MOST = 1_000  # reports in one call
FACTS = (
    "index", "node", "site", "slot_type", "exit_code", "signal", "code", "reason", "memory_mb", "cpu_s", "wall_s",
    "cpus",
)  # fmt: skip


def report_token(uuid: str) -> str:
    """Return the token with which jobs of one submission may report, and do nothing else (reliability 4.1)."""
    return hmac.new(settings.SECRET_KEY.encode(), f"report:{uuid}".encode(), hashlib.sha256).hexdigest()


def report_environment(uuid: str) -> dict[str, str]:
    """Return what a job needs to report to us: where and with which token; nothing where we have no address."""
    if not settings.PUBLIC_URL:
        return {}
    return {"POMS_REPORT_URL": f"{settings.PUBLIC_URL}/api/v1/reports/", "POMS_REPORT_TOKEN": report_token(uuid)}


def take_in(submission: Submission, said: Sequence[Mapping[str, Any]]) -> None:
    """Append reports on a submission's jobs to the inbox, in one statement; `observe` merges them.

    They may have come before, come late or in another order than things happened: of all that is ever said of a job
    the greatest counts, whenever it comes (F9). Only the merge judges, so this neither looks for doubles nor sorts.
    """
    system = BatchSystem.objects.filter(name=submission.system).first()
    if system is None:
        raise NotAvailable(f"The batch system {submission.system} is not watched yet; send the report again later.")
    Report.objects.bulk_create(
        Report(
            experiment_id=submission.experiment_id, system=system, uuid=submission.uuid, external_id=entry["job"],
            state_code=JOB_RANK[entry["state"]], starts=entry["starts"],
            event_at=datetime.fromtimestamp(entry["at"], UTC), source="job",
            facts={name: _safe(entry[name]) for name in FACTS if name in entry},
        )
        for entry in said
    )  # fmt: skip
    queue.wake("observe")


def _safe(fact: Any) -> Any:
    return redacted(fact) if isinstance(fact, str) else fact
