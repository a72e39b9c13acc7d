"""`poms loop`: what is asked, and what is said of it."""

from __future__ import annotations

LOOP = {"name": "plan", "state": "late", "period": 5.0, "steps": 7, "errors": 0, "waiting": 0, "parked": 1}
TROUBLE = {"ref": "t17", "loop": "plan", "of": "demo/c1/gen", "state": "parked", "tries": 5, "error": "no slices"}


def test_loops_and_troubles_are_listed(service, poms):
    service.pages("loops/", [LOOP])
    service.pages("troubles/", [TROUBLE])
    assert "plan\tlate" in poms("loop", "list").out
    listed = poms("loop", "troubles", "--loop", "plan", "--parked")
    assert "t17\tplan\tdemo/c1/gen\tparked" in listed.out
    assert {"loop": "plan", "parked": "1"}.items() <= dict(service.asked[-1].query).items()


def test_what_was_done_after_restores_is_listed(service, poms):
    entry = {"began_at": "2026-12-01T03:10:00Z", "ended_at": None, "waits_for": ["gpvm01 does not answer: it is gone"]}
    service.pages("restorations/", [entry])
    assert "gpvm01 does not answer: it is gone" in poms("loop", "restorations").out


def test_a_row_is_tried_again_with_a_reason(service, poms):
    service.on("POST", "troubles/t17/retry/", service.Answer({**TROUBLE, "state": "waiting"}))
    assert poms("loop", "retry", "t17").code == 64, "it wants a reason"
    done = poms("loop", "retry", "t17", "-r", "the script is back", "-q")
    assert (done.code, done.out) == (0, "t17\n")
    assert service.asked[-1].body == {"reason": "the script is back"}
