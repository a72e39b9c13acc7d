"""Loop `tally`: counts the ledger's steps by day, each once, whatever is killed meanwhile.

The place in the ledger moves in the statement's own transaction, and the feed stops at the oldest transaction that may
still write, so that no step is left out and none is counted twice.
"""

from __future__ import annotations

from typing import Any

from django.db import connection, transaction

from core.ledger import oldest_running
from integrations.models import LedgerPlace

READER = "tally"
AT_A_TIME = 20_000
# What reports tell of. Jobs have a tally of their own, written by the merge.
KINDS = ("request", "campaign", "batch", "submission", "schedule", "hold")

_TALLY = """
WITH news AS MATERIALIZED (
    SELECT txid, id, kind, thing_id, experiment_id, verb, (at AT TIME ZONE 'UTC')::date AS day
    FROM core_transition
    WHERE kind IN %(kinds)s AND txid < %(horizon)s AND (txid, id) > (%(txid)s, %(last)s)
    ORDER BY txid, id LIMIT %(most)s
), counted AS (
    INSERT INTO submissions_steptally AS t (experiment_id, stage_id, day, kind, verb, n)
    SELECT e.id, b.stage_id, n.day, n.kind, n.verb, count(*)
    FROM news n JOIN experiments_experiment e ON e.id = n.experiment_id
    LEFT JOIN submissions_submission s ON n.kind = 'submission' AND s.id = n.thing_id
    LEFT JOIN submissions_batch b ON b.id = CASE n.kind WHEN 'batch' THEN n.thing_id ELSE s.batch_id END
    GROUP BY 1, 2, 3, 4, 5
    ON CONFLICT (experiment_id, day, stage_id, kind, verb) DO UPDATE SET n = t.n + excluded.n
)
SELECT count(*), (array_agg(txid ORDER BY txid DESC, id DESC))[1], (array_agg(id ORDER BY txid DESC, id DESC))[1]
FROM news
"""


@transaction.atomic
def tally_some() -> int:
    """Count the next steps of the ledger; return how many. One reader at a time: another one finds the place taken."""
    LedgerPlace.objects.bulk_create([LedgerPlace(reader=READER)], ignore_conflicts=True)
    place = LedgerPlace.objects.select_for_update(skip_locked=True).filter(reader=READER).first()
    if place is None:
        return 0
    asked: dict[str, Any] = {
        "kinds": KINDS, "horizon": oldest_running(), "txid": place.txid, "last": place.last_id, "most": AT_A_TIME,
    }  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute(_TALLY, asked)
        number, txid, last = cursor.fetchone()
    if number:
        LedgerPlace.objects.filter(reader=READER).update(txid=txid, last_id=last)
    return int(number)
