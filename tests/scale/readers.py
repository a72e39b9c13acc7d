"""`python -m tests.scale.readers`: many people read the page of a running campaign; is it quick, is observing late?

Starts a whole POMS (`manage.py up`) with a campaign of short jobs, measures how old the last look at the batch system
gets while nobody reads, then lets `--readers` people do for `--seconds` what a browser does: load the page, then ask
for its live part every 5 s with the tag of what they have. Prints one JSON object a line, like `make bench`:

page_p95_ms, page_median_ms   the time of an answer; reference: the same for one reader alone, before
observe_age_p95_s             how long ago the last look at the batch system ended; reference: without readers
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median, quantiles
from typing import Any
from urllib.parse import urlencode, urlsplit

import environ
import psycopg2

TINY_SUBMIT = Path(__file__).parents[1] / "scripts" / "tiny_submit"
ROLES = ("experimenter", "approver", "operator", "shifter", "analyser", "reviewer", "supervisor", "administrator")
EVERY = 5.0
JOBS_A_SECOND = 3


@dataclass
class Seen:
    """What the readers saw: times in seconds, statuses, how many answers were "not modified"."""

    times: list[float] = field(default_factory=list)
    loads: list[float] = field(default_factory=list)
    statuses: dict[int, int] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, seconds: float, status: int, *, load: bool) -> None:
        with self.lock:
            (self.loads if load else self.times).append(seconds)
            self.statuses[status] = self.statuses.get(status, 0) + 1


class Site:
    """A running POMS and its people."""

    def __init__(self, home: Path, slots: int = 6) -> None:
        self.home = home
        self.log = home / "up.log"
        command = [sys.executable, "manage.py", "up", "--port", "0", "--slots", str(slots)]
        environment = {**os.environ, "POMS_STATE": str(home / "run"), "POMS_LOG": "ERROR"}
        self.process = subprocess.Popen(
            command, env=environment, stdout=self.log.open("wb"), stderr=subprocess.STDOUT, start_new_session=True
        )
        deadline = time.monotonic() + 300
        while b"Ctrl-C stops it" not in self.log.read_bytes():
            assert self.process.poll() is None and time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.1)
        document = json.loads((home / "demo.json").read_text())
        self.url, self.users = document["url"], document["users"]
        self.address = urlsplit(self.url).netloc

    def stop(self) -> int:
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(60)

    def api(self, role: str, method: str, path: str, body: Any = None) -> Any:
        line = http.client.HTTPConnection(self.address, timeout=60)
        headers = {"Authorization": f"Bearer {self.users[role]['token']}", "Content-Type": "application/json"}
        line.request(method, f"/api/v1/{path}", json.dumps(body or {}), headers)
        answer = line.getresponse()
        document = json.loads(answer.read())
        assert answer.status < 300, document
        return document

    def session(self, role: str) -> str:
        """Sign a person in, as the form does; return the cookie."""
        line = http.client.HTTPConnection(self.address, timeout=60)
        line.request("GET", "/sign-in/")
        answer = line.getresponse()
        page, cookie = answer.read().decode(), str(answer.headers["Set-Cookie"]).partition(";")[0]
        token = page.partition('name="csrfmiddlewaretoken" value="')[2].partition('"')[0]
        account = self.users[role]
        form = {"csrfmiddlewaretoken": token, "username": account["username"], "password": account["password"]}
        headers = {"Cookie": cookie, "Content-Type": "application/x-www-form-urlencoded"}
        line.request("POST", "/sign-in/", urlencode(form), headers)
        answer = line.getresponse()
        answer.read()
        assert answer.status == 303, answer.status
        cookies = [value.partition(";")[0] for name, value in answer.getheaders() if name.lower() == "set-cookie"]
        return "; ".join(cookies)

    def run_campaign(self, jobs: int) -> str:
        """Have a campaign of so many short jobs running; return its reference."""
        setup = 'export TINY_JOB=\'sleep 2; echo "$KEYS" > "$NAME"\''
        self.api("operator", "POST", "setups/", {"experiment": "demo", "name": "tiny", "setup": setup})
        stages = (
            f"[campaign_stage gen]\nstage_type=generator\nevents={jobs}\nevents_per_job=1\ncs_split_type=nevents(5)\n"
            "seed=7\n[campaign_stage sum]\ndataset_or_split_data=from_parent\ncs_split_type=None\n"
            "[dependencies sum]\ncampaign_stage_1=gen\n"
        )
        text = (
            "[campaign]\nexperiment=demo\nname=read\npoms_role=production\n[campaign_defaults]\njob_type=tiny\n"
            f"login_setup=tiny\ncompletion_pct=100\nmemory_mb=200\nwall_s=60\n{stages}"
            f"[job_type tiny]\nlaunch_script={json.dumps(str(TINY_SUBMIT))}\noutput_file_patterns=%.txt\n"
        )
        wanted = {"experiment": "demo", "title": "to be read", "production_stage": "mc", "definition": text}
        ref = self.api("operator", "POST", "requests/", wanted)["ref"]
        self.api("operator", "POST", f"requests/{ref}/file/")
        return str(self.api("approver", "POST", f"requests/{ref}/approve/", {"reason": "go"})["campaign"])


def read(site: Site, path: str, cookie: str, until: float, after: float, seen: Seen) -> None:
    """Do what one reader's browser does until a moment."""
    time.sleep(after)
    line = http.client.HTTPConnection(site.address, timeout=60)
    tag, load = "", True
    while time.monotonic() < until:
        begun = time.monotonic()
        headers = {"Cookie": cookie, **({"If-None-Match": tag} if tag else {})}
        line.request("GET", path if load else f"{path}?part=live", headers=headers)
        answer = line.getresponse()
        answer.read()
        seen.note(time.monotonic() - begun, answer.status, load=load)
        tag, load = answer.headers.get("ETag", tag), False
        time.sleep(max(0.0, EVERY - (time.monotonic() - begun)))


def crowd(site: Site, path: str, cookies: list[str], readers: int, seconds: float) -> Seen:
    """Let so many read for so long; they come within the first five seconds."""
    seen, until = Seen(), time.monotonic() + seconds
    threads = [
        threading.Thread(target=read, args=(site, path, cookies[n % len(cookies)], until, EVERY * n / readers, seen))
        for n in range(readers)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return seen


class Ages:
    """Samples how long ago the last look at the batch system ended, five times a second."""

    def __init__(self, url: str) -> None:
        parts = environ.Env.db_url_config(url)
        self.line = psycopg2.connect(
            dbname=parts["NAME"], user=parts["USER"], password=parts["PASSWORD"] or None, host=parts["HOST"],
            port=parts["PORT"] or None,
        )  # fmt: skip
        self.line.autocommit = True
        self.samples: list[float] = []
        self.going = True
        self.thread = threading.Thread(target=self._sample)

    def __enter__(self) -> Ages:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.going = False
        self.thread.join()
        self.line.close()

    def _sample(self) -> None:
        with self.line.cursor() as cursor:
            while self.going:
                cursor.execute(
                    "SELECT extract(epoch FROM clock_timestamp() - ended_at)::float FROM core_heartbeat"
                    " WHERE loop = 'observe'"
                )
                row = cursor.fetchone()
                if row and row[0] is not None:
                    self.samples.append(row[0])
                time.sleep(0.2)


def ask(address: str, path: str, cookie: str, form: dict[str, str] | None = None) -> float:
    """Ask for a page, or send a form; return how long the answer took, in milliseconds."""
    line = http.client.HTTPConnection(address, timeout=60)
    headers, body = {"Cookie": cookie}, None
    if form is not None:
        headers["Content-Type"], body = "application/x-www-form-urlencoded", urlencode(form)
    begun = time.monotonic()
    line.request("GET" if form is None else "POST", path.replace(" ", "%20"), body, headers)
    answer = line.getresponse()
    answer.read()
    took = 1e3 * (time.monotonic() - begun)
    assert answer.status == (200 if form is None else 303), (path, answer.status)
    line.close()
    return took


def p95(values: list[float]) -> float:
    """Return the 95th percentile."""
    return quantiles(values, n=20)[-1] if len(values) > 1 else values[0]


def say(name: str, value: float, unit: str, reference: float) -> None:
    """Print one figure."""
    line = {"name": name, "value": round(value, 3), "unit": unit, "reference": round(reference, 3)}
    print(json.dumps({**line, "ratio": round(value / reference, 3)}), flush=True)


def main() -> None:
    """Start everything, measure, print, stop everything."""
    options = argparse.ArgumentParser(prog="readers")
    options.add_argument("--readers", type=int, default=200)
    options.add_argument("--seconds", type=float, default=60)
    asked = options.parse_args()
    home = Path(tempfile.mkdtemp(prefix="poms-readers-"))
    from poms_site import embedded

    server = embedded.ensure(None, durable=True)
    site = Site(home)
    try:
        campaign = site.run_campaign(jobs=round(JOBS_A_SECOND * (asked.seconds + 120)))
        cookies = [site.session(role) for role in ROLES]
        experiment, _, key = campaign.partition("/")
        path = f"/e/{experiment}/campaigns/{key}/"
        url = os.environ["DATABASE_URL"]
        time.sleep(5)
        with Ages(url) as quiet:
            alone = crowd(site, path, cookies[:1], 1, min(30.0, asked.seconds))
        with Ages(url) as busy:
            many = crowd(site, path, cookies, asked.readers, asked.seconds)
        state = site.api("operator", "GET", f"campaigns/{campaign}/")["state"]
        print(json.dumps({"readers": asked.readers, "answers": many.statuses, "campaign": state}))
        say("page_p95_ms", 1e3 * p95(many.times), "ms", 1e3 * p95(alone.times))
        say("page_median_ms", 1e3 * median(many.times), "ms", 1e3 * median(alone.times))
        say("page_load_p95_ms", 1e3 * p95(many.loads), "ms", 1e3 * p95(alone.loads))
        say("observe_age_p95_s", p95(busy.samples), "s", p95(quiet.samples))
        say("observe_age_max_s", max(busy.samples), "s", max(quiet.samples))
    finally:
        site.stop()
        if server is not None:
            server.stop()
        shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    main()
