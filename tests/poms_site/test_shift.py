"""The shift page's facts: a thousand incidents in ten lines, none missing; what is stuck; what rules did; since when."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from approvals.logic import filing
from approvals.states import REQUEST
from core.clock import now
from core.errors import Refused
from core.transitions import record
from experiments.logic import looking
from experiments.models import LastLook
from integrations.batch.base import JobSeen
from integrations.models import BatchSystem, Book, Credential, LogbookEntry, Service, ServiceState
from poms_site.overview import incidents, shift, stays
from poms_site.overview.incidents import Item, fold
from poms_site.overview.shift_log import write_entry
from submissions.logic import holding, merging, planning
from submissions.models import Batch, JobCount, Submission
from submissions.states import BATCH, JOB, SUBMISSION
from tests import builders

AT = datetime(2026, 12, 1, 3, tzinfo=UTC)


# --- Folding ----------------------------------------------------------------------------------------------------

items = st.lists(
    st.builds(
        Item, section=st.sampled_from(incidents.SECTIONS), state=st.just("failed"), title=st.text(max_size=8),
        text=st.just(""), n=st.integers(1, 500), last=st.just(AT), urgent=st.booleans(),
    ),
    max_size=120,
)  # fmt: skip


@given(items)
def test_folded_they_fit_one_screen_and_none_is_missing(given_items):
    found = fold(given_items)
    assert len(found) <= incidents.MOST
    assert sum(item.n for item in found) == sum(item.n for item in given_items)
    by_section = Counter()
    for item in given_items:
        by_section[item.section] += item.n
    folded = Counter()
    for item in found:
        folded[item.section] += item.n
    assert folded == by_section
    assert incidents.needs_somebody(found) == any(item.urgent for item in given_items)
    if len(given_items) <= incidents.MOST:
        assert Counter(map(id, found)) == Counter(map(id, given_items)), "what fits is not folded"


def test_what_must_be_acted_upon_is_not_folded_away_while_something_else_can_be():
    rest = [Item("broken", "failed", f"group {n}", "", 50, AT) for n in range(30)]
    found = fold([*rest, Item("broken", "failed", "act on this", "", 1, AT, urgent=True)])
    assert found[0].title == "act on this"
    assert found[-1].folded[0].startswith("group")


# --- Since when --------------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_one_is_told_since_the_last_look_and_at_first_of_the_last_day(cast):
    first = shift.since_of(cast.shifter, [cast.experiment])[cast.experiment.pk]
    assert now() - first == pytest.approx(timedelta(hours=24), abs=timedelta(seconds=5))
    looking.mark_read(cast.shifter, [cast.experiment], now() - timedelta(hours=2))
    looking.mark_read(cast.shifter, [cast.experiment], now() - timedelta(hours=5))
    later = shift.since_of(cast.shifter, [cast.experiment])[cast.experiment.pk]
    assert now() - later == pytest.approx(timedelta(hours=2), abs=timedelta(seconds=5)), "never backwards"
    LastLook.objects.update(at=now() - timedelta(days=90))
    oldest = shift.since_of(cast.shifter, [cast.experiment])[cast.experiment.pk]
    assert now() - oldest == pytest.approx(shift.WINDOW, abs=timedelta(seconds=5)), "and no further than a week"
    assert shift.since_of(cast.operator, [cast.experiment])[cast.experiment.pk] > oldest, "each for themselves"


# --- A thousand incidents ----------------------------------------------------------------------------------------


@pytest.fixture
def launched(cast):
    """A campaign with three batches, and the batch system to which they went."""
    stages = "[campaign_stage gen]\nstage_type=generator\nevents=3\nevents_per_job=1\ncs_split_type=nevents(1)\n"
    builders.approved_campaign(cast, builders.definition(stages=stages))
    planning.plan_some()
    system = BatchSystem.objects.create(name="local")
    return list(Submission.objects.order_by("pk")), system


@pytest.mark.django_db
def test_a_thousand_incidents_are_at_most_ten_lines_and_none_is_missing(cast, launched):
    """Jobs that die in forty ways, launches that fail, services that go down, rules that hold, things that are stuck."""
    submissions, system = launched
    at = now().timestamp() - 60
    seen = [
        JobSeen(f"{n}.0@x", str(submissions[n % 3].uuid), "failed", 1, at, exit_code=n % 40, wall_s=60.0)
        for n in range(700)
    ]
    merging.merge(system.pk, seen, source="test")
    own = {"experiment_id": cast.experiment.pk}
    fails = [(submissions[n % 3].pk, "launching") for n in range(150)]
    record(fails, "submission", "launch_failed", **own, actor="loop:launch", reason="no disk", verb="fail_launch")
    record([(n, "") for n in range(100)], "hold", "standing", **own, actor="rule:waste", reason="too many", verb="hold")
    record(
        [(submissions[0].batch_id, "")] * 25,
        "batch",
        "pending",
        **own,
        actor="loop:recover",
        reason="2 missing",
        verb="recover",
    )
    for n in range(20):
        row = Service.objects.create(
            experiment=cast.experiment, name=f"s{n}", kind="none", state="down", said="refused"
        )
        ServiceState.objects.create(service=row, source="up", target="down", reason="refused")
    for n in range(5):
        Credential.objects.create(
            experiment=cast.experiment, name=f"c{n}", kind="scitoken", path=f"/opt/{n}", launcher="ssh", host=f"h{n}",
            ends_at=now() + timedelta(hours=3),
        )  # fmt: skip
    (one,) = shift.watched(cast.operator, [cast.experiment])
    assert len(one.items) <= 10
    counted = Counter()
    for item in one.items:
        counted[item.section] += item.n
    assert counted == {"broken": 700 + 150 + 20, "rules": 100 + 25, "ending": 5}
    assert sum(counted.values()) == 1000
    assert one.needs_somebody and one.worst.urgent
    assert all(item.help for item in one.items if item.urgent)


@pytest.mark.django_db
def test_what_was_read_is_not_told_again_and_what_comes_is(cast, launched):
    submissions, system = launched
    old = now().timestamp() - 3600
    merging.merge(system.pk, [JobSeen("1@x", str(submissions[0].uuid), "failed", 1, old, code="memory")], source="test")
    (before,) = shift.watched(cast.shifter, [cast.experiment])
    assert [item.title for item in before.items] == ["tiny: 1 job over its memory limit"]
    assert not before.needs_somebody, "one job is no reason to wake somebody"
    looking.mark_read(cast.shifter, [cast.experiment])
    (after,) = shift.watched(cast.shifter, [cast.experiment])
    assert after.items == []
    fresh = now().timestamp() + 1
    many = [JobSeen(f"{n}@y", str(submissions[0].uuid), "failed", 1, fresh, code="memory") for n in range(10)]
    merging.merge(system.pk, many, source="test")
    (again,) = shift.watched(cast.shifter, [cast.experiment])
    assert [item.title for item in again.items] == ["tiny: 10 jobs over its memory limit"] and again.needs_somebody
    assert "campaign=c" in again.worst.help.address and "state=failed" in again.worst.help.address


@pytest.mark.django_db
def test_who_sees_another_experiment_is_told_nothing_of_this(cast, launched):
    submissions, system = launched
    merging.merge(system.pk, [JobSeen("1@x", str(submissions[0].uuid), "failed", 1, now().timestamp())], source="test")
    (one,) = shift.watched(cast.stranger, [cast.other])
    assert one.items == []


@pytest.mark.django_db
def test_each_kind_of_long_stay_is_told_in_a_line(cast, launched):
    submissions, system = launched
    old = now() - timedelta(days=30)
    first, second, third = submissions
    Submission.objects.filter(pk=first.pk).update(state="running", state_since=old, launched_at=old)
    Submission.objects.filter(pk=second.pk).update(state="unsure", state_since=now())
    Batch.objects.filter(pk=third.batch_id).update(state="jobs_completed", state_since=old)
    merging.merge(system.pk, [
        JobSeen(f"{n}@x", str(first.uuid), "held" if n < 4 else "processing", 1, old.timestamp()) for n in range(7)
    ], source="test")  # fmt: skip
    merging.merge(system.pk, [JobSeen("9@x", str(first.uuid), "held", 1, now().timestamp())], source="test")
    waits = filing.file(builders.request(cast, title="waits"), by=cast.experimenter)
    type(waits).objects.filter(pk=waits.pk).update(state_since=old)
    (one,) = shift.watched(cast.supervisor, [cast.experiment])
    told = {(item.state, item.n) for item in one.items if item.section == "stuck"}
    assert told == {
        ("running", 1),
        ("unsure", 1),
        ("jobs_completed", 1),
        ("held", 4),
        ("processing", 3),
        ("pending_approval", 1),
    }
    assert JobCount.objects.filter(n__gt=0).count() == 2


@pytest.mark.django_db
def test_what_rules_did_is_told_and_what_people_did_is_not(cast, launched):
    campaign = launched[0][0].campaign
    holding.hold("campaign", campaign, actor="rule:waste", reason="60 % of 40 jobs failed")
    holding.hold("campaign", campaign, actor=cast.operator.actor, reason="a new release comes")
    (one,) = shift.watched(cast.supervisor, [cast.experiment])
    (rule,) = [item for item in one.items if item.section == "rules"]
    assert (rule.title, rule.text, rule.urgent) == ("hold set", "rule waste: 60 % of 40 jobs failed", False)


@pytest.mark.django_db
def test_a_service_of_all_is_told_to_each_experiment(cast):
    row = Service.objects.create(experiment=None, name="sam", kind="none", state="down", said="HTTP 503")
    ServiceState.objects.create(service=row, source="up", target="down", reason="HTTP 503")
    for one in shift.watched(cast.supervisor, [cast.experiment, cast.other]):
        assert [item.title for item in one.items] == ["sam is down"]


@pytest.mark.django_db
def test_a_batch_system_that_is_silent_is_told_to_those_who_have_jobs_there(cast, launched):
    submissions, system = launched
    BatchSystem.objects.filter(pk=system.pk).update(error="2026-12-01 03:00:00 no schedd", looked_at=now())
    assert all(one.items == [] for one in shift.watched(cast.supervisor, [cast.experiment, cast.other]))
    Submission.objects.filter(pk=submissions[0].pk).update(state="running")
    first, second = shift.watched(cast.supervisor, [cast.experiment, cast.other])
    assert [item.title for item in first.items] == ["batch system local does not answer"]
    assert first.needs_somebody and second.items == []


def test_every_long_stay_is_of_a_state_that_there_is():
    tables = {"request": REQUEST, "batch": BATCH, "submission": SUBMISSION, "job": JOB}
    for kind, state in stays.LONGEST:
        assert state in tables[kind].states and state not in tables[kind].final, (kind, state)


# --- The logbook -------------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_the_logbook_gets_what_the_page_says_once(cast, launched):
    holding.hold("campaign", launched[0][0].campaign, actor="rule:waste", reason="60 % of 40 jobs failed")
    with pytest.raises(Refused):
        write_entry(cast.shifter, cast.experiment)
    Book.objects.create(experiment=cast.experiment, url="https://ecl.example.org/E", credential="ecl", category="POMS")
    looking.mark_read(cast.shifter, [cast.experiment], now() - timedelta(hours=1))
    first = write_entry(cast.shifter, cast.experiment)
    assert write_entry(cast.shifter, cast.experiment).pk == first.pk
    assert LogbookEntry.objects.count() == 1
    assert "What rules did\n- hold set: rule waste: 60 % of 40 jobs failed" in first.text
    assert first.text.startswith("demo: shift since ")
