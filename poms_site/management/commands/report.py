"""`manage.py report demo/c1 --out FILE [--plot FILE.png]`: write the report of a campaign's run."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from campaigns.models import Campaign
from poms_site.overview.run_report import write_report


class Command(BaseCommand):
    """Write one self-contained HTML file about a campaign's run."""

    help = "Write the report of a campaign's run: one HTML file that needs nothing else."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("campaign", help="reference of the campaign, for instance demo/c1")
        parser.add_argument("--out", type=Path, required=True, help="file to write; an earlier one is replaced")
        parser.add_argument("--plot", type=Path, help="picture of the result to show (PNG, JPEG or SVG)")

    def handle(self, *args: Any, **options: Any) -> None:
        """Find the campaign, write the file and say where it is."""
        campaign = find(options["campaign"])
        try:
            written = write_report(campaign, options["out"], plot=options["plot"])
        except (OSError, ValueError) as error:
            raise CommandError(f"The report was not written: {error}") from error
        self.stdout.write(str(written))


def find(ref: str) -> Campaign:
    """Return the campaign of a reference; raise CommandError when there is none."""
    experiment, _, key = ref.partition("/c")
    readable = key.isdecimal() and len(key) < 19
    found = Campaign.objects.filter(experiment__name=experiment, pk=int(key)).first() if readable else None
    if found is None:
        raise CommandError(f"There is no campaign {ref}; a reference is written like demo/c1.")
    return found
