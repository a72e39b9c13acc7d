"""A process of a host, of whichever release is on PYTHONPATH: the site that approves campaigns, or a worker.

It is run by the name of this file, so it may use only what older releases have too.
"""

from __future__ import annotations

import json
import os
import sys
from contextlib import suppress
from pathlib import Path

READY = "READY"


def main(what: str, root: str, name: str, seed: str) -> int:
    """Be what is asked for until the standard input or SIGTERM ends it."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whoever prints does not answer
    import django

    django.setup()
    from tests.faults import scene, team

    folders = object.__new__(scene.Folders)
    folders.root = Path(root)
    folders.control, folders.hits = folders.root / "control", folders.root / "hits"
    scene.shorten_leases()
    with suppress(KeyboardInterrupt):
        if what == "worker":
            print(READY, flush=True)
            team.work(int(seed), folders, name)
            return 0
        from django.core.management import call_command
        from django.db import close_old_connections

        call_command("migrate", verbosity=0)
        site = scene.Scene(folders, int(seed))
        # Each line asks for so many submissions more; the answer is how many batches they come to.
        for number, line in enumerate(sys.stdin):
            close_old_connections()
            planned = [site.extra(number, int(line))] if number else site.campaigns(int(line))
            print(json.dumps(sum(campaign.batches for campaign in planned)), file=answers, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
