"""The exceptions of the client: each is one answer to "why was it not done", with its exit code."""

from __future__ import annotations

from typing import Any

DONE = 0
REFUSED = 1
NOT_ALLOWED = 3
NOT_FOUND = 4
UNAVAILABLE = 5
USED_WRONGLY = 64
INTERRUPTED = 130


class PomsError(Exception):
    """What was asked was not done.

    `problem` holds what the service said (RFC 9457: type, title, status, detail, errors with field, message,
    hint); when the client itself refused, it holds the same keys with the client's words.
    """

    exit_code = REFUSED

    def __init__(self, title: str, *, detail: str = "", hint: str = "", problem: dict[str, Any] | None = None):
        self.problem: dict[str, Any] = dict(problem or {})
        self.problem.setdefault("title", title)
        self.problem.setdefault("detail", detail)
        self.hint = hint
        super().__init__(self.summary)

    @property
    def summary(self) -> str:
        """What happened, in one sentence or two."""
        title = str(self.problem.get("title") or "").strip()
        detail = str(self.problem.get("detail") or "").strip()
        if not title or title.rstrip(".") == detail.rstrip("."):
            return detail or title
        return f"{title.rstrip('.')}: {detail}" if detail else title

    @property
    def lines(self) -> list[str]:
        """What was wrong in which field and what to do, one line each, for people."""
        found = []
        errors = self.problem.get("errors")
        for error in errors if isinstance(errors, list) else []:
            if not isinstance(error, dict):
                found.append(str(error))
                continue
            field = str(error.get("field") or "")
            if error.get("line") is not None:
                field = f"{field} (line {error['line']})".strip()
            message = str(error.get("message") or "")
            found.append(f"{field}: {message}" if field and message else field or message)
            if error.get("hint"):
                found.append(f"hint: {error['hint']}")
        if self.hint:
            found.append(f"hint: {self.hint}")
        return found


class Refused(PomsError):
    """The service understood and will not do it: invalid input, or not possible in this state."""


class NotAllowed(PomsError):
    """No valid token, or a role is missing; the problem names it."""

    exit_code = NOT_ALLOWED


class NotFound(PomsError):
    """No such object, or none that this person may see: the service does not tell the two apart."""

    exit_code = NOT_FOUND


class Unavailable(PomsError):
    """The service did not answer, or could not work just now.

    `retry_after` is the wait the service asked for in seconds, if it did; `repeatable` says whether waiting
    may help; `harmless` says that nothing can have been done, so that even a verb may be said again; `limited`, that
    there were too many within a minute, and `retry_after` is when there is room.
    """

    exit_code = UNAVAILABLE

    def __init__(
        self,
        title: str,
        *,
        detail: str = "",
        hint: str = "",
        problem: dict[str, Any] | None = None,
        retry_after: float | None = None,
        repeatable: bool = True,
        harmless: bool = False,
        limited: bool = False,
    ):
        super().__init__(title, detail=detail, hint=hint, problem=problem)
        self.retry_after = retry_after
        self.repeatable = repeatable
        self.harmless = harmless
        self.limited = limited


class UsedWrongly(PomsError):
    """The client was not told enough or told something impossible; nothing was sent."""

    exit_code = USED_WRONGLY
