"""Which outside systems there are: kind and key to the class that speaks to it."""

from __future__ import annotations

from django.conf import settings

from core.errors import Problem, Refused
from experiments.models import Experiment
from integrations.batch.base import BatchSystem
from integrations.batch.local import LocalBatch
from integrations.catalogue.base import Catalogue
from integrations.catalogue.local import LocalCatalogue
from integrations.launcher.base import Launcher
from integrations.launcher.local import LocalLauncher

BATCH_SYSTEMS = ("local",)
LAUNCHERS = ("local",)
CATALOGUES = ("local",)


def batch(key: str) -> BatchSystem:
    """Return the batch system of this name."""
    _known("batch system", key, BATCH_SYSTEMS)
    return LocalBatch(settings.LOCAL_SPOOL)


def launcher(key: str) -> Launcher:
    """Return the launcher of this name."""
    _known("launcher", key, LAUNCHERS)
    return LocalLauncher(settings.LOCAL_LAUNCHES)


def catalogue(experiment: Experiment, key: str = "local") -> Catalogue:
    """Return an experiment's catalogue."""
    _known("catalogue", key, CATALOGUES)
    return LocalCatalogue(experiment)


def _known(kind: str, key: str, keys: tuple[str, ...]) -> None:
    if key not in keys:
        raise Refused(f"There is no {kind} {key}.", [Problem(kind, f"unknown: {key}", f"one of {', '.join(keys)}")])
