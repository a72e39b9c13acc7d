"""The batch system `jobsub`: Fermilab's commands around HTCondor, of which only what they print can be believed.

They run a command of HTCondor for each schedd, put what it prints one after another, and end with 0 whatever it did. So
each schedd is asked by itself; an answer is one that looks like an answer; and that nothing matches is believed only
where the schedd has counted: `jobsub_q -json` prints nothing then, as it does when something fails.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from integrations import process
from integrations.batch import attributes
from integrations.batch.base import Capabilities, JobSeen, Slots, Snapshot, Wanted
from integrations.batch.htcondor import ads
from integrations.errors import Refused, Unavailable, Unsure

TAG = ads.TAG
JOB_ID = re.compile(r"(\d{1,9})\.(\d{1,9})@([A-Za-z0-9@._-]{1,80})")
VERBS = {"hold": "jobsub_hold", "release": "jobsub_release", "remove": "jobsub_rm"}
# What each of its models is made of; `--onsite` and `--offsite` are short for two of them.
USAGE = {
    "onsite": ("DEDICATED", "OPPORTUNISTIC"), "offsite": ("OFFSITE",), "opportunistic": ("OPPORTUNISTIC",),
    "dedicated": ("DEDICATED",),
}  # fmt: skip
# When something happened to a job in the queue; whoever asks for changes asks for these.
TIMES = (
    "EnteredCurrentStatus", "JobCurrentStartDate", "JobCurrentStartExecutingDate", "JobCurrentStartTransferOutputDate",
    "LastSuspensionTime", "QDate",
)  # fmt: skip
# Clocks of schedd and shadow, and what they write late: so much is told twice rather than never.
OVERLAP_S = 60
# A job is in the history about a second after it has left the queue: who is in neither is looked for again.
LATE_HISTORY_S = 1.5
# One word of a command line holds 128 KiB.
MOST_IN_A_QUESTION = 1_000
MOST_TEXT = 65_536
PASSED_ON = ("PATH", "HOME", "USER", "LOGNAME", "LANG", "TZ", "TMPDIR", "KRB5CCNAME", "CONDOR_CONFIG")
COUNTED = re.compile(
    r"(?P<all>\d+) (?:jobs;|total;) \d+ completed, \d+ removed, (?P<idle>\d+) idle, (?P<running>\d+) running, "
    r"(?P<held>\d+) held"
)
# What it says on standard error although all is well.
HARMLESS = re.compile(r"(?:Note: tracing not available here\.?|Continuing without tracing\.*|\s)*")


class JobsubBatch:
    """One group at its schedds; tokens are found by reference."""

    capabilities = Capabilities(find_by_uuid=True, hold=True, priority=False, history_days=30.0)

    def __init__(self, settings: Mapping[str, Any], *, seconds: float = 60.0) -> None:
        """Read a row's settings; raise Refused for those that cannot be meant."""
        self.group = str(settings.get("group", ""))
        self.schedds = _names(settings, "schedds")
        if not self.group or not self.schedds:
            raise Refused("The batch system names no group or no schedds. Enter what follows the @ in ids of its jobs.")
        self.role = str(settings.get("role", ""))
        self.path = str(settings.get("path", ""))
        self.token_file = str(settings.get("token_file", ""))
        self.more = {str(name): str(value) for name, value in dict(settings.get("environment") or {}).items()}
        self.onsite = _names(settings, "onsite_sites")
        self.slots = int(settings.get("slots") or 0)
        self.memory_mb = int(settings.get("memory_mb") or 0)
        self.seconds = seconds

    def environment(self, wanted: Wanted) -> dict[str, str]:
        """Return the words for jobsub_submit, and the same for one that is called past the submit wrapper.

        jobsub_lite reads JOBSUB_EXTRA_*, lists with commas. What is configured by _CONDOR_* reaches the job of DAGMan,
        which gets no lines.
        """
        tags = {**wanted.tags, TAG: wanted.uuid}
        lines = attributes.lines(tags)
        names = [name for name in tags if name != "FIFE_CATEGORIES"]
        words = [[word] for line in lines for word in ("-l", line)]
        words += [[word] for name in names for word in ("-e", name)]
        extra = [line for line in attributes.lines({**tags, **_semicolons(tags)}) if "," not in line]
        return {
            "POMS_SUBMIT_WORDS": json.dumps({"jobsub_submit": _pairs(wanted.slots) + words}),
            "POMS_SUBMISSION_ID": wanted.uuid,
            "JOBSUB_GROUP": self.group,
            "GROUP": self.group,
            "JOBSUB_EXTRA_LINES": ",".join(extra),
            "JOBSUB_EXTRA_ENVIRONMENT": ",".join(names),
            "_CONDOR_SUBMIT_EXPRS": TAG,
            f"_CONDOR_{TAG}": attributes.quoted(wanted.uuid),
        }

    def find(self, uuids: Sequence[str]) -> dict[str, list[str]]:
        """Return the job ids of each uuid, those of DAGMan among them."""
        found: dict[str, list[str]] = {uuid: [] for uuid in uuids}
        for schedd in self.schedds if uuids else ():
            for some in _parts(uuids):
                for ad in self._everywhere(schedd, some, ("ClusterId", "ProcId", TAG)):
                    if ad.get(TAG) in found:
                        found[ad[TAG]].append(_id(ad, schedd))
        return {uuid: sorted(dict.fromkeys(ids), key=_in_order) for uuid, ids in found.items()}

    def snapshot(self, since: str) -> Snapshot:
        """Return what changed after the position: for each schedd a time of its clock and its last ended job."""
        before, after, seen = _position(since), {}, []
        for schedd in self.schedds:
            mine = before.get(schedd, {})
            # Where the history ends is asked first: what comes to it meanwhile is told twice, never left out.
            newest = self._history(schedd, "true", ("ClusterId", "ProcId"), "-limit", "1")
            began = max(0, int(mine.get("time", 0)) - OVERLAP_S)
            condition = f"{TAG} =!= undefined"
            if began:
                condition += f" && ({' || '.join(f'{name} >= {began}' for name in TIMES)})"
            there = self._queue(schedd, condition, ads.WANTED, sure=False)
            last = ["-since", mine["history"]] if mine.get("history") else []
            there += self._history(schedd, f"{TAG} =!= undefined", ads.WANTED, *last)
            seen += [ads.seen(ad, schedd, self.onsite) for ad in there]
            after[schedd] = {
                "time": max([int(mine.get("time", 0)), *(int(ad.get("ServerTime", 0)) for ad in there)]),
                "history": _number(newest[0]) if newest else "",
            }
        return Snapshot(json.dumps(after, sort_keys=True), seen)

    def jobs(self, ids: Sequence[str]) -> tuple[list[JobSeen], list[str]]:
        """Return the jobs, and the ids that their schedds, having answered, do not know."""
        found = {job_id: ads.seen(ad, schedd, self.onsite) for job_id, schedd, ad in self._of_ids(ids, ads.WANTED)}
        return list(found.values()), [job_id for job_id in ids if job_id not in found]

    def act(self, verb: str, *, ids: Sequence[str], reason: str, value: int = 0) -> dict[str, str]:
        """Hold, release or remove; what became of each is looked up, for the command does not tell."""
        if verb not in (*VERBS, "prio"):
            raise Refused(f"jobsub knows no {verb}")
        wanted = ("ClusterId", "ProcId", "JobStatus")
        before = {job_id: ad for job_id, _, ad in self._of_ids(ids, wanted)}
        outcomes = {job_id: _outcome(verb, before.get(job_id)) for job_id in ids}
        todo: dict[str, list[str]] = defaultdict(list)
        for job_id, outcome in outcomes.items():
            if outcome == "done":
                todo[_schedd(job_id)].append(job_id)
        for schedd, mine in todo.items():
            words = ["--jobid", ",".join(mine), *(["-reason", _one_line(reason)] if reason else [])]
            said = self._run(VERBS[verb], *words, changing=True)
            after = {job_id: ad for job_id, _, ad in self._of_ids(mine, wanted)}
            for job_id in mine:
                now = _outcome(verb, after.get(job_id))
                why = _last_line(said.stderr) or f"{schedd} did not do it"
                outcomes[job_id] = {"already": "done", "done": f"refused: {why}"}.get(now, now)
        return outcomes

    def log(self, job_id: str, stream: str, offset: int, length: int) -> dict[str, Any]:
        """Return a piece of what a job printed, fetched anew each time."""
        _, absent = self.jobs([job_id])
        if absent:
            raise Refused(f"No schedd knows the job {job_id[:60]}.")
        cluster, proc, _ = _parsed(job_id)
        with tempfile.TemporaryDirectory(prefix="poms-jobsub-") as name:
            said = self._run("jobsub_fetchlog", "--jobid", job_id, "--destdir", name, "--partial")
            ending = {"out": ".out", "err": ".err"}[stream]
            files = sorted(Path(name).rglob(f"*{ending}"))
            own = [file for file in files if file.name.endswith(f".{cluster}.{proc}{ending}")] or files
            if not own:
                why = _last_line(said.stderr) or _last_line(said.stdout) or "it says nothing"
                if said.exit_code == 0 and any(Path(name).iterdir()):
                    raise Refused(f"The logs of {job_id} have no {ending}.")
                raise Unavailable(f"jobsub_fetchlog brought nothing of {job_id}: {why}")
            with own[0].open("rb") as file:
                total = file.seek(0, os.SEEK_END)
                file.seek(min(offset, total))
                data = file.read(min(length, MOST_TEXT))
        return {"text": data.decode(errors="replace"), "total": total}

    def depth(self) -> dict[str, int]:
        """Return how many of the group's jobs are idle, running and held; of slots only the settings know."""
        counts = {"idle": 0, "running": 0, "held": 0}
        for schedd in self.schedds:
            counted = self._counted(schedd, f"Jobsub_Group =?= {attributes.quoted(self.group)}")
            counts = {name: number + int(counted[name]) for name, number in counts.items()}
        return {**counts, "slots": self.slots, "memory_mb": self.memory_mb}

    # --- Questions ------------------------------------------------------------------------------------------------

    def _everywhere(self, schedd: str, uuids: Sequence[str], wanted: Sequence[str]) -> list[dict[str, Any]]:
        """Return the jobs of uuids in queue and history, in this order: none slips through."""
        found, missing = [], list(uuids)
        for pause in (0.0, LATE_HISTORY_S):
            time.sleep(pause if missing else 0.0)
            if missing:
                condition = f"member({TAG}, {_texts(missing)})"
                found += self._queue(schedd, condition, wanted, sure=True)
                found += self._history(schedd, condition, wanted)
                there = {ad.get(TAG) for ad in found}
                missing = [uuid for uuid in missing if uuid not in there]
        return found

    def _of_ids(self, ids: Sequence[str], wanted: Sequence[str]) -> Iterator[tuple[str, str, dict[str, Any]]]:
        """Yield id, schedd and ad of jobs; the history is asked only for those that are not in the queue."""
        by_schedd: dict[str, set[str]] = defaultdict(set)
        for job_id in ids:
            if JOB_ID.fullmatch(job_id) and _schedd(job_id) in self.schedds:
                by_schedd[_schedd(job_id)].add(job_id)
        for schedd, mine in by_schedd.items():
            for look in ("queue", "history", "late"):
                missing = sorted(mine)
                time.sleep(LATE_HISTORY_S if look == "late" and missing else 0.0)
                for some in _parts(sorted({int(_parsed(job_id)[0]) for job_id in missing})):
                    condition = f"member(ClusterId, {{{','.join(map(str, some))}}})"
                    if look == "queue":
                        there = self._queue(schedd, condition, wanted, sure=True)
                    else:
                        there = self._history(schedd, condition, wanted)
                    for ad in there:
                        job_id = _id(ad, schedd)
                        if job_id in mine:
                            mine.discard(job_id)
                            yield job_id, schedd, ad

    def _queue(self, schedd: str, condition: str, wanted: Sequence[str], *, sure: bool) -> list[dict[str, Any]]:
        """Return the jobs in the queue of which it is true; if `sure`, none is an answer only if the schedd counts."""
        said = self._run("jobsub_q", "-name", schedd, "-allusers", "--constraint", condition, *_as_json(wanted))
        found = _arrays(said.stdout)
        if found is None:
            if not HARMLESS.fullmatch(said.stderr.decode(errors="replace")):
                raise Unavailable(f"{schedd} does not answer: {_last_line(said.stderr)}")
            if sure and int(self._counted(schedd, condition)["all"]) != 0:
                raise Unavailable(f"{schedd} counts jobs that jobsub_q does not show")
        return found or []

    def _history(self, schedd: str, condition: str, wanted: Sequence[str], *more: str) -> list[dict[str, Any]]:
        """Return ended jobs of which it is true, newest first; the command prints brackets around nothing too."""
        said = self._run("jobsub_history", "-name", schedd, "--constraint", condition, *more, *_as_json(wanted))
        found = _arrays(said.stdout)
        if found is None:
            raise Unavailable(f"{schedd} does not tell its history: {_last_line(said.stderr) or 'nothing was printed'}")
        return found

    def _counted(self, schedd: str, condition: str) -> re.Match[str]:
        """Return what the schedd counts, which is proof that it answered."""
        said = self._run("jobsub_q", "-name", schedd, "-allusers", "-nobatch", "-totals", "--constraint", condition)
        found = COUNTED.search(said.stdout.decode(errors="replace"))
        if found is None:
            raise Unavailable(f"{schedd} does not count its jobs: {_last_line(said.stderr) or 'nothing was printed'}")
        return found

    def _run(self, command: str, *words: str, changing: bool = False) -> process.Finished:
        role = ["--role", self.role] if self.role else []
        argv = [command, "-G", self.group, *role, *words]
        env = {name: os.environ[name] for name in PASSED_ON if name in os.environ} | self.more
        env |= {"GROUP": self.group, "JOBSUB_GROUP": self.group}
        if self.token_file:
            env["BEARER_TOKEN_FILE"] = self.token_file
        if self.path:
            env["PATH"] = f"{self.path}:{env.get('PATH', '/usr/bin:/bin')}"
            argv[0] = f"{self.path}/{command}"
        try:
            return process.run(argv, seconds=self.seconds, env=env)
        except Unsure as error:
            raise error if changing else Unavailable(str(error)) from error


def _pairs(slots: Slots) -> list[list[str]]:
    """Return the options of what is wanted of a slot; each is left out where the script says it itself."""
    usage = {model for kind in slots.kinds for model in USAGE.get(kind, ())}
    models = ",".join(model for model in ("DEDICATED", "OPPORTUNISTIC", "OFFSITE") if model in usage)
    nodes = " && ".join(f"(TARGET.Machine =!= {attributes.quoted(node)})" for node in slots.avoid_nodes)
    said = {
        "--memory": f"{slots.memory_mb}MB" if slots.memory_mb else "",
        "--disk": f"{slots.disk_mb}MB" if slots.disk_mb else "",
        "--expected-lifetime": f"{slots.wall_s}s" if slots.wall_s else "",
        "--cpu": str(slots.cpus) if slots.cpus > 1 else "",
        "--gpu": str(slots.gpus) if slots.gpus else "",
        "--resource-provides": f"usage_model={models}" if models else "",
        "--site": ",".join(slots.sites),
        "--blocklist": ",".join(slots.avoid_sites),
        "--append_condor_requirements": nodes,
    }
    return [[option, value] for option, value in said.items() if value]


def _semicolons(tags: Mapping[str, str]) -> dict[str, str]:
    """Return the categories as they are written where commas part lines."""
    return {name: tags[name].replace(",", ";") for name in ("FIFE_CATEGORIES",) if name in tags}


def _outcome(verb: str, ad: Mapping[str, Any] | None) -> str:
    """Return "done" where something is to be done to a job, else why not."""
    if ad is None:
        return "absent"
    status = ad["JobStatus"]
    if status == 3:
        return "already" if verb == "remove" else "refused: the job was removed"
    if status == 4:
        return "refused: the job has ended"
    if verb == "prio":
        return "refused: jobsub has no command for priorities"
    if verb == "remove":
        return "done"
    return "done" if (verb == "hold") != (status == 5) else "already"


def _as_json(wanted: Sequence[str]) -> list[str]:
    return ["-json", "-attributes", ",".join(wanted)]


def _arrays(printed: bytes) -> list[dict[str, Any]] | None:
    """Return the ads of all JSON arrays in what was printed, whatever stands around them; None if there is no array.

    Raises Unavailable for one that breaks off.
    """
    text, decoder, found, place = printed.decode(errors="replace"), json.JSONDecoder(), [], 0
    there = False
    for begin in re.finditer(r"^\[", text, re.MULTILINE):
        if begin.start() < place:
            continue
        try:
            part, place = decoder.raw_decode(text, begin.start())
        except ValueError as error:
            raise Unavailable(f"what jobsub prints breaks off: {text[-200:]!r}") from error
        there = True
        found += [_plain(ad) for ad in part if isinstance(ad, dict) and "ClusterId" in ad and "ProcId" in ad]
    return found if there else None


def _plain(ad: Mapping[str, Any]) -> dict[str, Any]:
    """Return an ad without what is no value: expressions are printed as texts of a form of their own."""
    return {
        name: value
        for name, value in ad.items()
        if isinstance(value, str | int | float) and not (isinstance(value, str) and value.startswith("/Expr("))
    }


def _texts(words: Iterable[str]) -> str:
    """Return a list of strings as a ClassAd has it."""
    return "{" + ",".join(attributes.quoted(word) for word in words) + "}"


def _parts(items: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for first in range(0, len(items), MOST_IN_A_QUESTION):
        yield items[first : first + MOST_IN_A_QUESTION]


def _id(ad: Mapping[str, Any], schedd: str) -> str:
    return f"{_number(ad)}@{schedd}"


def _number(ad: Mapping[str, Any]) -> str:
    return f"{ad['ClusterId']}.{ad['ProcId']}"


def _parsed(job_id: str) -> tuple[str, str, str]:
    found = JOB_ID.fullmatch(job_id)
    return (found[1], found[2], found[3]) if found else ("", "", "")


def _schedd(job_id: str) -> str:
    return _parsed(job_id)[2]


def _in_order(job_id: str) -> tuple[str, int, int]:
    cluster, proc, schedd = _parsed(job_id)
    return schedd, int(cluster), int(proc)


def _position(since: str) -> dict[str, Any]:
    if not since:
        return {}
    try:
        return dict(json.loads(since))
    except ValueError as error:
        raise Refused(f"The position {since[:60]!r} is none of jobsub's; empty it to begin anew.") from error


def _names(settings: Mapping[str, Any], key: str) -> tuple[str, ...]:
    named = settings.get(key) or ()
    return tuple(part.strip() for part in named.split(",")) if isinstance(named, str) else tuple(map(str, named))


def _one_line(text: str) -> str:
    """Return a reason as a word that no command takes for an option."""
    return " ".join(text.split()).lstrip("-@") or "no reason was given"


def _last_line(text: bytes) -> str:
    lines = [line for line in text.decode(errors="replace").splitlines() if line.strip(" =-")]
    return lines[-1].strip()[:300] if lines else ""
