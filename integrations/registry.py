"""Which outside systems there are: kind and key to the class that speaks to it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from django.conf import settings

from core.errors import Problem, Refused
from experiments.models import Experiment
from integrations import credentials
from integrations.batch.base import BatchSystem
from integrations.batch.htcondor import HTCondorBatch
from integrations.batch.jobsub import JobsubBatch
from integrations.batch.local import LocalBatch
from integrations.batch.models import BatchSystem as BatchRow
from integrations.batch.slurm import Slurm
from integrations.catalogue.base import Catalogue
from integrations.catalogue.filelist import FileLists
from integrations.catalogue.local import LocalCatalogue
from integrations.catalogue.metacat import MetaCat
from integrations.catalogue.models import CatalogueLink
from integrations.catalogue.rucio import Rucio
from integrations.catalogue.sam import SamCatalogue
from integrations.errors import Refused as Unusable
from integrations.launcher.base import Launcher, Place
from integrations.launcher.local import LocalLauncher
from integrations.launcher.models import LaunchHost
from integrations.launcher.ssh import Host, SshLauncher, known_hosts_file
from integrations.monitor.base import monitored
from integrations.transfers.base import Transfers
from integrations.transfers.fts import Fts

LAUNCHERS = ("local", "ssh")

# What makes each kind of batch system from its row.
BACKENDS: dict[str, Callable[[BatchRow], BatchSystem]] = {
    "local": lambda row: LocalBatch(settings.LOCAL_SPOOL),
    "jobsub": lambda row: monitored(JobsubBatch(row.settings), row.settings),
    "htcondor": lambda row: monitored(HTCondorBatch(row.settings), row.settings),
    "slurm": lambda row: Slurm(row.settings, row.name),
}


def batch(name: str) -> BatchSystem:
    """Return the batch system of this name; the local one is there without a row too.

    Raises integrations.errors.Refused where one was entered, on another host say, whose kind is not known here.
    """
    row = BatchRow.objects.filter(name=name).first()
    if row is None:
        _known("batch system", name, tuple(BACKENDS))
        row = BatchRow(name=name, backend=name)
    if row.backend not in BACKENDS:
        raise Unusable(f"The batch system {name} is of the kind {row.backend[:40]}, which is not known on this host.")
    return BACKENDS[row.backend](row)


def batch_systems() -> tuple[str, ...]:
    """Return the names of the batch systems to which something may be sent."""
    rows = dict(BatchRow.objects.values_list("name", "active"))
    return tuple(sorted(name for name, active in {"local": True, **rows}.items() if active))


def launcher(place: Place) -> Launcher:
    """Return what starts scripts at a place; raises integrations.errors.Refused for a host that nobody has entered."""
    _known("launcher", place.launcher, LAUNCHERS)
    if place.launcher == "local":
        return LocalLauncher(settings.LOCAL_LAUNCHES)
    row = launch_host(place)
    if row is None:
        raise Unusable(f"No launch host {place} has been entered, or it was put away.")
    return ssh_launcher(row)


def launch_host(place: Place) -> LaunchHost | None:
    """Return the row of a place of the ssh launcher; where no account is named, that of the only one there."""
    rows = LaunchHost.objects.filter(experiment_id=place.experiment_id, name=place.host, active=True)
    found = list((rows.filter(account=place.account) if place.account else rows)[:2])
    return found[0] if len(found) == 1 else None


def launch_hosts(experiment_id: int) -> tuple[str, ...]:
    """Return the launch hosts to which an experiment's scripts may be sent, as account@name."""
    rows = LaunchHost.objects.filter(experiment_id=experiment_id, active=True).order_by("name", "account")
    return tuple(row.called for row in rows)


def ssh_launcher(row: LaunchHost, *, seconds: float | None = None) -> SshLauncher:
    """Return the launcher of a launch host; raises integrations.errors.Refused for what ssh would misunderstand.

    A call that takes longer than the seconds, if they are given, is Unsure.
    """
    key = Path(credentials.certificate(row.credential)) if row.credential else None
    known = known_hosts_file(settings.STATE_DIR / "known_hosts", row.known_hosts)
    return SshLauncher(Host(row.address, row.home, row.account, row.port, row.python, key, known), seconds=seconds)


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
    _known("catalogue", link.system, tuple(CATALOGUES))
    return CATALOGUES[link.system](link)


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
CATALOGUES: dict[str, Callable[[CatalogueLink], Catalogue]] = {
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
    return CATALOGUES[row.system](row)


def _known(kind: str, key: str, keys: tuple[str, ...]) -> None:
    if key not in keys:
        raise Refused(f"There is no {kind} {key}.", [Problem(kind, f"unknown: {key}", f"one of {', '.join(keys)}")])
