"""The definition as YAML: there and back it says the same, and what is no definition is refused with its line."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaigns.definition import dump, parse
from campaigns.definition.document import read
from campaigns.definition.yaml_form import from_yaml, same, to_yaml
from core.errors import Refused
from tests.campaigns.test_changing import TEXT

CASES = Path(__file__).resolve().parents[3] / "shared" / "cases" / "poms_ini"
EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "dimuon" / "dimuon.ini"


@pytest.mark.parametrize("text", [TEXT, EXAMPLE.read_text()])
def test_there_and_back_it_says_the_same(text):
    back = from_yaml(to_yaml(text))
    assert same(read(back), read(text))
    assert dump(parse(back).definition) == dump(parse(text).definition)
    assert from_yaml(to_yaml(back)) == back


@pytest.mark.skipif(not CASES.is_dir(), reason="shared/cases is not beside the project")
@pytest.mark.parametrize("name", sorted(p.name for p in CASES.glob("*.ini")) if CASES.is_dir() else [])
def test_real_files_go_there_and_back(name):
    text = (CASES / name).read_text()
    assert same(read(from_yaml(to_yaml(text))), read(text))


def test_it_reads_as_yaml_should():
    said = to_yaml(TEXT)
    assert "stages:\n  gen:\n    stage_type: generator\n    events: 100\n" in said
    assert "- from: gen\n    pattern: '%.root'\n" in said
    assert "their_own: kept" in said
    assert "node" in said.partition("login_setups:")[2]


@pytest.mark.parametrize(("text", "line", "says"), [
    ("campaign: {name: x\nstages: [", 2, "not YAML"), ("- a\n- b", None, "expected keys and values"),
    ("a: &x [1]\nb: *x", 2, "alias"), ("campaign: {name: x}\nstage: {}", None, "unknown"),
    ("stages: [gen]", None, "expected keys and values"), ("stages: {'a]': {}}", None, "nothing can be called"),
    ("dependencies: {reco: {from: gen}}", None, "expected a list"), ("x: " * 200_000, None, "more than"),
    ("a: !!python/object:os.system {}", 1, "not YAML"), ("[" * 5000, None, "not YAML"),
])  # fmt: skip
def test_what_is_no_definition_is_refused_with_its_line(text, line, says):
    with pytest.raises(Refused) as refusal:
        from_yaml(text)
    (problem,) = refusal.value.problems
    assert says in f"{problem.message}"
    assert line is None or problem.line == line


WORDS = st.text(alphabet="ab%1-. é", min_size=1, max_size=6).map(str.strip).filter(bool)
JSON = st.lists(st.lists(st.text(alphabet='a" -=', max_size=4), min_size=2, max_size=2), max_size=3)


@given(st.dictionaries(WORDS, WORDS, max_size=3), JSON)
def test_any_words_go_there_and_back(values, pairs):
    import json

    lines = "".join(f"{key.replace(' ', '_')}={value}\n" for key, value in values.items())
    text = (
        f"[campaign]\nname=x\n[campaign_stage a b]\n{lines}param_overrides={json.dumps(pairs)}\n[whatever it is]\nk=v\n"
    )
    if read(text).problems:
        return
    assert same(read(from_yaml(to_yaml(text))), read(text))
