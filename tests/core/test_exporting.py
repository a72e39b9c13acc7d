"""The audit trail as lines: whole seals, checked from the file alone; every change of a line is found."""

from __future__ import annotations

import json
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from core import exporting
from core.clock import now
from core.models import Seal, Transition
from tests.core.test_ledger import seal_all, write

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("empty_ledger")]


def exported() -> list[dict[str, Any]]:
    """Return the lines of the last hour as a file gives them back."""
    told = exporting.lines(now() - timedelta(hours=1), now() + timedelta(hours=1))
    return list(exporting.read(json.dumps(line) for line in told))


@pytest.fixture
def lines() -> list[dict[str, Any]]:
    """Three seals of two rows each, and two rows that no seal covers yet."""
    for reason in ("because", "later\nwith a line", "at last"):
        write(2, reason=reason)
        seal_all()
    write(2, reason="just now")
    return exported()


def test_an_export_is_checked_from_its_lines_alone(lines, django_assert_num_queries):
    with django_assert_num_queries(0):
        assert exporting.check(lines) == []
    kinds = [line["line"] for line in lines]
    assert kinds == ["export", *["seal", "transition", "transition"] * 3, "unsealed", "transition", "transition"]
    assert [line["reason"] for line in lines if line["line"] == "transition"][-1] == "just now"


@pytest.mark.parametrize(
    "change",
    [lambda lines: lines[2].update(actor="user:b"), lambda lines: lines[2].update(at="2026-01-01 00:00:00.000000"),
     lambda lines: lines.pop(2), lambda lines: lines.insert(2, dict(lines[2])), lambda lines: lines[1].update(digest="0" * 64),
     lambda lines: lines[0].update(before="1" * 64), lambda lines: lines.__delitem__(slice(4, 7)),
     lambda lines: lines[5].update(reason=None)],
)  # fmt: skip
def test_a_change_of_the_file_is_found(lines, change):
    change(lines)
    assert exporting.check(lines) != []


def test_a_span_within_a_seal_gives_the_whole_seal(lines):
    row = Transition.objects.filter(reason="at last").order_by("id").first()
    told = list(exporting.lines(row.at, row.at + timedelta(microseconds=1)))
    second = Seal.objects.order_by("to_txid")[1]
    assert told[0]["before"] == second.digest
    assert [line["line"] for line in told] == ["export", "seal", "transition", "transition"]
    assert exporting.check(json.loads(json.dumps(told))) == []


def test_a_time_without_anything_is_an_export_of_nothing(lines):
    told = list(exporting.lines(now() + timedelta(days=1), now() + timedelta(days=2)))
    assert [line["line"] for line in told] == ["export"]
    assert exporting.check(told) == []


def test_the_command_writes_a_file_once_and_checks_it(lines, tmp_path):
    out, said = tmp_path / "audit.jsonl", StringIO()
    call_command("export_audit", since="2026-01-01", until="2100-01-01", out=out, stdout=said)
    assert "8 transitions from 2026-01-01 00:00 to 2100-01-01 00:00 UTC" in said.getvalue()
    call_command("export_audit", check=out, stdout=said)
    last = Seal.objects.order_by("-to_txid").first()
    assert f"The export holds: 3 seals; the last is {last.digest}." in said.getvalue()
    with pytest.raises(CommandError, match="exists; name another file"):
        call_command("export_audit", since="2026-01-01", out=out)
    out.write_text(out.read_text().replace("user:a", "user:b", 1))
    with pytest.raises(CommandError, match="does not hold"):
        call_command("export_audit", check=out, stdout=said)


@pytest.mark.parametrize(
    ("text", "said"),
    [("", "does not begin"), ("{}\n", "Line 1 is no line"), ("no JSON\n", "Line 1 is no JSON"), ('{"line": "seal"}\n', "does not begin"),
     ('{"line": "export", "format": "other"}\n', "no export of the format")],
)  # fmt: skip
def test_what_is_no_export_is_said(tmp_path, text, said):
    (tmp_path / "x").write_text(text)
    told = StringIO()
    with pytest.raises(CommandError) as refusal:
        call_command("export_audit", check=tmp_path / "x", stdout=told)
    assert said in f"{refusal.value} {told.getvalue()}"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({}, "Say from when on"),
        ({"since": "soon"}, "no day and no moment"),
        ({"since": "2026-02-02", "until": "2026-02-01"}, "not before"),
    ],
)
def test_a_span_that_is_none_is_refused(words, said):
    with pytest.raises(CommandError, match=said):
        call_command("export_audit", **words)
