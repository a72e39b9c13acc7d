"""The only three errors that a call to an outside system may end in (design 7)."""

from __future__ import annotations


class OutsideError(Exception):
    """Something outside did not do what was asked; `transient` says whether it may go by itself."""

    transient = False


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
