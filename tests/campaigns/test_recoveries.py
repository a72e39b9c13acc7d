"""What is run again: never what has a result, never for nothing, and with what the cause of the failure asks for (D3)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaigns.recoveries import KINDS, Input, Policy, Round, Step, Stop, chosen, grown, next_round, read, steps_of

FATES = ("consumed", "failed", "skipped", "delivered", "transferred", "unconsumed", "cancelled", "unknown")
MISSING = st.lists(
    st.builds(
        Input, key=st.integers(0, 50).map(lambda n: f"file:{n}"), fate=st.sampled_from(FATES),
        cause=st.sampled_from(["", "memory", "time", "node", "input"]), tries=st.integers(0, 6), node=st.sampled_from(["", "n1"]),
    ),
    max_size=20, unique_by=lambda entry: entry.key,
)  # fmt: skip
STEPS = st.lists(st.builds(Step, st.sampled_from(list(KINDS)), st.sampled_from([(), (("-m", "4GB"),)])), max_size=4)


@given(STEPS, st.integers(0, 4), MISSING, st.none() | st.integers(0, 3))
def test_a_round_runs_only_what_is_missing_goes_forward_and_respects_the_limit_of_tries(steps, taken, missing, gained):
    found = next_round(steps, taken, missing, Policy(), gained=gained)
    by_key = {entry.key: entry for entry in missing}
    if isinstance(found, Stop):
        assert found.why
        return
    assert found.inputs
    assert taken < found.step <= len(steps)
    assert all(by_key[key].tries < 4 for key in found.inputs)
    assert set(found.skipped) == {entry.key for entry in missing if entry.tries >= 4}
    assert found.more_memory == {key for key in found.inputs if by_key[key].cause == "memory"}
    assert found.more_time == {key for key in found.inputs if by_key[key].cause == "time"}


@given(STEPS, MISSING)
def test_rounds_come_to_an_end_after_as_many_as_there_are_steps(steps, missing):
    taken = rounds = 0
    while isinstance(found := next_round(steps, taken, missing, Policy(), gained=0 if rounds else None), Round):
        taken, rounds = found.step, rounds + 1
    assert rounds <= len(steps)


def test_which_inputs_each_kind_chooses():
    missing = [Input(fate, fate) for fate in FATES] + [
        Input("consumed by a job that failed", "consumed", cause="memory")
    ]
    kinds = {kind: len(chosen(kind, missing)) for kind in KINDS}
    assert kinds == {
        "pending_files": 9, "consumed_status": 7, "process_status": 8, "delivered_not_consumed": 6, "added_files": 0,
        "state_failed": 1, "state_not_done": 7, "reprocess_orphans": 2, "reprocess_all": 9,
    }  # fmt: skip


def test_a_round_that_brought_nothing_is_the_last_unless_the_next_goes_another_way():
    same, other = (Step("pending_files"),) * 3, (Step("pending_files"), Step("pending_files", (("-m", "8GB"),)))
    stuck = [Input("a", "failed")]
    assert isinstance(next_round(same, 1, stuck, Policy(), gained=0), Stop)
    assert isinstance(next_round(same, 1, stuck, Policy(), gained=1), Round)
    assert isinstance(next_round(other, 1, stuck, Policy(), gained=0), Round)
    assert isinstance(next_round(same, 1, [Input("a", cause="memory")], Policy(), gained=0), Round)
    assert next_round(same, 1, [Input("a", cause="node", node="bad1")], Policy(), gained=0).avoid == {"bad1"}


def test_a_step_that_finds_nothing_is_passed_over():
    steps = (Step("state_failed"), Step("consumed_status"))
    found = next_round(steps, 0, [Input("a", "unconsumed")], Policy())
    assert isinstance(found, Round)
    assert (found.step, found.kind) == (2, "consumed_status")


def test_the_list_of_a_job_type_is_read_as_real_files_have_it():
    real = [["proj_status", [["-Osubmit.dataset=", "%(dataset)s"]]], ["process_status", [["-Osubmit.memory=", "8GB"]]]]
    assert read(real) == (
        Step("process_status", (("-Osubmit.dataset=", "%(dataset)s"),)), Step("process_status", (("-Osubmit.memory=", "8GB"),)),
    )  # fmt: skip
    assert steps_of(real, 2) == read(real)
    assert steps_of(real, 0) == ()
    assert steps_of([], 3) == (Step("pending_files"),) * 3


@pytest.mark.parametrize(
    "wrong", [[7], [[]], [["magic"]], [["pending_files", "x"]], [["pending_files", [], 1]], [[["a"]]]]
)
def test_a_list_that_cannot_be_is_refused(wrong):
    with pytest.raises(ValueError, match="recovery"):
        read(wrong)


def test_memory_grows_where_it_was_the_cause_and_no_further_than_there_is():
    assert grown({1: 1000, 2: 1000, 3: 9_000_000}, {1, 3}, 2.0) == {1: 2000, 2: 1000, 3: 10_000_000}
