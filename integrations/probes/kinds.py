"""Which kinds of probes there are: what each declares, and what makes it from a service's row."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from integrations.probes import known, places, web
from integrations.probes.base import Asked, Probe, Setting
from integrations.probes.models import Service

PROBES: dict[str, tuple[str, Sequence[Setting], Callable[[Asked], Probe]]] = {
    "http": ("an address answers", web.SETTINGS, web.Http),
    "queue": ("a batch system has not too many idle jobs", known.QUEUE, known.Queue),
    "disk": ("a disk has room", places.DISK, places.Disk),
    "host": ("a launch host answers", places.HOST_ONLY, places.HostProbe),
    "path": ("a path can be read", places.PATH, places.PathProbe),
    "git": ("a repository has a tag", known.GIT, known.GitTag),
    "credential": ("a credential is good", known.CREDENTIAL, known.CredentialProbe),
    "catalogue": ("a catalogue answers", known.CATALOGUE, known.CatalogueProbe),
}
BY_HAND = "none"  # nobody looks: people and downtimes say how it is


def probe_of(service: Service) -> Probe | None:
    """Return what looks at a service; None where only people say how it is. Raises what its settings are refused by."""
    if service.kind == BY_HAND:
        return None
    return PROBES[service.kind][2](Asked(service.experiment, service.settings))
