"""`manage.py verify_ledger [--after TXID] [--seals N]`: recompute the ledger's seals, name what differs."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from core import audit
from poms_site.checks import explain_database

A_STEP = 20  # seals between two lines of progress


class Command(BaseCommand):
    """Verify the ledger, one seal in memory at a time; ends with 1 where something does not hold."""

    help = "Recompute the seals of the ledger and name every row that was altered, deleted or added since."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--after", type=int, default=0, help="go on after this transaction, as an earlier run said")
        parser.add_argument("--seals", type=int, help="at most so many seals")

    def handle(self, *args: Any, **options: Any) -> None:
        """Go over the seals and write what does not hold as it is found."""
        if trouble := explain_database():
            raise CommandError(" ".join(trouble))
        after, left, wrong, seals, rows = options["after"], options["seals"], 0, 0, 0
        while left is None or left > 0:
            step = audit.verify(after, seals=A_STEP if left is None else min(A_STEP, left))
            for finding in step.findings:
                self.stdout.write(f"{finding.what}: {finding.text}")
            after, seals, rows, wrong = step.after, seals + step.seals, rows + step.rows, wrong + len(step.findings)
            left = None if left is None else left - step.seals
            if step.done or not step.seals:
                break
            self.stderr.write(f"{seals} seals, {rows} rows; go on from here: --after {after}")
        if wrong:
            raise CommandError(f"The ledger does not hold: {wrong} findings in {seals} seals over {rows} rows.")
        self.stdout.write(f"The ledger holds: {seals} seals over {rows} rows, up to transaction {after}.")
