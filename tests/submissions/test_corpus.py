"""The failure atlas on jobs that were broken on purpose: groups are pure, and each goes to whoever can mend it."""

from __future__ import annotations

import pytest

from submissions.models import Failure, JobFailure, Sighting
from tests.failures_corpus import running
from tests.failures_corpus.ways import VARIANTS, WAYS

pytestmark = pytest.mark.django_db(transaction=True)


def test_the_corpus_is_recognised_and_routed_also_the_half_that_nobody_tuned_by(
    real_cast, local, local_system, drive, capsys
):
    running.services()
    submission = running.running(real_cast, "local")
    ways = running.on_local(local, submission, WAYS)
    assert len(WAYS) >= 30 and len(ways) == len(WAYS) * len(VARIANTS)
    running.until_ended(drive, len(ways))
    running.until_recognised()
    assert JobFailure.objects.filter(failure=None).count() == 0
    known, held_out = running.score(ways, held_out=False), running.score(ways, held_out=True)
    with capsys.disabled():
        print(f"\nfailure atlas, the half that was looked at: {known}")
        print(f"failure atlas, the half that was held out:  {held_out}")
    assert min(known.purity, held_out.purity) >= 0.90, held_out.wrong
    assert min(known.routing, held_out.routing) >= 0.95, held_out.wrong
    assert sum(Failure.objects.values_list("jobs", flat=True)) == len(ways)
    assert sum(Sighting.objects.values_list("jobs", flat=True)) == len(ways)
