"""What the demos share: everything is started, people type their commands, one JSON line says how it came out."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from abc import abstractmethod
from pathlib import Path
from typing import Any

from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError

from campaigns.models import Campaign
from integrations import process
from poms_site import seeding
from poms_site.checks import explain_database
from poms_site.residents import ResidentError, marked


class Demonstration(BaseCommand):
    """A demo: `play` it, then `conclude` what is there."""

    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        """Do it; whatever was started is stopped at the end."""
        started = time.monotonic()
        if trouble := explain_database():
            raise CommandError(" ".join(trouble))
        self.say("making the database ready")
        call_command("migrate", verbosity=0)
        accounts = seeding.seed()
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            with marked():
                ref = self.play(accounts, options)
        except ResidentError as error:
            raise CommandError(str(error)) from error
        except KeyboardInterrupt:
            raise CommandError("stopped; nothing is left running") from None
        outcome = self.conclude(Campaign.objects.get(pk=int(ref.partition("/c")[2])), started, options)
        self.stdout.write(json.dumps(outcome))
        self.stdout.flush()
        if not self.is_good(outcome):
            sys.exit(1)

    @abstractmethod
    def play(self, accounts: dict[str, seeding.Account], options: dict[str, Any]) -> str:
        """Start what is needed, let people and programs do their part, stop it; return the campaign's reference."""

    @abstractmethod
    def conclude(self, campaign: Campaign, started: float, options: dict[str, Any]) -> dict[str, Any]:
        """Return the line at the end, computed from what is there."""

    def is_good(self, outcome: dict[str, Any]) -> bool:
        """Tell whether all is as it should be."""
        return bool(outcome["state"] == "succeeded")

    def say(self, text: str) -> None:
        """Tell whoever watches what happens."""
        self.stdout.write(f"· {text}")
        self.stdout.flush()


def seconds_since(started: float) -> float:
    """Return how long it has taken, in seconds."""
    return round(time.monotonic() - started, 1)


class Poms:
    """The `poms` command as one of the demo's people types it."""

    def __init__(self, url: str, accounts: dict[str, seeding.Account]) -> None:
        """Speak to the site at `url`."""
        self.url = url
        self.accounts = accounts
        self.program = str(Path(sys.executable).with_name("poms"))

    def json(self, role: str, *words: str) -> Any:
        """Run a verb and return what it prints."""
        ended = process.run([self.program, *words, "--json"], env=self._environment(role), seconds=60)
        if ended.exit_code:
            said = (ended.stderr or ended.stdout).decode(errors="replace")
            raise CommandError(f"poms {' '.join(words[:2])} ended with {ended.exit_code}: {said}")
        return json.loads(ended.stdout)

    def attend(self, role: str, *words: str) -> int:
        """Run a verb before the eyes of whoever started the demo; return its exit code."""
        return process.attend([self.program, *words], env=self._environment(role))

    def environment(self, token: str) -> dict[str, str]:
        """Return the environment of a program that speaks to the site by this token."""
        return {**os.environ, "POMS_URL": self.url, "POMS_TOKEN": token}

    def _environment(self, role: str) -> dict[str, str]:
        return self.environment(self.accounts[role].token)
