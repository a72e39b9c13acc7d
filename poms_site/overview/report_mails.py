"""Reports by mail: who asked for them gets each once, when the day or week is over."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from experiments.models import Experiment, User
from integrations.models import Choices, Notice
from integrations.notices.kinds import NONE
from integrations.notices.outbox import Draft
from poms_site.overview import reports
from poms_site.overview.periods import latest_over

KIND_OF = {"day": "report_day", "week": "report_week"}
# What ended before midnight may become known a little later: batch systems are asked, reports come.
GRACE = timedelta(hours=1)
OF = "report"


def due(at: datetime) -> list[Draft]:
    """Return the reports of the last day and week for those who want them and have not got them, one each."""
    return [draft for kind in KIND_OF for draft in _of_kind(kind, at)]


def _of_kind(kind: str, at: datetime) -> Iterator[Draft]:
    period = latest_over(kind, at)
    if at < period.until + GRACE:
        return
    said = f"kinds__{KIND_OF[kind]}"
    wanted = Choices.objects.filter(**{f"{said}__isnull": False}).exclude(**{said: NONE})
    told = Notice.objects.filter(kind=KIND_OF[kind], key=period.name).values("recipient")
    made: dict[tuple[int, ...], reports.Report] = {}
    for user in User.objects.filter(pk__in=wanted.values("user"), is_active=True).exclude(pk__in=told).order_by("pk"):
        keys = tuple(sorted(user.experiment_ids("view")))
        if keys and keys not in made:
            made[keys] = reports.report(list(Experiment.objects.filter(pk__in=keys)), period)
        if keys:
            yield _draft(user, keys, made[keys])


def _draft(user: User, keys: tuple[int, ...], found: reports.Report) -> Draft:
    period, address = found.period, f"?period={found.period.kind}&on={found.period.begin}"
    return Draft(
        user, None, KIND_OF[period.kind], period.name, subject=f"{period.title}: {_in_short(found)}", of=OF,
        things=keys, link=f"/reports/{address}",
        lines=[
            {"ref": row.experiment, "title": row.title, "link": f"/e/{row.experiment}/reports/{address}",
             "said": reports.headline(row), "by": ""}
            for row in found.experiments
        ],
    )  # fmt: skip


def _in_short(found: reports.Report) -> str:
    now, before = found.total.now, found.total.before
    ended = sum(now[state] or 0 for state in ("succeeded", "failed", "lost"))
    if not ended:
        return "no job ended"
    success, past = now["success"], before["success"]
    than = f" ({past:.0f} % before)" if past is not None else ""
    return f"{ended:.0f} jobs ended, {success:.0f} % succeeded{than}"


def is_still_visible(user: User, notice: Notice) -> bool:
    """Tell whether a person may still see all experiments that a report tells of."""
    return set(notice.things) <= set(user.experiment_ids("view"))
