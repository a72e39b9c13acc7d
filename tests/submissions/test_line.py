"""The line as SQL is the rule of submissions.fairness; the launcher takes from it what there is room for, no more."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from datetime import timedelta
from uuid import uuid4

import pytest
from django.db import connection, connections
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from campaigns.models import Campaign, StageVersion
from core.clock import now
from experiments.logic import membership
from integrations.models import BatchSystem
from submissions import fairness, line
from submissions.fairness import Piece
from submissions.logic import launching, planning
from submissions.models import Batch, Boost, JobCount, Pool, Share, Submission
from submissions.queries import gates
from submissions.states import JOB_RANK
from tests import builders

MANY = "[campaign_stage gen]\nstage_type=generator\nevents={0}\nevents_per_job=1\ncs_split_type=nevents({1})\n"


def _claimed() -> list[Submission]:
    with ExitStack() as turn:
        return launching._claim_pending(turn)


def campaign(cast, name="tiny", batches=3, jobs=1, **values):
    """Make a running campaign with so many pending submissions of so many jobs."""
    text = builders.definition(stages=MANY.format(batches * jobs, jobs), campaign=name)
    text = text.replace("experiment=demo", f"experiment={cast.experiment.name}")
    made = builders.approved_campaign(cast, text)
    while planning.plan_some():
        pass
    Campaign.objects.filter(pk=made.pk).update(**values)
    return Campaign.objects.get(pk=made.pk)


def abroad(cast):
    """Return the other experiment's people as a cast."""
    if not getattr(cast, "abroad", None):
        judge = type(cast.stranger).objects.create_user(username="judge", password="x")
        membership.join(judge, "approver", cast.other)
        membership.register_approver(judge, cast.other, "mc")
        cast.abroad = type(cast)(cast.other, cast.experiment, {"experimenter": cast.stranger, "approver": judge})
    return cast.abroad


def attempts(batch: Batch, spec) -> Submission:
    jobs, minutes = spec
    return Submission(
        experiment_id=batch.experiment_id, batch=batch, campaign_id=batch.stage.campaign_id, reason_key=f"first:{batch.pk}", kind="first", uuid=uuid4(),
        launcher="local", system="local", output_dir="there", memory_mb=1, wall_s=1, n_jobs=jobs,
        created_at=now() - timedelta(minutes=minutes),
    )  # fmt: skip


work = st.lists(
    st.tuples(st.integers(0, 100), st.booleans(), st.lists(st.tuples(st.integers(1, 30), st.integers(0, 20_000)), max_size=6)),
    min_size=4, max_size=4,
)  # fmt: skip


@pytest.mark.django_db
@hypothesis_settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    work=work, shares=st.dictionaries(st.integers(0, 1), st.integers(1, 9)), there=st.tuples(*[st.integers(0, 50)] * 2),
    room=st.none() | st.integers(0, 200), ageing=st.sampled_from([0.0, 0.25, 1.0, 16.0]),
)  # fmt: skip
def test_the_order_of_the_database_is_that_of_the_rule(four, settings, work, shares, there, room, ageing):
    settings.QUEUE_AGEING = ageing
    settings.QUEUE_DEPTH = "0" if room is None else str(max(1, room + sum(there)))
    _clear()
    for number, weight in shares.items():
        Share.objects.create(experiment=four[2 * number].experiment, weight=weight)
    for number, jobs in enumerate(there):
        if jobs:
            _running(four[2 * number], jobs)
    at, rows = now(), []
    for owner, (rank, boosted, specs) in zip(four, work, strict=True):
        Campaign.objects.filter(pk=owner.pk).update(rank=rank, state="running")
        if boosted:
            Boost.objects.create(campaign=owner, until=at + timedelta(hours=1), reason="r", actor="a")
        batches = _batches(owner, len(specs))
        made = Submission.objects.bulk_create(attempts(*pair) for pair in zip(batches, specs, strict=True))
        rows += [(row, rank, boosted) for row in made]
    pieces = [
        Piece(row.pk, row.experiment_id, rank, (at - row.created_at).total_seconds() / 3600, row.n_jobs, boosted)
        for row, rank, boosted in rows
    ]
    use = {four[2 * number].experiment_id: jobs for number, jobs in enumerate(there)}
    weights = {four[2 * number].experiment_id: weight for number, weight in shares.items()}
    ordered = fairness.in_order(pieces, use, weights, ageing)
    left = None if room is None else max(0, max(1, room + sum(there)) - sum(there))
    went = fairness.admitted(ordered, left)
    assert [row.submission for row in line.next_in_line(1000)] == [piece.key for piece in went]
    places = {row.campaign: (row.place, row.ahead, row.admitted) for row in line.in_line()}
    owners = {row.pk: row.batch.stage.campaign_id for row, *_ in rows}
    expected: dict[int, tuple[int, int, bool]] = {}
    ahead = 0
    for place, piece in enumerate(ordered, 1):
        expected.setdefault(owners[piece.key], (place, ahead, piece in went))
        ahead += piece.jobs
    assert places == expected


@pytest.fixture
def four(cast):
    """Four campaigns, two in each experiment; what was planned for them is removed by the test."""
    own = [campaign(cast, f"own{n}") for n in range(2)]
    return [*own, *(campaign(abroad(cast), f"other{n}") for n in range(2))]


def _clear() -> None:
    with connection.cursor() as cursor:
        cursor.execute("UPDATE submissions_unit SET batch_id = NULL")
        for table in ("submissionunit", "jobcount", "submission", "batch", "boost", "share"):
            cursor.execute(f"DELETE FROM submissions_{table}")


def _batches(owner: Campaign, count: int, number: int = 1) -> list[Batch]:
    version = StageVersion.objects.get(revision_id=owner.revision_id)
    return Batch.objects.bulk_create(
        Batch(experiment_id=owner.experiment_id, stage_id=version.stage_id, version=version, number=number + n, n_units=1,
              reason_key=f"slice:{version.stage_id}:1:{number + n}")
        for n in range(count)
    )  # fmt: skip


def _running(owner: Campaign, jobs: int) -> None:
    """So many jobs idle in the batch system, beside as many that have ended."""
    attempt = attempts(_batches(owner, 1, 10_000)[0], (2 * jobs, 0))
    attempt.state = "running"
    attempt.save()
    JobCount.objects.create(submission=attempt, state_code=JOB_RANK["succeeded"], n=jobs)
    JobCount.objects.create(submission=attempt, state_code=JOB_RANK["idle"], n=jobs)


# --- How much is put into a batch system ------------------------------------------------------------------------


@pytest.mark.django_db
def test_no_more_is_launched_than_there_is_room_for(cast, settings):
    settings.QUEUE_DEPTH = "2x"
    system = BatchSystem.objects.create(name="local", backend="local")
    campaign(cast, batches=10, jobs=2)
    Pool.objects.create(system=system, slots=3)
    claimed = _claimed()
    assert len(claimed) == 3  # six jobs: twice the slots
    assert _claimed() == []
    _count(claimed[0], processing=2)  # one has left the queue: there is room for two jobs
    assert len(_claimed()) == 1


@pytest.mark.django_db
@pytest.mark.parametrize("depth", ["0", "2x"])
def test_without_a_limit_or_known_slots_everything_goes(cast, settings, depth):
    settings.QUEUE_DEPTH = depth
    campaign(cast, batches=10)
    assert len(_claimed()) == 10


@pytest.mark.django_db
def test_held_jobs_and_unsure_launches_take_no_room(cast, settings):
    settings.QUEUE_DEPTH = "1"
    campaign(cast, batches=4)
    first = _claimed()
    assert len(first) == 1
    _count(first[0], held=1)
    second = _claimed()
    assert len(second) == 1
    Submission.objects.filter(pk=second[0].pk).update(**{"state": "unsure"})
    assert len(_claimed()) == 1


@pytest.mark.django_db
def test_what_waits_in_line_says_its_place_and_what_is_before_it(cast, settings):
    settings.QUEUE_DEPTH = "3"
    first, second = campaign(cast, "first", batches=4, rank=80), campaign(cast, "second", batches=2, rank=20)
    assert [gate["text"] for gate in gates_of_line(second)] == ["5th in the queue of local; 4 jobs go before it"]
    assert gates_of_line(first) == []  # it is just being launched
    _claimed()
    assert [gate["text"] for gate in gates_of_line(first)] == ["next in the queue of local"]
    settings.QUEUE_DEPTH = "0"
    assert gates_of_line(second) == []


def gates_of_line(row: Campaign):
    return [gate for gate in gates(row) if gate["gate"] == "queue"]


@pytest.mark.django_db(transaction=True)
def test_many_launchers_at_once_do_not_exceed_the_depth(real_cast, settings):
    settings.QUEUE_DEPTH = "7"
    campaign(real_cast, batches=40, jobs=3)
    claimed: list[Submission] = []
    barrier = threading.Barrier(12)

    def claim() -> None:
        try:
            barrier.wait(20)
            claimed.extend(_claimed())
        finally:
            connections.close_all()

    threads = [threading.Thread(target=claim) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({row.pk for row in claimed}) == len(claimed) == 3  # three times three jobs: the last exceeds it
    assert Submission.objects.filter(state="launching").count() == 3


def _count(submission: Submission, **states: int) -> None:
    for state, n in states.items():
        JobCount.objects.create(submission=submission, state_code=JOB_RANK[state], n=n)
