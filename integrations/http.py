"""The one place from which we call others over HTTP: time limits, a cap, no redirects, no way into our own network."""

from __future__ import annotations

import ipaddress
import json
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import requests
from django.conf import settings
from requests.adapters import HTTPAdapter
from urllib3 import PoolManager
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import NewConnectionError

from integrations.errors import Refused, Unavailable, Unsure

CONNECT_SECONDS = 5.0
SECONDS = 10.0
CAP = 1024 * 1024
BUSY = {408, 425, 429, 500, 502, 503, 504}
_WRAPPING = (ipaddress.IPv6Network("::/96"), ipaddress.IPv6Network("64:ff9b::/96"))


@dataclass(frozen=True)
class Answer:
    """What a server answered: status, headers, and the body up to the cap."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """Return the JSON document; raise Unsure where there is none: nobody knows what was done."""
        try:
            return json.loads(self.body)
        except ValueError as error:
            raise Unsure(f"status {self.status}, but no JSON: {self.body[:80]!r}") from error

    @property
    def retry_after(self) -> float:
        """Return after how many seconds the server wants to be asked again."""
        given = self.headers.get("Retry-After", "").strip()
        return min(float(given), 3600.0) if given.isdecimal() else 30.0


def call(
    method: str, url: str, *, body: bytes | None = None, headers: Mapping[str, str] | None = None,
    query: Mapping[str, str] | None = None, auth: tuple[str, str] | None = None, seconds: float = SECONDS,
    cap: int = CAP, certificate: str = "", trusted: bool = False,
) -> Answer:  # fmt: skip
    """Make one call and return the answer, whatever its status, with at most `cap` bytes within `seconds`.

    A `trusted` address is one that the installation's settings name: it may lie in our own network. Anybody else's is
    looked at first. `certificate` is the path of a client certificate with its key.

    Raises Refused for an address that we do not call, Unavailable where no connection came about (nothing was done),
    Unsure where it broke off afterwards (it may have been done).
    """
    session = requests.Session()
    session.trust_env = False  # neither proxies nor ~/.netrc of the account
    session.cert = certificate or None
    if not trusted:
        check(url)
        for scheme in ("http://", "https://"):
            session.mount(scheme, _Guarded())
    ends = time.monotonic() + seconds
    try:
        with session, session.request(
            method, url, data=body, params=query, headers={"User-Agent": "POMS", **(headers or {})}, auth=auth,
            timeout=(CONNECT_SECONDS, seconds), allow_redirects=False, stream=True,
        ) as response:  # fmt: skip
            read = bytearray()
            for piece in response.iter_content(16 * 1024):
                read += piece
                if len(read) > cap:
                    raise Unsure(f"{_host(url)} answered with more than {cap} bytes")
                if time.monotonic() > ends:
                    raise Unsure(f"{_host(url)} did not end its answer within {seconds:g} s")
            return Answer(response.status_code, response.headers, bytes(read))
    except requests.exceptions.SSLError as error:
        raise Unavailable(f"{_host(url)} cannot be trusted: {error}") from error
    except requests.exceptions.ConnectTimeout as error:
        raise Unavailable(f"{_host(url)} cannot be reached") from error
    except requests.exceptions.ConnectionError as error:
        if isinstance(getattr(error.args[0] if error.args else None, "reason", None), NewConnectionError):
            raise Unavailable(f"{_host(url)} cannot be reached") from error
        raise Unsure(f"{_host(url)} broke off the connection") from error
    except requests.exceptions.Timeout as error:
        raise Unsure(f"{_host(url)} did not answer within {seconds:g} s") from error
    except (ValueError, requests.exceptions.RequestException) as error:
        if isinstance(error, ValueError):  # an address or a header that is none: it never left
            raise Refused(f"{url[:200]} cannot be called: {error}") from error
        raise Unsure(f"{_host(url)} broke off its answer") from error


def check(url: str) -> None:
    """Raise Refused for an address that we never call, as far as it can be told without asking for its host."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError as error:
        raise Refused(f"{url[:200]} is no address: {error}") from error
    if not host or "@" in parts.netloc or "\\" in url or not url.isprintable() or " " in url:
        raise Refused(f"{url[:200]} is no address that we call; it looks like https://example.org/path.")
    if not parts.netloc.isascii():  # a dot or a digit of another script is read in more than one way
        raise Refused(f"{url[:200]}: write the host in plain letters (xn--…).")
    check_host(host)
    if parts.scheme == "https" or (parts.scheme == "http" and _is_allowed_loopback(host)):
        return
    raise Refused(f"{url[:200]}: only https is called.")


def check_host(host: str) -> None:
    """Raise Refused for a host that the installation does not have on its list of hosts, where it has one.

    The list is of names; whether what a name leads to may be called is asked when it is called.
    """
    if settings.OUTGOING_HOSTS and not _is_listed(host.lower().rstrip(".")):
        raise Refused(f"{host} is not among the hosts that this installation calls; an administrator may add it.")


def _is_listed(host: str) -> bool:
    for entry in (*settings.OUTGOING_HOSTS, *settings.HTTP_ALLOW):
        name = entry.lower()
        if host == name or (name.startswith(".") and host.endswith(name)):
            return True
        try:
            if ipaddress.ip_address(host) in ipaddress.ip_network(name, strict=False):
                return True
        except ValueError:  # one of the two is a name
            continue
    return False


def _is_allowed_loopback(host: str) -> bool:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost" and _allows(ipaddress.ip_address("127.0.0.1"), host)
    return address.is_loopback and _allows(address, host)


def _allows(address: ipaddress.IPv4Address | ipaddress.IPv6Address, host: str) -> bool:
    """Tell whether an address may be called: it is public, or the installation allows it by name or network."""
    plain = _within(address)
    if plain.is_global and not plain.is_multicast:
        return True
    for entry in settings.HTTP_ALLOW:
        if entry == host:
            return True
        try:
            if plain in ipaddress.ip_network(entry, strict=False):
                return True
        except ValueError:  # a host's name, and not this one's
            continue
    return False


def _within(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """Return the IPv4 address that one of IPv6 only wraps (mapped, compatible, 6to4, NAT64), else the address."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if wrapped := address.ipv4_mapped or address.sixtofour:
        return wrapped
    if any(address in network for network in _WRAPPING) and int(address) > 1:  # not :: and ::1
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def address_of(host: str, port: int) -> str:
    """Return the address to connect to; a host with any address inside our network is refused as a whole.

    Raises Refused for a host that we do not call, OSError for a name that nobody has.
    """
    check_host(host)
    found = dict.fromkeys(str(entry[4][0]) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
    for text in found:
        if not _allows(ipaddress.ip_address(text.partition("%")[0]), host):
            raise Refused(f"{host} is not on the public internet ({text}); an administrator may allow it.")
    return next(iter(found))


def line_to(host: str, port: int, *, seconds: float, trusted: bool = False) -> socket.socket:
    """Open a bare line to a host that may be called; a trusted one is not looked at first.

    Raises Refused for a host that we do not call, OSError where no line came about.
    """
    return socket.create_connection((host if trusted else address_of(host, port), port), seconds)


class _Pinned:
    """Connects to the address that was looked at, so that a name cannot change its mind in between."""

    _dns_host: str
    port: int

    def _new_conn(self) -> socket.socket:
        name = self._dns_host
        try:
            self._dns_host = address_of(name, self.port)
        except (socket.gaierror, UnicodeError) as error:
            # mypy sees only this mixin; what it stands in front of is a connection of urllib3
            raise NewConnectionError(self, f"no such host: {name}") from error  # type: ignore[arg-type]
        try:
            return super()._new_conn()  # type: ignore[misc]  # the connection's, as above
        finally:
            self._dns_host = name  # the certificate is of the name


class _PinnedHTTP(_Pinned, HTTPConnection):
    pass


class _PinnedHTTPS(_Pinned, HTTPSConnection):
    pass


class _HTTPPool(HTTPConnectionPool):
    ConnectionCls = _PinnedHTTP


class _HTTPSPool(HTTPSConnectionPool):
    ConnectionCls = _PinnedHTTPS


class _Guarded(HTTPAdapter):
    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        manager: PoolManager = self.poolmanager
        manager.pool_classes_by_scheme = {"http": _HTTPPool, "https": _HTTPSPool}


def _host(url: str) -> str:
    return urlsplit(url).netloc
