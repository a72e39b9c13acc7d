"""`python -m tests.scale.observing`: 500,000 live jobs among 10 million; is a tick quick, and are pages while ticks run?

Starts a whole POMS and fills its tables with live campaigns, then with a past that grows to S, M and L: as many
submissions of the year before as the names below say. A process of its own observes all the while: each tick, 2 % of
the live jobs have changed, one in ten of these has ended, and a new one came in its place. The batch system is a
stand-in, since nobody lends us so many slots: it answers what changed since a position, as the real ones do. At each
size an operator asks for each page so many times over HTTP, each time by an address that was not asked before, so that
nothing is answered from what is kept. Prints one JSON object a line:

tick_500k_s                  one look, from the question to the commit: 95th percentile; median and longest beside
tick_500k_wal_mb             what a look writes to PostgreSQL's log, median
tick_500k_whole_s            a look whose answer has all live jobs, as after a restart of the batch system
peak_rss_mb                  the most memory of the process that observes, with the stand-in in it
counters_off, tallies_off    rows of the counters and tallies that differ from a recount afterwards: none
page_p95_ms_<page>_<size>    the time of a page's answers; at the end a line for each page with S, M and L side by side

Live jobs and their keys are newer than all of the past, as they would be.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
from pathlib import Path

import django

from poms_site import embedded
from tests.scale.readers import Site


def main() -> None:
    """Start everything, let it grow, measure, print, stop everything; or be the process that observes."""
    options = argparse.ArgumentParser(prog="observing")
    options.add_argument("--brief", action="store_true", help="few rows, as CI has time for: the figures are no proof")
    options.add_argument("--live", type=int, help="live jobs: 500,000")
    options.add_argument("--times", type=int, help="answers of each page: 30")
    options.add_argument("--every", type=float, default=5.0, help="seconds from one look to the next")
    options.add_argument("--observe", action="store_true", help=argparse.SUPPRESS)
    options.add_argument("--whole", action="store_true", help=argparse.SUPPRESS)
    asked = options.parse_args()
    home = Path(tempfile.mkdtemp(prefix="poms-observing-"))
    server = embedded.ensure(None, durable=True)
    site = None if asked.observe else Site(home)
    os.environ |= {
        "DJANGO_SETTINGS_MODULE": "poms_site.settings", "POMS_STATE": str(home / "run"), "POMS_BELL": "0",
        "POMS_LOG": "ERROR", "POMS_LOCAL_PASSWORDS": "1",
    }  # fmt: skip
    django.setup()
    from tests.scale import growing

    try:
        if site is None:
            growing.observe(asked.live, asked.every, whole=asked.whole)
            return
        slots = asked.live or (5_000 if asked.brief else 500_000)
        sizes, times = (growing.BRIEF, 3) if asked.brief else (growing.FULL, 30)
        growing.run(site, sizes, slots, asked.every, asked.times or times)
    finally:
        if site is not None:
            site.stop()
        if server is not None:
            server.stop()
        shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    main()
