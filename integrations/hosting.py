"""Launch hosts and batch systems: entered, changed, tried and put away with a reason; what cannot work is refused."""

from __future__ import annotations

import base64
import binascii
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from django.db import IntegrityError, transaction

from core import differences, queue, transitions
from core.errors import Conflict, NotAllowed, Problem, Refused
from experiments.models import Experiment
from experiments.queries import is_administrator
from integrations import declared, errors, registry
from integrations.batch.declared import SETTINGS
from integrations.batch.models import BatchSystem
from integrations.launcher import breaker
from integrations.launcher.models import LaunchHost
from integrations.launcher.ssh import Host

WHOLE = "This needs the role administrator in the whole service. Nothing was changed."
# Whose keys go where: the worker's own key, agent or ticket opens every host that is named here, as any account there.
REACH = ("address", "port", "credential", "known_hosts")
TRY_S = 20.0  # a call; somebody waits for the page
MOST_PORTS, MOST_AT_ONCE = 65_535, 10_000
_WORD = re.compile(r"[A-Za-z0-9_.][A-Za-z0-9_.:-]{0,199}")
_CREDENTIAL = re.compile(r"[A-Za-z0-9_-]*")
_SYSTEM = re.compile(r"[a-z][a-z0-9_-]{0,29}")
_KIND_OF_KEY = re.compile(r"(ssh|ecdsa|sk-ssh|sk-ecdsa)-[A-Za-z0-9@.-]+")


@dataclass(frozen=True)
class Tried:
    """What came of one call: whether it was answered, and a sentence on it."""

    answered: bool
    text: str


# --- Launch hosts -----------------------------------------------------------------------------------------------


def enter_host(experiment: Experiment, name: str, account: str, *, by: Any, reason: str, **values: Any) -> LaunchHost:
    """Enter a launch host of an experiment; raises Refused for what could not work, Conflict for one that is there.

    Administrators of the whole service only: what the workers have to open hosts with opens those of others, too.
    """
    _permit_whole(by)
    row = LaunchHost(experiment=experiment, name=name.strip(), account=account.strip(), **values)
    _refuse_unusable_host(row)
    _need(reason)
    try:
        with transaction.atomic():
            row.save(force_insert=True)
            _note_host(row, "", "create", by, reason)
    except IntegrityError as error:
        hint = "change it, or set it active again"
        problem = Problem("name", f"is entered already for the account {row.account}", hint)
        text = f"{experiment.name} has a launch host {row.called} already; nothing was changed."
        raise Conflict(text, [problem]) from error
    return row


def change_host(row: LaunchHost, /, *, by: Any, reason: str, seen: str = "", **values: Any) -> LaunchHost:
    """Change what may be changed of a launch host, or put it away; `seen` is the fingerprint of what was shown.

    It counts from the next call on, for what runs there as well. How it is reached, administrators of the whole
    service change.
    """
    _need(reason)
    with transaction.atomic():
        row = LaunchHost.objects.select_for_update(of=("self",)).select_related("experiment").get(pk=row.pk)
        before = _before(row, row.called, seen, values)
        if set(before) & set(REACH):
            _permit_whole(by)
        source, after = _standing(row), {name: values[name] for name in before}
        for name, value in after.items():
            setattr(row, name, value)
        _refuse_unusable_host(row)
        row.save(update_fields=list(after))
        _note_host(row, source, "edit", by, differences.told(reason, before, after))
    return row


def try_host(row: LaunchHost, *, by: Any) -> Tried:
    """Call the shim of a launch host, and say what came of it; one that answers is not left alone any longer.

    One that does not is left as it was: who tries it again and again would keep the workers away from it.
    """
    try:
        registry.ssh_launcher(row, seconds=TRY_S).status([])
    except errors.OutsideError as error:
        tried = Tried(False, str(error))
    else:
        tried = Tried(True, f"{row.called} lets us in, and the launch shim answers from {row.home}.")
        breaker.heard(row)
        queue.wake("launch")
    _note_host(row, _standing(row), "try", by, tried.text)
    return tried


def _refuse_unusable_host(row: LaunchHost) -> None:
    problems = [
        Problem(field, sentence)
        for field, sentence in Host(row.address, row.home, row.account, row.port, row.python).unusable().items()
    ]
    if not _WORD.fullmatch(row.name):
        problems.append(Problem("name", f"cannot be {row.name[:60]!r}", "as a rule its address"))
    if not row.account:
        problems.append(Problem("account", "is missing", "whose key or ticket opens it; scripts run under it"))
    if "/" not in row.python and not _WORD.fullmatch(row.python):
        problems.append(Problem("python", f"cannot be {row.python[:60]!r}", "a name or a path, without options"))
    if not 0 < row.port <= MOST_PORTS:
        problems.append(Problem("port", f"cannot be {row.port}", f"1 to {MOST_PORTS}"))
    if not 0 < row.most_at_once <= MOST_AT_ONCE:
        problems.append(Problem("most_at_once", f"cannot be {row.most_at_once}", f"1 to {MOST_AT_ONCE}"))
    if not _CREDENTIAL.fullmatch(row.credential):
        hint = "of POMS_CREDENTIAL_<NAME>_FILE; letters, digits, hyphens"
        problems.append(Problem("credential", "is no name", hint))
    problems = problems or _problems_of_keys(row)
    if problems:
        raise Refused("It cannot work as it is; nothing was changed.", problems)


def _problems_of_keys(row: LaunchHost) -> list[Problem]:
    """Return what is wrong with the host's public keys: lines that are none, or none of this host."""
    called = row.address.lower() if row.port == 22 else f"[{row.address.lower()}]:{row.port}"
    how = f"what `ssh-keyscan -p {row.port} {row.address[:60]}` prints, compared with what the host's keepers say"
    problems, found, own = [], 0, 0
    for number, line in enumerate(row.known_hosts.splitlines(), 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        if words[0].startswith("@"):
            words = words[1:]
        if len(words) < 3 or not _is_key(words[1], words[2]):
            problems.append(Problem("known_hosts", f"line {number} is no key: {line[:60]}", how))
            continue
        found += 1
        own += _is_of(words[0], called)
    if not found and not problems:
        problems.append(Problem("known_hosts", "holds no key", how))
    elif found and not own:
        problems.append(Problem("known_hosts", f"has no key of {called}", how))
    return problems


def _is_key(kind: str, text: str) -> bool:
    """Tell whether this is a public key as OpenSSH writes it: its kind stands in it once more."""
    try:
        data = base64.b64decode(text, validate=True)
    except binascii.Error:
        return False
    return bool(_KIND_OF_KEY.fullmatch(kind)) and data[4 : 4 + int.from_bytes(data[:4])] == kind.encode()


def _is_of(names: str, called: str) -> bool:
    """Tell whether a line of known hosts is about a host: by name, by pattern, or by the hash of its name."""
    if names.startswith("|1|"):
        try:
            salt, digest = (base64.b64decode(part, validate=True) for part in names.split("|")[2:4])
        except ValueError:
            return False
        return hmac.compare_digest(hmac.digest(salt, called.encode(), "sha1"), digest)
    patterns = names.lower().replace("[", "[[]").split(",")
    return any(fnmatchcase(called, pattern) for pattern in patterns if not pattern.startswith("!"))


def _note_host(row: LaunchHost, source: str, verb: str, by: Any, reason: str) -> None:
    transitions.record(
        [(row.pk, source)], "launch_host", _standing(row), experiment_id=row.experiment_id, actor=by.actor,
        reason=reason.strip(), verb=verb,
    )  # fmt: skip


# --- Batch systems ----------------------------------------------------------------------------------------------


def enter_system(name: str, backend: str, *, by: Any, reason: str, **values: Any) -> BatchSystem:
    """Enter a batch system of the whole service; raises Refused for what could not work, Conflict for one there is."""
    _permit_whole(by)
    row = BatchSystem(name=name.strip(), backend=backend, **values)
    if not _SYSTEM.fullmatch(row.name):
        hint = "lower-case letters, digits, hyphens; at most 30, a letter first"
        problem = Problem("name", f"cannot be {row.name[:60]!r}", hint)
        raise Refused("It cannot work as it is; nothing was changed.", [problem])
    _refuse_unusable_system(row)
    _need(reason)
    try:
        with transaction.atomic():
            row.save(force_insert=True)
            _note_system(row, "", "create", by, reason)
    except IntegrityError as error:
        problem = Problem("name", "is taken", "change the one that exists, or choose another name")
        raise Conflict(f"There is a batch system {row.name} already; nothing was changed.", [problem]) from error
    return row


def change_system(row: BatchSystem, /, *, by: Any, reason: str, seen: str = "", **values: Any) -> BatchSystem:
    """Change the settings of a batch system, or put it away: nothing new goes there, what is there is watched."""
    _permit_whole(by)
    _need(reason)
    with transaction.atomic():
        row = BatchSystem.objects.select_for_update().get(pk=row.pk)
        if "settings" in values:
            wanted = BatchSystem(name=row.name, backend=row.backend, settings=values["settings"])
            _refuse_unusable_system(wanted)
            values["settings"] = wanted.settings
        before = _before(row, row.name, seen, values)
        source, after = _standing(row), {name: values[name] for name in before}
        for name, value in after.items():
            setattr(row, name, value)
        row.save(update_fields=list(after))
        _note_system(
            row, source, "edit", by, differences.told(reason, declared.as_lines(before), declared.as_lines(after))
        )
    return row


def try_system(row: BatchSystem, *, by: Any) -> Tried:
    """Ask a batch system how deep its queues are, and say what came of it."""
    _permit_whole(by)
    try:
        depth = registry.BACKENDS[row.backend](row).depth()
    except KeyError:
        tried = Tried(False, f"There is no backend {row.backend} here, but {', '.join(registry.BACKENDS)}.")
    except errors.OutsideError as error:
        tried = Tried(False, str(error))
    else:
        counts = ", ".join(f"{count} {what}" for what, count in depth.items() if what != "memory_mb")
        tried = Tried(True, f"{row.name} answers: {counts}.")
    _note_system(row, _standing(row), "try", by, tried.text)
    return tried


def _refuse_unusable_system(row: BatchSystem) -> None:
    """Refuse what the backend itself would refuse at its first use, in its words; keep each setting as what it is."""
    if row.backend not in registry.BACKENDS:
        problem = Problem("backend", f"unknown: {row.backend}", f"one of {', '.join(registry.BACKENDS)}")
        raise Refused("It cannot work as it is; nothing was changed.", [problem])
    try:
        if row.backend in SETTINGS:
            row.settings = declared.as_given(f"{row.backend} batch system", SETTINGS[row.backend], row.settings)
        registry.BACKENDS[row.backend](row)
    except errors.OutsideError as refusal:
        problem = Problem("settings", str(refusal))
        raise Refused("It cannot work as it is; nothing was changed.", [problem]) from refusal


def _note_system(row: BatchSystem, source: str, verb: str, by: Any, reason: str) -> None:
    transitions.record(
        [(row.pk, source)], "batch_system", _standing(row), experiment_id=None, actor=by.actor,
        reason=reason.strip(), verb=verb,
    )  # fmt: skip


# --- What both have ---------------------------------------------------------------------------------------------


def _permit_whole(by: Any) -> None:
    if not is_administrator(by):
        raise NotAllowed(WHOLE)


def _need(reason: str) -> None:
    if not reason.strip():
        raise Refused("It needs a reason.", [Problem("reason", "is empty", "say why; it is kept and shown")])


def _before(row: LaunchHost | BatchSystem, called: str, seen: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a row says of what will be different; Conflict where an edit came between, Refused for no change."""
    if seen and seen != row.fingerprint:
        raise Conflict(
            f"{called} was changed after you opened it; nothing was changed. Open it again, and look at its history."
        )
    before = {name: value for name, value in row.values().items() if name in values and values[name] != value}
    if not before:
        raise Refused("Nothing is different; nothing was changed.")
    return before


def _standing(row: LaunchHost | BatchSystem) -> str:
    return "active" if row.active else "inactive"
