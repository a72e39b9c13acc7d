"""From a job's ClassAd to a job as POMS knows it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from integrations.batch.base import JobSeen

TAG = "POMS_SUBMISSION_ID"
INDEX = "POMS_JOB_INDEX"
DAGMAN, LOCAL = 7, 12  # universes of jobs that run where the schedd is
# Where a slot is, the first that is there: as the job asked for it, as glide-ins report it, as the schedd notes it.
SITES = ("MATCH_GLIDEIN_Site", "MATCH_EXP_JOB_GLIDEIN_Site", "JOB_Site", "MachineAttrGLIDEIN_Site0")
WANTED = (
    "ClusterId", "ProcId", TAG, INDEX, "JobUniverse", "JobStatus", "EnteredCurrentStatus", "QDate", "ServerTime",
    "JobCurrentStartDate", "JobCurrentStartExecutingDate", "JobCurrentStartTransferOutputDate", "CompletionDate",
    "LastSuspensionTime", "TransferringInput", "TransferringOutput", "NumJobStarts", "NumShadowStarts", "JobRunCount",
    "ExitCode", "ExitBySignal", "ExitSignal", "HoldReason", "HoldReasonCode", "HoldReasonSubCode", "RemoveReason",
    "VacateReason", "RemoteHost", "LastRemoteHost", "RemoteWallClockTime", "RemoteUserCpu", "RemoteSysCpu",
    "MemoryUsage", "ResidentSetSize", "DAGManJobId", "DAGNodeName", "DAG_NodesTotal", "DAG_NodesDone",
    "DAG_NodesFailed", "RequestCpus", *SITES,
)  # fmt: skip
STATES = {1: "idle", 2: "processing", 3: "removed", 4: "succeeded", 5: "held", 6: "staging_out", 7: "suspended"}


def seen(ad: Mapping[str, Any], schedd: str, onsite: tuple[str, ...] = ()) -> JobSeen:
    """Return the job that an ad describes; ads without a uuid are nobody's."""
    state, at = _state(ad)
    code, reason = _why(ad, state)
    running = state in ("staging_in", "processing", "staging_out", "suspended")
    host = str(ad.get("RemoteHost" if running else "LastRemoteHost", "") or ad.get("LastRemoteHost", ""))
    site = next((str(ad[name]) for name in SITES if ad.get(name)), "")
    by_signal = bool(ad.get("ExitBySignal"))
    ended = ad["JobStatus"] == 4
    return JobSeen(
        id=f"{ad['ClusterId']}.{ad['ProcId']}@{schedd}",
        uuid=str(ad.get(TAG, "")),
        state=state,
        starts=max(int(ad.get(name, 0)) for name in ("NumJobStarts", "NumShadowStarts", "JobRunCount")),
        at=at,
        index=_index(ad),
        code=code,
        exit_code=int(ad["ExitCode"]) if ended and not by_signal and "ExitCode" in ad else None,
        signal=int(ad["ExitSignal"]) if ended and by_signal and "ExitSignal" in ad else None,
        node=host.rpartition("@")[2],
        site=site,
        slot_type=_slot_type(ad, site, onsite),
        memory_mb=_number(ad.get("MemoryUsage")),
        cpu_s=_cpu(ad),
        wall_s=_number(ad.get("RemoteWallClockTime")) if not running else None,
        cpus=int(_number(ad.get("RequestCpus")) or 0) or None,
        reason=reason,
    )


def _state(ad: Mapping[str, Any]) -> tuple[str, float]:
    """Return the state, and the epoch second at which it began."""
    state = STATES.get(ad["JobStatus"], "idle")
    times = [ad.get("EnteredCurrentStatus", ad.get("QDate", 0))]
    if state == "processing" and ad.get("JobUniverse") not in (DAGMAN, LOCAL):
        began, executing = ad.get("JobCurrentStartDate", 0), ad.get("JobCurrentStartExecutingDate", 0)
        times.append(began)
        if executing < began or ad.get("TransferringInput"):
            state = "staging_in"
        elif ad.get("TransferringOutput") or ad.get("JobCurrentStartTransferOutputDate", 0) >= max(executing, 1):
            state = "staging_out"
            times.append(ad.get("JobCurrentStartTransferOutputDate", 0))
        else:
            times.append(executing)
    if state == "succeeded":
        times.append(ad.get("CompletionDate", 0))
        if ad.get("ExitBySignal") or ad.get("ExitCode", 0) != 0:
            state = "failed"
    return state, float(max(times))


def _why(ad: Mapping[str, Any], state: str) -> tuple[str, str]:
    """Return the batch system's own word for why, and a sentence."""
    if state == "held":
        code = f"held {ad.get('HoldReasonCode', 0)}.{ad.get('HoldReasonSubCode', 0)}"
        return code, str(ad.get("HoldReason", "held"))
    if state == "removed":
        return "removed", str(ad.get("RemoveReason", "removed"))
    if state == "failed":
        if ad.get("ExitBySignal"):
            code, reason = "signal", f"ended by signal {ad.get('ExitSignal', '?')}"
        else:
            code, reason = "exit", f"ended with exit code {ad.get('ExitCode', '?')}"
        return code, reason + _nodes(ad)
    if state == "idle" and ad.get("VacateReason"):
        return "vacated", str(ad["VacateReason"])
    return "", ""


def _nodes(ad: Mapping[str, Any]) -> str:
    if ad.get("JobUniverse") != DAGMAN or "DAG_NodesTotal" not in ad:
        return ""
    done, failed, total = (ad.get(f"DAG_Nodes{name}", 0) for name in ("Done", "Failed", "Total"))
    return f": of the {total} nodes of its DAG {done} are done and {failed} failed; a rescue DAG lies beside the DAG"


def _index(ad: Mapping[str, Any]) -> int | None:
    """Return which job of its submission it is: as it says; a node of a DAG that does not say is none of a row."""
    if INDEX in ad:
        try:
            return int(ad[INDEX])
        except ValueError:
            return None
    return None if "DAGManJobId" in ad or ad.get("JobUniverse") == DAGMAN else int(ad["ProcId"])


def _slot_type(ad: Mapping[str, Any], site: str, onsite: tuple[str, ...]) -> str:
    if ad.get("JobUniverse") == DAGMAN:
        return "dagman"
    if not site or not onsite:
        return ""
    return "onsite" if site in onsite else "offsite"


def _cpu(ad: Mapping[str, Any]) -> float | None:
    used = [_number(ad.get(name)) for name in ("RemoteUserCpu", "RemoteSysCpu")]
    return sum(value or 0 for value in used) if any(value is not None for value in used) else None


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
