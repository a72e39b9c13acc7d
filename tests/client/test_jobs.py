"""`poms job life`, `records` and `compare`: what they ask for, and what they say to people and to pipes."""

from __future__ import annotations

COMPARED = {
    "left": "demo/j12",
    "right": "demo/j13",
    "facts": [
        {"name": "node", "left": "n7", "right": "n1", "differs": True},
        {"name": "release", "left": "v1", "right": "v1", "differs": False},
    ],
    "log": [
        {"how": "skipped", "left": "", "right": "", "skipped": 7},
        {"how": "same", "left": "reading", "right": "reading", "skipped": 0},
        {"how": "left", "left": "FATAL \x1b[31m", "right": "", "skipped": 0},
        {"how": "right", "left": "", "right": "done", "skipped": 0},
    ],
    "log_trouble": "",
}


def test_what_differs_from_a_good_job_is_listed_and_the_logs_follow(service, poms):
    service.on("GET", "jobs/demo/j12/compare/", COMPARED)
    shown = poms("job", "compare", "demo/j12")
    assert shown.out.splitlines() == [
        "fact\tdemo/j12\tdemo/j13", "node\tn7\tn1", "  ... 7 lines alike", "  reading", "- FATAL \\x1b[31m", "+ done",
    ]  # fmt: skip
    assert service.asked[-1].query == {"stream": "out"}
    assert "release" in poms("job", "compare", "demo/j12", "--all").out
    poms("job", "compare", "j12", "--with", "j9", "--err", "-e", "demo")
    assert service.asked[-1].query == {"stream": "err", "with": "demo/j9"}
    assert poms("job", "compare", "demo/j12", "--json").json == COMPARED
    assert poms("job", "compare", "demo/j12", "--quiet").out == "demo/j13\n"


def test_a_log_that_cannot_be_read_is_a_remark(service, poms):
    service.on("GET", "jobs/demo/j12/compare/", {**COMPARED, "log": [], "log_trouble": "nobody answers"})
    shown = poms("job", "compare", "demo/j12")
    assert (shown.code, "nobody answers" in shown.err, "node" in shown.out) == (0, True, True)


def test_a_life_and_the_records_of_a_job_are_shown(service, poms):
    told = {"ref": "demo/j12", "starts": 2, "outages": [{"name": "sam", "text": "SAM was down for 10 min"}]}
    service.on("GET", "jobs/demo/j12/life/", told)
    assert "outages.0.text\tSAM was down for 10 min" in poms("job", "life", "demo/j12").out
    service.on("GET", "jobs/demo/j12/records/", {"ref": "demo/j12", "inputs": [{"name": "raw", "fate": "consumed"}]})
    assert "consumed" in poms.at_terminal("job", "records", "demo/j12").out


def test_a_list_is_written_to_a_file_whole_or_not_at_all(service, poms, tmp_path):
    service.on("GET", "jobs/export/", {"rows": "as the service sends them"})
    target = tmp_path / "jobs.parquet"
    shown = poms("job", "list", "-e", "demo", "--state", "failed", "--campaign", "c1", "--parquet", str(target))
    assert (shown.code, shown.out) == (0, "")
    assert target.read_bytes() == b'{"rows": "as the service sends them"}'
    assert service.asked[-1].query == {
        "experiment": "demo", "state": "failed", "campaign": "demo/c1", "to": "parquet",
    }  # fmt: skip
    service.on("GET", "batches/export/", service.problem(422, "Refused", "unknown filter"))
    other = tmp_path / "batches.csv"
    assert poms("batch", "list", "-e", "demo", "--csv", str(other)).code != 0
    assert not other.exists()
    service.on("GET", "submissions/export/", {"n": 1})
    assert poms("submission", "list", "--csv", "-").out == '{"n": 1}'
