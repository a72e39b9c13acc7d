"""`python -m tests.scale.queue_forecast`: the queue's forecast against what then happens in the local batch system.

Campaigns of two experiments, with jobs that wait for seconds, stand in the queue of a whole POMS (`manage.py up`); when
all are queued, the board's forecast is read, and the slots are let go. What their ends then are is compared with it.
What requests say of their time is wrong by up to a fifth, as people are. Prints one JSON object a line:

queue_end_error_median_s      how far the expected ends are off; reference: the median time that the campaigns took
queue_end_coverage            how many ends lie between `early` and `late`; reference: the eight of ten that should
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import tempfile
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Any

from tests.scale.readers import TINY_SUBMIT, Site, say

SLOTS = 6
# A job takes its campaign's seconds for each of its inputs; the file is read when the job is submitted.
JOB = (
    'export TINY_JOB="for key in \\$KEYS; do sleep $(cat "$POMS_FORECAST/$POMS4_CAMPAIGN_NAME"); done;'
    ' echo \\"\\$KEYS\\" > \\"\\$NAME\\""'
)


@dataclass(frozen=True)
class Planned:
    """One campaign of the proof: whose, at which rank, how many jobs of how many seconds, and whether a sum follows."""

    experiment: str
    name: str
    rank: int
    jobs: int
    seconds: float
    said: float
    follows: bool


def plan(count: int, seed: int) -> list[Planned]:
    """Return so many campaigns of two experiments."""
    dice = random.Random(seed)
    found = []
    for n in range(count):
        follows = dice.random() < 0.3
        found.append(
            Planned(
                ("demo", "other")[n % 3 == 2], f"q{n}", dice.choice((20, 50, 50, 80)),
                dice.randint(3, 4) if follows else dice.randint(3, 8),
                round(dice.uniform(1, 2) if follows else dice.uniform(1, 6), 1), dice.uniform(0.8, 1.2), follows,
            )
        )  # fmt: skip
    return found


def definition(one: Planned) -> str:
    """Return the text of a campaign: its jobs, and perhaps a stage that sums them up."""
    after = (
        "[campaign_stage sum]\ndataset_or_split_data=from_parent\ncs_split_type=None\nfiles_per_job=100\n"
        "[dependencies sum]\ncampaign_stage_1=gen\n"
        if one.follows
        else ""
    )
    return (
        f"[campaign]\nexperiment={one.experiment}\nname={one.name}\npoms_role=production\n[campaign_defaults]\n"
        f"job_type=tiny\nlogin_setup=timed\ncompletion_pct=100\nmemory_mb=100\nwall_s=60\n"
        f"[campaign_stage gen]\nstage_type=generator\nevents={one.jobs}\nevents_per_job=1\n"
        f"cs_split_type=nevents({-(-one.jobs // 2)})\nseed=7\n{after}"
        f"[job_type tiny]\nlaunch_script={json.dumps(str(TINY_SUBMIT))}\noutput_file_patterns=%.txt\n"
    )


def queued(site: Site, plans: list[Planned], home: Path) -> dict[str, Planned]:
    """File and approve all of them while launches are held; return them by reference, once all of them wait."""
    for one in plans:
        (home / one.name).write_text(f"{one.seconds}\n")
    setup = f"export POMS_FORECAST={json.dumps(str(home))}\n{JOB}"
    people = {"demo": ("operator", "approver"), "other": ("operator-other", "approver-other")}
    for experiment, (operator, _) in people.items():
        site.api(operator, "POST", "setups/", {"experiment": experiment, "name": "timed", "setup": setup})
    found = {}
    for one in plans:
        operator, approver = people[one.experiment]
        wanted = {
            "experiment": one.experiment, "title": one.name, "production_stage": "mc", "definition": definition(one),
            "priority": one.rank, "hours_per_file": one.seconds * one.said / 3600,
        }  # fmt: skip
        ref = site.api(operator, "POST", "requests/", wanted)["ref"]
        site.api(operator, "POST", f"requests/{ref}/file/")
        found[str(site.api(approver, "POST", f"requests/{ref}/approve/", {"reason": "go"})["campaign"])] = one
    deadline = time.monotonic() + 120
    while True:
        rows = site.api("supervisor", "GET", "queue/")["results"]
        if len(rows) == len(plans) and all(row["state"] == "running" for row in rows):
            return found
        assert time.monotonic() < deadline, rows
        time.sleep(0.5)


def ends(site: Site, refs: list[str], seconds: float) -> dict[str, datetime]:
    """Wait until all campaigns have ended; return when each did."""
    found: dict[str, datetime] = {}
    deadline = time.monotonic() + seconds
    while len(found) < len(refs):
        assert time.monotonic() < deadline, f"{len(found)} of {len(refs)} have ended"
        for ref in set(refs) - set(found):
            row = site.api("supervisor", "GET", f"campaigns/{ref}/")
            assert row["state"] != "failed", ref
            if row["ended"]:
                found[ref] = datetime.fromisoformat(row["ended"])
        time.sleep(1)
    return found


def second_experiment(home: Path) -> dict[str, dict[str, str]]:
    """Give the other experiment an operator and an approver of its own; return their tokens."""
    os.environ.update(DJANGO_SETTINGS_MODULE="poms_site.settings", POMS_STATE=str(home / "run"), POMS_LOG="ERROR")
    import django

    django.setup()
    from experiments.logic import membership, tokens
    from experiments.models import Experiment, User

    other, people = Experiment.objects.get(name="other"), {}
    for role in ("operator", "approver"):
        user = User.objects.create_user(username=f"{role}-other", password=None)
        membership.join(user, role, other)
        people[user.username] = {"token": tokens.issue(user, "forecast", days=1)[1]}
    membership.register_approver(User.objects.get(username="approver-other"), other, "mc")
    return people


def hold(everything: bool) -> None:
    """Hold every launch, or let go of them."""
    from submissions.logic import holding
    from submissions.queries import standing_holds

    if everything:
        holding.hold("everything", None, actor="user:proof", reason="all are to be queued first")
    else:
        for standing in standing_holds():
            holding.release(standing, actor="user:proof", reason="all are queued")


def prove(campaigns: int, seed: int, home: Path) -> dict[str, float]:
    """Queue so many, read the forecast, let them run; return the figures."""
    from poms_site import embedded

    server = embedded.ensure(None, durable=False)
    site = Site(home, slots=SLOTS)
    try:
        site.users |= second_experiment(home)
        hold(True)
        plans = home / "seconds"
        plans.mkdir()
        wanted = queued(site, plan(campaigns, seed), plans)
        hold(False)
        begun = time.time()
        rows: list[dict[str, Any]] = site.api("supervisor", "GET", "queue/")["results"]
        spans = {row["ref"]: {name: datetime.fromisoformat(at) for name, at in row["end"].items()} for row in rows}
        actual = ends(site, list(wanted), 60 + 20 * campaigns)
    finally:
        site.stop()
        if server is not None:
            server.stop()
    took = [actual[ref].timestamp() - begun for ref in wanted]
    errors = [abs((actual[ref] - spans[ref]["expected"]).total_seconds()) for ref in wanted]
    inside = [spans[ref]["early"] <= actual[ref] <= spans[ref]["late"] for ref in wanted]
    below = [actual[ref] <= spans[ref]["late"] for ref in wanted]
    return {
        "error": median(errors), "took": median(took), "coverage": sum(inside) / len(inside),
        "below_late": sum(below) / len(below), "worst": max(errors),
    }  # fmt: skip


def main() -> None:
    """Prove it at full size and print the figures."""
    options = argparse.ArgumentParser(prog="queue_forecast")
    options.add_argument("--campaigns", type=int, default=20)
    options.add_argument("--seed", type=int, default=1)
    asked = options.parse_args()
    home = Path(tempfile.mkdtemp(prefix="poms-forecast-"))
    try:
        found = prove(asked.campaigns, asked.seed, home)
    finally:
        shutil.rmtree(home, ignore_errors=True)
    print(
        json.dumps(
            {
                "campaigns": asked.campaigns,
                "seed": asked.seed,
                "slots": SLOTS,
                **{k: round(v, 2) for k, v in found.items()},
            }
        )
    )
    say("queue_end_error_median_s", found["error"], "s", found["took"])
    say("queue_end_coverage", found["coverage"], "share", 0.8)


if __name__ == "__main__":
    main()
