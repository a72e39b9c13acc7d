"""What becomes of nominal times that have come: which one is run, and which are passed over, with the reason. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

# The one outcome of each nominal time.
RAN, NOTHING_NEW, SKIPPED, FAILED = OUTCOMES = ("ran", "nothing_new", "skipped", "failed")
# Which of several missed times are run: only the last, all of them up to a cap, or none that is late.
LAST, ALL, NONE = CATCH_UP = ("last", "all", "none")
# What happens while the work of an earlier tick goes on.
ALLOW, SKIP, QUEUE = OVERLAP = ("allow", "skip", "queue")
# By how much a time may be late before it counts as missed where nothing is caught up.
GRACE = timedelta(minutes=5)


@dataclass(frozen=True)
class Passed:
    """A nominal time that is not run, and why."""

    at: datetime
    outcome: str
    reason: str


@dataclass(frozen=True)
class Judged:
    """What becomes of the times that have come: those passed over, in order, and the next to run, later than those."""

    passed: tuple[Passed, ...] = ()
    run: datetime | None = None


def judge(
    due: Sequence[datetime], *, now: datetime, catch_up: str, cap: int = 1, more: bool = False, tries: int = 0,
    why: str = "",
) -> Judged:  # fmt: skip
    """Decide about the nominal times that have come and have no outcome yet, in order; at least one.

    `more` says that later ones have come, too, which are not listed. The first may have been begun: it has failed
    `tries` times, or it waits, and `why` says so. It goes on being tried until the next time has come.
    """
    begun = tries > 0 or bool(why)
    wanted = _wanted(due, now, catch_up, cap, more=more, begun=begun)
    passed = []
    for at in due:
        if at == due[0] and begun and (more or len(due) > 1):
            passed.append(Passed(at, FAILED if tries else SKIPPED, f"{why}, until the next time came"))
        elif at in wanted:
            return Judged(tuple(passed), at)
        else:
            passed.append(Passed(at, SKIPPED, _missed(due, now - at, catch_up, cap, more=more)))
    return Judged(tuple(passed))


def _wanted(
    due: Sequence[datetime], now: datetime, catch_up: str, cap: int, *, more: bool, begun: bool
) -> frozenset[datetime]:  # fmt: skip
    if catch_up == NONE:
        own = due[:1] if begun else ()
        return frozenset([*own, *(at for at in due if now - at <= GRACE)])
    if more:
        return frozenset()
    return frozenset(due[-(cap if catch_up == ALL else 1) :])


def _missed(due: Sequence[datetime], late: timedelta, catch_up: str, cap: int, *, more: bool) -> str:
    if catch_up == NONE:
        return f"missed by {int(late.total_seconds() // 60)} min; nothing is caught up"
    if catch_up == ALL:
        return f"missed, and more than {cap} later ones, too"
    later = "a later one" if more else f"that of {due[-1]:%Y-%m-%d %H:%M} UTC"
    return f"missed; {later} looks for all that is new since"
