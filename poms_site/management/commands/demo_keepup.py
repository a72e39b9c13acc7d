"""`manage.py demo_keepup` (`make demo-keepup`): raw files are reconstructed as they come, through a restart of all."""

from __future__ import annotations

import os
import re
import shlex
import sys
import time
from argparse import ArgumentParser
from collections.abc import Callable
from contextlib import ExitStack
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import environ
from django.conf import settings
from django.core.management.base import CommandError
from django.db import connection
from django.utils.dateparse import parse_datetime

from campaigns.models import Campaign, LoginSetup
from core.clock import now
from experiments.logic import service_accounts
from experiments.models import Experiment, ServiceAccount, User
from integrations.catalogue.local import LocalCatalogue
from integrations.process import Resident
from poms_site import seeding
from poms_site.demonstration import Demonstration, Poms, seconds_since
from poms_site.laptop import database
from poms_site.overview.keepup_outcome import keepup_outcome_of
from poms_site.residents import Residents

EXAMPLE = settings.BASE_DIR / "examples" / "keepup"
TITLE = "Reconstruct the raw files of the straw detector as they come"
FILES = 3  # of a run
DARK_FILES = 2  # that the detector writes while POMS is away
PATIENCE = 120.0


class Command(Demonstration):
    """Keep up with a detector while everything is killed and started again."""

    help = "Reconstruct a detector's raw files as they come, through a restart of everything; end with one JSON line."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--seed", type=int, default=1, help="seed of the events")
        parser.add_argument("--runs", type=int, default=4, choices=range(3, 100), metavar="N", help="at least 3")

    def play(self, accounts: dict[str, seeding.Account], options: dict[str, Any]) -> str:
        earlier = Campaign.objects.filter(name__startswith="keepup").count()
        self.name = f"keepup{earlier + 1}" if earlier else "keepup"
        self.raw = settings.STATE_DIR / "detector"
        self.restarts = 0
        self.files = options["runs"] * FILES
        self._make_dataset()
        residents = Residents(port=0)
        poms = Poms(residents.url, accounts)
        with ExitStack() as at_end:
            with residents:
                self.say(f"POMS serves {residents.url}")
                detector = self._start_detector(poms, options)
                at_end.callback(detector.stop)
                self._watch(detector, lambda: "declared" in self.told)
                ref = self._request(poms)
                self._watch(detector, lambda: self._written() >= self.files // 2)
                residents.kill()
            self._restart_database(detector)
            with residents:
                self.say("POMS is back")
                self._watch(detector, lambda: detector.exit_code is not None)
                if detector.exit_code:
                    raise CommandError(f"the detector ended with {detector.exit_code}; see {detector.log}")
                self._end(poms, ref)
        return ref

    def _make_dataset(self) -> None:
        """Make the dataset that is to grow, and an account for the detector: what an administrator does once."""
        demo = Experiment.objects.get(name="demo")
        LocalCatalogue(demo).define_by_query(f"{self.name}_raw", f"data_tier raw and Detector.Name {self.name}")
        if not ServiceAccount.objects.filter(experiment=demo, name="detector").exists():
            service_accounts.make(
                "detector", demo, "operator", owner=User.objects.get(username="operator"),
                purpose="declares the raw files", expires_at=now() + timedelta(days=30),
                by=User.objects.get(username="administrator"), reason="the keep-up demo",
            )  # fmt: skip

    def _start_detector(self, poms: Poms, options: dict[str, Any]) -> Resident:
        made = poms.json(
            "operator", "token", "create", self.name, "--for", "detector@demo", "--only-experiment", "demo"
        )  # fmt: skip
        self.told = ""
        argv = [
            sys.executable, str(EXAMPLE / "detector.py"), "--out", str(self.raw), "--name", self.name, "--poms",
            poms.program, "--seed", str(options["seed"]), "--runs", str(options["runs"]), "--files", str(FILES),
        ]  # fmt: skip
        log = settings.STATE_DIR / "log" / f"{self.name}.log"
        self.say(f"the detector begins: {options['runs']} runs of {FILES} files")
        return Resident("detector", argv, log=log, env=poms.environment(made["token"]))

    def _request(self, poms: Poms) -> str:
        """Ask for the keep-up and have it approved; return the campaign's reference."""
        if not LoginSetup.objects.filter(experiment__name="demo", name="keepup").exists():
            setup = f"setup=source {shlex.quote(str(EXAMPLE / 'setup.sh'))}"
            poms.json("operator", "setup", "create", "--experiment", "demo", "--name", "keepup", "--set", setup)
        made = poms.json(
            "experimenter", "request", "create", "--experiment", "demo", "--title", TITLE, "--definition",
            str(self._definition(scheduled=True)), "--production-stage", "reco", "--set", "hours_per_file=0.001",
            "--set", "keep_up=yes",
        )  # fmt: skip
        poms.json("experimenter", "request", "file", made["ref"])
        approved = poms.json("approver", "request", "approve", made["ref"], "--reason", "the keep-up demo")
        self.say(f"request {made['ref']} is filed and approved: campaign {approved['campaign']} keeps up")
        return str(approved["campaign"])

    def _definition(self, *, scheduled: bool) -> Path:
        text = (EXAMPLE / "keepup.ini").read_text()
        text = text.replace("name=keepup\n", f"name={self.name}\n").replace("=keepup_raw\n", f"={self.name}_raw\n")
        if not scheduled:
            text = re.sub(r"(?m)^(schedule|schedule_zone|catch_up|latency_objective)=.*\n", "", text)
        path = settings.STATE_DIR / ("keepup.ini" if scheduled else "ended.ini")
        path.write_text(text)
        return path

    def _restart_database(self, detector: Resident) -> None:
        """Kill the database as well, let the detector go on alone, and start the database again."""
        connection.close()
        ours = database.kill()
        what = "database, site, clock, workers and batch system are" if ours else "all but the database, not ours, is"
        self.say(f"{what} killed; the detector goes on")
        before = self._written()
        self._watch(detector, lambda: self._written() >= before + DARK_FILES)
        if ours:
            database.start()
            # The socket has a new place. Django's own test runner changes these settings in the same way.
            connection.settings_dict["HOST"] = environ.Env.db_url_config(os.environ["DATABASE_URL"])["HOST"]
        self.restarts += 1

    def _end(self, poms: Poms, ref: str) -> None:
        """Take the schedule out of the definition once a tick has seen all, and wait for what is under way."""
        over, deadline = now(), time.monotonic() + PATIENCE
        while not self._has_looked_since(poms, ref, over):
            if time.monotonic() > deadline:
                raise CommandError(f"no tick of {ref} came within {PATIENCE:g} s of the detector's end")
            time.sleep(0.5)
        request = poms.json(
            "experimenter", "campaign", "apply", str(self._definition(scheduled=False)), "--experiment", "demo",
            "--note", "the data taking is over",
        )["request"]  # fmt: skip
        poms.json("approver", "request", "approve", request, "--reason", "the data taking is over")
        self.say("a tick has looked since; the schedule is taken out of the definition")
        if poms.attend("experimenter", "campaign", "watch", ref, "--timeout", f"{PATIENCE:g}"):
            self.say("the campaign did not succeed")

    def _has_looked_since(self, poms: Poms, ref: str, moment: datetime) -> bool:
        """Tell whether a later nominal time of the campaign's schedule has looked; it may not even have been made."""
        return any(
            entry["outcome"] in ("ran", "nothing_new") and (parse_datetime(entry["at"]) or moment) > moment
            for row in poms.json("operator", "schedule", "list", "--campaign", ref)
            for entry in poms.json("operator", "schedule", "show", row["ref"])["past"]
        )

    def _watch(self, detector: Resident, enough: Callable[[], bool]) -> None:
        """Show what the detector says until there is enough of it, or it has ended."""
        ended = False
        while True:
            told = detector.log.read_text(errors="replace")
            for line in told[len(self.told) :].splitlines():
                self.stdout.write(f"  detector: {line}")
            self.stdout.flush()
            self.told = told
            if ended or enough():
                return
            ended = detector.exit_code is not None
            time.sleep(0.2)

    def _written(self) -> int:
        return len(list(self.raw.glob("*.raw")))

    def conclude(self, campaign: Campaign, started: float, options: dict[str, Any]) -> dict[str, Any]:
        outcome = keepup_outcome_of(campaign, self.raw)
        return {**outcome, "restarts": self.restarts, "seconds": seconds_since(started)}

    def is_good(self, outcome: dict[str, Any]) -> bool:
        wrong = ("duplicates", "lost", "ticks_without_outcome")
        whole = outcome["reconstructed"] == outcome["raw_files"] == self.files and outcome["late"] == 1
        return super().is_good(outcome) and whole and not any(outcome[name] for name in wrong)
