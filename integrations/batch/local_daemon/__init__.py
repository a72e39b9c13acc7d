"""The local batch system: a queue, slots and sandboxes on one machine, of the standard library only.

It is a program of its own, run by path (`python ENTRY serve|submit|ask --spool DIR`), and never opens the
database of POMS. Its append-only log is both its spool and the truth that tests compare everything with.

A spool holds: `log.jsonl` and `log.lock` (see `log`), `daemon.json` and `daemon.lock` (who serves it, and where),
`bell` (a FIFO that wakes the daemon), `jobs/<cluster>.<proc>/` (sandboxes), `runners.err` (messages of runners),
`bytecode/` (the compiled submit command), and perhaps `faults.json` (faults to show, see `faults`).
"""

from __future__ import annotations

import os

from .log import read_log

ENTRY = os.path.join(os.path.dirname(os.path.abspath(__file__)), "__main__.py")
"""The file to run: `python -S -E -s -B ENTRY submit --spool DIR`."""

__all__ = ["ENTRY", "read_log"]
