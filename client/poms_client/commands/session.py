"""`poms login` and `poms whoami`: which service, and as whom."""

from __future__ import annotations

import getpass
import os
import sys
from typing import Annotated, Optional
from urllib.parse import urlsplit

import typer

from poms_client import formatting, settings
from poms_client.commands._common import AsJson, Quiet, ask, at_terminal, connect, tell_of_waiting
from poms_client.errors import UsedWrongly
from poms_client.output import Output, note


def login(
    url: Annotated[Optional[str], typer.Option(metavar="URL", help="Address of the service.")] = None,
) -> None:
    """Check a token with the service and keep it in the configuration file.

    The token is asked for, or read from standard input where there is no terminal; it is never an
    argument, which others on the machine could see.
    """
    from poms_client.client import Client, service_address

    known = settings.read(settings.config_file())
    default = os.environ.get("POMS_URL", "").strip() or known.get("url", "")
    if url is None and at_terminal():
        url = ask(f"Address of the service{f' [{default}]' if default else ''}: ").strip()
    url = service_address(url or default) if (url or default) else ""
    if not url:
        raise UsedWrongly("Which service?", hint="Say poms login --url https://poms.example.org")
    if urlsplit(url).scheme == "http" and urlsplit(url).hostname not in ("localhost", "127.0.0.1", "::1"):
        note(f"poms: {url} is not encrypted: whoever listens on the way can read the token")
    token = getpass.getpass("Token: ", stream=sys.stderr) if at_terminal() else sys.stdin.readline()
    token = token.strip()
    if not token or not token.isascii() or not token.isprintable():
        raise UsedWrongly(
            "No token was given; nothing was written", hint="It begins with poms_ and stands on one line."
        )
    client = Client(url, token, timeout=settings.seconds("POMS_TIMEOUT", 30.0), on_wait=tell_of_waiting)
    client.patience = settings.seconds("POMS_RETRY_SECONDS", 20.0)
    me = client.get("me")
    path = settings.save(url, token)
    note(f"Logged in to {url} as {formatting.one_line(str(me.get('username', '')))}; kept in {path}")
    for name in ("POMS_URL", "POMS_TOKEN"):
        if os.environ.get(name):
            note(f"poms: {name} is set and goes before the file")


def whoami(as_json: AsJson = False, quiet: Quiet = False) -> None:
    """Show who you are to the service and what your roles are."""
    output = Output(as_json=as_json, quiet=quiet)
    client = connect()
    me = client.get("me")
    if output.quiet:
        print(formatting.one_line(str(me.get("username", ""))))
        return
    if not output.people:
        output.one(me)
        return
    everywhere = [{**role, "experiment": role.get("experiment") or "all"} for role in me.get("roles") or ()]
    shown = {"service": client.url, **me, "roles": everywhere}
    output.one({"ref": shown.pop("username", ""), **shown})
