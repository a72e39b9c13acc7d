"""Which outside systems there are: kind and key to the class that speaks to it."""

from __future__ import annotations

from collections.abc import Callable

from django.conf import settings

from core.errors import Problem, Refused
from experiments.models import Experiment
from integrations.batch.base import BatchSystem
from integrations.batch.local import LocalBatch
from integrations.catalogue.base import Catalogue
from integrations.catalogue.filelist import FileLists
from integrations.catalogue.local import LocalCatalogue
from integrations.catalogue.metacat import MetaCat
from integrations.catalogue.models import CatalogueLink
from integrations.catalogue.rucio import Rucio
from integrations.catalogue.sam import SamCatalogue
from integrations.errors import Refused as Unusable
from integrations.launcher.base import Launcher
from integrations.launcher.local import LocalLauncher
from integrations.transfers.base import Transfers
from integrations.transfers.fts import Fts

BATCH_SYSTEMS = ("local",)
LAUNCHERS = ("local",)
CATALOGUES = ("local", "sam", "metacat", "rucio", "filelist")


def batch(key: str) -> BatchSystem:
    """Return the batch system of this name."""
    _known("batch system", key, BATCH_SYSTEMS)
    return LocalBatch(settings.LOCAL_SPOOL)


def launcher(key: str) -> Launcher:
    """Return the launcher of this name."""
    _known("launcher", key, LAUNCHERS)
    return LocalLauncher(settings.LOCAL_LAUNCHES)


def catalogue(experiment: Experiment, name: str = "") -> Catalogue:
    """Return an experiment's catalogue: the one of this name, or its default one; without any, the local one."""
    link = _link(experiment, name)
    if link is None:
        if name not in ("", "local"):
            links = CatalogueLink.objects.filter(experiment=experiment, active=True)
            known = ", ".join(links.order_by("name").values_list("name", flat=True)) or "none but the local one"
            problem = Problem("catalogue", f"unknown: {name}", f"{experiment.name} has {known}")
            raise Refused(f"There is no catalogue {name}.", [problem])
        return LocalCatalogue(experiment)
    _known("catalogue", link.system, CATALOGUES)
    return MAKERS[link.system](link)


def transfers(experiment: Experiment, name: str = "") -> Transfers | None:
    """Return what takes an experiment's files to tape, beside its catalogue of this name; None where it has none."""
    link = _link(experiment, name)
    return transfers_of(link) if link else None


def has_transfers(experiment: Experiment, name: str = "") -> bool:
    """Tell whether something takes an experiment's files to tape; nothing is looked at but its link."""
    link = _link(experiment, name)
    return link is not None and bool(_addresses(link))


def transfers_of(link: CatalogueLink) -> Transfers | None:
    """Return the transfer services that a link names; raise integrations.errors.Refused for what is no address."""
    addresses = _addresses(link)
    return Fts(addresses) if addresses else None


def _addresses(link: CatalogueLink) -> str:
    return str(link.settings.get("fts", "")).strip()


def _link(experiment: Experiment, name: str) -> CatalogueLink | None:
    links = CatalogueLink.objects.filter(experiment=experiment, active=True)
    return links.filter(name=name).first() if name else links.filter(is_default=True).first()


# What makes each kind of catalogue from an experiment's link to it.
MAKERS: dict[str, Callable[[CatalogueLink], Catalogue]] = {
    "local": lambda link: LocalCatalogue(link.experiment),
    "sam": lambda link: SamCatalogue(link.settings, link.credential),
    "metacat": lambda link: MetaCat(link.settings, link.credential, _places(link)),
    "rucio": lambda link: Rucio(link.settings, link.credential),
    "filelist": lambda link: FileLists(link.experiment, link.settings),
}


def _places(link: CatalogueLink) -> Catalogue | None:
    """Return the catalogue that knows where the files of another one are, if it names one."""
    name = link.settings.get("places", "")
    if not name:
        return None
    row = CatalogueLink.objects.filter(experiment=link.experiment, active=True, name=name).first()
    if row is None or row.system == link.system:
        what = "has no such catalogue" if row is None else f"cannot ask another {row.system}"
        raise Unusable(f"places of the catalogue {link.name} is {name[:30]!r}: {link.experiment.name} {what}.")
    return MAKERS[row.system](row)


def _known(kind: str, key: str, keys: tuple[str, ...]) -> None:
    if key not in keys:
        raise Refused(f"There is no {kind} {key}.", [Problem(kind, f"unknown: {key}", f"one of {', '.join(keys)}")])
