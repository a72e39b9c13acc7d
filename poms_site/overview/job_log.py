"""What a job printed, as its batch system hands it out: a piece, or its end, made harmless."""

from __future__ import annotations

import re
from typing import Any

from core.redaction import masked_piece
from integrations import registry
from poms_site.overview.words import printable
from submissions.models import EveryJob, Job

AnyJob = Job | EveryJob

TAIL = 64 * 1024
_COLOURS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def fetch(job: AnyJob, stream: str, offset: int, length: int) -> dict[str, Any]:
    """Return {"text", "total"}: a piece of a job's output ("out") or error ("err"), as it is; raise OutsideError."""
    return registry.batch(job.system.name).log(job.external_id, stream, offset, length)


def tail(job: AnyJob, stream: str, most: int = TAIL) -> str:
    """Return the last whole lines that a job printed, at most so many bytes, masked and clean; raise OutsideError."""
    total = int(fetch(job, stream, 0, 0)["total"])
    begin = max(0, total - most)
    text = str(masked_piece(lambda at, many: fetch(job, stream, at, many), begin, most)["text"])
    return clean(text.partition("\n")[2] if begin and "\n" in text else text)


def clean(text: str) -> str:
    """Return text of a log without colours, and with what could hide something made visible."""
    return printable(_COLOURS.sub("", text.replace("\r\n", "\n")))
