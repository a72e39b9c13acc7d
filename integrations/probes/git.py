"""Git repositories: does a tag exist, does a file exist at it, what is in it (P2). Nothing is checked out."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from integrations import process
from integrations.errors import Refused, Unavailable, Unsure

SECONDS = 20.0
# A name that git could take for an option, or for more than one reference, is none.
_TAG = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/+-]{0,199}")
_QUIET = {"GIT_TERMINAL_PROMPT": "0", "GIT_ASKPASS": "/bin/false", "GIT_SSH_COMMAND": "ssh -oBatchMode=yes",
          "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull, "LC_ALL": "C"}  # fmt: skip


def has_tag(url: str, tag: str) -> bool:
    """Tell whether a repository has a tag, by `git ls-remote`: one round trip, no clone.

    Raises Refused for a name that can be no tag or a repository that says no, Unavailable if it does not answer.
    """
    return bool(_git(["ls-remote", "--tags", "--", url, f"refs/tags/{_named(tag)}"]).strip())


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
            return _git(["-C", folder, "cat-file", "blob", f"FETCH_HEAD:{path}"]) if _holds(folder, path) else None

        yield content


@contextmanager
def _fetched(url: str, tag: str) -> Iterator[str]:
    """Give a folder with the trees of a tag's commit, for as long as it is needed."""
    wanted = f"refs/tags/{_named(tag)}"
    with tempfile.TemporaryDirectory(prefix="poms-git-") as folder:
        _git(["init", "--quiet", "--bare", folder])
        # By the name of a remote, so that git knows where to get the content of a file from later.
        _git(["-C", folder, "remote", "add", "--", "origin", url])
        _git(["-C", folder, "fetch", "--quiet", "--depth=1", "--filter=blob:none", "--no-tags", "origin", wanted])
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


def _git(arguments: list[str]) -> str:
    environment = {
        **_QUIET,
        **{name: os.environ[name] for name in ("PATH", "HOME", "SSH_AUTH_SOCK") if name in os.environ},
    }
    try:
        ended = process.run(["git", *arguments], seconds=SECONDS, cap=1 << 20, env=environment)
    except Unsure as error:  # reading twice does no harm
        raise Unavailable(f"git did not answer within {SECONDS:g} s") from error
    if ended.exit_code != 0:
        said = ended.stderr.decode(errors="replace").strip().splitlines()
        raise Unavailable(f"git says: {said[-1][:200] if said else f'exit {ended.exit_code}'}")
    return ended.stdout.decode(errors="replace")
