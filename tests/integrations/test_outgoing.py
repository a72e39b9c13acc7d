"""Where POMS opens a connection: two hundred addresses that lead elsewhere, and not one connection there (T23).

Every connection of this process is looked at where the socket opens it, and real servers stand where such an address would
arrive: nothing may come to them.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from integrations import certificates, http, process
from integrations.errors import OutsideError, Refused
from integrations.people import openid
from integrations.probes import git

# Inside, as people and machines write it: loopback, metadata of clouds, private networks, what is nowhere.
LOOPBACK = ["127.0.0.1", "127.1", "127.0.1", "2130706433", "0x7f000001", "0x7f.0.0.1", "0177.0.0.1", "017700000001", "0", "0.0.0.0",
            "127.127.127.127", "localhost", "LOCALHOST", "localhost.", "127.0.0.1."]  # fmt: skip
METADATA = ["169.254.169.254", "2852039166", "0xa9fea9fe", "0xa9.0xfe.0xa9.0xfe", "0251.0376.0251.0376", "169.254.43518",
            "025177524776", "100.100.100.200"]  # fmt: skip
PRIVATE = ["10.0.0.1", "10.1", "172.16.0.1", "192.168.0.1", "192.168.1", "100.64.0.1", "198.18.0.1", "192.0.2.1", "224.0.0.1",
           "239.255.255.250", "255.255.255.255", "240.0.0.1"]  # fmt: skip
SIX = ["[::1]", "[::]", "[0:0:0:0:0:0:0:1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::ffff:169.254.169.254]", "[::ffff:a9fe:a9fe]",
       "[::127.0.0.1]", "[::7f00:1]", "[64:ff9b::7f00:1]", "[64:ff9b::169.254.169.254]", "[2002:7f00:1::]", "[2002:a9fe:a9fe::1]",
       "[fe80::1]", "[fe80::1%25lo]", "[fc00::1]", "[fd00:ec2::254]", "[ff02::1]", "[100::1]", "[2001:db8::1]", "[::ffff:10.0.0.1]"]  # fmt: skip
HOSTS = [*LOOPBACK, *METADATA, *PRIVATE, *SIX]
ODD = [
    "https://example.org@127.0.0.1/", "https://127.0.0.1@example.org:443@127.0.0.1/", "https://user:pw@10.0.0.1/", "https://@127.0.0.1/",
    "https://example.org%40127.0.0.1/", "https://example.org\\@127.0.0.1/", "https://127.0.0.1\\.example.org/", "https:127.0.0.1",
    "https:///127.0.0.1/", "https://127。0。0。1/", "https://127．0．0．1/", "https://①②⑦.⓪.⓪.①/", "https://127.0.0.1/", "https://ⓛocalhost/",
    "https://127%2e0%2e0%2e1/", "https://127.0.0.1%00.example.org/", "https://127.0.0.1\x00.example.org/", "https://127.0.0.1\t/",
    "https://127.0.0.1\r\nHost: example.org/", "https://ex ample.org/", "https://127.0.0.1:99999/", "https://127.0.0.1:-1/", "https://[::1/",
    "https://[127.0.0.1]/", "https://0x7f.1/", "https://127.00000.0.1/", "https://①.example/", "https://.127.0.0.1/", "//127.0.0.1/",
    "127.0.0.1", "", "http://example.org/", "HTTP://127.0.0.1/", "hTTpS://127.0.0.1/",
    "file:///etc/passwd", "file://127.0.0.1/etc/passwd", "FILE:///etc/passwd", "gopher://127.0.0.1:6379/_FLUSHALL", "dict://127.0.0.1:11211/",
    "ftp://127.0.0.1/", "sftp://127.0.0.1/", "ldap://127.0.0.1/", "tftp://127.0.0.1/", "jar:https://127.0.0.1!/", "data:text/plain,x",
    "javascript:alert(1)", "netdoc:///etc/passwd", "php://filter", "ws://127.0.0.1/", "unix:///run/docker.sock", "http+unix://%2frun%2fx/",
]  # fmt: skip


def addresses(port: int) -> list[str]:
    """Return them all, those with a host on a port where somebody listens and on the usual one."""
    plain = [f"{scheme}://{host}:{port}/x" for host in HOSTS for scheme in ("https", "http")]
    return [*plain, *(f"https://{host}/latest/meta-data/" for host in HOSTS), *ODD]


class Listeners:
    """Servers on loopback that count who comes, and everything to which this process tried to connect."""

    def __init__(self) -> None:
        self.came: list[str] = []
        self.tried: list[Any] = []
        self.allowed: set[tuple[str, int]] = set()
        self.leads = ""
        self.servers = [self._serve(host) for host in ("127.0.0.1", "127.0.0.2")]
        self.six = self._count_on_six()

    def _serve(self, host: str) -> ThreadingHTTPServer:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.came.append(f"{host} {self.path}")
                self.send_response(302 if outer.leads else 200)
                if outer.leads:
                    self.send_header("Location", outer.leads)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            do_POST = do_GET  # noqa: N815 - the name that the library calls

            def log_message(self, *args: Any) -> None:
                """Print nothing."""

        server = ThreadingHTTPServer((host, self.port if hasattr(self, "servers") else 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return server

    def _count_on_six(self) -> socket.socket:
        server = socket.socket(socket.AF_INET6)
        server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        server.bind(("::1", self.port))
        server.listen()
        server.settimeout(0.01)
        return server

    @property
    def port(self) -> int:
        return int(self.servers[0].server_address[1])

    def came_to_six(self) -> bool:
        try:
            self.six.accept()[0].close()
        except TimeoutError:
            return False
        return True


@pytest.fixture
def listeners(monkeypatch: pytest.MonkeyPatch) -> Iterator[Listeners]:
    """Stand where nobody may come, and look at every connection of this process."""
    found = Listeners()
    connect = socket.socket.connect

    def guarded(line: socket.socket, where: Any) -> None:
        if line.family != socket.AF_UNIX and tuple(where[:2]) not in found.allowed:
            found.tried.append(where)
            raise ConnectionRefusedError(f"a test does not connect to {where}")
        connect(line, where)

    monkeypatch.setattr(socket.socket, "connect", guarded)
    yield found
    for server in found.servers:
        server.shutdown()
        server.server_close()
    found.six.close()


def test_there_are_two_hundred():
    assert len(set(addresses(1))) >= 200


def test_none_of_them_is_called_over_http(listeners):
    listeners.allowed = {("127.0.0.1", listeners.port), ("127.0.0.2", listeners.port), ("::1", listeners.port)}
    for url in addresses(listeners.port):
        with pytest.raises(OutsideError):
            http.call("GET", url, seconds=2)
    assert (listeners.came, listeners.tried, listeners.came_to_six()) == ([], [], False)


def test_none_of_them_is_called_by_git_or_for_its_certificate(listeners, monkeypatch, settings):
    settings.GIT_FOLDERS = []
    ran: list[Any] = []
    monkeypatch.setattr(process, "run", lambda argv, **more: ran.append(argv))
    own = ["ext::sh -c x", "git://example.org/x", "-oProxyCommand=x:y", "ssh://-oProxyCommand=x/y", "ssh://127.0.0.1/x", "/etc",
           "git@127.0.0.1:x", "root@localhost:x", "ssh://[::1]/x", "git+ssh://10.0.0.1/x", "../x", "./x", "~/x"]  # fmt: skip
    for url in [*addresses(listeners.port), *own]:
        with pytest.raises(OutsideError):
            git.has_tag(url, "v1")
    for url in addresses(listeners.port):
        with pytest.raises((OutsideError, ValueError)):
            certificates.end_of(url, seconds=2)
    assert (ran, listeners.came, listeners.tried) == ([], [], [])


def test_what_is_allowed_is_called_so_that_the_guard_is_known_to_see(listeners, settings):
    settings.HTTP_ALLOW = ["127.0.0.1"]
    url = f"http://127.0.0.1:{listeners.port}/yes"
    with pytest.raises(OutsideError):
        http.call("GET", url)
    assert listeners.tried == [("127.0.0.1", listeners.port)]
    listeners.allowed = {("127.0.0.1", listeners.port)}
    assert http.call("GET", url).status == 200
    assert listeners.came == ["127.0.0.1 /yes"]


@pytest.mark.parametrize(
    "where", ["http://127.0.0.2:{port}/", "http://[::1]:{port}/", "file:///etc/passwd", "//127.0.0.2:{port}/"]
)
@pytest.mark.parametrize("trusted", [False, True])
def test_a_redirect_leads_nowhere(listeners, settings, where, trusted):
    settings.HTTP_ALLOW = ["127.0.0.1"]
    listeners.allowed = {("127.0.0.1", listeners.port), ("127.0.0.2", listeners.port)}
    listeners.leads = where.format(port=listeners.port)
    assert http.call("GET", f"http://127.0.0.1:{listeners.port}/", trusted=trusted).status == 302
    assert (listeners.came, listeners.tried) == (["127.0.0.1 /"], [])


@pytest.mark.parametrize("what", ["token", "userinfo", "keys", "description"])
def test_the_provider_of_sign_in_leads_nowhere(listeners, settings, what):
    here = f"http://127.0.0.1:{listeners.port}"
    settings.OIDC_ISSUER, settings.OIDC_RP_CLIENT_ID, settings.OIDC_RP_CLIENT_SECRET = here, "poms", "x"
    settings.OIDC_OP_TOKEN_ENDPOINT = settings.OIDC_OP_USER_ENDPOINT = settings.OIDC_OP_JWKS_ENDPOINT = f"{here}/op"
    listeners.allowed = {("127.0.0.1", listeners.port), ("127.0.0.2", listeners.port)}
    listeners.leads = f"http://127.0.0.2:{listeners.port}/"
    openid.forget()
    backend = openid.Backend()
    backend.OIDC_OP_TOKEN_ENDPOINT = backend.OIDC_OP_USER_ENDPOINT = backend.OIDC_OP_JWKS_ENDPOINT = f"{here}/op"
    asks = {
        "token": lambda: backend.get_token({"client_secret": "x"}),
        "userinfo": lambda: backend.get_userinfo("secret", "", {}),
        "keys": lambda: backend.retrieve_matching_jwk("x.y.z"),
        "description": lambda: openid._description(),
    }
    with pytest.raises((openid.requests.HTTPError, OutsideError)):
        asks[what]()
    assert [who.split()[0] for who in listeners.came] == ["127.0.0.1"]
    assert listeners.tried == []


def test_a_resolver_that_changes_its_answer_gets_nobody_inside(listeners, monkeypatch):
    """The first answer is public, each later one is inside: only the first is ever connected to."""
    asked: list[str] = []

    def fickle(host: str, port: int, *args: Any, **more: Any) -> Any:
        asked.append(host)
        address = "93.184.215.14" if len(asked) == 1 else "127.0.0.1"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    listeners.allowed = {("127.0.0.1", listeners.port)}
    real = socket.getaddrinfo
    monkeypatch.setattr(
        socket,
        "getaddrinfo",
        lambda host, *a, **m: (
            fickle(host, *a, **m) if "." in host and host[0] not in "0123456789" else real(host, *a, **m)
        ),
    )
    with pytest.raises(OutsideError):
        http.call("GET", f"https://fickle.example.org:{listeners.port}/", seconds=2)
    assert listeners.tried == [("93.184.215.14", listeners.port)]
    assert listeners.came == []
    with pytest.raises(Refused, match="not on the public internet"):
        http.call("GET", f"https://fickle.example.org:{listeners.port}/", seconds=2)
    assert len(listeners.tried) == 1


def test_git_is_pinned_to_the_address_that_was_looked_at(monkeypatch):
    ran: list[tuple[list[str], dict[str, str]]] = []

    def run(argv: list[str], **more: Any) -> process.Finished:
        ran.append((argv, more["env"]))
        return process.Finished(0, b"", b"")

    public = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("93.184.215.14", 0))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **more: public)
    monkeypatch.setattr(process, "run", run)
    git.has_tag("https://git.example.org/code.git", "v1")
    git.has_tag("git@git.example.org:group/code.git", "v1")
    git.has_tag("ssh://git@git.example.org:2222/code.git", "v1")
    assert "http.curloptResolve=git.example.org:443:93.184.215.14" in ran[0][0]
    assert "http.followRedirects=false" in ran[0][0]
    assert "-oHostName=93.184.215.14 -oHostKeyAlias=git.example.org" in ran[1][1]["GIT_SSH_COMMAND"]
    assert "-oHostKeyAlias=[git.example.org]:2222" in ran[2][1]["GIT_SSH_COMMAND"]
    assert {env["GIT_ALLOW_PROTOCOL"] for _, env in ran} == {"https:http:ssh:file"}


def test_git_follows_no_redirect(listeners, settings):
    """A real git, asked for a repository whose server sends it elsewhere."""
    settings.HTTP_ALLOW = ["127.0.0.1"]
    listeners.allowed = {("127.0.0.1", listeners.port)}
    listeners.leads = f"http://127.0.0.2:{listeners.port}/code.git/info/refs?service=git-upload-pack"
    with pytest.raises(OutsideError, match="git says"):
        git.has_tag(f"http://127.0.0.1:{listeners.port}/code.git", "v1")
    assert {who.split()[0] for who in listeners.came} == {"127.0.0.1"}


@pytest.mark.parametrize(
    ("host", "listed"),
    [("hooks.example.org", True), ("a.lab.example.org", True), ("HOOKS.example.org", True), ("hooks.example.org.", True),
     ("lab.example.org.evil.net", False), ("evil.net", False), ("xhooks.example.org", False), ("93.184.215.14", False),
     ("192.0.2.7", True), ("xlab.example.org", False)],
)  # fmt: skip
def test_where_there_is_a_list_of_hosts_only_these_are_called(listeners, monkeypatch, settings, host, listed):
    settings.OUTGOING_HOSTS, settings.HTTP_ALLOW = ["hooks.example.org", ".lab.example.org"], ["192.0.2.0/24"]
    there = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.7" if host[0] == "1" else "93.184.215.14", 443))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **more: there)
    with pytest.raises(OutsideError) as told:
        http.call("GET", f"https://{host}/")
    assert bool(listeners.tried) == listed
    assert ("is not among the hosts" in str(told.value)) != listed
    with pytest.raises((OutsideError, OSError)):
        http.line_to(host, 443, seconds=1)
    assert len(listeners.tried) == 2 * listed


def test_a_folder_that_nobody_named_is_no_repository(tmp_path, settings):
    settings.GIT_FOLDERS = [str(tmp_path / "code")]
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "out").symlink_to(tmp_path)
    for path in (
        str(tmp_path),
        f"{tmp_path}/code/../other",
        f"file://{tmp_path}",
        f"{tmp_path}/code/out",
        f"{tmp_path}/codes",
    ):
        with pytest.raises(Refused, match="POMS_GIT_FOLDERS"):
            git.has_tag(path, "v1")
    with pytest.raises(OutsideError, match="git says"):
        git.has_tag(f"{tmp_path}/code", "v1")
