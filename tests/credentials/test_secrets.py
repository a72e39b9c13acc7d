"""Twenty secrets in all places that POMS touches while a campaign runs: found in no log, page, answer, dump or process."""

from __future__ import annotations

import logging
import os
import re
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from django.db import connection
from django.test import Client
from rest_framework.test import APIClient

from campaigns.models import Campaign, LoginSetup
from integrations.errors import Unavailable
from integrations.models import Credential, LaunchHost
from poms_site import embedded
from tests import builders
from tests.credentials.making import entered, later, token_file
from tests.secrets import PLANTED

pytestmark = pytest.mark.django_db(transaction=True)

MOST_PAGES = 150
PLACES = ("/api/v1/campaigns/", "/api/v1/stages/", "/api/v1/batches/", "/api/v1/submissions/", "/api/v1/jobs/",
          "/api/v1/credentials/", "/api/v1/holds/", "/api/v1/setups/", "/api/v1/files/")  # fmt: skip


def found_in(text: str) -> list[str]:
    """Return which of the secrets can be read in a text."""
    return [planted.name for planted in PLANTED if planted.is_in(text)]


class Watcher:
    """Reads the command lines of all processes, and the environments of launch scripts, as long as it lives."""

    def __init__(self) -> None:
        self.seen: set[str] = set()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def _watch(self) -> None:
        while not self._over.wait(0.02):
            for entry in Path("/proc").glob("[0-9]*"):
                try:
                    line = (entry / "cmdline").read_bytes()
                    self.seen.add(line.decode(errors="replace"))
                    if b"tiny_submit" in line:
                        self.seen.add((entry / "environ").read_bytes().decode(errors="replace"))
                except OSError:  # it has ended meanwhile
                    continue

    def stop(self) -> str:
        self._over.set()
        self._thread.join()
        return "\n".join(self.seen)


@pytest.fixture
def logged(tmp_path: Path) -> Iterator[Path]:
    """Everything that is logged, as the site writes it."""
    path = tmp_path / "poms.log"
    handler = logging.FileHandler(path)
    handler.setFormatter(next(one.formatter for one in logging.getLogger().handlers if one.formatter is not None))
    logging.getLogger().addHandler(handler)
    yield path
    logging.getLogger().removeHandler(handler)


@pytest.fixture
def pages(real_cast: Any) -> Callable[[], dict[str, str]]:
    """Every page that an operator and an administrator get to by links, and every answer of the API about what ran."""

    def crawl() -> dict[str, str]:
        found: dict[str, str] = {}
        for who, start in (("operator", "/e/demo/"), ("administrator", "/admin/")):
            client = Client()
            client.force_login(real_cast.people[who])
            waiting = [start, "/e/demo/campaigns/", "/e/demo/submissions/", "/e/demo/jobs/", "/e/demo/credentials/"]
            while waiting and len(found) < MOST_PAGES:
                address = waiting.pop(0)
                if address in found:
                    continue
                answer = client.get(address)
                text = (
                    b"".join(answer).decode(errors="replace")
                    if answer.streaming
                    else answer.content.decode(errors="replace")
                )
                found[address] = text
                links = re.findall(r'href="((?:/e/demo/|/admin/)[^"#]*)', text)
                waiting += [link.replace("&amp;", "&") for link in links]
        api = APIClient()
        api.force_authenticate(real_cast.operator)
        for place in PLACES:
            listed = api.get(place)
            found[place] = listed.content.decode()
            for row in listed.json()["results"]:
                for tail in ("", "history/", "log/"):
                    address = f"{place}{row.get('ref', 'none')}/{tail}"
                    found[address] = api.get(address).content.decode(errors="replace")
        return found

    return crawl


def dump() -> str:
    """Return the test's database as pg_dump writes it."""
    program = str(embedded.find_install() / "bin" / "pg_dump")
    told = connection.get_connection_params()
    words = [("-h", "host"), ("-p", "port"), ("-U", "user"), ("-d", "dbname")]
    argv = [word for option, name in words if told.get(name) for word in (option, str(told[name]))]
    env = {**os.environ, "PGPASSWORD": str(told.get("password") or "")}
    return subprocess.run([program, *argv], capture_output=True, text=True, check=True, env=env).stdout


def planted_file(folder: Path) -> Path:
    """Write all secrets into a file that only its owner reads."""
    path = folder / "planted"
    path.write_text("\n".join(planted.text for planted in PLANTED) + "\n")
    path.chmod(0o600)
    return path


def test_no_secret_is_stored_shown_or_logged(
    real_cast, local_system, local, drive, logged, pages, tmp_path, monkeypatch
):
    assert len(PLANTED) == 20
    planted, script = planted_file(tmp_path), tmp_path / "ssh"
    # In the worker's own environment, of which scripts get none.
    for number, secret in enumerate(PLANTED):
        monkeypatch.setenv(f"POMS_CREDENTIAL_N{number}", secret.text)
    # In the error text of ssh: one that says all it was ever told, and lets nobody in.
    script.write_text(f"#!/bin/sh\necho 'Permission denied:' >&2\ncat '{planted}' >&2\nexit 255\n")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    there = {"host": "gpvm01", "account": "demopro"}
    LaunchHost.objects.create(
        experiment=real_cast.experiment,
        name="gpvm01",
        address="gpvm01",
        account="demopro",
        home="/var/poms",
        known_hosts="k",
    )
    entered(real_cast, "/opt/token", name="far", launcher="ssh", **there)
    # In a token file, and in the output of the command that renews it.
    token = token_file(tmp_path / "token", later(days=9), jti=PLANTED[0].parts[0])
    entered(real_cast, token, renewal=["sh", "-c", f"cat '{planted}'; exit 1"], asked_by="user:operator")
    # In what a set-up, a launch script and a job print.
    builders.login_setup(real_cast)
    job = f'cat {planted}; cat {planted} >&2; echo "$KEYS" > "$NAME"'
    LoginSetup.objects.update(setup=f"cat '{planted}'\nenv\nexport TINY_JOB='{job}'\n")
    watcher = Watcher()
    campaign = builders.approved_campaign(real_cast)
    drive(lambda: Campaign.objects.get(pk=campaign.pk).state == "succeeded", seconds=900,
          names=("credentials", "plan", "launch", "observe", "settle", "recover", "act", "notify"))  # fmt: skip
    # In what is logged, by us and by libraries.
    for secret in PLANTED:
        structlog.get_logger().warning("got", said=secret.text, deep=[{"token": secret.text}])
        logging.getLogger("some.library").error("it said %s", secret.text)
        try:
            raise Unavailable(f"the far side said {secret.text}")
        except Unavailable:
            structlog.get_logger().exception("failed")
    _say_in_forms(real_cast)
    shown, said = pages(), logged.read_text()
    processes, dumped = watcher.stop(), dump()

    # They were there: where they lie they stay as they are.
    stored = b"".join(path.read_bytes() for path in local.home.rglob("*output.head")).decode()
    assert len(found_in(stored)) == len(PLANTED)
    assert "it said" in said
    assert "tiny_submit" in processes
    assert "submissions_submission" in dumped
    logs = [text for address, text in shown.items() if address.endswith("/log/")]
    assert len(logs) >= 6
    assert sum("****" in text for text in logs) >= 6
    row = Credential.objects.get(name="token")
    assert "[secret]" in row.trouble
    assert "[secret]" in Credential.objects.get(name="far").error
    # And nowhere else.
    assert found_in(said) == []
    assert found_in(processes) == []
    assert {address: names for address, text in shown.items() if (names := found_in(text))} == {}
    assert found_in(dumped) == []
    print(
        f"\n20 secrets: {len(shown)} pages and answers, {len(said)} signs of logs, {len(dumped)} of the dump: found 0"
    )


def _say_in_forms(cast: Any) -> None:
    """Type each secret into the forms that keep text: none of them takes it, or says it again."""
    api, browser, admin = APIClient(), Client(), Client()
    api.force_authenticate(cast.operator)
    browser.force_login(cast.operator)
    admin.force_login(cast.administrator)
    campaign = Campaign.objects.get()
    for number, secret in enumerate(PLANTED):
        bodies: list[tuple[str, dict[str, Any]]] = [
            ("/api/v1/setups/", {"experiment": "demo", "name": f"n{number}", "setup": secret.text}),
            ("/api/v1/jobtypes/", {"experiment": "demo", "name": f"n{number}", "launch_script": "x", "parameters": [["-p", secret.text]]}),
            ("/api/v1/requests/", {"experiment": "demo", "title": "t", "production_stage": "mc", "definition": f"# {secret.text}\n"}),
            (f"/api/v1/campaigns/{campaign.ref}/hold/", {"reason": secret.text}),
        ]  # fmt: skip
        answers = [api.post(address, body, format="json") for address, body in bodies]
        answers.append(browser.post(f"/e/demo/campaigns/c{campaign.pk}/hold/", {"reason": secret.text}))
        body = {
            "experiment": cast.experiment.pk, "name": f"n{number}", "kind": "scitoken", "path": "/opt/x", "reason": "r",
            "settings": f"vault = {secret.text}", "renewal": secret.text,
        }  # fmt: skip
        answers.append(admin.post("/admin/integrations/credential/add/", body))
        for answer in answers:
            assert answer.status_code == 422, (secret.name, answer.status_code, answer.content[:300])
            assert found_in(answer.content.decode()) == [], secret.name
    assert not LoginSetup.objects.filter(name__startswith="n").exists()


def test_the_search_itself_would_find_each_of_them():
    for secret in PLANTED:
        assert found_in(f"x{secret.text}y") == [secret.name]
