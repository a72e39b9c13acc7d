"""nginx with the configuration that we ship: TLS, what it lets clients say of themselves, limits, static files."""

from __future__ import annotations

import http.client
import json
import os
import re
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.conf import settings
from django.db import connection

from poms_site.middleware import FORM_AROUND
from tests import certifying
from tests.contracts.test_docs import environment_of
from tests.servers import nginx
from tests.servers.nginx import Nginx

HOME = Path(settings.BASE_DIR)
SHIPPED = (HOME / "deploy" / "nginx.conf").read_text()
DEFAULTS = environment_of(HOME / "poms_site" / "settings.py")
BODY_LIMIT = DEFAULTS["POMS_BODY_LIMIT"]
UPLOAD_LIMIT = DEFAULTS["POMS_UPLOAD_QUOTA"] + FORM_AROUND
# In the place of POMS: says what has come to it.
STAND_IN = """
import json
def application(environ, start_response):
    size = len(environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0)))
    said = {key: value for key, value in environ.items() if key.startswith("HTTP_")}
    body = json.dumps({"path": environ["PATH_INFO"], "size": size, "headers": said}).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]
"""


def test_the_limits_are_those_of_the_settings():
    assert [int(found) for found in re.findall(r"client_max_body_size (\d+);", SHIPPED)] == [BODY_LIMIT, UPLOAD_LIMIT]
    waits = re.search(r"proxy_read_timeout (\d+)s;", SHIPPED)
    assert waits and int(waits[1]) > DEFAULTS["POMS_STATEMENT_SECONDS"]


@contextmanager
def fronted(home: Path, serve: Sequence[str], environment: Mapping[str, str]) -> Iterator[tuple[Nginx, Path]]:
    """Run a web process on a socket in a folder, and nginx in front of it; give the certificate, too."""
    nginx.installed()
    certificate, key = certifying.self_signed(home)
    (home / "root" / "static").mkdir(parents=True)
    (home / "root" / "static" / "poms.css").write_text("body {}\n")
    with (home / "web.log").open("wb") as log:
        web = subprocess.Popen(serve, cwd=home, env=dict(environment), stderr=log)
    try:
        deadline = time.monotonic() + 60
        while not (home / "web.sock").exists():
            assert web.poll() is None and time.monotonic() < deadline, (home / "web.log").read_text()
            time.sleep(0.05)
        places = {
            "/etc/poms/tls/certificate.pem": str(certificate), "/etc/poms/tls/certificate.key": str(key),
            "/run/poms/web.sock": f"{home}/web.sock", "root /opt/poms;": f"root {home}/root;",
        }  # fmt: skip
        with nginx.running(home, SHIPPED, places) as ports:
            yield ports, certificate
    finally:
        web.terminate()
        web.wait(60)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Nginx, Path]]:
    """Run the stand-in behind nginx."""
    home = tmp_path_factory.mktemp("nginx")
    (home / "stand_in.py").write_text(STAND_IN)
    serve = [sys.executable, "-m", "gunicorn", "stand_in", "--bind", f"unix:{home}/web.sock", "--no-control-socket"]
    with fronted(home, serve, os.environ) as found:
        yield found


def ask(site: tuple[Nginx, Path], method: str, path: str, *, body: bytes = b"", **headers: str) -> tuple[int, Any]:
    """Ask over TLS, with the certificate checked; return the status, and what came as JSON or as bytes."""
    ports, certificate = site
    context = ssl.create_default_context(cafile=str(certificate))
    line = http.client.HTTPSConnection("localhost", ports.tls, timeout=30, context=context)
    try:
        line.request(method, path, body or None, {name.replace("__", "-"): value for name, value in headers.items()})
        answer = line.getresponse()
        read = answer.read()
        kind = answer.headers.get_content_type()
        return answer.status, json.loads(read) if kind == "application/json" else read
    finally:
        line.close()


@pytest.mark.live
def test_what_is_plain_is_sent_to_tls(site):
    line = http.client.HTTPConnection("127.0.0.1", site[0].plain, timeout=30)
    line.request("GET", "/e/demo/?a=1", headers={"Host": "poms.example.org"})
    answer = line.getresponse()
    assert (answer.status, answer.headers["Location"]) == (301, "https://poms.example.org/e/demo/?a=1")
    line.close()


@pytest.mark.live
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of asking for it
def test_old_tls_is_refused(site):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    line = http.client.HTTPSConnection("127.0.0.1", site[0].tls, timeout=30, context=context)
    with pytest.raises(OSError):
        line.request("GET", "/")
    line.close()


@pytest.mark.live
def test_what_a_client_says_of_itself_does_not_reach_us(site):
    lies = {
        "X__Forwarded__Proto": "http", "X_Forwarded_Proto": "http", "X__Forwarded__For": "192.0.2.1",
        "X__Forwarded__Host": "evil.example.org", "Forwarded": "for=192.0.2.1;proto=http",
        "X__SSL__Client__Cert": "made-up", "Authorization": "Bearer mine",
    }  # fmt: skip
    status, said = ask(site, "GET", "/api/v1/me/", **lies)
    assert (status, said["path"]) == (200, "/api/v1/me/")
    headers = said["headers"]
    assert headers["HTTP_X_FORWARDED_PROTO"] == "https"
    assert headers["HTTP_X_FORWARDED_FOR"] == "127.0.0.1"
    assert headers["HTTP_HOST"] == "localhost"
    assert headers["HTTP_AUTHORIZATION"] == "Bearer mine"
    assert not {"HTTP_X_FORWARDED_HOST", "HTTP_FORWARDED", "HTTP_X_SSL_CLIENT_CERT"} & set(headers)


@pytest.mark.live
@pytest.mark.parametrize(
    ("path", "limit"),
    [("/api/v1/definitions/", BODY_LIMIT), ("/api/v1/uploads/", UPLOAD_LIMIT), ("/e/demo/uploads/", UPLOAD_LIMIT)],
)
def test_a_body_that_is_too_large_is_refused(site, path, limit):
    status, said = ask(site, "POST", path, body=b"x" * limit)
    assert (status, said["size"]) == (200, limit)
    assert ask(site, "POST", path, body=b"", **{"Content__Length": str(limit + 1)})[0] == 413


@pytest.mark.live
def test_static_files_come_from_the_disk_and_else_from_us(site):
    assert ask(site, "GET", "/static/poms.css") == (200, b"body {}\n")
    status, said = ask(site, "GET", "/static/other.css")
    assert (status, said["path"]) == (200, "/static/other.css")
    assert ask(site, "GET", "/static/../web.sock")[0] in (200, 400)  # never a file: we are asked, or it is refused


@pytest.mark.live
@pytest.mark.django_db(transaction=True)
def test_poms_itself_as_its_unit_starts_it(tmp_path):
    """With secrets as files: cookies are for TLS only, HSTS comes from POMS, and the doctor finds the settings well."""
    server = urlsplit(settings.DATABASE_URL)  # the folder of a socket is a part of its path, so only the last word goes
    name_there = f"{server.path.rpartition('/')[0]}/{connection.settings_dict['NAME']}"
    database = server._replace(path=name_there).geturl()
    for name, text in (("database_url", database), ("secret_key", "k" * 50)):
        (tmp_path / name).write_text(text)
    environment = {
        "PATH": os.environ["PATH"], "PYTHONPATH": str(HOME), "POMS_STATE": str(tmp_path / "state"),
        "POMS_HOSTS": "localhost,poms.example.org", "POMS_HTTPS": "1", "POMS_LOCAL_PASSWORDS": "1",
        "DATABASE_URL_FILE": str(tmp_path / "database_url"), "POMS_SECRET_KEY_FILE": str(tmp_path / "secret_key"),
    }  # fmt: skip
    (tmp_path / "state").mkdir()
    unit = (HOME / "deploy" / "systemd" / "poms-web.service").read_text()
    started = re.search(r"(?m)^ExecStart=\S+/gunicorn (.+)$", unit)
    assert started
    words = started[1].replace("/run/poms/web.sock", f"{tmp_path}/web.sock").split()
    with fronted(tmp_path, [sys.executable, "-m", "gunicorn", *words], environment) as (ports, certificate):
        context = ssl.create_default_context(cafile=str(certificate))
        line = http.client.HTTPSConnection("localhost", ports.tls, timeout=60, context=context)
        line.request("GET", "/sign-in/")
        answer = line.getresponse()
        assert (answer.status, b"POMS" in answer.read()) == (200, True)
        assert answer.headers["Strict-Transport-Security"].startswith("max-age=31536000")
        assert all("Secure" in cookie for cookie in answer.headers.get_all("Set-Cookie") or ())
        line.request("GET", "/static/poms/tokens.css")
        answer = line.getresponse()
        assert (answer.status, answer.headers.get_content_type()) == (200, "text/css")
        line.close()
    doctor = [sys.executable, str(HOME / "manage.py"), "doctor", "--strict"]
    for name in ("settings", "database", "tables", "clocks", "disk"):
        doctor += ["--only", name]
    done = subprocess.run(doctor, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
