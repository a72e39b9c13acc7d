"""A real provider of identities as a process of its own, and a browser that goes there and back over real HTTP."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import time
from typing import Any
from urllib.parse import urljoin

import requests

from tests.ports import free_port


class Provider:
    """oidc-provider-mock on a port of its own."""

    def __init__(self) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        command = [sys.executable, "-W", "ignore", "-m", "oidc_provider_mock", "-p", str(self.port), "-n", "true"]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 30
        while not self._answers():
            assert time.monotonic() < deadline, "the provider did not start"
            assert self.process.poll() is None, "the provider ended"
            time.sleep(0.05)

    def _answers(self) -> bool:
        with socket.socket() as line:
            return line.connect_ex(("127.0.0.1", self.port)) == 0

    def knows(self, sub: str, **claims: Any) -> None:
        """Tell the provider of a person, or what is new of them."""
        answer = requests.put(f"{self.url}/users/{sub}", json=claims, timeout=10)
        assert answer.ok, answer.text

    def stop(self) -> None:
        """End it."""
        self.process.terminate()
        self.process.wait(10)


class Surfer(requests.Session):
    """Somebody's browser: cookies by host, forms of the provider filled in."""

    def __init__(self, site: str) -> None:
        super().__init__()
        self.site = site
        self.way: list[str] = []

    def sign_in(self, sub: str, path: str = "/account/") -> requests.Response:
        """Ask for a page, go to the provider, sign in there, come back; return the page at the end."""
        there = self.get(f"{self.site}{path}")
        button = re.search(r'href="(/sign-in/provider/[^"]*)"', there.text)
        assert button, there.text
        form = self.get(urljoin(there.url, button[1].replace("&amp;", "&")))
        return self.confirm(form, sub)

    def confirm(self, form: requests.Response, sub: str) -> requests.Response:
        """Fill in the provider's form."""
        back = self.post(form.url, data={"sub": sub, "action": "authorize"}, allow_redirects=True)
        self.way = [step.url for step in back.history] + [back.url]
        return back
