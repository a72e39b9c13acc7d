"""`python -m tests.scale.requests`: 45,000 requests in the database; are inbox, list and search quick for one client?

Starts a whole POMS, fills its tables with years of requests (and their campaigns, checks and decisions), then asks each
page `--times` times as one person and prints one JSON object a line, like `make bench`:

requests_inbox_p95_ms, requests_list_p95_ms, …   the time of an answer; reference: the same before the tables were filled

`fill` is what tests/approvals/test_statements.py counts SQL statements with.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from datetime import timedelta
from pathlib import Path
from statistics import median
from typing import Any

PAGES = {
    "admin_home": ("approver", "/admin/"),
    "inbox": ("approver", "/admin/approvals/request/?waiting=me"),
    "inbox_all": ("approver", "/admin/approvals/request/"),
    "inbox_search": ("approver", "/admin/approvals/request/?q=muons"),
    "inbox_search_rare": ("approver", "/admin/approvals/request/?q=raw.0417+v10_17"),
    "list": ("experimenter", "/e/demo/requests/"),
    "list_filtered": ("experimenter", "/e/demo/requests/?state=approved&title_has=muons+12"),
    "search": ("experimenter", "/search/?q=muons 123"),
    "api_list": ("experimenter", "/api/v1/requests/?experiment=demo&limit=100"),
}
STATES = ("approved",) * 15 + ("rejected", "withdrawn", "returned", "draft", "pending_approval")
LIMIT_MS = 100.0


def fill(number: int, *, experiment: Any, requester: Any, approver: Any, definition: str) -> None:
    """Write so many requests of the past, with campaign, revision, checks and decision each, as they would be."""
    from approvals.models import CheckLine, Decision, Request
    from campaigns.models import Campaign, Revision
    from core.clock import now

    for begin in range(0, number, 5000):
        some = range(begin, min(number, begin + 5000))
        at = now() - timedelta(days=1)
        campaigns = Campaign.objects.bulk_create(
            Campaign(
                experiment=experiment, name=f"muons-{n}", owner=requester,
                state={"approved": "succeeded", "pending_approval": "pending_approval"}.get(STATES[n % 20], "cancelled"),
            )
            for n in some
        )  # fmt: skip
        revisions = Revision.objects.bulk_create(
            Revision(
                campaign=c,
                number=1,
                text=definition,
                source=definition,
                digest=f"{c.pk:064x}",
                author=requester,
                state="proposed",
            )
            for c in campaigns
        )
        requests = Request.objects.bulk_create(
            Request(
                experiment=experiment, title=f"Z to two muons {n}", requester=requester, production_stage="mc",
                state=STATES[n % 20], priority=n % 101, definition=definition, campaign=campaign, revision=revision,
                filed_at=at, dataset=f"muons.raw.{n % 500:04}", release=f"v10_{n % 40:02}_00",
            )
            for n, campaign, revision in zip(some, campaigns, revisions, strict=True)
        )  # fmt: skip
        CheckLine.objects.bulk_create(
            CheckLine(request=row, position=k, check_name=name, result="pass", text="as it should be")
            for row in requests
            for k, name in enumerate(("definition", "dataset", "cost", "requester"))
        )
        Decision.objects.bulk_create(
            Decision(request=row, approver=approver, verdict="approve", reason="good", digest=row.revision.digest)
            for row in requests
            if row.state == "approved"
        )


def measured(site: Any, cookies: dict[str, str], times: int) -> dict[str, list[float]]:
    """Ask each page so many times, one after the other, with a pause that outlives what is kept for readers."""
    from tests.scale.readers import ask

    found: dict[str, list[float]] = {name: [] for name in PAGES}
    for name, (role, path) in PAGES.items():
        ask(site.address, path, cookies[role])
        for _ in range(times):
            found[name].append(ask(site.address, path, cookies[role]))
    return found


def main() -> None:
    """Start everything, measure, fill, measure, print, stop everything."""
    options = argparse.ArgumentParser(prog="requests")
    options.add_argument("--requests", type=int, default=45_000)
    options.add_argument("--times", type=int, default=60)
    asked = options.parse_args()
    import os

    from poms_site import embedded
    from tests.scale.readers import Site, p95, say

    home = Path(tempfile.mkdtemp(prefix="poms-requests-"))
    server = embedded.ensure(None, durable=True)
    site = Site(home)
    try:
        os.environ.setdefault("DJANGO_SETTINGS_MODULE", "poms_site.settings")
        os.environ["POMS_STATE"] = str(home / "run")
        import django

        django.setup()
        from django.db import connection

        from experiments.models import Experiment, User
        from poms_site.seeding import EXAMPLE

        cookies = {role: site.session(role) for role in ("approver", "experimenter")}
        before = measured(site, cookies, asked.times)
        people = {user.username: user for user in User.objects.filter(username__in=("experimenter", "approver"))}
        fill(
            asked.requests, experiment=Experiment.objects.get(name="demo"), requester=people["experimenter"],
            approver=people["approver"], definition=EXAMPLE.read_text(),
        )  # fmt: skip
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE")
        after = measured(site, cookies, asked.times)
        print(json.dumps({"requests": asked.requests, "times": asked.times, "limit_ms": LIMIT_MS}))
        for name, times in after.items():
            say(f"requests_{name}_p95_ms", p95(times), "ms", p95(before[name]))
        worst = max(after, key=lambda name: p95(after[name]))
        print(
            json.dumps(
                {"slowest": worst, "p95_ms": round(p95(after[worst]), 1), "median_ms": round(median(after[worst]), 1)}
            )
        )
    finally:
        site.stop()
        if server is not None:
            server.stop()
        shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    main()
