"""How long a dataset takes to be frozen and cut, and how many calls that costs, through SAM's wire format.

Asked is the stand-in in a process of its own. The reference of the seconds is one plain fetch of the same listing; that of
the calls is what POMS makes today: two a slice and two more (202, 2,002 and 20,002 calls in 0.36, 5.0 and 42.6 s).
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode
from urllib.request import urlopen

SIZES = (("1e4", 10_000), ("1e5", 100_000), ("1e6", 1_000_000))
A_SLICE = 100
Say = Callable[[str, float, str, float], None]


def splits(say: Say, cast: Any, *, brief: bool = False) -> None:
    """Print the figures, of the largest dataset only where there is time; the database is the caller's."""
    from django.db import transaction

    from campaigns import queries
    from integrations.models import CatalogueLink
    from submissions.logic import freezing
    from submissions.models import Slice, Snapshot, StageProgress
    from tests import builders

    for word, files in SIZES[:2] if brief else SIZES:
        served = subprocess.Popen(
            [sys.executable, "-m", "tests.stand_ins.sam.server", "--port", "0", "--files", str(files)],
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        try:
            assert served.stdout is not None
            url = served.stdout.readline().split()[0]
            CatalogueLink.objects.all().delete()
            link = {"settings": {"url": url, "group": "samdev"}, "system": "sam"}
            CatalogueLink.objects.create(experiment=cast.experiment, **link)
            text = f"[campaign_stage reco]\ndataset_or_split_data=mass\ncs_split_type=nfiles({A_SLICE})\n"
            campaign = builders.approved_campaign(cast, builders.definition(stages=text, campaign=f"split{word}"))
            version = queries.running_version(campaign.stages.get().pk)
            assert version is not None
            StageProgress.objects.get_or_create(stage=version.stage)
            plain = _fetch(url)
            before = _calls(url)
            begin = time.perf_counter()
            frozen = freezing.fetch(version)
            with transaction.atomic():
                freezing.keep(version, frozen)
            seconds = time.perf_counter() - begin
            slices = files // A_SLICE
            assert Slice.objects.filter(snapshot=Snapshot.objects.get(stage=version.stage)).count() == slices
            say(f"split_{word}_s", seconds, "s", plain)
            say(f"split_{word}_calls", _calls(url) - before, "calls", 2 * slices + 2)
        finally:
            served.kill()
            served.wait()


def _fetch(url: str) -> float:
    form = urlencode({"dims": "defname: mass", "format": "plain", "fileinfo": "1"})
    begin = time.perf_counter()
    with urlopen(f"{url}/files/list?{form}") as answer:
        answer.read()
    return time.perf_counter() - begin


def _calls(url: str) -> int:
    with urlopen(f"{url}/control/calls") as answer:
        return sum(json.loads(answer.read())["calls"].values())
