"""The Python client of POMS: `Client` speaks to the service, exceptions say why not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from poms_client.errors import NotAllowed, NotFound, PomsError, Refused, Unavailable, UsedWrongly

if TYPE_CHECKING:
    from poms_client.client import Client

__version__ = "0.1.0"
__all__ = ["Client", "NotAllowed", "NotFound", "PomsError", "Refused", "Unavailable", "UsedWrongly"]


def __getattr__(name: str) -> Any:
    """Import the client, and requests with it, only when it is used: `poms --help` needs neither."""
    if name == "Client":
        from poms_client.client import Client

        return Client
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
