"""`manage.py import_people`: members and roles from FERRY; shows what is different, and applies it with --apply."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from core.errors import PomsError
from experiments.claims import BadMapping
from experiments.logic import importing
from experiments.logic.importing import Difference, Wanted
from experiments.models import Experiment
from integrations.errors import OutsideError
from integrations.people import ferry
from integrations.people.base import Directory


class Command(BaseCommand):
    """Compare the experiments' members with FERRY, and follow it."""

    help = "Show how the roles that FERRY lists differ from those here; --apply makes it so."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("experiments", nargs="*", metavar="EXPERIMENT", help="by default all active ones")
        parser.add_argument("--file", type=Path, help="answers of FERRY in a file, instead of asking it")
        parser.add_argument("--apply", action="store_true", help="do it; without, it is only shown")
        parser.add_argument("--force", action="store_true", help="also where more than half of the roles would end")

    def handle(self, *args: Any, **options: Any) -> None:
        """Go through the experiments; one that fails stops no other, and the exit code tells."""
        chosen = self._chosen(options["experiments"])
        failed = 0
        try:
            directory = self._directory(options["file"])
        except (OutsideError, BadMapping) as error:
            raise CommandError(str(error)) from error
        for experiment in chosen:
            try:
                self._one(experiment, directory, apply=options["apply"], force=options["force"])
            except (OutsideError, PomsError) as error:
                failed += 1
                self.stderr.write(f"{experiment.name}: {error} Nothing was changed in it.")
        if failed:
            raise CommandError(f"{failed} of {len(chosen)} experiments were not compared or not changed.")

    def _chosen(self, names: list[str]) -> list[Experiment]:
        rows = list(Experiment.objects.filter(name__in=names) if names else Experiment.objects.filter(active=True))
        if unknown := sorted(set(names) - {row.name for row in rows}):
            raise CommandError(f"There is no experiment {', '.join(unknown)}.")
        return rows

    def _directory(self, file: Path | None) -> Directory:
        if file is None:
            return ferry.over_http()
        try:
            return ferry.from_answers(file.read_text())
        except (OSError, UnicodeDecodeError) as error:
            raise CommandError(f"{file} cannot be read: {error}") from error

    def _one(self, experiment: Experiment, directory: Directory, *, apply: bool, force: bool) -> None:
        listed = [Wanted(row.username, row.name, row.role, row.said_by) for row in directory.people_of(experiment.name)]
        difference = importing.compare(experiment, listed)
        self._show(difference)
        if difference.is_none:
            return
        if not apply:
            why = importing.doubt(difference, force=force)
            self.stdout.write(f"{experiment.name}: {why or 'nothing was changed; --apply makes it so.'}")
            return
        importing.apply(difference, force=force)
        self.stdout.write(f"{experiment.name}: done.")

    def _show(self, difference: Difference) -> None:
        name = difference.experiment.name
        for entry in difference.adds:
            self.stdout.write(f"{name}: + {entry.username} {entry.role} ({entry.said_by})")
        for row in difference.ends:
            self.stdout.write(f"{name}: - {row.user.username} {row.role}")
        for username in difference.off:
            self.stdout.write(f"{name}:   {username} is listed, but the account is switched off or no person's")
        self.stdout.write(
            f"{name}: {difference.listed} roles listed, {len(difference.adds)} to add, {len(difference.ends)} to end"
        )
