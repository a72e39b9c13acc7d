"""The same broken jobs on a real HTCondor pool: recognised and routed by what HTCondor shows of them."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

import pytest

from integrations.batch.base import Slots, Wanted
from integrations.models import BatchSystem
from tests.failures_corpus import running
from tests.failures_corpus.ways import VARIANTS, WAYS
from tests.integrations.test_htcondor import PoolBench
from tests.servers import htcondor

pytestmark = [pytest.mark.live, pytest.mark.django_db(transaction=True)]

# There the limits are the pool's own, and jobs beyond them are held; its nodes have no curl.
NOT_THERE = ("memory_limit", "wall_limit", "curl_dns")
HERE = VARIANTS[:2]


@pytest.fixture(scope="session")
def pool() -> Iterator[htcondor.Pool]:
    """A pool for all tests of this process."""
    with htcondor.running() as found:
        yield found


def test_the_corpus_is_recognised_and_routed_on_htcondor(real_cast, pool, drive, capsys):
    BatchSystem.objects.create(name="pool", backend="htcondor", settings={
        "collectors": pool.collector, "schedds": pool.schedds, "config": str(pool.config),
        "log_folders": [str(pool.work)],
    })  # fmt: skip
    running.services()
    submission = running.running(real_cast, "pool")
    uuid = str(submission.uuid)
    chosen = [(way, variant) for way in WAYS if way.name not in NOT_THERE for variant in HERE]
    scripts = []
    for number, (way, variant) in enumerate(chosen):
        file = pool.work / f"broken {number}"
        file.write_text(way.job(variant))
        # They write files of one name, and all begin in the folder of the submission.
        scripts.append(f'cd "$(mktemp -d)" && exec bash {shlex.quote(str(file))}')
    assert len({way.name for way, _ in chosen}) >= 30
    wanted = Wanted(uuid=uuid, tags={"POMS_SUBMISSION_ID": uuid}, slots=Slots(memory_mb=300))
    ids = PoolBench(pool).submit(wanted, scripts)
    ways = {job_id: way for job_id, (way, _) in zip(ids, chosen, strict=True)}
    running.until_ended(drive, len(ways))
    running.until_recognised()
    known, held_out = running.score(ways, held_out=False), running.score(ways, held_out=True)
    with capsys.disabled():
        print(f"\nfailure atlas on HTCondor, the half that was looked at: {known}")
        print(f"failure atlas on HTCondor, the half that was held out:  {held_out}")
    assert min(known.purity, held_out.purity) >= 0.90, held_out.wrong
    assert min(known.routing, held_out.routing) >= 0.95, held_out.wrong
