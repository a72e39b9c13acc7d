"""Which credentials a launch needs, and whether they live: as SQL, asked by the launcher and by whoever wants to know.

A credential that cannot be asked stops nothing before the last end that it said itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from django.db import connection

from integrations.models import Credential
from submissions.models import Submission

# Submission `s` needs credential `k`: one that lies with the worker, or where its own script runs.
_NEEDED = """k.active AND k.experiment_id = s.experiment_id AND (k.launcher = '' OR k.launcher = s.launcher
    AND k.host = s.host AND (k.account IN ('', s.account) OR s.account = ''))"""
# Its script finds the file: it runs where the credential lies.
_FOUND = "(k.launcher <> '' OR s.launcher = 'local')"
_OVER = "(k.unusable <> '' OR k.ends_at <= statement_timestamp() + k.needs_seconds * interval '1 second')"

# The credentials that submission `s` needs and that have ended, or end before the launch would have done with them.
STOPPING = f"SELECT k.id FROM integrations_credential k WHERE {_NEEDED} AND {_OVER}"  # noqa: S608 - constant words

_STOPPED = f"""
SELECT s.id, k.id FROM submissions_submission s JOIN integrations_credential k ON {_NEEDED}
WHERE {{which}} AND {_OVER} ORDER BY s.id, k.name
"""  # noqa: S608 - constant words
_GIVEN = f"""
SELECT s.id, k.id FROM submissions_submission s JOIN integrations_credential k ON {_NEEDED} AND {_FOUND}
WHERE s.id = ANY(%(asked)s) ORDER BY s.id, k.launcher <> '', k.account <> '', k.name
"""  # noqa: S608 - constant words


def stopped(submission_ids: Sequence[int]) -> dict[int, Credential]:
    """Return for each of the submissions that must not be launched now the first credential that is in the way."""
    found = _pairs(_STOPPED.format(which="s.id = ANY(%(asked)s)"), list(submission_ids))
    rows = _credentials(key for _, key in found)
    first: dict[int, Credential] = {}
    for submission, key in found:
        first.setdefault(submission, rows[key])
    return first


def environments(submissions: Iterable[Submission]) -> dict[int, dict[str, str]]:
    """Return for each submission by which variables its script finds its credentials: paths, never what is in them.

    Of two of a kind it gets the one of its own place and account.
    """
    found = _pairs(_GIVEN, [submission.pk for submission in submissions])
    rows = _credentials(key for _, key in found)
    given: dict[int, dict[str, str]] = {}
    for submission, key in found:
        given.setdefault(submission, {}).update(rows[key].environment)
    return given


def _pairs(sql: str, asked: Any) -> list[tuple[int, int]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, {"asked": asked})
        return [(submission, key) for submission, key in cursor.fetchall()]


def _credentials(keys: Iterable[int]) -> dict[int, Credential]:
    wanted = set(keys)
    return Credential.objects.select_related("experiment").in_bulk(wanted) if wanted else {}
