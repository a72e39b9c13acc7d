"""`manage.py export_audit --since DAY [--until DAY] [--out FILE] | --check FILE`: the audit trail as lines of JSON."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from approvals.models import Decision
from core import exporting
from core.clock import now
from poms_site.checks import explain_database


class Command(BaseCommand):
    """Write transitions with their seals, and decisions; or check a file that was written so."""

    help = "Write the audit trail of a span of time as JSON lines with its seals; --check FILE recomputes them."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--since", help="the first day or moment, such as 2026-11-01 or 2026-11-01T12:00 (UTC)")
        parser.add_argument("--until", help="the end, which is not part of it; now, if it is left out")
        parser.add_argument("--out", type=Path, help="the file to write, which must not exist; else standard output")
        parser.add_argument("--check", type=Path, help="check this file; the database is not asked")

    def handle(self, *args: Any, **options: Any) -> None:
        """Write it, or check it."""
        if options["check"]:
            return self._check(options["check"])
        if not options["since"]:
            raise CommandError("Say from when on: --since 2026-11-01.")
        if trouble := explain_database():
            raise CommandError(" ".join(trouble))
        since = _moment("--since", options["since"])
        until = _moment("--until", options["until"]) if options["until"] else now()
        if since >= until:
            raise CommandError("--since is not before --until.")
        self._write(since, until, options["out"])
        return None

    def _write(self, since: datetime, until: datetime, out: Path | None) -> None:
        count = 0
        try:
            with out.open("x", encoding="utf-8") if out else nullcontext(sys.stdout) as file:
                for line in (*exporting.lines(since, until), *_decisions(since, until)):
                    file.write(json.dumps(line, ensure_ascii=False) + "\n")
                    count += line["line"] == "transition"
        except FileExistsError as error:
            raise CommandError(f"{out} exists; name another file.") from error
        except OSError as error:
            raise CommandError(f"{out} cannot be written: {error}") from error
        if out:
            self.stdout.write(f"{count} transitions from {since:%F %R} to {until:%F %R} UTC are in {out}")

    def _check(self, path: Path) -> None:
        try:
            with path.open(encoding="utf-8") as file:
                told = list(exporting.read(file))
        except (OSError, ValueError) as error:
            raise CommandError(f"{path} cannot be read: {error}") from error
        try:
            wrong = exporting.check(told)
        except (KeyError, TypeError, ValueError) as error:
            raise CommandError(f"{path} has a line that lacks something: {error!r}") from error
        for sentence in wrong:
            self.stdout.write(sentence)
        if wrong:
            raise CommandError(f"The export does not hold: {len(wrong)} findings.")
        seals = [line for line in told if line["line"] == "seal"]
        self.stdout.write(
            f"The export holds: {len(seals)} seals; the last is {seals[-1]['digest'] if seals else 'none'}."
        )


def _decisions(since: datetime, until: datetime) -> Iterator[exporting.Line]:
    rows = Decision.objects.filter(at__gte=since, at__lt=until).select_related("request__experiment", "approver")
    for row in rows.order_by("at", "pk"):
        yield {
            "line": "decision", "request": row.request.ref, "by": row.approver.username, "verdict": row.verdict,
            "reason": row.reason, "revision": row.digest, "at": row.at.isoformat(),
        }  # fmt: skip


def _moment(name: str, text: str) -> datetime:
    try:
        at = datetime.fromisoformat(text)  # a day alone is its beginning
    except ValueError as error:
        raise CommandError(f"{name} {text}: no day and no moment; say 2026-11-01 or 2026-11-01T12:00.") from error
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at
