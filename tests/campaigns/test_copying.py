"""A clone has another name, and by a pattern another everything; nothing else is different, to the byte."""

from __future__ import annotations

import pytest

from campaigns import definition
from campaigns.logic import copying, drafting, shelving
from campaigns.models import Campaign
from core.errors import Conflict, NotAllowed, Refused

pytestmark = pytest.mark.django_db
TEXT = """# what 2025 did
[campaign]
experiment=demo
name=reco-2025
campaign_keywords={"year": "2025"}
campaign_stage_list=gen2025,sum
[campaign_stage gen2025]
dataset_or_split_data=raw_2025   ; of 2025
param_overrides=[["--year ", "2025"], ["--seed ", " 7"]]
[campaign_stage sum]
[dependencies sum]
campaign_stage_1=gen2025
file_pattern_1=%2025%.root
[node_positions]
nxy0=["gen2025", 5, 6]
"""


@pytest.fixture
def first(cast) -> Campaign:
    looked = drafting.look(cast.experiment, TEXT, by=cast.experimenter)
    made = drafting.import_text(cast.experiment, looked, by=cast.experimenter).campaign
    shelving.tag(made, ["spring"], by=cast.experimenter)
    made.refresh_from_db()
    return made


def test_a_clone_has_the_same_text_under_another_name(cast, first):
    made = copying.clone(first, by=cast.people["analyser"], name="mine")
    assert made.source == TEXT.replace("name=reco-2025", "name=mine")
    assert (made.campaign.name, made.campaign.owner.username, made.state) == ("mine", "analyser", "draft")
    assert Campaign.objects.get(pk=made.campaign_id).tags == ["spring"]


def test_without_a_name_it_takes_one_that_is_free(cast, first):
    names = [copying.clone(first, by=cast.experimenter).campaign.name for _ in range(3)]
    assert names == ["clone-of-reco-2025", "clone-of-reco-2025-2", "clone-of-reco-2025-3"]


def test_a_pattern_makes_the_name_and_everywhere_the_rest(cast, first):
    made = copying.clone(first, by=cast.experimenter, find="2025", put="2026")
    assert made.source == TEXT.replace("name=reco-2025", "name=reco-2026")
    whole = copying.clone(first, by=cast.experimenter, name="all-2026", find="2025", put="2026", everywhere=True)
    found = definition.parse(whole.source).definition
    assert [stage.name for stage in found.stages] == ["gen2026", "sum"]
    assert found.stages[0].params == (("--year ", "2026"), ("--seed ", " 7"))
    assert [(e.upstream, e.downstream, e.pattern) for e in found.edges] == [("gen2026", "sum", "%2026%.root")]
    assert dict(found.keywords) == {"year": "2026"}
    assert found.positions["gen2026"] == (5, 6)
    assert whole.source.startswith("# what 2025 did\n"), "comments are nobody's values"


@pytest.mark.parametrize(
    ("asked", "where"),
    [({"find": "1999", "put": "2000"}, "find"), ({"everywhere": True}, "find"), ({"name": "reco-2025"}, "name")],
)
def test_what_cannot_be_cloned_so_is_refused_and_nothing_is_made(cast, first, asked, where):
    with pytest.raises((Refused, Conflict)) as refused:
        copying.clone(first, by=cast.experimenter, **asked)
    assert [problem.field for problem in refused.value.problems] == [where]
    assert Campaign.objects.count() == 1


def test_who_may_not_ask_for_anything_clones_nothing(cast, first):
    with pytest.raises(NotAllowed):
        copying.clone(first, by=cast.people["reviewer"])


def test_replacing_leaves_keys_and_comments_alone():
    text = "# a=a\n[campaign]\nname=a\na=a\n"
    assert copying.replaced(text, "a", "b") == "# a=a\n[campaign]\nname=b\na=b\n"
