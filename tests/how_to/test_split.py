"""The page "How to add a split", followed once: blocks of runs are cut, checked, explained and launched by their row."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaigns import definition
from campaigns.splitting import KINDS, Input, cut, parse, preview
from integrations.models import Dataset, File, FileRun
from submissions.models import Batch
from tests import builders
from tests.approvals.desk import reading
from tests.campaigns import partitions
from tests.how_to.run_blocks import ROW


@pytest.fixture(scope="module", autouse=True)
def known():
    """The row of the table, which is all that the rest of POMS needs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(KINDS, "byruns", ROW["byruns"])
        yield


@given(partitions.INPUTS, st.integers(1, 5), st.booleans())
def test_it_is_a_partition(inputs, runs, closed):
    split = parse(f"byruns({runs})")
    partitions.is_one(split, inputs, closed=closed)
    partitions.is_one_in_two_looks(split, inputs)


@given(partitions.INPUTS, st.integers(1, 5))
def test_runs_of_one_block_share_a_batch_and_others_do_not(inputs, runs):
    found = cut(parse(f"byruns({runs})"), inputs)
    blocks = [{inputs[place].run // runs for place in part.members} for part in found.slices]
    assert all(len(block) == 1 for block in blocks)
    assert len(blocks) == len({entry.run // runs for entry in inputs if entry.run is not None})


def test_it_is_told_in_words():
    inputs = [Input(0, run=713), Input(1, run=799), Input(2, run=800), Input(3)]
    text = preview(parse("byruns(100)"), cut(parse("byruns(100)"), inputs), lambda place: f"f{place}")
    assert "700 to 799: f0, f1; 800 to 899: f2" in text
    assert text.endswith("1 file left out: has no run number")


@pytest.mark.parametrize("text", ["byruns", "byruns(0)", "byruns(x)", "byruns(1,2)", "byruns(low=1)"])
def test_what_it_cannot_be_told_is_refused_with_what_would_do(text):
    with pytest.raises(ValueError, match="byruns"):
        parse(text)


def test_a_definition_may_say_it_and_a_generator_may_not():
    def problems(text: str) -> list[str]:
        return [
            problem.message for problem in definition.check(definition.parse(text + "[login_setup local]\n").definition)
        ]

    text = reading("raw").replace("cs_split_type=None", "cs_split_type=byruns(100)")
    assert "byruns(100)" in text and problems(text) == []
    assert any(
        "cannot be cut by byruns(2)" in said
        for said in problems(builders.definition().replace("nevents(2)", "byruns(2)"))
    )


def test_the_catalogue_is_asked_for_the_runs_and_each_block_becomes_a_batch(real_cast, local, local_system, drive):
    rows = [File.objects.create(experiment=real_cast.experiment, name=f"f{run}", path=f"/x/f{run}", run=run)
            for run in (101, 150, 230)]  # fmt: skip
    FileRun.objects.bulk_create(FileRun(file=row, run=row.run) for row in rows)
    Dataset.objects.create(experiment=real_cast.experiment, name="raw").files.add(*rows)
    text = reading("raw").replace("cs_split_type=None", "cs_split_type=byruns(100)")
    campaign = builders.approved_campaign(real_cast, text)
    batches = Batch.objects.filter(stage__campaign=campaign)
    drive(lambda: batches.count() == 2, names=("plan",))
    assert sorted(batches.values_list("label", flat=True)) == ["100 to 199", "200 to 299"]
