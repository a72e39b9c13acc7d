"""Secrets in text are found by shape or name and covered; what is none stays as it was."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import Refused
from core.redaction import COVER, masked, masked_piece, redacted, redacted_deep, refuse_secrets, secrets_in
from tests.secrets import PLANTED

CASES = Path(__file__).parents[3] / "shared" / "cases"


@pytest.mark.parametrize("planted", PLANTED, ids=lambda planted: planted.name)
def test_every_kind_of_secret_is_covered(planted):
    text = f"before\n{planted.text}\nafter\n"
    for covered in (redacted(text), masked(text)):
        assert covered.startswith("before\n")
        assert covered.endswith("\nafter\n")
        assert not planted.is_in(covered), covered
    assert len(masked(text)) == len(text)
    assert masked(text).count("\n") == text.count("\n")


@pytest.mark.parametrize("planted", PLANTED, ids=lambda planted: planted.name)
def test_a_form_with_a_secret_is_refused_and_does_not_say_it_again(planted):
    with pytest.raises(Refused) as refusal:
        refuse_secrets([("note", "nothing"), ("setup", [{"deep": planted.text}])])
    assert [problem.field for problem in refusal.value.problems] == ["setup"]
    assert not planted.is_in(str(refusal.value))


@pytest.mark.parametrize(
    "text",
    [
        "", "a token of demo ends soon", "export BEARER_TOKEN_FILE=/tmp/bt_u1000", "export BEARER_TOKEN=$(cat /tmp/x)",
        "--vaulttokenfile=/tmp/vt_u1000 --auth-methods token,proxy", "https://sam.example.org:8483/sam/demo/api",
        "root://door.example.org:1094//disk1/a", "%(dataset)s", "password: %s", "token: <none>", "secret = ''",
        "the bearer of this note", "Authorization: required", "gsiftp://a/b@c", "s.length == 24", "mailto:a@b.example",
        "credkey=demopro/managedtokens/fifeutilgpvm01", "ssh demopro@gpvm01.example.org", "eyJ", "file.eyJ.root",
    ],
)  # fmt: skip
def test_what_is_no_secret_stays(text):
    assert redacted(text) == text


@pytest.mark.skipif(not CASES.is_dir(), reason=f"needs {CASES}, which is not beside the project")
def test_no_real_definition_or_log_is_taken_for_a_secret():
    files = [path for path in CASES.rglob("*") if path.is_file()]
    assert len(files) > 30
    found = {str(path): list(secrets_in(path.read_text(errors="replace"))) for path in files}
    assert {path: hits for path, hits in found.items() if hits} == {}


@given(st.text())
def test_a_mask_keeps_length_and_lines(text):
    assert len(masked(text)) == len(text)
    assert masked(redacted(text)) == redacted(text) or COVER in redacted(text)


@pytest.mark.parametrize("planted", PLANTED, ids=lambda planted: planted.name)
def test_a_log_that_is_read_in_pieces_shows_no_part_of_a_secret(planted):
    content = f"begin\n{'x' * 90}\n{planted.text}\n{'y' * 90}\nend\n".encode()

    def fetch(offset, length):
        return {"text": content[offset : offset + length].decode(), "total": len(content)}

    whole = masked(content.decode())
    for size in (7, 64, 100, len(content)):
        pieces = [masked_piece(fetch, offset, size)["text"] for offset in range(0, len(content), size)]
        assert "".join(pieces) == whole
    assert not planted.is_in(whole)


def test_a_log_line_is_covered_to_its_depth():
    secret = PLANTED[0].text
    line = redacted_deep({
        "event": f"got {secret}", "deep": [{"a": (secret,)}, secret.encode()], "password": "correct horse", "n": 3,
        "error": ValueError(secret), secret: 1, "token": "hunter2hunter2", "ok": None,
    })  # fmt: skip
    assert not any(planted.is_in(str(line)) for planted in PLANTED)
    assert "hunter2hunter2" not in str(line)
    assert (line["n"], line["ok"]) == (3, None)
