"""Replays the scenarios of black holes with five seeds each and prints what was found: `make long`."""

from __future__ import annotations

import argparse
import json
import sys
import time

from tests.submissions import pool


def main() -> int:
    """Print a JSON object for each scenario; 1 if one does not come out as it should."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--seeds", type=int, default=5)
    seeds, wrong = asked.parse_args().seeds, []
    for scenario in (*pool.ROWS, *pool.MORE):
        begun = time.monotonic()
        found = pool.summed(scenario, pool.replay(scenario, seeds))
        print(json.dumps({**found, "seconds": round(time.monotonic() - begun, 1)}), flush=True)
        if found["healthy_drained"] or found["wrongly_paused"]:
            wrong.append(scenario.name)
    for name in wrong:
        print(f"healthy nodes or campaigns were blamed: {name}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
