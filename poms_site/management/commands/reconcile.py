"""`manage.py reconcile LOOP [--once]`: run one loop by hand, with no queue at all."""

from __future__ import annotations

import signal
import time
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from core import loops
from poms_site.checks import explain_database


class Command(BaseCommand):
    """Pass over and over until stopped, or once."""

    help = "Run one loop by hand: it takes due rows and does one step each, until none is due."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("loop", choices=[loop.name for loop in loops.all_loops()])
        parser.add_argument("--once", action="store_true", help="one pass, then end")

    def handle(self, *args: Any, **options: Any) -> None:
        """Run the loop and say what it did."""
        if trouble := explain_database():
            raise CommandError(" ".join(trouble))
        stop: list[int] = []
        signal.signal(signal.SIGTERM, lambda *_: stop.append(1))
        period = next(loop.period for loop in loops.all_loops() if loop.name == options["loop"])
        while True:
            did = loops.run(options["loop"])
            if did or options["once"]:
                self.stdout.write(f"{options['loop']}: {did} steps")
            if options["once"] or stop:
                return
            time.sleep(period)
