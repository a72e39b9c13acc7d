"""`manage.py demo` (`make demo`): the main job, driven through command line and API as production is."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import sys
import time
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError

from campaigns.models import Campaign
from integrations import process
from poms_site import seeding
from poms_site.checks import explain_database
from poms_site.overview.outcome import outcome_of
from poms_site.overview.run_report import write_report
from poms_site.residents import ResidentError, Residents, marked

PATIENCE = 280


class Command(BaseCommand):
    """Run the dimuon production from request to Z peak."""

    help = "File, check, approve and run the dimuon production; end with one JSON line."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--seed", type=int, help="seed of the events (default: as in the example)")
        parser.add_argument("--events", type=int, help="events to generate (default: as in the example)")
        parser.add_argument("--out", type=Path, help="folder for plot and report (default: .poms)")

    def handle(self, *args: Any, **options: Any) -> None:
        """Do it; whatever was started is stopped at the end."""
        started = time.monotonic()
        if trouble := explain_database():
            raise CommandError(" ".join(trouble))
        self._step("making the database ready")
        call_command("migrate", verbosity=0)
        accounts = seeding.seed()
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            with marked(), Residents(port=0) as residents:
                self._step(f"POMS serves {residents.url}")
                poms = Poms(residents.url, accounts)
                ref = self._request(poms, self._definition(options))
                code = poms.attend("experimenter", "campaign", "watch", ref, "--timeout", str(PATIENCE))
                if code == 1:
                    self._step("the campaign did not succeed")
        except ResidentError as error:
            raise CommandError(str(error)) from error
        except KeyboardInterrupt:
            raise CommandError("stopped; nothing is left running") from None
        campaign = Campaign.objects.get(pk=int(ref.partition("/c")[2]))
        self._finish(campaign, options["out"] or settings.STATE_DIR.parent, started)

    def _definition(self, options: dict[str, Any]) -> Path:
        text = seeding.EXAMPLE.read_text()
        if options["seed"] is not None:
            text = re.sub(r"(?m)^seed=.*$", f"seed={options['seed']}", text)
        if options["events"] is not None:
            text = re.sub(r"(?m)^events=.*$", f"events={options['events']}", text)
        earlier = Campaign.objects.filter(name__startswith="dimuon").count()
        if earlier:
            text = re.sub(r"(?m)^name=dimuon$", f"name=dimuon{earlier + 1}", text)
        path = settings.STATE_DIR / "dimuon.ini"
        path.write_text(text)
        return path

    def _request(self, poms: Poms, definition: Path) -> str:
        made = poms.json(
            "experimenter", "request", "create", "--experiment", "demo", "--title", seeding.TITLE,
            "--definition", str(definition), "--production-stage", "mc", "--set", "hours_per_file=0.001",
        )  # fmt: skip
        ref = made["ref"]
        self._step(
            f"request {ref} is made; its checks say {poms.json('experimenter', 'request', 'check', ref)['verdict']}"
        )
        poms.json("experimenter", "request", "file", ref)
        approved = poms.json("approver", "request", "approve", ref, "--reason", "the demo production")
        self._step(f"request {ref} is filed and approved: campaign {approved['campaign']}")
        return str(approved["campaign"])

    def _finish(self, campaign: Campaign, folder: Path, started: float) -> None:
        outcome = outcome_of(campaign)
        folder.mkdir(parents=True, exist_ok=True)
        plot = outcome.pop("plot")
        if plot:
            kept = folder / "z-peak.png"
            shutil.copyfile(plot, kept)
            plot = str(kept)
        seconds = round(time.monotonic() - started, 1)
        facts = {**outcome, "seconds": seconds}
        report = write_report(campaign, folder / "report.html", plot=Path(plot) if plot else None, facts=facts)
        self._step(f"plot: {plot}")
        self._step(f"report: {report}")
        self.stdout.write(json.dumps({**outcome, "plot": plot, "seconds": seconds}))
        self.stdout.flush()
        if outcome["state"] != "succeeded":
            sys.exit(1)

    def _step(self, text: str) -> None:
        self.stdout.write(f"· {text}")
        self.stdout.flush()


class Poms:
    """The `poms` command as one of the demo's people types it."""

    def __init__(self, url: str, accounts: dict[str, seeding.Account]) -> None:
        """Speak to the site at `url`."""
        self.url = url
        self.accounts = accounts
        self.program = str(Path(sys.executable).with_name("poms"))

    def json(self, role: str, *words: str) -> dict[str, Any]:
        """Run a verb and return the object that it prints."""
        ended = process.run([self.program, *words, "--json"], env=self._environment(role), seconds=60)
        if ended.exit_code:
            said = (ended.stderr or ended.stdout).decode(errors="replace")
            raise CommandError(f"poms {' '.join(words[:2])} ended with {ended.exit_code}: {said}")
        return dict(json.loads(ended.stdout))

    def attend(self, role: str, *words: str) -> int:
        """Run a verb before the eyes of whoever started the demo; return its exit code."""
        return process.attend([self.program, *words], env=self._environment(role))

    def _environment(self, role: str) -> dict[str, str]:
        return {**os.environ, "POMS_URL": self.url, "POMS_TOKEN": self.accounts[role].token}
