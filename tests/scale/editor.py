"""`python -m tests.scale.editor`: a campaign of 500 stages; is its editor quick to open, to follow, to save?

Starts a whole POMS and asks over HTTP as the owner, `--times` times each. Prints one JSON object a line, like
`make bench`; the reference is the same for a campaign of six stages:

editor_open_p95_ms    the page with the text, its drawing and its complaints
editor_look_p95_ms    what the page's script asks while one types: the text parsed, checked and laid out anew
editor_save_p95_ms    the form that saves a revision, each time another text

What the browser makes of it, tests/e2e/test_editor.py prints.
"""

from __future__ import annotations

import argparse
import http.client
import json
import re
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

FEW, MANY = 6, 500
ROLE = "experimenter"


def definition(stages: int, *, name: str = "wide", events: int = 10) -> str:
    """Return a campaign like the large real ones: generators, most with a chain behind them, gathered at the end."""
    chains, length = max(1, (stages - 1) // 5), 5
    lines = [f"[campaign]\nexperiment=demo\nname={name}\n[campaign_defaults]\njob_type=tiny\nlogin_setup=local\n"]
    for chain in range(chains):
        for n in range(length):
            stage = f"s{chain}_{n}"
            if n == 0:
                lines.append(f"[campaign_stage {stage}]\nstage_type=generator\nevents={events}\nseed={chain + 1}\n")
                continue
            lines.append(f"[campaign_stage {stage}]\ndataset_or_split_data=from_parent\n")
            lines.append(f"[dependencies {stage}]\ncampaign_stage_1=s{chain}_{n - 1}\n")
    gathered = "".join(f"campaign_stage_{n + 1}=s{n}_{length - 1}\n" for n in range(chains))
    lines.append(f"[campaign_stage all]\ndataset_or_split_data=from_parent\n[dependencies all]\n{gathered}")
    for alone in range(stages - chains * length - 1):
        lines.append(f"[campaign_stage alone{alone}]\nstage_type=generator\nevents={events}\n")
    lines.append("[job_type tiny]\nlaunch_script=/bin/true\n")
    return "".join(lines)


def look(site: Any, cookie: str, token: str, text: str) -> float:
    """Ask what the page's script asks; return how long the answer took, in milliseconds."""
    line = http.client.HTTPConnection(site.address, timeout=60)
    headers = {"Cookie": cookie, "Content-Type": "application/json", "X-CSRFToken": token}
    body = json.dumps({"text": text})
    begun = time.monotonic()
    line.request("POST", "/e/demo/editor/look/", body, headers)
    answer = line.getresponse()
    answer.read()
    took = 1e3 * (time.monotonic() - begun)
    assert answer.status == 200, answer.status
    line.close()
    return took


def measured(site: Any, cookie: str, token: str, stages: int, times: int) -> dict[str, list[float]]:
    """Open, follow and save a campaign of so many stages, so many times; return the times in milliseconds."""
    from tests.scale.readers import ask

    name = f"wide{stages}"
    wanted = {"experiment": "demo", "text": definition(stages, name=name), "apply": True}
    ref = site.api(ROLE, "POST", "campaigns/import/", wanted)["campaign"]
    page = f"/e/demo/campaigns/{ref.rpartition('/')[2]}/editor/"
    found: dict[str, list[float]] = {"open": [], "look": [], "save": []}
    for n in range(times + 1):
        text = definition(stages, name=name, events=11 + n)
        found["open"].append(ask(site.address, page, cookie))
        found["look"].append(look(site, cookie, token, text))
        form = {"csrfmiddlewaretoken": token, "text": text, "base": str(n + 1), "note": ""}
        found["save"].append(ask(site.address, page, cookie, form))
    return {name: taken[1:] for name, taken in found.items()}


def main() -> None:
    """Start everything, measure few and many stages, print, stop everything."""
    options = argparse.ArgumentParser(prog="editor")
    options.add_argument("--stages", type=int, default=MANY)
    options.add_argument("--times", type=int, default=20)
    asked = options.parse_args()
    from poms_site import embedded
    from tests.scale.readers import Site, p95, say

    home = Path(tempfile.mkdtemp(prefix="poms-editor-"))
    server = embedded.ensure(None, durable=True)
    site = Site(home)
    try:
        cookie = site.session(ROLE)
        found = re.search(r"csrftoken=(\w+)", cookie)
        assert found, "the session has no token for forms"
        few, many = (measured(site, cookie, found[1], stages, asked.times) for stages in (FEW, asked.stages))
        for name, taken in many.items():
            say(f"editor_{name}_p95_ms", p95(taken), "ms", p95(few[name]))
    finally:
        site.stop()
        if server is not None:
            server.stop()
        shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    main()
