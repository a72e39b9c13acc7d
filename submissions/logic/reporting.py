"""Jobs that report themselves: the token of their own submission, which reaches nothing else."""

from __future__ import annotations

import hashlib
import hmac

from django.conf import settings


def report_token(uuid: str) -> str:
    """Return the token with which jobs of one submission may report, and do nothing else (reliability 4.1)."""
    return hmac.new(settings.SECRET_KEY.encode(), f"report:{uuid}".encode(), hashlib.sha256).hexdigest()


def report_environment(uuid: str) -> dict[str, str]:
    """Return what a job needs to report to us: where and with which token; nothing where we have no address."""
    if not settings.PUBLIC_URL:
        return {}
    return {"POMS_REPORT_URL": f"{settings.PUBLIC_URL}/api/v1/reports/", "POMS_REPORT_TOKEN": report_token(uuid)}
