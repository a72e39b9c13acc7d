"""What is asked of HTCondor, in a process of its own: a request in JSON on standard input, answers on standard output.

A process of its own, because the library ends the process it is in when a configuration does not suit it, holds
Python's lock while it waits for a daemon, and knows one configuration (CONDOR_CONFIG) for all that a process does.
Nothing of POMS is imported here, and nothing of POMS imports this.

An answer is {"schedds": {name: …}} or {"error": text}; a schedd that did not answer has {"error": text}.
"""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import htcondor2

TAG = "POMS_SUBMISSION_ID"
OURS = f"({TAG} =!= undefined || DAGManJobId =!= undefined)"
# When something happened to a job in the queue; whoever asks for changes asks for these.
TIMES = (
    "EnteredCurrentStatus", "JobCurrentStartDate", "JobCurrentStartExecutingDate", "JobCurrentStartTransferOutputDate",
    "LastSuspensionTime", "QDate",
)  # fmt: skip
# A job is in the history about a second after it has left the queue: who is in neither is looked for again.
LATE_HISTORY_S = 1.5
DEEPEST = 8  # DAGs within DAGs
# What the collector knows of a schedd.
KNOWN = ["Name", "MyAddress", "CondorVersion", "MyCurrentTime", "TotalIdleJobs", "TotalRunningJobs", "TotalHeldJobs"]
DAGMAN = 7  # the universe of what the schedd itself runs
MISSING = "the collector does not know it: it is down, or its name is wrong"


def main() -> int:
    """Answer one request."""
    request = json.load(sys.stdin)
    try:
        answer = answered(request)
    except Exception as error:  # noqa: BLE001 - the library raises anything; the asker makes it Unavailable
        answer = {"error": f"{type(error).__name__}: {error}"}
    json.dump(answer, sys.stdout)
    return 0


def answered(request: dict[str, Any]) -> dict[str, Any]:
    """Return the answer of each schedd, and what the collector says where that is asked."""
    collector = htcondor2.Collector(request["collectors"] or None)
    answers: dict[str, Any] = {}
    found = {ad["Name"]: ad for ad in collector.query(htcondor2.AdType.Schedd, "true", KNOWN)}
    for name, question in request["schedds"].items():
        if name not in found:
            answers[name] = {"error": MISSING}
            continue
        try:
            answers[name] = VERBS[request["ask"]](Schedd(found[name]), question)
        except Exception as error:  # noqa: BLE001 - as above; the other schedds are asked all the same
            answers[name] = {"error": f"{type(error).__name__}: {error}"}
    answer: dict[str, Any] = {"schedds": answers}
    if request.get("slots"):
        ads = collector.query(htcondor2.AdType.Startd, "true", ["Name", "Memory", "TotalSlotMemory"])
        answer["slots"] = len(ads)
        answer["memory_mb"] = max((int(ad.get("TotalSlotMemory", ad.get("Memory", 0))) for ad in ads), default=0)
    return answer


class Schedd:
    """One schedd: its queue, its history, and what it is told."""

    def __init__(self, ad: Any) -> None:
        self.ad = ad
        self.schedd = htcondor2.Schedd(ad)

    def queue(self, condition: str, wanted: Sequence[str]) -> list[dict[str, Any]]:
        """Return the jobs in the queue of which it is true."""
        return [plain(ad, wanted) for ad in self.schedd.query(condition, list(wanted))]

    def history(self, condition: str, wanted: Sequence[str], most: int = -1, since: str = "") -> list[dict[str, Any]]:
        """Return the jobs in the history, newest first, back to the one whose id is given."""
        ads = self.schedd.history(condition, list(wanted), most, since or None)
        return [plain(ad, wanted) | {"history": True} for ad in ads]

    def everywhere(self, condition: str, wanted: Sequence[str], most: int = -1) -> dict[str, dict[str, Any]]:
        """Return the jobs of which it is true by their ids, in queue and history, in this order: none slips through."""
        there = {key(ad): ad for ad in self.queue(condition, wanted)}
        return there | {key(ad): ad for ad in self.history(condition, wanted, most)}


def find(schedd: Schedd, question: dict[str, Any]) -> dict[str, Any]:
    """Return the ids of each uuid; those of nodes of a DAG too that carry no uuid."""
    uuids = question["uuids"]

    def look(missing: Iterable[str]) -> dict[str, list[str]]:
        tagged = schedd.everywhere(f"member({TAG}, {texts(missing)})", ["ClusterId", "ProcId", TAG, "JobUniverse"])
        found: dict[str, list[str]] = {}
        for job_id, ad in tagged.items():
            found.setdefault(ad[TAG], []).append(job_id)
        above = {ad["ClusterId"]: ad[TAG] for ad in tagged.values() if ad.get("JobUniverse") == DAGMAN}
        for _ in range(DEEPEST):
            if not above:
                break
            condition = f"member(DAGManJobId, {numbers(above)}) && {TAG} =?= undefined"
            nodes = schedd.everywhere(condition, ["ClusterId", "ProcId", "DAGManJobId", "JobUniverse"])
            for job_id, ad in nodes.items():
                found[above[ad["DAGManJobId"]]].append(job_id)
            above = {
                ad["ClusterId"]: above[ad["DAGManJobId"]]
                for ad in nodes.values()
                if ad.get("JobUniverse") == DAGMAN
            }  # fmt: skip
        return found

    found = look(uuids)
    missing = [uuid for uuid in uuids if uuid not in found]
    if missing and question["sure"]:
        time.sleep(LATE_HISTORY_S)
        found |= look(missing)
    return {"found": found}


def snapshot(schedd: Schedd, question: dict[str, Any]) -> dict[str, Any]:
    """Return what has changed since a time of this schedd's clock, and what its history has since a job of it."""
    # Where the history ends is asked first: what comes to it meanwhile is told twice, never left out.
    newest = schedd.history("true", ["ClusterId", "ProcId"], 1)
    condition, since = OURS, question.get("time", 0)
    if since:
        condition += f" && ({' || '.join(f'{name} >= {int(since)}' for name in TIMES)})"
    ads = schedd.queue(condition, question["wanted"])
    ads += schedd.history(OURS, question["wanted"], since=question.get("history", ""))
    _name_nodes(schedd, ads)
    clock = max([int(schedd.ad.get("MyCurrentTime", 0)), *(int(ad.get("ServerTime", 0)) for ad in ads)])
    return {"ads": ads, "time": clock, "history": key(newest[0]) if newest else ""}


def jobs(schedd: Schedd, question: dict[str, Any]) -> dict[str, Any]:
    """Return the jobs of these ids, wherever they are."""
    ads = _of_ids(schedd, question["ids"], question["wanted"])
    _name_nodes(schedd, ads.values())
    return {"ads": list(ads.values())}


def act(schedd: Schedd, question: dict[str, Any]) -> dict[str, Any]:
    """Do something to jobs; return for each id what became of it."""
    ids, verb, value = question["ids"], question["verb"], question["value"]
    wanted = ["ClusterId", "ProcId", "JobStatus", "JobPrio"]
    before = _of_ids(schedd, ids, wanted)
    outcomes = {job_id: _why_not(verb, value, before.get(job_id)) for job_id in ids}
    todo = [job_id for job_id, outcome in outcomes.items() if outcome == "done"]
    if not todo:
        return {"outcomes": outcomes}
    objection = _apply(schedd, verb, todo, question["reason"], value)
    if objection:
        after = _of_ids(schedd, todo, wanted)
        for job_id in todo:
            why = _why_not(verb, value, after.get(job_id))
            outcomes[job_id] = {"already": "done", "done": f"refused: {objection}"}.get(why, why)
    return {"outcomes": outcomes}


def depth(schedd: Schedd, question: dict[str, Any]) -> dict[str, Any]:
    """Return what the schedd has last told the collector of its queue."""
    return {name: int(schedd.ad.get(f"Total{name.title()}Jobs", 0)) for name in ("idle", "running", "held")}


VERBS: dict[str, Callable[[Schedd, dict[str, Any]], dict[str, Any]]] = {
    "find": find, "snapshot": snapshot, "jobs": jobs, "act": act, "depth": depth,
}  # fmt: skip


def _apply(schedd: Schedd, verb: str, ids: list[str], reason: str, value: int) -> str:
    """Tell the schedd; return why not all was done, or nothing."""
    if verb == "prio":
        try:
            schedd.schedd.edit(ids, "JobPrio", str(value))
        except htcondor2.HTCondorException as error:
            return str(error)
        return ""
    action = {"hold": "Hold", "release": "Release", "remove": "Remove"}[verb]
    # A reason that comes without a code is dropped by the library.
    told = schedd.schedd.act(getattr(htcondor2.JobAction, action), ids, (reason, 0))
    if told is None:
        return "the schedd did not say what it did"
    if told["TotalSuccess"] == len(ids):
        return ""
    if told["TotalPermissionDenied"]:
        return "the account of POMS may not do that to it"
    return "the schedd did not do it"


def _why_not(verb: str, value: int, ad: dict[str, Any] | None) -> str:
    if ad is None:
        return "absent"
    status = ad["JobStatus"]
    if status == 3:
        return "already" if verb == "remove" else "refused: the job was removed"
    if status == 4:
        return "refused: the job has ended"
    if verb == "hold":
        return "already" if status == 5 else "done"
    if verb == "release":
        return "done" if status == 5 else "already"
    if verb == "prio":
        return "already" if ad.get("JobPrio") == value else "done"
    return "done"


def _of_ids(schedd: Schedd, ids: Sequence[str], wanted: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return the jobs of these ids; the history is asked only for those that are not in the queue."""
    there: dict[str, dict[str, Any]] = {}
    for turn, look in enumerate((schedd.queue, schedd.history, schedd.history)):
        missing = {job_id for job_id in ids if job_id not in there}
        if not missing:
            break
        if turn == 2:
            time.sleep(LATE_HISTORY_S)
        condition = f"member(ClusterId, {numbers({job_id.partition('.')[0] for job_id in missing})})"
        there |= {key(ad): ad for ad in look(condition, wanted) if key(ad) in missing}
    return there


def _name_nodes(schedd: Schedd, ads: Iterable[dict[str, Any]]) -> None:
    """Write the uuid of a DAG into those of its nodes that carry none."""
    bare = [ad for ad in ads if TAG not in ad and "DAGManJobId" in ad]
    uuids = {ad["ClusterId"]: ad[TAG] for ad in ads if TAG in ad}
    above = {ad["ClusterId"]: ad["DAGManJobId"] for ad in bare}
    for _ in range(DEEPEST):
        unknown = {cluster for cluster in above.values() if cluster not in uuids and cluster not in above}
        if not unknown:
            break
        asked = schedd.everywhere(
            f"member(ClusterId, {numbers(unknown)})", ["ClusterId", "ProcId", TAG, "DAGManJobId"], len(unknown)
        )
        for ad in asked.values():
            if TAG in ad:
                uuids[ad["ClusterId"]] = ad[TAG]
            elif "DAGManJobId" in ad:
                above[ad["ClusterId"]] = ad["DAGManJobId"]
        for cluster in unknown - {ad["ClusterId"] for ad in asked.values()}:
            uuids[cluster] = ""
    for ad in bare:
        cluster = ad["ClusterId"]
        for _ in range(DEEPEST):
            if cluster in uuids or cluster not in above:
                break
            cluster = above[cluster]
        if uuids.get(cluster):
            ad[TAG] = uuids[cluster]


def plain(ad: Any, wanted: Sequence[str]) -> dict[str, Any]:
    """Return the attributes that are wanted and have a value, as JSON has it."""
    found = {}
    for name in wanted:
        if name in ad:
            value = ad.eval(name)
            if isinstance(value, str | int | float | bool) and str(value) not in ("Undefined", "Error"):
                found[name] = value
    return found


def key(ad: dict[str, Any]) -> str:
    """Return the id of a job within its schedd."""
    return f"{ad['ClusterId']}.{ad['ProcId']}"


def texts(words: Iterable[str]) -> str:
    """Return a list of strings as a ClassAd has it; the words are of letters, digits and hyphens."""
    return "{" + ",".join(f'"{word}"' for word in words if re.fullmatch(r"[\w.-]+", word)) + "}"


def numbers(values: Iterable[Any]) -> str:
    """Return a list of numbers as a ClassAd has it."""
    return "{" + ",".join(str(int(value)) for value in values) + "}"


if __name__ == "__main__":
    sys.exit(main())
