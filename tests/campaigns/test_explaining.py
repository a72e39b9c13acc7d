"""Where a value comes from: the layer that says it, and what the layers below said; the same as what is read."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from campaigns.definition import explaining, parse, values
from campaigns.definition.explaining import explain
from campaigns.definition.model import JobTypeText

TEXT = """[campaign]
name=two
[campaign_defaults]
memory_mb=3000
merge_overrides=True
param_overrides=[["-Oa=", "campaign"], ["-Od=", "campaign"]]
[campaign_stage reco]
job_type=sim
memory_mb=4000
param_overrides=[["-Oa=", "stage"]]
test_param_overrides=[["-Ob=", "test"]]
"""
KIND = JobTypeText("sim", "run", (("-Oa=", "kind"), ("-Ob=", "kind")))
BENEATH = {"software_version": "v1", "memory_mb": "2500", "param_overrides": '[["-Oe=", "experiment"]]'}


def test_a_key_names_its_layer_and_what_it_covers():
    keys = {why.key: why for why in explain(TEXT, "reco", [KIND], BENEATH).keys}
    assert (keys["memory_mb"].value, keys["memory_mb"].layer) == ("4000", "stage")
    assert keys["memory_mb"].beneath == (("campaign defaults", "3000"), ("experiment", "2500"), ("POMS", "2000"))
    assert (keys["software_version"].value, keys["software_version"].layer) == ("v1", "experiment")
    assert (keys["wall_s"].value, keys["wall_s"].layer, keys["wall_s"].beneath) == ("86400", "POMS", ())


def test_parameters_join_in_the_order_of_the_command():
    # The example of reference/poms.md 5, with an experiment beneath.
    found = explain(TEXT, "reco", [KIND], BENEATH)
    assert [(why.key, why.value, why.layer) for why in found.parameters] == [
        ("-Oa=", "stage", "stage"), ("-Ob=", "kind", "job type"), ("-Oe=", "experiment", "experiment"),
        ("-Od=", "campaign", "campaign defaults"),
    ]  # fmt: skip
    assert found.parameters[0].beneath == (("campaign defaults", "campaign"), ("job type", "kind"))
    assert {why.key: (why.value, why.layer) for why in found.test}["-Ob="] == ("test", "test")


def test_a_list_of_its_own_is_all_where_nothing_is_merged():
    text = TEXT.replace("merge_overrides=True", "merge_overrides=False")
    assert [(why.key, why.layer) for why in explain(text, "reco", [KIND], BENEATH).parameters] == [
        ("-Oa=", "stage"), ("-Ob=", "job type"),
    ]  # fmt: skip


LAYER = st.fixed_dictionaries({}, optional={
    "memory_mb": st.sampled_from(["1000", "2000"]), "software_version": st.sampled_from(["v1", "v2"]),
    "merge_overrides": st.sampled_from(["True", "False"]), "cs_split_type": st.sampled_from(["None", "nfiles(3)"]),
    "param_overrides": st.sampled_from(["[]", '[["a", "1"]]', '[["b ", "2"], ["a", "3"]]']),
})  # fmt: skip


@given(LAYER, LAYER, LAYER)
def test_what_is_explained_is_what_is_read(beneath, campaign, own):
    def lines(said):
        return "".join(f"{key}={value}\n" for key, value in said.items())

    text = f"[campaign]\nname=x\n[campaign_defaults]\n{lines(campaign)}[campaign_stage s]\n{lines(own)}"
    (stage,) = parse(text, beneath).definition.stages
    found = explain(text, "s", (), beneath)
    for why in found.keys:
        name, read = values.STAGE[why.key]
        if why.key != "merge_overrides":
            assert getattr(stage, name) == (
                read(why.value) if why.layer != explaining.BUILT_IN else getattr(stage, name)
            )
    assert dict(stage.params) == {why.key: why.value for why in found.parameters}
