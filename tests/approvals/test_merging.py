"""Consolidating and splitting: the union of inputs, each once; nobody's part is lost (W2)."""

from __future__ import annotations

import pytest

from approvals.logic import deciding, filing, merging
from approvals.models import Request, Watcher
from core.errors import Conflict, NotAllowed, Refused
from core.models import Transition
from integrations import registry
from submissions.logic import planning
from submissions.models import Unit
from tests import builders
from tests.approvals.desk import again, dataset, filed, reading

pytestmark = pytest.mark.django_db


@pytest.fixture
def two(cast):
    """Two requests for the same processing, of which two files are common."""
    dataset(cast, "first", "a", "b", "c")
    dataset(cast, "second", "b", "c", "d")
    one = filed(cast, reading("first", "one"), title="one", priority=40, free_text="for the thesis")
    other = filing.draft(
        cast.experiment, requester=cast.analyser, title="other", production_stage="mc", priority=60,
        definition=reading("second", "other"), special="in blue",
    )  # fmt: skip
    return one, filing.file(other, by=cast.analyser)


def units(campaign):
    for stage in campaign.stages.all():
        planning.plan(stage.pk)
    return sorted(Unit.objects.filter(stage__campaign=campaign).values_list("file_name", flat=True))


def test_a_preview_counts_each_file_once(cast, two):
    told = merging.preview(two)
    assert told.inputs == {two[0].ref: 3, two[1].ref: 3}
    assert (told.union, told.saved, told.unit) == (4, 2, "files")


def test_joined_requests_process_the_union_and_nothing_twice(cast, two):
    joined = merging.merge(two, by=cast.approver, reason="the same work")
    assert joined.state == "pending_approval"
    assert (joined.priority, joined.special, joined.requester) == (60, "in blue", cast.experimenter)
    for row in two:
        assert (again(row).state, again(row).campaign.state) == ("superseded", "cancelled")
    assert {o.source_id for o in joined.origins.all()} == {row.pk for row in two}
    people = set(Watcher.objects.filter(request=joined).values_list("user__username", flat=True))
    assert {"experimenter", "analyser", "approver"} <= people
    steps = Transition.objects.filter(kind="request", verb="merge")
    assert {step.thing_id for step in steps} == {row.pk for row in two}
    from approvals.logic import confirming

    confirming.confirm(joined, by=cast.operator)
    deciding.approve(again(joined), by=cast.approver, reason="good")
    assert units(again(joined).campaign) == ["a", "b", "c", "d"]
    for row in two:
        assert units(again(row).campaign) == []


def test_generators_of_one_seed_join_into_the_larger(cast):
    small = filed(cast, builders.definition(campaign="small"))
    large = filed(cast, builders.definition(campaign="large").replace("events=4", "events=6"))
    told = merging.preview([small, large])
    assert (told.union, told.saved, told.unit) == (6, 4, "events")
    joined = merging.merge([small, large], by=cast.approver, reason="the same")
    assert "events=6" in joined.revision.text


@pytest.mark.parametrize("change", ["seed=8", "memory_mb=400", "another stage"])
def test_what_does_something_else_is_not_joined(cast, change):
    from experiments.logic import membership

    one = filed(cast, builders.definition(campaign="one"))
    text = builders.definition(campaign="two")
    if change.startswith("seed"):
        text = text.replace("seed=7", change)
    elif change.startswith("memory"):
        text = text.replace("memory_mb=200", change)
    values = {}
    if change == "another stage":
        membership.register_approver(cast.approver, cast.experiment, "reco")
        values = {"production_stage": "reco"}
    two = filed(cast, text, **values)
    before = Request.objects.count()
    with pytest.raises(Refused):
        merging.merge([one, two], by=cast.approver, reason="the same?")
    assert (Request.objects.count(), again(one).state, again(two).state) == (
        before,
        "pending_approval",
        "pending_approval",
    )


def test_who_joins_on_what_was_read(cast, two):
    for who in ("operator", "experimenter", "analyser"):
        with pytest.raises(NotAllowed):
            merging.merge(two, by=cast.people[who], reason="the same")
    with pytest.raises(Refused, match="needs a reason"):
        merging.merge(two, by=cast.approver, reason=" ")
    read = {row.pk: row.revision.digest for row in two}
    changed = reading("second", "other").replace("memory_mb=200", "memory_mb=200\n# read again\nwall_s=61")
    changed = changed.replace("wall_s=60\n", "")
    filing.edit(again(two[1]), by=cast.analyser, definition=changed)
    before = Request.objects.count()
    with pytest.raises((Conflict, Refused)):
        merging.merge([again(row) for row in two], by=cast.approver, reason="the same", digests=read)
    assert Request.objects.count() == before
    assert again(two[0]).state == "pending_approval"


def test_a_decision_that_came_first_is_not_joined_away(cast, two):
    deciding.approve(two[0], by=cast.approver, reason="good")
    with pytest.raises(Conflict):
        merging.merge(two, by=cast.approver, reason="the same")
    assert again(two[1]).state == "pending_approval"


def test_partners_are_found_with_what_they_share(cast, two):
    filed(cast, builders.definition(campaign="elsewhere"))
    found = merging.partners(again(two[0]), cast.approver)
    assert [(other.pk, told.saved) for other, told in found] == [(two[1].pk, 2)]


def test_a_request_is_split_by_its_files(cast):
    dataset(cast, "raw", "a", "b", "c")
    request = filed(cast, reading("raw", "whole"))
    first, rest = merging.split(request, 1, by=cast.approver, reason="a is urgent")
    assert again(request).state == "superseded"
    for part, names in ((first, ["a"]), (rest, ["b", "c"])):
        assert part.state == "pending_approval"
        deciding.approve(again(part), by=cast.approver, reason="good")
        assert units(again(part).campaign) == names
    assert {first.campaign.name, rest.campaign.name} == {"whole-1", "whole-2"}
    assert registry.catalogue(cast.experiment).count("raw") == 3, "the dataset itself is as it was"


@pytest.mark.parametrize("first", [0, 3, 4])
def test_no_part_is_empty(cast, first):
    dataset(cast, "raw", "a", "b", "c")
    request = filed(cast, reading("raw"))
    with pytest.raises(Refused):
        merging.split(request, first, by=cast.approver, reason="why not")
    assert again(request).state == "pending_approval"
    assert Request.objects.count() == 1
