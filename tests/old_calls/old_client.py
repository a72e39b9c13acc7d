"""Sends what the old client library sent, as its scripts call it (reference/protocols.md 6): a stand-in, written from the wire.

It is run by scripts in processes of their own, over real HTTP.
"""

from __future__ import annotations

import os
from typing import Any

import requests

BASE = os.environ["POMS_OLD_BASE"]  # ends in a slash, and a call adds another one
HEADERS = {"Authorization": f"Bearer {os.environ['POMS_OLD_TOKEN']}", "Accept": "*/*"}
EXPERIMENT, ROLE = "demo", "production"


def call(method: str, **form: Any) -> tuple[Any, int]:
    """Send one call: a 303 gives its Location as the answer; what is no answer is a RuntimeError with the server's text."""
    files = {name: form.pop(name) for name in ("upload", "filename") if hasattr(form.get(name), "read")}
    form = {
        "experiment": EXPERIMENT,
        "role": ROLE,
        **{name: value for name, value in form.items() if value is not None},
    }
    answer = requests.post(
        f"{BASE}/{method}", data=form, files=files or None, headers=HEADERS, allow_redirects=False, timeout=60
    )
    if answer.status_code in (200, 202):
        return answer.text, answer.status_code
    if answer.status_code == 303:
        return answer.headers["Location"], 303
    raise RuntimeError(f"{method}: {answer.status_code}: {answer.text}")


def upload_wf(path: str, **form: Any) -> dict[str, Any]:
    """Upload a definition."""
    with open(path, "rb") as file:
        text, _ = call("ini_to_campaign", upload=file, pcl_call=1, **form)
    return dict(requests.models.complexjson.loads(text))


def number_behind(place: str) -> int:
    """Return the number of a submission as the old library reads it: what stands behind the last underscore."""
    return int(place[place.rfind("_") + 1 :])
