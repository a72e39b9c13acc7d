"""What failures are recognised by: what differs is taken out, what tells is kept, and the cause is the right one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from submissions import routing
from submissions.normalising import LONGEST, normalised
from submissions.routing import Rule
from submissions.signatures import CAUSES, CODES, EXITS, HELD, SIGNALS, Facts, is_failure, needs_log, recognised
from submissions.telling import telling

# --- What differs ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("2026-11-30 03:14:07,123 ERROR [gen] no geometry", "Nov 30 03:14:08 ERROR [gen] no geometry"),
        ("user alice has no quota", "user bob has no quota"),  # DIRAC#4267
        ("cannot stat /scratch/dir_12/r00012.root", "cannot stat /tmp/x/3f1c0a9e-7c1b-4d7e-9a35-0b8b3c5d1e2f/raw.root"),
        ("no route to fnpc7011.fnal.gov:1094", "no route to b9p14p2033.cern.ch:2880"),
        ("peer 131.225.1.2:1094 is gone", "peer 10.0.0.1 is gone"),
        ("job 4711.0@schedd1.fnal.gov is gone", "job 99.12@schedd2.fnal.gov is gone"),
        ("bad object at 0x7ffe12ab", "bad object at 0xdeadbeef"),
        ("root://a.b.gov:1094//pnfs/x.root is not there", "root://c.d.edu:1//store/y is not there"),
        ("Error from slot1_2@wn3.cern.ch: gone over 2048 MB", "Error from slot7@x.fnal.gov: gone over 4096 MB"),
        ("took 12.5 s of 3", "took 0.25 s of 77"),
    ],
)  # fmt: skip
def test_what_differs_from_job_to_job_is_taken_out(one, other):
    assert normalised(one) == normalised(other) != ""


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("HTTP Error 503: Service Unavailable", "HTTP Error 401: Unauthorized"),
        ("[Errno 28] No space left on device", "[Errno 2] No such file or directory"),
        ("libHits.so: cannot open shared object file", "libGeo.so: cannot open shared object file"),
        ("/cvmfs/nova.opensciencegrid.org/a/setup.sh: gone", "/cvmfs/dune.opensciencegrid.org/a/setup.sh: gone"),
        ("KeyError: 'far'", "KeyError: 'near'"),
        ("error [3011] no such file", "error [3010] no such file"),
    ],
)  # fmt: skip
def test_what_tells_one_failure_from_another_is_kept(one, other):
    assert normalised(one) != normalised(other)


def test_words_that_mean_only_this_job_are_taken_out():
    assert normalised("run of ada on local-01 failed", ("ada", "local-01")) == "run of <name> on <name> failed"
    assert "adapter" in normalised("the adapter of ada", ("ada",))


@given(st.text(max_size=400))
def test_any_text_becomes_a_short_line_that_stays_as_it_is(text):
    line = normalised(text)
    assert len(line) <= LONGEST and "\n" not in line and "\x1b" not in line
    signature = recognised(Facts(err=text, exit_code=1))
    assert signature.cause in CAUSES and signature.title and len(signature.title) <= LONGEST


# --- What tells -----------------------------------------------------------------------------------------------------

TRACEBACK = """Traceback (most recent call last):
  File "/scratch/a/reco.py", line 12, in main
    read(path)
  File "/usr/lib/python3.11/gzip.py", line 9, in read
    raise EOFError("ended")
ValueError: no constants for run 12
"""


@pytest.mark.parametrize(
    ("err", "out", "line", "cause"),
    [
        (TRACEBACK, "", "ValueError: no constants for run 12 in main (reco.py)", "software"),
        ("Connection timed out, retrying in 5 s\n" + TRACEBACK, "", "ValueError: no constants for run 12 in main (reco.py)",
         "software"),
        ("WARNING: connection refused, will try again\nSegmentation fault (core dumped)\n", "", "Segmentation fault (core dumped)",
         "software"),
        ("a.sh: line 2: nova: command not found\nAborted\n", "", "a.sh: line 2: nova: command not found", "submission"),
        ("", "Error in <TFile::TFile>: file x.root does not exist\n", "Error in <TFile::TFile>: file x.root does not exist",
         "input"),
        ("terminate called after throwing an instance of 'std::bad_alloc'\n  what():  std::bad_alloc\n", "",
         "std::bad_alloc: std::bad_alloc", "memory"),
        ("all went well\n", "event 12\n", "", ""),
        ("the frobnicator has failed\n", "", "the frobnicator has failed", ""),
    ],
)  # fmt: skip
def test_the_line_that_tells_is_found(err, out, line, cause):
    found = telling([[text for text in stream.split("\n") if text] for stream in (err, out)])
    assert found == (line, cause)


def test_the_batch_systems_own_word_goes_before_what_was_printed():
    first = recognised(Facts(code="memory", reason="held 312 MiB of the 200 MiB asked for", err=TRACEBACK))
    second = recognised(Facts(code="memory", reason="held 999.5 MiB of the 300 MiB asked for", err="quite other words"))
    assert first.digest == second.digest and first.cause == "memory"
    assert not needs_log(Facts(code="wall")) and needs_log(Facts(code="exit", exit_code=1))


@pytest.mark.parametrize(
    ("facts", "cause"),
    [
        (Facts(exit_code=65), "input"), (Facts(exit_code=90), "submission"), (Facts(exit_code=143), "node"),
        (Facts(exit_code=1), "software"), (Facts(signal=11), "software"), (Facts(signal=7), "node"),
        (Facts("lost"), "system"), (Facts("held", code="held 34.102", reason="x"), "memory"),
        (Facts("held", code="held 4.0", reason="x"), "credential"),
        (Facts("held", code="held 26.0", reason="Memory usage exceeded the limit of 2000 MB"), "memory"),
        (Facts("held", code="held 26.8", reason="because"), "unknown"), (Facts(), "unknown"),
        (Facts("removed", reason="SYSTEM_PERIODIC_REMOVE: memory usage exceeds request"), "memory"),
    ],
)  # fmt: skip
def test_without_a_word_the_facts_say_the_cause(facts, cause):
    assert recognised(facts).cause == cause


def test_there_is_one_vocabulary_of_causes():
    assert {*CODES.values(), *HELD.values(), *EXITS.values(), *SIGNALS.values()} <= set(CAUSES)


@pytest.mark.parametrize(
    ("state", "code", "reason", "failed"),
    [("failed", "exit", "", True), ("lost", "", "", True), ("succeeded", "", "", False), ("held", "held 1.0", "", False),
     ("held", "held 16.0", "", False), ("held", "held 26.0", "", True), ("held", "", "", False),
     ("removed", "removed", "via condor_rm (by user ada)", False),
     ("removed", "removed", "The job attribute PeriodicRemove expression evaluated to TRUE", True)],
)  # fmt: skip
def test_what_a_person_did_is_no_failure(state, code, reason, failed):
    assert is_failure(state, code, reason) is failed


# --- Whose it is ------------------------------------------------------------------------------------------------------


def test_the_first_rule_that_fits_decides_and_one_to_nowhere_is_passed_over():
    found = recognised(Facts(err="urllib.error.HTTPError: HTTP Error 503: Service Unavailable", exit_code=1))
    rules = [Rule("gone", "service"), Rule("sam", pattern="503"), Rule("other", "service")]
    assert routing.first(rules, found, {"sam": 1, "other": 2}) == (rules[1], 1)
    assert routing.first([Rule("", "service"), *rules], found, {"sam": 1}) == (Rule("", "service"), None)
    assert routing.first([], found, {"sam": 1}) == (None, None)


@pytest.mark.parametrize("pattern", ["(", "(a+)+b", "x" * 201, "(a*)*"])
def test_a_pattern_that_cannot_be_used_says_why(pattern):
    assert routing.problem_of(pattern)


def test_patterns_that_can_be_used_are_let_through():
    for rule in routing.DEFAULTS:
        assert routing.problem_of(rule.pattern) == ""
    assert routing.problem_of(r"samweb|no constants for run \d+") == ""
