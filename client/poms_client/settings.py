"""Finds out which service to talk to and as whom: environment first, then ~/.config/poms/config.toml."""

from __future__ import annotations

import json
import os
import re
import stat
import sys
from dataclasses import dataclass
from pathlib import Path

from poms_client.errors import UsedWrongly

HOW = "Say `poms login`, or set POMS_URL and POMS_TOKEN (tokens are made on your page of the service)."
_LINE = re.compile(r"""^\s*([A-Za-z_-]+)\s*=\s*("(?:[^"\\]|\\.)*"|'[^']*')\s*(#.*)?$""")


@dataclass(frozen=True)
class Settings:
    """Where the service is, and the token of who speaks; neither is ever shown."""

    url: str
    token: str


def config_file() -> Path:
    """Return the path of the configuration file (XDG_CONFIG_HOME moves it, as elsewhere)."""
    base = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(base) / "poms" / "config.toml"


def load() -> Settings:
    """Return the settings; raise UsedWrongly with a sentence on how to log in when one is missing.

    A token of the file goes only to the address of the file: a POMS_URL that points elsewhere needs its own.
    """
    url = os.environ.get("POMS_URL", "").strip()
    token = os.environ.get("POMS_TOKEN", "").strip()
    if not (url and token):
        known = read(config_file())
        same = not url or url.rstrip("/") == known.get("url", "").rstrip("/")
        url = url or known.get("url", "")
        token = token or (known.get("token", "") if same else "")
    if not url:
        raise UsedWrongly("No service is known", hint=HOW)
    if not token:
        raise UsedWrongly(f"No token is known for {url}", hint=HOW)
    return Settings(url, token)


def read(path: Path) -> dict[str, str]:
    """Return the pairs of the file, none if it is not there; raise UsedWrongly on a line that is no pair.

    Only `key = "value"` lines are needed here, and Python 3.9 has no reader of TOML.
    """
    try:
        text = path.read_text(encoding="utf-8")
        mode = path.stat().st_mode
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise UsedWrongly(f"{path} cannot be read", detail=str(error)) from error
    found = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        pair = _LINE.match(line)
        if not pair:
            raise UsedWrongly(f'{path}, line {number} is not of the form key = "value"')
        found[pair[1]] = _value(path, number, pair[2])
    if found.get("token") and mode & (stat.S_IRWXG | stat.S_IRWXO):
        print(f"poms: others can read the token in {path}; say chmod 600 '{path}'", file=sys.stderr)
    return found


def _value(path: Path, number: int, quoted: str) -> str:
    if quoted.startswith("'"):
        return quoted[1:-1]
    try:
        return str(json.loads(quoted))
    except ValueError as error:
        raise UsedWrongly(f"{path}, line {number} has an unknown escape", detail=quoted) from error


def save(url: str, token: str) -> Path:
    """Write the file so that at no moment anybody else can read it, and return its path."""
    path = config_file()
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    fresh = path.with_name(f".config.toml.{os.getpid()}")
    fresh.unlink(missing_ok=True)
    handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(f"# Written by `poms login`.\nurl = {json.dumps(url)}\ntoken = {json.dumps(token)}\n")
    fresh.replace(path)
    return path


def seconds(name: str, default: float) -> float:
    """Return a number of seconds from the environment; raise UsedWrongly when it is none."""
    given = os.environ.get(name, "").strip()
    try:
        value = float(given) if given else default
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise UsedWrongly(f"{name} is not a number of seconds", detail=given)
    return value
