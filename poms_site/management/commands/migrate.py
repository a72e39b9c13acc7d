"""`manage.py migrate`, which waits for no lock longer than two seconds: a change of tables keeps nobody waiting long.

Whoever waits for a table's lock has everybody who comes later wait behind it, readers too. Django's own command would
wait as long as any statement of ours may.
"""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError
from django.core.management.commands import migrate
from django.db import OperationalError, connections

LOCK_SECONDS = 2
LOCK_NOT_HAD = "55P03"


class Command(migrate.Command):
    """Django's command, with a sentence in place of a trace where a lock was not had."""

    def handle(self, *args: Any, **options: Any) -> None:
        """Migrate; raises CommandError where somebody holds a lock for longer."""
        connection = connections[options["database"]]
        with connection.cursor() as cursor:
            cursor.execute(f"SET lock_timeout = '{LOCK_SECONDS}s'")
            trouble = self._migrate(*args, **options)
            cursor.execute("RESET lock_timeout")
        if trouble:
            # Each migration is a transaction of its own.
            raise CommandError(
                f"A lock was not had within {LOCK_SECONDS} s, for somebody else holds it. The migration that wanted it"
                " has changed nothing; those before it are done. Run `manage.py migrate` again."
            ) from trouble

    def _migrate(self, *args: Any, **options: Any) -> OperationalError | None:
        """Let Django do it; return its error where a lock was not had."""
        try:
            super().handle(*args, **options)
        except OperationalError as error:
            if getattr(error.__cause__, "pgcode", "") != LOCK_NOT_HAD:
                raise
            return error
        return None
