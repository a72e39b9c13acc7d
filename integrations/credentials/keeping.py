"""Credentials of experiments: entered, changed and put away with a reason; one that cannot work is refused."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

from django.db import transaction

from core import differences, queue, transitions
from core.clock import due
from core.errors import Conflict, NotAllowed, Problem, Refused
from core.redaction import refuse_secrets
from experiments.models import Experiment
from experiments.queries import is_administrator
from experiments.scoping import require
from integrations import errors, registry
from integrations.credentials import base
from integrations.credentials.kinds import KINDS
from integrations.credentials.models import ROLES, Credential
from integrations.declared import as_lines

LOOP = "credentials"
LEAST_S, MOST_S = 5, 600  # that a command may take


def enter(experiment: Experiment, name: str, kind: str, *, by: Any, reason: str, **values: Any) -> Credential:
    """Enter a credential; raises Refused for what could not work, Conflict for a name or place that is taken."""
    _needs_reason(reason)
    row = Credential(experiment=experiment, name=name, kind=kind, **values)
    _let_in(row, by)
    _refuse_unusable(row)
    with transaction.atomic():
        _refuse_second(row, _locked(experiment))
        row.save(force_insert=True)
        note(row, "", "create", by.actor, reason)
        queue.wake(LOOP)
    row.refresh_from_db()
    return row


def change(row: Credential, *, by: Any, reason: str, seen: str = "", **values: Any) -> Credential:
    """Change what may be changed of a credential; `seen` is the fingerprint of what the person had before them.

    It is asked anew at once: whatever was known of it may be of another file.
    """
    _needs_reason(reason)
    with transaction.atomic():
        others = {other.pk: other for other in _locked(row.experiment)}
        row = others.pop(row.pk)
        if seen and seen != row.fingerprint:
            raise Conflict(
                f"{row} was changed after you opened it; nothing was changed. Open it again, and look at its history."
            )
        before = {name: value for name, value in row.values().items() if name in values and values[name] != value}
        if not before:
            raise Refused("Nothing is different; nothing was changed.")
        _let_in(row, by)
        source, after = standing(row), {name: values[name] for name in before}
        for name, value in after.items():
            setattr(row, name, value)
        _refuse_unusable(row)
        _refuse_second(row, list(others.values()))
        if "path" in after:
            row.begins_at = row.ends_at = row.seen_at = row.warned_hours = None
            row.unusable = row.error = ""
        row.save()
        Credential.objects.filter(pk=row.pk).update(due_at=due())
        note(row, source, "edit", by.actor, differences.told(reason, as_lines(before), as_lines(after)))
        queue.wake(LOOP)
    row.refresh_from_db()
    return row


def check(row: Credential) -> None:
    """Have a credential asked now; the loop does it, for what lies outside is not waited for in a page."""
    _refuse_put_away(row)
    with transaction.atomic():
        Credential.objects.filter(pk=row.pk).update(due_at=due())
        queue.wake(LOOP)


def want_renewal(row: Credential, *, by: Any, reason: str) -> None:
    """Have a credential renewed now by its command; the loop does it, and the ledger says what became of it."""
    _refuse_put_away(row)
    if not row.command:
        raise Refused(
            f"POMS has no command that renews {row.title}; nothing was done.",
            [Problem("renewal", "is empty", f"it is renewed by {row.who}; POMS sees it then by itself")],
        )
    _needs_reason(reason)
    with transaction.atomic():
        Credential.objects.filter(pk=row.pk).update(due_at=due(), asked_by=by.actor)
        note(row, standing(row), "ask_renewal", by.actor, reason)
        queue.wake(LOOP)


def note(row: Credential, source: str, verb: str, actor: str, reason: str) -> None:
    """Write down in the ledger what was done to a credential, or happened to it."""
    transitions.record(
        [(row.pk, source)], "credential", standing(row), experiment_id=row.experiment_id, actor=actor,
        reason=reason.strip(), verb=verb,
    )  # fmt: skip


def standing(row: Credential) -> str:
    """Return how it stands, as the ledger says it."""
    return "active" if row.active else "inactive"


def needs_whole_service(row: Credential) -> bool:
    """Tell whether only administrators of the whole service may enter it.

    What lies with the worker is read, and its command is run, under the worker's own account.
    """
    return row.launcher in ("", "local")


def _let_in(row: Credential, by: Any) -> None:
    require(by, "administer", row.experiment)
    if needs_whole_service(row) and not is_administrator(by):
        raise NotAllowed(
            "What lies with the worker is for administrators of the whole service; nothing was changed. Those of an"
            " experiment enter what lies on its own launch hosts."
        )


def _locked(experiment: Experiment) -> list[Credential]:
    """Return the credentials of an experiment; whoever changes one of them waits for whoever does so already."""
    Experiment.objects.select_for_update(no_key=True).get(pk=experiment.pk)
    return list(Credential.objects.filter(experiment=experiment).select_related("experiment").order_by("pk"))


def _refuse_second(row: Credential, others: list[Credential]) -> None:
    for other in others:
        if other.name == row.name:
            problem = Problem("name", "is taken", "change the one that exists, or choose another name")
            raise Conflict(f"{other} exists already; nothing was changed.", [problem])
        same = all(getattr(other, name) == getattr(row, name) for name in ("kind", "role", *_PLACE))
        if same and other.active and row.active:
            problem = Problem("kind", f"is that of {other.name} at the same place", "put that one away first")
            raise Conflict("A script would not know which of two to take; nothing was changed.", [problem])


_PLACE = ("launcher", "host", "account")


def _refuse_unusable(row: Credential) -> None:
    """Refuse what could not work, all that is wrong at once."""
    if row.kind not in KINDS:
        problem = Problem("kind", f"unknown: {row.kind[:40]}", f"one of {', '.join(KINDS)}")
        raise Refused("It cannot work as it is; nothing was changed.", [problem])
    refuse_secrets([("settings", row.settings), ("renewal", row.renewal), ("path", row.path)])
    problems = [*_of_place(row), *_of_numbers(row)]
    path = row.path
    if not PurePosixPath(path).is_absolute() or not path.isprintable() or ".." in PurePosixPath(path).parts:
        problems.append(Problem("path", f"is no path from the root: {path[:80]}", "such as /opt/demopro/demopro.token"))
    if any(not word or not word.isprintable() for word in row.renewal):
        problems.append(Problem("renewal", "has an empty or unprintable word", "one word a line"))
    try:
        row.settings = base.read(KINDS[row.kind].word, KINDS[row.kind].settings, row.settings)
    except errors.Refused as refusal:
        problems.append(Problem("settings", str(refusal)))
    if problems:
        raise Refused("It cannot work as it is; nothing was changed.", problems)


def _of_place(row: Credential) -> list[Problem]:
    problems = []
    if row.role not in ROLES:
        problems.append(Problem("role", f"unknown: {row.role[:40]}", f"one of {', '.join(ROLES)}"))
    if row.launcher not in ("", *registry.LAUNCHERS):
        known = ", ".join(registry.LAUNCHERS)
        problems.append(Problem("launcher", f"unknown: {row.launcher[:40]}", f"one of {known}, or none: the worker"))
    elif row.launcher in ("", "local") and (row.host or row.account):
        problems.append(Problem("host", "is named, but it lies with the worker", "leave host and account empty"))
    elif row.launcher == "ssh" and row.active and registry.launch_host(row.place) is None:
        hint = "an administrator enters the launch host first; name its account if it has several"
        problems.append(Problem("host", f"no launch host {row.place} of {row.experiment.name}", hint))
    if row.role == "analysis" and not row.account:
        problems.append(Problem("account", "is empty", "a credential for analysis lies with the account of a person"))
    return problems


def _of_numbers(row: Credential) -> list[Problem]:
    problems = []
    if not LEAST_S <= row.renewal_seconds <= MOST_S:
        problems.append(Problem("renewal_seconds", f"{row.renewal_seconds} is not within {LEAST_S} to {MOST_S}"))
    for name in ("needs_seconds", "renew_seconds"):
        if not 0 <= getattr(row, name) <= 30 * 86_400:
            problems.append(Problem(name, "is not within 0 to 30 days, in seconds"))
    if row.renew_seconds < row.needs_seconds:
        hint = f"at least {row.needs_seconds}, or launches stop before it is renewed"
        problems.append(Problem("renew_seconds", f"{row.renew_seconds} is less than a launch needs", hint))
    return problems


def _needs_reason(reason: str) -> None:
    if not reason.strip():
        raise Refused("This needs a reason; nothing was changed.", [Problem("reason", "is empty", "it is kept")])


def _refuse_put_away(row: Credential) -> None:
    if not row.active:
        raise Refused(f"{row} was put away; nothing was done. Take it in use again first.")
