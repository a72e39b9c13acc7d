"""A launch set-up is tried: its text runs on its host as before a launch, then a few questions; nothing is submitted.

The launch shim does it, so a trial has the wall limit, the bounded output and the stop of a launch.
"""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from campaigns import command
from campaigns.logic import keeping
from campaigns.models import LoginSetup, SetupTrial
from core.clock import now
from core.errors import NotAllowed
from core.redaction import redacted
from experiments.roles import roles_with
from experiments.scoping import may
from integrations import registry
from integrations.errors import OutsideError
from integrations.launcher.base import Launch

WALL_S = 60
MOST_TEXT = 65_536  # bytes of output that are kept
# Asked of the shell that the set-up leaves behind: where one is, as whom, and what of the usual tools it finds.
QUESTIONS = """echo "host      $(uname -n), $(uname -sr)"
echo "account   $(id -un)"
echo "folder    $PWD"
echo "PATH      $PATH"
for tool in jobsub_submit condor_submit sbatch samweb metacat fife_launch python3 git
do found=$(command -v "$tool") && echo "finds     $found"
done
exit 0"""


def try_out(setup: LoginSetup, *, by: Any) -> SetupTrial:
    """Start a trial of a set-up as it stands; only production may, for it runs with the experiment's credentials."""
    if not may(by, "define", setup.experiment):
        roles = " or ".join(roles_with("define"))
        raise NotAllowed(f"To try a launch set-up needs the role {roles} in {setup.experiment.name}.")
    trial = SetupTrial.objects.create(
        setup=setup, version=keeping.newest_number(setup) or 1, uuid=uuid4(), by=by
    )  # fmt: skip
    keeping.note(setup, keeping.standing(setup), "test", by, f"trial {trial.pk}")
    name = setup.experiment.name
    words = {"experiment": name, "group": command.group_of(name), "experimenter": by.username}
    text = command.fill_setup(setup.setup, words)
    launch = Launch(
        uuid=str(trial.uuid), attempt=1, after=0, argv=["sh", "-c", QUESTIONS], setup=text, wall_s=WALL_S,
        env={"POMS_SETUP_TEST": setup.name},
    )  # fmt: skip
    try:
        started = registry.launcher(setup.place).start([launch])[str(trial.uuid)]
    except OutsideError as error:
        return _end(trial, False, None, f"It could not be started: {error}")
    if started.outcome == "refused":
        return _end(trial, False, None, f"It could not be started: {started.detail}")
    return trial


def looked_at(trial: SetupTrial) -> SetupTrial:
    """Return a trial as it is now; one that has ended keeps how."""
    if trial.passed is not None:
        return trial
    launcher, uuid = registry.launcher(trial.setup.place), str(trial.uuid)
    try:
        fate = launcher.status([uuid])[uuid]
        if fate.state == "running":
            return trial
        text = str(launcher.output(uuid, "head", 0, MOST_TEXT)["text"])
    except OutsideError as error:
        trial.text = f"It cannot be asked for at present: {error}"
        return trial
    if fate.state != "finished":
        return _end(trial, False, None, f"{text}\nIt ended without a result ({fate.state.replace('_', ' ')}).")
    if fate.timed_out:
        text += f"\nIt did not end within {WALL_S} s and was stopped."
    return _end(trial, fate.exit_code == 0 and not fate.timed_out, fate.exit_code, text)


def _end(trial: SetupTrial, passed: bool, exit_code: int | None, text: str) -> SetupTrial:
    # Postgres keeps no zero bytes in texts.
    trial.passed, trial.exit_code, trial.text, trial.ended_at = (
        passed,
        exit_code,
        redacted(text.replace("\0", "\ufffd")),
        now(),
    )
    trial.save(update_fields=["passed", "exit_code", "text", "ended_at"])
    return trial
