"""The queue bell: the only module that knows django-q2. Lose it and nothing is lost (design 5)."""

from __future__ import annotations

import time

from django.conf import settings
from django.db import transaction
from django_q.models import OrmQ
from django_q.tasks import async_task

TICK = "core.loops.tick"


def wake(loop: str) -> None:
    """Ring a loop's bell in the caller's transaction: it sounds if and when that commits.

    The ORM broker shares our connection, so a rolled back transaction leaves no bell behind.
    """
    if settings.POMS_BELL:
        with transaction.atomic():
            async_task(TICK, loop, time.time())


def waiting() -> int:
    """Return how many bells hang that nobody has answered."""
    return OrmQ.objects.count()
