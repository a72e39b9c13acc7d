"""Slots of one vocabulary in Slurm's words, and what Slurm's commands print, read."""

from __future__ import annotations

import json

import pytest

from integrations.batch import slurm_reading as reading
from integrations.batch.base import Slots, Wanted
from integrations.batch.slurm import Slurm
from integrations.batch.slurm_slots import places
from integrations.errors import Refused

UUID = "0dd7b85c-5a4b-4a57-9f0f-3a0a6a1b2c3d"
ROW = {
    "kinds": {
        "onsite": {"partition": "near"}, "offsite": {"partition": "far,farther"},
        "opportunistic": {"partition": "near,far", "qos": "scavenger"}, "dedicated": {"reservation": "poms"},
    },
    "sites": {
        "FNAL": {"constraint": "fnal"}, "BNL": {"constraint": "bnl", "nodes": "bnl[01-40]"}, "RAL": {"partition": "far"},
    },
}  # fmt: skip


@pytest.mark.parametrize(
    ("slots", "expected"),
    [
        (Slots(), {}),
        (Slots(kinds=("onsite",)), {"partition": "near"}),
        (Slots(kinds=("onsite", "offsite")), {"partition": "near,far,farther"}),
        (Slots(kinds=("opportunistic",)), {"partition": "near,far", "qos": "scavenger"}),
        # One command cannot offer both: the first will do.
        (Slots(kinds=("onsite", "opportunistic")), {"partition": "near"}),
        (Slots(kinds=("onsite", "dedicated")), {"partition": "near"}),
        (Slots(kinds=("dedicated",)), {"reservation": "poms"}),
        (Slots(sites=("FNAL",)), {"constraint": "fnal"}),
        (Slots(sites=("FNAL", "BNL")), {"constraint": "fnal|bnl"}),
        (Slots(sites=("FNAL", "BNL"), avoid_sites=("BNL",)), {"constraint": "fnal", "exclude": "bnl[01-40]"}),
        (Slots(avoid_sites=("BNL",)), {"exclude": "bnl[01-40]"}),
        (Slots(avoid_sites=("RAL",)), {"constraint": "fnal|bnl"}),
        (Slots(avoid_sites=("nowhere",)), {}),
        (Slots(sites=("CERN",)), {"constraint": "CERN"}),
        (Slots(kinds=("offsite",), sites=("RAL",)), {"partition": "far"}),
        (Slots(kinds=("offsite",), sites=("BNL",)), {"partition": "far,farther", "constraint": "bnl"}),
        (Slots(avoid_nodes=("n1", "n2"), avoid_sites=("BNL",)), {"exclude": "n1,n2,bnl[01-40]"}),
    ],
)  # fmt: skip
def test_kinds_and_sites_become_partitions_features_and_nodes(slots, expected):
    assert places(slots, ROW) == expected


def test_a_kind_of_which_nothing_is_entered_is_a_feature():
    assert places(Slots(kinds=("onsite", "dedicated"), sites=("A", "B")), {}) == {
        "constraint": "(onsite|dedicated)&(A|B)"
    }


def test_what_no_partition_can_be_is_refused():
    with pytest.raises(Refused, match="No partition"):
        places(Slots(kinds=("onsite",), sites=("RAL",)), ROW)
    with pytest.raises(Refused, match="to be avoided"):
        places(Slots(avoid_sites=("RAL",)), {"sites": {"RAL": {"partition": "far"}}})


def test_all_slots_are_options_and_most_of_them_variables():
    slots = Slots(memory_mb=2500, wall_s=3601, disk_mb=10_000, cpus=4, gpus=2, kinds=("onsite",), avoid_nodes=("n1",))
    given = Slurm({**ROW, "nice": 100, "conf": "/etc/slurm/here.conf"}).environment(Wanted(UUID, slots=slots))
    assert json.loads(given.pop("POMS_SUBMIT_WORDS")) == {
        "sbatch": [
            ["--comment", f"poms:{UUID}"], ["--wckey", f"poms:{UUID}"], ["--mem", "2500M"], ["--time", "61"],
            ["--cpus-per-task", "4"], ["--gres", "gpu:2"], ["--tmp", "10000M"], ["--partition", "near"],
            ["--exclude", "n1"], ["--nice", "100"],
        ]
    }  # fmt: skip
    assert given == {
        "SLURM_CONF": "/etc/slurm/here.conf", "SBATCH_WCKEY": f"poms:{UUID}", "SBATCH_MEM_PER_NODE": "2500M",
        "SBATCH_TIMELIMIT": "61", "SBATCH_GRES": "gpu:2", "SBATCH_PARTITION": "near",
    }  # fmt: skip


def test_a_cluster_that_checks_wckeys_is_left_alone_with_ours():
    given = Slurm({"wckey": False}).environment(Wanted(UUID))
    assert set(given) == {"POMS_SUBMIT_WORDS"}
    assert json.loads(given["POMS_SUBMIT_WORDS"]) == {"sbatch": [["--comment", f"poms:{UUID}"]]}


@pytest.mark.parametrize(
    ("shown", "ids"),
    [
        ("14", ["14"]), ("14_3", ["14_3"]), ("14_[3]", ["14_3"]), ("14_[0-2,7%5]", ["14_0", "14_1", "14_2", "14_7"]),
        ("14_[0-6:3]", ["14_0", "14_3", "14_6"]),
    ],
)  # fmt: skip
def test_what_is_shown_as_one_is_taken_apart(shown, ids):
    assert reading.expanded(shown) == ids


def queue_line(**values: str) -> str:
    usual = {
        "JobID": "20", "JobArrayID": "14_3", "State": "RUNNING", "Reason": "None", "exit_code": "0", "RestartCnt": "0",
        "SubmitTime": "1000", "EligibleTime": "1001", "StartTime": "1002", "EndTime": "99999", "LastSchedEval": "1002",
        "NodeList": "n1", "Partition": "near", "wckey": "(null)", "Comment": f"poms:{UUID}",
    }  # fmt: skip
    return "".join(f"{word:<30}{reading.MARK}" for word in (usual | values).values()) + "\n"


@pytest.mark.parametrize(
    ("line", "state", "starts", "at"),
    [
        ({}, "processing", 1, 1002),
        ({"State": "PENDING", "NodeList": "(null)", "StartTime": "99999"}, "idle", 0, 1001),
        ({"State": "PENDING", "NodeList": "", "Reason": "JobHeldUser", "LastSchedEval": "1005"}, "held", 0, 1005),
        ({"State": "PENDING", "NodeList": "", "Reason": "JobHeldAdmin", "EligibleTime": "N/A"}, "held", 0, 1002),
        ({"State": "PENDING", "NodeList": "", "Reason": "job requeued in held state", "RestartCnt": "2"}, "held", 2, 1002),
        ({"State": "PENDING", "NodeList": "", "RestartCnt": "1", "EligibleTime": "99999"}, "idle", 1, 1000),
        ({"State": "CONFIGURING"}, "staging_in", 1, 1002),
        ({"State": "SUSPENDED"}, "suspended", 1, 1002),
        ({"State": "COMPLETING", "EndTime": "1009"}, "staging_out", 1, 1009),
        ({"State": "COMPLETED", "EndTime": "1009", "RestartCnt": "1"}, "succeeded", 2, 1009),
        ({"State": "CANCELLED", "EndTime": "1009", "NodeList": ""}, "removed", 0, 1009),
    ],
)  # fmt: skip
def test_the_queue_is_read(line, state, starts, at):
    (job,) = reading.queued(queue_line(**line), 2000)
    assert (job.id, job.seen.uuid, job.seen.index) == ("14_3", UUID, 3)
    assert (job.seen.state, job.seen.starts, job.seen.at) == (state, starts, at)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ({"State": "FAILED", "exit_code": "768"}, (3, None, "", "it ended with 3 (FAILED)")),
        ({"State": "FAILED", "exit_code": "15"}, (None, 15, "", "it was ended by signal 15 (FAILED)")),
        ({"State": "TIMEOUT", "exit_code": "15"}, (None, None, "wall", "it ran past its time (TIMEOUT)")),
        ({"State": "OUT_OF_MEMORY", "exit_code": "9"}, (None, None, "memory", "it ran out of memory (OUT_OF_MEMORY)")),
        ({"State": "NODE_FAIL"}, (0, None, "runner_vanished", "its node failed (NODE_FAIL)")),
        ({"State": "PREEMPTED", "exit_code": "15"}, (None, None, "preempted", "its slot was taken back (PREEMPTED)")),
        ({"State": "CANCELLED", "exit_code": "15"}, (None, None, "", "it was cancelled (CANCELLED)")),
        ({"State": "CANCELLED", "Comment": f"poms:{UUID} remove: not wanted"},
         (None, None, "", "remove: not wanted (CANCELLED)")),
    ],
)  # fmt: skip
def test_an_end_has_its_cause(line, expected):
    (job,) = reading.queued(queue_line(**line, EndTime="1009"), 2000)
    assert (job.seen.exit_code, job.seen.signal, job.seen.code, job.seen.reason) == expected


def test_what_the_comment_keeps_is_told_apart():
    held = {"State": "PENDING", "Reason": "JobHeldUser", "NodeList": ""}
    (job,) = reading.queued(queue_line(**held, Comment=f"poms:{UUID} prio=-7 hold: disk full"), 2000)
    assert (job.priority, job.note) == (-7, "hold: disk full")
    assert job.seen.reason == "hold: disk full (JobHeldUser)"
    (job,) = reading.queued(queue_line(Comment="of the script", wckey=f"poms:{UUID}"), 2000)
    assert (job.seen.uuid, job.note, job.priority) == (UUID, "", None)
    (job,) = reading.queued(queue_line(Comment="of somebody else"), 2000)
    assert job.seen.uuid == ""


def sacct_lines(*rows: dict[str, str]) -> str:
    usual = {
        "JobID": "14_3", "JobIDRaw": "20", "State": "COMPLETED", "ExitCode": "0:0", "NodeList": "n1", "Partition": "near",
        "MaxRSS": "", "TotalCPU": "00:01.500", "ElapsedRaw": "7", "AllocCPUS": "4", "Submit": "1000",
        "Start": "1002", "End": "1009", "WCKey": "", "Comment": f"poms:{UUID}",
    }  # fmt: skip
    return "\n".join(reading.MARK.join((usual | row).values()) for row in rows) + "\n"


def test_the_accounting_is_read_with_all_starts():
    text = sacct_lines(
        {"State": "NODE_FAIL", "ExitCode": "1:0"}, {"JobID": "14_3.batch", "MaxRSS": "2G"},
        {"State": "FAILED", "ExitCode": "3:0", "TotalCPU": "1-02:03:04", "End": "1020"},
        {"JobID": "14_3.batch", "MaxRSS": "3072K"},
        {"JobID": "15_[0-1]", "State": "CANCELLED by 0", "NodeList": "None assigned", "Start": "None"},
    )  # fmt: skip
    job, *never = reading.accounted(text)
    assert (job.seen.state, job.seen.exit_code, job.seen.starts, job.seen.at) == ("failed", 3, 2, 1020)
    assert (job.seen.memory_mb, job.seen.cpu_s, job.seen.wall_s) == (2048, 93_784, 7)
    assert (job.seen.cpus, never[0].seen.cpus) == (4, None)
    assert [(one.id, one.seen.state, one.seen.starts, one.seen.cpu_s) for one in never] == [
        ("15_0", "removed", 0, None), ("15_1", "removed", 0, None),
    ]  # fmt: skip


def test_what_is_no_line_of_the_command_is_no_absence():
    with pytest.raises(reading.Unreadable):
        list(reading.queued("slurm_load_jobs: something\n", 0))
    with pytest.raises(reading.Unreadable):
        reading.accounted("sacct: something\n")
