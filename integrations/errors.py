"""The only three errors that a call to an outside system may end in (design 7)."""

from __future__ import annotations

from core.redaction import redacted


class OutsideError(Exception):
    """Something outside did not do what was asked; `transient` says whether it may go by itself."""

    transient = False

    def __init__(self, message: str = "") -> None:
        """Say what happened; what is quoted of an outside system's words may have a secret in it."""
        super().__init__(redacted(message))


class Refused(OutsideError):
    """It said no, and will again: tell the person."""


class Unavailable(OutsideError):
    """It does not answer now; nothing was done. Try again after `retry_after` seconds."""

    transient = True

    def __init__(self, message: str, retry_after: float = 30.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Unsure(OutsideError):
    """It may have been done: ask by the uuid before anything else."""

    transient = True
