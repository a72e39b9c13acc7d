"""The command line of the local batch system: `serve`, `submit` and `ask`."""

from __future__ import annotations

import os
import sys


def _use_bytecode_of(spool: str) -> None:
    """Keep the compiled submit command in the spool, whatever the environment says of bytecode.

    Compiling it anew would double what a submission costs. Only in a spool of our own: in another person's,
    the bytecode could be that person's too.
    """
    if os.path.isdir(spool) and os.stat(spool).st_uid == os.geteuid():
        sys.pycache_prefix = os.path.join(os.path.abspath(spool), "bytecode")
        sys.dont_write_bytecode = False


if not __package__:
    # Run by path: only our own parent is looked at, once, so that no neighbour can stand in for a module of
    # the standard library, here or in the modules loaded later.
    _here = os.path.dirname(os.path.abspath(__file__))
    _parent, __package__ = os.path.split(_here)
    sys.path[:] = [_parent, *(folder for folder in sys.path if os.path.abspath(folder) != _here)]
    if sys.argv[1:3] == ["submit", "--spool"] and len(sys.argv) == 4:
        _use_bytecode_of(sys.argv[3])
    __import__(__package__)
    del sys.path[0]


def main(arguments: list[str]) -> int:
    """Run one verb and return the exit code: 2 for a bad call, 3 for a second daemon, 4 for no daemon."""
    verb = arguments[0] if arguments else ""
    # Each verb loads only what it needs: a submission must not pay for the daemon's modules.
    if verb == "submit":
        from .submit import main as submit  # noqa: PLC0415

        return submit(arguments[1:])
    if verb == "serve":
        from .daemon import main as serve  # noqa: PLC0415

        return serve(arguments[1:])
    if verb == "ask":
        from .client import main as ask  # noqa: PLC0415

        return ask(arguments[1:])
    sys.stderr.write(
        "usage: local_daemon serve --spool DIR --slots N [--site NAME] [--memory-mb M] [--end-jobs]\n"
        "       local_daemon submit --spool DIR < cluster.json\n"
        "       local_daemon ask --spool DIR < request.json\n"
    )
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
