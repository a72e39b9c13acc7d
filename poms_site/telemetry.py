"""Structured logs: one JSON object a line, with the request's or task's id."""

from __future__ import annotations

import logging.config
from typing import Any

import structlog

from core.redaction import redacted, redacted_deep


def cover_secrets(logger: Any, name: str, event: dict[str, Any]) -> dict[str, Any]:
    """Cover the secrets in everything that a line says (structlog's form of a filter)."""
    kept = {key: event.pop(key) for key in ("_record", "_from_structlog") if key in event}
    found: dict[str, Any] = redacted_deep(event)
    return found | kept


_SHARED: list[Any] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.format_exc_info,
]


def configure(config: dict[str, Any]) -> None:
    """Set up logging (Django's LOGGING_CONFIG): standard library and structlog end in the same lines."""
    formatter = {
        "()": structlog.stdlib.ProcessorFormatter,
        "processors": [
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            cover_secrets,
            structlog.processors.JSONRenderer(default=lambda value: redacted(str(value))),
        ],
        "foreign_pre_chain": _SHARED,
    }
    logging.config.dictConfig({**config, "formatters": {"structured": formatter}})
    structlog.configure(
        processors=[*_SHARED, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
