"""`poms credential`: what is sent, what is waited for, and what is said of it."""

from __future__ import annotations

from typing import Any

import pytest


def row(**values: Any) -> dict[str, Any]:
    return {"ref": "demo/token", "kind": "scitoken", "state": "live", "ends": "2026-12-01T00:00:00Z", "host": "gpvm01",
            "account": "demopro", "seen": "2026-11-30T00:00:00Z", "tried": None, "trouble": "", "error": "",
            "renewers": "the operators of demo", **values}  # fmt: skip


def test_credentials_are_listed(service, poms):
    service.pages("credentials/", [row()])
    assert "scitoken" in poms("credential", "list", "-e", "demo").out
    assert service.asked[-1].query["experiment"] == "demo"


def test_one_is_entered_by_where_it_lies(service, poms):
    service.on("POST", "credentials/", service.Answer(row(), status=201))
    words = ["credential", "add", "token", "-e", "demo", "--kind", "scitoken", "--path", "/opt/token"]
    refused = poms(*words)
    assert (refused.code, "needs a reason" in refused.err) == (64, True)
    done = poms(
        *words, "--host", "gpvm01", "--account", "demopro", "--reason", "for launches", "--set", "renew_seconds:=60"
    )
    assert done.code == 0, done.err
    assert service.asked[-1].body == {
        "experiment": "demo", "name": "token", "kind": "scitoken", "path": "/opt/token", "host": "gpvm01",
        "account": "demopro", "role": "production", "launcher": "ssh", "reason": "for launches", "renew_seconds": 60,
    }  # fmt: skip
    assert poms("credential", "add", "t", "--kind", "voms", "--path", "/p", "--reason", "x").code == 64


def test_one_is_put_away_with_a_reason(service, poms):
    service.on("PATCH", "credentials/demo/token/", service.Answer(row(state="put_away")))
    assert poms("credential", "remove", "token", "-e", "demo", "--reason", "no longer needed").code == 0
    assert service.asked[-1].body == {"active": False, "reason": "no longer needed"}
    assert poms("credential", "change", "demo/token", "--reason", "x").code == 64


@pytest.mark.parametrize(("trouble", "code"), [("", 0), ("htgettoken ended with 1", 1)])
def test_a_renewal_is_waited_for(service, poms, trouble, code):
    tried = row(tried="2026-11-30T01:00:00Z", seen="2026-11-30T01:00:01Z", trouble=trouble)
    service.on("GET", "credentials/demo/token/", service.Answer(row()), service.Answer(row()), service.Answer(tried))
    service.on("POST", "credentials/demo/token/renew/", service.Answer(row(), status=202))
    done = poms("credential", "renew", "demo/token", "--reason", "it ends")
    assert (done.code, trouble in done.err) == (code, True)


def test_a_check_says_whether_launches_may_go(service, poms):
    gone = row(state="unusable", seen="2026-11-30T02:00:00Z")
    service.on("GET", "credentials/demo/token/", service.Answer(row()), service.Answer(gone))
    service.on("POST", "credentials/demo/token/check/", service.Answer(row(), status=202))
    done = poms("credential", "check", "demo/token")
    assert (done.code, "unusable" in done.out) == (1, True)
