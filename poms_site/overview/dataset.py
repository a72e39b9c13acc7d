"""A dataset as people ask for it: how large it is, where its files are, and what reads it."""

from __future__ import annotations

from collections import Counter
from typing import Any

from django.db.models import Count, Max

from campaigns.models import StageVersion
from experiments.models import Experiment
from integrations.catalogue.base import NOWHERE, ON_DISK, ON_TAPE, RESIDENCE, Catalogue

MOST_SEEN = 20_000  # files, above which a dataset is only counted: to look at each takes minutes
MOST_READ = 500
SHOWN = 10


def seen(catalogue: Catalogue, name: str) -> dict[str, Any] | None:
    """Return the size of a dataset now, or None if there is none of this name; what is unknown is None.

    Raises integrations.errors.OutsideError where the catalogue does not answer.
    """
    number = catalogue.count(name)
    if number is None:
        return None
    unseen = dict.fromkeys(("bytes", "events", "disk", "tape", "nowhere"))
    if number > MOST_SEEN:
        return {"files": number, **unseen, "why": f"only counted: it has more than {MOST_SEEN} files", "first": []}
    files = catalogue.files(name, ("size", "events"))
    events = [file.events for file in files]
    found: dict[str, Any] = {
        "files": len(files), **unseen, "bytes": sum(file.size for file in files),
        "events": None if None in events else sum(number or 0 for number in events),
        "why": "", "first": [file.name for file in files[:SHOWN]],
    }  # fmt: skip
    if RESIDENCE in catalogue.can:
        where = catalogue.residence([file.name for file in files])
        places = Counter(where.get(file.name, NOWHERE) for file in files)
        found |= {"disk": places[ON_DISK], "tape": places[ON_TAPE], "nowhere": places[NOWHERE]}
    else:
        found["why"] = "the catalogue does not know what is on disk"
    return found


def uses(experiment: Experiment, name: str) -> list[dict[str, Any]]:
    """Return the stages whose definition that runs, or ran last, reads a dataset; the latest campaigns first."""
    rows = StageVersion.objects.filter(revision__campaign__experiment=experiment, dataset=name)
    latest = rows.select_related("stage__campaign__experiment").order_by("stage_id", "-pk").distinct("stage_id")
    return [
        {"campaign": row.stage.campaign.ref, "stage": row.stage.name, "state": row.stage.campaign.state}
        for row in sorted(latest, key=lambda row: -row.stage.campaign_id)[:MOST_READ]
    ]


def read(user: Any, experiment: str = "") -> list[dict[str, Any]]:
    """Return the datasets that definitions name, with how many campaigns do; those of the latest campaigns first."""
    rows = StageVersion.objects.visible_to(user).exclude(type="generator").exclude(dataset__in=("", "from_parent"))
    rows = rows.exclude(split__startswith="multiparam")  # its field holds words
    if experiment:
        rows = rows.filter(revision__campaign__experiment__name=experiment)
    of = "revision__campaign"
    named = rows.values(f"{of}__experiment__name", "catalogue", "dataset")
    counted = named.annotate(campaigns=Count(of, distinct=True), last=Max(of)).order_by("-last", "dataset")
    return [
        {
            "experiment": row[f"{of}__experiment__name"], "name": row["dataset"], "catalogue": row["catalogue"],
            "campaigns": row["campaigns"], "last": f"{row[f'{of}__experiment__name']}/c{row['last']}",
        }
        for row in counted[:MOST_READ]
    ]  # fmt: skip
