"""`poms failure` and `poms route`: what they send, and what they refuse to send."""

from __future__ import annotations

FAILURE = {
    "ref": "demo/f1", "title": "KeyError: 'constants'", "cause": "software", "jobs": 12, "core_hours": 3.5,
    "first": "2026-11-30T00:00:00Z", "last": "2026-12-01T00:00:00Z", "owner": "demo", "fix": "",
}  # fmt: skip


def test_failures_are_listed_and_narrowed(service, poms):
    service.pages("failures/", [FAILURE])
    said = poms("failure", "list", "-e", "demo", "--where", "cause=software")
    assert "KeyError: 'constants'" in said.out and "demo/f1" in said.out
    assert service.asked[-1].query == {"experiment": "demo", "cause": "software", "limit": "500"}


def test_what_helps_and_whose_it_is_are_said_with_a_reason(service, poms):
    service.on("POST", "failures/demo/f1/fix/", FAILURE)
    service.on("POST", "failures/demo/f1/route/", {"ref": "demo/f1", "owner": "sam"})
    assert poms("failure", "fix", "demo/f1", "--text", "take v3").code == 0
    assert service.asked[-1].body == {"fix": "take v3", "reason": ""}
    assert poms("failure", "route", "demo/f1", "--to", "sam", "--reason", "its station").code == 0
    assert service.asked[-1].body == {"owner": "sam", "reason": "its station"}


def test_a_rule_is_set_and_another_things_reference_is_none(service, poms):
    service.on("POST", "routes/", {"ref": "demo/o1"})
    assert (
        poms("route", "add", "-e", "demo", "--pattern", "samweb", "--to", "sam", "--reason", "they serve it").code == 0
    )
    assert service.asked[-1].body == {
        "experiment": "demo", "cause": "", "pattern": "samweb", "service": "sam", "place": 100, "reason": "they serve it",
    }  # fmt: skip
    wrong = poms("failure", "show", "demo/c1")
    assert wrong.code == 64 and "is a campaign, not a failure" in wrong.err
