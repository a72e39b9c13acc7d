"""The commands of a launch, for people to read or to run by hand: what would be started, without starting it (J2).

Nothing is written, no slice is taken, and no uuid is spent: what is named after the uuid of a launch to come differs.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from campaigns import queries, recoveries
from campaigns.definition import PASSES_ON
from campaigns.models import Stage, StageVersion
from core.errors import Conflict
from integrations import registry
from integrations.errors import OutsideError
from submissions.logic import missing, planning, preparing, recovering
from submissions.logic.reporting import report_environment
from submissions.logic.wanting import environment_of, wanted_of
from submissions.models import OUTSIDE, Batch, Submission

LEFT_OUT = "(left out)"
_SECRET = re.compile(r"TOKEN|SECRET|PASSW|CREDENTIAL|PRIVATE|(?:^|_)KEY$")
_A_PLACE = re.compile(r"_(?:FILE|DIR|PATH|URL|NAME)$")


@dataclass(frozen=True)
class Commands:
    """What a launch runs, where, and with what around it; `about` says which launch that is."""

    of: str
    about: str
    launcher: str
    host: str
    account: str
    system: str
    setup: str
    environment: dict[str, str]
    argv: list[str]
    inputs: int
    jobs: int
    unknown: str = ""

    @property
    def command(self) -> str:
        """Return the command as a shell would take it."""
        return shlex.join(self.argv)


def of_stage(stage: Stage) -> Commands:
    """Show what the next launch of a stage would run: the first that waits, or else of the batch that comes next."""
    version = queries.running_version(stage.pk)
    if version is None:
        raise Conflict(f"{stage.ref} is part of nothing that runs; `plan` shows what a definition would launch.")
    _refuse_scriptless(version)
    waiting = Submission.objects.filter(batch__stage=stage, state="pending").exclude(kind=OUTSIDE).order_by("pk")
    if (row := waiting.select_related("experiment", "batch").first()) is not None:
        return of_submission(row)
    units, label = planning.next_of(version)
    batch = Batch(
        experiment=stage.campaign.experiment, stage=stage, version=version, pass_number=stage.pass_number,
        number=planning.next_number(version), label=label, n_units=len(units),
    )  # fmt: skip
    drafted = preparing.draft(batch, units, kind="first", round_number=0, reason_key="")
    about = f"batch {batch.number} of {stage.name}, which comes next" if units else (
        f"any batch of {stage.name}: no input waits for one now"
    )  # fmt: skip
    return _commands(drafted, stage.ref, f"{about}; what is named after its uuid will differ", len(units))


def of_batch(batch: Batch) -> Commands:
    """Show what a batch would run next: its launch that waits, its relaunch where it failed, else what it ran last."""
    last = Submission.objects.select_related("experiment").filter(batch=batch).order_by("-pk").first()
    _refuse_scriptless(batch.version)
    units = missing.units_of(batch)
    if last is None or batch.state != "failed" or not units:
        if last is None:
            raise Conflict(f"The batch {batch.ref} has no submission yet; look again in a moment.")
        return of_submission(last)
    round_ = recoveries.everything(
        missing.seen(units, missing.fates_by_jobs(batch)), recovering.policy_of(batch.version)
    )
    chosen, memory, wall = recovering.given_in(batch, last, units, round_)
    drafted = preparing.draft(
        batch, chosen, kind="relaunch", round_number=last.round + 1, reason_key="", memory=memory, wall=wall,
        overrides=round_.overrides, avoid=sorted(round_.avoid),
    )  # fmt: skip
    return _commands(drafted, batch.ref, "its relaunch; what is named after its uuid will differ", len(chosen))


def of_submission(row: Submission) -> Commands:
    """Show what a submission runs, or ran."""
    if row.kind == OUTSIDE:
        about = "it was launched outside POMS; the command is what its wrapper told"
    elif not row.launcher:
        raise Conflict(f"{row.ref} runs no script.")
    else:
        about = f"the submission {row.ref}, which is {row.state.replace('_', ' ')}"
    return _commands(row, row.ref, about, row.units.count())


def _refuse_scriptless(version: StageVersion) -> None:
    if version.type in PASSES_ON:
        raise Conflict(f"{version.stage.ref} runs no script; it passes files on.")


def _commands(row: Submission, of: str, about: str, inputs: int) -> Commands:
    unknown = ""
    try:
        system = registry.batch(row.system).environment(wanted_of(row)) if row.kind != OUTSIDE else {}
    except OutsideError as error:
        system, unknown = {}, f"what {row.system} adds to the environment is not known now: {error}"
    found: dict[str, Any] = {**system, **report_environment(str(row.uuid)), **environment_of(row)}
    return Commands(
        of=of, about=about, launcher=row.launcher, host=row.host, account=row.account, system=row.system,
        setup=row.setup, argv=list(row.command), inputs=inputs, jobs=len(row.jobs_file.get("jobs", ())),
        environment=without_secrets(found), unknown=unknown,
    )  # fmt: skip


def without_secrets(environment: Mapping[str, Any]) -> dict[str, str]:
    """Return an environment by name, with those values left out whose names say that they are secret."""
    return {name: _shown(name, str(value)) for name, value in sorted(environment.items())}


def _shown(name: str, value: str) -> str:
    secret = _SECRET.search(name.upper()) and not _A_PLACE.search(name.upper())
    return LEFT_OUT if secret and value else value
