"""As a new administrator: from docs/operate alone, on an empty machine, to a production on a real HTCondor pool by real ssh.

What is typed stands on those pages; exchanged are names, addresses and secrets that are others here. The machine is a
namespace of mounts (tests/servers/machine.py), and `systemctl` starts the command lines of the units itself.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests
import urllib3.connection
from urllib3.util import connection as lines_of_urllib3

from poms_site import embedded
from tests import certifying
from tests.credentials.making import jwt, later
from tests.servers import htcondor, machine, nginx, postgres, sshd
from tests.servers.machine import Machine
from tests.servers.openid import Provider, Surfer
from tests.servers.units import Units
from tests.walks import shell
from tests.walks.pages import HOME, Block, blocks, text_of

pytestmark = [pytest.mark.scale, pytest.mark.filterwarnings("ignore::urllib3.exceptions.HTTPWarning")]
SITE, HOST = "poms.example.org", "gpvm01.example.org"
SITE_AT, HOST_AT = "127.77.0.2", "127.77.0.3"  # of loopback; nginx listens on the ports that it is shipped with
IN_POMS = "/opt/poms"
EVENTS = 800
# Fewer events, none of the planted faults, and to the pool.
SMALLER = {
    "events=20000": f"events={EVENTS}", "cs_split_type=nevents(5000)": f"cs_split_type=nevents({EVENTS // 2})",
    "events_per_job=1000": f"events_per_job={EVENTS // 4}", ', ["--crash-once ", "7"]': "",
    ', ["--hungry ", "12"], ["--hungry-mb ", "400"], ["--corrupt-once ", "3"]': "",
    '["--stage ': '["--to ", "htcondor"], ["--stage ',
}  # fmt: skip
SOON_S = 900.0
# Of what the doctor looks at, what it says something of in any case.
LOOKED_AT = {"settings", "disk", "database", "tables", "clocks", "loops", "batch-systems", "certificates"}


def said(page: str, words: str) -> Block:
    """Return the one block of a page of operating that has these words."""
    (found,) = [block for block in blocks(f"docs/operate/{page}.md") if words in block.text]
    return found


def exchanged(text: str, places: Mapping[str, str]) -> str:
    """Put what is here in the place of what the docs have; each must be there, else it is not the docs that are tried."""
    for theirs, ours in places.items():
        assert theirs in text, f"{theirs} is not in: {text}"
        text = text.replace(theirs, ours)
    return text


class Administrator:
    """Types what the pages of operating say, and fills in what a page cannot know."""

    def __init__(self, host: Machine, server: postgres.Server, provider: Provider) -> None:
        self.machine, self.server, self.provider = host, server, provider
        self.units = Units(host, {"nginx": ["nginx", "-g", "daemon off;"]})
        self.password = secrets.token_urlsafe(20)
        self.people: dict[str, str] = {}  # whose token is which

    def types(self, block: Block, places: Mapping[str, str] | None = None, told: str = "") -> list[str]:
        """Type a block line by line; return what each printed."""
        text = exchanged(shell.typed(block).replace("\\\n", " "), places or {})
        answers = []
        for line in filter(None, (line.strip() for line in text.splitlines())):
            if line.startswith("systemctl"):
                self.units.control(line.partition("#")[0])
                answers.append("")
            elif not line.startswith("cd "):  # all is typed there, but for what comes before it is there
                folder = IN_POMS if self.machine.place(IN_POMS).is_dir() else "/"
                answers.append(self.machine.type(line, folder=folder, told=told))
        return answers

    def sets(self, text: str, *without: str) -> None:
        """Write lines into the settings of the installation, and take others away."""
        file = self.machine.place("/etc/poms/poms.env")
        kept = [line for line in file.read_text().splitlines() if line not in without]
        assert len(kept) + len(without) == len(file.read_text().splitlines()), without
        file.write_text("\n".join([*kept, text.strip(), ""]))

    def knows_models(self, text: str) -> str:
        """Run Python as the page on people says."""
        self.machine.place("/run/typed.py").write_text(text)
        *settings, line = shell.typed(said("people", "manage.py shell")).splitlines()
        return self.machine.type(f"{'; '.join(settings)}; {line} < /run/typed.py", folder=IN_POMS)

    def poms(self, line: str, who: str, told: str = "", may_fail: bool = False) -> str:
        """Type a line with `poms` as somebody, on their own machine."""
        person = {"POMS_URL": f"https://{SITE}", "POMS_TOKEN": self.people[who],
                  "REQUESTS_CA_BUNDLE": "/etc/poms/tls/certificate.pem", "COLUMNS": "200",
                  "PATH": f"{self.machine.home}/client/bin:{self.machine.environment['PATH']}"}  # fmt: skip
        done = self.machine.tried(line, folder=IN_POMS, told=told, **person)
        assert may_fail or done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}\n{self.troubles()}"
        return done.stdout + done.stderr

    def doctor(self) -> dict[str, list[str]]:
        """Return what the doctor says is not well, by check."""
        line = said("deploying", "manage.py doctor").text.splitlines()[-1]
        assert line.endswith("manage.py doctor")
        done = self.machine.tried(f"set -a; . /etc/poms/poms.env; set +a; {line} --json", folder=IN_POMS)
        found: dict[str, list[str]] = {}
        findings = [json.loads(one) for one in done.stdout.splitlines()]
        assert {one["check"] for one in findings} >= LOOKED_AT, done.stderr
        for one in findings:
            if one["level"] != "well":
                found.setdefault(one["check"], []).append(one["text"])
        return found

    def troubles(self) -> str:
        """Return what services have said of errors."""
        texts = [self.units.log(name).read_text(errors="replace") for name in self.units.running]
        bad = [
            line for text in texts for line in text.splitlines() if re.search(r'"level": ?"(warning|error)|Error', line)
        ]
        return "\n".join(bad[-20:])


@pytest.fixture(scope="module")
def pool() -> Iterator[htcondor.Pool]:
    """The pool of the grid."""
    if why := machine.is_possible():
        pytest.skip(why)
    with htcondor.running(slots=4) as found:
        yield found


@pytest.fixture
def administrator(pool: htcondor.Pool, monkeypatch: pytest.MonkeyPatch) -> Iterator[Administrator]:
    """Somebody with an empty machine, a database host and a provider; the name of the site leads to the machine for us."""
    nginx.installed()
    sshd.installed()
    connect = lines_of_urllib3.create_connection

    def to_the_site(address: tuple[str, int], *more: Any, **words: Any) -> Any:
        return connect((SITE_AT, address[1]) if address[0] == SITE else address, *more, **words)

    monkeypatch.setattr(urllib3.connection.connection, "create_connection", to_the_site)
    with ExitStack() as ends:
        server = postgres.Server()
        ends.callback(server.remove)
        server.start(listen_addresses="127.0.0.1")
        host = Machine()
        ends.callback(host.remove)
        provider = Provider()
        ends.callback(provider.stop)
        made = Administrator(host, server, provider)
        ends.callback(made.units.stop_all)
        yield made


def test_the_dimuon_production_runs_from_the_docs_of_operating_alone(administrator, pool):
    install(administrator)
    put_nginx_in_front(administrator)
    let_people_sign_in(administrator)
    let_people_come(administrator)
    with prepared_host(administrator) as port:
        enter_host_and_pool(administrator, pool, port)
        keep_a_credential(administrator)
        produce(administrator)
        see_what_came(administrator, pool)
        assert administrator.doctor() == {}
        assert administrator.units.ended() == {}
    back_up(administrator)


def install(admin: Administrator) -> None:
    """installing.md and deploying.md: database, clone, account, packages, settings, units, tables, start."""
    server, host = admin.server, admin.machine
    # The account that owns this server has the name that the docs give to the role.
    line = exchanged(said("installing", "CREATE ROLE").text, {
        "'…'": f"'{admin.password}'", "ROLE poms": "ROLE keeper", "DATABASE poms OWNER poms": "DATABASE kept OWNER keeper",
    })  # fmt: skip
    on_database_host(admin, line)
    with (server.cluster / "pg_hba.conf").open("a") as rules:
        rules.write("host kept keeper 127.0.0.1/32 scram-sha-256\n")
    server.ask("SELECT pg_reload_conf()")
    url = f"postgres://keeper:{admin.password}@127.0.0.1:{server.port}/kept"
    admin.types(said("deploying", "runtime_lock.py > runtime.lock"), {
        "https://git.example.org/poms.git": str(HOME), "postgres://poms:…@db.example.org:5432/poms": url,
    })  # fmt: skip
    assert (host.place(IN_POMS) / "docs").is_dir()
    files = host.home / "data"
    files.mkdir()
    host.type(f"chown poms:poms {files}")
    admin.sets(f"POMS_LOCAL_FILES={files}")
    host.names(SITE_AT, SITE)
    host.names(HOST_AT, HOST)
    *_, checked, migrated = said("installing", "manage.py check --tag database").text.splitlines()
    assert "migrate" in migrated
    host.type(f"set -a; . /etc/poms/poms.env; set +a; {checked}", folder=IN_POMS)
    *start, doctor = shell.typed(said("deploying", "manage.py doctor")).splitlines()
    assert "manage.py doctor" in doctor
    admin.types(Block("", 0, "sh", "\n".join(start)))
    admin.units.await_file("/run/poms/web.sock", "poms-web")


def put_nginx_in_front(admin: Administrator) -> None:
    """deploying.md, nginx: the certificate, the configuration as it is shipped but for the address, the group."""
    folder = admin.machine.home / "given"
    folder.mkdir()
    certificate, key = certifying.self_signed(folder, SITE, days=90)
    key = key.rename(folder / "certificate.key")
    shipped = admin.machine.place(f"{IN_POMS}/deploy/nginx.conf")
    shipped.write_text(exchanged(shipped.read_text(), {
        "listen 443 ssl": f"listen {SITE_AT}:443 ssl", "listen 80": f"listen {SITE_AT}:80",
    }))  # fmt: skip
    admin.types(said("deploying", "usermod --append"), {" certificate.pem certificate.key ": f" {certificate} {key} "})
    await_site(admin)
    plain = requests.get(f"http://{SITE}/", allow_redirects=False, timeout=60)
    assert (plain.status_code, plain.headers["Location"]) == (301, f"https://{SITE}/")
    assert set(admin.doctor()) == {"batch-systems"}, "as deploying.md says"


def await_site(admin: Administrator) -> None:
    """Wait until the site answers over TLS, with its certificate checked, that it may have requests."""
    certificate, deadline = str(admin.machine.place("/etc/poms/tls/certificate.pem")), time.monotonic() + 180
    while True:
        try:
            if requests.get(f"https://{SITE}/readyz", verify=certificate, timeout=60).status_code == 200:
                return
        except (requests.ConnectionError, requests.Timeout) as error:
            assert time.monotonic() < deadline, error
        assert time.monotonic() < deadline and not admin.units.ended(), (admin.units.ended(), admin.troubles())
        time.sleep(0.5)


def let_people_sign_in(admin: Administrator) -> None:
    """people.md: an experiment, the provider, roles from groups."""
    admin.knows_models(
        exchanged(said("people", "membership.found").text, {'"nova", title="NOvA"': '"demo", title="Demo"'})
    )
    host = admin.machine
    given = {"oidc-secret": "a secret", "roles.json": said("people", '"/poms/admin": "administrator"').text}
    for name, text in given.items():
        (host.home / "given" / name).write_text(text)
    *exports, check = said("people", "export POMS_OIDC_ISSUER").text.splitlines()
    text = exchanged("\n".join(exports), {
        "https://idp.example.org/realms/lab": admin.provider.url, "=wlcg.groups": "=groups", " wlcg.groups": "",
    })  # fmt: skip
    each = re.sub(r" (?=POMS_\w+=)", "\n", text.replace("export ", ""))
    admin.sets(each, "POMS_LOCAL_PASSWORDS=1")
    admin.types(said("people", "install -m 0640 -g poms oidc-secret"), {
        name: f"{host.home}/given/{name}" for name in given
    })  # fmt: skip
    host.type(f"set -a; . /etc/poms/poms.env; set +a; runuser -u poms -- {check}", folder=IN_POMS)
    await_site(admin)


def let_people_come(admin: Administrator) -> None:
    """people.md: each signs in and makes a token; one becomes an approver; the client is installed alone."""
    host = admin.machine
    groups = {"ada": ["/demo", "/demo/production"], "bob": ["/demo"], "eve": ["/demo"], "me": ["/poms/admin"]}
    for name, held in groups.items():
        admin.provider.knows(f"{name}-1", preferred_username=name, name=name.title(), groups=held)
        admin.people[name] = token_of(admin, name)
    line = said("people", "membership.register_approver(bob").text.splitlines()[0]
    admin.knows_models(
        "from experiments.logic import membership\n"
        'bob, demo = User.objects.get(username="bob"), Experiment.objects.get(name="demo")\n'
        f'membership.join(bob, "approver", demo)\n{exchanged(line, {"nova": "demo"})}\n'
    )
    host.type(
        f"python3.11 -m venv {host.home}/client && {host.home}/client/bin/pip install --quiet ./client", folder=IN_POMS
    )
    assert "administrator" in admin.poms("poms whoami", "me")
    assert "operator" in admin.poms("poms whoami", "ada")


def token_of(admin: Administrator, name: str) -> str:
    """Sign in through nginx and the provider as a browser does, and make a token on the account page."""
    browser = Surfer(f"https://{SITE}")
    browser.trust_env = False  # else what this machine trusts goes before
    browser.verify = str(admin.machine.place("/etc/poms/tls/certificate.pem"))
    page = browser.sign_in(f"{name}-1")
    assert (page.status_code, page.url) == (200, f"{browser.site}/account/"), page.text[-2000:]
    form = re.search(r'action="/account/tokens/".*?name="csrfmiddlewaretoken" value="(\w+)"', page.text, re.DOTALL)
    assert form, page.text[-3000:]
    made = browser.post(
        f"{browser.site}/account/tokens/", data={"csrfmiddlewaretoken": form[1], "name": "walk", "days": "1"},
        headers={"Referer": page.url},
    )  # fmt: skip
    secret = re.search(r"poms_[\w-]{40,}", made.text)
    assert made.status_code == 201 and secret, made.text[-2000:]
    return secret[0]


@contextmanager
def prepared_host(admin: Administrator) -> Iterator[int]:
    """launch-hosts.md, preparing a host: an account, a folder, the key; its sshd runs while the block lasts."""
    host = admin.machine
    # By another name root: the commands of the pool here enter its folder, which only root can.
    # A password that nobody can type: an account without any is locked for a sshd without PAM.
    host.type("useradd --non-unique --uid 0 --home-dir /var/lib/mcprod --create-home --password '*' mcprod")
    host.type("mkdir -p /run/sshd")
    (host.home / "scratch").mkdir()
    home = host.home / "sshd"
    home.mkdir()
    with sshd.running(home, HOST_AT, within=host.enter()) as server:
        (made,) = re.findall(r"`(ssh-keygen [^`]+)`", text_of("docs/operate/launch-hosts.md"))
        host.type(made, folder="/run")
        restrict = exchanged(said("launch-hosts", "restrict,from").text, {
            "192.0.2.10,192.0.2.11": "127.0.0.0/8",
            "ssh-ed25519 AAAA… poms": host.place("/run/mcprod.pub").read_text().strip(),
        })  # fmt: skip
        (home / "authorized").write_text(restrict)
        key = said("launch-hosts", "echo POMS_CREDENTIAL_MCPROD_FILE")
        admin.types(key, {" mcprod /var/lib/poms/mcprod\n": " /run/mcprod /var/lib/poms/mcprod\n"})
        await_site(admin)
        yield server.port


def enter_host_and_pool(admin: Administrator, pool: htcondor.Pool, port: int) -> None:
    """launch-hosts.md and batch-htcondor.md: the host is entered and tried, so is the pool; then the set-up."""
    host = admin.machine
    added, tried, *_ = shell.typed(said("launch-hosts", "poms host add")).replace("\\\n", " ").splitlines()
    admin.poms(exchanged(added, {
        "ssh-keyscan gpvm01.example.org": f"ssh-keyscan -p {port} {HOST} 2> /dev/null",
        "--home /scratch/poms": f"--home {host.home}/scratch/poms --set port:={port}",
    }), "me")  # fmt: skip
    admin.poms(tried, "me")
    given = host.home / "given" / "mcprod.token"
    given.write_text((pool.home / "client" / "poms").read_text())
    admin.types(said("batch-htcondor", "tokens.d/mcprod"), {" mcprod.token ": f" {given} "})
    text = exchanged(said("batch-htcondor", "SEC_TOKEN_DIRECTORY = /etc/poms/tokens.d").text, {
        "collector.example.org:9618": pool.collector, "DOMAIN = example.org": f"DOMAIN = {htcondor.DOMAIN}",
    })  # fmt: skip
    host.place("/etc/poms/condor_config").write_text(text)
    added, tried = shell.typed(said("batch-htcondor", "poms system add")).replace("\\\n", " ").splitlines()
    admin.poms(exchanged(added, {
        "schedd01.example.org": pool.schedds[0], "collector.example.org:9618": pool.collector,
    }), "me")  # fmt: skip
    admin.poms(tried, "me")
    made = shell.typed(said("launch-hosts", "poms setup create")).replace("\\\n", " ").strip()
    # The experiment's own Python, in which the generator is: that of the tests, as the pool sees it.
    python = Path(os.path.realpath(sys.prefix), "bin", "python")
    environment = host.home / "dimuon-setup.sh"
    environment.write_text(
        f'PATH="{host.place(IN_POMS)}/examples/dimuon:{pool.bin}:$PATH"; POMS_PYTHON="{python}"\n'
        "export PATH POMS_PYTHON\n"
    )
    admin.poms(exchanged(made, {
        "--name production": "--name local", "source /cvmfs/demo.example.org/setup.sh": f"source {environment}",
    }), "ada")  # fmt: skip


def keep_a_credential(admin: Administrator) -> None:
    """credentials.md: the token with which the experiment's launches run, on the launch host."""
    host = admin.machine
    token = host.home / "scratch" / "demopro.token"
    token.write_text(f"{jwt(later(days=10))}\n")
    line = shell.typed(said("credentials", "poms credential add")).replace("\\\n", " ").strip()
    made = admin.poms(exchanged(f"{line} --quiet", {
        "--account demopro": "--account mcprod", "/opt/demopro/demopro.token": str(token),
    }).removeprefix("$ "), "me")  # fmt: skip
    admin.poms(f"poms credential check {made.split()[0]}", "ada")  # operators renew and check


def produce(admin: Administrator) -> None:
    """Ask for the example's production, let the approver decide, and watch it to its end."""
    text = exchanged((HOME / "examples/dimuon/dimuon.ini").read_text(), SMALLER)
    given = admin.machine.home / "given" / "dimuon.ini"
    given.write_text(text)
    made = admin.poms(f"poms request create --experiment demo --title 'Z to two muons' --production-stage mc"
                      f" --definition {given} --set hours_per_file=0.001 --quiet", "eve")  # fmt: skip
    ref = re.search(r"demo/r\d+", made)
    assert ref, made
    admin.poms(f"poms request check {ref[0]}", "eve")
    admin.poms(f"poms request file {ref[0]}", "eve")
    admin.poms(f"poms request approve {ref[0]} --reason 'looks right'", "bob")
    admin.poms(f"poms campaign watch demo/c1 --timeout {SOON_S:.0f}", "eve", may_fail=True)


def see_what_came(admin: Administrator, pool: htcondor.Pool) -> None:
    """Ask POMS, the disk and the pool what became of the production."""
    told = admin.poms("poms campaign show demo/c1; poms campaign history demo/c1", "eve")
    shown = json.loads(admin.poms("poms campaign show demo/c1 --json", "eve"))
    assert state_of(shown) == "succeeded", f"{told}\n{admin.troubles()}\n{pool.last_words()}"
    jobs = json.loads(admin.poms("poms job list --experiment demo --json", "eve"))
    assert len(jobs) == 4 + 4 + 1
    assert {job["state"] for job in jobs} == {"succeeded"}
    listed = json.loads(admin.poms("poms file list --experiment demo --name dimuon_zpeak.json --json", "eve"))
    assert len(listed) == 1
    (found,) = (admin.machine.home / "data").rglob("dimuon_zpeak.json")
    assert json.loads(found.read_text())
    history = pool.run("condor_history", "-af", "JobStatus")
    assert history.split() == ["4"] * 9, "the pool ran each of them once, to its end"


def state_of(shown: Any) -> str:
    """Return the state of a campaign that `poms campaign show --json` gave."""
    one = shown[0] if isinstance(shown, list) else shown
    return str(one["state"])


def on_database_host(admin: Administrator, line: str, **environment: str) -> str:
    """Type a line as the account of PostgreSQL on its host."""
    server = admin.server
    folder = str(server.home)
    done = subprocess.run(
        ["bash", "-c", line], capture_output=True, text=True, cwd=folder, **server.who,
        env={"PATH": f"{server.programs}:/usr/bin:/bin", "PGHOST": folder, "PGPORT": str(server.port), "PGUSER": embedded.USER,
             **environment},
    )  # fmt: skip
    assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
    return done.stdout


def back_up(admin: Administrator) -> None:
    """backup.md: a base backup that is checked at once; restored on another port, with the archive, its ledger is whole."""
    server, base = admin.server, admin.server.home / "base"
    base.mkdir()
    os.chown(base, *server.owner)
    line = said("backup", "pg_verifybackup").text.strip()
    # That of the wheel crashes, whatever it is asked; what it would look at is restored below all the same.
    if "PostgreSQL" not in on_database_host(admin, "pg_verifybackup --version 2> /dev/null || true"):
        line = line.partition(" && ")[0]
    on_database_host(admin, exchanged(line, {"/backup/base": str(base)}))
    server.ask("SELECT pg_switch_wal()")
    (kept,) = base.iterdir()
    # Without a moment, to lose as little as can be.
    restore, _, promote = said("backup", "restore_command").text.strip().splitlines()
    with (kept / "postgresql.conf").open("a") as configuration:
        configuration.write(exchanged(f"{restore}\n{promote}\n", {"/backup/wal": str(server.archive)}))
    on_database_host(admin, f"touch {kept}/recovery.signal")
    port = server.serve_beside(kept, listen_addresses="127.0.0.1", archive_mode="off")
    url = f"postgres://keeper:{admin.password}@127.0.0.1:{port}/kept"
    looks = re.findall(
        r"`manage.py (check --tag database --database default|verify_ledger)`", text_of("docs/operate/backup.md")
    )
    assert len(looks) == 2
    for look in looks:
        admin.machine.type(
            f"unset DATABASE_URL_FILE; DATABASE_URL={url} .venv/bin/python manage.py {look}", folder=IN_POMS
        )
