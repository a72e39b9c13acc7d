"""Two people's changes of one text: what only one changed is taken, what both did is asked, nothing is lost."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from campaigns.definition import changing, document
from campaigns.definition.merging import merge
from tests.campaigns.test_changing import TEXT


def said(text: str) -> dict[tuple[str, str, str], str]:
    found = document.read(text)
    return {(s.kind, s.name, key): entry.value for s in found.sections for key, entry in s.entries.items()}


def test_what_only_one_changed_is_taken_from_both():
    mine = changing.set_value(TEXT, "campaign_stage", "gen", "events", "500")
    mine = changing.add_stage(mine, "merge", parent="reco")
    theirs = changing.set_value(TEXT, "campaign_stage", "gen", "seed", "7")
    theirs = changing.move(theirs, {"gen": (0, 0)})
    joined = merge(TEXT, mine, theirs)
    assert joined.conflicts == ()
    found = said(joined.text)
    assert found["campaign_stage", "gen", "events"] == "500"
    assert found["campaign_stage", "gen", "seed"] == "7"
    assert found["dependencies", "merge", "campaign_stage_1"] == "reco"
    assert found["node_positions", "", "nxy0"] == '["gen", 0, 0]'
    assert "# made by hand" in joined.text


def test_what_both_changed_is_asked_and_then_chosen():
    mine = changing.set_value(TEXT, "campaign_stage", "gen", "events", "500")
    theirs = changing.set_value(TEXT, "campaign_stage", "gen", "events", "900")
    joined = merge(TEXT, mine, theirs)
    (conflict,) = joined.conflicts
    assert (conflict.where, conflict.base, conflict.mine, conflict.theirs) == (
        "[campaign_stage gen] events", "100", "500", "900",
    )  # fmt: skip
    assert joined.text == theirs
    assert said(merge(TEXT, mine, theirs, {conflict.where: "mine"}).text)["campaign_stage", "gen", "events"] == "500"
    chosen = merge(TEXT, mine, theirs, {conflict.where: "theirs"})
    assert (chosen.text, chosen.conflicts) == (theirs, ())


def test_a_stage_that_one_took_away_and_the_other_changed_is_asked():
    mine = changing.remove_stages(TEXT, ["reco"])
    theirs = changing.set_value(TEXT, "campaign_stage", "reco", "files_per_job", "3")
    asked = merge(TEXT, mine, theirs).conflicts
    assert "[campaign_stage reco]" in {conflict.where for conflict in asked}
    back = merge(TEXT, theirs, mine).conflicts
    assert {(c.where, c.mine) for c in back} == {("[campaign_stage reco] files_per_job", "3")}


def test_a_stage_that_nobody_else_touched_goes():
    mine = changing.remove_stages(TEXT, ["reco"])
    theirs = changing.set_value(TEXT, "campaign_stage", "gen", "events", "900")
    joined = merge(TEXT, mine, theirs)
    assert joined.conflicts == ()
    assert ("campaign_stage", "reco", "dataset_or_split_data") not in said(joined.text)
    assert said(joined.text)["campaign_stage", "gen", "events"] == "900"


PLACES = [("campaign_stage", "gen", "events"), ("campaign_stage", "gen", "seed"), ("campaign_defaults", "", "login_setup"),
          ("login_setup", "node", "host"), ("campaign_stage", "reco", "files_per_job")]  # fmt: skip
EDITS = st.dictionaries(st.sampled_from(PLACES), st.one_of(st.none(), st.sampled_from("123")), max_size=4)


@given(EDITS, EDITS)
def test_nothing_is_lost(first, second):
    mine, theirs = TEXT, TEXT
    for (kind, name, key), value in first.items():
        mine = changing.set_value(mine, kind, name, key, value)
    for (kind, name, key), value in second.items():
        theirs = changing.set_value(theirs, kind, name, key, value)
    was, own, other = said(TEXT), said(mine), said(theirs)
    joined = merge(TEXT, mine, theirs)
    found, asked = said(joined.text), {(c.kind, c.name, c.key) for c in joined.conflicts}
    for place in {*was, *own, *other}:
        if own.get(place) == other.get(place):
            assert found.get(place) == own.get(place)
        elif own.get(place) == was.get(place):
            assert found.get(place) == other.get(place)
        elif other.get(place) == was.get(place):
            assert found.get(place) == own.get(place)
        else:
            assert place in asked
