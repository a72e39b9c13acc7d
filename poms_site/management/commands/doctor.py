"""`manage.py doctor`: look at a running installation; say what is well, what is wrong and what to do."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand

from poms_site.doctor.examining import NAMES, examine
from poms_site.doctor.finding import status_of


class Command(BaseCommand):
    """One sentence for each finding; the exit status tells the worst of them."""

    help = "Look at this running installation. Ends with 2 where something is broken; --strict: with 1 for warnings."
    requires_system_checks = ()  # they are among the findings

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="one JSON object a line")
        parser.add_argument("--strict", action="store_true", help="let warnings count")
        parser.add_argument("--only", choices=NAMES, action="append", default=[], help="these checks alone")

    def handle(self, *args: Any, **options: Any) -> None:
        """Say each finding as soon as it is known, then end with the status."""
        found = []
        for one in examine(options["only"]):
            found.append(one)
            if options["json"]:
                self.stdout.write(json.dumps(asdict(one), ensure_ascii=False))
                continue
            self.stdout.write(f"{one.level:8} {one.check:13} {one.text}")
            if one.remedy:
                self.stdout.write(f"{'':22} → {one.remedy}")
        sys.exit(status_of(found, strict=options["strict"]))
