"""Jobs of HTCondor as their ads have them, and what a launch wants in HTCondor's words; no pool is needed for either."""

from __future__ import annotations

import json
from typing import Any

import pytest

from integrations.batch.base import Slots, Wanted
from integrations.batch.htcondor import HTCondorBatch, ads, words
from integrations.errors import Refused

RAN = {"JobCurrentStartDate": 100, "JobCurrentStartExecutingDate": 105, "NumJobStarts": 1, "NumShadowStarts": 1}


def ad(status: int, **values: Any) -> dict[str, Any]:
    return {
        "ClusterId": 7, "ProcId": 2, "POMS_SUBMISSION_ID": "u-1", "JobUniverse": 5, "JobStatus": status,
        "EnteredCurrentStatus": 90, "QDate": 80, **values,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("values", "state", "at"),
    [
        (ad(1), "idle", 90),
        (ad(2, JobCurrentStartDate=100, NumShadowStarts=1), "staging_in", 100),
        (ad(2, **RAN, TransferringInput=True), "staging_in", 100),
        (ad(2, **RAN), "processing", 105),
        (ad(2, **RAN, JobCurrentStartTransferOutputDate=60), "processing", 105),
        (ad(2, **RAN, JobCurrentStartTransferOutputDate=120), "staging_out", 120),
        (ad(2, **RAN, TransferringOutput=True), "staging_out", 100),
        (ad(2, JobUniverse=7, NumJobStarts=1), "processing", 90),
        (ad(3), "removed", 90),
        (ad(4, ExitCode=0, ExitBySignal=False, CompletionDate=130), "succeeded", 130),
        (ad(4, ExitCode=3, ExitBySignal=False), "failed", 90),
        (ad(4, ExitBySignal=True, ExitSignal=9), "failed", 90),
        (ad(5), "held", 90),
        (ad(7, **RAN), "suspended", 90),
    ],
)  # fmt: skip
def test_states(values: dict[str, Any], state: str, at: float) -> None:
    seen = ads.seen(values, "s@x")
    assert (seen.id, seen.uuid, seen.index, seen.state, seen.at) == (
        "7.2@s@x", "u-1", None if values["JobUniverse"] == 7 else 2, state, at,
    )  # fmt: skip


def test_why_where_and_how_much() -> None:
    held = ads.seen(ad(5, HoldReason="too big", HoldReasonCode=34, HoldReasonSubCode=102), "s")
    assert (held.code, held.reason) == ("held 34.102", "too big")
    ended = ads.seen(
        ad(4, ExitCode=3, LastRemoteHost="slot1_2@node7.x", MATCH_GLIDEIN_Site="FNAL", RemoteUserCpu=2.5, RemoteSysCpu=0.5,
           MemoryUsage=77, RemoteWallClockTime=9.0, POMS_JOB_INDEX=5, **RAN), "s", ("FNAL",),
    )  # fmt: skip
    assert (ended.node, ended.site, ended.slot_type, ended.index) == ("node7.x", "FNAL", "onsite", 5)
    assert (ended.cpu_s, ended.memory_mb, ended.wall_s, ended.exit_code, ended.signal) == (3.0, 77, 9.0, 3, None)
    assert (ended.code, ended.reason) == ("exit", "ended with exit code 3")
    assert ads.seen(ad(4, ExitCode=0, MATCH_GLIDEIN_Site="CERN"), "s", ("FNAL",)).slot_type == "offsite"
    assert ads.seen(ad(3, RemoveReason="via condor_rm"), "s").reason == "via condor_rm"
    assert ads.seen(ad(2, DAGManJobId=3, **RAN), "s").index is None, "the number of a node is 0 for all of them"


def test_what_is_wanted_becomes_configuration() -> None:
    slots = Slots(
        memory_mb=2000, wall_s=3600, disk_mb=10, cpus=2, gpus=1, kinds=("onsite", "offsite"), sites=("A", "B"),
        avoid_sites=("C",), avoid_nodes=("bad.x",),
    )  # fmt: skip
    tags = {"POMS4_CAMPAIGN_ID": "17", "POMS4_CAMPAIGN_NAME": 'say "$x" \\', "POMS4_VERSION": "007"}
    found = words.environment(Wanted("11", tags, slots, -5), site_attribute="GLIDEIN_Site")
    assert found["_CONDOR_SUBMIT_EXPRS"].split() == [
        *tags, "POMS_SUBMISSION_ID", "AllowedJobDuration", "JOB_EXPECTED_MAX_LIFETIME", "RequestGPUs",
        "DESIRED_usage_model", "DESIRED_Sites", "Blacklist_Sites", "JobPrio",
    ]  # fmt: skip
    assert all(f"_CONDOR_{name}" in found for name in found["_CONDOR_SUBMIT_EXPRS"].split())
    assert found["_CONDOR_POMS_SUBMISSION_ID"] == '"11"', "a string, whatever it looks like"
    assert (found["_CONDOR_POMS4_CAMPAIGN_ID"], found["_CONDOR_POMS4_VERSION"]) == ("17", '"007"')
    assert found["_CONDOR_POMS4_CAMPAIGN_NAME"] == '"say \\"$(DOLLAR)x\\" \\\\"'
    assert found["_CONDOR_DESIRED_usage_model"] == '"DEDICATED,OPPORTUNISTIC,OFFSITE"'
    assert found["_CONDOR_JOB_DEFAULT_REQUESTDISK"] == "10240"
    assert found["_CONDOR_APPEND_REQUIREMENTS"] == (
        '(TARGET.Machine =!= "bad.x") && (TARGET.GLIDEIN_Site =!= "C") && '
        '(TARGET.GLIDEIN_Site =?= undefined || TARGET.GLIDEIN_Site =?= "A" || TARGET.GLIDEIN_Site =?= "B")'
    )
    added = json.loads(found["POMS_SUBMIT_WORDS"])["condor_submit"]
    assert added[-2:] == [["-append"], ['+POMS_SUBMISSION_ID="11"']]


def test_settings_that_cannot_be_meant_are_refused() -> None:
    with pytest.raises(Refused, match="names no schedds"):
        HTCondorBatch({})
    with pytest.raises(Refused, match="none of the schedds"):
        HTCondorBatch({"schedds": ["a"], "event_logs": {"b": "/x"}})
    system = HTCondorBatch({"schedds": "a b, c"})
    assert system.schedds == ("a", "b", "c")
    assert HTCondorBatch({"schedds": "a"}).environment(Wanted("u"))["_CONDOR_SCHEDD_HOST"] == "a"
    assert "_CONDOR_SCHEDD_HOST" not in system.environment(Wanted("u"))
    assert system.jobs(["nonsense"]) == ([], ["nonsense"])
    assert system.find([]) == {}
