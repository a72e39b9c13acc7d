"""One of the jobsub commands: program.py NAME SETTINGS words…"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import re
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

RULE = f"\n{'=-' * 30}\n\n"
Ads = dict[str, dict[str, Any]]


def _quoted(value: str) -> str:
    """Return a value of the environment as a submit description has it, where both kinds of quotes are doubled."""
    doubled = value.replace('"', '""').replace("'", "''")
    return f"'{doubled}'"


def main() -> None:
    name, known, words = sys.argv[1], json.loads(sys.argv[2]), sys.argv[3:]
    place = Place(Path(known["home"]), known["condor"], known["schedd"])
    if name == "run":
        run_job(place, words[0])
        return
    order = place.orders().get(name, "")
    if order == "hang":
        time.sleep(3600)
    if order == "silent":
        return
    if order == "noise":
        print("Note: tracing not available here.\nContinuing without tracing...", flush=True)
        sys.stderr.write("Note: tracing not available here.\nContinuing without tracing...\n")
    if order == "garbage":
        print('[\n{"ClusterId": 12, "Pro')
        return
    if order == "down":
        sys.stderr.write(f"\n-- Failed to fetch ads from: <127.0.0.1:9615> : {place.schedd}\nSECMAN:2007:Failed.\n")
        if name == "jobsub_submit":
            sys.stderr.write(f"{RULE}Error: condor_submit exited with failed status code 1\n\n{RULE}\n")
        return
    {"jobsub_submit": submit, "jobsub_fetchlog": fetchlog}.get(name, ask)(place, name, words)
    if order == "lose":
        sys.stdout.flush()
        time.sleep(3600)


class Place:
    """What the commands know."""

    def __init__(self, home: Path, condor: str, schedd: str) -> None:
        self.home, self.condor, self.schedd = home, condor, schedd

    def orders(self) -> dict[str, str]:
        path = self.home / "orders.json"
        return json.loads(path.read_text()) if path.exists() else {}

    @contextmanager
    def queue(self) -> Iterator[Ads]:
        """Give the jobs, which are written back; one at a time."""
        with (self.home / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            path = self.home / "queue.json"
            ads = json.loads(path.read_text()) if path.exists() else {}
            yield ads
            (self.home / "queue.new").write_text(json.dumps(ads))
            (self.home / "queue.new").rename(path)


# --- jobsub_submit --------------------------------------------------------------------------------------------


def submit_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("jobsub_submit")
    parser.add_argument("-G", "--group", default=os.environ.get("JOBSUB_GROUP") or os.environ.get("GROUP"))
    for one in ("--role", "--subgroup", "--verbose", "--disk", "--memory", "--expected-lifetime", "--timeout",
                "--maxConcurrent", "--cpu", "--gpu", "-L", "--OS", "--tar_file_name", "--job-info", "-r", "-i", "-t"):  # fmt: skip
        parser.add_argument(one)
    parser.add_argument("--blocklist", "--blacklist")
    for one in ("-f", "--need-scope", "--resource-provides"):
        parser.add_argument(one, action="append", default=[])
    parser.add_argument(
        "-c", "--append_condor_requirements", "--append-condor-requirements", action="append", default=[]
    )
    parser.add_argument("-e", "--environment", action="append", default=[])
    parser.add_argument("-l", "--lines", action="append", default=[])
    parser.add_argument("-N", type=int, default=1)
    parser.add_argument("-n", "--no_submit", action="store_true")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--site")
    where.add_argument("--onsite", "--onsite-only", action="store_true")
    where.add_argument("--offsite", "--offsite-only", action="store_true")
    parser.add_argument("executable", nargs="?", type=executable)
    parser.add_argument("exe_arguments", nargs=argparse.REMAINDER)
    return parser


def executable(word: str) -> str:
    if not word.startswith("file://"):
        raise TypeError("executable must start with file://")
    return word


def submit(place: Place, name: str, words: list[str]) -> None:
    args = submit_parser().parse_args(words)
    if not args.group:
        raise SystemExit(f"{name} needs -G group or $GROUP in the environment.")
    args.lines += [line for line in os.environ.get("JOBSUB_EXTRA_LINES", "").split(",") if line]
    args.environment += [line for line in os.environ.get("JOBSUB_EXTRA_ENVIRONMENT", "").split(",") if line]
    if args.no_submit:
        print(f"NOT submitting file:\n{args.executable}\n")
        return
    wanted = {
        "RequestMemory": in_units(args.memory or "2GB", "MB", "MB"),
        "RequestDisk": in_units(args.disk or "100MB", "KB", "KB"),
        "RequestCpus": int(args.cpu or 1), "JOB_EXPECTED_MAX_LIFETIME": seconds(args.expected_lifetime or "8h"),
        "Jobsub_Group": args.group, "DESIRED_usage_model": usage(args), "JobsubCmd": args.executable.rpartition("/")[2],
    }  # fmt: skip
    for attribute, value in (
        ("DESIRED_Sites", args.site),
        ("Blacklist_Sites", args.blocklist),
        ("RequestGPUs", args.gpu),
    ):
        if value:
            wanted[attribute] = value
    said = {
        word.partition("=")[0]: os.environ[word] if "=" not in word else word.partition("=")[2]
        for word in args.environment
    }
    if place.condor:
        submit_to_pool(place, args, wanted, said)
    else:
        submit_here(place, args, wanted, said)


def usage(args: argparse.Namespace) -> str:
    for word in args.resource_provides:
        if word.startswith("usage_model="):
            return word.partition("=")[2]
    return (
        "OPPORTUNISTIC,DEDICATED" if args.onsite else "OFFSITE" if args.offsite else "DEDICATED,OPPORTUNISTIC,OFFSITE"
    )


def in_units(text: str, default: str, unit: str) -> int:
    units = {"KB": 1, "MB": 1024, "GB": 1024**2, "TB": 1024**3}
    found = re.fullmatch(r"([0-9.]+)([KMGT]B)?", text)
    return int(float(found[1]) * units[found[2] or default] / units[unit])


def seconds(text: str) -> int:
    text = {"short": "3h", "medium": "8h", "long": "85200s"}.get(text, text)
    return int(text.rstrip("smhd")) * {"s": 1, "m": 60, "h": 3600, "d": 86400}.get(text[-1], 1)


def tell(place: Place, said: str, cluster: str) -> None:
    sys.stdout.write(said)
    print(f"{RULE}Use job id {cluster}.0@{place.schedd} to retrieve output{RULE}")


def submit_to_pool(place: Place, args: argparse.Namespace, wanted: dict[str, Any], env: dict[str, str]) -> None:
    """Write a submit description and hand it to condor_submit, as jobsub_lite does; exit with 0 whatever comes of it."""
    folder = Path(place.home, str(uuid.uuid4()))
    folder.mkdir()
    folder.chmod(0o777)
    builtin = {"RequestMemory": "request_memory", "RequestDisk": "request_disk", "RequestCpus": "request_cpus"}
    lines = [
        "universe = vanilla", f"executable = {args.executable.removeprefix('file://')}", f"arguments = {' '.join(args.exe_arguments)}",
        f"output = {folder}/job.$(Cluster).$(Process).out", f"error = {folder}/job.$(Cluster).$(Process).err",
        f"log = {folder}/job.log", "transfer_executable = false", "should_transfer_files = NO", f"initialdir = {folder}",
        'environment = "{}"'.format(" ".join(f"{name}={_quoted(value)}" for name, value in env.items())),
        *(f"{builtin[name]} = {value}" for name, value in wanted.items() if name in builtin),
        *(f"+{name} = {json.dumps(value)}" for name, value in wanted.items() if name not in builtin),
        f'+JobsubJobId = "$(CLUSTER).$(PROCESS)@{place.schedd}"', f'+JobsubFolder = "{folder}"',
        *([f"requirements = {' && '.join(args.append_condor_requirements)}"] if args.append_condor_requirements else []),
        *args.lines, f"queue {args.N}",
    ]  # fmt: skip
    (folder / "simple.cmd").write_text("\n".join(lines) + "\n")
    done = subprocess.run(
        [f"{place.condor}/condor_submit", "-name", place.schedd, folder / "simple.cmd"],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
    )
    sys.stderr.write(done.stderr)
    found = re.search(r"\d+ job\(s\) submitted to cluster (\d+)", done.stdout)
    if done.returncode or not found:
        sys.stdout.write(done.stdout)
        sys.stderr.write(f"{RULE}Error: condor_submit exited with failed status code {done.returncode}\n\n{RULE}\n")
        return
    tell(place, done.stdout, found[1])


def submit_here(place: Place, args: argparse.Namespace, wanted: dict[str, Any], env: dict[str, str]) -> None:
    attributes = {}
    for line in args.lines:
        name, _, value = line.lstrip("+").partition("=")
        attributes[name.strip()] = json.loads(value) if value.lstrip()[:1] in '"0123456789' else value
    with place.queue() as ads:
        cluster = 1 + max((ad["ClusterId"] for ad in ads.values()), default=100)
        ids = [f"{cluster}.{proc}" for proc in range(args.N)]
        for proc, job in enumerate(ids):
            ads[job] = {
                "ClusterId": cluster, "ProcId": proc, "JobStatus": 1, "QDate": int(time.time()), "JobUniverse": 5,
                "EnteredCurrentStatus": int(time.time()), "NumJobStarts": 0, "Owner": "u", **wanted, **attributes,
                "argv": [args.executable.removeprefix("file://"), *args.exe_arguments], "env": env,
                "Requirements": " && ".join(args.append_condor_requirements),
            }  # fmt: skip
            start(place, job)
    tell(place, f"Submitting job(s){'.' * args.N}\n{args.N} job(s) submitted to cluster {cluster}.\n", str(cluster))


def start(place: Place, job: str) -> None:
    known = json.dumps({"home": str(place.home), "condor": "", "schedd": place.schedd})
    subprocess.Popen(
        [sys.executable, "-S", "-E", "-s", __file__, "run", known, job], start_new_session=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip


def run_job(place: Place, job: str) -> None:
    """Run a job as a slot does, to its end or until it is taken away."""
    with place.queue() as ads:
        ad, now = ads[job], int(time.time())
        if ad["JobStatus"] != 1:
            return
        env = {
            "PATH": os.environ["PATH"],
            **ad["env"],
            "PROCESS": job.partition(".")[2],
            "CLUSTER": job.partition(".")[0],
        }
        words = [word.replace("$(Process)", env["PROCESS"]) for word in ad["argv"]]
        out, err = ((place.home / f"{job}.{name}").open("wb") for name in ("out", "err"))
        child = subprocess.Popen(
            words, env=env, stdin=subprocess.DEVNULL, stdout=out, stderr=err, start_new_session=True
        )
        number = ad["NumJobStarts"] = ad["NumJobStarts"] + 1
        ad |= {
            "JobStatus": 2, "EnteredCurrentStatus": now, "JobCurrentStartDate": now, "JobCurrentStartExecutingDate": now,
            "RemoteHost": "slot1_1@worker.example.org", "MATCH_GLIDEIN_Site": "FermiGrid", "pid": child.pid,
        }  # fmt: skip
    code = child.wait()
    with place.queue() as ads:
        ad = ads[job]
        if ad["JobStatus"] == 2 and ad["NumJobStarts"] == number:
            ended = {"ExitBySignal": code < 0, ("ExitSignal" if code < 0 else "ExitCode"): abs(code)}
            leave(ad, 4, **ended, CompletionDate=int(time.time()))
            ad["RemoteWallClockTime"] = float(time.time() - ad["JobCurrentStartDate"])


def leave(ad: dict[str, Any], status: int, **more: Any) -> None:
    """Take a job from its slot; one that has ended goes to the history."""
    pid = ad.pop("pid", 0)
    host = ad.pop("RemoteHost", "")
    ad |= {"JobStatus": status, "EnteredCurrentStatus": int(time.time()), **more}
    if host:
        ad["LastRemoteHost"] = host
    if status in (3, 4):
        ad["history"] = time.time()
    if pid:
        with suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)


# --- jobsub_q, jobsub_history, jobsub_rm, jobsub_hold, jobsub_release --------------------------------------------


def ask(place: Place, name: str, words: list[str]) -> None:
    parser = argparse.ArgumentParser(name, allow_abbrev=False)
    for one in (("-G", "--group"), ("--role",), ("-name",), ("-J", "--jobid"), ("--constraint", "-constraint")):
        parser.add_argument(*one)
    args, passed = parser.parse_known_args(words)
    schedds = {args.name} if args.name else set()
    ids = [word for word in (args.jobid or "").split(",") if word]
    schedds |= {word.partition("@")[2] for word in ids}
    for schedd in sorted(schedds) or [place.schedd]:
        mine = [word.partition("@")[0].strip(".") for word in ids if word.endswith(f"@{schedd}")]
        if place.condor:
            hand_on(place, name, schedd, args.constraint, passed, mine)
        elif schedd != place.schedd:
            sys.stderr.write(f"-- Can't find address for schedd {schedd}\n")
        else:
            answer(place, name, args.constraint, passed, mine)


def hand_on(place: Place, name: str, schedd: str, constraint: str | None, passed: list[str], ids: list[str]) -> None:
    """Run the command of HTCondor and print what it prints; its exit status is nobody's business."""
    command = f"{place.condor}/{name.replace('jobsub_', 'condor_')}"
    more = ["-constraint", constraint] if constraint else []
    sys.stdout.flush()
    subprocess.run([command, "-name", schedd, *passed, *more, *ids], check=False)


def answer(place: Place, name: str, constraint: str | None, passed: list[str], ids: list[str]) -> None:
    with place.queue() as ads:
        chosen = [
            (job, ad) for job, ad in ads.items()
            if ("history" in ad) == (name == "jobsub_history")
            and (not ids or job in ids or job.partition(".")[0] in ids)
            and (not constraint or holds(constraint, ad))
        ]  # fmt: skip
        if name in ("jobsub_q", "jobsub_history"):
            show(name, passed, [ad for _, ad in chosen])
            return
        reason = value_of(passed, "-reason")
        for job, ad in chosen:
            if name == "jobsub_rm":
                leave(ad, 3, RemoveReason=f"{reason} (by user u)")
            elif name == "jobsub_hold" and ad["JobStatus"] != 5:
                leave(ad, 5, HoldReason=f"{reason} (by user u)", HoldReasonCode=1, HoldReasonSubCode=0)
            elif name == "jobsub_release" and ad["JobStatus"] == 5:
                ad |= {"JobStatus": 1, "EnteredCurrentStatus": int(time.time())}
                start(place, job)
        missing = set(ids) - {job for job, _ in chosen}
        for job in sorted(missing):
            print(f"Job {job} not found")
        print("\n".join(f"Job {job} marked for {name.partition('_')[2]}" for job, _ in chosen))


def show(name: str, passed: list[str], ads: list[dict[str, Any]]) -> None:
    """Print as condor_q and condor_history do: for nothing, the one prints nothing, the other brackets."""
    if name == "jobsub_history":
        ads = sorted(ads, key=lambda ad: -ad["history"])
        since, limit = value_of(passed, "-since"), value_of(passed, "-limit")
        for number, ad in enumerate(ads):
            if since == f"{ad['ClusterId']}.{ad['ProcId']}":
                ads = ads[:number]
                break
        ads = ads[: int(limit)] if limit else ads
    if "-totals" in passed:
        n = [sum(ad["JobStatus"] == status for ad in ads) for status in (1, 2, 5)]
        print("\n-- Schedd: jobsub01.fnal.gov : <127.0.0.1:9618?... @ 11/30/26 20:00:00")
        print(
            f"Total for query: {len(ads)} jobs; 0 completed, 0 removed, {n[0]} idle, {n[1]} running, {n[2]} held, 0 suspended\n"
        )
        return
    wanted = value_of(passed, "-attributes").split(",")
    plain = [
        {attribute: ad[attribute] for attribute in wanted if attribute in ad}
        | ({"ServerTime": int(time.time()), "Rank": "\\/Expr(0.0)\\/"} if name == "jobsub_q" else {})
        for ad in ads
    ]  # fmt: skip
    if plain or name == "jobsub_history":
        print(json.dumps(plain, indent=0))


def value_of(words: list[str], option: str) -> str:
    return words[words.index(option) + 1] if option in words else ""


class Undefined:
    """What an attribute is that a job does not have: nothing compares with it."""

    def __lt__(self, other: object) -> bool:
        return False

    __gt__ = __le__ = __ge__ = __lt__


UNDEFINED = Undefined()


class Names(dict[str, Any]):
    def __missing__(self, name: str) -> Any:
        return UNDEFINED


def holds(constraint: str, ad: dict[str, Any]) -> bool:
    """Evaluate the part of the ClassAd language that POMS speaks, strings and operators put into Python's."""
    text = ""
    for piece in re.findall(r'"(?:[^"\\]|\\.)*"|[^"]+', constraint):
        if not piece.startswith('"'):
            for theirs, ours in (("=!=", "!="), ("=?=", "=="), ("&&", " and "), ("||", " or "), ("{", "["), ("}", "]")):
                piece = piece.replace(theirs, ours)  # noqa: PLW2901 - step by step
        text += piece
    words = {
        "undefined": UNDEFINED,
        "true": True,
        "false": False,
        "member": lambda item, all_of_them: item in all_of_them,
    }
    return bool(eval(text, {"__builtins__": {}}, Names({**ad, **words})))


# --- jobsub_fetchlog ------------------------------------------------------------------------------------------


def fetchlog(place: Place, name: str, words: list[str]) -> None:
    parser = argparse.ArgumentParser(name)
    for one in (("-G", "--group"), ("--role",), ("-J", "--jobid"), ("--destdir", "--dest-dir", "--unzipdir")):
        parser.add_argument(*one)
    parser.add_argument("--partial", action="store_true")
    args = parser.parse_args(words)
    job = args.jobid.partition("@")[0]
    names = {f"{kind}{job}.{stream}" for kind in ("", "job.") for stream in ("out", "err")}
    files = [file for file in place.home.rglob("*") if file.name in names]
    if not files:
        print('Got error from landscape:\n{"error": "not found"}')
        raise SystemExit(1)
    Path(args.destdir).mkdir(exist_ok=True)
    for file in files:
        Path(args.destdir, f"x.sh{time.strftime('%Y_%m_%d_%H%M%S')}cluster.{job}{file.suffix}").write_bytes(
            file.read_bytes()
        )


if __name__ == "__main__":
    sys.exit(main())
