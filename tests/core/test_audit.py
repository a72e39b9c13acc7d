"""The ledger verified: whoever alters, deletes or adds one row is named with it, not only the seal that breaks."""

from __future__ import annotations

from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, transaction

from core import audit, retention, sealed_rows
from core.models import Seal, SealedRows, Transition
from tests.core.test_ledger import seal_all, unguarded, write

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("empty_ledger")]


def tamper(statement: str) -> None:
    with unguarded(), connection.cursor() as cursor:
        cursor.execute(statement)
        assert cursor.rowcount == 1


def row_of(thing: int, reason: str = "because") -> int:
    return Transition.objects.get(thing_id=thing, reason=reason).pk


@pytest.fixture
def ledger_of_three() -> list[Seal]:
    """Three seals of three rows each."""
    for reason in ("because", "later", "at last"):
        write(3, reason=reason)
        seal_all()
    return list(Seal.objects.order_by("to_txid"))


def test_a_whole_ledger_holds_piece_by_piece(ledger_of_three):
    whole = audit.verify()
    assert (whole.seals, whole.rows, whole.done, whole.findings) == (3, 9, True, [])
    first = audit.verify(seals=2)
    assert (first.seals, first.done, first.after) == (2, False, ledger_of_three[1].to_txid)
    rest = audit.verify(first.after, seals=2)
    assert (rest.seals, rest.done, rest.findings) == (1, True, [])


@pytest.mark.parametrize(
    "change",
    ["reason = 'another'", "actor = 'user:b'", "at = at + interval '1 microsecond'", "experiment_id = NULL",
     "source = verb, verb = source", "thing_id = 7"],
)  # fmt: skip
def test_an_altered_row_is_named(ledger_of_three, change):
    key = row_of(2, "later")
    tamper(f"UPDATE core_transition SET {change} WHERE id = {key}")
    (finding,) = audit.verify().findings
    assert (finding.seal, finding.what, finding.row) == (ledger_of_three[1].pk, "altered", key)
    assert finding.text.startswith(f"row {key} (campaign ")


def test_a_deleted_and_an_added_row_are_named(ledger_of_three):
    key = row_of(3)
    tamper(f"DELETE FROM core_transition WHERE id = {key}")
    tamper(
        "INSERT INTO core_transition (kind, thing_id, target, actor, txid)"
        f" SELECT kind, 9, target, actor, txid FROM core_transition WHERE id = {row_of(1, 'at last')}"
    )
    added = Transition.objects.get(thing_id=9).pk
    found = {(finding.what, finding.row, finding.seal) for finding in audit.verify().findings}
    assert found == {("deleted", key, ledger_of_three[0].pk), ("added", added, ledger_of_three[2].pk)}


def test_a_row_that_is_moved_to_another_seal_is_missed_there_and_found_here(ledger_of_three):
    key = row_of(1)
    tamper(f"UPDATE core_transition SET txid = {ledger_of_three[2].from_txid} WHERE id = {key}")
    assert {(f.what, f.row) for f in audit.verify().findings} == {("deleted", key), ("added", key)}


def test_who_alters_the_record_of_the_rows_too_hides_the_row_and_not_the_seal(ledger_of_three):
    key, seal = row_of(2), ledger_of_three[0]
    tamper(f"UPDATE core_transition SET reason = 'forged' WHERE id = {key}")
    SealedRows.objects.filter(seal=seal).delete()
    sealed_rows.keep(seal, audit.ledger.rows_of(seal.from_txid, seal.to_txid, None))
    (finding,) = audit.verify().findings
    assert (finding.what, finding.row) == ("digest", None)
    SealedRows.objects.filter(seal=seal).update(ids=b"nonsense")
    (finding,) = audit.verify().findings
    assert finding.what == "record"


def test_a_seal_from_before_rows_were_told_apart_is_named_as_a_whole(ledger_of_three):
    SealedRows.objects.all().delete()
    assert audit.verify().findings == []
    tamper(f"UPDATE core_transition SET reason = 'forged' WHERE id = {row_of(2)}")
    (finding,) = audit.verify().findings
    assert (finding.what, finding.row) == ("digest", None)
    assert "does not match the 3 rows it covers" in finding.text


def test_a_seal_that_was_taken_away_is_missed(ledger_of_three):
    ledger_of_three[1].delete()
    assert "chain" in {finding.what for finding in audit.verify().findings}


def test_rows_of_a_partition_that_was_dropped_in_its_time_are_not_missed():
    write(2)
    write(3, kind="job")
    seal_all()
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT tableoid::regclass::text, at FROM core_transition WHERE kind = 'job' LIMIT 1")
            table, at = cursor.fetchone()
        retention.drop_ledger_partition(at.date().replace(day=1), "all its jobs are in the archive")
        with connection.cursor() as cursor:
            cursor.execute("SELECT to_regclass(%s)", [table])
            assert cursor.fetchone()[0] is None
        assert audit.verify().findings == []
        key = row_of(2)
        tamper(f"UPDATE core_transition SET reason = 'another' WHERE id = {key}")
        (finding,) = audit.verify().findings
        assert (finding.what, finding.row) == ("altered", key), "and none of the dropped ones"
        transaction.set_rollback(True)


def test_the_ids_of_rows_take_little_room_and_come_back():
    ids = [*range(5, 50_000), 70_000, 69_999, 10**15]
    assert list(sealed_rows.unpacked(sealed_rows.packed(ids))) == ids
    assert list(sealed_rows.unpacked(sealed_rows.packed([]))) == []
    assert len(sealed_rows.packed(ids)) < len(ids) / 50


def test_a_large_transaction_is_one_seal_and_one_record():
    with transaction.atomic():
        write(500)
    assert seal_all() == 500
    kept = SealedRows.objects.get()
    assert len(bytes(kept.hashes)) == 500 * sealed_rows.SIZE
    assert audit.verify().findings == []


def test_the_command_names_the_row_and_ends_with_an_error(ledger_of_three):
    out = StringIO()
    call_command("verify_ledger", stdout=out)
    assert "The ledger holds: 3 seals over 9 rows" in out.getvalue()
    key = row_of(2, "later")
    tamper(f"UPDATE core_transition SET reason = 'another' WHERE id = {key}")
    out = StringIO()
    with pytest.raises(CommandError, match="1 findings in 3 seals"):
        call_command("verify_ledger", stdout=out, stderr=StringIO())
    assert out.getvalue().startswith(f"altered: row {key} (campaign 2, new → old, ")
    out = StringIO()
    call_command("verify_ledger", after=ledger_of_three[1].to_txid, stdout=out)
    assert "1 seals over 3 rows" in out.getvalue(), "what was verified before is not looked at again"
