"""Image and compose file: what they name is there, what they set is a setting, no secret and no registry is in them."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.conf import settings
from packaging.requirements import Requirement

from deploy import runtime_lock
from tests.contracts.test_docs import environment_of

HOME = Path(settings.BASE_DIR)
DEPLOY = HOME / "deploy"
FILES = sorted(path for path in DEPLOY.rglob("*") if path.is_file() and path.suffix != ".pyc")
SET_BY_US = {"DATABASE_URL_FILE", "POMS_SECRET_KEY_FILE", "POMS_STATE", "POMS_STATIC"}


def compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    return found


def variables() -> set[str]:
    """Return the names that settings read, each also as the name of a file."""
    read = environment_of(HOME / "poms_site" / "settings.py")
    return {*read, *(f"{name}_FILE" for name in read)}


def sources() -> list[str]:
    """Return what the image copies from the clone."""
    lines = re.findall(r"(?m)^COPY (?!--from)(.+)$", (DEPLOY / "Containerfile").read_text())
    return [word for line in lines for word in line.split()[:-1]]


# --- The image ----------------------------------------------------------------------------------------------------


def test_what_the_image_copies_is_there():
    assert [name for name in sources() if not (HOME / name).exists()] == []


def test_the_image_has_all_of_the_server():
    project = tomllib.loads((HOME / "pyproject.toml").read_text())["tool"]["importlinter"]["root_packages"]
    assert {*project} - {"poms_client"} <= set(sources())
    assert {"manage.py", "templates", "docs", "examples", "CHANGELOG.md"} <= set(sources())


def test_the_image_runs_as_nobody_special_and_installs_only_what_has_a_hash():
    text = (DEPLOY / "Containerfile").read_text()
    last = text.rpartition("\nFROM ")[2]
    assert re.search(r"(?m)^USER poms$", last)
    assert last.index("USER poms") < last.index("CMD")
    assert "--require-hashes" in text
    assert not re.search(r"(?m)^(ADD|ARG (?!BASE=))", text)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(DEPLOY).as_posix())
def test_no_file_names_a_registry_or_holds_a_secret(path):
    text = path.read_text()
    assert not re.search(r"pypi|ghcr\.io|docker\.io|quay\.io|index-url|extra-index|trusted-host", text)
    assert not re.search(r"(?i)(password|secret_key|token)=(?!/)\S+", text)
    assert "-----BEGIN" not in text


# --- The lock of a server -----------------------------------------------------------------------------------------


def test_the_lock_of_a_server_has_what_it_needs_with_hashes_and_nothing_of_developers():
    lock = runtime_lock.entries(runtime_lock.runtime(HOME))
    assert {"django", "gunicorn", "psycopg2-binary", "urllib3", "drf-spectacular-sidecar", "brotli"} <= set(lock)
    assert not {"pytest", "mypy", "playwright", "pythia8mc", "uproot", "typer", "hatchling"} & set(lock)
    whole = (HOME / "requirements.lock").read_text()
    for text, _ in lock.values():
        assert text in whole
        assert "--hash=sha256:" in text


def test_the_lock_of_a_server_is_closed():
    """Whatever a package of it declares as its need here is in it as well."""
    lock = runtime_lock.entries(runtime_lock.runtime(HOME))
    installed = {runtime_lock.normal(one.metadata["Name"]) for one in metadata.distributions()}
    missing = set()
    for name in set(lock) & installed:
        for line in metadata.requires(name) or ():
            need = Requirement(line)
            if need.marker is None or need.marker.evaluate({"extra": ""}):
                missing |= {runtime_lock.normal(need.name)} - set(lock)
    assert missing == set()


def test_a_lock_that_is_too_old_is_refused(tmp_path):
    (tmp_path / "pyproject.toml").write_text('[project]\ndependencies = ["new-thing>=1"]\n')
    (tmp_path / "requirements.lock").write_text(
        "django==5.2 \\\n    --hash=sha256:00\n    # via poms (pyproject.toml)\n"
    )
    with pytest.raises(SystemExit, match="new-thing"):
        runtime_lock.runtime(tmp_path)


# --- The compose file ---------------------------------------------------------------------------------------------


def test_every_variable_of_our_services_is_a_setting():
    ours = {name: one for name, one in compose()["services"].items() if one["image"] == "poms"}
    assert set(ours) == {"migrate", "web", "clock", "workers"}
    for service in ours.values():
        assert set(service["environment"]) == SET_BY_US <= variables()
        assert service["env_file"] == "poms.env"
        assert service["read_only"] and service["cap_drop"] == ["ALL"]


def test_every_variable_of_the_example_is_a_setting():
    lines = (DEPLOY / "poms.env.example").read_text().splitlines()
    names = {line.partition("=")[0] for line in lines if line and not line.startswith("#")}
    assert SET_BY_US <= names <= variables()


def test_what_services_use_is_declared():
    found = compose()
    for service in found["services"].values():
        for secret in service.get("secrets", []):
            assert (secret if isinstance(secret, str) else secret["source"]) in found["secrets"]
        for volume in service.get("volumes", []):
            assert volume.partition(":")[0] in found["volumes"]
        for config in service.get("configs", []):
            assert (DEPLOY / found["configs"][config["source"]]["file"]).is_file()
        for other, how in service.get("depends_on", {}).items():
            wanted = found["services"][other]
            assert how["condition"] != "service_healthy" or "healthcheck" in wanted
    context = DEPLOY / found["x-poms"]["build"]["context"]
    assert (context / found["x-poms"]["build"]["dockerfile"]).is_file()


def test_what_runs_for_long_is_looked_at_and_started_again():
    services = compose()["services"]
    for name, service in services.items():
        if name == "migrate":
            assert service["restart"] == "no"
        else:
            assert service["restart"] == "unless-stopped" and service["healthcheck"], name


def test_a_stop_of_workers_waits_for_a_task():
    grace = compose()["services"]["workers"]["stop_grace_period"]
    assert int(grace.removesuffix("s")) > settings.Q_CLUSTER["timeout"] + 3


# --- The health check of web --------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_web_says_that_it_answers(live_server):
    where = live_server.url.removeprefix("http://")
    command = [sys.executable, "-S", "-E", str(DEPLOY / "web_answers.py"), where]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    away = subprocess.run([*command[:-1], "unix:/nowhere.sock"], capture_output=True, text=True)
    assert away.returncode == 1
    assert "the web process does not answer" in away.stderr
