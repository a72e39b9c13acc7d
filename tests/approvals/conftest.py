"""Fixtures of the approvals' tests."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection


@pytest.fixture
def empty_ledger(transactional_db: Any) -> Iterator[None]:
    """Begin and end with an empty ledger, which no flush empties since Django does not manage its table."""

    def empty() -> None:
        with connection.cursor() as cursor:
            cursor.execute("TRUNCATE core_transition")

    empty()
    yield
    empty()
