"""`manage.py clock`: the resident that rings every loop's bell at its own period."""

from __future__ import annotations

import signal
import time
from typing import Any

import structlog
from django.core.management.base import BaseCommand
from django.db import Error as DatabaseError
from django.db import connection

from core import queue
from core.loops import all_loops

log = structlog.get_logger()

MOST_BELLS = 200


class Command(BaseCommand):
    """Ring until told to stop."""

    help = "Ring the bells of the loops; the net below bells that were lost."

    def handle(self, *args: Any, **options: Any) -> None:
        """Ring each loop when its period is over; go on when the database was away."""
        stop: list[int] = []
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.append(1))
        due = {loop.name: 0.0 for loop in all_loops()}
        while not stop:
            try:
                # While nobody answers, the bells that hang already are enough.
                if queue.waiting() < MOST_BELLS:
                    for loop in all_loops():
                        if due[loop.name] <= time.monotonic():
                            queue.wake(loop.name)
                            due[loop.name] = time.monotonic() + loop.period
            except DatabaseError as error:
                log.warning("clock.database_away", error=str(error).strip())
                connection.close()
                time.sleep(2)
            time.sleep(0.2)
