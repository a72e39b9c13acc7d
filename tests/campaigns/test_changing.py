"""Changes of a text: they do what they say, and leave every other line as it was written."""

from __future__ import annotations

import difflib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaigns.definition import changing, document, parse
from core.errors import Refused

TEXT = """# made by hand
[campaign]
experiment = demo
name = two
campaign_stage_list = gen, reco

[campaign_defaults]
param_overrides = [["-Oa=", "1"],
#   ["-Ob=", "2"],
                   ["-Oc=", "3"]]
login_setup=node
their_own = kept

[campaign_stage gen]
stage_type = generator
events = 100

# reconstruct
[campaign_stage reco]
dataset_or_split_data = from_parent

; who feeds whom
[dependencies reco]
campaign_stage_1 = gen
file_pattern_1 = %.root
[node_positions]
nxy0=["gen", 10, 20]
nxy1=["reco", 110, 20]
[login_setup node]
setup=source a
  source b"""


def different(text: str) -> tuple[list[str], list[str]]:
    """Return the lines that went and those that came."""
    steps = [line for line in difflib.ndiff(TEXT.splitlines(), text.splitlines()) if line[:1] in "+-"]
    return [s[2:] for s in steps if s[0] == "-"], [s[2:] for s in steps if s[0] == "+"]


def test_one_line_changes_and_keeps_its_style():
    assert different(changing.set_value(TEXT, "campaign_stage", "gen", "events", "500")) == (
        ["events = 100"], ["events = 500"],
    )  # fmt: skip
    assert different(changing.set_value(TEXT, "login_setup", "node", "host", "far")) == (
        ["  source b"], ["  source b", "host=far"],
    ) or different(changing.set_value(TEXT, "login_setup", "node", "host", "far")) == ([], ["host=far"])  # fmt: skip
    assert different(changing.set_value(TEXT, "campaign_stage", "reco", "files_per_job", "10")) == (
        [], ["files_per_job = 10"],
    )  # fmt: skip


def test_saying_the_same_changes_nothing_and_none_takes_it_away():
    assert changing.set_value(TEXT, "campaign_stage", "gen", "events", "100") == TEXT
    assert changing.set_value(TEXT, "login_setup", "node", "setup", "source a\n  source b") == TEXT
    assert different(changing.set_value(TEXT, "campaign_defaults", "", "their_own", None)) == (["their_own = kept"], [])
    assert changing.set_value(TEXT, "campaign_stage", "nosuch", "events", None) == TEXT


def test_a_comment_in_a_value_outlives_the_value():
    gone, came = different(changing.set_value(TEXT, "campaign_defaults", "", "param_overrides", "[]"))
    assert came == ["param_overrides = []"]
    assert len(gone) == 2


def test_a_stage_comes_with_its_parent_and_stands_behind_the_others():
    text = changing.add_stage(TEXT, "merge", parent="reco", pattern="%_reco.root")
    found = parse(text).definition
    assert [stage.name for stage in found.stages] == ["gen", "reco", "merge"]
    assert [(e.upstream, e.downstream, e.pattern) for e in found.edges][-1] == ("reco", "merge", "%_reco.root")
    assert found.stages[2].dataset == "from_parent"
    gone, came = different(text)
    assert gone == ["campaign_stage_list = gen, reco"]
    assert "campaign_stage_list = gen, reco, merge" in came


def test_children_and_clones_come_by_the_dozen():
    text = changing.add_stages(TEXT, "arm", 3, parent="gen")
    assert [stage.name for stage in parse(text).definition.stages] == ["gen", "reco", "arm_0", "arm_1", "arm_2"]
    text = changing.add_stages(text, "arm", 2, like="gen")
    stages = {stage.name: stage for stage in parse(text).definition.stages}
    assert stages["arm_3"].events == stages["arm_4"].events == 100
    for number in (0, -1, 201):
        with pytest.raises(Refused):
            changing.add_stages(TEXT, "arm", number)


def test_a_stage_goes_with_what_hangs_on_it():
    text = changing.remove_stages(TEXT, ["gen"])
    assert "gen" not in text.replace("generator", "")
    assert "# reconstruct" in text
    assert parse(text).definition.edges == ()
    with pytest.raises(Refused, match="Nothing was changed"):
        changing.remove_stages(TEXT, ["nosuch"])


def test_a_stage_is_renamed_wherever_it_is_named():
    text = changing.rename_stage(TEXT, "gen", "simulate")
    found = parse(text)
    assert [stage.name for stage in found.definition.stages] == ["simulate", "reco"]
    assert found.definition.edges[0].upstream == "simulate"
    assert found.definition.positions == {"simulate": (10, 20), "reco": (110, 20)}
    assert changing.rename_stage(text, "simulate", "gen") == TEXT
    assert changing.rename_stage(changing.rename_stage(TEXT, "reco", "r 2"), "r 2", "reco") == TEXT


@pytest.mark.parametrize("name", ["", " x", "a,b", "a]", "[a", "a=b", "#a", "x" * 200, "reco", "a\nb", "50%"])
def test_a_name_that_the_text_could_not_carry_is_refused(name):
    with pytest.raises(Refused):
        changing.rename_stage(TEXT, "gen", name)
    with pytest.raises(Refused):
        changing.add_stage(TEXT, name)


def test_dependencies_come_change_and_go():
    text = changing.connect(TEXT, "reco", "reco", pattern="%")
    text = changing.connect(text, "gen", "reco", pattern="%.txt", gate="each")
    edges = [(e.upstream, e.downstream, e.pattern, e.gate) for e in parse(text).definition.edges]
    assert edges == [("gen", "reco", "%.root", "all"), ("reco", "reco", "%", "all"), ("gen", "reco", "%.txt", "each")]
    with pytest.raises(Refused):
        changing.connect(text, "gen", "reco", pattern="%.txt")
    text = changing.change_edge(text, "gen", "reco", "%.txt", {"pattern": "%.log", "gate": ""})
    assert [(e.pattern, e.gate) for e in parse(text).definition.edges][2] == ("%.log", "all")
    text = changing.disconnect(text, "gen", "reco", pattern="%.log")
    text = changing.disconnect(text, "reco", "reco")
    assert text == TEXT
    text = changing.disconnect(text, "gen", "reco")
    assert "[dependencies" not in text
    with pytest.raises(Refused):
        changing.disconnect(text, "gen", "reco")


def test_places_are_kept_and_forgotten():
    text = changing.move(TEXT, {"reco": (200.4, -30), "gen": (10, 20)})
    assert different(text) == (['nxy1=["reco", 110, 20]'], ['nxy1=["reco", 200, -30]'])
    text = changing.move(changing.add_stage(TEXT, "third"), {"third": (1, 2), "gen": None})
    assert parse(text).definition.positions == {"reco": (110, 20), "third": (1, 2)}
    assert parse(changing.arrange(text)).definition.positions == {}


@given(st.text(max_size=300))
def test_every_text_is_kept_byte_for_byte(tail):
    text = TEXT + "\n" + tail
    assert str(document.read(text)) == text


LINES = st.lists(
    st.sampled_from(
        ["[campaign]", "[campaign_stage a]", "[campaign_stage b c]", "x = 1", "y: 2", "  more", "# c", "", "\t"]
    ),
    max_size=12,
)


@given(LINES, st.sampled_from(["x", "y", "fresh"]), st.text(alphabet="ab \n[]=", max_size=12))
def test_what_is_set_is_read_again_and_nothing_else_is_different(lines, key, value):
    text = "\n".join(lines)
    before = document.read(text)
    if before.problems:
        return
    value = "\n".join(line.strip() for line in value.split("\n") if line.strip() and line.strip()[0] not in "#;")
    after = document.read(changing.set_value(text, "campaign_stage", "a", key, value))
    assert after.problems == ()
    assert after.value("campaign_stage", "a", key) == value
    for section in before.sections:
        for name, entry in section.entries.items():
            if (section.kind, section.name, name) != ("campaign_stage", "a", key):
                assert after.value(section.kind, section.name, name) == entry.value
