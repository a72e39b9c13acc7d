"""`manage.py demo` (`make demo`): the main job, driven through command line and API as production is."""

from __future__ import annotations

import re
import shutil
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings

from campaigns.models import Campaign
from poms_site import seeding
from poms_site.demonstration import Demonstration, Poms, seconds_since
from poms_site.overview.outcome import outcome_of
from poms_site.overview.run_report import write_report
from poms_site.residents import Residents

PATIENCE = 280


class Command(Demonstration):
    """Run the dimuon production from request to Z peak."""

    help = "File, check, approve and run the dimuon production; end with one JSON line."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--seed", type=int, help="seed of the events (default: as in the example)")
        parser.add_argument("--events", type=int, help="events to generate (default: as in the example)")
        parser.add_argument("--out", type=Path, help="folder for plot and report (default: .poms)")

    def play(self, accounts: dict[str, seeding.Account], options: dict[str, Any]) -> str:
        with Residents(port=0) as residents:
            self.say(f"POMS serves {residents.url}")
            poms = Poms(residents.url, accounts)
            ref = self._request(poms, self._definition(options))
            if poms.attend("experimenter", "campaign", "watch", ref, "--timeout", str(PATIENCE)) == 1:
                self.say("the campaign did not succeed")
        return ref

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
        self.say(
            f"request {ref} is made; its checks say {poms.json('experimenter', 'request', 'check', ref)['verdict']}"
        )
        poms.json("experimenter", "request", "file", ref)
        approved = poms.json("approver", "request", "approve", ref, "--reason", "the demo production")
        self.say(f"request {ref} is filed and approved: campaign {approved['campaign']}")
        return str(approved["campaign"])

    def conclude(self, campaign: Campaign, started: float, options: dict[str, Any]) -> dict[str, Any]:
        outcome = outcome_of(campaign)
        folder = options["out"] or settings.STATE_DIR.parent
        folder.mkdir(parents=True, exist_ok=True)
        plot = outcome.pop("plot")
        if plot:
            kept = folder / "z-peak.png"
            shutil.copyfile(plot, kept)
            plot = str(kept)
        facts = {**outcome, "seconds": seconds_since(started)}
        report = write_report(campaign, folder / "report.html", plot=Path(plot) if plot else None, facts=facts)
        self.say(f"plot: {plot}")
        self.say(f"report: {report}")
        return {**outcome, "plot": plot, "seconds": facts["seconds"]}
