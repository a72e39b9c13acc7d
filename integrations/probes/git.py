"""Git repositories: does a tag exist, does a file exist at it, what is in it (P2). Nothing is checked out."""

from __future__ import annotations

import os
import re
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from django.conf import settings

from integrations import http, process
from integrations.errors import Refused, Unavailable, Unsure

SECONDS = 20.0
# A name that git could take for an option, or for more than one reference, is none.
_TAG = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/+-]{0,199}")
_HOST = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]{0,252}|[0-9A-Fa-f:.]{2,45}")  # a name or an address
_SCP = re.compile(r"(?:([A-Za-z0-9._-]+)@)?([A-Za-z0-9.-]+):(?!/{2})(.+)")  # git@example.org:group/code.git
PORTS = {"https": 443, "http": 80, "ssh": 22}
_QUIET = {"GIT_TERMINAL_PROMPT": "0", "GIT_ASKPASS": "/bin/false", "GIT_CONFIG_NOSYSTEM": "1", "LC_ALL": "C",
          "GIT_CONFIG_GLOBAL": os.devnull, "GIT_ALLOW_PROTOCOL": "https:http:ssh:file"}  # fmt: skip


def has_tag(url: str, tag: str) -> bool:
    """Tell whether a repository has a tag, by `git ls-remote`: one round trip, no clone.

    Raises Refused for a name that can be no tag or a repository that says no, Unavailable if it does not answer.
    """
    wanted = f"refs/tags/{_named(tag)}"
    return bool(_git(["ls-remote", "--tags", "--", url, wanted], _way_to(url)).strip())


def has_file(url: str, tag: str, path: str) -> bool:
    """Tell whether a file exists at a tag: the trees of that one commit are fetched, no file's content."""
    _inside(path)
    with _fetched(url, tag) as folder:
        return _holds(folder, path)


@contextmanager
def at_tag(url: str, tag: str) -> Iterator[Callable[[str], str | None]]:
    """Give what reads a file at a tag by its path (None: there is none); each is fetched when it is asked for."""
    with _fetched(url, tag) as folder:

        def content(path: str) -> str | None:
            _inside(path)
            blob = f"FETCH_HEAD:{path}"
            return _git(["-C", folder, "cat-file", "blob", blob], _way_to(url)) if _holds(folder, path) else None

        yield content


@contextmanager
def _fetched(url: str, tag: str) -> Iterator[str]:
    """Give a folder with the trees of a tag's commit, for as long as it is needed."""
    wanted, way = f"refs/tags/{_named(tag)}", _way_to(url)
    with tempfile.TemporaryDirectory(prefix="poms-git-") as folder:
        _git(["init", "--quiet", "--bare", folder])
        # By the name of a remote, so that git knows where to get the content of a file from later.
        _git(["-C", folder, "remote", "add", "--", "origin", url])
        _git(["-C", folder, "fetch", "--quiet", "--depth=1", "--filter=blob:none", "--no-tags", "origin", wanted], way)
        yield folder


def _holds(folder: str, path: str) -> bool:
    return path in _git(["-C", folder, "ls-tree", "-z", "--name-only", "FETCH_HEAD", "--", path]).split("\0")


def _inside(path: str) -> None:
    if path.startswith("/") or ".." in Path(path).parts or "\0" in path:
        raise Refused(f"{path} is no path within a repository")


def _named(tag: str) -> str:
    if not _TAG.fullmatch(tag) or ".." in tag:
        raise Refused(f"{tag} can be no tag")
    return tag


@dataclass(frozen=True)
class Way:
    """How git gets to a repository: by which options, and by which ssh; only to the address that was looked at."""

    options: tuple[str, ...] = ()
    ssh: str = "ssh -oBatchMode=yes"


def _way_to(url: str) -> Way:
    """Look at where a repository is, as at every address that somebody has entered, and pin git to it.

    Raises Refused for what we do not call: other protocols, hosts inside our network, folders that are not named in
    POMS_GIT_FOLDERS. Redirects are not followed. Unavailable for a name that nobody has.
    """
    if url.startswith(("/", "file:///")):
        return _way_to_folder(url.removeprefix("file://"))
    user_and_host = _SCP.fullmatch(url)
    if user_and_host and "://" not in url:
        return _by_ssh(user_and_host[2], PORTS["ssh"])
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or PORTS.get(parts.scheme, 0)
    except ValueError as error:
        raise Refused(f"{url[:200]} is no address: {error}") from error
    if parts.scheme == "ssh":
        return _by_ssh(host, port)
    http.check(url)
    if not re.fullmatch(r"[^?#%]+", parts.netloc) or parts.query or parts.fragment:  # curl might read another host
        raise Refused(f"{url[:200]} is no address of a repository")
    options = ("-c", "http.followRedirects=false", "-c", f"http.curloptResolve={host}:{port}:{_seen(host, port)}")
    return Way(options)


def _by_ssh(host: str, port: int) -> Way:
    if not _HOST.fullmatch(host):
        raise Refused(f"{host[:200]} can be no host")
    known = host if port == PORTS["ssh"] else f"[{host}]:{port}"
    return Way(ssh=f"ssh -oBatchMode=yes -oHostName={_seen(host, port)} -oHostKeyAlias={known}")


def _seen(host: str, port: int) -> str:
    try:
        found = http.address_of(host, port)
    except (socket.gaierror, UnicodeError) as error:
        raise Unavailable(f"no such host: {host}") from error
    return f"[{found}]" if ":" in found and port != PORTS["ssh"] else found


def _way_to_folder(path: str) -> Way:
    real = Path(path).resolve()
    if any(real.is_relative_to(Path(folder).resolve()) for folder in settings.GIT_FOLDERS):
        return Way()
    raise Refused(f"{path[:200]} is in no folder that POMS_GIT_FOLDERS names.")


def _git(arguments: list[str], way: Way | None = None) -> str:
    way = way or Way()
    environment = {
        **_QUIET,
        "GIT_SSH_COMMAND": way.ssh,
        **{name: os.environ[name] for name in ("PATH", "HOME", "SSH_AUTH_SOCK") if name in os.environ},
    }
    try:
        ended = process.run(["git", *way.options, *arguments], seconds=SECONDS, cap=1 << 20, env=environment)
    except Unsure as error:  # reading twice does no harm
        raise Unavailable(f"git did not answer within {SECONDS:g} s") from error
    if ended.exit_code != 0:
        said = ended.stderr.decode(errors="replace").strip().splitlines()
        raise Unavailable(f"git says: {said[-1][:200] if said else f'exit {ended.exit_code}'}")
    return ended.stdout.decode(errors="replace")
