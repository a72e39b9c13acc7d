"""`manage.py quarantine --because TEXT [--back-to TIME]`: launch nothing until hosts and batch systems were asked."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError
from datetime import UTC, datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from poms_site.checks import explain_database
from submissions.logic import restoring


class Command(BaseCommand):
    """Begin a quarantine by hand."""

    help = (
        "Begin a quarantine by hand, after a restore that PostgreSQL does not count (a snapshot of its disks): nothing"
        " is launched until launch hosts and batch systems have said what they know and the database does not."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--because", required=True, metavar="TEXT", help="why; everybody sees it")
        parser.add_argument(
            "--back-to", type=_time, metavar="TIME",
            help="the moment to which it was put back, as 2026-12-01T03:00Z; else the last minute that it has noted",
        )  # fmt: skip

    def handle(self, *args: Any, **options: Any) -> None:
        """Begin it."""
        if trouble := explain_database():
            raise CommandError(" ".join(trouble))
        row = restoring.begin(options["because"], actor="manage.py quarantine", back_to=options["back_to"])
        self.stdout.write(
            f"Nothing is launched now. Launches since {row.back_to:%Y-%m-%d %H:%M:%S} UTC are asked for as soon as"
            " workers run; the page Loops says how far that is."
        )


def _time(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise ArgumentTypeError(f"{text!r} is no time such as 2026-12-01T03:00Z") from error
    return found if found.tzinfo else found.replace(tzinfo=UTC)
