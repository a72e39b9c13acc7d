"""The text form: parsed with line numbers, checked, dumped without loss."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaigns import definition
from campaigns.definition import check, dump, parse
from tests.effort import FIVE_SECONDS, effort

CASES = Path(__file__).resolve().parents[3] / "shared" / "cases" / "poms_ini"
EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "dimuon" / "dimuon.ini"

WHOLE = """[campaign]
experiment=demo
name=two
campaign_keywords={"tune": "G18"}
campaign_stage_list=reco,gen
[campaign_defaults]
job_type=sim
login_setup=node
param_overrides=[["-Oa=", "1"], ["-Ob=", "2"]]
merge_overrides=True
[campaign_stage gen]
stage_type=generator
events=100
cs_split_type=nevents(10)
param_overrides=[["-Ob=", "%(tune)s"]]
[campaign_stage reco]
dataset_or_split_data=from_parent
cs_split_type=nfiles(3)
[dependencies reco]
campaign_stage_1=gen
file_pattern_1=%.root
gate_1=each
[job_type sim]
launch_script=run_it
parameters=[["--release ", "%(version)s"]]
[login_setup node]
host=localhost
setup=source a
  source b
"""


def problems(text):
    parsed = parse(text)
    return parsed.errors or check(parsed.definition)


def test_a_whole_text_has_nothing_wrong():
    assert problems(WHOLE) == []
    parsed = parse(WHOLE)
    assert parsed.warnings == []
    assert [stage.name for stage in parsed.definition.stages] == ["reco", "gen"]
    gen = parsed.definition.stages[1]
    assert gen.params == (("-Oa=", "1"), ("-Ob=", "%(tune)s"))
    assert parsed.definition.login_setups[0].setup == "source a\nsource b"


def test_the_canonical_text_says_the_same_again():
    first = parse(WHOLE).definition
    text = dump(first)
    again = parse(text)
    assert again.errors == [] and again.warnings == []
    assert dump(again.definition) == text
    assert again.definition.digest == first.digest


@pytest.mark.parametrize(
    ("change", "field", "line"),
    [
        (("cs_split_type=nfiles(3)", "cs_split_type=nfiles(0)"), "[campaign_stage reco] cs_split_type", 18),
        (("cs_split_type=nfiles(3)", "cs_split_type=nfiles(-3)"), "[campaign_stage reco] cs_split_type", 18),
        (("events=100", "events=many"), "[campaign_stage gen] events", 13),
        (
            ('param_overrides=[["-Ob=", "%(tune)s"]]', 'param_overrides=[["-Ob="'),
            "[campaign_stage gen] param_overrides",
            15,
        ),
        (("gate_1=each", "gate_1=some"), "gate_1", 22),
        (("job_type=sim", "job_type=sin"), "[campaign_stage reco] job_type", 16),
        (("login_setup=node", "login_setup=mode"), "[campaign_stage reco] login_setup", 16),
        (("campaign_stage_1=gen", "campaign_stage_1=gem"), "[dependencies reco]", 20),
        (("%(tune)s", "%(tone)s"), "[campaign_stage gen]", 11),
    ],
)
def test_each_error_names_its_field_and_line(change, field, line):
    found = problems(WHOLE.replace(*change))
    assert (field, line) in [(p.field, p.line) for p in found], found


def test_a_near_word_is_offered():
    assert any(
        "did you mean gen?" in p.hint for p in problems(WHOLE.replace("campaign_stage_1=gen", "campaign_stage_1=gem"))
    )
    assert any(
        "did you mean completion_pct?" in p.hint for p in parse(WHOLE.replace("events=100", "completion_pc=9")).warnings
    )


def test_a_circle_is_refused_and_a_chain_to_itself_is_not():
    circle = WHOLE + "[dependencies gen]\ncampaign_stage_1=reco\n"
    circle = circle.replace("stage_type=generator\nevents=100\n", "")
    found = problems(circle)
    assert any(
        "in a circle: reco → gen → reco" in p.message or "in a circle: gen → reco → gen" in p.message for p in found
    )
    itself = WHOLE.replace("gate_1=each", "gate_1=each\ncampaign_stage_2=reco")
    assert problems(itself) == []


def test_a_text_too_large_is_refused_at_once():
    assert "that is too large" in parse("x" * 300_000).errors[0].message


@given(st.text(max_size=400))
def test_no_text_makes_it_fall_over(text):
    parsed = parse("[campaign]\nname=x\n" + text)
    if not parsed.errors:
        check(parsed.definition)
        dump(parsed.definition)


def test_the_example_is_whole():
    assert problems(EXAMPLE.read_text()) == []


@pytest.mark.skipif(not CASES.is_dir(), reason="shared/cases is not beside the project")
@pytest.mark.parametrize("name", sorted(p.name for p in CASES.glob("*.ini")) if CASES.is_dir() else [])
def test_a_real_file_is_read_or_refused_with_a_line(name):
    parsed = parse((CASES / name).read_text())
    assert all(isinstance(p.line, int) or p.field in ("definition", "campaign_stage") for p in parsed.errors), (
        parsed.errors
    )
    if not parsed.errors:
        assert parsed.definition.stages or parsed.definition.job_types
        assert dump(parse(dump(parsed.definition)).definition) == dump(parsed.definition)


def test_completed_is_read_as_complete():
    text = WHOLE.replace("events=100", "events=100\ncompletion_type=completed")
    assert parse(text).definition.stages[1].completion_type == "complete"
    assert definition.known_words(parse(text).definition, parse(text).definition.stages[0])["tune"] == "G18"


@pytest.mark.parametrize("line", ["a{}b", "[a{}b", "a{}:{}b", "[{}", "{}a{}"])
def test_a_line_of_blanks_does_not_keep_the_reader_busy(line):
    text = "[campaign]\n" + (line.replace("{}", " " * 16_000)[:32_000] + "\n") * 8
    assert effort(lambda: parse(text)) < FIVE_SECONDS / 2
