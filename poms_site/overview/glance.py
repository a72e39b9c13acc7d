"""Experiments at a glance: which campaigns there are and how far those that run are; all that guests may know."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from django.db.models import Count

from campaigns.models import Campaign
from experiments.models import Experiment
from poms_site.overview.progress import percent, progress_of_campaigns

MOST = 500  # campaigns that run, of all experiments together
_NAMES = ("units", "done", "running", "recovering", "failed", "waiting")


@dataclass(frozen=True)
class Glance:
    """One experiment: how many campaigns are in each state, and how far those that run are together, by files."""

    experiment: Experiment
    states: Sequence[tuple[str, int]]
    running: Sequence[tuple[Campaign, Mapping[str, int]]]
    progress: Mapping[str, int]

    @property
    def percent(self) -> str:
        """Return how much of what runs is done."""
        return percent(self.progress)


def glances(experiments: Sequence[Experiment]) -> list[Glance]:
    """Return experiments at a glance, in a few statements for all of them; test runs do not count."""
    rows = Campaign.objects.filter(experiment__in=experiments, test=False)
    states: dict[int, list[tuple[str, int]]] = defaultdict(list)
    for key, state, n in rows.values_list("experiment_id", "state").annotate(n=Count("pk")).order_by("state"):
        states[key].append((state, n))
    running = list(rows.filter(state="running").select_related("experiment").order_by("-rank", "-pk")[:MOST])
    progress = progress_of_campaigns(running)
    empty = dict.fromkeys(_NAMES, 0)
    found = []
    for experiment in experiments:
        own = [(row, progress.get(row.pk, empty)) for row in running if row.experiment_id == experiment.pk]
        together = {name: sum(one.get(name, 0) for _, one in own) for name in _NAMES}
        found.append(Glance(experiment, states[experiment.pk], own, together))
    return found
