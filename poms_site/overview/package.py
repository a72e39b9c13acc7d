"""Everything that is needed to make a batch again, in one file: an RO-Crate 1.1 in the Process Run profile (J6).

The same batch gives the same bytes, until its jobs and their steps are moved to the archive (M11), and as long as its
catalogue says the same of its inputs: names are in order, times are the batch's own, and nothing is compressed, since
compressors differ.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any

from django.conf import settings
from django.core.serializers.json import DjangoJSONEncoder
from django.forms.models import model_to_dict

from core import ledger
from core.models import Seal
from core.redaction import redacted, redacted_deep
from submissions.logic import made_of
from submissions.logic.showing import without_secrets
from submissions.logic.wanting import environment_of
from submissions.models import OUTSIDE, Batch, EveryJob, Job, Output, Snapshot, Submission, Unit

CRATE = "https://w3id.org/ro/crate/1.1"
PROFILE = "https://w3id.org/ro/wfrun/process/0.5"
# The profile's own terms: environment, sha256.
TERMS = "https://w3id.org/ro/terms/workflow-run/context"
METADATA = "ro-crate-metadata.json"
NO_TIME = (1980, 1, 1, 0, 0, 0)  # the first that the format knows
MOST_STEPS = 200_000
SAID_OF = {
    "definition.ini": "The canonical text of the revision that it was run by.",
    "stage.json": "What that revision says of the stage, with everything filled in.",
    "recipe.json": "What a reproduction compares, as `poms reproduce` sends it.",
    "inputs.json": "The frozen input: files with sizes and checksums, event ranges with seeds.",
    "attempts.json": "Each submission: command, environment, slots, hosts, and its jobs.",
    "outputs.json": "What came out, with checksums, by the submission and job that made it.",
    "ledger.json": "Every step of the batch, its submissions and jobs, and the seals that cover them.",
}
_FILE = {"@type": "File"}


def package_of(batch: Batch) -> bytes:
    """Return the package of a batch as a zip file.

    Raises Conflict where the batch ran nothing, OutsideError where its catalogue does not say what its inputs are.
    """
    files = {name: text.encode() for name, text in _files(batch).items()}
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, NO_TIME)
            entry.create_system, entry.external_attr = 3, 0o644 << 16  # as on Unix, wherever it is made
            archive.writestr(entry, files[name])
    return whole.getvalue()


def name_of(batch: Batch) -> str:
    """Return the file name of a batch's package."""
    return f"{batch.ref.replace('/', '-')}.crate.zip"


def _files(batch: Batch) -> dict[str, str]:
    recipe = made_of.recipe_of(batch, ask=True).document()
    inputs, outputs = _inputs(batch, recipe["inputs"]), _outputs(batch)
    attempts = _attempts(batch)
    document = {
        "poms": settings.VERSION, "batch": batch.ref, "campaign": batch.stage.campaign.ref,
        "campaign_name": batch.stage.campaign.name, "stage": batch.stage.name, "number": batch.number,
        "pass": batch.pass_number, "slice": batch.label, "revision": batch.version.revision.number, "recipe": recipe,
    }  # fmt: skip
    return {
        "definition.ini": redacted(batch.version.revision.text),
        "stage.json": _json(_stage(batch)),
        "recipe.json": _json(document),
        "inputs.json": _json(inputs),
        "attempts.json": _json(attempts),
        "outputs.json": _json(outputs),
        "ledger.json": _json(_ledger(batch, [row["key"] for row in attempts])),
        METADATA: _json(_crate(batch, inputs, attempts, outputs)),
    }


def _json(document: Any) -> str:
    plain = json.loads(json.dumps(document, cls=DjangoJSONEncoder))
    return json.dumps(redacted_deep(plain), indent=1, sort_keys=True, ensure_ascii=False) + "\n"


# --- What is in it ---------------------------------------------------------------------------------------------------


def _stage(batch: Batch) -> dict[str, Any]:
    said = model_to_dict(batch.version, exclude=["id", "revision", "stage"])
    return {**said, "stage": batch.stage.ref, "revision_sha256": batch.version.revision.digest}


def _inputs(batch: Batch, asked: Mapping[str, Sequence[Any]]) -> dict[str, Any]:
    rows = Unit.objects.filter(batch=batch).order_by("pk")
    units = []
    for unit in rows:
        size, checksum = asked.get(unit.key, (None, ""))
        units.append({
            "key": unit.key, "file": unit.file_name, "path": unit.path, "first_event": unit.first_event,
            "events": unit.events, "seed": unit.seed, "frozen_size": unit.size, "size": size, "checksum": checksum,
        })  # fmt: skip
    frozen = Snapshot.objects.filter(stage=batch.stage, pass_number=batch.pass_number).order_by("number")
    fields = ("number", "dataset", "mark", "split", "units", "left_out", "digest", "taken_at")
    return {"units": units, "snapshots": list(frozen.values(*fields))}


def _attempts(batch: Batch) -> list[dict[str, Any]]:
    rows = Submission.objects.filter(batch=batch).exclude(kind=OUTSIDE).select_related("experiment").order_by("pk")
    return [
        {
            "key": row.pk, "ref": row.ref, "uuid": str(row.uuid), "kind": row.kind, "round": row.round,
            "state": row.state, "why": row.why, "launcher": row.launcher, "host": row.host, "account": row.account,
            "system": row.system, "setup": row.setup, "command": row.command, "exit_code": row.exit_code,
            "environment": without_secrets(environment_of(row)), "uploads": row.uploads, "memory_mb": row.memory_mb,
            "wall_s": row.wall_s, "plan": row.jobs_file, "offered": row.offered, "created": row.created_at,
            "launched": row.launched_at, "ended": row.ended_at, "jobs": _jobs(row),
        }
        for row in rows
    ]  # fmt: skip


def _jobs(submission: Submission) -> list[dict[str, Any]]:
    rows = EveryJob.objects.filter(submission=submission).select_related("experiment").order_by("index", "pk")
    return [
        {
            "key": row.pk, "ref": row.ref, "external_id": row.external_id, "index": row.index, "state": row.state,
            "exit_code": row.exit_code, "signal": row.signal, "code": row.code, "node": row.node, "site": row.site,
            "slot_type": row.slot_type, "cpus": row.cpus, "memory_mb": row.memory_mb, "cpu_s": row.cpu_s,
            "wall_s": row.wall_s, "starts": row.starts, "started": row.started_at, "ended": row.ended_at,
            "archived_steps": row.history,
        }
        for row in rows
    ]  # fmt: skip


def _outputs(batch: Batch) -> list[dict[str, Any]]:
    rows = Output.objects.filter(result__submission__batch=batch).select_related("result").order_by("name")
    return [
        {
            "name": row.name, "path": row.path, "size": row.size, "checksum": row.checksum, "events": row.events,
            "metadata": row.metadata, "submission": row.result.submission_id, "job": row.result.job,
        }
        for row in rows
    ]  # fmt: skip


def _ledger(batch: Batch, submissions: Sequence[int]) -> dict[str, Any]:
    """Return the steps by which the batch was made, oldest first; later reproductions of it are not among them."""
    jobs = list(Job.objects.filter(submission_id__in=submissions).values_list("pk", flat=True))
    own = ledger.history({"batch": [batch.pk], "submission": submissions, "job": jobs})
    rows = list(own.exclude(kind="batch", verb="reproduce").order_by("txid", "id")[: MOST_STEPS + 1])
    fields = ("id", "txid", "kind", "thing_id", "source", "target", "verb", "at", "actor", "reason")
    steps = [{name: getattr(row, name) for name in fields} for row in rows[:MOST_STEPS]]
    seals: list[dict[str, Any]] = []
    if steps:
        over = Seal.objects.filter(to_txid__gt=steps[0]["txid"], from_txid__lte=steps[-1]["txid"]).order_by("to_txid")
        seals = [dict(row) for row in over.values("from_txid", "to_txid", "rows", "digest")]
    return {"steps": steps, "seals": seals, "left_out": len(rows) > MOST_STEPS}


# --- How it is described ------------------------------------------------------------------------------------------


def _crate(
    batch: Batch, inputs: Mapping[str, Any], attempts: Sequence[Mapping[str, Any]], outputs: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:  # fmt: skip
    campaign = batch.stage.campaign
    ended = max((row["ended"] for row in attempts if row["ended"]), default=batch.state_since)
    used = [_used(batch, unit) for unit in inputs["units"]]
    made = [_made(batch, row) for row in outputs]
    runs = [run for row in attempts if row["launched"] for run in _run(row, used, outputs, batch)]
    actions = [_to(entry) for entry in runs if entry["@type"] == "CreateAction"]
    files = [{**_FILE, "@id": name, "name": name, "description": said, "encodingFormat": _format(name)}
             for name, said in SAID_OF.items()]  # fmt: skip
    root = {
        "@id": "./", "@type": "Dataset", "name": f"Batch {batch.number} of {batch.stage.name}, {campaign.name}",
        "description": f"{batch.ref}: what is needed to make its {len(outputs)} outputs again from"
                       f" {len(used)} inputs, as POMS {settings.VERSION} ran it for {batch.experiment.name}.",
        "identifier": batch.ref, "datePublished": ended, "license": "Not stated; ask the experiment.",
        "conformsTo": {"@id": PROFILE}, "mentions": actions,
        "hasPart": [_to(entry) for entry in (*files, *(e for e in (*used, *made) if e["@type"] == "File"))],
    }  # fmt: skip
    graph = [
        {"@id": METADATA, "@type": "CreativeWork", "conformsTo": {"@id": CRATE}, "about": {"@id": "./"}},
        root,
        {"@id": PROFILE, "@type": "CreativeWork", "name": "Process Run Crate", "version": "0.5"},
        {"@id": "#owner", "@type": "Person", "name": campaign.owner.get_full_name() or campaign.owner.username},
        {"@id": "#program", "@type": "SoftwareApplication", "name": batch.version.launch_script,
         "softwareVersion": batch.version.software_version or "not stated"},
        *files, *used, *made, *runs,
    ]  # fmt: skip
    return {"@context": [f"{CRATE}/context", TERMS], "@graph": graph}


def _to(entry: Mapping[str, Any]) -> dict[str, str]:
    return {"@id": entry["@id"]}


def _format(name: str) -> str:
    return "application/json" if name.endswith(".json") else "text/plain"


def _page(batch: Batch, name: str) -> str:
    """Return the address of a file's page: the file itself lies with its catalogue."""
    return f"{settings.PUBLIC_URL.rstrip('/')}/e/{batch.experiment.name}/files/{name}/"


def _used(batch: Batch, unit: Mapping[str, Any]) -> dict[str, Any]:
    if unit["file"]:
        return {**_FILE, "@id": _page(batch, unit["file"]), "name": unit["file"], **_bytes(unit)}
    seed = f", seed {unit['seed']}" if unit["seed"] is not None else ""
    value = unit["key"] if unit["first_event"] is None else f"{unit['events']} from {unit['first_event']}{seed}"
    return {"@id": f"#{unit['key']}", "@type": "PropertyValue", "name": unit["key"], "value": value}


def _made(batch: Batch, row: Mapping[str, Any]) -> dict[str, Any]:
    return {**_FILE, "@id": _page(batch, row["name"]), "name": row["name"], **_bytes(row)}


def _bytes(row: Mapping[str, Any]) -> dict[str, Any]:
    kind, _, digest = str(row["checksum"]).partition(":")
    said: dict[str, Any] = {} if row["size"] is None else {"contentSize": str(row["size"])}
    if kind == "sha256":
        said["sha256"] = digest
    elif row["checksum"]:
        said["identifier"] = str(row["checksum"])
    return said


def _run(
    row: Mapping[str, Any], used: Sequence[Mapping[str, Any]], outputs: Sequence[Mapping[str, Any]], batch: Batch
) -> list[dict[str, Any]]:  # fmt: skip
    """Return the action of one submission, and the values of its environment."""
    keys = {unit["key"] for job in row["plan"].get("jobs", ()) for unit in job["units"]}
    names = {unit["key"].removeprefix("file:") for job in row["plan"].get("jobs", ()) for unit in job["units"]}
    objects = [_to(entry) for entry in used if entry["name"] in keys | names]
    results = [{"@id": _page(batch, made["name"])} for made in outputs if made["submission"] == row["key"]]
    values = [
        {"@id": f"#s{row['key']}-{name}", "@type": "PropertyValue", "name": name, "value": value}
        for name, value in row["environment"].items()
    ]
    status = "CompletedActionStatus" if row["state"] == "completed" else "FailedActionStatus"
    action = {
        "@id": f"#s{row['key']}", "@type": "CreateAction",
        "name": f"{row['ref']} ({row['kind']}, round {row['round']})",
        "description": " ".join(row["command"]), "instrument": {"@id": "#program"}, "agent": {"@id": "#owner"},
        "object": objects, "result": results, "startTime": row["launched"], "endTime": row["ended"],
        "actionStatus": {"@id": f"http://schema.org/{status}"}, "environment": [_to(value) for value in values],
    }  # fmt: skip
    return [action, *values]
