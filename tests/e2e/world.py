"""What there is to look at: the example's campaign, done, and a thing in every other state that pages show."""

from __future__ import annotations

import re
import time
from typing import Any

from tests.e2e.running import ROOT, Site

EXAMPLE = ROOT / "examples" / "dimuon" / "dimuon.ini"
PATIENCE = 240.0
World = dict[str, str]
NIGHTLY = """[campaign_stage reco]
dataset_or_split_data=requested
cs_split_type=nfiles(5)
schedule=@daily
schedule_zone=America/Chicago
latency_objective=95% within 24 h
param_overrides=[["--stage ", "reco"]]
"""
HOST = {"name": "gpvm01.example.org", "account": "mcprod", "home": "/scratch/poms"}
HOST_KEY = "gpvm01.example.org ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINIEDoUfq2vkX1Yr3TVK1QWkckFcQbHerdHm0aqakkc+"
PENDING = {"special": "outputs are called pending_%.root\nkeep the seeds", "hours_per_file": 0.01}


def produce(poms: Site) -> World:
    """Bring about what is missing, and return keys and names to be put into addresses."""
    _campaign_done(poms)
    held = _campaign_held(poms)
    if not poms.rows("jobtypes/"):
        poms.api("operator", "jobtypes/", {"experiment": "demo", "name": "plain", "launch_script": "dimuon_submit"})
    if not poms.rows("services/"):
        said = {"experiment": "demo", "reason": "stages read their files from it"}
        poms.api(
            "administrator", "services/", {"name": "sam", "title": "SAM", "kind": "none", "gates": "catalogue", **said}
        )
        poms.api("operator", "limits/", {"kind": "launches", "most": 500, **said})
    failure = _failing(poms)
    if not poms.rows("exclusions/"):
        said = {"system": "local", "name": "local-99", "hours": 48, "reason": "Its disk is full; the site was told."}
        poms.api("operator", "exclusions/", {"experiment": "demo", **said})
    _outside(poms)
    command = _command(poms, held["campaign"])
    thought = _thought_of(poms)
    draft = _request(poms, "A production that is still being thought about", small("small"))
    pending = _request(poms, "A production that waits for its approver", small("pending"), "file", PENDING)
    _discussed(poms, pending)
    returned = _request(poms, "A production that came back", small("returned"), "return")
    jobs, files = poms.rows("jobs/"), poms.rows("files/?campaign=demo/c1")
    schedule = _keeping_up(poms, [row["name"] for row in files if row["name"].endswith(".root")][:2])
    failed = next(job for job in jobs if job["state"] == "failed")
    batch = next(row for row in poms.rows("batches/") if len(row["submissions"]) > 1 and row["campaign"] == "demo/c1")
    generated = next(r for r in poms.rows("batches/") if r["stage"] == "gen" and r["campaign"] == "demo/c1")
    again = _made_again(poms, generated["ref"])
    names = [row["name"] for row in files]
    return {
        "request": "r1", "campaign": "c1", "name": "dimuon", "held": _key(held["campaign"]), "hold": _key(held["hold"]),
        "service": _key(poms.rows("services/")[0]["ref"]), "limit": _key(poms.rows("limits/")[0]["ref"]),
        "excluded": _key(poms.rows("exclusions/")[0]["ref"]),
        "failure": _key(failure), "route": _key(poms.rows("routes/")[0]["ref"]),
        "credential": "token", "command": _key(command), "shift": _key(poms.rows("shifts/")[0]["ref"]),
        "draft_campaign": _key(thought["draft"]), "archived": _key(thought["archived"]), "jobtype": "plain",
        "schedule": _key(schedule), "setup": "local", "draft": _key(draft), "pending": _key(pending), "returned": _key(returned), "failed": _key(failed["ref"]),
        "job": _key(jobs[0]["ref"]), "batch": _key(batch["ref"]), "again": _key(again), "recovery": _key(batch["submissions"][-1]["ref"]),
        "first": _key(batch["submissions"][0]["ref"]),
        "picture": next(name for name in names if name.endswith(".png")),
        "text": next(name for name in names if name.endswith(".json")),
        "binary": next(name for name in names if name.endswith(".root")),
    }  # fmt: skip


def _key(ref: str) -> str:
    return ref.rpartition("/")[2]


def _campaign_done(poms: Site) -> None:
    """The walk has done it by hand; where only other tests run, it is done here."""
    first = poms.rows("requests/")[-1]
    if first["state"] == "draft":
        _approve(poms, first["ref"])
    deadline = time.monotonic() + PATIENCE
    while (state := poms.api("supervisor", "campaigns/demo/c1/")["state"]) != "succeeded":
        assert time.monotonic() < deadline, f"demo/c1 is {state}"
        time.sleep(0.5)


def _campaign_held(poms: Site) -> dict[str, Any]:
    ref = _request(poms, "A production that is held", small("held"))
    if not poms.api("supervisor", f"requests/{ref}/")["campaign"]:
        _approve(poms, ref)
        held = poms.api("supervisor", f"requests/{ref}/")["campaign"]
        poms.api("operator", f"campaigns/{held}/hold/", {"reason": "The disk is full; the site makes room until noon."})
    campaign = poms.api("supervisor", f"requests/{ref}/")["campaign"]
    hold = next(row for row in poms.rows("holds/") if row["released"] is None)
    return {"campaign": campaign, "hold": hold["ref"]}


def _failing(poms: Site) -> str:
    """The jobs of the example that were made to fail are recognised; somebody says what helps, and sets a rule."""
    deadline = time.monotonic() + PATIENCE
    while not (rows := poms.rows("failures/")):
        assert time.monotonic() < deadline, "nobody recognised why jobs failed"
        time.sleep(0.5)
    ref = str(rows[-1]["ref"])
    if not rows[-1]["fix"]:
        poms.api(
            "operator",
            f"failures/{ref}/fix/",
            {"fix": "Launch it again with the next release, which has the constants."},
        )
        provides = {"providers": ["operator"], "reason": "who keeps it running"}
        poms.api("administrator", f"services/{poms.rows('services/')[0]['ref']}/", provides, method="PATCH")
        poms.api("operator", f"failures/{ref}/route/", {"owner": "sam", "reason": "its constants come from there"})
    if not poms.rows("routes/"):
        rule = {"experiment": "demo", "pattern": "constants", "service": "sam", "reason": "they come from there"}
        poms.api("administrator", "routes/", rule)
    return ref


def _made_again(poms: Site, batch: str) -> str:
    """A batch that was made again with another seed: what differs is named."""
    if not poms.rows("reproductions/"):
        poms.api("operator", f"batches/{batch}/reproduce/", {"seed": 7, "reason": "What hangs on the seed?"})
        poms.api(
            "reviewer", "campaigns/demo/c1/verdict/", {"verdict": "remarks", "reason": "One file was damaged once."}
        )
    deadline = time.monotonic() + PATIENCE
    while (row := poms.rows("reproductions/")[-1])["state"] == "running":
        assert time.monotonic() < deadline, "the reproduction did not end"
        time.sleep(0.5)
    return str(row["ref"])


def _outside(poms: Site) -> None:
    """A launch host at which nobody answers, a token that lies there, and somebody on shift."""
    if not poms.rows("launch-hosts/"):
        said = {"experiment": "demo", "reason": "the experiment's scripts run there"}
        poms.api("administrator", "launch-hosts/", {**HOST, "known_hosts": HOST_KEY, **said})
        lies = {"launcher": "ssh", "host": HOST["name"], "account": HOST["account"], "path": "/tmp/bt_mcprod"}
        poms.api("administrator", "credentials/", {"name": "token", "kind": "scitoken", **lies, **said})
    if not poms.rows("shifts/"):
        begins = time.time() // 3600 * 3600
        span = {name: time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(begins + hours * 3600))
                for name, hours in (("begins", 0), ("until", 8))}  # fmt: skip
        poms.api("operator", "shifts/", {"experiment": "demo", "person": "shifter", **span, "note": "late shift"})


def _command(poms: Site, campaign: str) -> str:
    """One of the submissions that are held is taken away, which is a command."""
    if not poms.rows("commands/"):
        deadline = time.monotonic() + PATIENCE
        while not (rows := poms.rows(f"submissions/?campaign={campaign}&state=pending")):
            assert time.monotonic() < deadline, "nothing was planned of what is held"
            time.sleep(0.5)
        poms.api("operator", f"submissions/{rows[0]['ref']}/kill/", {"reason": "It would run on the old release."})
    return str(poms.rows("commands/")[0]["ref"])


def _keeping_up(poms: Site, names: list[str]) -> str:
    """A stage that looks for new files each midnight; POMS makes its schedule when the request is approved."""
    head, _, rest = EXAMPLE.read_text().partition("[campaign_stage gen]")
    head = head.replace("name=dimuon\n", "name=nightly\n").replace("gen,reco,merge", "reco")
    text = f"{head}{NIGHTLY}\n[job_type{rest.partition('[job_type')[2]}"
    ref = _request(poms, "Each night's muons", text, more={"files": names, "keep_up": True})
    if not poms.api("supervisor", f"requests/{ref}/")["campaign"]:
        _approve(poms, ref)
    deadline = time.monotonic() + PATIENCE
    while not (rows := poms.rows("schedules/")):
        assert time.monotonic() < deadline, "no schedule was made"
        time.sleep(0.5)
    return str(rows[0]["ref"])


def _thought_of(poms: Site) -> dict[str, str]:
    """Two campaigns that nobody asked for: one in two revisions with a tag, one in the archive."""
    found = {row["name"]: row["ref"] for row in poms.rows("campaigns/?archived=all")}
    for name, verb, body in (("thought", "tag", {"tags": ["spring", "muons"]}), ("given-up", "archive", {})):
        if name in found:
            continue
        wanted = {"experiment": "demo", "text": small(name), "apply": True, "note": "as the group wants it"}
        found[name] = poms.api("experimenter", "campaigns/import/", wanted)["campaign"]
        more = {"text": small(name).replace("--tune", "--tuned").replace("nevents(1000)", "nevents(500)")}
        poms.api("experimenter", "campaigns/import/", {**wanted, **more, "note": "smaller batches"})
        poms.api("experimenter", f"campaigns/{found[name]}/{verb}/", body)
    return {"draft": found["thought"], "archived": found["given-up"]}


def _discussed(poms: Site, ref: str) -> None:
    """Say something about a request, hang a file on it, and try it out."""
    if poms.api("supervisor", f"requests/{ref}/comments/")["results"]:
        return
    poms.api(
        "approver", f"requests/{ref}/comment/", {"text": "Is the new tune **agreed** with the group, @experimenter?"}
    )
    poms.api("experimenter", f"requests/{ref}/comment/", {"text": "Yes, minutes attached:\n\n- seed 7\n- `tune=14`"})
    poms.api("experimenter", f"requests/{ref}/attach/", {"name": "minutes.txt", "content": "YWdyZWVk"})
    poms.api("operator", f"requests/{ref}/test/", {"size": 1})
    poms.api("operator", f"requests/{ref}/confirm/", {"ticked": ["outputs are called pending_%.root"]})


def _request(poms: Site, title: str, definition: str, verb: str = "", more: dict[str, Any] | None = None) -> str:
    """A request of the experimenter, which is filed and then sent where it is to be; the one that is there already."""
    there = [row["ref"] for row in poms.rows("requests/") if row["title"] == title]
    if there:
        return str(there[0])
    wanted = {"experiment": "demo", "title": title, "production_stage": "mc", "definition": definition,
              **(more or {})}  # fmt: skip
    made: str = poms.api("experimenter", "requests/", wanted)["ref"]
    if verb:
        poms.api("experimenter", f"requests/{made}/file/", {})
    if verb == "return":
        poms.api("approver", f"requests/{made}/return/", {"reason": "Half of it would do; please halve the events."})
    return made


def _approve(poms: Site, ref: str) -> None:
    filed = poms.api("experimenter", f"requests/{ref}/file/", {})
    poms.api("approver", f"requests/{ref}/approve/", {"revision": filed["revision"], "reason": "looks right"})


def small(name: str) -> str:
    """The example with a tenth of the events, and nothing that goes wrong."""
    text = EXAMPLE.read_text().replace("name=dimuon\n", f"name={name}\n").replace("events=20000", "events=2000")
    text = text.replace("nevents(5000)", "nevents(1000)").replace("events_per_job=1000", "events_per_job=500")
    return re.sub(r', \["--(crash-once|hungry|hungry-mb|corrupt-once) ", "\d+"\]', "", text)
