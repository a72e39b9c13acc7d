"""Contracts over all state tables (design 4): the words, no dead end, and a known permission for each move."""

from __future__ import annotations

import pytest

from approvals.states import AMENDABLE, EDITABLE, REQUEST
from campaigns.states import CAMPAIGN, REVISION
from core.states import SYSTEM, StateTable, table
from experiments.roles import PERMISSIONS
from integrations.states import SERVICE
from submissions import states
from submissions.models import JobFacts
from tests.contracts import checks

# kind -> its states (requirements.md), and those that end it. Who renames a state does it in two places.
WORDS = {
    "request": ("draft pending_approval approved returned rejected withdrawn superseded",
                "rejected withdrawn superseded"),
    "campaign": ("new pending_approval approved running succeeded failed cancelled", "cancelled"),
    "revision": ("draft proposed approved rejected superseded", "rejected superseded"),
    "batch": ("pending submitted project_running jobs_completed completed failed cancelled", "cancelled"),
    "submission": ("pending launching submitted running jobs_completed completed launch_failed failed removed unsure",
                   "completed launch_failed failed removed"),
    "job": ("idle staging_in processing staging_out held suspended succeeded failed removed lost",
            "succeeded failed removed lost"),
    "command": ("wanted asked done refused", "done refused"),
    "exclusion": ("watched excluded on_probation released undone", "released undone"),
    "reproduction": ("running equal different failed", "equal different failed"),
    "outside_service": ("unknown up degraded down", ""),
}  # fmt: skip
JUDGED = (REQUEST, CAMPAIGN, REVISION, states.BATCH, states.SUBMISSION, states.JOB, states.COMMAND, states.EXCLUSION,
          states.REPRODUCTION, SERVICE)  # fmt: skip
TABLES = {table.kind: table for table in JUDGED}


def reached(judged: StateTable, begin: str) -> set[str]:
    """Return the states that moves lead to from one state, itself among them."""
    found, ahead = {begin}, [begin]
    while ahead:
        here = ahead.pop()
        fresh = {move.target for move in judged.moves if move.source == here} - found
        found |= fresh
        ahead += fresh
    return found


def faults(judged: StateTable, words: str, final: str) -> list[str]:
    """Return a sentence for each thing that is wrong with a table."""
    wrong = []
    if set(judged.states) != set(words.split()):
        wrong.append(f"its states are {sorted(judged.states)}")
    if set(judged.final) != set(final.split()):
        wrong.append(f"its ends are {sorted(judged.final)}")
    for state in judged.states:
        if state not in reached(judged, judged.initial):
            wrong.append(f"{state} is never reached")
        if final and not reached(judged, state) & set(final.split()):
            wrong.append(f"{state} has no way to an end")
    steps = [(move.source, move.target) for move in judged.moves]
    wrong += [f"{source} → {target} stands twice" for source, target in set(steps) if steps.count((source, target)) > 1]
    wrong += [f"{move.verb} is for {move.who}, who is nobody" for move in judged.moves
              if move.who != SYSTEM and move.who not in PERMISSIONS]  # fmt: skip
    return wrong


@pytest.mark.parametrize("kind", WORDS)
def test_a_table_is_whole(kind):
    assert faults(TABLES[kind], *WORDS[kind]) == []


def test_every_table_of_a_model_is_judged():
    used = {model.STATES.kind: model.STATES for model in checks.our_models() if hasattr(model, "STATES")}
    assert used == TABLES


def test_every_model_with_a_state_has_room_for_its_longest_word():
    for model in checks.our_models():
        if hasattr(model, "STATES") and not issubclass(model, JobFacts):  # whose states are numbers
            field = model._meta.get_field("state")
            assert max(map(len, model.STATES.states)) <= field.max_length, model.__name__
            assert field.default == model.STATES.initial, model.__name__


def test_faults_of_a_table_are_found():
    judged = table("thing", "new", ("new", "old", "age", "grandmother"), ("lost", "new", "find"), ("new", "old", "rot"))
    judged_again = table("thing", "a", ("a", "b", "x"), ("b", "a", "y"))
    assert faults(judged, "new old lost", "old") == [
        "lost is never reached", "new → old stands twice", "age is for grandmother, who is nobody",
    ]  # fmt: skip
    assert faults(judged_again, "a b", "c") == [
        "its ends are []", "a has no way to an end", "b has no way to an end",
    ]  # fmt: skip


def test_a_submission_and_a_job_never_step_back():
    for kind in ("submission", "job"):
        for final in TABLES[kind].final:
            assert not [move for move in TABLES[kind].moves if move.source == final]


def test_the_words_that_code_relies_on_are_states():
    assert set(states.UNFINISHED) == set(states.SUBMISSION.states) - set(states.SUBMISSION.final)
    assert set(states.JOB_STATES) == set(states.JOB.states)
    assert set(states.JOB_ENDED) == set(states.JOB.final)
    assert set(states.JOB_STARTED) <= set(states.JOB.states)
    assert set(EDITABLE) | {"approved"} == set(REQUEST.sources("pending_approval"))
    assert set(AMENDABLE).isdisjoint(EDITABLE)
