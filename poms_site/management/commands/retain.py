"""`manage.py retain [--dry-run]`: move jobs whose end is long ago into the archive, now or only in words."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from core import loops
from poms_site.checks import explain_database
from submissions.logic import retaining


class Command(BaseCommand):
    """What the loop `retain` does every hour, to its end."""

    help = "Move jobs that ended more than POMS_KEEP_JOBS_DAYS ago into the archive; drop months that nothing needs."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="only say what would be done")

    def handle(self, *args: Any, **options: Any) -> None:
        """Do it, or say it."""
        if trouble := explain_database():
            raise CommandError(" ".join(trouble))
        before = f"{retaining.kept_since():%F %T} UTC"
        if options["dry_run"]:
            due = retaining.due()
            self.stdout.write(f"{due.jobs} jobs that ended before {before} would go into the archive")
            for what, months in (("the ledger's steps of jobs", due.ledger), ("the archive", due.archive)):
                for month in months:
                    self.stdout.write(f"{month:%Y-%m} of {what} would be dropped")
            return
        moved = 0
        while did := loops.run("retain"):
            moved += did
        self.stdout.write(f"{moved} jobs that ended before {before} are in the archive")
