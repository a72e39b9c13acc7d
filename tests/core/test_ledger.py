"""The ledger: append-only, sealed by a chain of hashes in which every change shows."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread

import pytest
from django.db import DatabaseError, connection, transaction

from core import ledger, transitions
from core.locking import session_lock
from core.models import Seal, Transition

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("empty_ledger")]


def write(things: int = 1, *, kind: str = "campaign", reason: str = "because") -> None:
    transitions.record(
        [(n, "new") for n in range(1, things + 1)],
        kind,
        "old",
        experiment_id=1,
        actor="user:a",
        reason=reason,
        verb="age",
    )


def seal_next(**how: int) -> int:
    """Make one seal; a transaction of another test's database holds the horizon of the server back meanwhile."""
    deadline = time.monotonic() + 60
    while not (sealed := ledger.seal(**how)):
        assert time.monotonic() < deadline, "the ledger was not sealed in time"
        time.sleep(0.01)
    return sealed


def seal_all() -> int:
    """Seal until nothing is left."""
    total = seal_next()
    while Transition.objects.count() > sum(Seal.objects.values_list("rows", flat=True)):
        total += seal_next()
    return total


@contextmanager
def unguarded() -> Iterator[None]:
    """Do as an intruder who is the database's owner: switch the guard off."""
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE core_transition DISABLE TRIGGER core_transition_stays")
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE core_transition ENABLE TRIGGER core_transition_stays")


@pytest.mark.parametrize("kind", ["campaign", "job"])
def test_what_is_written_is_neither_changed_nor_deleted(kind):
    write(kind=kind)
    rows = Transition.objects.filter(kind=kind)
    for change in (lambda: rows.update(reason="another"), lambda: rows.delete()):
        with pytest.raises(DatabaseError, match="the ledger is append-only"), transaction.atomic():
            change()
    assert list(rows.values_list("reason", flat=True)) == ["because"]


def test_a_jobs_history_lies_in_a_partition_of_its_month():
    write(kind="job")
    with connection.cursor() as cursor:
        cursor.execute("SELECT tableoid::regclass::text, to_char(at, 'YYYY_MM') FROM core_transition")
        table, month = cursor.fetchone()
    assert table == f"core_transition_job_{month}"


def test_seals_form_a_chain_over_everything():
    for _ in range(3):
        write(2)
        assert seal_all() == 2
    links = list(Seal.objects.order_by("to_txid"))
    assert [link.rows for link in links] == [2, 2, 2]
    assert links[0].from_txid == 0
    assert [link.from_txid for link in links[1:]] == [link.to_txid for link in links[:-1]]
    assert len({link.digest for link in links}) == 3
    assert ledger.verify() == []


def test_nothing_new_makes_no_seal():
    write()
    seal_all()
    assert ledger.seal() == 0
    assert Seal.objects.count() == 1


def test_an_empty_ledger_holds():
    assert ledger.verify() == []


@pytest.mark.parametrize(
    "tamper",
    [
        "UPDATE core_transition SET reason = 'another' WHERE thing_id = 2",
        "UPDATE core_transition SET actor = 'user:b' WHERE thing_id = 2",
        "UPDATE core_transition SET at = at + interval '1 microsecond' WHERE thing_id = 2",
        "UPDATE core_transition SET experiment_id = NULL WHERE thing_id = 2",
        "DELETE FROM core_transition WHERE thing_id = 2",
        "INSERT INTO core_transition (kind, thing_id, target, actor, txid)"
        " SELECT kind, 9, target, actor, txid FROM core_transition WHERE thing_id = 2",
        "UPDATE core_transition SET source = verb, verb = source WHERE thing_id = 2",
    ],
)
def test_tampering_is_found(tamper):
    write(3)
    seal_all()
    write(3, reason="later")
    seal_all()
    assert ledger.verify() == []
    with unguarded(), connection.cursor() as cursor:
        cursor.execute(tamper + " AND reason = 'because'")
        assert cursor.rowcount == 1
    first = Seal.objects.order_by("to_txid").first()
    rows = {"DELETE": 2, "INSERT": 4}.get(tamper.partition(" ")[0], 3)
    assert ledger.verify() == [f"seal {first.pk} (3 rows) does not match the {rows} rows it covers"]


def test_a_seal_that_is_taken_away_or_made_anew_is_found():
    for n in range(3):
        write(reason=str(n))
        seal_all()
    first, second, third = Seal.objects.order_by("to_txid")
    second.delete()
    assert any(
        f"seal {third.pk} begins at {third.from_txid}, not at {first.to_txid}" in text for text in ledger.verify()
    )


def test_a_forged_seal_breaks_the_next_one():
    for n in range(2):
        write(reason=str(n))
        seal_all()
    first, second = Seal.objects.order_by("to_txid")
    with unguarded():
        Transition.objects.filter(reason="0").update(reason="forged")
    parts = ledger.parts_of(ledger.rows_of(first.from_txid, first.to_txid, None))
    Seal.objects.filter(pk=first.pk).update(parts=parts, digest=ledger.chained(ledger.GENESIS, parts))
    assert ledger.verify() == [f"seal {second.pk} (1 rows) does not match the 1 rows it covers"]


def test_seals_from_before_partitions_had_digests_of_their_own_hold():
    for n in range(2):
        write(reason=str(n))
        seal_all()
    chain = ledger.GENESIS
    for link in Seal.objects.order_by("to_txid"):
        rows = [row[1:] for row in ledger.rows_of(link.from_txid, link.to_txid, None)]
        chain = ledger.digest(chain, rows)
        Seal.objects.filter(pk=link.pk).update(parts=None, digest=chain)
    assert ledger.verify() == []
    with unguarded():
        Transition.objects.filter(reason="1").update(reason="forged")
    assert len(ledger.verify()) == 1


def test_no_text_passes_for_two_fields_and_none_for_empty():
    rows = [("a", "b\x1fc"), ("a\x1fb", "c"), ("a", "b", "c"), ("a\x1fb\x1fc",), ("a", None), ("a", ""), ("a", "null")]
    assert len({ledger.digest(ledger.GENESIS, [row]) for row in rows}) == len(rows)
    assert ledger.digest(ledger.GENESIS, [("a",), ("b",)]) != ledger.digest(ledger.GENESIS, [("a", "b")])


def test_a_seal_never_cuts_a_transaction():
    with transaction.atomic():
        write(5)
    with transaction.atomic():
        write(3)
    assert seal_next(limit=2) == 5, "a transaction larger than the limit is taken whole"
    assert seal_next(limit=4) == 3
    assert ledger.verify() == []


def test_what_commits_late_is_sealed_later():
    begun, go = Event(), Event()

    def late() -> None:
        try:
            with transaction.atomic():
                write(reason="late")
                begun.set()
                go.wait(30)
        finally:
            connection.close()

    other = Thread(target=late)
    other.start()
    assert begun.wait(30)
    write(reason="early")
    assert ledger.seal() == 0, "the older transaction still runs"
    go.set()
    other.join(30)
    assert seal_all() == 2
    assert list(Transition.objects.order_by("txid").values_list("reason", flat=True)) == ["late", "early"]
    assert ledger.verify() == []


def test_only_one_seals_at_a_time():
    write()
    held, go = Event(), Event()

    def hold() -> None:
        try:
            with session_lock("seal") as got:
                assert got
                held.set()
                go.wait(30)
        finally:
            connection.close()

    other = Thread(target=hold)
    other.start()
    assert held.wait(30)
    assert ledger.seal() == 0
    go.set()
    other.join(30)
    assert seal_all() == 1
