"""Where analysis may be launched, and where production: never from each other's hosts."""

from __future__ import annotations

from django.conf import settings

from integrations import registry
from integrations.launcher.base import Place


def why_not(place: Place, *, analysis: bool) -> str:
    """Return why a launch may not go to a place, or an empty text; a host that nobody has entered refuses by itself."""
    if place.launcher == "local":
        shared = settings.LOCAL_SHARED_ACCOUNT or not analysis
        return "" if shared else "analysis does not run under the account of the workers: use a launch host for it"
    row = registry.launch_host(place) if place.launcher else None
    if row is None or row.for_analysis == analysis:
        return ""
    if analysis:
        return f"{place} is not for analysis: its account is production's"
    return f"{place} is for analysis; production is not launched from there"
