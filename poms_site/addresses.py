"""Where a request comes from: the peer itself, or what a proxy that we trust says of it."""

from __future__ import annotations

import ipaddress

from django.conf import settings
from django.http import HttpRequest


def is_from_proxy(request: HttpRequest) -> bool:
    """Tell whether the peer may speak for others: a unix socket, or an address among POMS_TRUSTED_PROXIES."""
    peer = request.META.get("REMOTE_ADDR", "")
    return not peer or _is_trusted(peer)


def client_address(request: HttpRequest) -> str:
    """Return the address of whoever asks; the last hop that no trusted proxy added, where one speaks for them."""
    peer = str(request.META.get("REMOTE_ADDR", ""))
    if not is_from_proxy(request):
        return peer
    hops = [hop.strip() for hop in request.headers.get("X-Forwarded-For", "").split(",") if hop.strip()]
    for hop in reversed(hops):
        if not _is_trusted(hop):
            return hop[:64]
    return hops[0][:64] if hops else peer


def _is_trusted(address: str) -> bool:
    try:
        known = ipaddress.ip_address(address)
        return any(known in ipaddress.ip_network(network, strict=False) for network in settings.TRUSTED_PROXIES)
    except ValueError:  # no address, or a setting that a system check has complained of: nobody is trusted by it
        return False
