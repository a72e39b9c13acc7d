"""The kinds of notices, as data: what each is about, and how people get it who have chosen nothing. Pure."""

from __future__ import annotations

from dataclasses import dataclass

AT_ONCE, DIGEST, NONE = "at_once", "digest", "none"
HOW = {AT_ONCE: "at once", DIGEST: "once a day", NONE: "not at all"}


@dataclass(frozen=True)
class Kind:
    """One kind of notice, in the words of the page on which people choose."""

    key: str
    word: str
    default: str


KINDS = (
    Kind("decide", "A request waits for your decision", AT_ONCE),
    Kind("decided", "Your request was decided: approved, returned, rejected or consolidated", AT_ONCE),
    Kind("mentioned", "Somebody mentioned you, or commented on your request", AT_ONCE),
    Kind("watched", "A request or campaign that you watch changed", DIGEST),
    Kind("tested", "A test run of your request, or a reproduction that you asked for, ended", AT_ONCE),
    Kind("campaign", "Your campaign finished or failed", AT_ONCE),
    Kind("keep_up", "Your keep-up lapses soon, or has lapsed", AT_ONCE),
    Kind("latency", "A keep-up will miss, or has missed, its objective", AT_ONCE),
    Kind("expiring", "A token, service account or certificate of yours ends soon", DIGEST),
    Kind("credential", "A credential of your experiment ends soon, has ended, or was not renewed", AT_ONCE),
    Kind("failures", "What is new or growing among the failures of your experiment or service, once a day", DIGEST),
    Kind("operator", "Something needs an operator, such as a launch of which nobody knows whether it ran", AT_ONCE),
    Kind("alarm", "A loop of the service does not do its work, or a row is parked; for its administrators", AT_ONCE),
    Kind("report_week", "How the week went, on Monday: the report of all your experiments", NONE),
    Kind("report_day", "How the day went: the report of all your experiments", NONE),
)
BY_KEY = {kind.key: kind for kind in KINDS}
# Asked for by hand, so nobody chooses about it.
TEST = "test"
