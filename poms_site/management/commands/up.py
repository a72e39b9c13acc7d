"""`manage.py up` (`make run`): the site and its workers on this machine, until Ctrl-C."""

from __future__ import annotations

import json
import os
import signal
import time
from argparse import ArgumentParser
from dataclasses import asdict
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError

from approvals.models import Request
from poms_site import seeding
from poms_site.checks import explain_database
from poms_site.residents import ResidentError, Residents, marked


class Command(BaseCommand):
    """Serve until stopped."""

    help = "Serve the site with clock, workers and the local batch system."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--port", type=int, default=8000)
        parser.add_argument("--slots", type=int, default=2, help="slots of the local batch system")

    def handle(self, *args: Any, **options: Any) -> None:
        """Make the database ready, start everything, say where and who, and wait."""
        if trouble := explain_database():
            raise CommandError(" ".join(trouble))
        call_command("migrate", verbosity=0)
        accounts = seeding.seed()
        draft = seeding.stand_ready()
        # Also where a shell has told its background jobs to ignore Ctrl-C.
        for stop in (signal.SIGINT, signal.SIGTERM):
            signal.signal(stop, signal.default_int_handler)
        try:
            residents = Residents(port=options["port"], slots=options["slots"])
            self._write(residents.url, accounts)
            with marked(), residents:
                self._say(residents.url, accounts, draft)
                while True:
                    residents.check()
                    time.sleep(1)
        except ResidentError as error:
            raise CommandError(str(error)) from error
        except KeyboardInterrupt:
            self.stdout.write("stopped")

    def _write(self, url: str, accounts: dict[str, seeding.Account]) -> None:
        """Keep the accounts where scripts and the sign-in page find them, for this user only."""
        document = {"url": url, "users": {role: asdict(account) for role, account in accounts.items()}}
        self.path = settings.STATE_DIR.parent / "demo.json"
        self.path.touch(mode=0o600)
        self.path.chmod(0o600)
        self.path.write_text(json.dumps(document, indent=1))
        os.environ["POMS_DEMO_ACCOUNTS"] = str(self.path)
        # Whoever runs this is everybody at once: a requester's own account is the only one that there is.
        os.environ.setdefault("POMS_LOCAL_SHARED_ACCOUNT", "1")

    def _say(self, url: str, accounts: dict[str, seeding.Account], draft: Request) -> None:
        self.stdout.write(f"POMS serves {url}/")
        self.stdout.write(
            f"  sign in there as one of these (passwords are made anew at each start; all is also in {self.path}):"
        )
        for account in accounts.values():
            self.stdout.write(f"    {account.username:<17} {account.password}")
        if draft.state == "draft":
            self.stdout.write(f"  the example production {draft.ref} waits there to be filed")
        self.stdout.write(f"  for the command line: export POMS_URL={url} POMS_TOKEN={accounts['experimenter'].token}")
        self.stdout.write("Ctrl-C stops it.")
        self.stdout.flush()  # also where it goes to a file
