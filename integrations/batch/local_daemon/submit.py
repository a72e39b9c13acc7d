"""The submit command: check a cluster document, append it to the log as one line, say the job ids.

It needs no daemon: an appended line is a submitted cluster. It is started once for every cluster, so it loads
next to nothing.
"""

from __future__ import annotations

import os

from .log import Log, complain, crashpoint, dumps, loads, ring

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

LARGEST = 16 << 20
OWN_NAMES = ("out", "err")


class BadDocument(ValueError):
    """The cluster document cannot be submitted; the text says why, for a person."""


def main(arguments: list[str]) -> int:
    """Submit the cluster on standard input; exit code 2 and a sentence when it cannot be."""
    try:
        spool = _spool(arguments)
        cluster = checked(_read_document())
    except BadDocument as bad:
        complain(f"not submitted: {bad}")
        return 2
    answer = submit(spool, cluster)
    os.write(1, (dumps(answer) + "\n").encode("ascii"))
    return 0


def submit(spool: str, cluster: dict[str, Any]) -> dict[str, Any]:
    """Append a checked cluster to the log and return its number and job ids (contract section 2)."""
    crashpoint("submit.before_append")
    log = Log(spool)
    with log:
        number = log.append("submit", cluster, new_cluster=True)["cluster"]
    log.close()
    crashpoint("submit.after_append")
    job_ids = [f"{number}.{proc}@local" for proc in range(len(cluster["jobs"]))]
    note = os.environ.get("POMS_JOB_IDS_FILE")
    if note:
        try:
            _add_lines(note, job_ids)
        except OSError as error:
            # The cluster is in the queue whatever happens here, so the call must not look like a failure.
            complain(f"submitted, but the ids could not be noted in {note}: {error}")
    crashpoint("submit.after_ids")
    ring(spool)
    return {"cluster": number, "job_ids": job_ids}


def checked(document: Any) -> dict[str, Any]:
    """Return the cluster in the form in which the log keeps it; BadDocument for anything doubtful."""
    if not isinstance(document, dict):
        raise BadDocument("the cluster is not a JSON object")
    uuid = document.get("uuid") or os.environ.get("POMS_SUBMISSION_ID")
    if not isinstance(uuid, str) or not uuid.isascii() or not uuid.replace("-", "").replace("_", "").isalnum():
        raise BadDocument("no uuid, neither in the document nor in POMS_SUBMISSION_ID, or not one word")
    jobs = document.get("jobs")
    if not isinstance(jobs, list) or not jobs:
        raise BadDocument("a cluster needs at least one job")
    return {
        "uuid": uuid,
        "owner": _is(str, document.get("owner", ""), "owner"),
        "attributes": _is(dict, document.get("attributes", {}), "attributes"),
        **_place(),
        **_avoided(),
        "jobs": [_job(job, proc) for proc, job in enumerate(jobs)],
    }


def _place() -> dict[str, int]:
    """Return the cluster's place among the idle ones, if whoever started the script has said one."""
    said = os.environ.get("POMS_PRIORITY", "")
    if not said:
        return {}
    digits = said.removeprefix("-")
    if not (digits.isascii() and digits.isdigit() and len(digits) < 18):
        raise BadDocument("POMS_PRIORITY is not a whole number")
    return {"prio": int(said)}


def _avoided() -> dict[str, list[str]]:
    """Return the nodes that it is kept from as long as there are others, if whoever started the script has said any."""
    said = os.environ.get("POMS_AVOID_NODES", "")
    if not said:
        return {}
    try:
        nodes = loads(said)
    except ValueError as bad:
        raise BadDocument(f"POMS_AVOID_NODES is not JSON: {bad}") from bad
    return {"avoid_nodes": _texts(nodes, "POMS_AVOID_NODES")}


def _job(job: Any, proc: int) -> dict[str, Any]:
    where = f"job {proc}"
    if not isinstance(job, dict):
        raise BadDocument(f"{where} is not a JSON object")
    argv = _texts(job.get("argv"), f"argv of {where}")
    if not argv or not argv[0]:
        raise BadDocument(f"{where} has no command")
    environment = _is(dict, job.get("env", {}), f"env of {where}")
    _texts(list(environment.values()), f"env of {where}")
    if any(not name or "=" in name or "\0" in name for name in environment):
        raise BadDocument(f"env of {where} has a name that no environment can hold")
    folder = job.get("output_dir")
    return {
        "argv": argv,
        "env": environment,
        "memory_mb": _limit(job, "memory_mb", where),
        "wall_s": _limit(job, "wall_s", where),
        "index": _is(int, job.get("index", proc), f"index of {where}"),
        "units": _texts(job.get("units", []), f"units of {where}"),
        "inputs": [_input(item, where) for item in _is(list, job.get("inputs", []), f"inputs of {where}")],
        "output_dir": None if folder is None else _path(folder, f"output_dir of {where}"),
        "output_patterns": _texts(job.get("output_patterns", []), f"output_patterns of {where}"),
        "avoid_nodes": _texts(job.get("avoid_nodes", []), f"avoid_nodes of {where}"),
    }


def _input(item: Any, where: str) -> dict[str, str]:
    if not isinstance(item, dict):
        raise BadDocument(f"an input of {where} is not a JSON object")
    name = item.get("name")
    if not isinstance(name, str) or not name or "/" in name or "\0" in name or name in (".", "..", *OWN_NAMES):
        raise BadDocument(f"an input of {where} has a name that is not a plain file name")
    return {"name": name, "path": _path(item.get("path"), f"path of input {name} of {where}")}


def _path(value: Any, what: str) -> str:
    if not isinstance(value, str) or not value or "\0" in value:
        raise BadDocument(f"{what} is not a path")
    return os.path.abspath(value)


def _is(kind: type, value: Any, what: str) -> Any:
    if not isinstance(value, kind) or isinstance(value, bool):
        raise BadDocument(f"{what} is not of type {kind.__name__}")
    return value


def _texts(value: Any, what: str) -> list[str]:
    if not isinstance(value, list) or any(not isinstance(text, str) or "\0" in text for text in value):
        raise BadDocument(f"{what} is not a list of texts")
    return value


def _limit(job: dict[str, Any], name: str, where: str) -> float | None:
    value = job.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value <= 0:
        raise BadDocument(f"{name} of {where} is not a number above nought")
    return value


def _spool(arguments: list[str]) -> str:
    if len(arguments) == 1 and arguments[0].startswith("--spool="):
        spool = arguments[0][8:]
    elif len(arguments) == 2 and arguments[0] == "--spool":
        spool = arguments[1]
    else:
        raise BadDocument("call it as: submit --spool DIR")
    # Never made here: a mistyped folder would swallow clusters that no daemon ever looks at.
    if not os.path.isdir(spool):
        raise BadDocument(f"there is no spool at {spool}")
    return spool


def _read_document() -> Any:
    parts, size = [], 0
    while part := os.read(0, 1 << 20):
        parts.append(part)
        size += len(part)
        if size > LARGEST:
            raise BadDocument(f"the document is larger than {LARGEST >> 20} MiB")
    try:
        return loads(b"".join(parts).decode("utf-8"))
    except (ValueError, RecursionError) as bad:
        raise BadDocument(f"the document is not JSON: {bad}") from bad


def _add_lines(path: str, lines: list[str]) -> None:
    note = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.write(note, "".join(f"{line}\n" for line in lines).encode("ascii"))
    finally:
        os.close(note)
